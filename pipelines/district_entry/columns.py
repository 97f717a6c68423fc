"""What each column of an unknown file is for.

Belongs here: telling accounts, meters, dates, volumes and readings by their names and by how their values behave.
Does not belong here: how values are written (``notation``), the draft (``guess``).

A name counts only if the values do not contradict it.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from statistics import median

from pipelines.district_entry.notation import (
    FITS,
    MONTH_FORMATS,
    NumberNotation,
    date_formats,
    day_of,
    month_formats,
    number_notation,
    percent,
    swapped,
)
from pipelines.district_entry.unknown_file import UnknownFile

LONGEST_PERIOD_DAYS = 400
_MOST_CODES = 12
_LONGEST_CODE = 14

_NAMES = {
    "account": r"\b(acc(oun)?t|customer|cust|abonne|compte|client|konto|kunde\w*|cuenta|user|service no|premise)",
    "meter": r"\b(meter|mtr|serial|compteur|zahler\w*|medidor|contador)",
    "register_id": r"\b(register|reg|dial|rgstr)\b(?!.*(read|use|usage))",
    "multiplier": r"\b(mult\w*|factor|facteur)\b",
    "days": r"\b(days?|jours?|tage|dias)\b",
    "unit": r"\b(units?|uom|unite)\b",
    "read_type": r"\b(read|rd)? ?(type|typ|code|flag|status)\b|^(read|rd|releve|quality|est)$",
    "period_start": r"\b(from|start|begin\w*|prev\w*|prior|last read|opening|du)\b",
    "period_end": r"\b(to|thru|through|end|curr\w*|present|closing|read date|au)\b",
    "registered_volume": r"\b(regist\w*|metered|true|actual) (use|usage|consumption|volume)|^registered",
    "volume": r"\b(us(e|age|ed)|consum\w*|consomm\w*|volume|verbrauch|consumo|billed|qty|quantity|water|sum)\b"
    r"|ccf|hcf|gal|\bm3\b|m³|litre|liter|\bcf\b|cubic",
    "reading": r"\b(readings?|lecture|index|stand|register)\b|^read$",
}
UNIT_WORDS: dict[str, str] = {
    "thousand_gal": r"thousands? (of )?(us )?gal|\bk ?gals?\b|\b1,?000 ?gal|\btgals?\b|\bkgl\b",
    "hundred_gal": r"hundreds? (of )?(us )?gal|\b100 ?gal|\bhgals?\b",
    "ccf": r"hundreds? (of )?cubic f|\bccf\b|\bhcf\b|\b100 ?c",
    "cf": r"cubic f|\bcu\.? ?f(t|eet)?\b|\bcuft\b|\bcf\b|\bft3\b|ft³",
    "gal": r"\bgal(lon)?s?\b|\busg\b",
    "m3": r"m³|\bm3\b|\bcbm\b|cubic met|metres? cubes?|metros? cub",
    "litre": r"\blit(re|er)s?\b|\blitros?\b|^l$",
}
"""Words by which a file states its unit, the more particular first."""


def plain(name: str) -> str:
    """A name for comparing: lower case, without accents, words parted by single spaces."""
    import unicodedata

    spread = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("³", "3")
    bare = "".join(c for c in unicodedata.normalize("NFD", spread) if not unicodedata.combining(c))
    return re.sub(r"[\s_./-]+", " ", bare.lower()).strip()


def unit_in(text: str) -> str | None:
    """The unit that a text states."""
    bare = plain(text)
    return next((unit for unit, words in UNIT_WORDS.items() if re.search(words, bare)), None)


@dataclass
class Column:
    """A column: its values (one per record, empty if there is none) and what they may be."""

    place: int
    name: str
    values: list[str]
    dates: list[str] = field(default_factory=list)
    months: list[str] = field(default_factory=list)
    numbers: NumberNotation | None = None

    @property
    def present(self) -> list[str]:
        return [v for v in self.values if v]

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.present)

    def says(self, role: str) -> bool:
        """Whether its name is one of those for ``role``."""
        return bool(re.search(_NAMES[role], plain(self.name)))

    def number(self, row: int) -> float | None:
        return self.numbers.value(self.values[row]) if self.numbers else None

    def looks_like_id(self) -> bool:
        few = self.present[:2_000]
        decimals = sum(bool(re.fullmatch(r"[0-9]+[.,][0-9]{1,2}|.*[0-9],[0-9]{3}.*|-.*", v)) for v in few)
        return not (self.dates or self.months) and decimals < 0.05 * len(few) and len(set(few)) > 1


@dataclass
class Roles:
    """Field of an entry -> column; and what was seen on the way, by key, in words."""

    columns: dict[str, Column] = field(default_factory=dict)
    months: list[Column] = field(default_factory=list)
    month_format: str = ""
    gives: str = "usage"
    date_format: str | None = None
    bill_month_format: str = ""
    period_end_is: str | None = None
    notes: dict[str, str] = field(default_factory=dict)
    doubts: dict[str, str] = field(default_factory=dict)
    unused: list[Column] = field(default_factory=list)

    def has(self, role: str) -> bool:
        return role in self.columns


def columns_of(file: UnknownFile) -> list[Column]:
    """The file's columns with what their values may be."""
    width = max(len(fields) for _, fields in file.rows)
    found = []
    for place in range(width):
        values = [fields[place] if place < len(fields) else "" for _, fields in file.rows]
        name = file.names[place] if place < len(file.names) else ""
        column = Column(place, name, values)
        column.dates = date_formats(column.present)
        column.months = [] if column.dates else month_formats(column.present)
        column.numbers = None if column.dates else number_notation(column.present)
        found.append(column)
    if file.record_prefix and file.kind == "delimited":
        found = found[1:]
    return found


