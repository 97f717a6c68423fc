"""Posting: what of a year goes to the billing system, and how it differs from what went there before.

Belongs here: the rows of the bill files and of ``differences.csv``, their control totals, what must be so before they may leave.
Does not belong here: writing files (``bundle``), computing averages or bills (``assets``), who may release (``releasing``).

What is posted is the update of winter averages. Amounts go along as a preview: the billing system bills by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from assets.bill_files import decimal_text
from assets.literal_path import literal
from assets.stage import Session, slices_of
from pipelines.summary import DERIVATIONS
from rate_tables.config_file import ConfigError
from rate_tables.exact import scale_of, stored_as
from rate_tables.looked_up import looked_up
from validations.contract import Contract
from validations.tables import (
    BILL_FILES,
    BILLING_BASIS,
    BILLS,
    DIFFERENCES,
    EFFECTIVE_MEANS,
    POSTED_AVERAGES,
    SEWER_SERVICES,
)
from validations.workspace import Workspace, Year

_MOST_SHOWN = 5
_NAMES = ("service_id", "account_id", "premise_id")


class NotPostable(Exception):
    """What would be posted is not what the year holds, or cannot be written safely; the message says why and what to do."""


@dataclass(frozen=True)
class ControlTotals:
    """What a billing agency's file holds: services, and the sums of their averages (a missing one counts 0) and preview amounts."""

    billing_agency: str
    services: int
    old_average_thousandths: int
    new_average_thousandths: int
    preview_amount_cents: int

    def as_row(self) -> dict[str, Any]:
        """As the marker of a release has it."""
        return asdict(self)


@dataclass(frozen=True)
class Posting:
    """What is posted: ``rows`` as POSTED_AVERAGES and ``derivation_note``; totals per billing agency, in order of agency."""

    rows: ir.Table
    totals: list[ControlTotals]
    volume_unit: str
    effective_means: str

    def of_agency(self, billing_agency: str) -> ir.Table:
        """The rows of one file."""
        return self.rows.filter(self.rows.billing_agency == billing_agency).select(*POSTED_AVERAGES.columns)


def effective_means(workspace: Workspace, year: Year) -> str:
    """Whether the averages hold for service days, or bills issued, on and after the effective date: as the rule says.

    Errors: ConfigError if ``workspace.yaml`` says otherwise than the rule, by which bills are rated.
    """
    rule = year.averaging.schedule.averaging.crossing_bill.value
    means, set_to = EFFECTIVE_MEANS[rule], workspace.file.release.effective
    if set_to not in (None, means):
        raise ConfigError(
            f"workspace.yaml: key release.effective: {set_to!r} contradicts {year.averaging.file}, whose crossing_bill is {rule}; allowed: "
            f"{means}, or a schedule with the other."
        )
    return means


def posting_of(session: Session, billing_year: int) -> Posting:
    """What the year posts as the store has it.

    Errors: NotPostable if a service with an average would be missing, totals are not those of the run's drafts, or a cell could be a
    formula; ConfigError.
    """
    con: Any = session.store.con
    year = session.workspace.year(billing_year)
    basis, services, bills, drafts = (
        session.store.read(contract, billing_year, slices_of(contract, session.workspace))
        for contract in (BILLING_BASIS, SEWER_SERVICES, BILLS, BILL_FILES)
    )
    means = effective_means(session.workspace, year)
    rows = con.create_table(ibis.util.gen_name("posted"), _rows(basis, services, bills, means), temp=True)
    _refuse_unless_whole(con, basis, rows)
    totals = _totals(con, rows)
    _refuse_unless_as_drafted(totals, con.to_pyarrow(drafts.order_by("billing_agency")).to_pylist())
    _refuse_formulas(con, rows)
    return Posting(rows, totals, year.averaging.schedule.averaging.unit.value, means)


