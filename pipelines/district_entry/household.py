"""What a household uses, as a yardstick for the unit.

Belongs here: the yardstick, and which units it leaves. Does not belong here: choosing one: that takes a person.
"""

from __future__ import annotations

from rate_tables.volume_units import SIZE_8NL

FEWEST_CCF, MOST_CCF = 2.0, 20.0
"""A district's median account uses between so many CCF in 30 days: 1,500 to 15,000 gallons.

Wide on purpose: a winter average of 8 CCF a month is what Clean Water Services takes for a household it knows nothing of.
"""
IN_WORDS = "an ordinary account uses 2 to 20 CCF (1,500 to 15,000 gallons) in 30 days"


def in_ccf(volume: float, unit: str) -> float:
    """A volume in ``unit`` as CCF."""
    return volume * SIZE_8NL[unit] / SIZE_8NL["ccf"]


def in_gallons(volume: float, unit: str) -> float:
    """A volume in ``unit`` as US gallons."""
    return volume * SIZE_8NL[unit] / SIZE_8NL["gal"]


def is_ordinary(median: float, unit: str) -> bool:
    """Whether so much in 30 days, in ``unit``, is what the median account of a district may use."""
    return FEWEST_CCF <= in_ccf(median, unit) <= MOST_CCF


def ordinary_units(median: float) -> list[str]:
    """Units in which the number ``median`` would be that."""
    return [unit for unit in SIZE_8NL if is_ordinary(median, unit)]