def roles_of(file: UnknownFile) -> Roles:
    """Which column is what, as far as it can be told."""
    columns, roles = columns_of(file), Roles()
    _month_columns(columns, roles)
    free = [c for c in columns if c not in roles.months and c.present]
    _ids(free, roles)
    _small_columns(free, roles)
    _quantities(free, roles)
    _periods(free, roles)
    used = {id(c) for c in [*roles.columns.values(), *roles.months]}
    roles.unused = [c for c in columns if id(c) not in used]
    return roles


def _month_columns(columns: list[Column], roles: Roles) -> None:
    for written in (*MONTH_FORMATS, "%Y-%m-%d", "%m/%d/%Y"):
        days = {c.place: day for c in columns if c.name and (day := day_of(c.name, written))}
        if len(days) >= 3 and len(set(days.values())) == len(days) and all(day.day == 1 for day in days.values()):
            roles.months, roles.month_format = [c for c in columns if c.place in days], written
            roles.notes["month_columns"] = (
                f"{len(days)} columns are named like months, {roles.months[0].name} the first"
            )
            return


def _follows(a: Column, b: Column) -> float:
    """Share of values of ``b`` that stand beside one value of ``a`` only."""
    beside: dict[str, set[str]] = defaultdict(set)
    for x, y in zip(a.values, b.values, strict=True):
        if y:
            beside[y].add(x)
    return sum(len(xs) == 1 for xs in beside.values()) / max(len(beside), 1)