def _rows(basis: ir.Table, services: ir.Table, bills: ir.Table, means: str) -> ir.Table:
    """Services with an average; amount and status are of the year's first billing period."""
    place = ibis.row_number().over(ibis.window(group_by=bills.service_id, order_by=bills.period_start))
    first = bills.mutate(place=place).filter(ibis._.place == 0)
    rows = basis.filter(basis.winter_average_thousandths.notnull())
    rows = looked_up(rows, services, "service_id", "premise_id")
    rows = looked_up(rows, first, "service_id", "billing_agency", "billing_frequency", "amount_cents", "status")
    rows = rows.mutate(
        old_winter_average_thousandths=rows.prior_average_thousandths,
        new_winter_average_thousandths=rows.winter_average_thousandths,
        source_code=rows.derivation,
        effective_means=ibis.literal(means),
        preview_amount_cents=rows.amount_cents,
        bill_status=rows.status,
    )
    types = POSTED_AVERAGES.schema
    return rows.select(
        **{name: stored_as(rows[name], types[name]) for name in POSTED_AVERAGES.columns},
        derivation_note="derivation_note",
    )


def _refuse_unless_whole(con: Any, basis: ir.Table, rows: ir.Table) -> None:
    lacking = rows.filter(rows.premise_id.isnull() | rows.billing_agency.isnull() | rows.bill_status.isnull())
    found = con.to_pyarrow(lacking.select("service_id").order_by("service_id")).column(0).to_pylist()
    if found:
        raise NotPostable(
            f"{_in_words(found)} with an average and without a bill or an entry in the CIS extract, so what would be posted is not whole. "
            "Run the year again; if it stays so, look at the check every_average_is_billed."
        )
    expected = int(con.to_pyarrow(basis.count(where=basis.winter_average_thousandths.notnull())).as_py())
    made = int(con.to_pyarrow(rows.count()).as_py())
    if made != expected:
        raise NotPostable(
            f"{expected:,} sewer services have an average, and {made:,} would be posted. Run the year again."
        )


def _totals(con: Any, rows: ir.Table) -> list[ControlTotals]:
    def total(name: str) -> ir.IntegerValue:
        return stored_as(rows[name].sum().fill_null(0), "int64")  # type: ignore[no-any-return]

    found = rows.group_by("billing_agency").agg(
        services=rows.count(),
        old_average_thousandths=total("old_winter_average_thousandths"),
        new_average_thousandths=total("new_winter_average_thousandths"),
        preview_amount_cents=total("preview_amount_cents"),
    )
    return [ControlTotals(**row) for row in con.to_pyarrow(found.order_by("billing_agency")).to_pylist()]


def _refuse_unless_as_drafted(totals: list[ControlTotals], drafts: list[dict[str, Any]]) -> None:
    """The drafts of the run are made by code of their own from the same tables: both come to the same."""
    posted = [(t.billing_agency, t.services, t.new_average_thousandths, t.preview_amount_cents) for t in totals]
    drafted = [(d["billing_agency"], d["records"], d["winter_average_thousandths"], d["amount_cents"]) for d in drafts]
    if posted != drafted:
        agencies = sorted({one[0] for one in set(posted) ^ set(drafted)})
        raise NotPostable(
            f"What would be posted has other totals than the drafts of the last run: {', '.join(agencies)}. Run the year again."
        )


def _refuse_formulas(con: Any, rows: ir.Table) -> None:
    """Ids of the CIS are posted as they are, so one that a spreadsheet would take for a formula cannot be posted."""
    for name in _NAMES:
        unsafe = rows.filter(rows[name].re_search(r"^[=+@\-]|[^ -~\x{a1}-\x{10ffff}]"))
        found = con.to_pyarrow(unsafe.select("service_id").order_by("service_id")).column(0).to_pylist()
        if found:
            shown = _in_words([f"{service!r}" for service in found])
            raise NotPostable(
                f"{shown} with a {name} that begins like a spreadsheet formula or holds a character that cannot be printed. Correct the CIS "
                "extract, sewer_services.csv, and run the year again."
            )


