"""What each entry of the adjustment sheet changes, step by step with its reason, and which entries are refused.

Belongs here: whose meters and periods an entry is about, what speaks against it, applying the others in their order.
Does not belong here: the calculation of a method (``rate_tables.adjusting``), taking the sheet in (``adjustments``), what counts in
the end (``adjusted_consumption``).

An entry is refused with a sentence and changes nothing, or every row of consumption that it is about has a step; an override has
none, because it changes no consumption. Bulk consumption stays in the engine; what few rows the entries are about are worked out
one by one.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from assets.stage import stage
from rate_tables.adjusting import (
    READ_KINDS,
    Change,
    Entry,
    Meter,
    Read,
    Refused,
    changes,
    in_words,
    mistakes_of_figures,
    shared_out,
)
from rate_tables.adjustment_policy import AdjustmentPolicy
from rate_tables.calendar_days import after_months
from rate_tables.looked_up import among
from validations.tables import ADJUSTMENT_STEPS, REFUSED_ADJUSTMENTS
from validations.workspace import Year

Row = dict[str, Any]

_METER = ["district_id", "district_account", "meter_id"]
_RECORD = ["district_id", "source_file", "source_row", "source_column"]
_ENTRY = (
    "adjustment_id", "kind", "method", "period_start", "period_end", "volume_thousandths", "less_volume_thousandths", "volume_unit",
    "share_millionths", "bills", "reached_sewer",
)  # fmt: skip
_WHOLE_SHARE = 1_000_000
_PeriodOfMeter = tuple[Meter, dt.date, dt.date, str]


def overrides(adjustments: ir.Table, refused_adjustments: ir.Table) -> ir.Table:
    """One row per service whose average an entry sets: adjustment_id, service_id, average_thousandths (of volume_unit)."""
    entered = adjustments.filter(adjustments.kind == "override").anti_join(refused_adjustments, "adjustment_id")
    return entered.select("adjustment_id", "service_id", "volume_unit", average_thousandths="volume_thousandths")


@dataclass
class _Period:
    """A delivered period of a meter and its rows (several where a compound meter has several registers), as they count so far."""

    key: _PeriodOfMeter
    rows: list[Row]
    is_left_out: bool = False

    @property
    def read(self) -> Read:
        meter, start, end, unit = self.key
        return Read(meter, start, end, sum(row["volume"] for row in self.rows), unit, self.is_left_out)


@dataclass
class _About:
    """An entry that nothing in it speaks against so far, and the meters that it is about."""

    row: Row
    entry: Entry
    meters: list[Meter]
    periods: set[tuple[dt.date, dt.date]] = field(default_factory=set)

    def meets(self, other: _About) -> bool:
        """Whether both are about one meter on one day."""
        mine, theirs = self.entry, other.entry
        return (
            mine.period_start < theirs.period_end
            and theirs.period_start < mine.period_end
            and not set(self.meters).isdisjoint(other.meters)
        )


@dataclass
class _World:
    """What entries are held against. Rows carry ``volume``, in thousandths of their unit, as it counts so far."""

    services: dict[str, Row]
    links: dict[str, list[Row]]
    past: dict[str, list[Row]]
    periods: dict[Meter, list[_Period]]
    last_year: dict[tuple[str, Meter], list[_Period]]
    policy: AdjustmentPolicy
    billing_year: int

    def reads(self, meters: Sequence[Meter]) -> list[Read]:
        return [period.read for meter in meters for period in self.periods.get(meter, [])]

    def history(self, service: Row, meters: Sequence[Meter]) -> list[Read]:
        """This year's and last year's periods of the present occupant, each day once.

        What was adjusted last year counts as it was adjusted, whatever is delivered again; else the latest delivery counts.
        """
        since = service["occupant_since"]
        if since is None:
            return []
        found = list[Read]()
        for meter in meters:
            last = self.last_year.get((service["service_id"], meter), [])
            in_turn = (
                [p for p in last if any(row["is_adjusted"] for row in p.rows)], self.periods.get(meter, []),
                [p for p in last if not any(row["is_adjusted"] for row in p.rows)],
            )  # fmt: skip
            taken = list[Read]()
            for part in in_turn:
                free = [p.read for p in part if not any(p.key[1] < t.end and t.start < p.key[2] for t in taken)]
                taken += free
            found += taken
        return [read for read in found if read.start >= since]


def _named(row: Row) -> str:
    return " ".join(part for part in (row["district_id"], row["district_account"], row["meter_id"]) if part)


def _same_person(one: str, other: str) -> bool:
    return " ".join(one.casefold().split()) == " ".join(other.casefold().split())


def _mistakes(row: Row, entry: Entry, world: _World, sheet: dict[str, Row]) -> list[str]:
    """What the sheet alone shows to be wrong with an entry."""
    wrong = mistakes_of_figures(entry)
    if row["service_id"] not in world.services:
        wrong.append(f"service {row['service_id']} is not in the CIS extract")
    for name, what in (("document", "the paper that shows it"), ("reason", "why"), ("entered_by", "who entered it"),
                       ("approved_by", "who approved it")):  # fmt: skip
        if not re.search(r"\w", row[name]):
            wrong.append(f"{name} is empty; it has to say {what}")
    if row["entered_by"].strip() and _same_person(row["entered_by"], row["approved_by"]):
        wrong.append("the same person entered and approved it; another person has to approve")
    if entry.kind == "override" and any(row[name] for name in _METER):
        wrong.append("an override is about the service; district_id, district_account and meter_id have to be empty")
    if row["expires_on"] is None:
        if entry.kind in world.policy.kinds_that_expire.value:
            wrong.append(f"expires_on is empty, and an entry of the kind {entry.kind} has to expire")
    elif row["expires_on"] < entry.period_end:
        wrong.append(
            f"it expired on {row['expires_on']}, before its period ends on {entry.period_end}; have it renewed, or end the period there"
        )
    if row["linked_to"]:
        wrong += _mistakes_of_link(row, entry, world, sheet)
    return wrong


def _mistakes_of_link(row: Row, entry: Entry, world: _World, sheet: dict[str, Row]) -> list[str]:
    linked = sheet.get(row["linked_to"])
    if linked is None or linked["service_id"] != row["service_id"]:
        last = (p for p in world.past.get(row["service_id"], []) if p["sheet_year"] == world.billing_year - 1)
        linked = next((p for p in last if p["adjustment_id"] == row["linked_to"]), None)
    if linked is None:
        return [f"linked_to {row['linked_to']} is no entry of this service that stands in this or last year's sheet"]
    if linked["kind"] != entry.kind:
        return [f"linked_to {row['linked_to']} is a {linked['kind']}, and this is a {entry.kind}"]
    if (linked["period_start"], linked["adjustment_id"]) >= (entry.period_start, entry.adjustment_id):
        return [
            f"linked_to {row['linked_to']} does not come before this entry, so it cannot be what this one goes on with"
        ]
    return []


def _meters(row: Row, entry: Entry, links: Sequence[Row]) -> list[Meter]:
    """The meters that an entry is about, of those that serve its service. Refused if there is none, or they cannot be."""
    named = {name: row[name] for name in _METER if row[name]}
    if named and not {"district_id", "district_account"} <= named.keys():
        raise Refused(
            "a meter is named by district_id, district_account and meter_id together, an account by the first two; allowed also: "
            "none of them, for every domestic meter of the service"
        )
    met = [link for link in links if all(link[name] == text for name, text in named.items())]
    if "meter_id" not in named:
        met = [link for link in met if link["purpose"] == "domestic"]
    if not met:
        theirs = ", ".join(sorted({f"{_named(link)} ({link['purpose']})" for link in links})) or "none"
        what = f"{_named(row)} is no" if named else "there is no domestic"
        raise Refused(f"{what} delivered meter of service {row['service_id']}; its delivered meters are: {theirs}")
    if entry.kind not in READ_KINDS:
        other = next((link for link in met if link["purpose"] != "domestic"), None)
        if other is not None:
            raise Refused(
                f"meter {_named(other)} is linked as {other['purpose']}, and a {entry.kind} changes what domestic meters measured"
            )
        shared = next((link for link in met if link["share_to"] - link["share_from"] != _WHOLE_SHARE), None)
        if shared is not None:
            raise Refused(
                f"meter {_named(shared)} serves several services, and a {entry.kind} is about one of them; correct the shares in the CIS, "
                "or set the average by an override"
            )
    return sorted({_meter_of(link) for link in met})


def _meter_of(row: Row) -> Meter:
    return row["district_id"], row["district_account"], row["meter_id"]


def _overlaps(about: Sequence[_About]) -> dict[str, str]:
    """Adjustment -> sentence, for entries that cannot stand beside each other: neither is known to be the right one."""
    by_meter = defaultdict(list)
    for one in about:
        for meter in one.meters or [("", one.row["service_id"], "")]:
            by_meter[meter].append(one)
    found: dict[str, str] = {}
    for together in by_meter.values():
        for pair in combinations(together, 2):
            first, second = pair
            is_override = first.entry.kind == second.entry.kind == "override"
            if not is_override and not first.meets(second):
                continue
            effluent = [one for one in pair if one.entry.method == "effluent_meter"]
            if first.entry.kind != second.entry.kind and not effluent:
                continue
            for one, other in (pair, (second, first)):
                if is_override:
                    why = f"overrides the same service's average as {other.entry.adjustment_id}"
                elif first.entry.kind == second.entry.kind:
                    why = f"overlaps {other.entry.adjustment_id}, which is a {other.entry.kind} too, on the same meter"
                else:
                    why = f"overlaps {other.entry.adjustment_id} on the same meter, and an effluent meter measures what is left of all use"
                found.setdefault(
                    one.entry.adjustment_id, f"it {why}; allowed: one of the two, or periods that do not overlap"
                )
    return found


def _broken_limit(one: _About, standing: Sequence[_About], world: _World) -> str | None:
    """The sentence where the policy allows such an entry once in some years and there was one already."""
    years = world.policy.once_in_years.get(one.entry.kind)
    if years is None or one.row["linked_to"]:
        return None
    before = [(p, f"the sheet of {p['sheet_year']}") for p in world.past.get(one.row["service_id"], [])]
    before += [(s.row, "this sheet") for s in standing]
    for other, where in before:
        if other["kind"] != one.entry.kind or other["linked_to"]:
            continue
        earlier, later = sorted((other["period_start"], one.entry.period_start))
        if after_months(earlier, 12 * years) > later:
            span = "a year" if years == 1 else f"in {years} years"
            return (
                f"the policy allows one {one.entry.kind} {span}, and {other['adjustment_id']} of {where} began on {other['period_start']}; "
                "if this one goes on with that, say so in linked_to"
            )
    return None


def _too_many_periods(one: _About, made: Sequence[Change], standing: dict[str, _About], world: _World) -> str | None:
    """The sentence where a leak, with what it goes on with in this sheet, covers more periods than the policy allows."""
    if one.entry.kind != "leak":
        return None
    before = standing.get(one.row["linked_to"])
    one.periods = {(c.read.start, c.read.end) for c in made} | (before.periods if before else set())
    most = world.policy.leak.periods_at_most.value
    if len(one.periods) <= most:
        return None
    return f"it covers {len(one.periods)} periods, with what it goes on with; the policy allows {most} for one leak"


def _is_served_all_along(one: _About, made: Sequence[Change], links: Sequence[Row]) -> str | None:
    """The sentence where an entry over a stretch would change a period that serves another service for a part of it."""
    if one.entry.kind in READ_KINDS:
        return None
    for change in made:
        read = change.read
        theirs = [link for link in links if _meter_of(link) == read.meter]
        if not any(link["link_start"] <= read.start and read.end <= link["link_end"] for link in theirs):
            return (
                f"the period from {read.start} to {read.end} of meter {' '.join(read.meter).strip()} is not the service's as a whole, because "
                "its meter link begins or ends in it; set the average by an override"
            )
    return None


def _applied(one: _About, made: Sequence[Change], world: _World, places: dict[tuple[Any, ...], int]) -> list[Row]:
    """The entry's steps, one for each row of consumption; the world's rows count accordingly from then on."""
    steps = []
    for change in made:
        read = change.read
        key = (read.meter, read.start, read.end, read.unit)
        period = next(p for p in world.periods[read.meter] if p.key == key)
        before = [row["volume"] for row in period.rows]
        after = before
        if change.after_volume_thousandths != sum(before):
            after = shared_out(change.after_volume_thousandths, [max(volume, 0) for volume in before])
        period.is_left_out = period.is_left_out or change.is_left_out
        for row, old, new in zip(period.rows, before, after, strict=True):
            row["volume"] = new
            record = tuple(row[name] for name in _RECORD)
            places[record] = places.get(record, 0) + 1
            part = f"; of this the register in row {row['source_row']}: {in_words(old, read.unit)} to {in_words(new, read.unit)}"
            steps.append({
                **{name: row[name] for name in (*_RECORD, *_METER, "period_start", "period_end", "volume_unit")},
                "adjustment_id": one.entry.adjustment_id, "service_id": one.row["service_id"], "place": places[record],
                "before_volume_thousandths": old, "after_volume_thousandths": new, "is_left_out": period.is_left_out,
                "why": change.why + (part if len(period.rows) > 1 else ""),
            })  # fmt: skip
    return steps


def _judged(rows: Sequence[Row], world: _World) -> tuple[list[Row], list[Row]]:
    """Steps and refusals of the entries ``rows``: each entry has the one or the other, or is an override that stands."""
    sheet = {row["adjustment_id"]: row for row in rows}
    refused: dict[str, str] = {}
    about = list[_About]()
    for row in rows:
        entry = Entry(**{name: row[name] for name in _ENTRY})
        wrong = _mistakes(row, entry, world, sheet)
        meters = list[Meter]()
        if not wrong and entry.kind != "override":
            try:
                meters = _meters(row, entry, world.links.get(row["service_id"], []))
            except Refused as sentence:
                wrong = [str(sentence)]
        if wrong:
            refused[entry.adjustment_id] = "; ".join(wrong)
        else:
            about.append(_About(row, entry, meters))
    refused |= _overlaps(about)

    steps, standing, places = list[Row](), dict[str, _About](), dict[tuple[Any, ...], int]()
    standing_of: dict[str, list[_About]] = defaultdict(list)
    for one in sorted(about, key=lambda one: one.entry.place):
        identity, service_id = one.entry.adjustment_id, one.row["service_id"]
        if identity in refused:
            continue
        if one.row["linked_to"] in refused and sheet[one.row["linked_to"]]["service_id"] == service_id:
            refused[identity] = f"it goes on with {one.row['linked_to']}, which is refused"
            continue
        limit = _broken_limit(one, standing_of[service_id], world)
        if limit is None and one.entry.kind != "override":
            try:
                history = world.history(world.services[service_id], one.meters)
                made = changes(one.entry, world.reads(one.meters), history, world.policy)
            except Refused as sentence:
                refused[identity] = str(sentence)
                continue
            limit = _too_many_periods(one, made, standing, world)
            limit = limit or _is_served_all_along(one, made, world.links[service_id])
            if limit is None:
                steps += _applied(one, made, world, places)
        if limit is not None:
            refused[identity] = limit
            continue
        standing[identity] = one
        standing_of[service_id].append(one)
    return steps, [
        {"adjustment_id": identity, "service_id": sheet[identity]["service_id"], "message": message}
        for identity, message in refused.items()
    ]


def _rows(table: ir.Table) -> list[Row]:
    return table.to_pyarrow().to_pylist()  # type: ignore[no-any-return]


def _periods(rows: Sequence[Row]) -> dict[Meter, list[_Period]]:
    """Rows of consumption as periods of meters, in order."""
    grouped: dict[_PeriodOfMeter, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: tuple(r[name] for name in _RECORD)):
        grouped[_meter_of(row), row["period_start"], row["period_end"], row["volume_unit"]].append(row)
    found: dict[Meter, list[_Period]] = defaultdict(list)
    for key in sorted(grouped):
        theirs = grouped[key]
        found[key[0]].append(_Period(key, theirs, all(row.get("is_left_out", False) for row in theirs)))
    return found


def _rows_of(meters: ir.Table, consumption: ir.Table, year: Year) -> list[Row]:
    """The rows of these meters, with the volume that the averaging rule counts."""
    counted = f"{year.averaging.schedule.averaging.averaged_volume.value}_volume_thousandths"
    met = consumption.semi_join(meters, _METER)
    names = dict.fromkeys((*_RECORD, *_METER, "period_start", "period_end", "volume_unit"))
    return _rows(met.select(*names, volume=counted))


def _last_year(
    meters: ir.Table, links: dict[str, list[Row]], prior_consumption: ir.Table, prior_adjusted: ir.Table, year: Year
) -> dict[tuple[str, Meter], list[_Period]]:
    """Last year's periods of each service's meters, as they counted for it."""
    adjusted = among(prior_adjusted, "service_id", links)
    counted = {
        (row["service_id"], *(row[name] for name in _RECORD)): row
        for row in _rows(adjusted.select("service_id", *_RECORD, "adjusted_volume_thousandths", "is_left_out"))
    }
    rows_of_meter = defaultdict(list)
    for row in _rows_of(meters, prior_consumption, year):
        rows_of_meter[_meter_of(row)].append(row)
    found = {}
    for service_id, theirs in links.items():
        for meter in {_meter_of(link) for link in theirs}:
            rows = []
            for row in rows_of_meter[meter]:
                change = counted.get((service_id, *(row[name] for name in _RECORD)))
                said = (
                    {"volume": change["adjusted_volume_thousandths"], "is_left_out": change["is_left_out"]}
                    if change
                    else {}
                )
                rows.append(row | said | {"is_adjusted": change is not None})
            found[service_id, meter] = _periods(rows).get(meter, [])
    return found


def _worked_out(
    entries: ir.Table,
    past_adjustments: ir.Table,
    sewer_services: ir.Table,
    service_consumption: ir.Table,
    consumption: ir.Table,
    prior_consumption: ir.Table,
    prior_adjusted_consumption: ir.Table,
    year: Year,
) -> tuple[list[Row], list[Row]]:
    """Steps and refusals of all ``entries``, the services of one slice at a time: a slice is never judged by another's entries."""
    rows = _rows(entries)
    if not rows:
        return [], []
    ids = sorted({row["service_id"] for row in rows})
    services = {
        row["service_id"]: row
        for row in _rows(among(sewer_services, "service_id", ids).select("service_id", "occupant_since", "slice_id"))
    }
    s = among(service_consumption, "service_id", ids)
    links = defaultdict(list)
    for row in _rows(
        s.select(
            "service_id", *_METER, "purpose", "link_start", "link_end", share_from="share_from_millionths", share_to="share_to_millionths"
        )
    ):  # fmt: skip
        links[row["service_id"]].append(row)
    text = pa.string()
    keys = sorted({_meter_of(link) for theirs in links.values() for link in theirs})
    meters = ibis.memtable(
        pa.Table.from_pylist(
            [dict(zip(_METER, key, strict=True)) for key in keys], schema=pa.schema(dict.fromkeys(_METER, text))
        )
    )
    delivered = defaultdict(list)
    for row in _rows_of(meters, consumption, year):
        delivered[_meter_of(row)].append(row)
    last_year = (
        _last_year(meters, links, prior_consumption, prior_adjusted_consumption, year)
        if any(row["method"] in ("prior_year", "mean_of_bills_before", "above_mean") for row in rows)
        else {}
    )
    past = defaultdict(list)
    for row in _rows(among(past_adjustments, "service_id", ids)):
        past[row["service_id"]].append(row)
    slices = defaultdict(list)
    for row in rows:
        slices[services[row["service_id"]]["slice_id"] if row["service_id"] in services else ""].append(row)
    steps, refused = list[Row](), list[Row]()
    for theirs in slices.values():
        asked = {
            _meter_of(link)
            for service_id in {row["service_id"] for row in theirs}
            for link in links.get(service_id, [])
        }
        periods = _periods([dict(row) for meter in asked for row in delivered[meter]])
        world = _World(services, links, past, periods, last_year, year.adjustment_policy.rules, year.billing_year)
        made = _judged(theirs, world)
        steps += made[0]
        refused += made[1]
    return steps, refused


