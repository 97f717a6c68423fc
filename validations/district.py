"""A district's entry in the registry: where its files are and how to read them.

Belongs here: the typed shape of ``districts/<district>.yaml``. Every key is explained by its docstring or description.
Does not belong here: reading files (``assets.readers`` does that from this entry).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from rate_tables.config_file import ExactNumber, NotAllowed, Strict
from rate_tables.volume_units import VolumeUnit

ReadType = Literal["actual", "estimated", "customer", "corrected", "final", "opening", "unknown"]

HeaderName = Annotated[str, Field(min_length=1)]


class AtPosition(Strict):
    """A column found by its place, the first being 1."""

    position: Annotated[int, Field(ge=1)]


class AtCharacters(Strict):
    """A field of a fixed-width record: its first character, counted from 1, and its width."""

    start: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]


def _shape_of(reference: Any) -> str | None:
    match reference:
        case AtPosition() | {"position": _}:
            return "{position}"
        case AtCharacters() | {"start": _} | {"width": _}:
            return "{start, width}"
        case str():
            return "a header's name"
        case _:
            return None


ColumnRef = Annotated[
    Annotated[HeaderName, Tag("a header's name")]
    | Annotated[AtPosition, Tag("{position}")]
    | Annotated[AtCharacters, Tag("{start, width}")],
    Discriminator(
        _shape_of,
        custom_error_type="not_of_any_shape",
        custom_error_message="a header's name, {position} or {start, width}",
    ),
]


class Columns(Strict):
    """Which column holds what. Only what the layout has is named."""

    account: ColumnRef
    meter: ColumnRef | None = None
    period_start: ColumnRef | None = None
    period_end: ColumnRef | None = None
    read_date: ColumnRef | None = None
    volume: ColumnRef | None = None
    registered_volume: ColumnRef | None = None
    reading: ColumnRef | None = None
    read_type: ColumnRef | None = None

    def named(self) -> dict[str, ColumnRef]:
        """Field -> reference, for the columns that the entry names."""
        return {name: getattr(self, name) for name in type(self).model_fields if getattr(self, name) is not None}


class Delimited(Strict):
    """Text with one record a line and a delimiter between fields."""

    kind: Literal["delimited"]
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    encoding: Literal["utf-8", "cp1252", "latin-1", "utf-16"] = "utf-8"
    header_row: Annotated[int, Field(ge=0)] = Field(1, description="Line of the column names; 0 if there is none")


class FixedWidth(Strict):
    """Text with one record a line and fields at fixed characters."""

    kind: Literal["fixed_width"]
    encoding: Literal["utf-8", "cp1252", "latin-1", "utf-16"] = "utf-8"
    record_length: Annotated[int, Field(ge=1)]
    record_prefix: str = Field("", description="What a line of consumption begins with")


class Workbook(Strict):
    """A spreadsheet: a block above the header and rows of totals below are told apart from records."""

    kind: Literal["workbook"]
    sheet: str | None = Field(None, description="Name of the sheet; the first one if not given")
    header_row: Annotated[int, Field(ge=1)] = 1
    totals_label: str | None = Field(None, description="Text in the account column that marks the row of totals")
    account_width: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Width to which numeric accounts are filled with zeros; a spreadsheet drops leading zeros"
    )


class Usage(Strict):
    """Each record gives the volume used in a period."""

    gives: Literal["usage"]


class RegisterReadings(Strict):
    """Each record gives what the register showed on a day; use is the difference between two readings of a meter.

    A register that has gone round is told from a mistake by ``dials`` and ``rollover_at_most``: a backward step counts as
    a rollover only if the use it gives is at most that.
    """

    gives: Literal["register_readings"]
    dials: Annotated[int, Field(ge=3, le=12)]
    rollover_at_most: ExactNumber


class MonthColumns(Strict):
    """A row per account with a column per calendar month; ``header_format`` reads the column's name, as in ``%b %Y``."""

    header_format: str


class TrailerRecord(Strict):
    """The last record of a file: how many records it has and what they add to."""

    prefix: str
    count: AtCharacters
    total: AtCharacters


