"""Consumption met with the sewer services it serves, and what is left over on either side.

Belongs here: joining delivered meters with dated meter links; unmatched accounts and services, and their nearest match.
Does not belong here: volumes per service (``rate_tables.averaging``), findings about them.

Bulk rows are not copied: the meeting is a map of meters, small beside the consumption it speaks of.
"""

from __future__ import annotations

import datetime as dt
from functools import partial

import ibis
import ibis.expr.types as ir

from assets.cis_extract import links_of_winter
from assets.kept import Bench
from assets.stage import stage, year_version
from rate_tables.looked_up import looked_up
from validations.tables import SERVICE_CONSUMPTION, UNMATCHED
from validations.workspace import Year

_OPEN_END = dt.date(9999, 12, 31)
_METER = ["district_id", "district_account", "meter_id"]


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


def _alone(meters: ir.Table, meter_links: ir.Table, *, year: Year) -> ir.Table:
    """Meters that no link serves on a day of what was delivered of them, from the winter on if they have that.

    A service that begins after the winter is linked all the same; a link that ended before it serves nobody any more.
    """
    begins = ibis.literal(year.window_start)
    first = ibis.ifelse(meters.last_day > begins, ibis.greatest(meters.first_day, begins), meters.first_day)
    alone = meters.mutate(first=first)
    links = meter_links.mutate(link_end=meter_links.link_end.fill_null(ibis.literal(_OPEN_END)))
    for some, keys in _by_what_they_name(links):
        alone = alone.anti_join(
            some, [*(alone[k] == some[k] for k in keys), some.link_start < alone.last_day, some.link_end > alone.first]
        )
    return alone.drop("first")


def without_link(meters: ir.Table, meter_links: ir.Table, year: Year) -> ir.Table:
    """Delivered meters that no link of the winter meets: those that ``service_consumption`` does not have."""
    for some, keys in _by_what_they_name(links_of_winter(meter_links, year)):
        meters = meters.anti_join(some, keys)
    return meters


def _by_what_they_name(links: ir.Table) -> list[tuple[ir.Table, list[str]]]:
    """Links that name a meter, and those that mean every meter of an account, each with what they are met by."""
    return [(links.filter(links.meter_id != ""), _METER), (links.filter(links.meter_id == ""), _METER[:2])]


def _unmet(
    meters: ir.Table, meter_links: ir.Table, sewer_services: ir.Table, delivery_totals: ir.Table, *, year: Year
) -> ir.Table:
    """Links of the winter that meet no delivered meter, of services in force and districts that were received."""
    received = delivery_totals.filter(~delivery_totals.unreadable & (delivery_totals.records > 0))
    in_force = sewer_services.filter(sewer_services.status != "closed")
    unmet = [
        some.anti_join(meters, keys).semi_join(in_force, "service_id").semi_join(received, "district_id")
        for some, keys in _by_what_they_name(links_of_winter(meter_links, year))
    ]
    return ibis.union(*unmet)


def _silent(unmet: ir.Table, meters: ir.Table, meter_links: ir.Table, *, year: Year) -> ir.Table:
    """Of these links, the ones whose service meets nothing of the account.

    Met anywhere in the winter is enough: a meter that was changed leaves its old link without rows.
    """
    of_account = ["service_id", *_METER[:2]]
    others = links_of_winter(meter_links, year).semi_join(unmet, of_account)
    met = [some.semi_join(meters, keys).select(*of_account) for some, keys in _by_what_they_name(others)]
    return unmet.anti_join(ibis.union(*met), of_account).distinct(on=["service_id", *_METER])


def _linked_accounts(meter_links: ir.Table, *, year: Year) -> ir.Table:
    return _accounts(links_of_winter(meter_links, year))


def _accounts(rows: ir.Table) -> ir.Table:
    """Accounts of meters or links, each with its bare number."""
    accounts = rows.select(*_METER[:2]).distinct()
    return accounts.mutate(bare=_bare(accounts.district_account))


def _bare(account: ir.StringValue) -> ir.StringValue:
    """An account number without what spreadsheets and systems add or drop: separators and leading zeros."""
    return account.re_replace("[^0-9A-Za-z]", "").re_replace("^0+", "")


def _nearest(left: ir.Table, right: ir.Table) -> ir.Table:
    """``left`` (district_id, district_account) with ``nearest_account``: one of the accounts ``right`` that leading zeros or a
    check digit explain, or null."""
    a = _accounts(left).rename(account="district_account")
    b = right.rename(other="district_account", other_bare="bare")
    without_last = {
        "same": (a.bare, b.other_bare),
        "added": (a.bare.substr(0, a.bare.length() - 1), b.other_bare),
        "dropped": (a.bare, b.other_bare.substr(0, b.other_bare.length() - 1)),
    }
    pairs = [
        a.inner_join(b, [a.district_id == b.district_id, mine == theirs])
        .filter(lambda t: (t.account != t.other) & (t.bare.length() >= 3))
        .select("district_id", "account", "other", order=ibis.literal(str(order)))
        for order, (mine, theirs) in enumerate(without_last.values())
    ]
    found = ibis.union(*pairs)
    # Of several that the same thing explains the first by number: rows come in no order.
    best = found.group_by("district_id", district_account="account").agg(
        nearest_account=(found.order + found.other).min().substr(1)
    )
    known = looked_up(left, best, ["district_id", "district_account"], "nearest_account")
    return known.mutate(nearest_account=known.nearest_account.fill_null(""))


@stage(UNMATCHED, "services", traced=True)
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
    inputs = {
        "meters": meters, "meter_links": meter_links, "non_sewer_accounts": non_sewer_accounts, "sewer_services": sewer_services,
        "delivery_totals": delivery_totals,
    }  # fmt: skip
    bench = Bench(inputs, year_version(year))
    bench.keep("alone", partial(_alone, year=year), "meters", "meter_links")
    bench.keep("unmet", partial(_unmet, year=year), "meters", "meter_links", "sewer_services", "delivery_totals")
    bench.keep("silent", partial(_silent, year=year), "unmet", "meters", "meter_links")
    bench.keep("linked", partial(_linked_accounts, year=year), "meter_links")
    bench.keep("delivered", lambda meters: _accounts(meters), "meters")
    return bench.shown("left_over", _left_over, "alone", "silent", "linked", "delivered", "non_sewer_accounts")


def _left_over(
    alone: ir.Table, silent: ir.Table, linked: ir.Table, delivered: ir.Table, non_sewer_accounts: ir.Table
) -> ir.Table:
    """Both sides in the shape of the table, with a sentence."""
    known = alone.semi_join(non_sewer_accounts, ["district_id", "district_account"])
    unknown = _nearest(alone.anti_join(non_sewer_accounts, ["district_id", "district_account"]), linked)
    is_linked = unknown.semi_join(linked, ["district_id", "district_account"]).mutate(
        message=ibis.literal("the account is linked to a service, but this meter of it is not")
    )
    not_linked = unknown.anti_join(linked, ["district_id", "district_account"]).mutate(
        message=ibis.ifelse(
            ibis._.nearest_account == "",
            "no sewer service is linked to this account, and it is not a known non-sewer account",
            "no sewer service is linked to this account; the nearest match differs in leading zeros or a check digit",
        )
    )
    silent = _nearest(silent, delivered)

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
