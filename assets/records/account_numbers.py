"""Account numbers: from the number in the file to the number that the CIS knows.

Belongs here: leading zeros, check digits, the cross-reference sheet, in the order in which they apply.
Does not belong here: which service an account has (``service_consumption``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from assets.readers.sheet import Sheet
from assets.records.fields import index_of
from validations.district import AccountNumbers, CheckDigit, CrossReference

_LONGEST_CHECKED = 30
_UNSAFE = r"^[=+@\-]|[\x00-\x1f\x7f]"


@ibis.udf.scalar.builtin(name="list_inner_product", signature=(("array<float64>", "array<float64>"), "float64"))
def _inner_product(values: list[float], weights: list[float]) -> float:  # type: ignore[empty-body]
    """Sum of the products of two lists; exact for whole numbers as small as these."""


def _weighted_sum(digits: ir.StringValue, weight: Callable[[int], int]) -> ir.IntegerValue:
    """Sum over the digits of what each is worth times the weight of its place from the right, the last being 0."""
    of_each = digits.lpad(_LONGEST_CHECKED, "0").split("").cast("array<float64>")
    weights = [float(weight(place)) for place in reversed(range(_LONGEST_CHECKED))]
    return _inner_product(of_each, ibis.literal(weights, type="array<float64>")).cast("int64")  # type: ignore[no-any-return]


def _luhn(digits: ir.StringValue) -> ir.BooleanValue:
    # Every second digit counts double, and of a result above 9 its digits are added.
    doubled = digits.translate("0123456789", "0246813579")
    return (_weighted_sum(digits, lambda p: (p + 1) % 2) + _weighted_sum(doubled, lambda p: p % 2)) % 10 == 0  # type: ignore[no-any-return]


def _mod11(digits: ir.StringValue) -> ir.BooleanValue:
    body, check = digits.left(digits.length() - 1), digits.right(1)
    wanted = (ibis.literal(11) - _weighted_sum(body, lambda place: place % 6 + 2) % 11) % 11
    return check == ibis.ifelse(wanted == 10, "X", wanted.cast("string"))  # type: ignore[no-any-return]


def _check_digit_is_wrong(number: ir.StringValue, check: CheckDigit) -> ir.BooleanValue:
    shape = number.re_search(rf"^[0-9]{{1,{_LONGEST_CHECKED - 1}}}[0-9X]$")
    if check.scheme == "luhn":
        shape = number.re_search(rf"^[0-9]{{2,{_LONGEST_CHECKED}}}$")
    # The sum is taken of digits only: another text would end the whole query.
    digits = ibis.ifelse(shape, number, "00")
    return ~shape | ~(_luhn(digits) if check.scheme == "luhn" else _mod11(digits))


@dataclass(frozen=True)
class AccountNumber:
    """An account number as the CIS knows it, and where it cannot be used, by reason code in order."""

    value: ir.StringValue
    problems: list[tuple[ir.BooleanValue, str]]


def account_number(text: ir.StringValue, rule: AccountNumbers) -> AccountNumber:
    """The number with its zeros and without what the CIS does not know of it; still without the cross-reference."""
    number, problems = text, []
    if rule.width is not None:
        # A check digit of modulus 11 may be an X.
        lacks_zeros = text.re_search("^[0-9]+X?$") & (text.length() < rule.width)
        number = ibis.ifelse(lacks_zeros, text.lpad(rule.width, "0"), text)
        problems.append((number.length() > rule.width, "account_too_long"))
    if rule.check_digit is not None:
        problems.append((_check_digit_is_wrong(number, rule.check_digit), "check_digit_wrong"))
        if not rule.check_digit.is_part:
            number = number.left(number.length() - 1)
    return AccountNumber(number, problems)


@dataclass(frozen=True)
class CrossReferenceRows:
    """What a cross-reference sheet says.

    ``usable``: one row per account (account, known_as). ``refused``: rows that cannot be used (source_row, raw_text,
    reason_code).
    """

    usable: ir.Table
    refused: ir.Table


def cross_reference_rows(sheet: Sheet, rule: AccountNumbers, reference: CrossReference) -> CrossReferenceRows:
    """The sheet's rows. UnreadableFile if its header lacks a column."""
    delivered = index_of(reference.delivered, "delivered", sheet.header)
    known_as = index_of(reference.known_as, "known_as", sheet.header)
    rows = sheet.rows.mutate(
        delivered=sheet.rows.fields[delivered].fill_null("").strip(),
        known_as=sheet.rows.fields[known_as].fill_null("").strip(),
    )
    number = account_number(rows.delivered, rule)
    unusable = (rows.delivered == "") | (rows.known_as == "")
    for text in (rows.delivered, rows.known_as):
        unusable = unusable | text.re_search(_UNSAFE) | (text.length() > 200)
    for problem, _ in number.problems:
        unusable = unusable | problem
    unusable = unusable | rows.problem.notnull()
    read = rows.select(
        "source_row", "raw_text", "known_as",
        account=number.value,
        reason_code=ibis.ifelse(unusable, "cross_reference_unusable", ibis.null("string")),
    )  # fmt: skip
    good = read.filter(read.reason_code.isnull())
    names = good.group_by("account").agg(names=good.known_as.nunique())
    torn = names.filter(names["names"] > 1)
    usable = good.anti_join(torn, "account").select("account", "known_as").distinct()
    refused = ibis.union(
        read.filter(read.reason_code.notnull()).select("source_row", "raw_text", "reason_code"),
        good.semi_join(torn, "account").select(
            "source_row", "raw_text", reason_code=ibis.literal("cross_reference_ambiguous")
        ),
    )
    return CrossReferenceRows(usable, refused)
