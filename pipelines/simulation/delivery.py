"""A district's delivery of one year: its files, as the registry entry of that year announces them.

Belongs here: which files there are and their names, what is packed into a zip, the cross-reference sheet.
Does not belong here: records (``records``), their faults (``faults``), kinds of files (``layouts``).
"""

from __future__ import annotations

import fnmatch
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from pipelines.simulation.faults import spoil
from pipelines.simulation.layouts import Column, Content, write_file
from pipelines.simulation.lines import PLAIN, Field, Flags, whole_file
from pipelines.simulation.population import Population
from pipelines.simulation.records import Table, notation_of, table_of, written_decimals
from pipelines.simulation.refusal import cannot, shown_as
from pipelines.simulation.usage import Periods
from rate_tables.volume_units import UNIT_NAMES
from validations.district import CrossReference, District
from validations.layout import Delimited, Layout, Workbook

_ROUTES = 4
_OTHER_BITS_OF_A_ROUTE = 64
_LOST_ZEROS_SHARE = 0.02
_DIGITS_THAT_A_SHEET_KEEPS = 15
_USUAL_ENDING = {"delimited": ".csv", "fixed_width": ".txt", "workbook": ".xlsx"}
_PACKED_ON = (1980, 1, 1, 0, 0, 0)


class Delivered(NamedTuple):
    """A delivery that was written: files, records of consumption, (source_file, fault, district_account), and which of the
    periods can be read and are of services that the CIS links."""

    files: int
    rows: int
    faults: list[tuple[str, str, str]]
    usable: Flags


def write_delivery(
    folder: Path,
    population: Population,
    periods: Periods,
    billing_year: int,
    rng: np.random.Generator,
    *,
    misstated: bool = False,
) -> Delivered:
    """Write the district's files of one billing year into ``folder``, in its own layout and with its faults. ``misstated``:
    its trailer states other totals than the file holds.

    Errors: ConfigError if the entry announces what the simulation cannot write.
    """
    entry, meters = population.entry, population.meters
    table = table_of(population, periods, billing_year)
    missing = (meters["scenario"] == "unmatched_service") & (meters["scenario_year"] == billing_year)
    if missing.any():
        table = table.take(np.flatnonzero(~missing.to_numpy()[table.meter]))
    names = _record_files(entry, billing_year)
    table.part = meters["route"].to_numpy()[table.meter] // _OTHER_BITS_OF_A_ROUTE % len(names)
    _lose_zeros(table, entry, rng)
    usable = ~missing.to_numpy()[periods.meter]
    table, faults, in_sheet, refused = spoil(table, population, billing_year, len(names), rng)
    usable[refused] = False
    contents = {
        name: (
            entry.layout,
            _records(population, table.take(np.flatnonzero(table.part == part)), billing_year, misstated),
        )
        for part, name in enumerate(names)
    }
    if (reference := entry.account_numbers.cross_reference) is not None:
        sheet = _sheet(population, reference, in_sheet)
        contents[_sheet_file(entry, reference, billing_year)] = reference.layout, sheet
    files = _write_all(folder, entry, billing_year, contents)
    shown = [files[name] for name in names]
    return Delivered(
        len({file.split("/")[0] for file in files.values()}),
        len(table.meter),
        [(shown[fault.part], fault.fault, fault.district_account) for fault in faults],
        usable,
    )


def _file_name(entry: District, key: str, pattern: str, stem: str, ending: str, never: str | None = None) -> str:
    """A name that matches a pattern of the entry, and not ``never``."""
    for name in (stem + ending, stem + Path(pattern).suffix, pattern.replace("*", stem)):
        is_name = fnmatch.fnmatch(name, pattern) and not set(name) & set("*?[]/")
        if is_name and not (never and fnmatch.fnmatch(name, never)):
            return name
    raise cannot(
        shown_as(entry), key, f"{pattern!r} matches no name that the simulation can give; use for example '*{ending}'."
    )


def _files_pattern(entry: District, billing_year: int) -> str:
    return entry.files.replace("{year}", str(billing_year))


def _record_files(entry: District, billing_year: int) -> list[str]:
    """Names of the files that hold records: one, or one per route in a zip."""
    stem, ending = f"{entry.district}_{billing_year}", _USUAL_ENDING[entry.layout.kind]
    reference = entry.account_numbers.cross_reference
    never = None if reference is None else reference.files
    if entry.zip_members is None:
        return [_file_name(entry, "files", _files_pattern(entry, billing_year), stem, ending, never)]
    return [
        _file_name(entry, "zip_members", entry.zip_members, f"{stem}_route_{route}", ending, never)
        for route in range(1, _ROUTES + 1)
    ]


