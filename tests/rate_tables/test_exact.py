"""Exact arithmetic: what table expressions give, against the decimal module.

Belongs here: division, rounding, casts and scales of whole numbers.
Does not belong here: which quantity is rounded to what (averaging and charging).
"""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_HALF_UP, Context, Decimal
from itertools import pairwise
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.engine import connected
from rate_tables.exact import divide_wide, part_of, round_half_away, scale_of, stored_as, truncating_divide, whole

WIDE = Context(prec=90)

numerators = st.one_of(st.integers(-30, 30), st.integers(-(2**62), 2**62), st.integers(2**53, 2**53 + 1000))
denominators = st.one_of(st.integers(1, 12), st.sampled_from([100_000, 1_000_000]), st.integers(1, 2**60))
halves = st.builds(lambda k, half: ((2 * k + 1) * half, 2 * half), st.integers(-(2**40), 2**40), st.integers(1, 2**20))


def by_magnitude(numerator: int, denominator: int) -> int:
    """The quotient rounded by its magnitude, a half up, and given its sign back: by the decimal module."""
    magnitude = WIDE.divide(Decimal(abs(numerator)), Decimal(denominator)).quantize(Decimal(1), ROUND_HALF_UP, WIDE)
    return int(magnitude.copy_sign(numerator))


@pytest.fixture(scope="module")
def con() -> Any:
    return connected()


def numbers(**columns: list[int | None]) -> ir.Table:
    return ibis.memtable(pa.table({name: pa.array(values, pa.int64()) for name, values in columns.items()}))


def column(con: Any, value: ir.Value, dtype: str = "int64") -> list[Any]:
    """What the engine itself makes of ``value``."""
    return con.to_pyarrow(stored_as(value, dtype).name("value")).to_pylist()


def engine_type(con: Any, value: ir.Value) -> str:
    """The type that DuckDB gives a value, whatever Ibis believes."""
    return con.raw_sql(f"DESCRIBE {con.compile(value.name('value').as_table())}").fetchall()[0][1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.tuples(numerators, denominators), halves), min_size=1, max_size=60))
@example([(5, 2), (-5, 2), (-1, 2), (1, 2), (-4, 3), (-5, 3), (0, 7), (2**53 + 1, 2), (-(2**53) - 1, 2)])
def test_rounding_agrees_with_the_decimal_module_and_a_credit_mirrors_its_charge(
    con: Any, pairs: list[tuple[int, int]]
) -> None:
    expected = [by_magnitude(n, d) for n, d in pairs]
    t = numbers(n=[n for n, _ in pairs], d=[d for _, d in pairs])
    assert column(con, round_half_away(t.n, t.d)) == expected
    assert column(con, round_half_away(-t.n, t.d)) == [-value for value in expected]


@settings(max_examples=25, deadline=None)
@given(st.lists(numerators, min_size=1, max_size=60), denominators)
def test_a_fixed_denominator_rounds_like_one_in_a_column(con: Any, values: list[int], denominator: int) -> None:
    t = numbers(n=values)
    assert column(con, round_half_away(t.n, denominator)) == [by_magnitude(n, denominator) for n in values]


def test_nothing_rounds_to_nothing(con: Any) -> None:
    t = numbers(n=[None, 7], d=[2, None])
    assert column(con, round_half_away(t.n, t.d)) == [None, None]


def test_division_is_exact_where_doubles_are_off_by_units(con: Any) -> None:
    t = numbers(n=[90071992547409929, -90071992547409929, 2**63 - 1])
    assert column(con, truncating_divide(t.n, 10)) == [9007199254740992, -9007199254740992, 922337203685477580]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-(2**62), 2**62), min_size=5, max_size=40), st.integers(1, 2**40), st.integers(1, 2**40))
@example([2**62] * 40, 2**40, 3)
def test_sums_wider_than_64_bits_divide_exactly(con: Any, values: list[int], factor: int, denominator: int) -> None:
    for divide in (truncating_divide, divide_wide):
        total = stored_as(round_half_away(numbers(n=values).n.sum() * factor, denominator, divide), "string")
        assert int(con.to_pyarrow(total).as_py()) == by_magnitude(sum(values) * factor, denominator)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-(2**40), 2**40), st.sets(st.integers(0, 60), max_size=5), st.integers(60, 90)),
        min_size=1,
    )
)
def test_parts_laid_end_to_end_are_differences_of_rounded_running_totals(
    con: Any, wholes: list[tuple[int, set[int], int]]
) -> None:
    parts = [(n, begin, end, of) for n, cuts, of in wholes for begin, end in pairwise([0, *sorted(cuts - {0, of}), of])]
    n, begin, end, of = (list(values) for values in zip(*parts, strict=True))
    t = numbers(n=n, begin=begin, end=end, of=of)
    expected = [by_magnitude(n * end, of) - by_magnitude(n * begin, of) for n, begin, end, of in parts]
    assert column(con, part_of(t.n, t.begin, t.end, t.of)) == expected
    assert sum(expected) == sum(n for n, _, _ in wholes)


def test_what_is_stored_has_the_declared_type_even_where_ibis_believes_it_had_it_already(con: Any) -> None:
    t = con.create_table("typed", pa.table({"n": [2**53, 1], "day": [dt.date(2018, 12, 31)] * 2}), overwrite=True)
    assert engine_type(con, stored_as(t.n.sum(), "int64")) == "BIGINT"
    assert con.to_pyarrow(stored_as(t.n.sum(), "int64")).as_py() == 2**53 + 1
    assert engine_type(con, stored_as(t.day + ibis.interval(days=1), "date")) == "DATE"


def test_a_sum_that_does_not_fit_is_refused_and_not_cut(con: Any) -> None:
    t = numbers(n=[2**62, 2**62])
    with pytest.raises(Exception, match="out of range"):
        con.to_pyarrow(stored_as(t.n.sum(), "int64"))


@given(st.decimals(-(10**9), 10**9, places=4), st.integers(0, 6))
def test_a_figure_is_taken_whole_or_refused(value: Decimal, decimals: int) -> None:
    digits = -value.normalize().as_tuple().exponent  # type: ignore[operator]
    if digits > decimals:
        with pytest.raises(ValueError, match=f"more than {decimals} decimals"):
            whole(value, decimals)
    else:
        assert Decimal(whole(value, decimals)).scaleb(-decimals) == value


@pytest.mark.parametrize(
    ("column_name", "published"),
    [
        ("amount_cents", ("amount", 2)),
        ("winter_average_thousandths", ("winter_average", 3)),
        ("rate_ten_thousandths", ("rate", 4)),
        ("share_millionths", ("share", 6)),
        ("days", ("days", None)),
    ],
)
def test_the_longest_ending_names_the_scale(column_name: str, published: tuple[str, int | None]) -> None:
    assert scale_of(column_name) == published
