"""The words of letters: what the tables hold, said to a customer.

Belongs here: sentences and names for units, kinds, rules, days. Does not belong here: reading tables (``figures``), layout (templates).
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

Row = dict[str, Any]

UNITS = {
    "ccf": "CCF", "cf": "cubic feet", "gal": "gallons", "hundred_gal": "hundred gallons", "thousand_gal": "thousand gallons",
    "m3": "cubic meters", "litre": "liters",
}  # fmt: skip
ABOUT_UNITS = {"ccf": "One CCF is 100 cubic feet, about 748 gallons."}

FREQUENCIES = {
    "monthly": "every month", "two_monthly": "every two months", "quarterly": "every three months", "half_yearly": "every six months",
    "yearly": "once a year",
}  # fmt: skip

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip

KINDS = {
    "leak": "Water leak",
    "evaporation": "Water that evaporates",
    "industrial_discharge": "Measured discharge",
    "product": "Water that leaves in a product",
    "irrigation": "Watering of grounds",
    "deduct_meter": "Water behind a deduct meter",
    "added_supply": "Water from another source",
    "pool": "Filling of a pool",
    "vacancy": "Time without an occupant",
    "meter_error": "Fault of the meter",
    "override": "Average set for this service",
}

TERMS = {
    "EDU": "An EDU (equivalent dwelling unit) is the share of one household in the sewer system.",
    "ESU": "An ESU (equivalent service unit) is the hard surface of one household's lot, from which rain runs off.",
}

_APPLIED = {
    "average": "Until the next yearly update, every bill charges for this average, whatever is used in the meantime.",
    "average_daily_use": "Until the next yearly update, every bill charges for this average by its days, whatever is used in the meantime.",
    "upper_limit": "Until the next yearly update, no bill charges for more water than this average.",
    "lesser_of_average_and_actual": "Until the next yearly update, every bill charges for this average or for what is used, whichever is less.",
}

_FOUND = {
    "computed": "It rests on the water use of this service in the winter from {winter}, of which {known} days are known.",
    "adjusted": "It rests on the water use of this service in the winter from {winter}, with the adjustments that we granted. {known} days of it are known.",
    "override": "We set it for this service after looking at its water use.",
    "previous_occupant": "Too little is known of your own use in the winter from {winter}, so the average of this address stands in.",
    "prior_year": "Too little is known of your use in the winter from {winter} for an average of it, so the average that you had stays.",
    "class_average": "Too little is known of your use in the winter from {winter}, so the average of similar customers stands in.",
    "default": "Too little is known of your use in the winter from {winter}, so the standard average for new customers stands in.",
    "fixed": "It is a fixed average for a service of this kind.",
    "carried_forward": "Your water district has not sent us its readings of the winter from {winter}, so the average that you had stays for the time being.",
}
SAID = frozenset(_FOUND)
"""How an average can have come about that a letter can tell."""

_ASKS_ABOUT_MORE = (
    "Was there a reason for the higher use: a leak, a pool that was filled, more people in the house? If a leak was repaired, please send a "
    "copy of the bill for the repair."
)
_ASKS_ABOUT_LESS = "Was the property empty, or used less, at that time? Please tell us from which day to which."
_ASKS = {
    "use.high": ("From {first_to_last} much more water was measured than usual; usual are about {usual_ccf_a_month} CCF a month.", _ASKS_ABOUT_MORE),
    "use.rising": ("The water use that was measured rose from {first_ccf_a_month} to {last_ccf_a_month} CCF a month from {first_to_last}, as it does when a leak grows.", _ASKS_ABOUT_MORE),
    "use.winter_above_summer": ("In winter {winter_ccf_a_month} CCF a month were measured, and in summer {summer_ccf_a_month}. Most customers use less in winter.", _ASKS_ABOUT_MORE),
    "use.low": ("From {first_to_last} much less water was measured than usual; usual are about {usual_ccf_a_month} CCF a month.", _ASKS_ABOUT_LESS),
    "use.zero_run": ("No water use was measured from {first_to_last}.", _ASKS_ABOUT_LESS),
    "use.on_inactive": ("{ccf} CCF were used from {first_to_last}, while this service is {status} in our records.", "Does somebody live or work at the address? Please tell us since which day."),
    "use.per_dwelling_unit": ("In winter {winter_ccf_a_month} CCF a month were used. Our records have {dwelling_units} dwellings on this service.", "How many dwellings does the water meter serve, and does it serve anything else?"),
}  # fmt: skip
ASKED_RULES = frozenset(_ASKS)
"""Rules whose findings a customer can say something about."""
DISTRICT_FIRST = ("read.", "meter.", "period.overlap", "use.negative", "use.placeholder", "use.tenfold")
"""Beginnings of rules that doubt what was measured: on the days of such a finding, a customer could only explain a figure that is wrong."""


def day(value: dt.date) -> str:
    """``July 1, 2019``."""
    return f"{MONTHS[value.month - 1]} {value.day}, {value.year}"


def days(start: dt.date, end: dt.date) -> str:
    """First to last day, the last one included; ``end`` is the day after it."""
    return f"{day(start)} to {day(end - dt.timedelta(days=1))}"


def how_found(basis: Row) -> str:
    """Where an average comes from."""
    known = f"{basis['days_covered']} of {(basis['window_end'] - basis['window_start']).days}"
    return _FOUND[basis["derivation"]].format(winter=days(basis["window_start"], basis["window_end"]), known=known)


def how_applied(basis: Row) -> str:
    """What the bills of the year make of an average."""
    said = _APPLIED[basis["applied_as"]]
    if basis["applied_in_months"]:
        named = [MONTHS[int(month) - 1] for month in basis["applied_in_months"].replace(",", " ").split()]
        other = "what is used" if basis["other_months_billed_from"] == "actual" else "this average"
        said = (
            f"This holds in {', '.join(named)}: {said[0].lower()}{said[1:]} Bills of other months charge for {other}."
        )
    if basis["yields_to_lower_actual_after_months"]:
        said += f" Once {basis['yields_to_lower_actual_after_months']} months of your use are known, their average takes its place if it is lower."
    return said


def change(average: Decimal, prior: Decimal | None, unit: str) -> str:
    """An average against the one before."""
    if prior is None:
        return "This service had no winter average before."
    if average == prior:
        return "It is the same as before."
    more = "more" if average > prior else "less"
    return f"Until then it is {figure(prior)} {UNITS[unit]} a month. The new average is {figure(abs(average - prior))} {UNITS[unit]} {more}."


def figure(volume: Decimal) -> str:
    """A volume without zeros that say nothing."""
    shown = volume.normalize()
    return f"{shown:,f}" if shown else "0"


def asked(finding: Row, evidence: Row) -> tuple[str, str]:
    """What was found, and what the customer is asked about it."""
    said, question = _ASKS[finding["rule_id"]]
    figures = {**evidence, **evidence.get("own", {})}
    start, end = finding["period_start"], finding["period_end"]
    return said.format(**{**figures, "first_to_last": days(start, end)}), question
