"""The schedule of the year as a table: every setting, rate and share with its source.

Belongs here: laying a loaded schedule out in rows, for the UI and for whoever asks where a figure comes from.
Does not belong here: loading or checking schedules (``rate_tables.schedule``).
"""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir

from assets.stage import stage
from rate_tables.schedule import LoadedSchedule
from validations.tables import RATE_SCHEDULE
from validations.workspace import Year


def _rows(loaded: LoadedSchedule, used_for: str) -> list[dict[str, Any]]:
    schedule = loaded.schedule

    def row(item: str, value: object, source: str) -> dict[str, Any]:
        return {
            "schedule_file": loaded.file, "item": item, "value": str(value), "source": source, "used_for": used_for,
            "effective_date": schedule.effective,
        }  # fmt: skip

    if used_for == "averaging":
        rows = []
        for name in type(schedule.averaging).model_fields:
            cited = getattr(schedule.averaging, name)
            if isinstance(cited.value, dict):
                rows += [row(f"averaging.{name}.{key}", value, cited.source) for key, value in cited.value.items()]
            elif isinstance(cited.value, tuple):
                rows.append(row(f"averaging.{name}", ", ".join(cited.value), cited.source))
            else:
                rows.append(row(f"averaging.{name}", cited.value, cited.source))
        decimals = schedule.rounding.average_decimals
        return [*rows, row("rounding.average_decimals", decimals.value, decimals.source)]
    return [
        *(row(f"charge.{c.code} ($ per {c.per})", c.rate, c.source) for c in schedule.charges),
        *(row(f"local_share.{s.jurisdiction}.{s.charge}", s.share, s.source) for s in schedule.local_shares),
        row("term", schedule.term.value, schedule.term.source),
    ]


@stage(RATE_SCHEDULE, "rates")
def rate_schedule(*, year: Year) -> ir.Table:
    """The averaging rule that builds this year's basis and the rates that hold from its effective date, each with its
    source. No rates here means that none were adopted for the year: its bills are held."""
    rows = _rows(year.averaging, "averaging") + (_rows(year.rates, "charges") if year.rates else [])
    return ibis.memtable(rows, schema=RATE_SCHEDULE.schema)
