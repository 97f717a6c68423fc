"""A district's entry in the registry: where its files are and how to read them.

Belongs here: the typed shape of ``districts/<district>.yaml`` and what its parts mean together. Every key is explained by its
docstring or description, and with an example in ``docs/districts.md``.
Does not belong here: how a file is laid out (``layout``), where it comes from (``source``), reading it (``assets.readers``).
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from rate_tables.config_file import ExactNumber, NotAllowed, Strict
from rate_tables.volume_units import VolumeUnit
from validations.layout import (
    OF_REGISTERS,
    AtCharacters,
    AtPosition,
    ColumnRef,
    Columns,
    Delimited,
    FixedWidth,
    Layout,
    TrailerRecord,
    Workbook,
)
from validations.source import Folder, Source, names_the_year

ReadType = Literal["actual", "estimated", "customer", "corrected", "final", "opening", "unknown"]

_YEAR, _MONTH, _DAY, _TIME = {"%Y", "%y"}, {"%m", "%b", "%B"}, {"%d"}, {"%H", "%I", "%M", "%S", "%p"}


def _says(text: str, *parts: set[str]) -> bool:
    """Whether the format has each of ``parts`` once and nothing else that a date is read by, except a time of day."""
    directives = re.findall(r"%.?", text)
    return all(len([d for d in directives if d in part]) == 1 for part in parts) and set(directives) <= _TIME.union(
        *parts
    )


def _date_format(text: str) -> str:
    if not _says(text, _YEAR, _MONTH, _DAY):
        raise ValueError("a format with year, month and day, for example %m/%d/%Y or %d.%m.%y or %Y%m%d")
    return text


def _month_format(text: str) -> str:
    if not (_says(text, _YEAR, _MONTH) or _says(text, _YEAR, _MONTH, _DAY)):
        raise ValueError("a format with year and month, for example %b %Y or %m/%y")
    return text


DateFormat = Annotated[str, AfterValidator(_date_format)]
MonthFormat = Annotated[str, AfterValidator(_month_format)]


class Usage(Strict):
    """Each record gives the volume used in a period."""

    gives: Literal["usage"]


class _OfRegisters(Strict):
    """A register that has gone round is told from a mistake by ``dials`` and ``rollover_at_most``: a backward step counts as
    a rollover only if the use it gives is at most that."""

    dials: Annotated[int, Field(ge=3, le=12)]
    rollover_at_most: ExactNumber


class RegisterReadings(_OfRegisters):
    """Each record gives what the register showed on a day; use is the difference between two readings of a meter."""

    gives: Literal["register_readings"]


class ReadingPairs(_OfRegisters):
    """Each record gives what the register showed at the beginning and at the end of a period; use is the difference."""

    gives: Literal["reading_pairs"]


Measure = Annotated[Usage | RegisterReadings | ReadingPairs, Field(discriminator="gives")]


class MonthColumns(Strict):
    """A row per account with a column per calendar month; ``header_format`` reads the column's name, as in ``%b %Y``."""

    header_format: MonthFormat


class BillMonth(Strict):
    """A period that is named by the month of its bill: ``months`` calendar months, of which that one is the last, or of
    which the month before it is the last."""

    format: MonthFormat
    months: Annotated[int, Field(ge=1, le=12)]
    names: Literal["last_month", "month_after"] = "last_month"


class Volume(Strict):
    """In what the volume is written."""

    unit: VolumeUnit
    written_as: tuple[str, ...] = Field((), description="How columns.unit writes the unit; another text is refused")
    implied_decimals: Annotated[int, Field(ge=0, le=3)] = 0
    decimal_mark: Literal[".", ","] = "."
    thousands_mark: Literal["", ",", ".", " ", "'"] = Field(
        "", description="What stands between groups of three digits"
    )
    minus: Literal["before", "after", "parentheses"] = Field("before", description="How a number below zero is written")
    negative: Literal["credit", "refuse"] = Field("refuse", description="What a volume below zero is")

    @model_validator(mode="after")
    def _marks_differ(self) -> Volume:
        if self.thousands_mark == self.decimal_mark:
            raise NotAllowed("a mark that is not the decimal mark", "thousands_mark")
        if self.implied_decimals and (self.thousands_mark or self.minus != "before"):
            raise NotAllowed("with implied decimals, digits and a sign before them only", "implied_decimals")
        return self


