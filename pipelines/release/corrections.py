"""Corrections: what bills that were issued on another average than the one released come to, and the credit or charge of each.

Belongs here: reading the bills issued, rating each twice, what earlier releases have credited, the file ``credits.csv``.
Does not belong here: when a bill is corrected (``rate_tables.look_back``), what a bill comes to (``rate_tables.rerating``,
``rate_tables.charging``), writing a release.

``bills_issued/YEAR.csv`` holds bills as they were first billed. Each is rated on the average that it was billed on, and on the one
that stands. A sheet with a row that cannot be read is refused as a whole: half of a correction is none.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from assets.bills import with_strengths
from assets.durable import whole_file
from assets.literal_path import literal
from assets.stage import Session, slices_of
from pipelines.release.posting import as_text
from pipelines.release.whole_sheet import read_whole
from rate_tables.billing_periods import schedule_periods
from rate_tables.calendar_days import after_months
from rate_tables.charging import charge_lines, held_reasons, months_per_bill
from rate_tables.exact import part_of, stored_as
from rate_tables.look_back import first_day, with_outcomes
from rate_tables.looked_up import looked_up
from rate_tables.rerating import bill_parts
from validations.tables import BILLING_BASIS, BILLS_ISSUED, CREDITED_BILLS, SEWER_SERVICES, STRENGTHS
from validations.workspace import Workspace, Year

CREDITS = "credits.csv"
_BILL = ["service_id", "period_start"]
_PART = ("service_id", "bill_start", "side", "from_day", "to_day")
_APPLIED = ("applied_as", "applied_in_months", "other_months_billed_from", "crossing_bill", "effective_date")


@dataclass(frozen=True)
class Corrections:
    """What the bills issued come to. ``bills``: one row per bill that is not unchanged, as CREDITED_BILLS.

    ``totals``: one row per billing agency: bills, credits and charges (bills of each outcome), credit_cents, charge_cents,
    billed_volume_thousandths and corrected_volume_thousandths (of bills that are corrected), outside_look_back, held, unchanged.
    """

    bills: ir.Table
    totals: list[dict[str, Any]]
    looks_back_to: dt.date | None
    volume_unit: str


def read_bills_issued(session: Session, billing_year: int) -> ir.Table | None:
    """The year's bills as the sheet has them; None if there is none. ConfigError if it, or a row of it, cannot be used."""
    path = session.workspace.bills_issued(billing_year)
    if not path.is_file():
        return None
    return read_whole(session, path, f"bills_issued/{path.name}", BILLS_ISSUED)


def corrections_of(
    session: Session, billing_year: int, earlier: Sequence[Path], decided_on: dt.date
) -> Corrections | None:
    """What the bills issued for the year come to on the averages that stand; None if no bills issued are given.

    ``earlier``: folders of the releases before, whose credits and charges count as given. ``decided_on``: day of the approval, from
    which the look-back is counted. Errors: ConfigError if the sheet of bills cannot be used.
    """
    issued = read_bills_issued(session, billing_year)
    if issued is None:
        return None
    con: Any = session.store.con
    year = session.workspace.year(billing_year)
    unit = year.averaging.schedule.averaging.unit.value
    looks_back_to = first_day(decided_on, session.workspace.file.release.look_back_months)
    tables = {
        contract.name: session.store.read(contract, billing_year, slices_of(contract, session.workspace))
        for contract in (BILLING_BASIS, SEWER_SERVICES, STRENGTHS)
    }
    basis = tables["billing_basis"].select(
        "service_id",
        "account_id",
        "prior_average_thousandths",
        *_APPLIED,
        new_average_thousandths=tables["billing_basis"].winter_average_thousandths,
    )
    services = with_strengths(tables["sewer_services"], tables["strengths"]).drop("account_id")
    services = services.mutate(agency_of_service=services.billing_agency).drop("billing_agency")
    kept = con.create_table(ibis.util.gen_name("issued"), _met(issued, basis, services, year), temp=True)
    rated = _rated(con, kept, session.workspace, year, unit)
    before = con.create_table(ibis.util.gen_name("before"), _given_before(con, earlier), temp=True)
    judged = _judged(kept, rated, before, looks_back_to, unit)
    bills = con.create_table(ibis.util.gen_name("judged"), judged, temp=True)
    return Corrections(bills.filter(bills.outcome != "unchanged"), _totals(con, bills), looks_back_to, unit)


