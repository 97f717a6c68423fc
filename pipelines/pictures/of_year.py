"""Pictures of a billing year: which figures of the store stand in which chart.

Belongs here: small aggregates of the year's tables, drawn. Does not belong here: drawing (``charts``), where a picture is shown
(``pipelines.reports``, ``pipelines.io_manager``).

Only sums leave the store; a picture costs one pass over its tables, however many services there are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ibis
import ibis.expr.types as ir

from assets.stage import Session
from pipelines.pages.figures import Read, sums_by
from pipelines.pictures.charts import bars, heat_map, histogram, lines
from pipelines.summary import DERIVATIONS
from rate_tables.exact import truncating_divide
from rate_tables.looked_up import among, looked_up
from rate_tables.volume_units import SIZE_8NL, UNIT_NAMES

_BINS = 18
_STEPS_THOUSANDTHS = [s * 10**n for n in range(2, 9) for s in (1, 2, 5)]
_MONTHS_BACK = 14
WORST = 3


def _in_dollars(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


def _both(session: Session, billing_year: int) -> tuple[Read, Read]:
    return Read(session, billing_year), Read(session, billing_year - 1)


def winter_averages(session: Session, billing_year: int) -> list[str]:
    """How many services have which winter average, beside last year; one picture for each unit of averages."""
    by_year: dict[str, dict[str, ir.Table]] = {}
    for read, name in zip(_both(session, billing_year), (str(billing_year), str(billing_year - 1)), strict=True):
        known = read.table("billing_basis")
        known = known.filter(known.winter_average_thousandths.notnull())
        top = known.group_by("volume_unit").agg(
            most=known.winter_average_thousandths.quantile(0.93).cast("int64"), services=known.count()
        )
        for row in read.rows(top):
            by_year.setdefault(row["volume_unit"], {})[name] = known.filter(
                known.volume_unit == row["volume_unit"]
            ).mutate(most=ibis.literal(row["most"], "int64"))
    return [_of_unit(Read(session, billing_year), unit, tables) for unit, tables in sorted(by_year.items())]


def _short_unit(unit: str) -> str:
    return "CCF" if unit == "ccf" else UNIT_NAMES.get(unit, unit)


def _of_unit(read: Read, unit: str, tables: dict[str, ir.Table]) -> str:
    most = max(row["most"] for table in tables.values() for row in read.rows(table.agg(most=table.most.max())))
    step = next((s for s in _STEPS_THOUSANDTHS if s * _BINS >= most), _STEPS_THOUSANDTHS[-1])
    series, above = {}, []
    for name, table in tables.items():
        place = truncating_divide(table.winter_average_thousandths, step)
        counted = {
            row["place"]: row["services"] for row in read.rows(table.group_by(place=place).agg(services=ibis._.count()))
        }
        series[name] = [
            (
                Decimal(step * n).scaleb(-3).normalize(),
                Decimal(step * (n + 1)).scaleb(-3).normalize(),
                counted.get(n, 0),
            )
            for n in range(_BINS)
        ]
        above.append(f"{sum(n for place, n in counted.items() if place >= _BINS):,} in {name}")
    limit = Decimal(step * _BINS).scaleb(-3)
    note = f"{limit.normalize():,f} and more: {', '.join(above)}"
    return histogram("Winter averages", f"{_short_unit(unit)} a month", series, note=note)


def derivations(session: Session, billing_year: int) -> list[str]:
    """How many services have their average from where, beside last year."""
    found = []
    for read in _both(session, billing_year):
        basis = read.table("billing_basis")
        found.append({r["derivation"]: r["n"] for r in read.rows(basis.group_by("derivation").agg(n=basis.count()))})
    now, before = found
    kinds = [kind for kind in DERIVATIONS if kind in now or kind in before] + sorted(
        {"override"} & (now.keys() | before.keys())
    )
    named = {
        kind: DERIVATIONS.get(kind, "set by a person")
        .split(" (")[0]
        .split(": ")[0]
        .replace("computed, with consumption", "computed, with")
        for kind in kinds
    }
    rows = [(named[kind], now.get(kind, 0)) for kind in kinds]
    past = {named[kind]: before.get(kind, 0) for kind in kinds} if before else None
    return [
        bars("Services by how their average came about", "", rows, past, (str(billing_year), str(billing_year - 1)))
    ]


def volume_by_month(session: Session, billing_year: int) -> list[str]:
    """What each district delivered for each month (of the middle of a period), in CCF: a thin or a fat month is seen at once."""
    read = Read(session, billing_year)
    c = read.table("consumption")
    middle = c.period_start + ibis.interval(days=1) * truncating_divide(c.days, 2)
    month = middle.cast("date").truncate("M")
    until = session.workspace.year(billing_year).effective
    since = _months_before(until, _MONTHS_BACK)
    summed = c.mutate(month=month).filter(lambda t: (t.month >= since) & (t.month < until))
    summed = summed.group_by("district_id", "month", "volume_unit").agg(
        volume=summed.billed_volume_thousandths.sum().cast("decimal(38, 0)")
    )
    values: dict[tuple[str, str], int] = {}
    for row in read.rows(summed):
        key = (row["district_id"], f"{row['month']:%Y-%m}")
        values[key] = values.get(key, 0) + row["volume"] * SIZE_8NL[row["volume_unit"]] // SIZE_8NL["ccf"] // 1000
    districts = sorted({district for district, _ in values})
    months = [f"{_months_before(until, n):%Y-%m}" for n in range(_MONTHS_BACK, 0, -1)]
    if not districts:
        return []
    return [heat_map("Volume by district and month of use", "CCF", districts, months, values)]


def _months_before(day: dt.date, months: int) -> dt.date:
    number = day.year * 12 + day.month - 1 - months
    return dt.date(number // 12, number % 12 + 1, 1)


def revenue_by_class(session: Session, billing_year: int) -> list[str]:
    """What the bills of the year come to by customer class, beside last year."""
    rows = Read(session, billing_year).rows("year_on_year")
    if not rows:
        return []
    sums = sums_by(rows, "customer_class", "amount_a_year_cents", "prior_amount_a_year_cents")
    shown = [(name.replace("_", " "), _in_dollars(of["amount_a_year_cents"])) for name, of in sums.items()]
    past = {name.replace("_", " "): _in_dollars(of["prior_amount_a_year_cents"]) for name, of in sums.items()}
    was_run = any(past.values())
    return [
        bars(
            "Bills of the year by class",
            "$",
            shown,
            past if was_run else None,
            (str(billing_year), str(billing_year - 1)),
        )
    ]


def charged(read: Read) -> dict[str, int]:
    """Charge -> cents of all bills of the year."""
    bills, bill_lines = read.table("bills"), read.table("bill_lines")
    stretch = bills.select("service_id", "period_start", "bills_in_period")
    met = bill_lines.inner_join(stretch, ["service_id", "period_start"])
    summed = met.group_by("charge_code").agg(cents=(met.amount_cents * met.bills_in_period).sum())
    return {row["charge_code"]: row["cents"] or 0 for row in read.rows(summed.order_by("charge_code"))}


def revenue_by_charge(session: Session, billing_year: int) -> list[str]:
    """What the bills of the year come to by charge, beside last year."""
    now, before = (charged(read) for read in _both(session, billing_year))
    names = sorted(now.keys() | before.keys())
    rows = [(name.replace("_", " "), _in_dollars(now.get(name, 0))) for name in names]
    past = {name.replace("_", " "): _in_dollars(before.get(name, 0)) for name in names} if before else None
    return (
        [bars("Bills of the year by charge", "$", rows, past, (str(billing_year), str(billing_year - 1)))]
        if names
        else []
    )


def worst_services(session: Session, billing_year: int) -> list[str]:
    """Month by month, the services with most dollars at stake on the work list; the same months a year before beside them."""
    read = Read(session, billing_year)
    listed = read.table("worklist")
    listed = listed.filter(listed.service_id != "").group_by("service_id").agg(cents=listed.at_stake_a_year_cents.max())
    worst = read.rows(listed.filter(listed.cents > 0).order_by(ibis.desc("cents"), "service_id").limit(WORST))
    if not worst:
        return []
    ids = [row["service_id"] for row in worst]
    links = read.table("service_consumption")
    meter = ["district_id", "district_account", "meter_id"]
    links = among(links.filter(links.purpose == "domestic"), "service_id", ids)
    links = links.select("service_id", *meter, "link_start", "link_end")
    volumes: dict[tuple[str, str], Decimal] = {}
    until = session.workspace.year(billing_year).effective
    for one in (read, Read(session, billing_year - 1)):
        c = one.table("consumption")
        met = c.inner_join(links, meter)
        met = met.filter((met.period_start < met.link_end) & (met.period_end > met.link_start))
        met = met.select("service_id", "period_start", "days", "volume_unit", "billed_volume_thousandths")
        of_year: dict[tuple[str, str], Decimal] = {}
        for row in one.rows(met):
            day = row["period_start"] + dt.timedelta(days=row["days"] // 2)
            ccf = Decimal(row["billed_volume_thousandths"] * SIZE_8NL[row["volume_unit"]]) / SIZE_8NL["ccf"] / 1000
            key = (row["service_id"], f"{day:%Y-%m}")
            of_year[key] = of_year.get(key, Decimal(0)) + ccf
        volumes = of_year | volumes
    drawn = []
    for row in worst:
        service, months = row["service_id"], [_months_before(until, n) for n in range(12, 0, -1)]
        now = [volumes.get((service, f"{m:%Y-%m}")) for m in months]
        then = [volumes.get((service, f"{_months_before(m, 12):%Y-%m}")) for m in months]
        series = {"this year": now, "the same month a year before": then}
        title = f"Service {service}: ${_in_dollars(row['cents']):,.2f} a year at stake"
        drawn.append(
            lines(
                title,
                "CCF, by month of use",
                [f"{m:%Y-%m}" for m in months],
                {n: [_short(v) for v in s] for n, s in series.items()},
            )
        )
    return drawn


def worst_of_each_district(read: Read) -> list[dict[str, Any]]:
    """The services with most dollars at stake in each district, a row each: what was found about it, most serious first, and what to do."""
    listed = looked_up(read.table("worklist"), read.table("findings"), "finding_id", "district_id", "message", "remedy")
    listed = listed.filter(
        (listed.service_id != "") & listed.at_stake_a_year_cents.notnull() & (listed.severity != "info")
    )
    in_place = [ibis._.place, ibis._.finding_id]
    services = listed.group_by("district_id", "service_id", "account_id").agg(
        at_stake_a_year_cents=ibis._.at_stake_a_year_cents.max(),
        why=ibis._.message.group_concat("; ", order_by=in_place),
        what_to_do=ibis._.remedy.first(order_by=in_place),
        undecided=(ibis._.decision == "").sum(),
    )
    by_worth = ibis.window(group_by="district_id", order_by=[ibis.desc("at_stake_a_year_cents"), "service_id"])
    ranked = services.mutate(rank=ibis.row_number().over(by_worth))
    worst = ranked.filter(ranked["rank"] < WORST).order_by("district_id", "rank")
    return read.rows(worst.drop("rank"))


def _short(value: Decimal | None) -> Decimal | None:
    return None if value is None else round(value, 1)


PICTURES: dict[str, list[Callable[[Session, int], list[str]]]] = {
    "service_consumption": [volume_by_month],
    "billing_basis": [winter_averages, derivations],
    "worklist": [worst_services],
    "bill_lines": [revenue_by_charge],
    "year_on_year": [revenue_by_class],
}
"""Table -> the pictures that the UI shows beside it, once it is made."""


def pictures_of(table: str, session: Session, billing_year: int) -> list[str]:
    """The pictures beside a table of the year."""
    return [svg for draw in PICTURES.get(table, []) for svg in draw(session, billing_year)]


def numbers_of(table: str, read: Read) -> dict[str, int | float]:
    """Figures that are worth following over the years, by name."""
    if table == "billing_basis":
        basis = read.table(table)
        kinds = {r["derivation"]: r["n"] for r in read.rows(basis.group_by("derivation").agg(n=basis.count()))}
        everyone = sum(kinds.values())
        middle: Any = read.rows(basis.agg(middle=basis.winter_average_thousandths.quantile(0.5)))[0]["middle"]
        assumed = sum(kinds.get(kind, 0) for kind in ("default", "class_average", "carried_forward"))
        return {
            "services": everyone,
            "median winter average": float(middle or 0) / 1000,
            "share without own history, %": round(100 * assumed / everyone, 2) if everyone else 0.0,
            "held": kinds.get("held", 0),
        }
    return {}
