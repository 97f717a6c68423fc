"""The account of volume: every thousandth that a district delivered has one place where it went.

Belongs here: small districts of any kind, and where a calculation of its own, day by day, sees their water go.
Does not belong here: the averages (``test_averaging``), whole runs (``test_reconciliation``).
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import ibis
import ibis.expr.types as ir
import pytest
from contract_rows import Row, row, table_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from use_world import year_2019

from assets.engine import connected
from assets.service_consumption import service_consumption
from assets.stage import Stage
from assets.volume_account import counted_volume, delivered_volume, linked_volume, volume_account
from assets.winter_averages import counted_use
from rate_tables.schedule import SHIPPED, load_schedules
from validations.identities import identities_of_volume
from validations.tables import (
    ADJUSTED_CONSUMPTION,
    ADJUSTMENT_STEPS,
    BILLING_BASIS,
    CONSUMPTION,
    DELIVERY_TOTALS,
    LINKED_VOLUME,
    METER_LINKS,
    METERS,
    REJECTED_ROWS,
    SEVERAL_DISTRICTS,
    SEWER_SERVICES,
    UNMATCHED,
    VOLUME_ACCOUNT,
    WINTER_AVERAGES,
)
from validations.workspace import Year

WINTER = (dt.date(2018, 11, 1), dt.date(2019, 5, 1))
LONG_AGO, NEVER = dt.date(2000, 1, 1), dt.date(9999, 12, 31)
SIGN = {"domestic": 1, "irrigation": 0, "fire": 0, "deduct": -1, "make_up": -1, "blow_down": 1}


@dataclass(frozen=True)
class Link:
    service: int
    purpose: str
    start: dt.date
    end: dt.date
    share_from: int
    share_to: int


@dataclass(frozen=True)
class Read:
    """A period of a meter. ``entered``: what an entry makes of its volume ("out": leaves it out); ``decided``: what a decision does."""

    start: dt.date
    end: dt.date
    volume: int
    delivered: int
    entered: int | str | None
    decided: int | str | None


@dataclass(frozen=True)
class Meter:
    links: tuple[Link, ...]
    reads: tuple[Read, ...]
    side: str | None
    """Where ``unmatched`` lists it, if no link serves it."""


@dataclass(frozen=True)
class Service:
    occupant_since: dt.date | None
    end: dt.date | None
    derivation: str
    is_of_several: bool = False
    """Whether it is of the slice of services that several districts measure."""


@dataclass(frozen=True)
class District:
    services: tuple[Service, ...]
    meters: tuple[Meter, ...]
    rejected: tuple[tuple[str, int | None], ...]


near_winter = st.integers(-60, 240).map(lambda n: WINTER[0] + dt.timedelta(days=n))
volumes = st.one_of(st.integers(-40_000, 400_000), st.sampled_from([0, 1, 10**10]))


@st.composite
def reads(draw: st.DrawFn) -> tuple[Read, ...]:
    made, day = [], draw(near_winter)
    for _ in range(draw(st.integers(1, 3))):
        end = day + dt.timedelta(days=draw(st.integers(1, 100)))
        volume = draw(volumes)
        change = st.one_of(st.none(), st.none(), volumes, st.just("out"))
        delivered = draw(st.one_of(st.just(volume), volumes))
        made.append(Read(day, end, volume, delivered, draw(change), draw(change)))
        day = end + dt.timedelta(days=draw(st.integers(0, 20)))
    return tuple(made)


@st.composite
def links(draw: st.DrawFn, services: int) -> tuple[Link, ...]:
    """Links of a meter, their shares laid end to end."""
    made, at = [], 0
    for _ in range(draw(st.integers(0, 2))):
        share = draw(st.sampled_from([1_000_000, 500_000, 333_333, 1]))
        start, end = draw(st.sampled_from([LONG_AGO, None])), draw(st.sampled_from([NEVER, None]))
        start, end = start or draw(near_winter), end or draw(near_winter)
        purpose = draw(st.sampled_from(["domestic", "domestic", *SIGN]))
        made.append(Link(draw(st.integers(0, services - 1)), purpose, start, end, at, at + share))
        at += share
    return tuple(
        {
            (link.service, link.purpose, link.start): link
            for link in made
            if link.end > link.start and link.start < WINTER[1] and link.end > WINTER[0]
        }.values()
    )


@st.composite
def districts(draw: st.DrawFn) -> District:
    service = st.builds(
        Service, st.one_of(st.none(), st.just(LONG_AGO), near_winter), st.one_of(st.none(), near_winter),
        st.sampled_from(["computed", "adjusted", "held", "excluded"]), st.booleans(),
    )  # fmt: skip
    services = draw(st.lists(service, min_size=1, max_size=2))
    meter = st.builds(Meter, links(len(services)), reads(), st.sampled_from(["district", "known_non_sewer", None]))
    kind = st.tuples(st.sampled_from(["refused", "duplicate", "set_aside"]), st.one_of(st.none(), volumes))
    return District(tuple(services), tuple(draw(st.lists(meter, max_size=3))), tuple(draw(st.lists(kind, max_size=3))))


def effect(read: Read) -> tuple[int | None, int | None]:
    """What counts of a read after entries, and after decisions; None if it is left out."""
    entered = None if read.entered == "out" else read.volume if read.entered is None else int(read.entered)
    if read.decided == "out" or entered is None:
        return entered, None
    return entered, entered if read.decided is None else int(read.decided)


def tables(worlds: list[District]) -> dict[str, list[Row]]:
    """The tables that the account reads; each district has services and a file of its own."""
    made: dict[str, list[Row]] = defaultdict(list)
    for number, world in enumerate(worlds):
        district, file = f"d{number}", f"d{number}.csv"
        line, records, quantity = 0, 0, 0
        for n, service in enumerate(world.services):
            name, slice_id = f"{district}S{n}", SEVERAL_DISTRICTS if service.is_of_several else district
            made["sewer_services"].append(row(
                SEWER_SERVICES, service_id=name, service_start=LONG_AGO, service_end=service.end,
                occupant_since=service.occupant_since, customer_class="single_family", slice_id=slice_id, billing_cycle="",
            ))  # fmt: skip
            made["billing_basis"].append(row(
                BILLING_BASIS, service_id=name, derivation=service.derivation, volume_unit="ccf", slice_id=slice_id
            ))  # fmt: skip
        for kind, volume in world.rejected:
            line += 1
            records, quantity = records + 1, quantity + (volume or 0)
            made["rejected_rows"].append(row(
                REJECTED_ROWS, district_id=district, source_file=file, source_row=line, source_column="", reason_kind=kind,
                reason_code="volume_missing", delivered_quantity_thousandths=volume,
            ))  # fmt: skip
        for m, meter in enumerate(world.meters):
            here = {"district_id": district, "district_account": f"A{m}", "meter_id": ""}
            made["meters"].append(row(METERS, **here, periods=len(meter.reads), volume_unit="ccf"))
            for link in meter.links:
                is_of_several = world.services[link.service].is_of_several
                made["meter_links"].append(row(
                    METER_LINKS, **here, service_id=f"{district}S{link.service}", purpose=link.purpose,
                    link_start=link.start, link_end=link.end, share_from_millionths=link.share_from,
                    share_millionths=link.share_to - link.share_from, slice_id=SEVERAL_DISTRICTS if is_of_several else district,
                ))  # fmt: skip
            if not meter.links and meter.side:
                made["unmatched"].append(row(UNMATCHED, **here, service_id="", side=meter.side, volume_unit="ccf"))
            for read in meter.reads:
                line += 1
                records, quantity = records + 1, quantity + read.delivered
                record = {"district_id": district, "source_file": file, "source_row": line, "source_column": ""}
                when = {"period_start": read.start, "period_end": read.end, "volume_unit": "ccf"}
                billed = {"registered_volume_thousandths": 7, "billed_volume_thousandths": read.volume}
                made["consumption"].append(row(
                    CONSUMPTION, **(here | record | when | billed), days=(read.end - read.start).days,
                    delivered_quantity_thousandths=read.delivered, read_type="actual",
                ))  # fmt: skip
                entered, decided = effect(read)
                for service in {link.service for link in meter.links}:
                    if read.entered is not None or read.decided is not None:
                        made["adjusted_consumption"].append(row(
                            ADJUSTED_CONSUMPTION, **(here | record | when | billed), service_id=f"{district}S{service}",
                            adjusted_volume_thousandths=read.volume if decided is None else decided, is_left_out=decided is None,
                        ))  # fmt: skip
                if read.entered is not None:
                    made["adjustment_steps"].append(row(
                        ADJUSTMENT_STEPS, **(here | record | when), adjustment_id=f"J{line}", place=1,
                        after_volume_thousandths=read.volume if entered is None else entered, is_left_out=entered is None,
                    ))  # fmt: skip
        made["delivery_totals"].append(row(
            DELIVERY_TOTALS, district_id=district, source_file=file, records=records, delivered_quantity_thousandths=quantity,
        ))  # fmt: skip
    return made


CONTRACTS = {
    contract.name: contract
    for contract in (
        DELIVERY_TOTALS, REJECTED_ROWS, CONSUMPTION, METERS, METER_LINKS, UNMATCHED, ADJUSTMENT_STEPS, ADJUSTED_CONSUMPTION,
        SEWER_SERVICES, BILLING_BASIS,
    )
}  # fmt: skip


def account_made(
    con: Any, rows: dict[str, list[Row]], year: Year, **others: ir.Table
) -> tuple[ir.Table, list[ir.Table]]:
    """The account of these rows and the identities about it, made as a run makes it: services of districts by themselves, and those of
    several by themselves. ``others``: tables that averaging is given instead."""
    given = {name: con.create_table(name, table_of(contract, *rows[name])) for name, contract in CONTRACTS.items()}

    def keep(stage: Stage, **instead: ir.Table) -> ir.Table:
        tables_of_it = (instead.get(name, given[name]) for name in stage.inputs)
        found = stage(*tables_of_it, **({"year": year} if stage.takes("year") else {}))
        return con.create_table(f"t{uuid.uuid4().hex}", found)

    given["service_consumption"] = keep(service_consumption)
    given["counted_use"] = keep(counted_use, **others)
    given["counted_volume"] = keep(counted_volume)
    given["delivered_volume"] = keep(delivered_volume)
    services = given["sewer_services"]
    slices = (
        services.filter(services.slice_id == SEVERAL_DISTRICTS),
        services.filter(services.slice_id != SEVERAL_DISTRICTS),
    )
    of_services = ("sewer_services", "service_consumption", "adjusted_consumption", "billing_basis", "counted_use")
    given["linked_volume"] = ibis.union(
        *(
            keep(linked_volume, **{n: given[n].semi_join(theirs, "service_id") for n in of_services})
            for theirs in slices
        )
    )
    account = keep(volume_account)
    averages = con.create_table("winter_averages", schema=WINTER_AVERAGES.schema)
    found = identities_of_volume(account, given["counted_volume"], averages, given["billing_basis"])
    return account, [given["linked_volume"], *found[:2]]


def account_of(worlds: list[District], year: Year) -> tuple[dict[str, dict[str, tuple[int, int]]], list[Row]]:
    """District -> step -> rows and volume; and the identities about them."""
    con = connected()
    account, (linked, *identities) = account_made(con, tables(worlds), year)
    keys = con.to_pyarrow(linked.select(*LINKED_VOLUME.key)).to_pylist()
    assert len({tuple(key.values()) for key in keys}) == len(keys)
    found: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for r in con.to_pyarrow(VOLUME_ACCOUNT.conform(account)).to_pylist():
        found[r["district_id"]][r["step"]] = r["rows"], r["volume_thousandths"]
    return found, con.to_pyarrow(ibis.union(*identities)).to_pylist()


def by_days(world: District) -> tuple[dict[str, Fraction], dict[str, int]]:
    """Step -> volume and rows that go out there, each day of each read followed by itself."""
    volume: dict[str, Fraction] = defaultdict(Fraction)
    rows: dict[str, int] = defaultdict(int)
    for kind, quantity in world.rejected:
        volume[kind] += quantity or 0
        rows[kind] += 1
    order = ["not_linked", "other_occupant", "not_for_sewer", "adjusted", "decided", "not_averaged", "averaged"]
    for meter in world.meters:
        for read in meter.reads:
            volume["reading_to_volume"] += read.delivered - read.volume
            length = (read.end - read.start).days
            entered, decided = effect(read)
            furthest = -1
            for n in range(length):
                day, amount = read.start + dt.timedelta(days=n), Fraction(read.volume, length)
                if not WINTER[0] <= day < WINTER[1]:
                    volume["outside_window"] += amount
                    continue
                if not meter.links:
                    fate = {"district": "unmatched", None: "not_linked"}.get(meter.side, "known_non_sewer")
                    volume[fate] += amount
                    furthest = max(furthest, 0)
                    continue
                furthest = max(furthest, 0)
                volume["not_linked"] += amount
                for link in meter.links:
                    service = world.services[link.service]
                    if not link.start <= day < link.end:
                        continue
                    share = Fraction(link.share_to - link.share_from, 1_000_000)
                    volume["not_linked"] -= amount * share
                    since = service.occupant_since
                    if since is None or not since <= day < (service.end or NEVER):
                        volume["other_occupant"] += amount * share
                        furthest = max(furthest, order.index("other_occupant"))
                        continue
                    sign = SIGN[link.purpose]
                    if sign == 0:
                        volume["not_for_sewer"] += amount * share
                        furthest = max(furthest, order.index("not_for_sewer"))
                        continue
                    if sign < 0:
                        volume["deducted"] += 2 * amount * share
                    before, after = (sign * share * Fraction(v or 0, length) for v in (entered, decided))
                    volume["adjusted"] += sign * amount * share - before
                    volume["decided"] += before - after
                    goal = "averaged" if service.derivation in ("computed", "adjusted") else "not_averaged"
                    volume[goal] += after
                    out = "adjusted" if entered is None else "decided"
                    furthest = max(furthest, order.index(out if decided is None else goal))
            if furthest == -1:
                rows["outside_window"] += 1
            elif not meter.links:
                rows[{"district": "unmatched", None: "not_linked"}.get(meter.side, "known_non_sewer")] += 1
            else:
                rows[order[furthest]] += 1
    return volume, rows


def shared_by_slices() -> District:
    """A meter that serves a service of its district and one of several: each record leaves once, where it comes furthest."""
    halves = (
        Link(0, "domestic", LONG_AGO, NEVER, 0, 500_000),
        Link(1, "domestic", LONG_AGO, NEVER, 500_000, 1_000_000),
    )
    reads = tuple(
        Read(start, start + dt.timedelta(days=30), 30_001, 30_001, None, None)
        for start in (WINTER[0], WINTER[0] + dt.timedelta(days=30))
    )
    services = Service(LONG_AGO, None, "held"), Service(LONG_AGO, None, "computed", is_of_several=True)
    return District(services, (Meter(halves, reads, None),), ())


@settings(deadline=None, max_examples=12)
@given(st.lists(districts(), min_size=1, max_size=40))
@example([shared_by_slices()])
def test_every_thousandth_goes_where_a_calculation_day_by_day_sees_it_go_and_nothing_is_left(
    worlds: list[District],
) -> None:
    found, identities = account_of(worlds, year_2019())
    assert [i for i in identities if i["difference_thousandths"]] == []
    for number, world in enumerate(worlds):
        steps = found[f"d{number}"]
        volume, rows = by_days(world)
        came = len(world.rejected) + sum(len(meter.reads) for meter in world.meters)
        quantity = sum(q or 0 for _, q in world.rejected) + sum(r.delivered for m in world.meters for r in m.reads)
        assert steps.pop("delivered") == (came, quantity)
        assert {s: -n for s, (n, _) in steps.items() if n} == {s: n for s, n in rows.items() if n}
        # Each part of a read is rounded once, so a step may be off by a thousandth for each part of it.
        parts = 4 * sum(len(m.reads) * max(1, len(m.links)) for m in world.meters)
        for step in steps.keys() | volume.keys():
            assert abs(-steps.get(step, (0, 0))[1] - volume[step]) <= parts, step
        assert came + sum(n for n, _ in steps.values()) == 0
        assert quantity + sum(v for _, v in steps.values()) == 0


@pytest.mark.parametrize("utility", ["denver", "dallas", "santa_rosa"])
@settings(deadline=None, max_examples=4)
@given(worlds=st.lists(districts(), min_size=1, max_size=30))
def test_it_adds_up_under_rules_by_months_and_by_cycles_too(utility: str, worlds: list[District]) -> None:
    (schedule,) = load_schedules(SHIPPED / utility)
    year: Any = replace(year_2019(), averaging=schedule)
    found, identities = account_of(worlds, year)
    assert [i for i in identities if i["difference_thousandths"]] == []
    assert len(found) == len(worlds)


def test_a_row_that_is_counted_twice_or_lost_on_the_way_shows_as_a_difference() -> None:
    read = Read(WINTER[0], dt.date(2018, 12, 1), 30_000, 30_000, None, None)
    home = Meter((Link(0, "domestic", LONG_AGO, NEVER, 0, 1_000_000),), (read,), None)
    service = Service(LONG_AGO, None, "computed")
    rows = tables([District((service,), (home,), ())])
    for kept, difference in (([], 30_000), (rows["consumption"], 0), (rows["consumption"] * 2, -30_000)):
        con = connected()
        of_averages = con.create_table("lost", table_of(CONSUMPTION, *kept))
        _, (*_, identity) = account_made(con, rows, year_2019(), consumption=of_averages)
        assert con.to_pyarrow(identity).to_pylist()[0]["difference_thousandths"] == difference