def _met(issued: ir.Table, basis: ir.Table, services: ir.Table, year: Year) -> ir.Table:
    """Bills with all that rates them, and ``held_reason``: what stands against correcting one, whatever it comes to."""
    b = looked_up(issued, basis, "service_id", *(c for c in basis.columns if c != "service_id"))
    b = looked_up(b, services, "service_id", *(c for c in services.columns if c != "service_id"))
    by_start = ibis.window(group_by="service_id", order_by="period_start")
    b = b.mutate(
        next_start=b.period_start.lead().over(by_start),
        last_end=b.period_end.max().over(
            ibis.window(group_by="service_id", order_by="period_start", preceding=(None, 1))  # type: ignore[arg-type]
        ),
    )
    ends = ibis.literal(after_months(year.effective, 12))
    overlaps = (b.next_start < b.period_end).fill_null(False) | (b.last_end > b.period_start).fill_null(False)
    held = ibis.cases(
        (b.agency_of_service.isnull(), ibis.literal("the CIS extract has no such service")),
        (b.billing_agency != b.agency_of_service, ibis.literal("the CIS extract has another billing agency: ") + b.agency_of_service),
        (b.period_end <= b.period_start, ibis.literal("it ends before it begins")),
        (overlaps, ibis.literal("its days overlap with those of another bill of the service")),
        (b.period_end < b.effective_date, ibis.literal(f"it ends before the averages of {year.title} hold")),
        (b.period_end > ends, ibis.literal(f"it ends after the billing year {year.title}")),
        (b.new_average_thousandths.isnull(), ibis.literal("no average of the service stands")),
        else_=ibis.null("string"),
    )  # fmt: skip
    return b.mutate(held_reason=held, months_of_bill=months_per_bill(b)).drop("next_start", "last_end")


def _sides(bills: ir.Table) -> ir.Table:
    """Each bill twice, as ``rate_tables.rerating`` takes it: on the average that it was billed on, and on the one that stands."""
    b = bills.filter(bills.held_reason.isnull())
    b = b.mutate(bill_start=b.period_start, bill_end=b.period_end)
    return ibis.union(
        b.mutate(side=ibis.literal("billed"), winter_average_thousandths=b.billed_winter_average_thousandths),
        b.mutate(side=ibis.literal("new"), winter_average_thousandths=b.new_average_thousandths),
    )


