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

from assets.records.account_numbers import account_number
from rate_tables.exact import stored_as, truncating_divide
from rate_tables.looked_up import looked_up
from validations.district import BillMonth, District, ReadingPairs, RegisterReadings, Usage, Volume
from validations.workspace import Year

LONGEST_PERIOD_DAYS = 400
LARGEST_VOLUME_THOUSANDTHS = 10_000_000_000
_LONGEST_FIELD = 200
_NUMBERS = ("volume", "registered_volume", "reading", "previous_reading", "multiplier")
_NOT_IN_REFERENCE = "account_not_in_cross_reference"
_FIRST_OF_1900 = dt.date(1900, 1, 1)
_AFTER_YEAR = {"refuse": "period_in_the_future", "set_aside": "period_after_year"}


@ibis.udf.scalar.builtin(name="try_strptime", signature=(("string", "string"), "timestamp"))
def _try_strptime(text: str, date_format: str) -> dt.datetime:  # type: ignore[empty-body]
    """DuckDB's try_strptime: null where the text is not a date in that format."""


@dataclass(frozen=True)
class _Value:
    """A value read from text, and which rows it could not be read in, by reason code in order."""

    value: ir.Value
    problems: list[tuple[ir.BooleanValue, str]]


def _settled(records: ir.Table, **values: _Value) -> tuple[ir.Table, dict[str, _Value]]:
    """``values`` as columns of their own, so that DuckDB reads each text once, however many conditions are about it."""
    columns, named = dict[str, ir.Value](), dict[str, list[str]]()
    for name, one in values.items():
        codes = {f"{name}_is_wrong_{n}": is_wrong for n, (is_wrong, _) in enumerate(one.problems)}
        columns |= {f"{name}_value": one.value, **codes}
        named[name] = list(codes)
    settled = records.mutate(**columns)
    return settled, {
        name: _Value(
            settled[f"{name}_value"],
            [(settled[column], code) for column, (_, code) in zip(named[name], one.problems, strict=True)],
        )
        for name, one in values.items()
    }


def _date(text: ir.StringValue, date_format: str) -> _Value:
    parsed = _try_strptime(text, date_format).date()
    # DuckDB takes "infinity" for the first day of 1900, and 18 for a year of four digits.
    is_no_date = ibis.ifelse(parsed <= _FIRST_OF_1900, (parsed.year() < 1000) | ~text.re_search("[0-9]"), False)
    unreadable = parsed.isnull() | is_no_date
    if not re.search(r"[^%A-Za-z]|%[bB]", date_format):
        # Without separators a digit that is missing would move the others: 2018113 is not a date.
        length = len(dt.date(2000, 12, 31).strftime(date_format))
        unreadable = unreadable | (text.length() != length)
    return _Value(parsed, [(unreadable, "date_unreadable")])


def number_text(text: ir.StringValue, volume: Volume) -> ir.StringValue:
    """A number in the district's notation as digits with a point and a minus before them; what is not in that notation
    becomes no number."""
    number = text
    if volume.minus == "after":
        number = ibis.ifelse(number.endswith("-"), ibis.literal("-") + number.left(number.length() - 1), number)
    elif volume.minus == "parentheses":
        inside = number.re_search(r"^\(.*\)$")
        number = ibis.ifelse(inside, ibis.literal("-") + number.substr(1, number.length() - 2), number)
    decimal, thousands = re.escape(volume.decimal_mark), volume.thousands_mark
    if thousands:
        grouped = rf"^[+-]?[0-9]{{1,3}}({re.escape(thousands)}[0-9]{{3}})+({decimal}[0-9]*)?$"
        # Groups of another length than three are no thousands: 1,23 is not 123.
        joined = ibis.ifelse(number.re_search(grouped), number.replace(thousands, ""), number)
        number = ibis.ifelse(number.contains(thousands), joined, number)
    # A point where a comma is the decimal mark separates thousands: 1.234 is not one and a quarter.
    return number.translate(",.", ".,") if volume.decimal_mark == "," else number