class CheckDigit(Strict):
    """The last digit of an account number, computed from the others; where it is not right, the row is refused.

    ``luhn``: every second digit from the right doubled, digits added, modulo 10 (ISO/IEC 7812-1).
    ``mod11``: digits weighted 2 to 7 in turn from the right, modulo 11; X stands for 10.
    """

    scheme: Literal["luhn", "mod11"]
    is_part: bool = Field(True, description="Whether the CIS knows the account with this digit, or without it")


class CrossReference(Strict):
    """A sheet that comes with the delivery and says under which number the CIS knows each account."""

    files: Annotated[str, Field(min_length=1)] = Field(description="Which of the delivered files it is, as a pattern")
    layout: Layout
    delivered: ColumnRef = Field(description="Column of the number that stands in the consumption files")
    known_as: ColumnRef = Field(description="Column of the number that the CIS knows")
    others: Literal["refuse", "keep"] = Field("refuse", description="What an account is that the sheet does not name")

    @model_validator(mode="after")
    def _columns_serve_the_layout(self) -> CrossReference:
        refuse_unfit_columns(self.layout, {"delivered": self.delivered, "known_as": self.known_as})
        return self


class AccountNumbers(Strict):
    """From the number in the file to the number that the CIS knows: filled, checked, looked up, in this order."""

    width: Annotated[int, Field(ge=1, le=30)] | None = Field(
        None, description="Shorter numbers have lost leading zeros and are filled with them; longer ones are refused"
    )
    check_digit: CheckDigit | None = None
    cross_reference: CrossReference | None = None


def refuse_unfit_columns(
    layout: Delimited | FixedWidth | Workbook, references: dict[str, ColumnRef], *above: str
) -> None:
    """NotAllowed if a column is given in a way that a file of this layout cannot have."""
    fixed = isinstance(layout, FixedWidth)
    has_header = not isinstance(layout, Delimited) or layout.header_row > 0
    for field, reference in references.items():
        if isinstance(reference, AtCharacters) != fixed:
            shape = "{start, width}" if fixed else "a header's name or {position}"
            raise NotAllowed(f"for {layout.kind}, {'.'.join((*above, field))} as {shape}", *above, field)
        if not has_header and isinstance(reference, str):
            raise NotAllowed("without a header (layout.header_row 0), columns by {position} only", *above)