def _in_words(services: list[str]) -> str:
    more = f" and {len(services) - _MOST_SHOWN:,} more" if len(services) > _MOST_SHOWN else ""
    noun = "sewer service" if len(services) == 1 else "sewer services"
    return f"{len(services):,} {noun} ({', '.join(services[:_MOST_SHOWN])}{more})"


def as_text(contract: Contract, rows: ir.Table) -> ir.Table:
    """The columns as a file has them: published names, exact decimals, ISO days, nothing where a value is missing."""

    def text(name: str) -> ir.StringValue:
        value, (published, decimals) = rows[name], scale_of(name)
        shown = value.cast("string") if decimals is None else decimal_text(value, name.removeprefix(published))
        return shown.nullif("")  # type: ignore[no-any-return]

    return rows.select(**{scale_of(name)[0]: text(name) for name in contract.columns})


def as_decimals(contract: Contract, rows: ir.Table) -> ir.Table:
    """The columns typed: published names, whole numbers of a small unit as exact decimals."""
    values = {}
    for name in contract.columns:
        published, decimals = scale_of(name)
        value = rows[name]
        if decimals is not None:
            value = stored_as(decimal_text(value, name.removeprefix(published)).nullif(""), f"decimal(18, {decimals})")
        values[published] = value
    return rows.select(**values)


def posted_by(con: Any, folder: Path, agencies: Sequence[str]) -> ir.Table:
    """Rows of a released version from its CSV files, as POSTED_AVERAGES."""
    files = [literal(folder / f"{agency}.csv") for agency in agencies]
    return POSTED_AVERAGES.of_text(con.read_csv(files, header=True, all_varchar=True))


def _said(source_code: ir.StringValue) -> ir.StringValue:
    return source_code.cases(*DERIVATIONS.items(), else_=source_code)  # type: ignore[no-any-return]


def differences_of(before: ir.Table, posting: Posting) -> ir.Table:
    """One row per service and billing agency whose average, unit, day or agency differs between what was posted and what would be."""
    key, compared = (
        ["service_id", "billing_agency"],
        ["new_winter_average_thousandths", "volume_unit", "effective_date"],
    )
    was = before.select(*key, **{f"was_{name}": before[name] for name in (*compared, "source_code")})
    now = posting.rows.select(*key, *compared, "source_code", "derivation_note")
    both = ibis.union(was.select(*key), now.select(*key), distinct=True)
    both = looked_up(both, was, key, *(name for name in was.columns if name not in key))
    both = looked_up(both, now, key, *(name for name in now.columns if name not in key))
    differs = both[compared[0]].identical_to(both[f"was_{compared[0]}"])
    for name in compared[1:]:
        differs = differs & both[name].identical_to(both[f"was_{name}"])
    elsewhere = both.count().over(ibis.window(group_by=both.service_id)) > 1
    both = both.mutate(elsewhere=elsewhere, alike=differs).filter(~ibis._.alike)
    note = ibis.ifelse(both.derivation_note == "", "", ibis.literal(": ") + both.derivation_note)
    reason = ibis.cases(
        (both.source_code.isnull() & both.elsewhere, ibis.literal("another agency bills it")),
        (both.source_code.isnull(), ibis.literal("nothing is posted any more; before: ") + _said(both.was_source_code)),
        (both.was_source_code.isnull() & both.elsewhere, ibis.literal("another agency billed it; ") + _said(both.source_code) + note),
        (both.was_source_code.isnull(), ibis.literal("nothing was posted before; ") + _said(both.source_code) + note),
        (both.was_source_code == both.source_code, _said(both.source_code) + note),
        else_=_said(both.source_code) + note + "; before: " + _said(both.was_source_code),
    )  # fmt: skip
    rows = both.mutate(
        old_winter_average_thousandths=both.was_new_winter_average_thousandths,
        volume_unit=ibis.coalesce(both.volume_unit, both.was_volume_unit),
        effective_date=ibis.coalesce(both.effective_date, both.was_effective_date),
        reason=reason,
    )
    return DIFFERENCES.conform(rows)
