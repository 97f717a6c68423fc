"""The arithmetic of consumption adjustments: what an entry makes of the periods it is about, and why.

Belongs here: which methods a kind may have and which figures a method asks for, the order in which entries are applied, the
calculation of each, in whole numbers and fractions, with the sentence by which a clerk can do it again by hand.
Does not belong here: whose meters and periods these are, what the policy forbids (``assets.adjustment_steps``).

There are few entries beside millions of readings, and each has to be explained; so they are worked out one by one. Nothing is
rounded before the volume that counts is, to the thousandth of the unit that the district measures in.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from rate_tables.adjustment_policy import AdjustmentPolicy
from rate_tables.calendar_days import after_months
from rate_tables.exact import rounded
from rate_tables.terms import AdjustmentKind, AdjustmentMethod
from rate_tables.volume_units import SIZE_8NL

METHODS: dict[AdjustmentKind, tuple[AdjustmentMethod, ...]] = {
    "leak": ("prior_year", "mean_of_bills_before", "volume", "leave_out"),
    "evaporation": ("make_up_less_blow_down", "share"),
    "industrial_discharge": ("effluent_meter", "water_balance"),
    "product": ("deduct",),
    "irrigation": ("deduct",),
    "deduct_meter": ("deduct",),
    "added_supply": ("add",),
    "pool": ("deduct", "above_mean"),
    "vacancy": ("leave_out",),
    "meter_error": ("volume",),
    "override": ("average",),
}
"""Kind of adjustment -> the methods it may have."""

ORDER: tuple[AdjustmentKind, ...] = (
    "meter_error", "leak", "pool", "vacancy", "irrigation", "deduct_meter", "evaporation", "product", "industrial_discharge",
    "added_supply",
)  # fmt: skip
"""The order in which entries about one period are applied; those of one kind by the first day of their period, then by id.

First what the meter should have shown; then what was no ordinary use; then what of the ordinary use did not reach the sewer; then
what measures or balances the rest; last what came from elsewhere. An override changes no consumption and has no place.
"""

READ_KINDS = ("meter_error", "leak", "pool", "vacancy")
"""Kinds that are about readings, and so about whole periods; the others are about a stretch of days, which may cut periods."""

Need = Literal["required", "allowed"]
FIGURES: dict[AdjustmentMethod, dict[str, Need]] = {
    "prior_year": {"share": "allowed"},
    "mean_of_bills_before": {"bills": "required", "share": "allowed"},
    "volume": {"volume": "required"},
    "leave_out": {},
    "make_up_less_blow_down": {"volume": "required", "less_volume": "required"},
    "share": {"share": "required"},
    "effluent_meter": {"volume": "required"},
    "water_balance": {"volume": "required", "less_volume": "required"},
    "deduct": {"volume": "required"},
    "above_mean": {"bills": "required"},
    "add": {"volume": "required"},
    "average": {"volume": "required"},
}
"""Method -> the figures of the sheet that it asks for; any other has to be empty."""

_DAY = dt.timedelta(days=1)
Meter = tuple[str, str, str]


class Refused(Exception):
    """An entry cannot be applied; the sentence says why and what is allowed."""


@dataclass(frozen=True)
class Entry:
    """What an entry of the sheet says; volumes in thousandths of its unit, the share in millionths."""

    adjustment_id: str
    kind: AdjustmentKind
    method: AdjustmentMethod
    period_start: dt.date
    period_end: dt.date
    volume_thousandths: int | None = None
    less_volume_thousandths: int | None = None
    volume_unit: str = ""
    share_millionths: int | None = None
    bills: int | None = None
    reached_sewer: str = ""

    @property
    def days(self) -> int:
        return (self.period_end - self.period_start).days

    @property
    def place(self) -> tuple[int, dt.date, str]:
        """Where it stands in the order; see ``ORDER``."""
        at = ORDER.index(self.kind) if self.kind in ORDER else len(ORDER)
        return at, self.period_start, self.adjustment_id


@dataclass(frozen=True)
class Read:
    """A period of one meter as it counts so far: both registers of a compound meter together."""

    meter: Meter
    start: dt.date
    end: dt.date
    volume_thousandths: int
    unit: str
    is_left_out: bool = False

    @property
    def days(self) -> int:
        return (self.end - self.start).days


@dataclass(frozen=True)
class Change:
    """What an entry makes of a period."""

    read: Read
    after_volume_thousandths: int
    is_left_out: bool
    why: str


# Figures in words


def in_words(thousandths: int | Fraction, unit: str = "") -> str:
    """A volume as a person writes it: ``7,776 gal``; a fraction is shown to the thousandth."""
    exact = thousandths if isinstance(thousandths, int) else rounded(thousandths)
    text = f"{Decimal(exact).scaleb(-3):,.3f}".rstrip("0").rstrip(".")
    return f"{text} {unit}".rstrip()


def _share_in_words(millionths: int) -> str:
    return f"{Decimal(millionths).scaleb(-6):f}".rstrip("0").rstrip(".") or "0"


def _part_in_words(pieces: int, read: Read, inside: int, days: int, part: int, unit: str) -> str:
    """Which part of an entry's volume falls in a period; nothing where it is the whole, in the same unit."""
    if pieces > 1:
        return f"; {inside} of these {days} days are in this period: {in_words(part, read.unit)}"
    return f", that is {in_words(part, read.unit)}" if unit != read.unit else ""