class District(Strict):
    """One district's entry: one file per district in ``districts/``, and one more for each year its layout changed."""

    district: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,40}$")]
    from_year: Annotated[int, Field(ge=1990, le=2100)] | None = Field(
        None, description="First billing year of this layout, for an entry named <district>.from_<year>.yaml"
    )
    name: str
    write_to: str = Field(description="Whom to write to about a delivery")
    source: Source = Field(Folder(), description="Where the files are; the workspace's own folder if not given")
    files: str = Field("*", description="Which files there belong to the delivery, as a pattern; {year} is filled in")
    zip_members: str | None = Field(
        None,
        description="Which files inside a delivered zip belong to the delivery; without it, a zip is a file like any",
    )
    largest_file_mb: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        2_000, description="A file larger than that, delivered or unpacked, is refused unread; a MB has 1,000,000 bytes"
    )
    layout: Layout
    measure: Measure = Usage(gives="usage")
    columns: Columns
    month_columns: MonthColumns | None = None
    bill_month: BillMonth | None = None
    date_format: DateFormat = "%Y-%m-%d"
    period_end_is: Literal["last_day", "next_read"] = Field(
        "next_read", description="Whether the end date is the last day of the period, or the day of the closing read"
    )
    volume: Volume
    account_numbers: AccountNumbers = AccountNumbers()
    read_types: dict[str, ReadType] = Field(default_factory=dict, description="The district's code -> what it means")
    billing_cycle: Literal["monthly", "two_monthly", "quarterly", "mixed"]
    exact_duplicate: Literal["duplicate", "second_meter"] = Field(
        "duplicate",
        description="What a row equal to another in every field that is read is; without meter ids it may be another meter",
    )
    same_period_other_values: Literal["refuse", "add"] = Field(
        "refuse", description="What two volumes for one meter and period are: a contradiction, or two registers"
    )
    after_effective_date: Literal["refuse", "set_aside"] = Field(
        "refuse",
        description="What a period is that ends after the billing year's effective date: a mistake, or a later year's",
    )
    trailer: TrailerRecord | None = None

    @model_validator(mode="after")
    def _years_are_told_apart(self) -> District:
        if "{year}" not in self.files and not names_the_year(self.source):
            raise NotAllowed("{year} in it or in the key files, so that years are told apart", "source")
        return self

    @model_validator(mode="after")
    def _columns_serve_the_layout(self) -> District:
        named = self.columns.named()
        refuse_unfit_columns(self.layout, named, "columns")
        self._columns_say_period_and_volume(set(named))
        sizes = {
            len(refs) if isinstance(refs, tuple) else 1
            for refs in (getattr(self.columns, name) for name in OF_REGISTERS)
            if refs is not None
        }
        if len(sizes) > 1:
            raise NotAllowed(f"lists of one length: {', '.join(OF_REGISTERS)}", "columns")
        if self.columns.registers > 1 and self.columns.register_id is not None:
            raise NotAllowed(
                "registers in rows (register_id) or in columns (a list), not both", "columns", "register_id"
            )
        if (self.columns.unit is not None) != bool(self.volume.written_as):
            raise NotAllowed("columns.unit and volume.written_as together, or neither", "volume")
        adds_up = self.exact_duplicate == "second_meter" or self.same_period_other_values == "add"
        if self.measure.gives == "register_readings" and adds_up:
            raise NotAllowed("register readings are told apart by meter: no second_meter, no add", "measure")
        return self

    def _columns_say_period_and_volume(self, named: set[str]) -> None:
        periods = {"period_start", "period_end", "read_date", "days", "bill_month"}
        quantities = {
            "usage": {"volume"},
            "register_readings": {"reading"},
            "reading_pairs": {"previous_reading", "reading"},
        }
        wanted = quantities[self.measure.gives]
        if self.measure.gives == "register_readings":
            way = {"read_date"}
        else:
            ways = ({"bill_month"}, {"read_date", "days"}, {"period_start", "period_end"})
            way = next((way for way in ways if way & named), ways[-1])
        if self.month_columns is not None:
            way, wanted = set(), set()
        needed = wanted | way
        read = needed if self.measure.gives != "usage" else needed | {"registered_volume"}
        useless = ({"volume", "registered_volume", "reading", "previous_reading", *periods} - read) & named
        if needed - named:
            raise NotAllowed(f"columns that this layout needs; missing: {', '.join(sorted(needed - named))}", "columns")
        if useless:
            raise NotAllowed(f"only columns that this layout reads; not read: {', '.join(sorted(useless))}", "columns")
        if (self.bill_month is not None) != ("bill_month" in named):
            raise NotAllowed("bill_month and columns.bill_month together, or neither", "bill_month")

    @model_validator(mode="after")
    def _trailer_serves_the_layout(self) -> District:
        if self.trailer is not None:
            if isinstance(self.layout, Workbook):
                raise NotAllowed("a trailer record in a text file only; a workbook has layout.totals_label", "trailer")
            for field, reference in (("count", self.trailer.count), ("total", self.trailer.total)):
                shape = AtCharacters if isinstance(self.layout, FixedWidth) else AtPosition
                if not isinstance(reference, shape):
                    words = "{start, width}" if shape is AtCharacters else "{position}"
                    raise NotAllowed(f"for {self.layout.kind}, trailer.{field} as {words}", "trailer", field)
        return self

    @property
    def has_meter_ids(self) -> bool:
        return self.columns.meter is not None
