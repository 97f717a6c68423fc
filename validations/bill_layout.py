"""The layout of a fixed-width bill file, as YAML describes it.

Belongs here: what such a description may say, where the ones that ship lie, loading one.
Does not belong here: writing files by it (``pipelines.release.fixed_width``), layouts of districts' files (``layout``).

A record is a row of fields side by side. Whatever does not fit a field is refused where the file is written; nothing is cut or rounded.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from rate_tables.config_file import ConfigError, NotAllowed, Strict, load_config
from validations.workspace import SHIPPED_LAYOUTS, Workspace

ServiceText = Literal[
    "service_id", "account_id", "premise_id", "billing_agency", "volume_unit", "source_code", "effective_means", "billing_frequency",
    "bill_status",
]  # fmt: skip
FileText = Literal["utility", "billing_agency", "effective_means", "volume_unit", "digest"]
ServiceNumber = Literal["old_winter_average", "new_winter_average", "preview_amount"]
FileNumber = Literal["sum_of_old_averages", "sum_of_new_averages", "sum_of_preview_amounts"]
Count = Literal["billing_year", "version", "services"]
Day = Literal["effective_date"]
DECIMALS: dict[str, int] = {
    **dict.fromkeys(("old_winter_average", "new_winter_average", "sum_of_old_averages", "sum_of_new_averages"), 3),
    **dict.fromkeys(("preview_amount", "sum_of_preview_amounts"), 2),
    **dict.fromkeys(get_args(Count), 0),
}
"""Decimals that each number has."""
DAY_FORMATS = {"YYYYMMDD": "%Y%m%d", "YYYY-MM-DD": "%Y-%m-%d", "MMDDYYYY": "%m%d%Y", "MM/DD/YYYY": "%m/%d/%Y"}


class FixedField(Strict):
    """One field: either ``text`` that is always the same, or a ``value``; a value that is missing leaves spaces."""

    text: Annotated[str, Field(pattern=r"^[ -~]*$")] | None = Field(None, description="Always this")
    value: ServiceText | FileText | ServiceNumber | FileNumber | Count | Day | None = None
    width: Annotated[int, Field(ge=1, le=500)]
    align: Literal["left", "right"] | None = Field(
        None, description="Text to the left and numbers to the right, if left out"
    )
    pad_with: Literal["space", "zero"] = Field(
        "space", description="What fills the field up; zero before a number only"
    )
    decimals: Annotated[int, Field(ge=0, le=6)] | None = Field(
        None, description="Of a number; as many as it has, if left out"
    )
    point: Literal["shown", "implied"] = Field("shown", description="Implied: 15.230 with 3 decimals is 15230")
    day: Literal["YYYYMMDD", "YYYY-MM-DD", "MMDDYYYY", "MM/DD/YYYY"] = "YYYYMMDD"
    codes: dict[str, Annotated[str, Field(pattern=r"^[ -~]*$")]] = Field(
        {}, description="What the billing system calls each value of a text; a value that is not listed is refused"
    )

    @property
    def is_number(self) -> bool:
        return self.value in DECIMALS

    @property
    def is_text(self) -> bool:
        return self.value is not None and not self.is_number and self.value not in get_args(Day)

    @model_validator(mode="after")
    def _holds_together(self) -> FixedField:
        given = self.model_fields_set
        if (self.text is None) == (self.value is None):
            raise NotAllowed("either text or value", "text" if self.text is not None else "value")
        if self.text is not None and len(self.text) > self.width:
            raise NotAllowed(f"at most {self.width} characters, as wide as the field", "text")
        for key in ("decimals", "point", "pad_with"):
            if key in given and not self.is_number:
                raise NotAllowed(f"only beside a value that is a number: {', '.join(DECIMALS)}", key)
        if self.pad_with == "zero" and self.align == "left":
            raise NotAllowed("zeros fill up a number that is aligned to the right", "pad_with")
        if "day" in given and self.value not in get_args(Day):
            raise NotAllowed(f"only beside a value that is a day: {', '.join(get_args(Day))}", "day")
        if "codes" in given and not self.is_text:
            raise NotAllowed(f"only beside a value that is text: {', '.join(get_args(ServiceText))}", "codes")
        return self


class BillLayout(Strict):
    """A fixed-width bill file: one header record, one detail record per sewer service, one trailer record."""

    title: str = Field(description="For people: whose layout it is")
    file_name_ends: Annotated[str, Field(pattern=r"^(_[a-z0-9_]{1,40})?\.(txt|dat|upd)$")] = Field(
        ".txt", description="What follows the billing agency in the file's name"
    )
    record_length: Annotated[int, Field(ge=1, le=2_000)] = Field(description="Characters of every record")
    line_end: Literal["lf", "crlf"] = "lf"
    encoding: Literal["ascii", "latin-1", "utf-8"] = "ascii"
    header: Annotated[tuple[FixedField, ...], Field(min_length=1)]
    detail: Annotated[tuple[FixedField, ...], Field(min_length=1)]
    trailer: Annotated[tuple[FixedField, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _records_are_alike(self) -> BillLayout:
        of_file = (*get_args(FileText), *get_args(FileNumber), *get_args(Count), *get_args(Day))
        of_service = (*get_args(ServiceText), *get_args(ServiceNumber), *get_args(Day))
        for record, known in (("header", of_file), ("detail", of_service), ("trailer", of_file)):
            fields: tuple[FixedField, ...] = getattr(self, record)
            width = sum(field.width for field in fields)
            if width != self.record_length:
                raise NotAllowed(
                    f"fields that are {self.record_length} characters wide together (record_length); these are {width}",
                    record,
                )
            for number, field in enumerate(fields):
                if field.value is not None and field.value not in known:
                    raise NotAllowed(f"in a {record} record: {', '.join(known)}", record, number, "value")
        if "services" not in {field.value for field in (*self.header, *self.trailer)}:
            raise NotAllowed("a header or trailer that has the value services, the number of detail records", "trailer")
        return self


def bill_layouts(workspace: Workspace) -> list[BillLayout]:
    """The layouts that ``workspace.yaml`` names, each from the workspace's ``bill_layouts/``, else from those that ship.

    Errors: ConfigError naming file, line, key and what is allowed.
    """
    found: dict[str, BillLayout] = {}
    for name in workspace.file.release.layouts:
        path = workspace.bill_layout(name)
        if not path.is_file():
            shipped = ", ".join(sorted(p.stem for p in SHIPPED_LAYOUTS.glob("*.yaml")))
            raise ConfigError(
                f"workspace.yaml: key release.layouts: {name!r} is not allowed; allowed: a file bill_layouts/{name}.yaml of the "
                f"workspace, or one that ships: {shipped}."
            )
        layout = load_config(BillLayout, path, f"bill_layouts/{path.name}")
        if layout.file_name_ends in found:
            raise ConfigError(
                f"bill_layouts/{path.name}: key file_name_ends: {layout.file_name_ends!r} is that of another layout which "
                "workspace.yaml names; allowed: one that no other has, such as _second.txt."
            )
        found[layout.file_name_ends] = layout
    return list(found.values())