def _ids(free: list[Column], roles: Roles) -> None:
    ids = [c for c in free if c.looks_like_id()]
    rows = len(free[0].values) if free else 0
    account = next((c for c in ids if c.says("account") and not c.says("meter")), None)
    if account is None:
        telling = [c for c in ids if len(c.counts) > max(2, 0.002 * rows) and not _named_otherwise(c)]
        others = [c for c in telling if not c.says("meter")] or telling
        account = next((c for c in others if _repeats_like_an_id(c, rows, bool(roles.months))), None)
        if account is not None:
            words = "it is named none of the usual names" if account.name else "there are no names"
            roles.doubts["account"] = f"{words}; its values come back as an account's would. Is it the account?"
    if account is None:
        return
    roles.columns["account"] = account
    rest = [c for c in ids if c is not account and len(c.counts) > 0.3 * len(account.counts)]
    meter = next((c for c in rest if c.says("meter") and not c.says("multiplier")), None)
    if meter is None and not any(c.name for c in free):
        meter = next((c for c in rest if _follows(account, c) > 0.98 and _repeats_like_an_id(c, rows, False)), None)
        if meter is not None:
            roles.doubts["meter"] = (
                "there are no names; each of its values stands beside one account only. Is it the meter?"
            )
    if meter is not None:
        roles.columns["meter"] = meter


def _named_otherwise(column: Column) -> bool:
    return bool(column.name) and any(
        column.says(role) for role in ("volume", "days", "multiplier", "unit", "read_type", "reading")
    )


def _repeats_like_an_id(column: Column, rows: int, is_wide: bool) -> bool:
    distinct = len(column.counts)
    if is_wide:
        return distinct > 0.8 * rows
    typical = median(column.counts.values())
    return 2 <= typical <= 0.2 * rows + 2 and distinct * typical > 0.5 * rows


def _small_columns(free: list[Column], roles: Roles) -> None:
    """Units, codes, days, registers, multipliers."""
    taken = {id(c) for c in roles.columns.values()}
    left = [c for c in free if id(c) not in taken and not c.dates and not c.months]
    for role, fits in (
        ("unit", lambda c: len(c.counts) <= 6 and all(unit_in(v) for v in c.counts)),
        ("multiplier", lambda c: c.says("multiplier") and c.numbers is not None),
        ("register_id", lambda c: c.says("register_id") and len(c.counts) <= _MOST_CODES and _is_short(c)),
        ("days", _are_days),
        ("read_type", lambda c: c.says("read_type") and _is_code(c)),
    ):
        found = next((c for c in left if fits(c)), None)
        if found is not None:
            roles.columns[role] = found
            left = [c for c in left if c is not found]
    if not roles.has("read_type"):
        codes = [
            c
            for c in left
            if _is_code(c) and not c.name and max(map(len, c.counts)) <= 5 and len(c.present) > 0.5 * len(c.values)
        ]
        if codes:
            roles.columns["read_type"] = codes[-1]
            roles.doubts["read_type"] = "there are no names; it holds a few short codes. Are they read types?"


def _is_short(column: Column) -> bool:
    return max(map(len, column.counts), default=0) <= _LONGEST_CODE


def _is_code(column: Column) -> bool:
    return len(column.counts) <= _MOST_CODES and _is_short(column)


def _are_days(column: Column) -> bool:
    whole = [int(v) for v in column.present if re.fullmatch(r"[0-9]{1,3}", v)]
    if len(whole) < FITS * len(column.present):
        return False
    usual = sum(20 <= n <= 130 for n in whole) > 0.8 * len(whole)
    return usual and column.says("days")


def _quantities(free: list[Column], roles: Roles) -> None:
    """Volumes and readings among the columns of numbers."""
    if roles.months:
        return
    taken = {id(c) for c in roles.columns.values()}
    numbers = [c for c in free if id(c) not in taken and c.numbers is not None and not c.months]
    dates = [c for c in free if c.dates or c.months]
    rising = [c for c in numbers if _rises(c, roles, dates)]
    usage = [c for c in numbers if c not in rising and not (c.says("register_id"))]
    named = [c for c in usage if c.says("volume")]
    registered = next((c for c in named if c.says("registered_volume")), None)
    billed = [c for c in named if c is not registered]
    stating = [c for c in billed if unit_in(c.name)] or billed
    if registered is not None and not billed:
        billed, stating, registered = [registered], [registered], None
    if stating:
        roles.columns["volume"] = stating[0]
        if len(stating) > 1:
            names = ", ".join(c.name for c in stating)
            roles.doubts["volume"] = f"several columns could be the volume: {names}. Which one is billed?"
        if registered is not None:
            roles.columns["registered_volume"] = registered
    elif rising:
        _readings(rising, dates, roles)
    elif len(usage) == 1 or (usage and not any(c.name for c in usage)):
        best = max(usage, key=lambda c: len(c.counts))
        roles.columns["volume"] = best
        roles.doubts["volume"] = (
            "its name does not say so; it is the column of numbers that vary most. Is it the volume?"
        )
    if rising and roles.gives == "usage":
        roles.notes["measure"] = (
            f"{', '.join(c.name or f'column {c.place + 1}' for c in rising)} only rise from row to row, as readings do; the use "
            "beside them is taken"
        )