class Volume(Strict):
    """In what the volume is written."""

    unit: VolumeUnit
    implied_decimals: Annotated[int, Field(ge=0, le=3)] = 0
    decimal_mark: Literal[".", ","] = "."
    negative: Literal["credit", "refuse"] = Field("refuse", description="What a volume below zero is")


class District(Strict):
    """One district's entry: one file per district in ``districts/``."""

    district: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,40}$")]
    name: str
    write_to: str = Field(description="Whom to write to about a delivery")
    location: str | None = Field(
        None, description="Any fsspec address, {year} and {district} filled in; the workspace's own folder if not given"
    )
    files: str = Field("*", description="Which files there belong to the delivery, as a pattern")
    layout: Annotated[Delimited | FixedWidth | Workbook, Field(discriminator="kind")]
    measure: Annotated[Usage | RegisterReadings, Field(discriminator="gives")] = Usage(gives="usage")
    columns: Columns
    month_columns: MonthColumns | None = None
    date_format: str = "%Y-%m-%d"
    period_end_is: Literal["last_day", "next_read"] = Field(
        "next_read", description="Whether the end date is the last day of the period, or the day of the closing read"
    )
    volume: Volume
    read_types: dict[str, ReadType] = Field(default_factory=dict, description="The district's code -> what it means")
    billing_cycle: Literal["monthly", "two_monthly", "quarterly", "mixed"]
    exact_duplicate: Literal["duplicate", "second_meter"] = Field(
        "duplicate",
        description="What a row equal to another in every field is; without meter ids it may be another meter",
    )
    same_period_other_values: Literal["refuse", "add"] = Field(
        "refuse", description="What two volumes for one meter and period are: a contradiction, or two registers"
    )
    trailer: TrailerRecord | None = None

    @field_validator("location")
    @classmethod
    def _location_can_be_filled_in(cls, location: str | None) -> str | None:
        if location is not None and set("{}") & set(re.sub(r"\{(year|district)\}", "", location)):
            raise ValueError("an address in which {year} and {district} are the only words in braces")
        return location

    @model_validator(mode="after")
    def _columns_serve_the_layout(self) -> District:
        named = self.columns.named()
        for field, reference in named.items():
            fixed = isinstance(reference, AtCharacters)
            if fixed != isinstance(self.layout, FixedWidth):
                raise NotAllowed(
                    f"for {self.layout.kind}, columns.{field} as "
                    + ("{start, width}" if isinstance(self.layout, FixedWidth) else "a header's name or {position}"),
                    "columns", field,
                )  # fmt: skip
        has_header = not isinstance(self.layout, Delimited) or self.layout.header_row > 0
        if not has_header and any(isinstance(r, str) for r in named.values()):
            raise NotAllowed("without a header (layout.header_row 0), columns by {position} only", "columns")
        if self.month_columns is not None:
            needed, useless = (
                set[str](),
                {"volume", "reading", "period_start", "period_end", "read_date"} & named.keys(),
            )
        elif self.measure.gives == "register_readings":
            needed, useless = (
                {"reading", "read_date"},
                {"volume", "registered_volume", "period_start", "period_end"} & named.keys(),
            )
        else:
            needed, useless = {"volume", "period_start", "period_end"}, {"reading", "read_date"} & named.keys()
        if needed - named.keys():
            raise NotAllowed(
                f"columns that this layout needs; missing: {', '.join(sorted(needed - named.keys()))}", "columns"
            )
        if useless:
            raise NotAllowed(f"only columns that this layout reads; not read: {', '.join(sorted(useless))}", "columns")
        adds_up = self.exact_duplicate == "second_meter" or self.same_period_other_values == "add"
        if self.measure.gives == "register_readings" and adds_up:
            raise NotAllowed("register readings are told apart by meter: no second_meter, no add", "measure")
        if self.trailer is not None and not isinstance(self.layout, FixedWidth):
            raise NotAllowed("a trailer record in a fixed-width layout only", "trailer")
        return self

    @property
    def has_meter_ids(self) -> bool:
        return self.columns.meter is not None
