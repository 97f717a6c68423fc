"""Consumption met with the sewer services it serves, and what is left over on either side.

Belongs here: joining delivered meters with dated meter links; unmatched accounts and services, and their nearest match.
Does not belong here: volumes per service (``rate_tables.averaging``), findings about them.

Bulk rows are not copied: the meeting is a map of meters, small beside the consumption it speaks of.
"""

from __future__ import annotations

import datetime as dt

import ibis
import ibis.expr.types as ir

from assets.cis_extract import links_of_winter
from assets.stage import stage
from rate_tables.looked_up import looked_up
from validations.tables import SERVICE_CONSUMPTION, UNMATCHED
from validations.workspace import Year

_OPEN_END = dt.date(9999, 12, 31)


def _met(meters: ir.Table, links: ir.Table) -> ir.Table:
    """Delivered meters with the links they meet; a link without a meter meets every meter of its account."""
    theirs = links.rename(linked_meter="meter_id")
    joined = meters.inner_join(theirs, ["district_id", "district_account"])
    return joined.filter((joined.linked_meter == "") | (joined.linked_meter == joined.meter_id))


@stage(SERVICE_CONSUMPTION, "services", by_slice=True, built_once=True)
def service_consumption(meters: ir.Table, meter_links: ir.Table, *, year: Year) -> ir.Table:
    """Which delivered meter serves which sewer service, when, for what and to which share.

    Two districts on one service is right when the links say so: such services have a slice of their own.
    """
    met = _met(meters.select("district_id", "district_account", "meter_id"), links_of_winter(meter_links, year))
    return met.mutate(
        link_end=met.link_end.fill_null(ibis.literal(_OPEN_END)),
        share_to_millionths=met.share_from_millionths + met.share_millionths,
    )


def _linked_while_delivered(meters: ir.Table, meter_links: ir.Table, year: Year) -> ir.Table:
    """Meters that some link serves on a day of what was delivered of them, from the winter on if they have that.

    A service that begins after the winter is linked all the same; a link that ended before it serves nobody any more.
    """
    met = _met(meters, meter_links)
    begins = ibis.literal(year.window_start)
    first = ibis.ifelse(met.last_day > begins, ibis.greatest(met.first_day, begins), met.first_day)
    return met.filter((met.link_start < met.last_day) & (met.link_end.isnull() | (met.link_end > first)))


def _bare(account: ir.StringValue) -> ir.StringValue:
    """An account number without what spreadsheets and systems add or drop: separators and leading zeros."""
    return account.re_replace("[^0-9A-Za-z]", "").re_replace("^0+", "")


def _nearest(left: ir.Table, right: ir.Table) -> ir.Table:
    """``left`` (district_id, district_account) with ``nearest_account``: one of ``right`` that leading zeros or a check
    digit explain, or null."""
    a = left.select("district_id", account=left.district_account, bare=_bare(left.district_account)).distinct()
    b = right.select("district_id", other=right.district_account, other_bare=_bare(right.district_account)).distinct()
    without_last = {
        "same": (a.bare, b.other_bare),
        "added": (a.bare.substr(0, a.bare.length() - 1), b.other_bare),
        "dropped": (a.bare, b.other_bare.substr(0, b.other_bare.length() - 1)),
    }
    pairs = [
        a.inner_join(b, [a.district_id == b.district_id, mine == theirs])
        .filter(lambda t: (t.account != t.other) & (t.bare.length() >= 3))
        .select("district_id", "account", "other", order=ibis.literal(order))
        for order, (mine, theirs) in enumerate(without_last.values())
    ]
    found = ibis.union(*pairs)
    best = found.group_by("district_id", district_account="account").agg(
        nearest_account=ibis._.other.argmin(ibis._.order)
    )
    known = looked_up(left, best, ["district_id", "district_account"], "nearest_account")
    return known.mutate(nearest_account=known.nearest_account.fill_null(""))


@stage(UNMATCHED, "services", built_once=True)
def unmatched(
    meters: ir.Table,
    meter_links: ir.Table,
    non_sewer_accounts: ir.Table,
    sewer_services: ir.Table,
    delivery_totals: ir.Table,
    *,
    year: Year,
) -> ir.Table:
    """What is left over on either side: district accounts that no link names, known non-sewer accounts apart, and services
    in force whose linked account is not in a delivery that was received. Where leading zeros or a check digit explain it,
    the nearest match is named."""
    links = links_of_winter(meter_links, year)
    keys = ["district_id", "district_account", "meter_id"]
    alone = meters.anti_join(_linked_while_delivered(meters, meter_links, year).select(*keys), keys)

    known = alone.semi_join(non_sewer_accounts, ["district_id", "district_account"])
    unknown = alone.anti_join(non_sewer_accounts, ["district_id", "district_account"])
    linked_accounts = links.select("district_id", "district_account").distinct()
    unknown = _nearest(unknown, linked_accounts)
    is_linked = unknown.semi_join(linked_accounts, ["district_id", "district_account"]).mutate(
        message=ibis.literal("the account is linked to a service, but this meter of it is not")
    )
    not_linked = unknown.anti_join(linked_accounts, ["district_id", "district_account"]).mutate(
        message=ibis.ifelse(
            ibis._.nearest_account == "",
            "no sewer service is linked to this account, and it is not a known non-sewer account",
            "no sewer service is linked to this account; the nearest match differs in leading zeros or a check digit",
        )
    )

    received = delivery_totals.filter(~delivery_totals.unreadable & (delivery_totals.records > 0))
    in_force = sewer_services.filter(sewer_services.status != "closed")
    asked = links.semi_join(in_force, "service_id").semi_join(received, "district_id")
    # Met anywhere in the winter is enough: a meter that was changed leaves its old link without rows.
    met_links = _met(meters, links).select("service_id", "district_id", "district_account").distinct()
    silent = asked.anti_join(met_links, ["service_id", "district_id", "district_account"])
    silent = _nearest(silent.distinct(on=["service_id", *keys]), meters.select("district_id", "district_account"))

    parts = [
        known.mutate(service_id=ibis.literal(""), side=ibis.literal("known_non_sewer"), nearest_account=ibis.literal(""),
                     message=ibis.literal("a known account without sewer")),
        is_linked.mutate(service_id=ibis.literal(""), side=ibis.literal("district")),
        not_linked.mutate(service_id=ibis.literal(""), side=ibis.literal("district")),
        silent.mutate(side=ibis.literal("service"), billed_volume_thousandths=ibis.literal(0), volume_unit=ibis.literal(""),
                      message=ibis.ifelse(
                          silent.nearest_account == "",
                          "the linked account is not in the delivery",
                          "the linked account is not in the delivery; the nearest match differs in leading zeros or a check digit",
                      )),
    ]  # fmt: skip
    return ibis.union(*(UNMATCHED.conform(part) for part in parts))
