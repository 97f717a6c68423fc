"""Bills of the past, rated with what was really used: what the billing system does all year, done here for a sheet of bills.

Belongs here: meeting a sheet of bills with the year's averages, and the file of their lines.
Does not belong here: how an average is applied (``rate_tables.rerating``), the charges (``rate_tables.charging``).
"""

import tempfile
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from assets.bill_files import decimal_text
from assets.bills import with_strengths
from assets.readers.office_sheet import read_office_sheet
from assets.readers.sheet import UnreadableFile
from pipelines.session import read_session
from pipelines.summary import NotRun, Table
from pipelines.what_if import stored
from rate_tables.billing_periods import schedule_periods
from rate_tables.calendar_days import after_months
from rate_tables.charging import charge_lines, converted, held_reasons, months_per_bill
from rate_tables.config_file import ConfigError
from rate_tables.exact import scale_of
from rate_tables.rerating import bill_parts
from validations.tables import BILLING_BASIS, PAST_BILLS, SEWER_SERVICES, STRENGTHS, UNITS
from validations.workspace import Workspace, Year

_KEY = ("service_id", "bill_start", "bill_end", "from_day", "to_day")
_BASIS = (
    "winter_average_thousandths", "prior_average_thousandths", "applied_as", "applied_in_months", "other_months_billed_from",
    "crossing_bill", "effective_date",
)  # fmt: skip


def _bills(rows: ir.Table, services: ir.Table, basis: ir.Table, year: Year) -> ir.Table:
    """The sheet's bills of services that have a basis, as ``rate_tables.rerating`` takes them."""
    unit = year.averaging.schedule.averaging.unit.value
    met = rows.inner_join(services, "service_id").inner_join(basis.select("service_id", *_BASIS), "service_id")
    actual = met.actual_volume_thousandths
    in_unit = ibis.cases(*((met.volume_unit == one, converted(actual, one, unit)) for one in UNITS))
    return met.mutate(months_of_bill=months_per_bill(met), actual_volume_thousandths=in_unit)


def rerate(workspace: Workspace, billing_year: int, sheet: Path, to: Path) -> tuple[Table, list[str]]:
    """Write the lines of the sheet's bills to ``to``, whole or not at all; what was rated, and a sentence for each that was not.

    Errors: ConfigError if the sheet is none; NotRun if the year has no basis here.
    """
    year = workspace.year(billing_year)
    unit = year.averaging.schedule.averaging.unit.value
    ends = after_months(year.effective, 12)
    periods = (*schedule_periods(workspace.schedules, after_months(year.effective, -12)), *year.rate_periods)
    with tempfile.TemporaryDirectory() as scratch, read_session(workspace) as session:
        con: Any = session.store.con
        tables = {c.name: stored(session.store, c, workspace, year) for c in (BILLING_BASIS, SEWER_SERVICES, STRENGTHS)}
        basis, services = tables["billing_basis"], tables["sewer_services"]
        if not con.to_pyarrow(basis.limit(1)).num_rows:
            raise NotRun(f"billing year {billing_year} has not been run here; run: annual-billing run {billing_year}")
        try:
            read = read_office_sheet(con, sheet, sheet.name, "past_bills", PAST_BILLS, (), Path(scratch))
        except (UnreadableFile, OSError) as error:
            raise ConfigError(f"{sheet}: {error}.") from None
        not_rated = [
            f"{r['source_file']}, row {r['source_row']}: {r['message']}"
            for r in con.to_pyarrow(read.rejected).to_pylist()
        ]
        rows = read.rows
        bills = con.create_table(
            "past_bills", _bills(rows, with_strengths(services, tables["strengths"]), basis, year), temp=True
        )
        known = (
            (bills.bill_end > bills.bill_start) & (bills.bill_end >= bills.effective_date) & (bills.bill_end <= ends)
        )
        in_year = bills.filter(known)
        lines, reasons = (
            [],
            [
                rows.anti_join(bills, "service_id").select(
                    "service_id", "bill_start", held_reason=ibis.literal("no such service")
                ),
                bills.filter(~known).select(
                    "service_id",
                    "bill_start",
                    held_reason=ibis.literal(f"it does not end in the billing year {year.title}"),
                ),
            ],
        )
        for period in periods:
            parts = bill_parts(in_year, period.start, period.end, (ends - year.effective).days)
            if period.schedule is None or not period.schedule.schedule.charges:
                reason = ibis.literal(f"no rates are known from {period.start} to {period.end}")
                reasons.append(parts.select("service_id", "bill_start", held_reason=reason))
                continue
            kept = con.create_table(ibis.util.gen_name("parts"), parts, temp=True)
            lines.append(charge_lines(kept, period.schedule, unit, _KEY))
            held = held_reasons(kept, period.schedule, unit, _KEY)
            reasons.append(held.select("service_id", "bill_start", "held_reason"))
        held = con.create_table("held", ibis.union(*reasons).distinct(), temp=True)
        not_rated += [
            f"{r['service_id']}, bill from {r['bill_start']}: {r['held_reason']}"
            for r in con.to_pyarrow(held.order_by("service_id", "bill_start", "held_reason")).to_pylist()
        ]
        found = ibis.union(*lines).anti_join(held, ["service_id", "bill_start"]) if lines else None
        if found is None:
            return Table("Nothing was rated", ["bills", "lines", "$"], []), not_rated
        made = con.create_table("made", found, temp=True)
        _write(con, made, to)
        count = made.agg(
            bills=made.select("service_id", "bill_start").distinct().count().as_scalar(),
            lines=made.count(), cents=made.amount_cents.sum().fill_null(0),
        )  # fmt: skip
        (totals,) = con.to_pyarrow(count).to_pylist()
    cells = [f"{totals['bills']:,}", f"{totals['lines']:,}", f"{totals['cents'] / 100:,.2f}"]
    return Table(
        f"Rated with actual use, on the averages of {year.title}: {to}", ["bills", "lines", "$"], [cells], 0
    ), not_rated


def _write(con: Any, made: ir.Table, to: Path) -> None:
    """The lines as a CSV of decimals, in its place in one step."""
    beside = to.with_name(f".{to.name}.tmp")
    texts = {}
    for name in made.columns:
        published, decimals = scale_of(name)
        texts[published] = made[name] if decimals is None else decimal_text(made[name], name.removeprefix(published))
    con.to_csv(made.select(**texts).order_by(*_KEY, "charge_code", "tier"), beside, header=True)
    beside.rename(to)
