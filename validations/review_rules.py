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

from validations.tables import FINDINGS, NOT_TAKEN_STATUSES
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


def delivery_not_taken(deliveries: ir.Table) -> ir.Table:
    """A file that is there could not be taken, so the delivery may not be whole."""
    rows = deliveries.filter(deliveries.status.isin(NOT_TAKEN_STATUSES))
    return _found(
        rows, "delivery.not_taken", "must_decide", ["district_id", "source_file"],
        _text(rows.source_file, " of ", rows.district_id, ": ", rows.message), _json(status=rows.status, bytes=rows.bytes),
        "Run again if it was being written or the connection failed; else send the district this sentence, or correct its entry "
        "in districts/.",
    )  # fmt: skip


def delivery_not_checked(deliveries: ir.Table) -> ir.Table:
    """The place where a district puts its files could not be looked at; what came before was read."""
    rows = deliveries.filter(deliveries.status == "not_checked")
    return _found(
        rows, "delivery.not_checked", "review", ["district_id"],
        _text(rows.district_id, ": ", rows.message), _json(status=rows.status),
        "Run again when its files can be looked at, so that a correction the district may have sent is not missed.",
    )  # fmt: skip


def delivery_sent_before(deliveries: ir.Table) -> ir.Table:
    """A file has the content of another billing year's file."""
    rows = deliveries.filter(deliveries.status == "sent_before")
    return _found(
        rows, "delivery.sent_before", "review", ["district_id", "source_file"],
        _text(rows.source_file, " of ", rows.district_id, ": ", rows.message), _json(content_hash=rows.content_hash),
        "Send the district this sentence, unless it has sent this year's file beside it.",
    )  # fmt: skip