def _from_to(start: dt.date, end: dt.date) -> str:
    return f"from {start} to {end}"


def mistakes_of_figures(entry: Entry) -> list[str]:
    """A sentence for each figure that the entry's kind and method do not go with."""
    if entry.method not in METHODS[entry.kind]:
        return [f"a {entry.kind} is not found by {entry.method}; allowed: {', '.join(METHODS[entry.kind])}"]
    needs = FIGURES[entry.method]
    given = {
        "volume": entry.volume_thousandths, "less_volume": entry.less_volume_thousandths, "share": entry.share_millionths,
        "bills": entry.bills,
    }  # fmt: skip
    wrong = []
    for name, value in given.items():
        if value is None and needs.get(name) == "required":
            wrong.append(f"{name} is empty, and the method {entry.method} asks for it")
        elif value is not None and name not in needs:
            asked = ", ".join(needs) or "no figure"
            wrong.append(f"{name} is given, and the method {entry.method} asks for {asked}")
    if ("volume" in needs) != bool(entry.volume_unit):
        state = "is empty and there is a volume" if "volume" in needs else "is given and there is no volume"
        wrong.append(f"volume_unit {state}")
    if entry.kind != "leak" and entry.reached_sewer:
        wrong.append(f"reached_sewer is given; it is asked of leaks only, not of a {entry.kind}")
    if entry.kind == "leak" and "share" in needs and entry.share_millionths is None and not entry.reached_sewer:
        wrong.append(
            "share and reached_sewer are both empty; one of them has to say how much of the excess is credited"
        )
    if entry.period_end <= entry.period_start:
        wrong.append(f"the period ends on {entry.period_end}, not after its first day {entry.period_start}")
    return wrong


# Volumes by days


def shared_out(total: int, weights: Sequence[int]) -> list[int]:
    """A whole number in parts as large as ``weights``, which are not negative; the parts add to it exactly."""
    whole = sum(weights)
    if not whole:
        weights, whole = [1] * len(weights), len(weights)
    parts, running, before = [], 0, 0
    for weight in weights:
        running += weight
        upto = rounded(Fraction(total * running, whole))
        parts.append(upto - before)
        before = upto
    return parts


def use_inside(read: Read, start: dt.date, end: dt.date) -> int:
    """The part of a period's use in some of its days, as parts laid end to end add to it (``exact.part_of``)."""
    begin, stop = (max(read.start, min(read.end, day)) for day in (start, end))
    upto = [rounded(Fraction(read.volume_thousandths * (day - read.start).days, read.days)) for day in (begin, stop)]
    return upto[1] - upto[0]


def _in_unit(thousandths: int, unit: str, of: str) -> Fraction:
    return Fraction(thousandths * SIZE_8NL[unit], SIZE_8NL[of])


def _by_days(thousandths: int, unit: str, pieces: Sequence[tuple[int, str]]) -> list[int]:
    """A volume over pieces (days, unit) by their days, each part in thousandths of the piece's unit.

    Rounded running totals: where all pieces have one unit, the parts add to the volume exactly.
    """
    days = sum(n for n, _ in pieces)
    parts, running = [], 0
    for n, of in pieces:
        whole = _in_unit(thousandths, unit, of)
        parts.append(rounded(whole * (running + n) / days) - rounded(whole * running / days))
        running += n
    return parts