def _readings(rising: list[Column], dates: list[Column], roles: Roles) -> None:
    """One reading a row, or those at the beginning and at the end of its period."""
    says_period = roles.has("days") or len(dates) > 1 or bool(dates and dates[0].months)
    pairs = [(a, b) for a in rising for b in rising if a is not b and _share_not_above(a, b) > FITS]
    if says_period and pairs:
        before, after = next(((a, b) for a, b in pairs if a.says("period_start")), pairs[0])
        roles.columns["previous_reading"], roles.columns["reading"] = before, after
        roles.gives = "reading_pairs"
        return
    roles.columns["reading"], roles.gives = (
        next((c for c in rising if c.says("reading")), rising[-1]),
        "register_readings",
    )
    if len(rising) > 1:
        roles.doubts["reading"] = "several columns only rise; is this the reading of the row's date?"


def _share_not_above(a: Column, b: Column) -> float:
    pairs = [
        (x, y) for row in range(len(a.values)) if (x := a.number(row)) is not None and (y := b.number(row)) is not None
    ]
    return sum(x <= y for x, y in pairs) / len(pairs) if pairs and any(x != y for x, y in pairs) else 0.0


def _series(roles: Roles, dates: list[Column], column: Column) -> list[list[float]]:
    """Values of a column per meter, in order of date."""
    keys = [roles.columns[r].values for r in ("account", "meter", "register_id") if roles.has(r)]
    by_key: dict[tuple[str, ...], list[tuple[dt.date, float]]] = defaultdict(list)
    if not keys or not dates:
        return []
    when = dates[-1]
    written = (when.dates or when.months)[0]
    for row, key in enumerate(zip(*keys, strict=True)):
        day, value = day_of(when.values[row], written), column.number(row)
        if day is not None and value is not None:
            by_key[key].append((day, value))
    return [[v for _, v in sorted(points)] for points in by_key.values() if len(points) > 2]


def _rises(column: Column, roles: Roles, dates: list[Column]) -> bool:
    """Whether the values of a meter only rise, as a register does."""
    steps = [b - a for values in _series(roles, dates, column) for a, b in itertools.pairwise(values)]
    moving = [s for s in steps if s]
    if len(moving) < 10 or len(moving) < 0.3 * len(steps):
        return False
    share = sum(s > 0 for s in moving) / len(moving)
    if share >= 0.93:
        roles.notes["readings"] = (
            f"the values of one meter rise in {percent(share)} of {len(moving):,} steps, as a register does; usage would go up and down"
        )
    return share >= 0.93


def _periods(free: list[Column], roles: Roles) -> None:
    """Which dates say the period."""
    if roles.months:
        return
    dates = [c for c in free if c.dates]
    bill_months = [c for c in free if c.months]
    if roles.gives == "register_readings" and dates:
        roles.columns["read_date"] = _named_or(dates, "period_end", -1)
        roles.date_format = _settled_format([roles.columns["read_date"]], roles)
    elif len(dates) >= 2:
        _start_and_end(dates, roles)
    elif dates and roles.has("days"):
        roles.columns["read_date"] = dates[0]
        roles.date_format = _settled_format(dates[:1], roles)
    elif dates and _are_all_first_days(dates[0]):
        roles.columns["bill_month"] = dates[0]
        roles.bill_month_format = dates[0].dates[0]
        roles.notes["bill_month"] = "every date is the first of a month, so it names a month"
    elif bill_months:
        roles.columns["bill_month"] = bill_months[0]
        roles.bill_month_format = bill_months[0].months[0]
    elif dates:
        roles.columns["period_end"] = dates[0]
        roles.date_format = _settled_format(dates[:1], roles)
    if roles.has("days") and not roles.has("read_date"):
        days = roles.columns.pop("days")
        _end_by_days(days, roles)
    if roles.has("period_start") and roles.period_end_is is None:
        _end_by_next_start(roles)