def thousandths(
    number: ir.StringValue, volume: Volume, allow_negative: bool, largest: int = LARGEST_VOLUME_THOUSANDTHS
) -> _Value:
    """Volume or reading in thousandths of the unit. ``number``: its ``number_text``."""
    if volume.implied_decimals:
        pattern, too_precise = r"^[+-]?0*[0-9]{1,15}$", ibis.literal(False)
        value = number.try_cast("int64") * 10 ** (3 - volume.implied_decimals)
    else:
        pattern = r"^[+-]?0*[0-9]{1,12}(\.[0-9]*)?$"
        # Nothing shorter than .0001 has more than three decimals.
        too_precise = ibis.ifelse(
            number.contains(".") & (number.length() > 4), number.re_search(r"\.[0-9]{3}[0-9]*[1-9]"), False
        )
        value = (number.try_cast("decimal(18, 3)") * 1000).cast("int64")
    problems = [
        (number == "", "volume_missing"),
        (~number.re_search(pattern), "volume_unreadable"),
        (too_precise, "volume_too_precise"),
        (value.abs() > largest, "volume_out_of_range"),
    ]
    if not allow_negative:
        problems.append((value < 0, "volume_negative"))
    return _Value(ibis.ifelse(number.re_search(pattern), value, ibis.null("int64")), problems)


def _multiplier_thousandths(records: ir.Table, entry: District) -> _Value:
    if entry.columns.multiplier is None:
        return _Value(ibis.literal(1000, "int64"), [])
    text = records.multiplier
    exact = text.re_search(r"^[0-9]{1,5}(\.[0-9]{0,3}0*)?$")
    value = ibis.ifelse(exact, (text.try_cast("decimal(18, 3)") * 1000).cast("int64"), ibis.null("int64"))
    return _Value(value, [((~exact | (value <= 0) | (value > 10_000_000)).fill_null(True), "multiplier_unreadable")])


def multiplied(thousandths: ir.IntegerValue, multiplier_thousandths: ir.IntegerValue) -> _Value:
    """A volume times its meter's multiplier, in thousandths."""
    in_range = thousandths.abs() <= LARGEST_VOLUME_THOUSANDTHS
    product = ibis.ifelse(in_range, thousandths, 0) * multiplier_thousandths
    value = truncating_divide(product, 1000)
    problems = [
        (~in_range | (value.abs() > LARGEST_VOLUME_THOUSANDTHS), "volume_out_of_range"),
        (value * 1000 != product, "volume_too_precise"),
    ]
    return _Value(value, problems)


def _read_type(records: ir.Table, entry: District) -> _Value:
    if entry.columns.read_type is None:
        return _Value(ibis.literal("unknown"), [])
    text = records.read_type
    known = [(text == code, meaning) for code, meaning in entry.read_types.items()]
    meaning = ibis.cases((text == "", entry.read_types.get("", "unknown")), *known, else_=ibis.null("string"))
    return _Value(meaning, [(meaning.isnull(), "read_type_unknown")])


def _period(records: ir.Table, entry: District) -> tuple[_Value, _Value]:
    """First day, and first day after; a reading has only the second."""
    columns, never = entry.columns, list[tuple[ir.BooleanValue, str]]()
    if entry.month_columns:
        return _Value(records.month_start, never), _Value(records.month_end, never)
    if isinstance(entry.measure, RegisterReadings):
        return _Value(ibis.null("date"), never), _date(records.read_date, entry.date_format)
    if columns.bill_month is not None and entry.bill_month is not None:
        return _months_of_bill(records.bill_month, entry.bill_month)
    if columns.days is not None:
        end = _date(records.read_date, entry.date_format)
        is_whole = records.days.re_search(r"^[0-9]{1,4}$")
        days = ibis.ifelse(is_whole, records.days, "0").cast("int64")
        return _Value(stored_as(end.value - days.as_interval("D"), "date"), [(~is_whole, "days_unreadable")]), end
    start, end = _date(records.period_start, entry.date_format), _date(records.period_end, entry.date_format)
    if entry.period_end_is == "last_day":
        end = _Value(stored_as(end.value + ibis.interval(days=1), "date"), end.problems)
    return start, end


def _months_of_bill(text: ir.StringValue, rule: BillMonth) -> tuple[_Value, _Value]:
    month = _date(text, rule.format)
    named = month.value.truncate("M")
    end = named + ibis.interval(months=1) if rule.names == "last_month" else named
    start = end - ibis.interval(months=rule.months)
    return _Value(stored_as(start, "date"), []), _Value(stored_as(end, "date"), month.problems)


