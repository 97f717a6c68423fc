"""The dated schedule: what a utility adopted, as a typed value.

Belongs here: the shape of a schedule file, finding the schedule of a billing year.
Does not belong here: computing with it (``averaging`` and ``charging`` do), customers, files of districts.

One file per adopted schedule: ``rate_tables/<utility>/<effective date>.yaml``. Every figure stands beside its source.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field, model_validator

from rate_tables.config_file import ConfigError, ExactNumber, NotAllowed, Strict, load_config
from rate_tables.volume_units import VolumeUnit

SHIPPED = Path(__file__).parent

T = TypeVar("T")
Source = Annotated[str, Field(min_length=3)]
Rate = Annotated[ExactNumber, Field(ge=0, decimal_places=4)]
Share = Annotated[ExactNumber, Field(ge=0, le=1, decimal_places=6)]
Average = Annotated[ExactNumber, Field(ge=0, decimal_places=3)]

CustomerClass = Literal["single_family", "multi_family", "commercial", "industrial", "institutional"]
Purpose = Literal["domestic", "irrigation", "fire", "deduct", "make_up", "blow_down", "effluent"]
VolumeSource = Literal["district", "well", "permit", "flat", "wholesale"]
PurposeRule = Literal["add", "subtract", "leave_out", "replace"]
"""``replace``: where a service has such a meter, it alone counts."""
BillingFrequency = Literal["monthly", "two_monthly"]

MONTHS_PER_BILL: dict[str, int] = {"monthly": 1, "two_monthly": 2}


class Cited(Strict, Generic[T]):
    """A value and where it comes from. A setting that no source states says so in ``source``."""

    value: T
    source: Source


class Authority(Strict):
    """The act that adopted the schedule, and where it can be read."""

    title: str
    found_at: str
    adopted_on: dt.date | None = None
    note: str = ""


class Rounding(Strict):
    """To what the results are rounded; a half goes away from zero (``exact.round_half_away``)."""

    average_decimals: Cited[Annotated[int, Field(ge=0, le=3)]]
    line_decimals: Cited[Literal[2]]


class AveragingRule(Strict):
    """How a winter average is built.

    Window months run from ``first_month`` of the year before the billing year to ``last_month`` of the billing year.
    """

    unit: Cited[VolumeUnit]
    first_month: Cited[Annotated[int, Field(ge=7, le=12)]]
    last_month: Cited[Annotated[int, Field(ge=1, le=6)]]
    averaged_volume: Cited[Literal["billed", "registered"]]
    period_share: Cited[Literal["by_days"]]
    minimum_days: Cited[Annotated[int, Field(ge=1, le=366)]]
    whose_history: Cited[Literal["occupant", "premise"]]
    vacant_periods: Cited[Literal["count"]]
    statuses: Cited[tuple[Literal["active", "suspended"], ...]]
    purposes: Cited[dict[Purpose, PurposeRule]]
    no_history_default: Cited[dict[CustomerClass, Average]]
    without_enough_history: Cited[tuple[Literal["prior_year", "default", "hold"], ...]]
    other_volume_sources: Cited[dict[VolumeSource, Literal["prior_year", "exclude"]]]

    @model_validator(mode="after")
    def _every_purpose_has_a_rule(self) -> AveragingRule:
        missing = {"domestic", "irrigation", "fire", "deduct", "make_up", "blow_down", "effluent"} - set(
            self.purposes.value
        )
        if missing:
            raise NotAllowed(
                f"a rule for each meter purpose; {', '.join(sorted(missing))} has none", "purposes", "value"
            )
        return self


class Charge(Strict):
    """A recurring charge: so much per unit and month."""

    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    per: Literal["edu_month", "volume_month", "esu_month"]
    rate: Rate
    source: Source


class LocalShare(Strict):
    """The part of a charge that a jurisdiction keeps; the rest is regional."""

    jurisdiction: str
    charge: str
    share: Share
    source: Source


class Schedule(Strict):
    """One adopted schedule of one utility."""

    utility: str
    effective: dt.date
    status: Literal["adopted", "proposed"]
    term: Cited[Literal["fiscal_year", "until_replaced"]]
    authority: Authority
    rounding: Rounding
    averaging: AveragingRule
    charges: Annotated[tuple[Charge, ...], Field(min_length=1)]
    local_shares: tuple[LocalShare, ...] = ()
    local_share_where_none_is_listed: Cited[Share]

    @model_validator(mode="after")
    def _codes_are_consistent(self) -> Schedule:
        codes = [charge.code for charge in self.charges]
        for place, code in enumerate(codes):
            if code in codes[:place]:
                raise NotAllowed(
                    f"charge codes that differ from each other; {code!r} stands twice", "charges", place, "code"
                )
        seen = set[tuple[str, str]]()
        for place, share in enumerate(self.local_shares):
            if share.charge not in codes:
                raise NotAllowed(
                    f"local shares of charges that exist ({', '.join(codes)}), not of {share.charge!r}",
                    "local_shares", place, "charge",
                )  # fmt: skip
            if (share.jurisdiction, share.charge) in seen:
                raise NotAllowed(
                    f"one local share of {share.charge} for {share.jurisdiction}; it stands twice",
                    "local_shares",
                    place,
                )
            seen.add((share.jurisdiction, share.charge))
        return self


class LoadedSchedule(Strict):
    """A schedule with the file it was read from; ``file`` is what bills and averages cite."""

    schedule: Schedule
    file: str
    content_hash: str


def window(rule: AveragingRule, billing_year: int) -> tuple[dt.date, dt.date]:
    """First day of the winter window, and the first day after it."""
    start = dt.date(billing_year - 1, rule.first_month.value, 1)
    after = rule.last_month.value % 12 + 1
    return start, dt.date(billing_year, after, 1)


def window_months(rule: AveragingRule) -> int:
    """Number of months in the window."""
    return 12 - rule.first_month.value + 1 + rule.last_month.value


def load_schedule(path: Path) -> LoadedSchedule:
    """Read one schedule. ConfigError if it is wrong or if its name contradicts its date or utility."""
    shown = f"rate_tables/{path.parent.name}/{path.name}"
    schedule = load_config(Schedule, path, shown)
    if path.name != f"{schedule.effective.isoformat()}.yaml":
        raise ConfigError(
            f"{shown}: key effective: {schedule.effective} contradicts the file's name; "
            f"the file must be called {schedule.effective}.yaml."
        )
    if path.parent.name != schedule.utility:
        raise ConfigError(
            f"{shown}: key utility: {schedule.utility!r} contradicts the folder; it must be {path.parent.name!r}."
        )
    return LoadedSchedule(schedule=schedule, file=shown, content_hash=hashlib.sha256(path.read_bytes()).hexdigest())


def load_schedules(folder: Path) -> list[LoadedSchedule]:
    """All schedules of a utility, oldest first."""
    return [load_schedule(path) for path in sorted(folder.glob("*.yaml"))]


def schedule_in_force(schedules: list[LoadedSchedule], effective: dt.date) -> LoadedSchedule | None:
    """The adopted schedule that holds on ``effective``, or None.

    A schedule ends where the next begins. One adopted for a fiscal year also ends with that year: a year without a
    schedule of its own has no rate, and its bills are held rather than rated with old figures.
    """
    started = [s for s in schedules if s.schedule.status == "adopted" and s.schedule.effective <= effective]
    if not started:
        return None
    latest = max(started, key=lambda s: s.schedule.effective)
    begins = latest.schedule.effective
    ends = (begins.year + 1, begins.month, begins.day)
    if latest.schedule.term.value == "fiscal_year" and (effective.year, effective.month, effective.day) >= ends:
        return None
    return latest


def averaging_rule_for(schedules: list[LoadedSchedule], effective: dt.date) -> LoadedSchedule | None:
    """The schedule whose averaging rule builds the basis that takes effect on ``effective``.

    Averages are built before the new rates are adopted, so the rule of the latest schedule that has begun by then
    serves until another replaces it, whatever the term of its rates; before the first schedule, the first one's.
    """
    adopted = [s for s in schedules if s.schedule.status == "adopted"]
    started = [s for s in adopted if s.schedule.effective <= effective]
    if started:
        return max(started, key=lambda s: s.schedule.effective)
    return min(adopted, key=lambda s: s.schedule.effective, default=None)
