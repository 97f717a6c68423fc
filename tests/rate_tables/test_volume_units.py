"""Volume units, from first principles.

Belongs here: the size of each unit against the definitions of inch, gallon, foot and litre.
Does not belong here: which district uses which unit.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import gcd
from typing import get_args

import pytest

from rate_tables.volume_units import SIZE_8NL, UNIT_NAMES, VolumeUnit

CUBIC_INCH = Fraction(254, 100) ** 3  # cubic centimetres; the inch is 2.54 cm by definition
FROM_DEFINITION = {
    "gal": 231 * CUBIC_INCH,
    "hundred_gal": 100 * 231 * CUBIC_INCH,
    "thousand_gal": 1_000 * 231 * CUBIC_INCH,
    "cf": 12**3 * CUBIC_INCH,
    "ccf": 100 * 12**3 * CUBIC_INCH,
    "litre": Fraction(1_000),
    "m3": Fraction(1_000_000),
}
"""Unit -> cubic centimetres."""


def test_every_unit_has_its_exact_size_and_a_name() -> None:
    eight_nanolitres = Fraction(8, 10**9) * 1_000  # cubic centimetres
    assert {unit: size * eight_nanolitres for unit, size in SIZE_8NL.items()} == FROM_DEFINITION
    assert set(SIZE_8NL) == set(get_args(VolumeUnit)) == set(UNIT_NAMES)


def test_no_larger_common_measure_exists() -> None:
    assert gcd(*SIZE_8NL.values()) == 1


@pytest.mark.parametrize(
    ("unit", "in_units_of", "printed"),
    [
        ("ccf", "gal", "748.0519"), ("ccf", "gal", "748"), ("ccf", "thousand_gal", "0.748"), ("thousand_gal", "ccf", "1.337"),
        ("ccf", "hundred_gal", "7.48"), ("hundred_gal", "ccf", "0.134"), ("ccf", "m3", "2.83"), ("m3", "ccf", "0.353"),
        ("ccf", "cf", "100"), ("m3", "litre", "1000"),
    ],
)  # fmt: skip
def test_ratios_are_those_in_print(unit: str, in_units_of: str, printed: str) -> None:
    ratio = Fraction(SIZE_8NL[unit], SIZE_8NL[in_units_of])
    figure = Decimal(printed)
    assert round(ratio, -figure.as_tuple().exponent) == Fraction(figure)  # type: ignore[operator]


def test_a_ccf_is_172800_over_231_gallons() -> None:
    assert Fraction(SIZE_8NL["ccf"], SIZE_8NL["gal"]) == Fraction(172_800, 231)