def _rated(con: Any, bills: ir.Table, workspace: Workspace, year: Year, unit: str) -> ir.Table:
    """One row per bill that can be rated on both averages, or not: volume and cents on each, or not_rated_reason."""
    ends = after_months(year.effective, 12)
    periods = (*schedule_periods(workspace.schedules, after_months(year.effective, -12)), *year.rate_periods)
    sides = con.create_table(ibis.util.gen_name("sides"), _sides(bills), temp=True)
    volumes, lines, reasons = list[ir.Table](), list[ir.Table](), list[ir.Table]()
    for period in periods:
        parts = bill_parts(sides, period.start, period.end, (ends - year.effective).days)
        kept = con.create_table(ibis.util.gen_name("parts"), parts, temp=True)
        volume = stored_as(part_of(kept.bill_volume_thousandths, kept.from_day, kept.to_day, kept.days), "int64")
        volumes.append(kept.select(*_PART, volume=volume))
        if period.schedule is None or not period.schedule.schedule.charges:
            why = ibis.literal(
                f"no rates are known from {period.start} to {period.end - dt.timedelta(days=1)}", "string"
            )
            reasons.append(kept.select("service_id", "bill_start", reason=why))
            continue
        lines.append(charge_lines(kept, period.schedule, unit, _PART).select(*_PART, "amount_cents"))
        held = held_reasons(kept, period.schedule, unit, _PART)
        reasons.append(held.select("service_id", "bill_start", reason=held.held_reason))
    of_volume = _by_side(con, ibis.union(*volumes), "volume")
    of_money = _by_side(con, ibis.union(*lines), "amount_cents") if lines else None
    whys = ibis.union(*reasons)
    why = whys.group_by("service_id", "bill_start").agg(not_rated_reason=whys.reason.min())
    found = of_volume.rename(billed_volume_thousandths="billed", corrected_volume_thousandths="new")
    if of_money is None:
        none = ibis.null("int64")
        found = found.mutate(as_billed_cents=none, corrected_cents=none)
    else:
        money = of_money.rename(as_billed_cents="billed", corrected_cents="new")
        found = looked_up(found, money, ["service_id", "bill_start"], "as_billed_cents", "corrected_cents")
    found = looked_up(found, why, ["service_id", "bill_start"], "not_rated_reason")
    is_rated = found.not_rated_reason.isnull()
    return found.mutate(
        as_billed_cents=ibis.ifelse(is_rated, found.as_billed_cents, ibis.null("int64")),
        corrected_cents=ibis.ifelse(is_rated, found.corrected_cents, ibis.null("int64")),
        not_rated_reason=ibis.ifelse(
            is_rated & (found.as_billed_cents.isnull() | found.corrected_cents.isnull()),
            "no charge of the schedule applies to it",
            found.not_rated_reason,
        ),
    ).rename(period_start="bill_start")


def _by_side(con: Any, parts: ir.Table, what: str) -> ir.Table:
    """The sum over each bill's parts, a column for each average."""
    kept = con.create_table(ibis.util.gen_name("by_side"), parts, temp=True)
    sums = {side: stored_as(kept[what].sum(where=kept.side == side), "int64") for side in ("billed", "new")}
    return kept.group_by("service_id", "bill_start").agg(**sums)


def _given_before(con: Any, earlier: Sequence[Path]) -> ir.Table:
    """One row per bill that a release before has corrected: what it credited and charged in all, and what it had as billed."""
    files = [folder / CREDITS for folder in earlier if (folder / CREDITS).is_file()]
    facts = {
        "service_id": "string", "period_start": "date", "billing_agency": "string", "account_id": "string", "period_end": "date",
        "volume_unit": "string", "was_billed_average_thousandths": "int64", "was_billed_cents": "int64",
        "credited_before_cents": "int64", "charged_before_cents": "int64",
    }  # fmt: skip
    if not files:
        return ibis.memtable([], schema=ibis.schema(facts))
    read = con.read_csv([literal(file) for file in files], header=True, all_varchar=True)
    given = read.filter(read.outcome.isin(["credit", "charge"]))

    def of_text(name: str, decimals: int) -> ir.IntegerValue:
        return (given[name].cast(f"decimal(18, {decimals})") * 10**decimals).cast("int64")  # type: ignore[no-any-return]

    given = given.select(
        "service_id", "billing_agency", "account_id", "volume_unit",
        period_start=given.period_start.cast("date"), period_end=given.period_end.cast("date"),
        was_billed_average_thousandths=of_text("billed_average", 3), was_billed_cents=of_text("billed_amount", 2),
        credit_cents=of_text("credit", 2), charge_cents=of_text("charge", 2),
    )  # fmt: skip
    return given.group_by(_BILL).agg(
        **{name: given[name].max() for name in facts if name in given.columns and name not in _BILL},
        credited_before_cents=stored_as(given.credit_cents.sum(), "int64"),
        charged_before_cents=stored_as(given.charge_cents.sum(), "int64"),
    )


