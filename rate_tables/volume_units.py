"""Volume units and their exact sizes.

Belongs here: every unit a district may measure in, as a whole number of one common small volume.
Does not belong here: which district uses which unit (its registry entry says that).

A cubic inch is exactly 16.387064 mL (the inch is exactly 2.54 cm), so 8 nanolitres is the largest volume of which both a
cubic inch and a litre are whole multiples. A US gallon is 231 cubic inches, a cubic foot 1,728. Volumes of any unit
meet as whole numbers of 8 nL, and nothing is rounded before the winter average itself is.
"""

from __future__ import annotations

from typing import Literal

VolumeUnit = Literal["ccf", "cf", "gal", "hundred_gal", "thousand_gal", "m3", "litre"]

_CUBIC_INCH = 2_048_383
_GALLON = 231 * _CUBIC_INCH
_CUBIC_FOOT = 1_728 * _CUBIC_INCH
_LITRE = 125_000_000

SIZE_8NL: dict[str, int] = {
    "ccf": 100 * _CUBIC_FOOT,
    "cf": _CUBIC_FOOT,
    "gal": _GALLON,
    "hundred_gal": 100 * _GALLON,
    "thousand_gal": 1_000 * _GALLON,
    "m3": 1_000 * _LITRE,
    "litre": _LITRE,
}
"""Unit -> its size in units of 8 nanolitres, exact."""

UNIT_NAMES: dict[str, str] = {
    "ccf": "hundred cubic feet (CCF)",
    "cf": "cubic feet",
    "gal": "US gallons",
    "hundred_gal": "hundreds of US gallons",
    "thousand_gal": "thousands of US gallons",
    "m3": "cubic metres",
    "litre": "litres",
}
