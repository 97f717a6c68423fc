"""Charges: from a winter average to the lines of a bill.

Belongs here: quantity, rate and amount of each recurring charge, and how a charge is shared with the jurisdiction.
Does not belong here: whether a bill may be sent (``assets.bills``), the figures (the schedule's file).
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from rate_tables.exact import round_half_away, whole
from rate_tables.schedule import MONTHS_PER_BILL, Charge, LoadedSchedule

_QUANTITY_UNITS = {"edu_month": "EDU-months", "esu_month": "ESU-months"}


def _quantity(services: ir.Table, charge: Charge) -> ir.IntegerValue:
    """Quantity of one billing period, in thousandths."""
    months = ibis.cases(*((services.billing_frequency == name, n) for name, n in MONTHS_PER_BILL.items()))
    per_month = {
        "edu_month": services.edu_thousandths,
        "esu_month": services.esu_thousandths,
        "volume_month": services.winter_average_thousandths,
    }[charge.per]
    return per_month * months


def charge_lines(services: ir.Table, loaded: LoadedSchedule) -> ir.Table:
    """One row per service and charge of the schedule, for one billing period.

    ``services``: service_id, billing_frequency, jurisdiction, edu_thousandths, esu_thousandths, winter_average_thousandths
    (not null). amount = quantity x rate, rounded to the cent. The jurisdiction's share is rounded, the regional part is the
    rest, so both add to the amount.
    """
    schedule = loaded.schedule
    otherwise = whole(schedule.local_share_where_none_is_listed.value, 6)
    lines = []
    for charge in schedule.charges:
        rate = whole(charge.rate, 4)
        listed = [
            (services.jurisdiction == share.jurisdiction, whole(share.share, 6))
            for share in schedule.local_shares
            if share.charge == charge.code
        ]
        share = ibis.cases(*listed, else_=otherwise) if listed else ibis.literal(otherwise)
        quantity = _quantity(services, charge)
        amount = round_half_away(quantity * ibis.literal(rate, "int64"), 100_000)
        local = round_half_away(amount * share, 1_000_000)
        lines.append(
            services.select(
                "service_id",
                charge_code=ibis.literal(charge.code),
                quantity_thousandths=quantity,
                quantity_unit=ibis.literal(_QUANTITY_UNITS.get(charge.per, schedule.averaging.unit.value)),
                rate_ten_thousandths=ibis.literal(rate, "int64"),
                amount_cents=amount,
                regional_amount_cents=amount - local,
                local_amount_cents=local,
                schedule_file=ibis.literal(loaded.file),
            )
        )
    return ibis.union(*lines)
