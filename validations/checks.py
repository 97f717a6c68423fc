"""Checks: what must hold before a year may be released, as tables of the rows that break it.

Belongs here: one small function per check: tables in, failing rows out; with words for a person and what to do.
Does not belong here: Dagster (``pipelines.checks`` shows these in the UI), what is merely worth a look (``review``).

The same list serves the UI and ``annual-billing status``, so both always say the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from validations.contract import Contract, violations
from validations.identities import STATED_BY_THE_DISTRICT, by_file, identities_of_files
from validations.tables import NOT_TAKEN_STATUSES, PUBLISHED


@dataclass(frozen=True)
class Check:
    """A check on a table.

    ``failing`` takes the tables in ``reads`` and gives the rows that break the check; ``shown`` are the columns of those rows
    that a reviewer may see in the UI (never raw text). ``blocks`` says whether release waits for it, ``may_be_overridden`` whether a
    person can release all the same. An override is tied to the failing rows by the columns ``tied_to`` (those shown, but for words).
    ``of_services``: it asks of one table what no row of another service can change, so that slices of services may be asked apart.
    """

    name: str
    table: str
    reads: tuple[str, ...]
    failing: Callable[..., ir.Table]
    shown: tuple[str, ...]
    description: str
    recovery: str
    blocks: bool = True
    may_be_overridden: bool = True
    tied_to: tuple[str, ...] = ()
    of_services: bool = False

    @property
    def evidence(self) -> tuple[str, ...]:
        """Columns of a failing row that make it the same row to whoever has overridden it."""
        return self.tied_to or tuple(name for name in self.shown if name not in _WORDS)


_WORDS = ("message", "remedy")
_HAVE_A_CHECK = ("delivery.not_received", "delivery.not_taken", "delivery.unreadable", "delivery.control_total")
"""Rules whose findings say what a check on deliveries says too: they hold up release there, once."""


def contract_check(contract: Contract) -> Check:
    """The check that a table keeps its contract: types, missing values, ranges, keys."""
    hidden = {"raw_text"}
    keys = [c for c in contract.key if c not in hidden]
    return Check(
        name="keeps_its_contract",
        table=contract.name,
        reads=(contract.name,),
        failing=lambda table: violations(contract, table),
        shown=(*keys, "broken_rule"),
        description=f"One row per {contract.row}; no missing value, every value in its range, no key twice.",
        recovery="This is a fault of the pipeline or of a file nobody foresaw: keep the rows listed here and report them.",
        may_be_overridden=False,
        of_services="service_id" in contract.key and not contract.by_district,
    )


def _not_received(deliveries: ir.Table) -> ir.Table:
    return deliveries.filter(deliveries.status == "not_received")


def _not_taken(deliveries: ir.Table) -> ir.Table:
    return deliveries.filter(deliveries.status.isin(NOT_TAKEN_STATUSES))


def _as_it_was(deliveries: ir.Table) -> ir.Table:
    return deliveries.filter(deliveries.status.isin(["sent_before", "not_checked"]))


def _unreadable(delivery_totals: ir.Table) -> ir.Table:
    return delivery_totals.filter(delivery_totals.unreadable)


def _lost(delivery_totals: ir.Table, consumption: ir.Table, rejected_rows: ir.Table) -> ir.Table:
    identities = ibis.union(*identities_of_files(delivery_totals, by_file(consumption), rejected_rows))
    return _differing(identities)


def _stated_otherwise(delivery_totals: ir.Table) -> ir.Table:
    t = delivery_totals.filter(~delivery_totals.unreadable)
    return t.filter(
        (t.control_records != t.records).fill_null(False)
        | (t.control_quantity_thousandths != t.delivered_quantity_thousandths).fill_null(False)
    )


def _refused(rejected_rows: ir.Table) -> ir.Table:
    return rejected_rows.filter(rejected_rows.reason_kind == "refused")


def _overshared(meter_links: ir.Table) -> ir.Table:
    meter = ["district_id", "district_account", "meter_id", "purpose", "link_start"]
    shares = meter_links.group_by(meter).agg(share_millionths=ibis._.share_millionths.sum())
    return shares.filter(shares.share_millionths > 1_000_000)


def _to_decide(findings: ir.Table, decisions: ir.Table) -> ir.Table:
    asked = findings.filter((findings.severity == "must_decide") & findings.rule_id.notin(_HAVE_A_CHECK))
    return asked.anti_join(decisions.filter(decisions.status == "stands"), "finding_id")


def _stale(decisions: ir.Table) -> ir.Table:
    return decisions.filter(decisions.status == "stale")


def _held_basis(billing_basis: ir.Table) -> ir.Table:
    return billing_basis.filter(billing_basis.derivation == "held")


def _held_bills(bills: ir.Table, billing_basis: ir.Table) -> ir.Table:
    return bills.filter(bills.status == "held").anti_join(_held_basis(billing_basis), "service_id")


def _billed_though_written_off(receivables: ir.Table, billing_basis: ir.Table) -> ir.Table:
    """Services whose debt was written off and that have an average to be posted."""
    written_off = receivables.filter(receivables.status == "written_off").select("service_id", "balance_cents")
    posted = billing_basis.filter(billing_basis.winter_average_thousandths.notnull())
    return posted.select("service_id", "account_id", "derivation").inner_join(written_off, "service_id")


def _differing(reconciliation: ir.Table) -> ir.Table:
    """Identities of our own that do not hold; what a file states of itself is asked of the delivery."""
    r = reconciliation.filter(reconciliation.identity.notin(STATED_BY_THE_DISTRICT))
    return r.filter(r.difference_thousandths != 0)


def _unlike_the_basis(bill_files: ir.Table, billing_basis: ir.Table, bills: ir.Table) -> ir.Table:
    """Billing agencies whose file has other records or totals than the basis and the first bills of its services; by how much."""
    first = bills.filter(bills.period_start == bills.period_start.min().over(ibis.window(group_by=bills.service_id)))
    basis = billing_basis.filter(billing_basis.winter_average_thousandths.notnull())
    basis = basis.select("service_id", "winter_average_thousandths").inner_join(
        first.select("service_id", "billing_agency", "amount_cents"), "service_id"
    )
    names = ["records", "winter_average_thousandths", "amount_cents"]
    due = basis.select(
        "billing_agency",
        "winter_average_thousandths",
        records=ibis.literal(1, "int64"),
        amount_cents=basis.amount_cents.fill_null(0),
    ).select("billing_agency", *names)
    written = bill_files.select("billing_agency", **{name: -bill_files[name] for name in names})
    each = due.union(written)
    sums = each.group_by("billing_agency").agg(**{name: each[name].sum() for name in names})
    return sums.filter(ibis.or_(*(sums[name] != 0 for name in names)))


CHECKS: list[Check] = [
    *(contract_check(contract) for contract in PUBLISHED),
    Check(
        "received", "deliveries", ("deliveries",), _not_received, ("district_id", "status", "message"),
        "The district has delivered its consumption history for this year.",
        "Ask the district for its file, put it where its entry in districts/ says, and run again. Until then its services carry "
        "their prior average forward, marked provisional.",
    ),
    Check(
        "every_file_taken", "deliveries", ("deliveries",), _not_taken, ("district_id", "source_file", "status", "message"),
        "Every file that the district has put there could be taken.",
        "Run again if it was being written or the connection failed; else send the district the sentence, or correct its entry "
        "in districts/.",
    ),
    Check(
        "sent_this_year", "deliveries", ("deliveries",), _as_it_was, ("district_id", "source_file", "status", "message"),
        "Every file is one of this year, and the district's files could be looked at in this run.",
        "Send the district the sentence unless this year's file came beside the old one; run again where its files could not be "
        "looked at.",
        blocks=False,
    ),
    Check(
        "readable", "delivery_totals", ("delivery_totals",), _unreadable, ("district_id", "source_file", "message"),
        "Every delivered file has the layout that the registry announces.",
        "Ask for the file in its usual layout, or correct the district's entry in districts/, and run again.",
    ),
    Check(
        "rows_and_volume_add_up", "consumption", ("delivery_totals", "consumption", "rejected_rows"), _lost,
        ("identity", "source_file", "left_side", "left_thousandths", "right_side", "right_thousandths"),
        "Every record of every file is consumption, refused, a duplicate or set aside, in rows and in volume.",
        "This is a fault of the pipeline: report it with the rows listed here.",
        may_be_overridden=False,
    ),
    Check(
        "states_the_totals_it_holds", "delivery_totals", ("delivery_totals",), _stated_otherwise,
        ("district_id", "source_file", "control_records", "records", "control_quantity_thousandths", "delivered_quantity_thousandths"),
        "Every file adds up to the control totals that it states of itself.",
        "Ask the district whether the file is complete; put the right one where its entry in districts/ says, and run again.",
    ),
    Check(
        "nothing_refused", "rejected_rows", ("rejected_rows",), _refused,
        ("source_file", "source_row", "reason_code", "message"),
        "No row had to be refused.",
        "Send the rows back to the district with these reasons, or mend the sheet; the other rows stand either way.",
        blocks=False,
    ),
    Check(
        "shares_add_up", "meter_links", ("meter_links",), _overshared,
        ("district_id", "district_account", "meter_id", "purpose", "share_millionths"),
        "The shares of a meter that several services use add to no more than the whole.",
        "Correct the shares in the CIS, refresh the extract and run again.",
    ),
    Check(
        "nothing_to_decide", "findings", ("findings", "decisions"), _to_decide, ("finding_id", "message", "remedy"),
        "No finding waits for a decision.",
        "Follow the remedy of each finding, or decide it (annual-billing review, then decide), and run again.",
        tied_to=("finding_id", "evidence_hash"),
    ),
    Check(
        "no_decision_is_stale", "decisions", ("decisions",), _stale, ("finding_id", "decision"),
        "Every decision was made on the evidence as it is.",
        "Look at these findings again: annual-billing review shows both versions of the evidence; then decide and run again.",
        tied_to=("decision_id", "evidence_hash", "evidence_now"),
    ),
    Check(
        "no_average_waits_for_a_person", "billing_basis", ("billing_basis",), _held_basis,
        ("service_id", "account_id", "derivation_note"),
        "Every service in force has a winter average, computed or by a rule.",
        "Set an average for each of these services in the CIS (it enters as the average in force), and refresh the extract.",
    ),
    Check(
        "no_bill_is_held", "bills", ("bills", "billing_basis"), _held_bills,
        ("service_id", "account_id", "period_start", "status_reason"),
        "Every service with an average has bills with amounts.",
        "Add what each of these bills lacks, such as the adopted schedule to rate_tables/ or a strength to the extract, and run again.",
    ),
    Check(
        "nobody_written_off_is_billed", "billing_basis", ("receivables", "billing_basis"), _billed_though_written_off,
        ("service_id", "account_id", "derivation", "balance_cents"),
        "No service whose debt was written off is billed anew.",
        "Close the service in the CIS and refresh the extract; override where somebody else lives there and is to be billed. All of them: "
        "annual-billing questions YEAR collections_or_written_off.",
        tied_to=("service_id",),
    ),
    Check(
        "identities_hold", "reconciliation", ("reconciliation",), _differing,
        ("identity", "district_id", "source_file", "left_side", "left_thousandths", "right_side", "right_thousandths"),
        "Rows, volume, services, bills and shares are equal on both sides of each identity.",
        "This is a fault of the pipeline: report it with the rows listed here.",
        may_be_overridden=False,
    ),
    Check(
        "holds_what_is_due", "bill_files", ("bill_files", "billing_basis", "bills"), _unlike_the_basis,
        ("billing_agency", "records", "winter_average_thousandths", "amount_cents"),
        "Each bill file has a record for every service with an average, and its control totals are those of the basis and the bills.",
        "This is a fault of the pipeline: report it with the differences listed here.",
        may_be_overridden=False,
    ),
]  # fmt: skip
"""Every check, table by table."""


def checks_of(table: str) -> list[Check]:
    """Checks that stand on a table."""
    return [check for check in CHECKS if check.table == table]
