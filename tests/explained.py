"""A bill and its winter average worked out anew from an explanation's JSON alone, with decimals.

Belongs here: the arithmetic of the rules that the sample and the real city use. Does not belong here: any import of the project's own
modules; expectations (``test_explain``, ``test_real_data``).
"""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

Json = dict[str, Any]

CUBIC_INCHES = {
    "ccf": Decimal(172_800), "cf": Decimal(1_728), "gal": Decimal(231), "hundred_gal": Decimal(23_100),
    "thousand_gal": Decimal(231_000), "m3": 1_000_000 / Decimal("16.387064"), "litre": 1_000 / Decimal("16.387064"),
}  # fmt: skip
"""Of each unit: a gallon is 231 by definition, and a cubic inch is 16.387064 cubic centimetres."""
MONTHS = {"monthly": 1, "two_monthly": 2, "quarterly": 3, "half_yearly": 6, "yearly": 12}
THOUSANDTH, CENT = Decimal("0.001"), Decimal("0.01")


class Differs(AssertionError):
    """A figure of the explanation is not what its other figures come to."""


def rounded(value: Decimal, to: Decimal) -> Decimal:
    """To a multiple of ``to``, a half away from zero."""
    return (value / to).quantize(Decimal(1), ROUND_HALF_UP) * to


def same(what: str, stated: Decimal | str | None, found: Decimal | None) -> None:
    """Differs if they are not."""
    if (None if stated is None else Decimal(stated)) != found:
        raise Differs(f"{what}: the explanation says {stated}, and its figures come to {found}")


def _day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def _rule(explanation: Json) -> dict[str, str]:
    return {item["item"]: item["value"] for item in explanation["averaging_rule"]}


def counted_volume(reading: Json, part: Json, rule: dict[str, str], measures_effluent: bool) -> Decimal:
    """What counts of a delivered row on some of its days: cut by days, then by the service's share, signed by the meter's purpose."""
    start, length = _day(reading["period_start"]), reading["days"]
    delivered = reading[f"{rule['averaged_volume']}_volume"]
    volume = Decimal(delivered if reading["adjusted_volume"] is None else reading["adjusted_volume"])
    until, before = (
        rounded(volume * (_day(part[f"counted_{edge}"]) - start).days / length, THOUSANDTH) for edge in ("end", "start")
    )
    (link,) = (
        one for one in reading["links"] if one["link_start"] <= part["counted_start"] and part["counted_end"] <= one["link_end"]
    )  # fmt: skip
    share = (rounded((until - before) * Decimal(link[f"share_{edge}"]), THOUSANDTH) for edge in ("to", "from"))
    mine = next(share) - next(share)
    kind = rule[f"purposes.{link['purpose']}"]
    if kind not in ("add", "subtract") and not (kind == "replace" and measures_effluent):
        raise Differs(f"row {reading['source_row']} counts, and the rule says of its meter: {kind}")
    return -mine if kind == "subtract" else mine


def own_average(explanation: Json, one: Json) -> Decimal | None:
    """The average from the readings: use by days, one rounding. None where nothing is known."""
    rule, average = _rule(explanation), one["average"]
    effluent = any(link["purpose"] == "effluent" for reading in one["readings"] for link in reading["links"])
    total, months, known = Decimal(0), 0, set[int]()
    for reading in one["readings"]:
        for part in reading["counted"]:
            if part["whose"] != "own":
                continue
            volume = counted_volume(reading, part, rule, effluent)
            same(f"row {reading['source_row']}", part["counted_volume"], volume)
            total += volume * CUBIC_INCHES[part["volume_unit"]]
            months = part["span_months"]
            if part["covers"]:
                known.update(range(_day(part["counted_start"]).toordinal(), _day(part["counted_end"]).toordinal()))
    if len(known) != average["days_covered"]:
        raise Differs(f"the explanation says {average['days_covered']} days, and its rows have {len(known)}")
    if not known:
        return None
    if (rule["steps.1.step"], rule["steps.1.days_of_month"], rule["steps.2.step"], rule["steps.2.direction"]) != (
        "mean_by_days", "of_the_window", "round", "half_up"
    ):  # fmt: skip
        raise NotImplementedError(rule)
    window = (_day(average["window_end"]) - _day(average["window_start"])).days
    in_unit = max(total, Decimal(0)) * window / (CUBIC_INCHES[rule["unit"]] * len(known) * months)
    return rounded(in_unit, Decimal(rule["steps.2.to"]))


def check_average(explanation: Json, one: Json) -> None:
    """Differs where the average, or what it is made from, is not what the readings and the rule come to."""
    with localcontext() as context:
        context.prec = 60
        average, rule = one["average"], _rule(explanation)
        own = own_average(explanation, one)
        same("its own winter", average["own_average"], own)
        stands_in = {
            "computed": own,
            "adjusted": own,
            "prior_year": average["prior_average"],
            "carried_forward": average["prior_average"],
            "default": rule.get(f"no_history_default.{one['service']['customer_class']}"),
            "held": None,
            "excluded": None,
        }[average["derivation"]]
        same("winter average", average["winter_average"], None if stands_in is None else Decimal(stands_in))


def check_bills(explanation: Json, one: Json) -> int:
    """Differs where a line, a bill or the year is not what average, sizes and rates come to. Returns the lines looked at."""
    service, total, lines = one["service"], Decimal(0), 0
    months = MONTHS[service["billing_frequency"]]
    of_a_month = {"EDU-months": service["edu"], "ESU-months": service["esu"], "ccf": one["average"]["winter_average"]}
    for bill in one["bills"]:
        amount = Decimal(0)
        for line in bill["lines"]:
            quantity = Decimal(of_a_month[line["quantity_unit"]]) * months
            same(f"quantity of {line['charge_code']}", line["quantity"], quantity)
            (rate,) = (
                i["value"] for i in explanation["schedules"][line["schedule_file"]] if i["item"] == line["charge_code"]
            )
            same(f"rate of {line['charge_code']}", line["rate"], Decimal(rate))
            same(f"amount of {line['charge_code']}", line["amount"], rounded(quantity * Decimal(rate), CENT))
            amount += rounded(quantity * Decimal(rate), CENT)
            lines += 1
        if bill["amount"] is not None:
            same("bill", bill["amount"], amount)
            total += amount * bill["bills_in_period"]
    if one["amount_a_year"] is not None:
        same("all bills of the year", one["amount_a_year"], total)
    return lines


def check(explanation: Json, one: Json) -> int:
    """``check_average`` and ``check_bills``."""
    check_average(explanation, one)
    return check_bills(explanation, one)
