"""A workspace: the folder of one utility, and where things lie in it.

Belongs here: the shape of ``workspace.yaml``, the paths below the folder, the billing year.
Does not belong here: what is in the files (``district``, ``tables``), reading or writing them.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from rate_tables.adjustment_policy import LoadedPolicy, policy_in_force
from rate_tables.averaging_rule import reach, windows_of
from rate_tables.billing_periods import SchedulePeriod, schedule_periods
from rate_tables.config_file import ConfigError, NotAllowed, Strict, load_config
from rate_tables.review_limits import LoadedLimits, limits_in_force
from rate_tables.schedule import (
    SHIPPED,
    LoadedSchedule,
    averaging_rule_for,
    load_schedules,
)
from validations.district import District
from validations.expectations import ExpectationLimits
from validations.source import Folder, filled_in

WORKSPACE_VARIABLE = "ANNUAL_BILLING_WORKSPACE"
LONGEST_NAME = 80
SPARK_MEANS = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.caseSensitive": "false",
    "spark.sql.decimalOperations.allowPrecisionLoss": "true",
}
"""Properties of Spark on which the meaning of an expression rests: overflow is an error, no time zone moves a day."""
IN_PROCESS, MULTIPROCESS = "in_process", "multiprocess"
EXECUTORS_ALLOWED = f"{IN_PROCESS}, {MULTIPROCESS}, or the import path of another executor of Dagster, such as dagster_k8s:k8s_job_executor"
SAMPLE = Path(__file__).parent.parent / "data" / "sample"
MARKER = "release.json"
"""Written last into a release: a folder without it is none."""
SHIPPED_LAYOUTS = Path(__file__).parent / "bill_layouts"


def same_name(one: str, other: str) -> bool:
    """Whether two typed names are one person's: capitals, spaces and forms of an accent do not tell people apart."""
    first, second = (" ".join(unicodedata.normalize("NFKC", name).casefold().split()) for name in (one, other))
    return first == second


def plain_name(name: str) -> str:
    """A name as ssh-keygen takes it for a signer: it reads quotes, commas and * ? ! as more than letters."""
    if name != name.strip() or not name.isprintable() or set(name) & set('"`,*?!#|\\'):
        raise ValueError("a name in letters, with spaces and . - between them, such as R. Reviewer-One")
    return name


BillingYear = Annotated[int, Field(ge=1990, le=2100)]


Right = Literal["enter", "decide", "approve", "release"]
PersonName = Annotated[
    str,
    AfterValidator(plain_name),
    Field(description="As it is typed after --by and stands in the sheets", min_length=1, max_length=LONGEST_NAME),
]


class ApprovalRules(Strict):
    """What an approval has to be: by whom it may not be, and whether it is signed."""

    apart_from: tuple[Literal["enter", "decide"], ...] = Field(
        ("enter", "decide"), description="Who has done this for the year does not approve it"
    )
    signature: Literal["optional", "demanded"] = "optional"
    allowed_signers: str = Field(
        "allowed_signers", description="File of the workspace with each person's public SSH key"
    )

    @field_validator("allowed_signers")
    @classmethod
    def _stays_in_the_workspace(cls, file: str) -> str:
        path = Path(os.path.normpath(file))
        if path.is_absolute() or ".." in path.parts or path == Path() or "\0" in file:
            raise ValueError("a file of the workspace, such as allowed_signers")
        return file


LayoutName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")]


class ReleaseRules(Strict):
    """What a release asks for, and what it says."""

    extract_at_most_days: int | None = Field(
        None,
        ge=0,
        le=366,
        description="The CIS extract may be so many days older than the effective date; any age if left out",
    )
    look_back_months: int | None = Field(
        None,
        ge=0,
        le=120,
        description="Bills issued are corrected so many months back from the approval; all of the year if left out",
    )
    effective: Literal["service_days", "bills_issued"] | None = Field(
        None,
        description="What the effective date means: service days, or bills issued, on and after it. As the rule's crossing_bill says, "
        "which it must not contradict",
    )
    layouts: tuple[LayoutName, ...] = Field(
        ("winter_average_update",), description="Fixed-width files that are written beside CSV and Parquet"
    )

    @field_validator("layouts")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError("names of layouts, each once")
        return names


