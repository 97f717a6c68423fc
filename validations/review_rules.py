"""Rules that find what a person should look at.

Belongs here: one small function per rule: tables in, findings out. A rule has a dotted id that never changes, a severity, a
message, its evidence and a remedy.
Does not belong here: what must add up (``checks``), correcting anything: a rule proposes, a person decides.

Severities: ``info`` (good to know), ``review`` (somebody should look), ``must_decide`` (nothing is released before).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from validations.tables import FINDINGS
from validations.workspace import Year


def _json(**values: ir.Value) -> ir.StringValue:
    return ibis.struct(values).cast("json").cast("string")


def _text(*parts: ir.Value | str) -> ir.StringValue:
    """Parts joined to a sentence; whole numbers are written out."""
    texts = [ibis.literal(p) if isinstance(p, str) else p.cast("string").fill_null("?") for p in parts]
    sentence = texts[0]
    for text in texts[1:]:
        sentence = sentence + text
    return sentence


def _found(
    rows: ir.Table,
    rule_id: str,
    severity: str,
    about: list[str],
    message: ir.StringValue,
    evidence: ir.StringValue,
    remedy: str,
) -> ir.Table:
    """Findings from ``rows``, each identified by the rule and the columns that it is ``about``.

    A colon inside a value is written %3A, so that two different things never get one id.
    """
    values = [rows[name].cast("string").replace("%", "%25").replace(":", "%3A") for name in about]
    key = _text(rule_id, *(part for value in values for part in (":", value)))
    return FINDINGS.conform(
        rows.mutate(
            finding_id=key,
            district_id=rows.district_id if "district_id" in rows.columns else ibis.literal(""),
            service_id=rows.service_id if "service_id" in rows.columns else ibis.literal(""),
            rule_id=ibis.literal(rule_id),
            severity=ibis.literal(severity),
            message=message,
            evidence=evidence,
            remedy=ibis.literal(remedy),
        )
    )


def delivery_not_received(deliveries: ir.Table) -> ir.Table:
    """A district has sent nothing."""
    rows = deliveries.filter(deliveries.status == "not_received")
    return _found(
        rows, "delivery.not_received", "must_decide", ["district_id"],
        _text(rows.district_id, " has not delivered: ", rows.message), _json(status=rows.status),
        "Ask the district for its file; until then its services carry their prior average forward.",
    )  # fmt: skip


def delivery_unreadable(delivery_totals: ir.Table) -> ir.Table:
    """A delivered file has not the layout that the registry announces."""
    rows = delivery_totals.filter(delivery_totals.unreadable)
    return _found(
        rows, "delivery.unreadable", "must_decide", ["district_id", "source_file"],
        _text(rows.source_file, " cannot be read: ", rows.message), _json(content_hash=rows.content_hash),
        "Ask the district for the file in its usual layout, or correct its entry in districts/ if the layout has changed.",
    )  # fmt: skip


def delivery_control_total(delivery_totals: ir.Table) -> ir.Table:
    """A file does not add up to what it states of itself."""
    t = delivery_totals
    differs = (t.control_records != t.records).fill_null(False) | (
        t.control_quantity_thousandths != t.delivered_quantity_thousandths
    ).fill_null(False)
    rows = t.filter(differs)
    return _found(
        rows, "delivery.control_total", "must_decide", ["district_id", "source_file"],
        _text(rows.source_file, " states other totals than it holds"),
        _json(records=rows.records, stated_records=rows.control_records,
              quantity_thousandths=rows.delivered_quantity_thousandths,
              stated_quantity_thousandths=rows.control_quantity_thousandths),
        "Ask the district whether the file is complete.",
    )  # fmt: skip


def delivery_refused_rows(rejected_rows: ir.Table) -> ir.Table:
    """A delivery has rows that could not be used."""
    counted = (
        rejected_rows.filter(rejected_rows.reason_kind == "refused")
        .group_by("district_id", "reason_code", "message")
        .agg(n=ibis._.count(), first_row=ibis._.source_row.min())
        .rename(sentence="message")
    )
    return _found(
        counted, "delivery.refused_rows", "review", ["district_id", "reason_code", "sentence"],
        _text(counted.n, " rows of ", counted.district_id, " were refused: ", counted.sentence),
        _json(rows=counted.n, first_row=counted.first_row),
        "Read them in rejected_rows and send them back to the district, or mend the sheet they stand in.",
    )  # fmt: skip


def match_service_without_consumption(unmatched: ir.Table) -> ir.Table:
    """A service in force found no consumption in a delivery that was received."""
    rows = unmatched.filter(unmatched.side == "service")
    return _found(
        rows, "match.service_without_consumption", "review", ["service_id", "district_id", "district_account", "meter_id"],
        _text("account ", rows.district_account, ": ", rows.message),
        _json(account=rows.district_account, meter=rows.meter_id, nearest_account=rows.nearest_account),
        "Correct the meter link in the CIS, or ask the district why the account is missing.",
    )  # fmt: skip


def match_account_without_service(unmatched: ir.Table) -> ir.Table:
    """A delivered account belongs to no service and is not known to have no sewer."""
    rows = unmatched.filter(unmatched.side == "district")
    return _found(
        rows, "match.account_without_service", "review", ["district_id", "district_account", "meter_id"],
        _text("account ", rows.district_account, ": ", rows.message),
        _json(account=rows.district_account, meter=rows.meter_id, nearest_account=rows.nearest_account,
              billed_volume_thousandths=rows.billed_volume_thousandths, volume_unit=rows.volume_unit),
        "Find out whether the premise has sewer: link the account in the CIS, or list it among the non-sewer accounts.",
    )  # fmt: skip


def extract_changed(extract_changes: ir.Table) -> ir.Table:
    """The CIS says something else of a service than a year ago."""
    rows = extract_changes
    return _found(
        rows, "extract.changed", "info", ["service_id", "change"],
        _text(rows.change, ": was '", rows.last_year, "', is '", rows.this_year, "'"),
        _json(change=rows.change, last_year=rows.last_year, this_year=rows.this_year),
        "Nothing, if the change is right; else correct it in the CIS and refresh the extract.",
    )  # fmt: skip


def meter_rollover(meters: ir.Table, service_consumption: ir.Table) -> ir.Table:
    """A register went round; the volume allows for it."""
    rolled = meters.filter(meters.rollovers > 0)
    rows = rolled.inner_join(
        service_consumption.select("service_id", "district_id", "district_account", "meter_id").distinct(),
        ["district_id", "district_account", "meter_id"],
    )
    return _found(
        rows, "meter.rollover", "info", ["service_id", "district_id", "district_account", "meter_id"],
        _text("the register of meter ", rows.meter_id, " went back ", rows.rollovers, " time(s) and was read as having gone round"),
        _json(meter=rows.meter_id, rollovers=rows.rollovers),
        "Nothing, if the use looks right; a changed meter or a misread register would need a consumption adjustment.",
    )  # fmt: skip


def occupant_since_this_winter(sewer_services: ir.Table, year: Year) -> ir.Table:
    """The occupant came during the winter: use before that is not the customer's."""
    s = sewer_services
    rows = s.filter(
        (s.status != "closed")
        & (s.volume_source == "district")
        & (s.occupant_since > ibis.literal(year.window_start))
        & (s.occupant_since < ibis.literal(year.window_end))
    )
    return _found(
        rows, "history.moved_in_during_winter", "info", ["service_id"],
        _text("the occupant came on ", rows.occupant_since, "; consumption before that day does not count"),
        _json(occupant_since=rows.occupant_since, service_start=rows.service_start),
        "Nothing; an appeal may bring other months.",
    )  # fmt: skip


