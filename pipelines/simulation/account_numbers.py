"""Account numbers: those that the CIS knows, and those that stand in the district's own files.

Belongs here: numbers in a district's style, leading zeros, check digits, who is in the cross-reference sheet.
Does not belong here: whose account it is (``population``), writing the sheet (``delivery``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.simulation.lines import Flags, Ints
from pipelines.simulation.refusal import cannot, shown_as
from validations.district import CheckDigit, District, RegisterReadings
from validations.layout import AtCharacters, FixedWidth, Workbook

_KEPT_SHARE = 0.3


@dataclass(frozen=True)
class Accounts:
    """The accounts of a district. ``known``: the numbers that the CIS has; ``own``: the same accounts in the district's files;
    ``is_in_sheet``: whether its cross-reference sheet names them (False without a sheet)."""

    known: list[str]
    own: list[str]
    is_in_sheet: Flags


def spread_numbers(rng: np.random.Generator, count: int, lowest: int, span: int) -> Ints:
    """``count`` different numbers from ``lowest`` on, in no order."""
    stride = max(1, span // count)
    return rng.permutation(lowest + np.arange(count) * stride + rng.integers(0, stride, count))


def restores_zeros(entry: District) -> bool:
    """Whether the entry says how long an account number is, so that lost zeros come back."""
    return entry.account_numbers.width is not None


def accounts_of(entry: District, rng: np.random.Generator, count: int) -> Accounts:
    """Account numbers in the district's style; zeros lead where its layout shows or restores them.

    Errors: ConfigError if numbers of the entry's width are too few.
    """
    rule, nobody = entry.account_numbers, np.zeros(count, dtype=bool)
    width = rule.width
    if width is None and isinstance(entry.layout, FixedWidth) and isinstance(entry.columns.account, AtCharacters):
        width = min(10, entry.columns.account.width)
    elif width is None and (isinstance(entry.measure, RegisterReadings) or rule.check_digit or rule.cross_reference):
        width = 8
    if width is None:
        texts = _with_tails(entry, rng, count)
        return Accounts(texts, texts, nobody)
    digits = width - (1 if rule.check_digit else 0)
    span = max(3 * 10 ** max(digits - 2, 1), 2 * count)
    if 100 + span > 10**digits:
        raise cannot(
            shown_as(entry),
            "account_numbers.width",
            f"{width} is not enough for {count:,} simulated accounts; simulate fewer accounts.",
        )
    bodies = [f"{number:0{digits}d}" for number in spread_numbers(rng, count, 100, span)]
    own = bodies if rule.check_digit is None else with_check_digit(bodies, rule.check_digit)
    known = own if rule.check_digit is None or rule.check_digit.is_part else bodies
    if rule.cross_reference is None:
        return Accounts(known, own, nobody)
    is_in_sheet = np.ones(count, dtype=bool)
    if rule.cross_reference.others == "keep":
        is_in_sheet = rng.random(count) >= _KEPT_SHARE
    other = _with_tails(entry, rng, count)
    named = [new if is_in else text for new, text, is_in in zip(other, known, is_in_sheet, strict=True)]
    return Accounts(named, own, is_in_sheet)


def _with_tails(entry: District, rng: np.random.Generator, count: int) -> list[str]:
    """Numbers that no layout takes zeros from; a spreadsheet would take a tail for a date."""
    numbers = spread_numbers(rng, count, 100_000, max(800_000, count))
    if isinstance(entry.layout, Workbook):
        return [str(number) for number in numbers]
    return [f"{number}-{tail:02d}" for number, tail in zip(numbers, rng.integers(0, 5, count), strict=True)]


def with_check_digit(bodies: list[str], check: CheckDigit) -> list[str]:
    """Numbers of one length with their check digit at the end."""
    digits = np.array(bodies, dtype=str).view("U1").reshape(len(bodies), -1).astype(np.int64)[:, ::-1]
    place = np.arange(digits.shape[1])
    if check.scheme == "luhn":
        doubled = np.where(place % 2 == 0, 2 * digits, digits)
        wanted = -(doubled - 9 * (doubled > 9)).sum(axis=1) % 10
    else:
        wanted = -(digits * (2 + place % 6)).sum(axis=1) % 11
    return [body + "0123456789X"[last] for body, last in zip(bodies, wanted, strict=True)]


def with_wrong_check_digit(number: str) -> str:
    """The number as a clerk mistyped it."""
    return number[:-1] + ("0" if number[-1] == "X" else str((int(number[-1]) + 1) % 10))