def delivery_of_another_district(deliveries: ir.Table) -> ir.Table:
    """Two districts sent the same file."""
    d = deliveries.filter((deliveries.status == "current") & (deliveries.bytes > 0))
    several = (
        d.group_by("content_hash")
        .agg(first_district=d.district_id.min(), last_district=d.district_id.max())
        .filter(lambda t: t.first_district != t.last_district)
    )
    rows = d.inner_join(several, "content_hash")
    rows = rows.mutate(
        other=ibis.ifelse(rows.district_id == rows.first_district, rows.last_district, rows.first_district)
    )
    return _found(
        rows, "delivery.of_another_district", "must_decide", ["district_id", "source_file"],
        _text(rows.source_file, " of ", rows.district_id, " is the same file as one of ", rows.other),
        _json(other_district=rows.other, content_hash=rows.content_hash),
        "Ask both districts whose file it is; take it away from the other one's place and run again.",
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


def delivery_without_records(delivery_totals: ir.Table) -> ir.Table:
    """A district has delivered files that can be read, and there is no record in any of them."""
    districts = delivery_totals.group_by("district_id").agg(
        records=ibis._.records.sum(), files=(~ibis._.unreadable).cast("int64").sum()
    )
    rows = districts.filter((districts.records == 0) & (districts.files > 0))
    return _found(
        rows, "delivery.without_records", "must_decide", ["district_id"],
        _text(rows.district_id, " has delivered ", rows.files, " file(s) without a single record of consumption"),
        _json(files=rows.files),
        "Ask the district for its consumption history; until then its services carry their prior average forward.",
    )  # fmt: skip


def delivery_off_cycle(delivery_totals: ir.Table) -> ir.Table:
    """Periods of a file are typically shorter or longer than the district's cycle."""
    t = delivery_totals
    rows = t.filter(((t.typical_days < t.cycle_days_from) | (t.typical_days > t.cycle_days_to)).fill_null(False))
    return _found(
        rows, "delivery.off_cycle", "must_decide", ["district_id", "source_file"],
        _text(rows.source_file, ": a period typically has ", rows.typical_days, " days, and the district's cycle ",
              rows.cycle_days_from, " to ", rows.cycle_days_to),
        _json(typical_days=rows.typical_days, cycle_days_from=rows.cycle_days_from, cycle_days_to=rows.cycle_days_to),
        "See whether day and month are exchanged in the dates; if the cycle has changed, correct billing_cycle in the entry.",
    )  # fmt: skip


def delivery_outside_winter(delivery_totals: ir.Table, year: Year) -> ir.Table:
    """A district's history ends before the winter does: it may be last year's."""
    districts = delivery_totals.group_by("district_id").agg(
        first_day=ibis._.first_day.min(), last_day=ibis._.last_day.max(), cycle_days_to=ibis._.cycle_days_to.max()
    )
    end, start = ibis.literal(year.window_end), ibis.literal(year.window_start)
    missing = end.delta(districts.last_day, unit="day")
    told = districts.mutate(
        missing_days=missing, is_before=districts.last_day <= start, is_after=districts.first_day >= end
    )
    # Up to one period may be open when the district sends its history.
    rows = told.filter((told.missing_days > told.cycle_days_to.fill_null(102)) | told.is_before | told.is_after)
    evidence = _json(first_day=rows.first_day, last_day=rows.last_day, window_start=start, window_end=end)
    outside = rows.is_before | rows.is_after
    remedy = "Ask the district for the history of this winter; see whether last year's file was sent again."
    message = _text("the history of ", rows.district_id, " goes from ", rows.first_day, " to ", rows.last_day,
                    "; the winter from ", start, " to ", end)  # fmt: skip
    rows = rows.mutate(message=message, evidence=evidence, outside=outside)
    return ibis.union(*(
        _found(part, rule, severity, ["district_id"], part.message, part.evidence, remedy)
        for rule, severity, part in (
            ("delivery.outside_winter", "must_decide", rows.filter(rows.outside)),
            ("delivery.ends_in_winter", "review", rows.filter(~rows.outside)),
        )
    ))  # fmt: skip


def match_meter_in_two_districts(meters: ir.Table, service_consumption: ir.Table, sewer_services: ir.Table) -> ir.Table:
    """Two districts deliver a meter of one number for the same days: if it serves one premise, its use would count twice."""
    keys = ["district_id", "district_account", "meter_id"]
    served = service_consumption.select("service_id", *keys).distinct()
    served = served.inner_join(sewer_services.select("service_id", "premise_id"), "service_id")
    held = meters.filter(meters.meter_id != "").select(*keys, "first_day", "last_day").inner_join(served, keys)
    other = held.rename(
        other_district="district_id", other_account="district_account", other_first="first_day", other_last="last_day",
        other_service="service_id", other_premise="premise_id",
    )  # fmt: skip
    both = held.inner_join(other, "meter_id")
    both = both.filter(
        (both.district_id < both.other_district)
        & (both.first_day < both.other_last)
        & (both.other_first < both.last_day)
    )
    both = both.mutate(is_one=(both.service_id == both.other_service) | (both.premise_id == both.other_premise))
    about = ["service_id", "district_id", "district_account", "meter_id", "other_district", "other_account"]
    pairs = both.group_by(about).agg(is_one=both.is_one.any())

    def found(rows: ir.Table, severity: str, what: str) -> ir.Table:
        return _found(
            rows, "match.meter_in_two_districts", severity, about,
            _text("meter ", rows.meter_id, " is delivered by ", rows.district_id, " (account ", rows.district_account, ") and by ",
                  rows.other_district, " (account ", rows.other_account, ") for the same days", what),
            _json(meter=rows.meter_id, district=rows.district_id, account=rows.district_account,
                  other_district=rows.other_district, other_account=rows.other_account),
            "Ask both districts whose meter it is, and end the other's meter link in the CIS on the day it changed hands.",
        )  # fmt: skip

    return found(pairs.filter(pairs.is_one), "must_decide", ", for one premise: its use counts twice").union(
        found(pairs.filter(~pairs.is_one), "review", ", for two premises: two meters may bear one number")
    )


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
    Rule(delivery_not_taken, ("deliveries",)),
    Rule(delivery_not_checked, ("deliveries",)),
    Rule(delivery_sent_before, ("deliveries",)),
    Rule(delivery_of_another_district, ("deliveries",)),
    Rule(delivery_unreadable, ("delivery_totals",)),
    Rule(delivery_control_total, ("delivery_totals",)),
    Rule(delivery_refused_rows, ("rejected_rows",)),
    Rule(delivery_without_records, ("delivery_totals",)),
    Rule(delivery_off_cycle, ("delivery_totals",)),
    Rule(delivery_outside_winter, ("delivery_totals", "year")),
    Rule(match_meter_in_two_districts, ("meters", "service_consumption", "sewer_services")),
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