def _sheet_file(entry: District, reference: CrossReference, billing_year: int) -> str:
    """Name of the cross-reference sheet."""
    stem, ending = f"{entry.district}_{billing_year}_accounts", _USUAL_ENDING[reference.layout.kind]
    name = _file_name(entry, "account_numbers.cross_reference.files", reference.files, stem, ending)
    among = entry.zip_members or _files_pattern(entry, billing_year)
    if not fnmatch.fnmatch(name, among):
        raise cannot(
            shown_as(entry),
            "account_numbers.cross_reference.files",
            f"{name!r} would not be among the files {among!r} of the delivery.",
        )
    return name


def _write_all(
    folder: Path, entry: District, billing_year: int, contents: dict[str, tuple[Layout, Content]]
) -> dict[str, str]:
    """Write the files, or the zip that holds them; name -> how the delivery knows the file."""
    if entry.zip_members is None:
        for name, (layout, content) in contents.items():
            write_file(folder / name, layout, content)
        return {name: name for name in contents}
    packed = _file_name(entry, "files", _files_pattern(entry, billing_year), f"{entry.district}_{billing_year}", ".zip")
    with (
        tempfile.TemporaryDirectory() as unpacked,
        whole_file(folder / packed) as handle,
        zipfile.ZipFile(handle, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, (layout, content) in contents.items():
            # Programs that pack their exports like to begin text with a mark.
            content.begins_with_mark = isinstance(layout, Delimited) and layout.encoding == "utf-8"
            path = Path(unpacked) / name
            write_file(path, layout, content)
            member = zipfile.ZipInfo(name, _PACKED_ON)
            member.compress_type, member.file_size = zipfile.ZIP_DEFLATED, path.stat().st_size
            with path.open("rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target)
            path.unlink()
    return {name: f"{packed}/{name}" for name in contents}


def _records(population: Population, table: Table, billing_year: int, misstated: bool) -> Content:
    """Records as the content of a file."""
    entry = population.entry
    named, width = entry.columns.named(), entry.account_numbers.width
    numbers = {"days", "multiplier"} | {name for name in table.fields if name.startswith("registered_volume")}
    if isinstance(entry.layout, Workbook) and width is not None and width <= _DIGITS_THAT_A_SHEET_KEEPS:
        # An account number whose zeros the entry restores is a number in a spreadsheet; another stays text.
        numbers.add("account")

    def kind_of(name: str) -> Literal["text", "number", "quantity"]:
        return "quantity" if name in table.quantities else "number" if name in numbers else "text"

    return Content(
        shown_as(entry),
        [entry.name, f"Water consumption for billing year {billing_year}, in {UNIT_NAMES[entry.volume.unit]}"],
        [Column(name, named.get(name, name), content, kind_of(name)) for name, content in table.fields.items()]
        + [Column("", header, content) for header, content in table.unnamed.items()],
        notation_of(entry),
        written_decimals(entry),
        entry.trailer,
        misstated_by=1000 if misstated else 0,
    )


def _sheet(population: Population, reference: CrossReference, in_sheet: Flags) -> Content:
    """The cross-reference sheet: one row per account that it names."""
    entry = population.entry
    at = population.meters[in_sheet].drop_duplicates("own_account")
    return Content(
        shown_as(entry),
        [entry.name, "Account numbers"],
        [
            Column("delivered", reference.delivered, Field.of_texts(at["own_account"].tolist())),
            Column("known_as", reference.known_as, Field.of_texts(at["account"].tolist())),
        ],
        PLAIN,
        0,
    )


def _lose_zeros(table: Table, entry: District, rng: np.random.Generator) -> None:
    """Where the entry restores zeros, let a few accounts have lost theirs, as if they had been through a spreadsheet."""
    if entry.account_numbers.width is None or not isinstance(entry.layout, Delimited):
        return
    account = table.fields["account"]
    lost = rng.random(len(account.labels)) < _LOST_ZEROS_SHARE
    labels = [text.lstrip("0") if one else text for text, one in zip(account.labels, lost, strict=True)]
    table.fields["account"] = account.relabelled(labels)
