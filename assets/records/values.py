"""Values of a record: text to dates, volumes and read types, and the reason where it cannot be read.

Belongs here: notation of dates and numbers, limits of what a value may be.
Does not belong here: rows that meet other rows (``comparison``).
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from rate_tables.exact import stored_as
from validations.district import District, RegisterReadings, Volume
from validations.workspace import Year

LONGEST_PERIOD_DAYS = 400
_LARGEST_VOLUME_THOUSANDTHS = 10_000_000_000
_LONGEST_FIELD = 200


@ibis.udf.scalar.builtin(name="try_strptime", signature=(("string", "string"), "timestamp"))
def _try_strptime(text: str, date_format: str) -> dt.datetime:  # type: ignore[empty-body]
    """DuckDB's try_strptime: null where the text is not a date in that format."""


@dataclass(frozen=True)
class _Value:
    """A value read from text, and which rows it could not be read in, by reason code in order."""

    value: ir.Value
    problems: list[tuple[ir.BooleanValue, str]]


def _date(text: ir.StringValue, date_format: str) -> _Value:
    parsed = _try_strptime(text, date_format).date()
    # DuckDB takes "infinity" for a date, and 18 for a year of four digits.
    unreadable = parsed.isnull() | (parsed.year() < 1000) | ~text.re_search("[0-9]")
    if not re.search(r"[^%A-Za-z]", date_format):
        # Without separators a digit that is missing would move the others: 2018113 is not a date.
        length = len(dt.date(2000, 12, 31).strftime(date_format))
        unreadable = unreadable | (text.length() != length)
    return _Value(parsed, [(unreadable, "date_unreadable")])


def thousandths(
    text: ir.StringValue, volume: Volume, allow_negative: bool, largest: int = _LARGEST_VOLUME_THOUSANDTHS
) -> _Value:
    """Volume or reading in thousandths of the unit."""
    # A point where a comma is the decimal mark separates thousands: 1.234 is not one and a quarter.
    number = text.translate(",.", ".,") if volume.decimal_mark == "," else text
    if volume.implied_decimals:
        pattern, too_precise = r"^[+-]?[0-9]{1,15}$", ibis.literal(False)
        value = number.try_cast("int64") * 10 ** (3 - volume.implied_decimals)
    else:
        pattern, too_precise = r"^[+-]?[0-9]{1,12}(\.[0-9]*)?$", number.re_search(r"\.[0-9]{3}[0-9]*[1-9]")
        value = (number.try_cast("decimal(18, 3)") * 1000).cast("int64")
    problems = [
        (text == "", "volume_missing"),
        (~number.re_search(pattern), "volume_unreadable"),
        (too_precise, "volume_too_precise"),
        (value.abs() > largest, "volume_out_of_range"),
    ]
    if not allow_negative:
        problems.append((value < 0, "volume_negative"))
    return _Value(ibis.ifelse(number.re_search(pattern), value, ibis.null("int64")), problems)


def _read_type(records: ir.Table, entry: District) -> _Value:
    if entry.columns.read_type is None:
        return _Value(ibis.literal("unknown"), [])
    text = records.read_type
    known = [(text == code, meaning) for code, meaning in entry.read_types.items()]
    meaning = ibis.cases((text == "", entry.read_types.get("", "unknown")), *known, else_=ibis.null("string"))
    return _Value(meaning, [(meaning.isnull(), "read_type_unknown")])


def typed_records(records: ir.Table, entry: District, year: Year) -> ir.Table:
    """Text records with their values, and ``reason_code`` where one of them cannot be used.

    Columns: where it stands (source_*), raw_text, reason_code, district_account, meter_id, period_start, period_end (null
    start for a reading), registered_thousandths, delivered_quantity_thousandths, read_type.
    """
    account = records.account
    meter = records.meter if entry.has_meter_ids else ibis.literal("")
    allow_negative = entry.volume.negative == "credit"
    if is_reading := isinstance(entry.measure, RegisterReadings):
        quantity = thousandths(
            records.reading, entry.volume, allow_negative, largest=10**entry.measure.dials * 1000 - 1
        )
    else:
        quantity = thousandths(records.volume, entry.volume, allow_negative)
    registered = quantity
    if entry.columns.registered_volume is not None:
        registered = thousandths(records.registered_volume, entry.volume, allow_negative=True)
    read_type = _read_type(records, entry)

    never: list[tuple[ir.BooleanValue, str]] = []
    if entry.month_columns:
        start, end = _Value(records.month_start, never), _Value(records.month_end, never)
    elif is_reading:
        start, end = _Value(ibis.null("date"), never), _date(records.read_date, entry.date_format)
    else:
        start = _date(records.period_start, entry.date_format)
        end = _date(records.period_end, entry.date_format)
        if entry.period_end_is == "last_day":
            end = _Value(stored_as(end.value + ibis.interval(days=1), "date"), end.problems)

    problems: list[tuple[ir.BooleanValue, str]] = [
        (records.raw_text.re_search(r"[\x00-\x08\x0b-\x1f\x7f]"), "control_character"),
        (account.re_search(r"[\t\n]") | meter.re_search(r"[\t\n]"), "control_character"),
        (account == "", "account_missing"),
        (account.re_search(r"^[=+@-]"), "account_is_formula"),
        ((account.length() > _LONGEST_FIELD) | (meter.length() > _LONGEST_FIELD), "field_too_long"),
        *start.problems,
        *end.problems,
        (end.value <= start.value, "period_backward"),
        (end.value.delta(start.value, unit="day") > LONGEST_PERIOD_DAYS, "period_too_long"),
        (end.value > year.effective, "period_in_the_future"),
    ]
    if entry.month_columns:
        problems.append((records.volume == "", "empty_month"))
    problems += [*quantity.problems, *registered.problems, *read_type.problems]
    return records.select(
        "source_file", "source_row", "source_column", "raw_text",
        reason_code=ibis.cases((records.problem.notnull(), records.problem), *problems, else_=ibis.null("string")),
        district_account=account,
        meter_id=meter,
        period_start=start.value,
        period_end=end.value,
        registered_thousandths=registered.value,
        delivered_quantity_thousandths=quantity.value,
        read_type=read_type.value,
    )  # fmt: skip
