"""Rules about deliveries and the CIS: what meets nothing, what meets twice, what the CIS says otherwise than a year ago.

Belongs here: rules about links between meters and services, and about changes of the extract.
Does not belong here: what a service used (``of_use``).
"""

from __future__ import annotations

import ibis.expr.types as ir

from validations.review.finding import as_json, found, sentence


def of_one_number(meters: ir.Table) -> ir.Table:
    """Meters whose number several districts have."""
    numbered = meters.filter(meters.meter_id != "")
    numbers = numbered.group_by("meter_id").agg(first=numbered.district_id.min(), last=numbered.district_id.max())
    return numbered.semi_join(numbers.filter(numbers.first != numbers.last), "meter_id")


def match_meter_in_two_districts(
    meters_of_one_number: ir.Table, service_consumption: ir.Table, sewer_services: ir.Table
) -> ir.Table:
    """Two districts deliver a meter of one number for the same days: if it serves one premise, its use would count twice."""
    keys = ["district_id", "district_account", "meter_id"]
    served = service_consumption.semi_join(meters_of_one_number, keys).select("service_id", *keys).distinct()
    served = served.inner_join(sewer_services.select("service_id", "premise_id"), "service_id")
    held = meters_of_one_number.select(*keys, "first_day", "last_day").inner_join(served, keys)
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

    def told(rows: ir.Table, severity: str, what: str) -> ir.Table:
        return found(
            rows, "match.meter_in_two_districts", severity, about,
            sentence("meter ", rows.meter_id, " is delivered by ", rows.district_id, " (account ", rows.district_account, ") and by ",
                  rows.other_district, " (account ", rows.other_account, ") for the same days", what),
            as_json(meter=rows.meter_id, district=rows.district_id, account=rows.district_account,
                  other_district=rows.other_district, other_account=rows.other_account),
            "Ask both districts whose meter it is, and end the other's meter link in the CIS on the day it changed hands.",
        )  # fmt: skip

    return told(pairs.filter(pairs.is_one), "must_decide", ", for one premise: its use counts twice").union(
        told(pairs.filter(~pairs.is_one), "review", ", for two premises: two meters may bear one number")
    )


def match_service_without_consumption(unmatched: ir.Table) -> ir.Table:
    """A service in force found no consumption in a delivery that was received."""
    rows = unmatched.filter(unmatched.side == "service")
    return found(
        rows, "match.service_without_consumption", "review", ["service_id", "district_id", "district_account", "meter_id"],
        sentence("account ", rows.district_account, ": ", rows.message),
        as_json(account=rows.district_account, meter=rows.meter_id, nearest_account=rows.nearest_account),
        "Correct the meter link in the CIS, or ask the district why the account is missing.",
    )  # fmt: skip


def match_account_without_service(unmatched: ir.Table) -> ir.Table:
    """A delivered account belongs to no service and is not known to have no sewer."""
    rows = unmatched.filter(unmatched.side == "district")
    return found(
        rows, "match.account_without_service", "review", ["district_id", "district_account", "meter_id"],
        sentence("account ", rows.district_account, ": ", rows.message),
        as_json(account=rows.district_account, meter=rows.meter_id, nearest_account=rows.nearest_account,
              billed_volume_thousandths=rows.billed_volume_thousandths, volume_unit=rows.volume_unit),
        "Find out whether the premise has sewer: link the account in the CIS, or list it among the non-sewer accounts.",
    )  # fmt: skip


def extract_changed(extract_changes: ir.Table) -> ir.Table:
    """The CIS says something else of a service than a year ago."""
    rows = extract_changes.filter(extract_changes.change != "customer_class")
    return found(
        rows, "extract.changed", "info", ["service_id", "change"],
        sentence(rows.change, ": was '", rows.last_year, "', is '", rows.this_year, "'"),
        as_json(change=rows.change, last_year=rows.last_year, this_year=rows.this_year),
        "Nothing, if the change is right; else correct it in the CIS and refresh the extract.",
    )  # fmt: skip


def service_class_changed(extract_changes: ir.Table) -> ir.Table:
    """The customer class is another than a year ago: other charges, and another class to be compared with."""
    rows = extract_changes.filter(extract_changes.change == "customer_class")
    return found(
        rows, "service.class_changed", "info", ["service_id"],
        sentence("the customer class was '", rows.last_year, "', is '", rows.this_year, "'"),
        as_json(last_year=rows.last_year, this_year=rows.this_year),
        "Nothing, if the change is right; else correct it in the CIS and refresh the extract.",
    )  # fmt: skip