# Entries about readings


def edges_nearby(entry: Entry, reads: Sequence[Read]) -> str:
    """The days on which delivered periods begin or end, nearest to the entry's two, for its sentence."""
    edges = sorted({day for read in reads for day in (read.start, read.end)})
    if not edges:
        return "no period of the meter was delivered"
    near = {
        edge
        for day in (entry.period_start, entry.period_end)
        for edge in sorted(edges, key=lambda edge: abs((edge - day).days))[:2]
    }
    return f"delivered periods nearby begin or end on {', '.join(str(edge) for edge in sorted(near))}"


def _whole_periods(entry: Entry, reads: Sequence[Read]) -> list[Read]:
    """The periods that the entry covers. Refused if it covers none, or a part of one."""
    met = [r for r in reads if r.start < entry.period_end and r.end > entry.period_start]
    begins, ends = {r.start for r in met}, {r.end for r in met}
    is_whole = all(r.start >= entry.period_start and r.end <= entry.period_end for r in met)
    if not met or not is_whole or entry.period_start not in begins or entry.period_end not in ends:
        raise Refused(
            f"the entry goes {_from_to(entry.period_start, entry.period_end)} and a {entry.kind} has to cover whole delivered "
            f"periods; {edges_nearby(entry, reads)}"
        )
    return sorted(met, key=lambda r: (r.meter, r.start))


def _one_meter(entry: Entry, met: Sequence[Read]) -> None:
    if len({r.meter for r in met}) > 1:
        raise Refused(
            f"the service has several domestic meters, and the method {entry.method} is about one of them; name its district, "
            "account and meter"
        )


def _year_before(read: Read, history: Sequence[Read]) -> tuple[Fraction, str]:
    """The use that the period would have had at the daily use of the same days a year before, and how it was found."""
    start, end = after_months(read.start, -12), after_months(read.end, -12)
    met = [(r, max(r.start, start), min(r.end, end)) for r in history if r.meter == read.meter and not r.is_left_out]
    met = [(r, a, b) for r, a, b in met if a < b]
    days = (end - start).days
    covered = {a + _DAY * n for _, a, b in met for n in range((b - a).days)}
    if len(covered) != days or sum((b - a).days for _, a, b in met) != days:
        raise Refused(
            f"the use {_from_to(start, end)}, the same days a year before, is not known of this meter and occupant; allowed: "
            "mean_of_bills_before, or volume"
        )
    volume = sum(
        (_in_unit(r.volume_thousandths, r.unit, read.unit) * (b - a).days / r.days for r, a, b in met), Fraction(0)
    )
    normal = volume * read.days / days
    return normal, (
        f"a year before, {_from_to(start, end)}, {in_words(volume, read.unit)} were used in {days} days; "
        f"that is {in_words(normal, read.unit)} in {read.days} days"
    )


def _bills_before(entry: Entry, read: Read, history: Sequence[Read]) -> tuple[Fraction, str]:
    """The use that the period would have had at the mean daily use of the bills before the entry, and how it was found."""
    number, edge, bills = entry.bills or 0, entry.period_start, list[Read]()
    ending = {r.end: r for r in history if r.meter == read.meter}
    while len(bills) < number and edge in ending:
        bill = ending[edge]
        edge = bill.start
        if not bill.is_left_out:
            bills.append(bill)
    if len(bills) < number:
        raise Refused(
            f"{len(bills)} bills of this meter and occupant are known right before {entry.period_start}, and the entry asks for the "
            f"mean of {number}; allowed: fewer bills, or volume"
        )
    volume = sum((_in_unit(r.volume_thousandths, r.unit, read.unit) for r in bills), Fraction(0))
    days = sum(r.days for r in bills)
    normal = volume * read.days / days
    return normal, (
        f"in the {number} bills before, {_from_to(edge, entry.period_start)}, {in_words(volume, read.unit)} were used in {days} days; "
        f"that is {in_words(normal, read.unit)} in {read.days} days"
    )


