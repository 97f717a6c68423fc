"""Exact arithmetic on whole numbers, in table expressions.

Belongs here: scales of whole numbers, exact integer division, the one rounding function.
Does not belong here: which quantity is rounded to what (the schedule says that).

Money and volume are whole numbers of a small unit, and the column's name ends in that unit: ``amount_cents``,
``billed_volume_thousandths``. They become decimals only where a person or another system reads them.

A sum of 64-bit integers is 128 bits wide in DuckDB, and stays so through the products and the division that follow it;
the result is narrowed where the table is cast to its declared schema, loudly if it does not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

DECIMALS_OF_SUFFIX = {
    "_cents": 2,
    "_thousandths": 3,
    "_ten_thousandths": 4,
    "_millionths": 6,
}
"""Name ending of a whole-number column -> decimals that it has where it is published."""


def scale_of(column_name: str) -> tuple[str, int | None]:
    """Name under which a column is published, and its decimals (None: published as it is)."""
    for suffix in sorted(DECIMALS_OF_SUFFIX, key=len, reverse=True):
        if column_name.endswith(suffix):
            return column_name.removesuffix(suffix), DECIMALS_OF_SUFFIX[suffix]
    return column_name, None


def whole(value: Decimal, decimals: int) -> int:
    """``value`` as a whole number of 10^-decimals. ValueError if it has more decimals than that."""
    scaled = value.scaleb(decimals)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{value} has more than {decimals} decimals")
    return int(scaled)


def stored_as(value: ir.Value, dtype: Any) -> Any:
    """``value`` cast to ``dtype`` by the engine, even where Ibis believes that it has this type already.

    ``Value.cast()`` leaves such a cast out; but a sum that Ibis calls int64 is 128 bits wide in DuckDB (Parquet would hold it
    as a double), and a date plus an interval that Ibis calls a date is a timestamp.
    """
    return ops.Cast(value, to=dt.dtype(dtype)).to_expr()


@ibis.udf.scalar.builtin(name="divide", signature=(("int64", "int64"), "int64"))
def truncating_divide(numerator: int, denominator: int) -> int:  # type: ignore[empty-body]
    """Whole-number division, cut towards zero. Ibis ``//`` would go through doubles and be off by units at 10^17."""


def divide_wide(numerator: ir.IntegerValue, denominator: ir.IntegerValue | int) -> ir.IntegerValue:
    """``truncating_divide`` of figures that may need 128 bits: few do, and dividing those takes DuckDB a hundred times as long."""

    def narrow(value: ir.IntegerValue | int) -> ir.IntegerValue | int:
        return value if isinstance(value, int) else ops.TryCast(value, to=dt.int64).to_expr()  # type: ignore[no-any-return]

    return ibis.coalesce(  # type: ignore[no-any-return]
        truncating_divide(narrow(numerator), narrow(denominator)), truncating_divide(numerator, denominator)
    )


def round_half_away(
    numerator: ir.IntegerValue,
    denominator: ir.IntegerValue | int,
    divide: Callable[..., ir.IntegerValue] = truncating_divide,
) -> ir.IntegerValue:
    """numerator / denominator, rounded to a whole number; a half goes away from zero.

    So 2.5 becomes 3 and -2.5 becomes -3: a credit is the mirror image of the charge it reverses.
    ``denominator`` is positive. Null in, null out.
    """
    half = divide(denominator, 2) if not isinstance(denominator, int) else denominator // 2
    shifted = ibis.ifelse(numerator < 0, numerator - half, numerator + half)
    return divide(shifted, denominator)


def part_of(
    whole_number: ir.IntegerValue, begin: ir.IntegerValue | int, end: ir.IntegerValue | int, of: ir.IntegerValue | int
) -> ir.IntegerValue:
    """The part of a whole number from ``begin`` to ``end`` of ``of``; parts laid end to end add to it exactly. ``of`` is positive."""
    # Most parts begin at the first or end with the last: nothing has to be divided there, and dividing is what takes the time.
    until_end = ibis.ifelse(end == of, whole_number, round_half_away(whole_number * end, of))
    until_begin = ibis.ifelse(begin == 0, 0, round_half_away(whole_number * begin, of))
    return until_end - until_begin  # type: ignore[no-any-return]


def widened(value: ir.IntegerValue) -> ir.IntegerValue:
    """The same whole number with 128 bits, so that a product of it does not overflow. Null in, null out."""
    return ibis.ifelse(value.isnull(), ibis.null("int64"), ibis.array([value]).sums())


def rounded(value: Fraction) -> int:
    """A fraction as ``round_half_away`` rounds it, for the few figures that are worked out one by one."""
    half_up = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return half_up if value >= 0 else -half_up