def typed_records(records: ir.Table, entry: District, year: Year, known_accounts: ir.Table | None = None) -> ir.Table:
    """Text records with their values, and ``reason_code`` where one of them cannot be used.

    ``known_accounts``: the usable rows of the cross-reference sheet (account, known_as), if the entry has one.

    Columns: where it stands (source_*), reason_code, district_account, meter_id, register_id, period_start,
    period_end (null start for a reading), registered_thousandths and billed_thousandths (with the multiplier; of a reading
    without), multiplier_thousandths, opening_thousandths (the previous reading in the same row, else null),
    delivered_quantity_thousandths (as it stands in the file), read_type.
    """
    columns, own = entry.columns, account_number(records.account, entry.account_numbers)
    # As columns of their own, so that DuckDB rewrites each text once, however often it is asked for.
    numbers = {name: number_text(records[name], entry.volume) for name in _NUMBERS if name in records.columns}
    records, settled = _settled(records.mutate(**numbers), account=_Value(own.value, own.problems))
    account = settled["account"]
    if known_accounts is not None:
        records = looked_up(records, known_accounts.rename(account_value="account"), "account_value", "known_as")
        account = _known_account(records, account, entry)
    meter = records.meter if entry.has_meter_ids else ibis.literal("")
    register = ibis.literal("")
    if columns.register_id is not None:
        register = records.register_id
    elif columns.registers > 1:
        register = records.register_place.cast("string")
    measure, allow_negative = entry.measure, entry.volume.negative == "credit"
    values = dict[str, _Value]()
    if isinstance(measure, Usage):
        values["quantity"] = thousandths(records.volume, entry.volume, allow_negative)
    else:
        highest = 10**measure.dials * 1000 - 1
        values["quantity"] = thousandths(records.reading, entry.volume, allow_negative, largest=highest)
        if isinstance(measure, ReadingPairs):
            values["opening"] = thousandths(records.previous_reading, entry.volume, allow_negative, largest=highest)
    if columns.registered_volume is not None:
        values["registered"] = thousandths(records.registered_volume, entry.volume, allow_negative=True)
    values["multiplier"], values["read_type"] = _multiplier_thousandths(records, entry), _read_type(records, entry)
    values["start"], values["end"] = _period(records, entry)
    records, settled = _settled(records, **values)
    quantity, multiplier, read_type = settled["quantity"], settled["multiplier"], settled["read_type"]
    start, end = settled["start"], settled["end"]
    opening = settled.get("opening", _Value(ibis.null("int64"), []))
    registered = settled.get("registered", _Value(quantity.value, []))
    billed, measured = _Value(quantity.value, []), _Value(registered.value, [])
    if columns.multiplier is not None and isinstance(measure, Usage):
        billed, measured = (multiplied(volume.value, multiplier.value) for volume in (quantity, registered))

    ids = [meter] if columns.register_id is None else [meter, register]
    problems: list[tuple[ir.BooleanValue, str]] = [
        (records.has_control, "control_character"),
        (records.account == "", "account_missing"),
        (records.account.re_search(r"^[=+@-]"), "account_is_formula"),
        *((text.length() > _LONGEST_FIELD, "field_too_long") for text in (records.account, *ids)),
    ]
    if columns.registers > 1:
        written = records.volume if isinstance(measure, Usage) else records.reading
        problems.append(((records.register_place > 1) & (written == ""), "no_register"))
    problems += [
        *account.problems,
        *start.problems,
        *end.problems,
        (end.value <= start.value, "period_backward"),
        (end.value.delta(start.value, unit="day") > LONGEST_PERIOD_DAYS, "period_too_long"),
        (end.value > year.effective, _AFTER_YEAR[entry.after_effective_date]),
    ]
    if entry.month_columns:
        problems.append((records.volume == "", "empty_month"))
    if columns.unit is not None:
        problems.append((~records.unit.isin(list(entry.volume.written_as)), "unit_unknown"))
    problems += [
        *quantity.problems,
        *opening.problems,
        *registered.problems,
        *multiplier.problems,
        *billed.problems,
        *measured.problems,
    ]
    problems += read_type.problems
    return records.select(
        "source_file", "source_row", "source_column",
        reason_code=ibis.cases((records.problem.notnull(), records.problem), *problems, else_=ibis.null("string")),
        district_account=account.value,
        meter_id=meter,
        register_id=register,
        period_start=start.value,
        period_end=end.value,
        registered_thousandths=measured.value,
        billed_thousandths=billed.value,
        multiplier_thousandths=multiplier.value,
        opening_thousandths=opening.value,
        delivered_quantity_thousandths=quantity.value,
        read_type=read_type.value,
    )  # fmt: skip


def _known_account(records: ir.Table, own: _Value, entry: District) -> _Value:
    """The account as the CIS knows it, by the cross-reference sheet."""
    known, reference = records.known_as, entry.account_numbers.cross_reference
    is_refused = [] if reference is None or reference.others == "keep" else [(known.isnull(), _NOT_IN_REFERENCE)]
    return _Value(ibis.coalesce(known, own.value), [*own.problems, *is_refused])
