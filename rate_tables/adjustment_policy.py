"""What an office allows of consumption adjustments: how often, how long, which share; a dated file with sources.

Belongs here: the shape of the file, finding the one of a billing year.
Does not belong here: the arithmetic of an adjustment (``adjusting``), looking for entries that break the policy
(``assets.adjustment_steps``).

Files are called after the day from which they hold. Those in ``adjustment_policies/common`` hold for a utility that has none.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

from pydantic import Field

from rate_tables.config_file import Strict
from rate_tables.dated_rules import Loaded, in_force
from rate_tables.terms import AdjustmentKind, Cited, Share

FOLDER = "adjustment_policies"
COMMON = Path(__file__).parent / FOLDER / "common"

Years = Annotated[int, Field(ge=1, le=10)]


class LeakPolicy(Strict):
    """How often, for how long and to which share a leak is credited."""

    once_in_years: Cited[Years]
    periods_at_most: Cited[Annotated[int, Field(ge=1, le=12)]]
    share_if_never_reached_sewer: Cited[Share]
    share_if_reached_sewer: Cited[Share]


class PoolPolicy(Strict):
    """How often the filling of a pool is taken off."""

    once_in_years: Cited[Years]


class AdjustmentPolicy(Strict):
    """What is allowed of the entries in the adjustment sheet, from ``effective`` on."""

    effective: dt.date
    leak: LeakPolicy
    pool: PoolPolicy
    kinds_that_expire: Cited[tuple[AdjustmentKind, ...]]

    @property
    def once_in_years(self) -> dict[str, int]:
        """Kind -> years in which it may be credited once."""
        return {"leak": self.leak.once_in_years.value, "pool": self.pool.once_in_years.value}

    @property
    def years_looked_back(self) -> int:
        """How many earlier years' sheets can matter."""
        return max(self.once_in_years.values())


LoadedPolicy = Loaded[AdjustmentPolicy]


def policy_in_force(utility_folders: list[Path], effective: dt.date) -> LoadedPolicy:
    """The policy that holds on ``effective``: of the first of a utility's folders that has one, else the common one.

    Errors: ConfigError if a file cannot be used.
    """
    return in_force(AdjustmentPolicy, [*(folder / FOLDER for folder in utility_folders), COMMON], effective)
