"""From when on use is irregular: the limits of the rules of review, a dated file with sources.

Belongs here: the shape of the file, finding the one of a billing year.
Does not belong here: the rules (``validations.review``).

Files are called after the day from which they hold. Those in ``review_limits_by_date/common`` hold for a utility that has none.
Limits are for judging what a person should look at: no bill is computed from them.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from rate_tables.config_file import ExactNumber, Strict
from rate_tables.dated_rules import Loaded, in_force
from rate_tables.terms import Cited, Share

FOLDER = "review_limits_by_date"
COMMON = Path(__file__).parent / FOLDER / "common"

Days = Annotated[int, Field(ge=1, le=400)]
Count = Annotated[int, Field(ge=2, le=1000)]
Times = Annotated[ExactNumber, Field(gt=1, le=1000)]
Volume = Annotated[ExactNumber, Field(ge=0, le=1_000_000)]


class Tolerance(Strict):
    """Up to which use a month (the last: whatever it is) how many times the usual is still no surprise."""

    up_to_ccf_a_month: Volume | None
    times: Times


class ReviewLimits(Strict):
    """Every limit, from ``effective`` on. Volumes are CCF a month unless the name says otherwise."""

    effective: dt.date

    gap_days: Cited[Days]
    overlap_days: Cited[Days]
    off_cycle_shorter_than: Cited[Share]
    off_cycle_longer_than: Cited[Times]
    change_out_days: Cited[Days]
    rollover_periods: Cited[Count]
    repeated_periods: Cited[Count]
    estimated_in_a_row: Cited[Count]
    many_meters: Cited[Count]

    tolerance: Cited[tuple[Tolerance, ...]]
    low_times: Cited[Times]
    least_excess_ccf: Cited[Volume]
    least_usual_ccf: Cited[Volume]
    class_times: Cited[Times]
    per_dwelling_unit_ccf: Cited[Volume]
    inactive_ccf: Cited[Volume]

    zero_days: Cited[Days]
    vacant_days: Cited[Days]
    vacant_share: Cited[Share]
    partly_vacant_days: Cited[Days]
    builders_water_days: Cited[Days]
    building_days: Cited[Annotated[int, Field(ge=1, le=3650)]]

    placeholder_nines: Cited[Annotated[int, Field(ge=3, le=9)]]
    placeholder_values: Cited[tuple[Volume, ...]]
    placeholder_times: Cited[Times]
    slip_from: Cited[Times]
    slip_to: Cited[Times]
    as_usual_times: Cited[Times]

    rising_periods: Cited[Count]
    rising_each_times: Cited[Times]
    rising_altogether_times: Cited[Times]
    winter_above_summer_times: Cited[Times]

    unit_ratio_within: Cited[Share]
    district_volume_within: Cited[Share]
    district_accounts_within: Cited[Share]
    district_winter_within: Cited[Share]
    stuck_share: Cited[Share]
    month_missing_share: Cited[Share]
    least_rows_to_judge: Cited[Count]

    least_dollars_a_year: Cited[Volume]
    sampled_share: Cited[Share]

    @field_validator("tolerance")
    @classmethod
    def _falls_with_size(cls, cited: Cited[tuple[Tolerance, ...]]) -> Cited[tuple[Tolerance, ...]]:
        if not cited.value:
            raise ValueError("at least one band, the last one with up_to_ccf_a_month null")
        *bounded, last = cited.value
        limits = [band.up_to_ccf_a_month for band in bounded]
        times = [band.times for band in cited.value]
        if last.up_to_ccf_a_month is not None or None in limits or limits != sorted(set(limits)):  # type: ignore[type-var]
            raise ValueError("bands with rising up_to_ccf_a_month, the last one null")
        if times != sorted(times, reverse=True):
            raise ValueError("times that fall, or stay, as the use grows")
        return cited


LoadedLimits = Loaded[ReviewLimits]


def limits_in_force(utility_folders: list[Path], effective: dt.date) -> LoadedLimits:
    """The limits that hold on ``effective``: of the first of a utility's folders that has any, else the common ones.

    Errors: ConfigError if the file cannot be used.
    """
    return in_force(ReviewLimits, [*(folder / FOLDER for folder in utility_folders), COMMON], effective)
