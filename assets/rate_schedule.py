"""The schedules of the year as a table: every setting, rate and share with its source.

Belongs here: giving the table the schedules that the year uses.
Does not belong here: loading or checking schedules (``rate_tables.schedule``), laying one out (``rate_tables.laid_out``).
"""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir

from assets.stage import stage
from rate_tables.laid_out import Item, authority_items, averaging_items, charge_items
from rate_tables.schedule import LoadedSchedule
from validations.tables import RATE_SCHEDULE
from validations.workspace import Year


def _rows(loaded: LoadedSchedule, items: list[Item], used_for: str) -> list[dict[str, Any]]:
    return [
        {
            "schedule_file": loaded.file, "item": item.item if item.part != "authority" else f"authority.{item.item}",
            "value": item.value, "counted_in": item.counted, "source": item.source, "used_for": used_for,
            "effective_date": loaded.schedule.effective, "status": loaded.schedule.status,
        }
        for item in items
    ]  # fmt: skip


@stage(RATE_SCHEDULE, "rates")
def rate_schedule(*, year: Year) -> ir.Table:
    """The averaging rule that builds this year's basis and the rates that hold in the year, each with its source.

    Several schedules where rates change inside the year. No rates here means that none were adopted: bills are held.
    """
    rows = _rows(year.averaging, averaging_items(year.averaging.schedule), "averaging")
    for period in year.rate_periods:
        if period.schedule is not None:
            rows += _rows(period.schedule, authority_items(period.schedule), "charges")
            rows += _rows(period.schedule, charge_items(period.schedule.schedule), "charges")
    return ibis.memtable(rows, schema=RATE_SCHEDULE.schema)
