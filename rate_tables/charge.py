"""The charges of a schedule, as a rate analyst writes them: so much per unit, in tiers, per pound, a percentage, a minimum.

Belongs here: the shape of ``charges`` in a schedule's file, and what of it would contradict itself.
Does not belong here: computing a line (``charging``), the rest of the file (``schedule``).

A charge is one of four kinds, told apart by its keys: ``per`` a unit of quantity; ``per: pound`` of a pollutant;
``percent`` of other charges; ``minimum`` of other charges.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from rate_tables.config_file import ExactNumber, NotAllowed, Strict
from rate_tables.terms import CustomerClass, Pollutant, Rate, Share, Source
from rate_tables.volume_units import VolumeUnit

Quantity = Annotated[ExactNumber, Field(ge=0, decimal_places=3)]
Percent = Annotated[ExactNumber, Field(ge=0, le=100, decimal_places=2)]
Dollars = Annotated[ExactNumber, Field(ge=0, decimal_places=2)]
Times = Annotated[ExactNumber, Field(gt=0, decimal_places=3)]
Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]

KnownOrNot = Annotated[
    Annotated[Rate, Tag("number")] | Annotated[Literal["unknown"], Tag("unknown")],
    Discriminator(lambda value: "unknown" if value == "unknown" else "number"),
]
"""A rate, or ``unknown``: the charge exists, its figure was not found, and a bill that needs it is held."""


Counted = Literal["edu_month", "esu_month", "account_month"]


def _countable(per: Any) -> Any:
    allowed = (*get_args(Counted), "pound", *get_args(VolumeUnit))
    if per not in allowed:
        raise ValueError(", ".join(allowed))
    return per


class CustomersOf(Strict):
    """Customers by class and jurisdiction; what is not named is not restricted."""

    classes: tuple[CustomerClass, ...] = ()
    jurisdictions: tuple[str, ...] = ()

    def meets(self, other: CustomersOf) -> bool:
        """Whether one customer can be of both."""

        def share_one(these: tuple[str, ...], those: tuple[str, ...]) -> bool:
            return not these or not those or bool(set(these) & set(those))

        return share_one(self.classes, other.classes) and share_one(self.jurisdictions, other.jurisdictions)


class Tier(Strict):
    """A marginal tier: the quantity of a month from the end of the tier before ``up_to`` this one has this rate."""

    up_to: Quantity | None = None
    rate: KnownOrNot


def _rising(tiers: tuple[Tier, ...], *key: str | int) -> None:
    """NotAllowed unless the tiers follow each other and the last has no end."""
    for place, tier in enumerate(tiers[:-1]):
        if tier.up_to is None:
            raise NotAllowed("an end (up_to) for each tier but the last", *key, "tiers", place)
    if tiers and tiers[-1].up_to is not None:
        raise NotAllowed(
            "a last tier without up_to, so that every quantity has a rate", *key, "tiers", len(tiers) - 1, "up_to"
        )
    ends = [Decimal(0), *(tier.up_to for tier in tiers if tier.up_to is not None)]
    for place, (before, after) in enumerate(pairwise(ends)):
        if after <= before:
            raise NotAllowed(f"tiers that rise; {after} does not come after {before}", *key, "tiers", place, "up_to")


class RateOfSome(CustomersOf):
    """The rate, or the tiers, of the customers that are named."""

    rate: KnownOrNot | None = None
    tiers: tuple[Tier, ...] = ()

    @property
    def in_tiers(self) -> tuple[Tier, ...]:
        return self.tiers or ((Tier(rate=self.rate),) if self.rate is not None else ())


class _Charge(Strict):
    code: Code
    title: str
    applies_to: CustomersOf = CustomersOf()
    """Who pays it; everybody if nothing is said."""
    local_share: Share | None = None
    """The part of it that stays with the jurisdiction, where ``local_shares`` lists none: "1" for a city's own charge."""
    source: Source


