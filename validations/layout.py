"""How a delivered file is laid out: its kind, and which column holds what.

Belongs here: the typed shape of ``layout``, ``columns`` and ``trailer`` in a district's entry.
Does not belong here: what a text in a column means (``district``), reading files (``assets.readers``).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from rate_tables.config_file import Strict

Encoding = Literal["utf-8", "cp1252", "latin-1", "utf-16"]
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
        case list() | tuple():
            return "a list of these"
        case _:
            return None


def _one_of(*shapes: str) -> Discriminator:
    def shape_of(reference: Any) -> str | None:
        shape = _shape_of(reference)
        return shape if shape in shapes else None

    return Discriminator(
        shape_of,
        custom_error_type="not_of_any_shape",
        custom_error_message=", ".join(shapes[:-1]) + " or " + shapes[-1],
    )


_Name = Annotated[HeaderName, Tag("a header's name")]
_Position = Annotated[AtPosition, Tag("{position}")]
_Characters = Annotated[AtCharacters, Tag("{start, width}")]

ColumnRef = Annotated[_Name | _Position | _Characters, _one_of("a header's name", "{position}", "{start, width}")]
_Several = Annotated[tuple[ColumnRef, ...], Field(min_length=1, max_length=12), Tag("a list of these")]
ColumnRefs = Annotated[
    _Name | _Position | _Characters | _Several,
    _one_of("a header's name", "{position}", "{start, width}", "a list of these"),
]
"""One column, or one for each register of a compound meter."""

OF_REGISTERS = ("volume", "registered_volume", "reading", "previous_reading")
"""Columns of which a compound meter may have one for each register."""


class Columns(Strict):
    """Which column holds what. Only what the layout has is named."""

    account: ColumnRef
    meter: ColumnRef | None = None
    register_id: ColumnRef | None = Field(None, description="Which register of a compound meter the row is about")
    period_start: ColumnRef | None = None
    period_end: ColumnRef | None = None
    read_date: ColumnRef | None = None
    days: ColumnRef | None = Field(None, description="Length of the period that ends on read_date")
    bill_month: ColumnRef | None = None
    volume: ColumnRefs | None = None
    registered_volume: ColumnRefs | None = None
    reading: ColumnRefs | None = None
    previous_reading: ColumnRefs | None = None
    multiplier: ColumnRef | None = Field(
        None, description="Factor of volume or reading, as of a meter with a multiplier"
    )
    unit: ColumnRef | None = Field(None, description="Text that states the unit; it must be one of volume.written_as")
    read_type: ColumnRef | None = None

    @property
    def registers(self) -> int:
        """How many records a row holds: one per register that has a column of its own."""
        several = [getattr(self, name) for name in OF_REGISTERS]
        return max((len(refs) for refs in several if isinstance(refs, tuple)), default=1)

    def named(self) -> dict[str, ColumnRef]:
        """Field -> reference, for the columns that the entry names; the second register's ``volume`` is ``volume_2``."""
        found: dict[str, ColumnRef] = {}
        for name in type(self).model_fields:
            reference = getattr(self, name)
            if isinstance(reference, tuple):
                found |= {field_of_register(name, place): one for place, one in enumerate(reference, start=1)}
            elif reference is not None:
                found[name] = reference
        return found


def field_of_register(field: str, place: int) -> str:
    """Name of a field of the register in that place, from 1."""
    return field if place == 1 else f"{field}_{place}"


class Delimited(Strict):
    """Text with one record a line and a delimiter between fields."""

    kind: Literal["delimited"]
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    encoding: Encoding = "utf-8"
    header_row: Annotated[int, Field(ge=0)] = Field(
        1, description="Line of the column names, the first if they take several; 0 if there is none"
    )
    header_lines: Annotated[int, Field(ge=1, le=9)] = Field(
        1, description="How many lines the names take; a column's parts are joined by a space"
    )
    header_repeats: bool = Field(False, description="Whether an empty upper part of a name repeats the one to its left")
    quotes: Literal["double", "none"] = Field(
        "double", description="Whether a quotation mark encloses fields, or is text"
    )
    line_breaks_in_quotes: bool = Field(False, description="Whether a quoted field may go on in the next line")
    final_line_end: Literal["required", "optional"] = Field(
        "required", description="Whether a last line without a line end is taken for cut off"
    )
    record_prefix: str = Field("", description="What a line of consumption begins with")
    other_records: tuple[str, ...] = Field((), description="What lines begin with that belong to the layout: headings")

    @field_validator("delimiter")
    @classmethod
    def _parts_fields_and_nothing_else(cls, delimiter: str) -> str:
        if delimiter.isalnum() or delimiter in "\"'.-+=@\r\n" or (ord(delimiter) < 32 and delimiter != "\t"):
            raise ValueError("a character that no field begins with or consists of: , ; | or a tab")
        return delimiter


class FixedWidth(Strict):
    """Text with one record a line and fields at fixed characters."""

    kind: Literal["fixed_width"]
    encoding: Encoding = "utf-8"
    record_length: Annotated[int, Field(ge=1)]
    record_prefix: str = Field("", description="What a line of consumption begins with")
    other_records: tuple[str, ...] = Field((), description="What lines begin with that belong to the layout: headings")


class Workbook(Strict):
    """A spreadsheet: a block above the header and rows of totals below are told apart from records."""

    kind: Literal["workbook"]
    sheet: str | None = Field(None, description="Name of the sheet; the first one if not given")
    header_row: Annotated[int, Field(ge=1)] = 1
    header_lines: Annotated[int, Field(ge=1, le=9)] = Field(
        1, description="How many rows the names take; a column's parts are joined by a space"
    )
    header_repeats: bool = Field(False, description="Whether an empty upper part of a name repeats the one to its left")
    totals_label: str | None = Field(None, description="Text in the account column that marks the row of totals")


Layout = Annotated[Delimited | FixedWidth | Workbook, Field(discriminator="kind")]


class TrailerRecord(Strict):
    """The last record of a text file: how many records it has and what they add to."""

    prefix: Annotated[str, Field(min_length=1)]
    count: ColumnRef
    total: ColumnRef