OfficeLine = Annotated[str, Field(min_length=1, max_length=120)]


class Office(Strict):
    """The office as its letters name it: whom to call, where to write."""

    name: OfficeLine
    phone: OfficeLine
    hours: str = Field("", max_length=120, description="When the telephone is answered")
    email: str = Field("", max_length=120)
    address: tuple[OfficeLine, ...] = Field((), max_length=5, description="Lines of the letterhead below the name")
    reply_within_days: int = Field(
        21, ge=1, le=120, description="Days that a customer has to answer a request for information"
    )


class UnclaimedProperty(Strict):
    """How long a credit waits until the law calls it unclaimed."""

    years: int = Field(ge=1, le=30)
    source: Annotated[str, Field(min_length=3)]


SparkProperty = Annotated[str, Field(pattern=r"^spark\.[A-Za-z][A-Za-z0-9._-]*$")]


class WorkspaceFile(Strict):
    """``workspace.yaml``: the utility, its billing years, and who may do what."""

    name: str
    rate_tables: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    billing_years: Annotated[tuple[BillingYear, ...], Field(min_length=1)]
    effective_month_day: Annotated[str, Field(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")] = "07-01"
    people: dict[PersonName, tuple[Right, ...]] = Field(
        {},
        description="Who may enter adjustments, decide, approve and release; anyone may do anything where nobody is named",
    )
    may_approve: tuple[PersonName, ...] = Field(
        (), description="Who may approve, where people are not listed by what they may do"
    )
    approval: ApprovalRules = ApprovalRules()
    release: ReleaseRules = ReleaseRules()
    expectations: ExpectationLimits = Field(
        ExpectationLimits(), description="How far a year may be from the one before until somebody is told"
    )
    owner: str = "billing"
    office: Office | None = Field(None, description="Named in letters, which cannot be written without it")
    unclaimed_property: UnclaimedProperty | None = Field(
        None,
        description="After how many years without a change a credit is unclaimed property, and the law that says so",
    )
    deliveries_from: tuple[str, ...] = Field(
        (), description="Folders outside the workspace, below which a district's entry may have its folder"
    )

    store: str | None = Field(
        None,
        description="Where the tables of every stage lie, such as s3://bucket/folder; in work/store if left out. Credentials stand in the environment",
    )

    engine: Literal["duckdb", "spark"] = Field(
        "duckdb", description="What the tables from service_consumption on are computed with; the rows are the same"
    )
    spark: dict[SparkProperty, str | int | bool] = Field(
        {},
        description="Properties of Spark, such as spark.master; where it is nowhere said, two workers on this machine",
    )

    executor: str = Field(
        IN_PROCESS,
        description="Where the steps of a run are made: in the run's own process, in processes beside it, or by another executor of Dagster",
    )
    executor_config: dict[str, Any] = Field(
        {}, description="Configuration of that executor as Dagster describes it, such as max_concurrent"
    )

    @field_validator("executor")
    @classmethod
    def _is_known_or_can_be_imported(cls, executor: str) -> str:
        if executor not in (IN_PROCESS, MULTIPROCESS) and not re.fullmatch(
            r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", executor, re.ASCII
        ):
            raise ValueError(EXECUTORS_ALLOWED)
        return executor

    @model_validator(mode="after")
    def _executor_goes_with_the_rest(self) -> WorkspaceFile:
        if self.executor_config and self.executor == IN_PROCESS:
            raise NotAllowed(f"no configuration where executor is {IN_PROCESS}", "executor_config")
        if self.engine == "spark" and self.executor != IN_PROCESS:
            # Each step would start a Spark of its own, which takes longer than the step.
            raise NotAllowed(f"{IN_PROCESS} where engine is spark, which spreads the work itself", "executor")
        return self

    @field_validator("spark")
    @classmethod
    def _leaves_the_meaning(cls, properties: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
        if fixed := sorted(set(properties) & set(SPARK_MEANS)):
            raise ValueError(f"properties that do not change what an expression means; {fixed[0]} does")
        return properties

    @model_validator(mode="after")
    def _people_are_told_apart(self) -> WorkspaceFile:
        if self.people and self.may_approve:
            raise NotAllowed("people, where each person's rights stand, or may_approve; not both", "may_approve")
        names = [*self.people, *self.may_approve]
        for name in names:
            if [same_name(name, other) for other in names].count(True) > 1:
                key = "people" if self.people else "may_approve"
                raise NotAllowed(f"every person once, told apart by more than capitals and spaces: {name}", key)
        return self

    @field_validator("billing_years")
    @classmethod
    def _follow_each_other(cls, years: tuple[int, ...]) -> tuple[int, ...]:
        if list(years) != sorted(set(years)):
            raise ValueError("years in rising order, each once")
        return years

    @field_validator("deliveries_from")
    @classmethod
    def _is_some_folder(cls, folders: tuple[str, ...]) -> tuple[str, ...]:
        if not all(
            Path(f).is_absolute() and len(Path(os.path.normpath(f)).parts) > 1 and "\0" not in f for f in folders
        ):
            raise ValueError("folders by their whole path, such as /srv/incoming, and not the root of all")
        return folders

    @field_validator("store")
    @classmethod
    def _is_a_location_without_secrets(cls, location: str | None) -> str | None:
        if location is not None and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s?#@]*[^\s?#@/]", location):
            raise ValueError(
                "a location such as s3://bucket/folder, without credentials, which stand in the environment"
            )
        return location

    @field_validator("effective_month_day")
    @classmethod
    def _stands_in_every_year(cls, month_day: str) -> str:
        try:
            dt.date.fromisoformat(f"1999-{month_day}")
        except ValueError:
            raise ValueError("a day that every year has, as month and day: 07-01") from None
        return month_day


@dataclass(frozen=True)
class Year:
    """One annual update: billing year Y takes effect in Y and averages the winter before.

    The window is that of the averaging rule; where billing cycles have windows of their own, all of them together.
    """

    billing_year: int
    effective: dt.date
    window_start: dt.date
    window_end: dt.date
    averaging: LoadedSchedule
    rate_periods: tuple[SchedulePeriod, ...]
    adjustment_policy: LoadedPolicy
    review_limits: LoadedLimits

    @property
    def rates(self) -> LoadedSchedule | None:
        """The schedule that holds on the effective date."""
        return self.rate_periods[0].schedule

    @property
    def use_dates(self) -> tuple[dt.date, dt.date]:
        """First day of use that can count in this update, and the first day after; a cycle may begin before the window."""
        return reach(self.averaging.schedule.averaging, self.effective)

    @property
    def fiscal_year(self) -> str:
        """For people: ``2026-27``."""
        return f"{self.billing_year}-{(self.billing_year + 1) % 100:02d}"

    @property
    def title(self) -> str:
        """For people: ``2026 (FY2026-27)``."""
        return f"{self.billing_year} (FY{self.fiscal_year})"


class Workspace:
    """A loaded workspace folder. ConfigError if anything a person wrote in it is wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        if not self.folder.is_dir():
            raise ConfigError(f"{folder}: the workspace folder does not exist; name one that holds a workspace.yaml.")
        self.file = load_config(WorkspaceFile, self.folder / "workspace.yaml", "workspace.yaml")

    @staticmethod
    def chosen(folder: Path | None = None) -> Workspace:
        """The workspace named by the caller, else by ``ANNUAL_BILLING_WORKSPACE``, else the sample."""
        return Workspace(folder or Path(os.environ.get(WORKSPACE_VARIABLE) or SAMPLE))

    @cached_property
    def _entries(self) -> dict[str, list[District]]:
        """Every entry of the registry, by district id in order of id; of one district, in order of ``from_year``."""
        found: dict[str, list[District]] = {}
        for path in sorted((self.folder / "districts").glob("*.yaml")):
            shown = f"districts/{path.name}"
            entry = load_config(District, path, shown)
            expected = entry.district if entry.from_year is None else f"{entry.district}.from_{entry.from_year}"
            if path.stem != expected:
                raise ConfigError(
                    f"{shown}: key district: {entry.district!r} contradicts the file's name; the file must be called "
                    f"{expected}.yaml."
                )
            self._refuse_folder_outside(entry, shown)
            found.setdefault(entry.district, []).append(entry)
        if not found:
            raise ConfigError("districts/: no district is registered; one YAML file per district is required.")
        return {name: sorted(found[name], key=lambda e: e.from_year or 0) for name in sorted(found)}

    @property
    def districts(self) -> dict[str, District]:
        """The district registry, by district id in order of id: each district's latest entry."""
        return {name: entries[-1] for name, entries in self._entries.items()}

    def district(self, district_id: str, billing_year: int) -> District:
        """The entry that holds for the delivery of ``billing_year``; the oldest one holds for earlier years too."""
        entries = self._entries[district_id]
        begun = [entry for entry in entries if (entry.from_year or 0) <= billing_year]
        return begun[-1] if begun else entries[0]

    @property
    def utility_folders(self) -> list[Path]:
        """Where the utility's own rules may be: the workspace's folder, then the one that ships."""
        return [root / "rate_tables" / self.file.rate_tables for root in (self.folder, SHIPPED.parent)]

    @cached_property
    def schedules(self) -> list[LoadedSchedule]:
        """The utility's schedules: the workspace's own folder of that name, else the one that ships."""
        own = self.folder / "rate_tables" / self.file.rate_tables
        folder = own if own.is_dir() else SHIPPED / self.file.rate_tables
        if not folder.is_dir():
            shipped = sorted(p.name for p in SHIPPED.iterdir() if any(p.glob("*.yaml")))
            raise ConfigError(
                f"workspace.yaml: key rate_tables: {self.file.rate_tables!r} is not allowed; allowed: a folder below "
                f"the workspace's rate_tables/, or one that ships: {', '.join(shipped)}."
            )
        return load_schedules(folder)

    def year(self, billing_year: int) -> Year:
        """The annual update of ``billing_year``. ConfigError if the workspace does not have it."""
        if billing_year not in self.file.billing_years:
            allowed = ", ".join(str(y) for y in self.file.billing_years)
            raise ConfigError(f"workspace.yaml: key billing_years: {billing_year} is not listed; allowed: {allowed}.")
        month, day = (int(part) for part in self.file.effective_month_day.split("-"))
        effective = dt.date(billing_year, month, day)
        averaging = averaging_rule_for(self.schedules, effective)
        if averaging is None:
            raise ConfigError(f"rate_tables/{self.file.rate_tables}: no adopted schedule; one is required.")
        windows = windows_of(averaging.schedule.averaging, effective)
        start, end = min(w.start for w in windows), max(w.end for w in windows)
        policy = policy_in_force(self.utility_folders, effective)
        periods = schedule_periods(self.schedules, effective)
        limits = limits_in_force(self.utility_folders, effective)
        return Year(billing_year, effective, start, end, averaging, periods, policy, limits)

    @property
    def folders_of_deliveries(self) -> list[Path]:
        """Folders that a district's folder has to be in: the workspace, and those that ``deliveries_from`` lists."""
        return [self.folder, *(Path(os.path.normpath(folder)) for folder in self.file.deliveries_from)]

    def deliveries(self, billing_year: int, district: District) -> Path:
        """The folder of the district's files for the year, where its source is a folder; else the workspace's own."""
        if isinstance(district.source, Folder) and district.source.path is not None:
            return self.folder / filled_in(district.source.path, billing_year, district.district)
        return self.folder / "deliveries" / str(billing_year) / district.district

    def _refuse_folder_outside(self, entry: District, shown: str) -> None:
        """ConfigError if the entry's folder is elsewhere. Links on the way to it are looked at when it is read."""
        folder = Path(os.path.normpath(self.deliveries(self.file.billing_years[0], entry)))
        if isinstance(entry.source, Folder) and not any(map(folder.is_relative_to, self.folders_of_deliveries)):
            raise ConfigError(
                f"{shown}: key source.path: {entry.source.path!r} leads out of the workspace; allowed: a folder below it, or "
                "below one that workspace.yaml lists under deliveries_from."
            )

    def cis_extract(self, billing_year: int) -> Path:
        return self.folder / "cis_extract" / str(billing_year)

    def adjustments(self, billing_year: int) -> Path:
        """The year's sheet of consumption adjustments: the workbook if there is one, else the CSV. ConfigError if both are."""
        text, workbook = (self.folder / "adjustments" / f"{billing_year}.{kind}" for kind in ("csv", "xlsx"))
        if text.exists() and workbook.exists():
            raise ConfigError(
                f"adjustments/{text.name} and adjustments/{workbook.name} are both there; allowed: one sheet of adjustments a year. "
                "Put the entries of one into the other and take it away."
            )
        return workbook if workbook.exists() else text

    def decisions(self, billing_year: int) -> Path:
        """What was decided about the year's findings; written by ``decide`` alone."""
        return self.folder / "decisions" / f"{billing_year}.csv"

    def overrides(self, billing_year: int) -> Path:
        """What was decided about the year's blocks; written by ``override`` alone."""
        return self.folder / "decisions" / f"{billing_year}_overrides.csv"

    def bills_issued(self, billing_year: int) -> Path:
        """Bills that the agencies have issued for the year, as first billed."""
        return self.folder / "bills_issued" / f"{billing_year}.csv"

    def appeals(self, billing_year: int) -> Path:
        """Appeals against averages of the year, with their dates and what became of them."""
        return self.folder / "appeals" / f"{billing_year}.csv"

    def answers(self, billing_year: int) -> Path:
        """What billing systems answered to the year's releases; written by ``answer`` alone, never changed."""
        return self.folder / "answers" / str(billing_year)

    def bill_layout(self, name: str) -> Path:
        """The description of a fixed-width bill file: the workspace's own of that name, else one that ships."""
        own = self.folder / "bill_layouts" / f"{name}.yaml"
        return own if own.is_file() else SHIPPED_LAYOUTS / own.name

    @property
    def allowed_signers(self) -> Path:
        """Each person's public SSH key, as ssh-keygen reads it."""
        return self.folder / self.file.approval.allowed_signers

    @property
    def log(self) -> Path:
        """Runs, decisions, approvals and releases, as a chain of hashes; only added to."""
        return self.folder / "log.jsonl"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def scratch(self) -> Path:
        """What this process needs while it works, and no other process: not one of the same run, nor of another machine."""
        return self.work / "scratch" / f"{platform.node() or 'here'}.{os.getpid()}"

    @property
    def store(self) -> Path:
        return self.work / "store"

    @property
    def archive(self) -> Path:
        """Every delivered file ever seen, under the hash of its content; never changed, never removed."""
        return self.work / "archive"

    @property
    def parts(self) -> Path:
        """Files that have come in part; the next run goes on with them."""
        return self.work / "partial"

    @property
    def publications(self) -> Path:
        """What runs have published, each in a folder of its own; ``current`` leads to the one that readers see."""
        return self.work / "published"

    @property
    def database(self) -> Path:
        return self.work / "billing.duckdb"

    @property
    def bill_files(self) -> Path:
        return self.work / "bill_files"

    @property
    def drafts(self) -> Path:
        """Drafts of bill files by the hashes of their content; ``bill_files/YEAR/draft`` shows those that are published."""
        return self.work / "drafts"

    @property
    def dagster_home(self) -> Path:
        return self.work / "dagster_home"