class UnitCharge(_Charge):
    """So much per unit: of EDU, ESU or account and month, or of volume.

    ``rate``: for everybody, or for those whom ``rates`` does not name. ``tiers``: marginal, by the quantity of a month.
    ``at_least``: quantity of a month below which the charge does not go.
    """

    per: Annotated[Counted | VolumeUnit, BeforeValidator(_countable)]
    rate: KnownOrNot | None = None
    rates: tuple[RateOfSome, ...] = ()
    tiers: tuple[Tier, ...] = ()
    at_least: Quantity | None = None

    @model_validator(mode="after")
    def _prices_are_clear(self) -> UnitCharge:
        if self.rate is not None and self.tiers:
            raise NotAllowed("a rate or tiers, not both", "tiers")
        if self.rate is None and not self.tiers and not self.rates:
            raise NotAllowed("a rate, tiers, or rates of those who are named", "rate")
        _rising(self.tiers)
        for place, one in enumerate(self.rates):
            if (one.rate is None) == (not one.tiers):
                raise NotAllowed("a rate or tiers, one of the two", "rates", place)
            if not one.classes and not one.jurisdictions:
                raise NotAllowed("classes or jurisdictions whose rate it is", "rates", place)
            _rising(one.tiers, "rates", place)
            for before in self.rates[:place]:
                if before.meets(one):
                    raise NotAllowed(
                        "one rate for each customer; another one above fits the same customers", "rates", place
                    )
        return self

    @property
    def of_the_others(self) -> tuple[Tier, ...]:
        """Tiers of those whom ``rates`` does not name; none if they have no rate."""
        return self.tiers or ((Tier(rate=self.rate),) if self.rate is not None else ())


class PoundCharge(_Charge):
    """Strength surcharge: pounds = 8.34 x million gallons x (mg/L - ``domestic_limit_mg_per_l``), never below zero.

    ``instead_of``: this charge takes the place of that one where its pollutant is more than ``where_times_greater`` times the
    other's, both measured. ``without_measurement``: a customer of whom no strength is known pays nothing, as for domestic
    waste, or the bill is held.
    """

    per: Literal["pound"]
    pollutant: Pollutant
    domestic_limit_mg_per_l: Quantity
    rate: KnownOrNot
    without_measurement: Literal["domestic", "hold"] | None = None
    instead_of: Code | None = None
    where_times_greater: Times | None = None

    @model_validator(mode="after")
    def _condition_is_whole(self) -> PoundCharge:
        if (self.instead_of is None) != (self.where_times_greater is None):
            raise NotAllowed("instead_of and where_times_greater together, or neither", "instead_of")
        if self.instead_of is None and self.without_measurement is None:
            raise NotAllowed("without_measurement: domestic, or hold", "without_measurement")
        if self.instead_of is not None and self.without_measurement is not None:
            raise NotAllowed("no such key beside instead_of, which needs both measured", "without_measurement")
        return self


class PercentCharge(_Charge):
    """So many percent of the charges that ``of`` names."""

    percent: Percent
    of: Annotated[tuple[Code, ...], Field(min_length=1)]


class MinimumCharge(_Charge):
    """What the charges that ``of`` names lack to ``minimum`` dollars a month."""

    minimum: Dollars
    of: Annotated[tuple[Code, ...], Field(min_length=1)]


def _kind(content: Any) -> str:
    """Which kind a charge is. The names are no keys, so that a mistake is looked for at its own key."""
    given = content if isinstance(content, dict) else {"per": getattr(content, "per", None)}
    if isinstance(content, PercentCharge) or "percent" in given:
        return "percent charge"
    if isinstance(content, MinimumCharge) or "minimum" in given:
        return "minimum charge"
    return "pound charge" if given.get("per") == "pound" else "unit charge"


Charge = Annotated[
    Annotated[UnitCharge, Tag("unit charge")]
    | Annotated[PoundCharge, Tag("pound charge")]
    | Annotated[PercentCharge, Tag("percent charge")]
    | Annotated[MinimumCharge, Tag("minimum charge")],
    Discriminator(_kind),
]

AnyCharge = UnitCharge | PoundCharge | PercentCharge | MinimumCharge


def contradictions(charges: tuple[AnyCharge, ...]) -> Iterator[NotAllowed]:
    """What does not fit between the charges of one schedule; keys are below the schedule."""
    above: dict[str, AnyCharge] = {}
    for place, charge in enumerate(charges):
        if charge.code in above:
            yield NotAllowed(
                f"charge codes that differ from each other; {charge.code!r} stands twice", "charges", place, "code"
            )
        if isinstance(charge, PercentCharge | MinimumCharge):
            for number, code in enumerate(charge.of):
                if code not in above:
                    yield NotAllowed(
                        f"codes of charges that stand above it ({', '.join(above) or 'none does'}), not {code!r}",
                        "charges", place, "of", number,
                    )  # fmt: skip
                elif code in charge.of[:number]:
                    yield NotAllowed(f"each charge once; {code!r} stands twice", "charges", place, "of", number)
        if isinstance(charge, PoundCharge) and charge.instead_of is not None:
            other = above.get(charge.instead_of)
            if not isinstance(other, PoundCharge) or other.instead_of is not None:
                yield NotAllowed(
                    "the code of a charge per pound that stands above it and itself always applies",
                    "charges", place, "instead_of",
                )  # fmt: skip
        above[charge.code] = charge
