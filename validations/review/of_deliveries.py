"""Rules about what a district sent: whether it came, whether it is whole, whether it is this year's.

Belongs here: rules about files and whole deliveries.
Does not belong here: rules about what is in them, against last year (``of_districts``), about services (``of_use``).
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from validations.review.finding import as_json, found, sentence
from validations.tables import NOT_TAKEN_STATUSES
from validations.workspace import Year


def delivery_not_received(deliveries: ir.Table) -> ir.Table:
    """A district has sent nothing."""
    rows = deliveries.filter(deliveries.status == "not_received")
    return found(
        rows, "delivery.not_received", "must_decide", ["district_id"],
        sentence(rows.district_id, " has not delivered: ", rows.message), as_json(status=rows.status),
        "Ask the district for its file; until then its services carry their prior average forward.",
    )  # fmt: skip


def delivery_not_taken(deliveries: ir.Table) -> ir.Table:
    """A file that is there could not be taken, so the delivery may not be whole."""
    rows = deliveries.filter(deliveries.status.isin(NOT_TAKEN_STATUSES))
    return found(
        rows, "delivery.not_taken", "must_decide", ["district_id", "source_file"],
        sentence(rows.source_file, " of ", rows.district_id, ": ", rows.message), as_json(status=rows.status, bytes=rows.bytes),
        "Run again if it was being written or the connection failed; else send the district this sentence, or correct its entry "
        "in districts/.",
    )  # fmt: skip


def delivery_not_checked(deliveries: ir.Table) -> ir.Table:
    """The place where a district puts its files could not be looked at; what came before was read."""
    rows = deliveries.filter(deliveries.status == "not_checked")
    return found(
        rows, "delivery.not_checked", "review", ["district_id"],
        sentence(rows.district_id, ": ", rows.message), as_json(status=rows.status),
        "Run again when its files can be looked at, so that a correction the district may have sent is not missed.",
    )  # fmt: skip


def delivery_sent_before(deliveries: ir.Table) -> ir.Table:
    """A file has the content of another billing year's file."""
    rows = deliveries.filter(deliveries.status == "sent_before")
    return found(
        rows, "delivery.sent_before", "review", ["district_id", "source_file"],
        sentence(rows.source_file, " of ", rows.district_id, ": ", rows.message), as_json(content_hash=rows.content_hash),
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
    return found(
        rows, "delivery.of_another_district", "must_decide", ["district_id", "source_file"],
        sentence(rows.source_file, " of ", rows.district_id, " is the same file as one of ", rows.other),
        as_json(other_district=rows.other, content_hash=rows.content_hash),
        "Ask both districts whose file it is; take it away from the other one's place and run again.",
    )  # fmt: skip


def delivery_unreadable(delivery_totals: ir.Table) -> ir.Table:
    """A delivered file has not the layout that the registry announces."""
    rows = delivery_totals.filter(delivery_totals.unreadable)
    return found(
        rows, "delivery.unreadable", "must_decide", ["district_id", "source_file"],
        sentence(rows.source_file, " cannot be read: ", rows.message), as_json(content_hash=rows.content_hash),
        "Ask the district for the file in its usual layout, or correct its entry in districts/ if the layout has changed.",
    )  # fmt: skip


def delivery_control_total(delivery_totals: ir.Table) -> ir.Table:
    """A file does not add up to what it states of itself."""
    t = delivery_totals
    differs = (t.control_records != t.records).fill_null(False) | (
        t.control_quantity_thousandths != t.delivered_quantity_thousandths
    ).fill_null(False)
    rows = t.filter(differs)
    return found(
        rows, "delivery.control_total", "must_decide", ["district_id", "source_file"],
        sentence(rows.source_file, " states other totals than it holds"),
        as_json(records=rows.records, stated_records=rows.control_records,
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
    return found(
        counted, "delivery.refused_rows", "review", ["district_id", "reason_code", "sentence"],
        sentence(counted.n, " rows of ", counted.district_id, " were refused: ", counted.sentence),
        as_json(rows=counted.n, first_row=counted.first_row),
        "Read them in rejected_rows and send them back to the district, or mend the sheet they stand in.",
    )  # fmt: skip


def delivery_without_records(delivery_totals: ir.Table) -> ir.Table:
    """A district has delivered files that can be read, and there is no record in any of them."""
    districts = delivery_totals.group_by("district_id").agg(
        records=ibis._.records.sum(), files=(~ibis._.unreadable).cast("int64").sum()
    )
    rows = districts.filter((districts.records == 0) & (districts.files > 0))
    return found(
        rows, "delivery.without_records", "must_decide", ["district_id"],
        sentence(rows.district_id, " has delivered ", rows.files, " file(s) without a single record of consumption"),
        as_json(files=rows.files),
        "Ask the district for its consumption history; until then its services carry their prior average forward.",
    )  # fmt: skip


def delivery_off_cycle(delivery_totals: ir.Table) -> ir.Table:
    """Periods of a file are typically shorter or longer than the district's cycle."""
    t = delivery_totals
    rows = t.filter(((t.typical_days < t.cycle_days_from) | (t.typical_days > t.cycle_days_to)).fill_null(False))
    return found(
        rows, "delivery.off_cycle", "must_decide", ["district_id", "source_file"],
        sentence(rows.source_file, ": a period typically has ", rows.typical_days, " days, and the district's cycle ",
              rows.cycle_days_from, " to ", rows.cycle_days_to),
        as_json(typical_days=rows.typical_days, cycle_days_from=rows.cycle_days_from, cycle_days_to=rows.cycle_days_to),
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
    evidence = as_json(first_day=rows.first_day, last_day=rows.last_day, window_start=start, window_end=end)
    outside = rows.is_before | rows.is_after
    remedy = "Ask the district for the history of this winter; see whether last year's file was sent again."
    message = sentence("the history of ", rows.district_id, " goes from ", rows.first_day, " to ", rows.last_day,
                    "; the winter from ", start, " to ", end)  # fmt: skip
    rows = rows.mutate(message=message, evidence=evidence, outside=outside)
    return ibis.union(*(
        found(part, rule, severity, ["district_id"], part.message, part.evidence, remedy)
        for rule, severity, part in (
            ("delivery.outside_winter", "must_decide", rows.filter(rows.outside)),
            ("delivery.ends_in_winter", "review", rows.filter(~rows.outside)),
        )
    ))  # fmt: skip
