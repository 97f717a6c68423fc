"""How values are written: dates, months, numbers.

Belongs here: which notations a column of text fits, and the evidence. Does not belong here: what a column is for (``columns``).
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

FITS = 0.95
_EARLIEST, _LATEST = 1990, 2040
_MOST_VALUES = 3_000
_PROBE = 40
_DAY_FORMATS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%d.%m.%Y", "%m.%d.%Y", "%m/%d/%y",
    "%d/%m/%y", "%m-%d-%y", "%d-%m-%y", "%d.%m.%y", "%m.%d.%y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d %Y", "%b %d, %Y",
    "%d %B %Y", "%B %d, %Y", "%m%d%Y", "%d%m%Y",
)  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
MONTH_FORMATS = (
    "%b %Y", "%B %Y", "%b-%Y", "%b-%y", "%b %y", "%b/%y", "%Y-%m", "%Y/%m", "%m/%Y", "%m-%Y", "%m/%y", "%Y %b", "%Y%m",
)  # fmt: skip


@lru_cache(maxsize=200_000)
def day_of(text: str, written: str) -> dt.date | None:
    """``text`` as a day in the format, if it is one that a history can hold."""
    try:
        day = dt.datetime.strptime(text, written).date()
    except ValueError:
        return None
    return day if _EARLIEST <= day.year <= _LATEST else None


def _few(values: Iterable[str]) -> Counter[str]:
    """Values that a judgement rests on, with how often they stand: not too many, taken from all over the column."""
    counts = Counter(v for v in values if v)
    if len(counts) > _MOST_VALUES:
        kept = list(counts)[:: len(counts) // _MOST_VALUES + 1]
        counts = Counter({v: counts[v] for v in kept})
    return counts


def _fitting(values: Counter[str], formats: Iterable[str]) -> list[str]:
    """Formats that nearly all values have; those that hardly any of the first few has are not tried on all."""
    few = list(values)[:_PROBE]
    likely = [f for f in formats if few and sum(day_of(v, f) is not None for v in few) >= 0.5 * len(few)]
    needed = FITS * values.total()
    return [f for f in likely if sum(n for v, n in values.items() if day_of(v, f)) >= needed]


def percent(share: float) -> str:
    """A share for people; all and none are said only of all and none."""
    if 0.995 <= share < 1:
        return "over 99 %"
    return "under 1 %" if 0 < share < 0.005 else f"{share:.0%}".replace("%", " %")


def date_formats(values: Iterable[str]) -> list[str]:
    """Formats in which the values are days; several if they do not tell which."""
    few = _few(values)
    with_digits = sum(n for v, n in few.items() if any(map(str.isdigit, v)))
    if not few or with_digits < FITS * few.total():
        return []
    has_time = sum(n for v, n in few.items() if ":" in v) > few.total() / 2
    times = _TIMES[1:] if has_time else _TIMES[:1]
    found = _fitting(few, (day + time for day in _DAY_FORMATS for time in times))
    # Without separators, digits alone decide: a number of another length is no date.
    return [f for f in found if f not in ("%Y%m%d", "%m%d%Y", "%d%m%Y") or _have_length(few, 8)]


def month_formats(values: Iterable[str]) -> list[str]:
    """Formats in which the values are months without a day."""
    few = _few(values)
    found = _fitting(few, MONTH_FORMATS)
    return [f for f in found if f != "%Y%m" or _have_length(few, 6)]


def _have_length(values: Counter[str], length: int) -> bool:
    return sum(n for v, n in values.items() if len(v) == length) >= FITS * values.total()


def swapped(written: str) -> str:
    """A format with day and month exchanged."""
    return written.replace("%d", "%!").replace("%m", "%d").replace("%!", "%m")


@dataclass(frozen=True)
class NumberNotation:
    """How numbers of a column are written; ``doubt`` if it cannot be told, in words."""

    decimal_mark: str = "."
    thousands_mark: str = ""
    minus: str = "before"
    doubt: str = ""

    def value(self, text: str) -> float | None:
        """The number, or None."""
        if self.minus == "after" and text.endswith("-"):
            text = "-" + text[:-1]
        elif self.minus == "parentheses" and text.startswith("(") and text.endswith(")"):
            text = "-" + text[1:-1]
        if self.thousands_mark:
            text = text.replace(self.thousands_mark, "")
        text = text.replace(self.decimal_mark, ".")
        return float(text) if re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]*)?", text) else None


def number_notation(values: Iterable[str]) -> NumberNotation | None:
    """The notation in which nearly all values are numbers, or None."""
    few = list(_few(values))
    if not few:
        return None
    bare = [re.sub(r"^[+-]|-$|^\(|\)$", "", v) for v in few]
    shaped = [b for b in bare if re.fullmatch(r"[0-9][0-9.,' ]*|[.,][0-9]+", b)]
    if len(shaped) < 0.9 * len(few):
        return None
    minus = "before"
    if any(v.endswith("-") for v in few):
        minus = "after"
    elif any(v.startswith("(") for v in few):
        minus = "parentheses"
    decimal_mark, thousands_mark, doubt = _marks(shaped)
    return NumberNotation(decimal_mark, thousands_mark, minus, doubt)


def _marks(shaped: list[str]) -> tuple[str, str, str]:
    """Decimal mark, thousands mark, doubt."""
    both = [s for s in shaped if "," in s and "." in s]
    if both:
        decimal = "," if both[0].rfind(",") > both[0].rfind(".") else "."
        return decimal, "." if decimal == "," else ",", ""
    other = next((mark for mark in (" ", "'") if any(re.search(rf"[0-9]{mark}[0-9]{{3}}\b", s) for s in shaped)), "")
    for mark, counterpart in ((",", "."), (".", ",")):
        marked = [s for s in shaped if mark in s]
        if not marked:
            continue
        grouped = [s for s in marked if re.fullmatch(rf"[1-9][0-9]{{0,2}}({re.escape(mark)}[0-9]{{3}})+", s)]
        if len(grouped) < FITS * len(marked):
            return mark, other, ""
        unmarked = [s for s in shaped if mark not in s]
        if any(s.count(mark) > 1 for s in marked) or (
            unmarked and sum(len(s) > 3 for s in unmarked) < 0.05 * len(shaped)
        ):
            return counterpart, mark, ""
        words = {",": "a comma", ".": "a point"}[mark]
        return mark, other, f"{words} always has three digits after it, as in {marked[0]}: decimals, or thousands?"
    return ".", other, ""
