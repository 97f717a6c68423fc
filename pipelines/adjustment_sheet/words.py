"""Kinds and methods of adjustment in the words that stand beside the template.

Belongs here: what a clerk has to know to fill the sheet in. Does not belong here: the calculations (``rate_tables.adjusting``).
"""

from __future__ import annotations

from rate_tables.terms import AdjustmentKind, AdjustmentMethod

KINDS: dict[AdjustmentKind, str] = {
    "leak": "Water ran out of a pipe or a fixture. Covers whole delivered periods.",
    "evaporation": "Water of a cooling tower or the like went into the air. Expires.",
    "industrial_discharge": "What an industry discharges is not what its water meter shows.",
    "product": "Water left as product: bottled, brewed. Expires.",
    "irrigation": "Water went onto land and was not metered apart.",
    "deduct_meter": "A meter of the customer's shows water that did not reach the sewer. Expires.",
    "added_supply": "Water from a well, rain or a hauler reached the sewer.",
    "pool": "A pool was filled. Covers whole delivered periods.",
    "vacancy": "Nobody was there. Covers whole delivered periods.",
    "meter_error": "The meter registered wrongly. Covers whole delivered periods.",
    "override": "The average per month is set by a person. About the service, so it names no meter.",
}

METHODS: dict[AdjustmentMethod, str] = {
    "prior_year": "The same days a year before, at their daily use; the excess over it is credited, or a share of it.",
    "mean_of_bills_before": "The mean daily use of so many bills right before (bills); the excess is credited, or a share of it.",
    "volume": "The volume counts instead of what was delivered; over several periods it is spread by days.",
    "leave_out": "The periods are left out of the average, volume and days.",
    "make_up_less_blow_down": "volume: make-up meter; less_volume: blow-down meter; the difference comes off.",
    "share": "This share of the use comes off: 0.1 for a tenth.",
    "effluent_meter": "volume: the effluent meter; it counts instead of the use.",
    "water_balance": "volume: from wells, rain, haulers; less_volume: evaporated or left as product; the use and the difference count.",
    "deduct": "The volume comes off, at most the use.",
    "above_mean": "The part above the mean daily use of so many bills right before (bills) comes off.",
    "add": "The volume is added.",
    "average": "volume: the average per month that is to be billed.",
}