def adjustment_without_consumption(adjustments: ir.Table, adjusted_consumption: ir.Table) -> ir.Table:
    """An adjustment names a meter and period that the deliveries do not hold exactly once."""
    rows = adjustments.anti_join(adjusted_consumption, "adjustment_id")
    return _found(
        rows, "adjustment.without_consumption", "must_decide", ["adjustment_id"],
        _text("adjustment ", rows.adjustment_id, " of account ", rows.district_account, " meets no row of consumption, or several"),
        _json(adjustment=rows.adjustment_id, period_start=rows.period_start, period_end=rows.period_end),
        "Correct account, meter, period and unit in the adjustment sheet to those of the delivered row.",
    )  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """A rule, and the tables it reads by name (``year`` for the year's dates)."""

    function: Callable[..., ir.Table]
    reads: tuple[str, ...]


RULES = [
    Rule(delivery_not_received, ("deliveries",)),
    Rule(delivery_unreadable, ("delivery_totals",)),
    Rule(delivery_control_total, ("delivery_totals",)),
    Rule(delivery_refused_rows, ("rejected_rows",)),
    Rule(match_service_without_consumption, ("unmatched",)),
    Rule(match_account_without_service, ("unmatched",)),
    Rule(extract_changed, ("extract_changes",)),
    Rule(meter_rollover, ("meters", "service_consumption")),
    Rule(occupant_since_this_winter, ("sewer_services", "year")),
    Rule(adjustment_without_consumption, ("adjustments", "adjusted_consumption")),
]
"""Every rule of review."""


def all_findings(**tables: ir.Table | Year) -> ir.Table:
    """Findings of every rule whose tables are given."""
    found = [r.function(*(tables[name] for name in r.reads)) for r in RULES if set(r.reads) <= tables.keys()]
    return ibis.union(*found)