def _judged(bills: ir.Table, rated: ir.Table, before: ir.Table, looks_back_to: dt.date | None, unit: str) -> ir.Table:
    """Every bill of the sheet with its outcome; and those that were corrected before and are no longer in it, held."""
    rated_names = [name for name in rated.columns if name not in _BILL]
    given_names = [
        "was_billed_average_thousandths",
        "was_billed_cents",
        "credited_before_cents",
        "charged_before_cents",
    ]
    b = looked_up(looked_up(bills, rated, _BILL, *rated_names), before, _BILL, *given_names)
    differs = (b.was_billed_average_thousandths != b.billed_winter_average_thousandths) | (
        b.was_billed_cents != b.billed_amount_cents
    )
    b = b.mutate(
        bill_end=b.period_end,
        billed_average_thousandths=b.billed_winter_average_thousandths,
        billed_cents=b.billed_amount_cents,
        volume_unit=ibis.literal(unit),
        credited_before_cents=b.credited_before_cents.fill_null(0),
        charged_before_cents=b.charged_before_cents.fill_null(0),
        held_reason=ibis.cases(
            (b.held_reason.notnull(), b.held_reason),
            (
                differs.fill_null(False),
                ibis.literal("a release before has corrected it as billed otherwise; state it as it was first billed"),
            ),
            else_=ibis.null("string"),
        ),
    )
    judged = with_outcomes(b, looks_back_to)
    judged = judged.mutate(
        account_id=judged.account_id.fill_null(""), corrected_amount_cents=judged.corrected_cents, billed_amount_cents=judged.billed_cents
    )  # fmt: skip
    gone = before.anti_join(bills, _BILL)
    none = ibis.null("int64")
    gone = gone.mutate(
        billed_average_thousandths=gone.was_billed_average_thousandths, billed_amount_cents=gone.was_billed_cents,
        new_average_thousandths=none, billed_volume_thousandths=none, corrected_volume_thousandths=none, corrected_amount_cents=none,
        credit_cents=ibis.literal(0, "int64"), charge_cents=ibis.literal(0, "int64"), outcome=ibis.literal("held"),
        note=ibis.literal("a release before has corrected it, and the sheet no longer has it"),
    )  # fmt: skip
    return ibis.union(CREDITED_BILLS.conform(judged), CREDITED_BILLS.conform(gone))


def _totals(con: Any, bills: ir.Table) -> list[dict[str, Any]]:
    is_corrected = bills.outcome.isin(["credit", "charge"])
    counts = {
        name: bills.count(where=bills.outcome == outcome)
        for outcome, name in (
            ("credit", "credits"), ("charge", "charges"), ("outside_look_back", "outside_look_back"), ("held", "held"),
            ("unchanged", "unchanged"),
        )
    }  # fmt: skip
    sums = {
        name: stored_as(bills[name].sum(where=is_corrected).fill_null(0), "int64")
        for name in ("credit_cents", "charge_cents", "billed_volume_thousandths", "corrected_volume_thousandths")
    }
    found = bills.group_by("billing_agency").agg(bills=bills.count(), **counts, **sums)
    rows: list[dict[str, Any]] = con.to_pyarrow(found.order_by("billing_agency")).to_pylist()
    return rows


def write_credits(session: Session, corrections: Corrections, path: Path) -> int:
    """Write ``credits.csv`` to ``path``, whole or not at all; the same corrections give the same bytes. Returns its rows.

    Amounts and volumes are never below zero: credit and charge are columns of their own, so no cell begins with a sign.
    """
    con: Any = session.store.con
    with whole_file(path) as beside:
        rows = as_text(CREDITED_BILLS, corrections.bills).order_by("billing_agency", *_BILL)
        con.to_csv(rows, beside, header=True)
        return int(con.to_pyarrow(corrections.bills.count()).as_py())