def _credited_share(entry: Entry, policy: AdjustmentPolicy) -> tuple[int, str]:
    """The share of a leak's excess that is credited, in millionths, and whose word it is."""
    if entry.share_millionths is not None:
        return entry.share_millionths, "as entered"
    leak = policy.leak
    if entry.reached_sewer == "no":
        share, why = leak.share_if_never_reached_sewer.value, "by the policy, as it never reached the sewer"
    else:
        share, why = leak.share_if_reached_sewer.value, "by the policy, as it reached the sewer"
    return int(share.scaleb(6)), why


def _less_excess(entry: Entry, read: Read, history: Sequence[Read], policy: AdjustmentPolicy) -> Change:
    find = _year_before if entry.method == "prior_year" else lambda r, h: _bills_before(entry, r, h)
    normal, how = find(read, history)
    use, unit = read.volume_thousandths, read.unit
    if normal < 0:
        raise Refused(f"{how}: less than nothing, as after a correction, is no use to compare with; allowed: volume")
    if use <= normal:
        return Change(read, use, False, f"{how}; {in_words(use, unit)} are no more than that, and stay")
    if entry.kind == "pool":
        after = rounded(normal)
        return Change(read, after, False, f"{how}; the part of {in_words(use, unit)} above it comes off; "
                      f"{in_words(after, unit)} count")  # fmt: skip
    share, whose = _credited_share(entry, policy)
    credit = (use - normal) * Fraction(share, 1_000_000)
    after = rounded(use - credit)
    return Change(
        read, after, False,
        f"{how}; the excess of {in_words(use, unit)} over it is {in_words(use - normal, unit)}, of which "
        f"the share {_share_in_words(share)} is credited ({whose}): {in_words(use - after, unit)}; {in_words(after, unit)} count",
    )  # fmt: skip


def _about_readings(
    entry: Entry, reads: Sequence[Read], history: Sequence[Read], policy: AdjustmentPolicy
) -> Iterator[Change]:
    met = _whole_periods(entry, reads)
    if entry.method == "leave_out":
        for read in met:
            yield Change(read, read.volume_thousandths, True,
                         f"{in_words(read.volume_thousandths, read.unit)} in {read.days} days are left out of the average, the volume "
                         "and the days")  # fmt: skip
        return
    if entry.method not in ("volume", "deduct"):
        for read in met:
            yield _less_excess(entry, read, history, policy)
        return
    _one_meter(entry, met)
    total, unit = entry.volume_thousandths or 0, entry.volume_unit
    parts = _by_days(total, unit, [(r.days, r.unit) for r in met])
    days = sum(r.days for r in met)
    for read, part in zip(met, parts, strict=True):
        how = f"{in_words(total, unit)} {_from_to(entry.period_start, entry.period_end)}"
        how += _part_in_words(len(met), read, read.days, days, part, unit)
        use = read.volume_thousandths
        if entry.method == "volume":
            yield Change(read, part, False, f"{how}; it counts instead of {in_words(use, read.unit)}")
            continue
        yield _taken_off(read, part, use, how, f"{_from_to(read.start, read.end)}")


# Entries about a stretch of days


def _taken_off(read: Read, part: int, inside: int, how: str, when: str) -> Change:
    """``part`` comes off the period. Refused if that is more than what was used in the days that it is about."""
    unit, use = read.unit, read.volume_thousandths
    if part > inside:
        raise Refused(
            f"{how}: {in_words(part, unit)} would come off the use {when}, which is {in_words(inside, unit)}; no more than the use "
            "comes off. Allowed: a smaller volume, shorter periods with their own volumes, or naming the meter"
        )
    return Change(read, use - part, False, f"{how}; {in_words(use, unit)} less {in_words(part, unit)}: "
                  f"{in_words(use - part, unit)} count")  # fmt: skip


def _pieces(entry: Entry, reads: Sequence[Read]) -> list[tuple[Read, dt.date, dt.date]]:
    """The periods that the entry meets, each with its days inside; one unit after the other."""
    met = [(r, max(r.start, entry.period_start), min(r.end, entry.period_end)) for r in reads]
    met = sorted(((r, a, b) for r, a, b in met if a < b), key=lambda m: (m[0].unit, m[0].start, m[0].meter))
    covered = {a + _DAY * n for _, a, b in met for n in range((b - a).days)}
    # A share of the use comes off whatever use is known; a volume has to fall on the days it is about.
    if not met or (entry.method != "share" and len(covered) != entry.days):
        raise Refused(
            f"the entry goes {_from_to(entry.period_start, entry.period_end)}, and use was not delivered for "
            f"{entry.days - len(covered)} of these {entry.days} days; {edges_nearby(entry, reads)}"
        )
    return met