@stage(ADJUSTMENT_STEPS, "adjustment", by_slice=True)
def adjustment_steps(
    adjustments: ir.Table,
    past_adjustments: ir.Table,
    sewer_services: ir.Table,
    service_consumption: ir.Table,
    consumption: ir.Table,
    prior_consumption: ir.Table,
    prior_adjusted_consumption: ir.Table,
    *,
    year: Year,
) -> ir.Table:
    """Before, after and why, for each row of consumption that an entry changes.

    Entries about one period are applied in a stated order (``rate_tables.adjusting.ORDER``), each to what the one before left.
    """
    ours = adjustments.semi_join(sewer_services, "service_id")
    steps, _ = _worked_out(
        ours, past_adjustments, sewer_services, service_consumption, consumption, prior_consumption, prior_adjusted_consumption, year
    )  # fmt: skip
    return ADJUSTMENT_STEPS.of_rows(steps)


@stage(REFUSED_ADJUSTMENTS, "adjustment")
def refused_adjustments(
    adjustments: ir.Table,
    past_adjustments: ir.Table,
    sewer_services: ir.Table,
    service_consumption: ir.Table,
    consumption: ir.Table,
    prior_consumption: ir.Table,
    prior_adjusted_consumption: ir.Table,
    *,
    year: Year,
) -> ir.Table:
    """Entries that cannot be applied as they stand, each with a sentence. Nothing of them is applied, and the others stand."""
    _, refused = _worked_out(
        adjustments, past_adjustments, sewer_services, service_consumption, consumption, prior_consumption, prior_adjusted_consumption,
        year,
    )  # fmt: skip
    return REFUSED_ADJUSTMENTS.of_rows(refused)
