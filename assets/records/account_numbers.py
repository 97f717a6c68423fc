"""Account numbers: from the number in the file to the number that the CIS knows.

Belongs here: leading zeros, check digits, the cross-reference sheet, in the order in which they apply.
Does not belong here: which service an account has (``service_consumption``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add

import ibis
import ibis.expr.types as ir

from assets.readers.sheet import Sheet
from assets.records.fields import index_of
from rate_tables.exact import truncating_divide
from validations.district import AccountNumbers, CheckDigit, CrossReference

_LONGEST_CHECKED = 30
_DIGITS_OF_INT64 = 15
_UNSAFE = r"^[=+@\-]|[\x00-\x1f\x7f]"


def _weighted_sum(digits: ir.StringValue, weight: Callable[[int], int], longest: int) -> ir.IntegerValue:
    """Sum over the digits of what each is worth times the weight of its place from the right, the last being 0. Of numbers longer
    than ``longest`` it says nothing."""
    if longest <= _DIGITS_OF_INT64:
        parts = [digits]
    else:
        padded = digits.lpad(2 * _DIGITS_OF_INT64, "0")
        parts = [padded.right(_DIGITS_OF_INT64), padded.left(_DIGITS_OF_INT64)]
    return reduce(
        add,
        (
            truncating_divide(parts[place // _DIGITS_OF_INT64].try_cast("int64"), 10 ** (place % _DIGITS_OF_INT64))
            % 10
            * weight(place)
            for place in range(longest)
            if weight(place)
        ),
    )


def _luhn(digits: ir.StringValue, longest: int) -> ir.BooleanValue:
    # Every second digit counts double, and of a result above 9 its digits are added.
    doubled = digits.translate("0123456789", "0246813579")
    single, double = (
        _weighted_sum(text, lambda p, odd=odd: int(p % 2 == odd), longest)  # type: ignore[misc]
        for odd, text in enumerate((digits, doubled))
    )
    return (single + double) % 10 == 0  # type: ignore[no-any-return]


def _mod11(digits: ir.StringValue, longest: int) -> ir.BooleanValue:
    body, check = digits.left(digits.length() - 1), digits.right(1)
    wanted = (ibis.literal(11) - _weighted_sum(body, lambda place: place % 6 + 2, longest - 1) % 11) % 11
    return wanted == ibis.ifelse(check == "X", 10, check.try_cast("int64"))  # type: ignore[no-any-return]


def _check_digit_is_wrong(number: ir.StringValue, rule: AccountNumbers, check: CheckDigit) -> ir.BooleanValue:
    shape = number.re_search(rf"^[0-9]{{1,{_LONGEST_CHECKED - 1}}}[0-9X]$")
    if check.scheme == "luhn":
        shape = number.re_search(rf"^[0-9]{{2,{_LONGEST_CHECKED}}}$")
    # The sum is taken of digits only: of another text there is none.
    digits, longest = ibis.ifelse(shape, number, "00"), rule.width or _LONGEST_CHECKED
    return ~shape | ~(_luhn(digits, longest) if check.scheme == "luhn" else _mod11(digits, longest))


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
        problems.append((_check_digit_is_wrong(number, rule, rule.check_digit), "check_digit_wrong"))
        if not rule.check_digit.is_part:
            number = number.left(number.length() - 1)
    return AccountNumber(number, problems)


def reference_rows(sheet: Sheet, rule: AccountNumbers, reference: CrossReference) -> ir.Table:
    """Rows of a cross-reference sheet: source_row, raw_text, account, known_as, and reason_code where the row cannot be used.
    UnreadableFile if its header lacks a column."""
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
    return rows.select(
        "source_row", "raw_text", "known_as",
        account=number.value,
        reason_code=ibis.ifelse(unusable, "cross_reference_unusable", ibis.null("string")),
    )  # fmt: skip


def _torn(good: ir.Table) -> ir.Table:
    """Accounts that stand under two numbers."""
    names = good.group_by("account").agg(names=good.known_as.nunique())
    return names.filter(names["names"] > 1)


def known_accounts(reference_rows: ir.Table) -> ir.Table:
    """One row per account that the sheet names (account, known_as)."""
    good = reference_rows.filter(reference_rows.reason_code.isnull())
    return good.anti_join(_torn(good), "account").select("account", "known_as").distinct()


def refused_references(reference_rows: ir.Table) -> ir.Table:
    """Rows of the sheet that cannot be used: source_row, raw_text, reason_code."""
    good = reference_rows.filter(reference_rows.reason_code.isnull())
    return ibis.union(
        reference_rows.filter(reference_rows.reason_code.notnull()).select("source_row", "raw_text", "reason_code"),
        good.semi_join(_torn(good), "account").select(
            "source_row", "raw_text", reason_code=ibis.literal("cross_reference_ambiguous")
        ),
    )
