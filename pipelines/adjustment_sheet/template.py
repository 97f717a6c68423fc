"""The workbook that staff fill in: the adjustment sheet's columns with drop-downs, and a sheet that explains them.

Belongs here: writing the workbook.
Does not belong here: reading it back (``assets.adjustments``: like any file from outside), what an entry may say.

Cells are formatted as what they hold, so that a spreadsheet program keeps leading zeros and shows dates as dates. Text is written
as text: nothing that begins like a formula becomes one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xlsxwriter

from assets.durable import whole_file
from pipelines.adjustment_sheet.words import KINDS
from pipelines.adjustment_sheet.words import METHODS as METHODS_IN_WORDS
from rate_tables.adjusting import FIGURES, METHODS
from rate_tables.config_file import ConfigError
from rate_tables.exact import scale_of
from rate_tables.volume_units import UNIT_NAMES
from validations.tables import ADJUSTMENTS
from validations.workspace import Workspace

SHEET = "adjustments"
ROWS = 2_000
"""Rows below the header that are formatted and have drop-downs."""
_WIDTHS = {"kind": 20, "method": 24, "reason": 44, "document": 20, "district_account": 18, "meter_id": 18}
_MOST_OF_A_MESSAGE = 255


def columns() -> dict[str, str]:
    """Column of the sheet -> its name in the contract, in order."""
    return {scale_of(name)[0]: name for name in ADJUSTMENTS.columns}


def _lists(districts: Sequence[str]) -> dict[str, list[str]]:
    """Column -> what its drop-down offers."""
    return {
        "kind": list(METHODS),
        "method": list(FIGURES),
        "volume_unit": list(UNIT_NAMES),
        "reached_sewer": ["yes", "no"],
        "district_id": list(districts),
    }


def _validation(column: str, name: str, lists: dict[str, list[str]], year: int) -> dict[str, Any]:
    """What a spreadsheet program lets into a column, and says of it; what is read is judged again."""
    meaning = str(ADJUSTMENTS.columns[name].description)
    told = {"input_title": column, "input_message": meaning[:_MOST_OF_A_MESSAGE]}
    dtype, decimals = ADJUSTMENTS.schema[name], scale_of(name)[1]
    if column in lists:
        place = list(lists).index(column)
        letter = chr(ord("A") + place)
        source = f"=lists!${letter}$1:${letter}${max(len(lists[column]), 1)}"
        return told | {"validate": "list", "source": source}
    if dtype.is_date():
        first, last = dt.date(year - 3, 1, 1), dt.date(year + 10, 12, 31)
        return told | {"validate": "date", "criteria": "between", "minimum": first, "maximum": last}
    if column == "share":
        return told | {"validate": "decimal", "criteria": "between", "minimum": 0, "maximum": 1}
    if decimals is not None:
        return told | {"validate": "decimal", "criteria": ">=", "value": 0}
    if dtype.is_integer():
        return told | {"validate": "integer", "criteria": "between", "minimum": 1, "maximum": 12}
    return told | {"validate": "length", "criteria": "<=", "value": 200}


def _asked(method: str) -> str:
    figures = FIGURES[method]  # type: ignore[index]
    return (
        ", ".join(f"{name} (may be empty)" if need == "allowed" else name for name, need in figures.items()) or "none"
    )


def _write_explanations(book: Any, bold: Any, wrapped: Any) -> None:
    sheet = book.add_worksheet("explanations")
    sheet.set_column(0, 0, 26)
    sheet.set_column(1, 2, 70, wrapped)
    kinds = [(kind, words, ", ".join(METHODS[kind])) for kind, words in KINDS.items()]
    methods = [(method, words, _asked(method)) for method, words in METHODS_IN_WORDS.items()]
    described = [(column, ADJUSTMENTS.described(name), "") for column, name in columns().items()]
    units = [(unit, words, "") for unit, words in UNIT_NAMES.items()]
    Line = tuple[str, str, str]
    blocks: list[tuple[Line, Sequence[Line]]] = [
        (("column", "what stands in it", ""), described),
        (("kind", "what happened", "methods it may have"), kinds),
        (("method", "how the volume that counts is found", "figures it asks for"), methods),
        (("volume_unit", "in words", ""), units),
    ]
    row = 0
    for header, lines in blocks:
        for place, text in enumerate(header):
            sheet.write_string(row, place, text, bold)
        for number, line in enumerate(lines, start=row + 1):
            for place, text in enumerate(line):
                sheet.write_string(number, place, text)
        row += len(lines) + 2


def write_template(workspace: Workspace, billing_year: int, to: Path) -> None:
    """Write the year's template to ``to``, whole or not at all. ConfigError if there is such a file, or it is no .xlsx."""
    _ = workspace.year(billing_year)
    if to.suffix.lower() != ".xlsx":
        raise ConfigError(f"{to}: the template is a workbook; allowed: a name that ends in .xlsx.")
    if to.exists():
        raise ConfigError(f"{to}: there is such a file already; it is not overwritten.")
    if not to.parent.is_dir():
        raise ConfigError(f"{to.parent}: there is no such folder; make it first, or name another.")
    lists = _lists(list(workspace.districts))
    literal_text = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with whole_file(to) as beside, xlsxwriter.Workbook(str(beside), literal_text) as book:
        bold, wrapped = book.add_format({"bold": True}), book.add_format({"text_wrap": True, "valign": "top"})
        shapes = {
            "text": book.add_format({"num_format": "@"}),
            "date": book.add_format({"num_format": "yyyy-mm-dd"}),
            "number": book.add_format({"num_format": "General"}),
        }
        sheet = book.add_worksheet(SHEET)
        sheet.freeze_panes(1, 2)
        for place, (column, name) in enumerate(columns().items()):
            dtype = ADJUSTMENTS.schema[name]
            shape = "text" if dtype.is_string() else "date" if dtype.is_date() else "number"
            sheet.set_column(place, place, _WIDTHS.get(column, 14), shapes[shape])
            sheet.write_string(0, place, column, bold)
            sheet.data_validation(1, place, ROWS, place, _validation(column, name, lists, billing_year))
        _write_explanations(book, bold, wrapped)
        offered = book.add_worksheet("lists")
        for place, words in enumerate(lists.values()):
            for number, word in enumerate(words):
                offered.write_string(number, place, word)
        offered.hide()
