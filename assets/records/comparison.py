"""Records that meet other records: repetitions, contradictions, and the reading before.

Belongs here: what can be told of a record only beside the others of its district.
Does not belong here: reading a value (``values``), correcting one: a record that cannot be used is refused with a reason.
"""

from __future__ import annotations

import datetime as dt

import ibis
import ibis.expr.types as ir

from assets.records.values import LONGEST_PERIOD_DAYS, multiplied
from rate_tables.exact import whole
from rate_tables.looked_up import looked_up
from validations.district import District, ReadingPairs, RegisterReadings

_WHERE = ["source_file", "source_row", "source_column"]
_PERIOD = ["district_account", "meter_id", "register_id", "period_start", "period_end"]
_OF_USE = ("reason_code", "period_start", "registered_thousandths", "billed_thousandths")
_EVERYTHING = [
    *_PERIOD,
    "opening_thousandths",
    "registered_thousandths",
    "delivered_quantity_thousandths",
    "read_type",
]


@ibis.udf.scalar.builtin(name="hash", signature=(("string", "string", "string", "date", "date"), "uint64"))
def _hash_of_period(account: str, meter: str, register: str, start: dt.date, end: dt.date) -> int:  # type: ignore[empty-body]
    """DuckDB's hash: the same for equal values, missing ones too."""


def compares(entry: District) -> bool:
    """Whether records of a district are compared with each other at all."""
    return entry.exact_duplicate == "duplicate" or entry.same_period_other_values == "refuse"


def may_be_repeated(records: ir.Table) -> ir.Table:
    """Records whose meter and period may stand more than once: comparing every one would sort the whole delivery."""
    good = records.filter(records.reason_code.isnull())
    hashed = good.mutate(period_hash=_hash_of_period(*(good[name] for name in _PERIOD)))
    repeated = hashed.group_by("period_hash").agg(times=ibis._.count()).filter(ibis._.times > 1)
    return hashed.semi_join(repeated, "period_hash").select(*_WHERE, *_EVERYTHING)


def repetitions(near: ir.Table, entry: District) -> ir.Table:
    """Where (source_*) an exact repetition stands, and the same meter and period with other values, and the ``code`` of which it is.

    The first of equal rows (by file and row) stays. Of rows that contradict each other none stays, unless the entry says
    that they are registers to be added. ``near``: of ``may_be_repeated``.
    """
    found = list[ir.Table]()
    if entry.exact_duplicate == "duplicate":
        ranked = _null_safe_keys(near, _EVERYTHING)
        ranked = ranked.mutate(rank=ibis.row_number().over(group_by="row_key", order_by=_WHERE))
        again = ranked.filter(ranked.rank > 0)
        found.append(again.select(*_WHERE, code=ibis.literal("exact_duplicate")))
        near = near.anti_join(again, _WHERE)
    if entry.same_period_other_values == "refuse":
        keyed = _null_safe_keys(near, _PERIOD)
        contradicting = (
            keyed.group_by("row_key")
            .agg(values=ibis._.delivered_quantity_thousandths.nunique(), times=ibis._.count())
            .filter((ibis._.times > 1) & ((ibis._["values"] > 1) | (entry.exact_duplicate == "duplicate")))
        )
        both = keyed.semi_join(contradicting, "row_key")
        found.append(both.select(*_WHERE, code=ibis.literal("same_period_other_values")))
    return ibis.union(*found) if len(found) > 1 else found[0]


def _null_safe_keys(table: ir.Table, columns: list[str]) -> ir.Table:
    """``table`` with one text key of ``columns``; the separator is a control character, which no accepted row holds."""
    parts = [table[c].cast("string").fill_null("") for c in columns]
    return table.mutate(row_key=ibis.literal("\x1f").join(parts))


def _is_refused_step(
    now: ir.IntegerValue, before: ir.IntegerValue, measure: RegisterReadings | ReadingPairs
) -> ir.BooleanValue:
    """Whether a register went back further than a rollover explains."""
    return (now < before) & (now - before + _full_turn(measure) > whole(measure.rollover_at_most, 3))


def _full_turn(measure: RegisterReadings | ReadingPairs) -> int:
    """What a register counts until it shows zero again, in thousandths."""
    return 10**measure.dials * 1000


