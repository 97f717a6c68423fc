"""Identities: what must be equal from the delivered files to the bills.

Belongs here: each identity and its two sides, as one row with both figures and their difference.
Does not belong here: making the tables, telling a person about a difference (``checks``).

Each side is counted from another table, so that a row lost on the way shows as a difference.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from rate_tables.exact import divide_wide, round_half_away, widened
from rate_tables.looked_up import looked_up
from rate_tables.terms import MONTHS_PER_BILL
from rate_tables.volume_units import SIZE_8NL
from validations.reasons import NOT_OF_RECORDS
from validations.tables import RECONCILIATION

STATED_BY_THE_DISTRICT = ("control count", "control total")
"""Identities whose left side is what a file states of itself; every other one is between tables of our own."""


def _identity(rows: ir.Table, name: str, left: tuple[str, ir.Value], right: tuple[str, ir.Value]) -> ir.Table:
    per_district, per_file = "district_id" in rows.columns, "source_file" in rows.columns
    return RECONCILIATION.conform(
        rows.mutate(
            identity=ibis.literal(name),
            district_id=rows.district_id if per_district else ibis.literal(""),
            source_file=rows.source_file if per_file else ibis.literal(""),
            left_side=ibis.literal(left[0]),
            left_thousandths=left[1],
            right_side=ibis.literal(right[0]),
            right_thousandths=right[1],
            difference_thousandths=left[1] - right[1],
        )
    )


def by_file(rows: ir.Table) -> ir.Table:
    """Rows of consumption, or rows that were rejected, by file: n and q, the records and the quantity delivered in them."""
    return rows.group_by("district_id", "source_file").agg(n=rows.count(), q=rows.delivered_quantity_thousandths.sum())


def identities_of_files(delivery_totals: ir.Table, taken: ir.Table, rejected_rows: ir.Table) -> list[ir.Table]:
    """Records and quantity of each file, against what became of them; and against what the file states of itself. ``taken``: consumption
    ``by_file``."""
    file = ["district_id", "source_file"]
    records = rejected_rows.filter(rejected_rows.reason_code.notin(NOT_OF_RECORDS))
    left_out = by_file(records)
    t = delivery_totals.filter(~delivery_totals.unreadable)
    t = looked_up(t, taken.rename(taken_n="n", taken_q="q"), file, "taken_n", "taken_q")
    t = looked_up(t, left_out.rename(left_n="n", left_q="q"), file, "left_n", "left_q")
    n = t.taken_n.fill_null(0) + t.left_n.fill_null(0)
    q = t.taken_q.fill_null(0) + t.left_q.fill_null(0)
    stated_n = t.filter(t.control_records.notnull())
    stated_q = t.filter(t.control_quantity_thousandths.notnull())
    return [
        _identity(t, "records", ("records read", t.records * 1000),
                  ("consumption + refused + duplicate + set aside", n * 1000)),
        _identity(t, "quantity", ("quantity read", t.delivered_quantity_thousandths),
                  ("consumption + refused + duplicate + set aside", q)),
        _identity(stated_n, "control count", ("records the file states", stated_n.control_records * 1000),
                  ("records read", stated_n.records * 1000)),
        _identity(stated_q, "control total", ("total the file states", stated_q.control_quantity_thousandths),
                  ("quantity read", stated_q.delivered_quantity_thousandths)),
    ]  # fmt: skip


def identities_of_year(
    sewer_services: ir.Table, billing_basis: ir.Table, bills: ir.Table, bill_lines: ir.Table
) -> list[ir.Table]:
    """Services against the basis, the basis against bills, bills against lines, lines against their shares."""
    services = sewer_services.agg(left=ibis._.count())
    basis = billing_basis.agg(
        all=ibis._.count(), billed=(ibis._.derivation != "excluded").cast("int64").sum().fill_null(0)
    )
    months = ibis.cases(*((bills.billing_frequency == name, n) for name, n in MONTHS_PER_BILL.items()))
    bill = bills.agg(
        count=ibis._.service_id.nunique(),
        cents=ibis._.amount_cents.sum().fill_null(0),
        months=(bills.bills_in_period * months).sum().fill_null(0),
    )
    line = bill_lines.agg(
        cents=ibis._.amount_cents.sum().fill_null(0),
        shares=(ibis._.regional_amount_cents + ibis._.local_amount_cents).sum().fill_null(0),
    )
    one = services.cross_join(basis).cross_join(bill.rename(bills="count", bill_cents="cents")).cross_join(line)
    return [
        _identity(one, "services", ("services of the extract", one.left * 1000),
                  ("averaged + carried forward + held + excluded", one["all"] * 1000)),
        _identity(one, "bills", ("services not excluded", one.billed * 1000), ("services with bills", one.bills * 1000)),
        _identity(one, "months", ("services with bills, twelve months each", one.bills * 12_000),
                  ("months of their bills", one.months * 1000)),
        _identity(one, "amounts", ("bills, cents", one.bill_cents * 1000), ("their lines, cents", one.cents * 1000)),
        _identity(one, "shares", ("lines, cents", one.cents * 1000), ("regional + local, cents", one.shares * 1000)),
    ]  # fmt: skip


def identities_of_volume(
    volume_account: ir.Table, counted_volume: ir.Table, winter_averages: ir.Table, billing_basis: ir.Table
) -> list[ir.Table]:
    """What each district delivered against the steps in which it went, in rows and in volume; and what the account says was counted
    for each service against what its average rests on."""
    came = volume_account.step == "delivered"
    of_district = volume_account.group_by("district_id").agg(
        rows_in=volume_account.rows.sum(where=came).fill_null(0),
        rows_out=-volume_account.rows.sum(where=~came).fill_null(0),
        volume_in=volume_account.volume_thousandths.sum(where=came).fill_null(0),
        volume_out=-volume_account.volume_thousandths.sum(where=~came).fill_null(0),
    )
    c = counted_volume
    size = ibis.cases(*((c.volume_unit == unit, ibis.literal(eights, "int64")) for unit, eights in SIZE_8NL.items()))
    of_service = c.group_by("service_id").agg(volume_8nl=(widened(c.counted_volume_thousandths) * size).sum())
    units = billing_basis.select("service_id", "volume_unit")
    w = winter_averages.filter(winter_averages.winter_volume_thousandths.notnull())
    w = looked_up(looked_up(w, units, "service_id", "volume_unit"), of_service, "service_id", "volume_8nl")
    one = ibis.cases(*((w.volume_unit == unit, ibis.literal(eights, "int64")) for unit, eights in SIZE_8NL.items()))
    is_same = round_half_away(w.volume_8nl, one, divide_wide) == w.winter_volume_thousandths
    averages = w.agg(same=is_same.fill_null(False).cast("int64").sum().fill_null(0))
    counted = averages.cross_join(of_service.agg(services=ibis._.count()))
    return [
        _identity(of_district, "rows of the district", ("records delivered", of_district.rows_in * 1000),
                  ("records that left in one of the steps", of_district.rows_out * 1000)),
        _identity(of_district, "volume of the district", ("volume delivered, in its unit", of_district.volume_in),
                  ("volume that left in one of the steps", of_district.volume_out)),
        _identity(counted, "counted volume", ("services with counted volume", counted.services * 1000),
                  ("services whose average rests on just that volume", counted.same * 1000)),
    ]  # fmt: skip