def _named_or(columns: list[Column], role: str, otherwise: int) -> Column:
    return next((c for c in columns if c.says(role)), columns[otherwise])


def _are_all_first_days(column: Column) -> bool:
    days = [day_of(v, column.dates[0]) for v in column.present[:5_000]]
    return all(d is not None and d.day == 1 for d in days) and len(set(days)) > 2


def _settled_format(columns: list[Column], roles: Roles) -> str | None:
    """The one format of all these columns, or None if day and month cannot be told apart."""
    common = [f for f in columns[0].dates if all(f in c.dates for c in columns)]
    if not common:
        roles.doubts["date_format"] = "the dates of the columns are not written alike"
        return None
    values = [v for c in columns for v in c.present]
    shares = _first_and_second(values)
    if len(common) == 1 or swapped(common[0]) not in common:
        if shares and "%d" in common[0] and "%m" in common[0] and not re.search("%b|%B", common[0]):
            roles.notes["date_format"] = shares
        return common[0]
    pair = [common[0], swapped(common[0])]
    regular = {f: _regularity(columns, roles, f) for f in pair}
    best, other = sorted(pair, key=lambda f: -regular[f])
    if regular[best] > 0.7 and regular[other] < 0.5 * regular[best]:
        roles.notes["date_format"] = (
            f"no number is above 12, so day and month could be exchanged; read as {best}, {percent(regular[best])} of the steps "
            f"between dates have the length that they should, read as {other}, {percent(regular[other])}"
        )
        return best
    roles.doubts["date_format"] = f"day and month cannot be told apart ({shares}): {pair[0]} or {pair[1]}?"
    return None


def _first_and_second(values: list[str]) -> str:
    pairs = [m.groups() for v in values if (m := re.match(r"([0-9]{1,2})[/.-]([0-9]{1,2})[/.-]", v))]
    if not pairs:
        return ""
    low = [sum(int(p[i]) <= 12 for p in pairs) / len(pairs) for i in (0, 1)]
    return (
        f"{percent(low[0])} of the dates have a first number up to 12 and {percent(low[1])} a second; the highest are "
        f"{max(int(p[0]) for p in pairs)} and {max(int(p[1]) for p in pairs)}"
    )


def _usual(days: int) -> bool:
    return 25 <= days <= 36 or 52 <= days <= 70 or 80 <= days <= 102


def _regularity(columns: list[Column], roles: Roles, written: str) -> float:
    """Share of the steps between dates that have the length of a usual period, or that a column of days says."""
    fitting, off_by = list[bool](), Counter[int]()
    if len(columns) > 1:
        for a, b in zip(columns[0].values, columns[1].values, strict=True):
            first, last = day_of(a, written), day_of(b, written)
            if first and last:
                fitting.append(_usual((last - first).days))
    elif roles.has("account"):
        by_key: dict[tuple[str, str], list[tuple[dt.date, str]]] = defaultdict(list)
        meters = roles.columns.get("meter", roles.columns["account"]).values
        days = roles.columns["days"].values if roles.has("days") else [""] * len(meters)
        keys = zip(roles.columns["account"].values, meters, strict=True)
        for key, count, text in zip(keys, days, columns[0].values, strict=True):
            if day := day_of(text, written):
                by_key[key].append((day, count))
        for reads in by_key.values():
            for (first, _), (last, count) in itertools.pairwise(sorted(reads)):
                step = (last - first).days
                if count.isdigit():
                    off_by[int(count[:6]) - step] += 1
                else:
                    fitting.append(_usual(step))
    if off_by:
        return max(off_by[n] for n in (-1, 0, 1)) / off_by.total()
    return sum(fitting) / len(fitting) if fitting else 0.0