def use_of_reading_pairs(records: ir.Table, measure: ReadingPairs) -> ir.Table:
    """The two readings of each record as the use between them. A backward step is a rollover if the use it gives is at most
    ``rollover_at_most``; else the record is refused."""
    now, before = records.delivered_quantity_thousandths, records.opening_thousandths
    use = now - before
    rolled = (use < 0).fill_null(False)
    volume = multiplied(ibis.ifelse(rolled, use + _full_turn(measure), use), records.multiplier_thousandths)
    return records.mutate(
        reason_code=ibis.cases(
            (records.reason_code.notnull(), records.reason_code),
            (_is_refused_step(now, before, measure), "reading_backward"),
            *volume.problems,
            else_=ibis.null("string"),
        ),
        registered_thousandths=volume.value,
        billed_thousandths=volume.value,
        is_rollover=rolled,
    )


def use_between_readings(records: ir.Table, measure: RegisterReadings) -> ir.Table:
    """Register readings as use: each reading closes the period that the meter's reading before it opened.

    A first reading, or one that the district marks as opening, opens a period and has no use. A backward step is a rollover
    if the use it gives is at most ``rollover_at_most``; else it is refused, and so is the reading after it if that is at or
    above the one before, because then nobody can tell which of the three is wrong.
    """
    # Records that cannot be used form series of their own, which nobody looks at: joining the others' use to them takes longer.
    records = records.mutate(is_good=records.reason_code.isnull())
    series = ibis.window(
        group_by=["is_good", "district_account", "meter_id", "register_id"],
        order_by=["period_end", "source_file", "source_row"],
    )
    reading = records.delivered_quantity_thousandths
    stepped = records.mutate(
        previous=reading.lag(1).over(series),
        before_previous=reading.lag(2).over(series),
        previous_opens=(records.read_type == "opening").lag(1).over(series),
        previous_date=records.period_end.lag(1).over(series),
        previous_multiplier=records.multiplier_thousandths.lag(1).over(series),
    )
    use = stepped.delivered_quantity_thousandths - stepped.previous
    rolled = use < 0
    opens = stepped.previous.isnull() | (stepped.read_type == "opening")
    doubtful = (
        ~stepped.previous_opens
        & _is_refused_step(stepped.previous, stepped.before_previous, measure)
        & (stepped.delivered_quantity_thousandths >= stepped.before_previous)
    )
    too_long = stepped.period_end.delta(stepped.previous_date, unit="day") > LONGEST_PERIOD_DAYS
    turned = ibis.ifelse(rolled, use + _full_turn(measure), use)
    volume = multiplied(turned, stepped.multiplier_thousandths)
    used = ibis.ifelse(stepped.is_good, volume.value, ibis.null("int64"))
    return stepped.select(
        *(name for name in records.columns if name not in (*_OF_USE, "is_good")),
        reason_code=ibis.cases(
            (~stepped.is_good, stepped.reason_code),
            (opens, "opening_reading"),
            (_is_refused_step(stepped.delivered_quantity_thousandths, stepped.previous, measure), "reading_backward"),
            (doubtful.fill_null(False), "reading_backward"),
            (too_long, "period_too_long"),
            (stepped.multiplier_thousandths != stepped.previous_multiplier, "multiplier_changed"),
            *volume.problems,
            else_=ibis.null("string"),
        ),
        period_start=ibis.ifelse(stepped.is_good, stepped.previous_date, ibis.null("date")),
        registered_thousandths=used,
        billed_thousandths=used,
        is_rollover=stepped.is_good & rolled.fill_null(False),
    )


def classified_records(records: ir.Table, entry: District, repeated: ir.Table | None = None) -> ir.Table:
    """Typed records of all files of a district, each consumption (reason_code null) or with the reason why not.

    ``repeated``: of ``repetitions``; None if there are none.
    """
    told_apart = records
    if repeated is not None:
        judged = looked_up(records, repeated, _WHERE, "code")
        told_apart = judged.mutate(reason_code=ibis.coalesce(judged.reason_code, judged.code)).drop("code")
    if isinstance(entry.measure, RegisterReadings):
        return use_between_readings(told_apart, entry.measure)
    if isinstance(entry.measure, ReadingPairs):
        return use_of_reading_pairs(told_apart, entry.measure)
    return told_apart.mutate(is_rollover=ibis.literal(False))
