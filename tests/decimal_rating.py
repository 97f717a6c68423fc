"""A second rating, from the text of a schedule's file to the lines of a bill, on ``decimal`` alone.

Belongs here: what a rate analyst would do with the file and a pocket calculator.
Does not belong here: any import of the project's own modules.

It shares no code with the pipeline, only the rule: a quantity that comes out of a conversion, of pounds or of a share by days
is rounded to thousandths, an amount to the cent, a half away from zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

CENT, THOUSANDTH = Decimal("0.01"), Decimal("0.001")
MONTHS = {"monthly": 1, "two_monthly": 2, "quarterly": 3, "half_yearly": 6, "yearly": 12}
CUBIC_INCHES = {
    "ccf": Decimal(172_800), "cf": Decimal(1_728), "gal": Decimal(231), "hundred_gal": Decimal(23_100),
    "thousand_gal": Decimal(231_000),
}  # fmt: skip
EXACT = Context(prec=80, rounding=ROUND_HALF_UP)


def rounded(value: Decimal, to: Decimal) -> Decimal:
    return value.quantize(to, context=EXACT)


@dataclass(frozen=True)
class Line:
    """One line, in dollars and whole units."""

    quantity: Decimal
    rate: Decimal
    amount: Decimal
    regional: Decimal
    local: Decimal


@dataclass(frozen=True)
class Days:
    """The days of a bill that a schedule rates: from ``first`` to ``last`` of ``all``."""

    first: int = 0
    last: int = 1
    all: int = 1

    def of(self, quantity: Decimal) -> Decimal:
        if self == Days():
            return quantity
        upto = [rounded(EXACT.divide(quantity * day, Decimal(self.all)), THOUSANDTH) for day in (self.first, self.last)]
        return upto[1] - upto[0]


class Lacking(Exception):
    """A rate or a quantity that the bill needs is not known."""


Service = dict[str, Any]
"""customer_class, jurisdiction, billing_frequency; decimals edu, esu, volume (a month), bod, cod, tss, or None."""


def fits(customers: dict[str, Any], service: Service) -> bool:
    classes, places = customers.get("classes"), customers.get("jurisdictions")
    return (not classes or service["customer_class"] in classes) and (not places or service["jurisdiction"] in places)


def tiers_of(charge: dict[str, Any], service: Service) -> list[dict[str, str]]:
    """The tiers that hold for a service; a single rate is one tier."""
    for some in charge.get("rates", []):
        if fits(some, service):
            return some.get("tiers") or [{"rate": some["rate"]}]
    if charge.get("tiers"):
        return charge["tiers"]  # type: ignore[no-any-return]
    return [{"rate": charge.get("rate", "unknown")}]


def known(rate: str, quantity: Decimal) -> Decimal | None:
    if rate != "unknown":
        return Decimal(rate)
    if quantity:
        raise Lacking("rate")
    return None


def takes_the_place(charge: dict[str, Any], charges: list[dict[str, Any]], service: Service) -> bool:
    other = next(c for c in charges if c["code"] == charge["instead_of"])
    ours, theirs = service[charge["pollutant"]], service[other["pollutant"]]
    if ours is None or theirs is None or not fits(charge.get("applies_to", {}), service):
        return False
    return bool(ours > theirs * Decimal(charge["where_times_greater"]))


def pounds(charge: dict[str, Any], charges: list[dict[str, Any]], service: Service, unit: str) -> Decimal | None:
    """Pounds above the domestic limit; None if the charge is not due."""
    strength = service[charge["pollutant"]]
    if "instead_of" in charge:
        if not takes_the_place(charge, charges, service):
            return None
    elif strength is None and charge["without_measurement"] == "domestic":
        return None
    if any(c.get("instead_of") == charge["code"] and takes_the_place(c, charges, service) for c in charges):
        return None
    if strength is None or service["volume"] is None:
        raise Lacking("strength or volume")
    volume = service["volume"] * MONTHS[service["billing_frequency"]]
    gallons = EXACT.divide(volume * CUBIC_INCHES[unit], CUBIC_INCHES["gal"])
    excess = max(strength - Decimal(charge["domestic_limit_mg_per_l"]), Decimal(0))
    million_gallons = EXACT.divide(gallons, Decimal(1_000_000))
    return rounded(EXACT.multiply(EXACT.multiply(Decimal("8.34"), million_gallons), excess), THOUSANDTH)


def quantities(
    charge: dict[str, Any], charges: list[dict[str, Any]], service: Service, unit: str, days: Days
) -> list[tuple[Decimal, Decimal | None]]:
    """Quantity and rate, tier by tier."""
    months = MONTHS[service["billing_frequency"]]
    if charge["per"] == "pound":
        found = pounds(charge, charges, service, unit)
        return [] if found is None else [(days.of(found), known(charge["rate"], days.of(found)))]
    if charge["per"] == "account_month" and not service["bears_account_charges"]:
        return []
    if charge["per"] in CUBIC_INCHES:
        if service["volume"] is None:
            raise Lacking("volume")
        quantity = EXACT.divide(service["volume"] * months * CUBIC_INCHES[unit], CUBIC_INCHES[charge["per"]])
        quantity = rounded(quantity, THOUSANDTH)
    else:
        counted = {"edu_month": service["edu"], "esu_month": service["esu"], "account_month": Decimal(1)}
        quantity = counted[charge["per"]] * months
    quantity = days.of(max(quantity, Decimal(charge.get("at_least", "0")) * months))
    found_tiers, begins = [], Decimal(0)
    for number, tier in enumerate(tiers_of(charge, service)):
        ends = min(quantity, days.of(Decimal(tier["up_to"]) * months)) if "up_to" in tier else quantity
        if number == 0 or ends > begins:
            found_tiers.append((ends - begins, known(tier["rate"], ends - begins)))
        begins = ends
    return found_tiers


def local_share(schedule: dict[str, Any], charge: dict[str, Any], service: Service) -> Decimal:
    for share in schedule.get("local_shares", []):
        if (share["jurisdiction"], share["charge"]) == (service["jurisdiction"], charge["code"]):
            return Decimal(share["share"])
    everywhere = schedule.get("local_share_where_none_is_listed", {}).get("value", "0")
    return Decimal(charge.get("local_share", everywhere))


def bill(schedule: dict[str, Any], service: Service, unit: str, days: Days = Days()) -> dict[tuple[str, int], Line]:
    """(charge, tier) -> line. Lacking if a rate or a quantity is not known."""
    lines: dict[tuple[str, int], Line] = {}
    due: dict[str, Decimal] = {}
    charges = schedule["charges"]
    if not charges:
        raise Lacking("charges")
    depending = [c for c in charges if "of" in c]
    for charge in [c for c in charges if "of" not in c] + depending:
        if not fits(charge.get("applies_to", {}), service):
            continue
        if "of" not in charge:
            rows = quantities(charge, charges, service, unit, days)
            if not rows:
                continue
        else:
            paid = [due[code] for code in charge["of"] if code in due]
            if not paid:
                continue
            total = sum(paid, Decimal(0))
            if "percent" in charge:
                rows = [(total, Decimal(charge["percent"]) / 100)]
            else:
                least = Decimal(charge["minimum"]) * MONTHS[service["billing_frequency"]]
                lacking = shared_cents(least, days)
                if lacking <= total:
                    continue
                rows = [(lacking - total, Decimal(1))]
        due[charge["code"]] = Decimal(0)
        for number, (quantity, rate) in enumerate(rows):
            if rate is None:
                continue
            amount = rounded(quantity * rate, CENT)
            local = rounded(amount * local_share(schedule, charge, service), CENT)
            lines[charge["code"], number + 1] = Line(quantity, rate, amount, amount - local, local)
            due[charge["code"]] += amount
    return lines


def shared_cents(dollars: Decimal, days: Days) -> Decimal:
    """The part of an amount that falls on the days, to the cent."""
    upto = [rounded(EXACT.divide(dollars * day, Decimal(days.all)), CENT) for day in (days.first, days.last)]
    return upto[1] - upto[0]