def _start_and_end(dates: list[Column], roles: Roles) -> None:
    named = [(a, b) for a in dates for b in dates if a is not b and a.says("period_start") and b.says("period_end")]
    pairs = named or [(a, b) for a in dates for b in dates if a is not b]
    start, end = max(pairs, key=lambda pair: _is_before(*pair))
    roles.columns["period_start"], roles.columns["period_end"] = start, end
    roles.date_format = _settled_format([start, end], roles)
    if len(dates) > 2 and not named:
        roles.doubts["period_start"] = (
            "there are more than two columns of dates. Are these the first and last day of the period?"
        )


def _is_before(a: Column, b: Column) -> float:
    common = [f for f in a.dates if f in b.dates]
    if not common:
        return 0.0
    lengths = [
        (last - first).days
        for x, y in zip(a.values, b.values, strict=True)
        if (first := day_of(x, common[0])) and (last := day_of(y, common[0]))
    ]
    return sum(0 < n <= LONGEST_PERIOD_DAYS for n in lengths) / len(lengths) if lengths else 0.0


def _end_by_days(days: Column, roles: Roles) -> None:
    """Whether the end date is the last day, by a column that counts the days."""
    if not (roles.date_format and roles.has("period_start") and roles.has("period_end")):
        return
    differences: Counter[int] = Counter()
    columns = roles.columns
    for a, b, n in zip(columns["period_start"].values, columns["period_end"].values, days.values, strict=True):
        first, last = day_of(a, roles.date_format), day_of(b, roles.date_format)
        if first and last and n.isdigit():
            differences[int(n) - (last - first).days] += 1
    if differences:
        difference, times = differences.most_common(1)[0]
        if difference in (0, 1) and times > 0.9 * differences.total():
            roles.period_end_is = ("next_read", "last_day")[difference]
            roles.notes["period_end_is"] = (
                f"column {days.name} is {'one more than ' if difference else ''}the difference of the dates in {times:,} of "
                f"{differences.total():,} rows"
            )


def _end_by_next_start(roles: Roles) -> None:
    """Whether the end date is the last day, by where the meter's next period starts."""
    if roles.date_format is None or not roles.has("account"):
        return
    columns = roles.columns
    meters = columns.get("meter", columns["account"]).values
    by_key: dict[tuple[str, str], set[tuple[dt.date, dt.date]]] = defaultdict(set)
    for key, meter, a, b in zip(
        columns["account"].values, meters, columns["period_start"].values, columns["period_end"].values, strict=True
    ):
        first, last = day_of(a, roles.date_format), day_of(b, roles.date_format)
        if first and last:
            by_key[key, meter].add((first, last))
    gaps: Counter[int] = Counter()
    for periods in by_key.values():
        ordered = sorted(periods)
        gaps.update((b[0] - a[1]).days for a, b in itertools.pairwise(ordered))
    if not gaps:
        roles.doubts["period_end_is"] = (
            "no meter has two periods. Is the end date in the period (last_day), or the next read's?"
        )
        return
    gap, times = gaps.most_common(1)[0]
    if gap in (0, 1) and times > 0.8 * gaps.total():
        roles.period_end_is = ("next_read", "last_day")[gap]
        when = "on that day" if gap == 0 else "on the day after"
        roles.notes["period_end_is"] = (
            f"the next period begins {when} in {percent(times / gaps.total())} of {gaps.total():,} steps"
        )
    else:
        roles.doubts["period_end_is"] = (
            "periods do not follow each other day by day. Is the end date in the period (last_day)?"
        )