def _figures(entry: Entry) -> tuple[int, str]:
    """The entry's volume, less what is taken off it, in thousandths of its unit; and the same in words."""
    volume, less, unit = entry.volume_thousandths or 0, entry.less_volume_thousandths, entry.volume_unit
    if entry.method == "make_up_less_blow_down":
        words = f"make-up {in_words(volume, unit)} less blow-down {in_words(less or 0, unit)} is {in_words(volume - (less or 0), unit)}"
        if volume < (less or 0):
            raise Refused(f"{words}: more was blown down than made up; see whether the two are exchanged")
        return volume - (less or 0), words
    if entry.method == "water_balance":
        net = volume - (less or 0)
        return net, (
            f"balance: {in_words(volume, unit)} from elsewhere less {in_words(less or 0, unit)} that did not reach the sewer is "
            f"{in_words(net, unit)}"
        )
    return volume, in_words(volume, unit)


def _over_stretch(entry: Entry, reads: Sequence[Read]) -> Iterator[Change]:
    pieces = _pieces(entry, reads)
    if entry.method == "share":
        share = Fraction(entry.share_millionths or 0, 1_000_000)
        for read, a, b in pieces:
            inside = use_inside(read, a, b)
            how = f"{_share_in_words(entry.share_millionths or 0)} of the use of {in_words(inside, read.unit)} {_from_to(a, b)} evaporated"
            part = rounded(inside * share)
            yield Change(read, read.volume_thousandths - part, False,
                         f"{how}: {in_words(part, read.unit)}; {in_words(read.volume_thousandths, read.unit)} less that: "
                         f"{in_words(read.volume_thousandths - part, read.unit)} count")  # fmt: skip
        return
    total, words = _figures(entry)
    days = sum((b - a).days for _, a, b in pieces)
    parts = _by_days(total, entry.volume_unit, [((b - a).days, read.unit) for read, a, b in pieces])
    when = _from_to(entry.period_start, entry.period_end)
    said = {
        "make_up_less_blow_down": f"{words} that evaporated {when}",
        "deduct": f"{words} did not reach the sewer {when} ({entry.kind})",
        "add": f"{words} came from elsewhere {when}",
        "effluent_meter": f"the effluent meter shows {words} {when}",
        "water_balance": f"{words} {when}",
    }[entry.method]
    for (read, a, b), part in zip(pieces, parts, strict=True):
        unit, use, inside = read.unit, read.volume_thousandths, use_inside(read, a, b)
        how = said
        how += _part_in_words(len(pieces), read, (b - a).days, days, part, entry.volume_unit)
        if entry.method in ("make_up_less_blow_down", "deduct"):
            yield _taken_off(read, part, inside, how, _from_to(a, b))
        elif entry.method == "effluent_meter":
            after = use - inside + part
            rest = "" if inside == use else f", beside {in_words(use - inside, unit)} of the other days"
            yield Change(read, after, False, f"{how}; it counts instead of the use of {in_words(inside, unit)}{rest}: "
                         f"{in_words(after, unit)} count")  # fmt: skip
        elif part < 0:
            yield _taken_off(read, -part, inside, how, _from_to(a, b))
        else:
            yield Change(read, use + part, False, f"{how}; {in_words(use, unit)} and {in_words(part, unit)}: "
                         f"{in_words(use + part, unit)} count")  # fmt: skip


def changes(entry: Entry, reads: Sequence[Read], history: Sequence[Read], policy: AdjustmentPolicy) -> list[Change]:
    """What ``entry`` makes of the periods it is about, each with its reason; at least one.

    ``reads``: this year's periods of the meters that the entry is about, as they count so far. ``history``: periods of these
    meters and of the service's present occupant, this year's and the year's before. An override changes no period.
    Errors: Refused with the sentence.
    """
    if entry.kind in READ_KINDS:
        return list(_about_readings(entry, reads, history, policy))
    return list(_over_stretch(entry, reads))
