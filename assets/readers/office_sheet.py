"""Sheets of the office: the CIS extract, adjustments. CSV or a workbook whose header names the columns of a table's contract.

Belongs here: reading such a sheet into the contract's types, and what of it is refused.
Does not belong here: what the tables mean, or which sheets there are.

They are validated like any input: a row that cannot be used is refused with a sentence and the others stand. A workbook is opened in
the process that opens those of districts, and its cells are held to the same notation as those of a CSV.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from assets.readers.delimited import read_delimited
from assets.readers.lines import forget_lines
from assets.readers.sheet import Sheet, UnreadableFile
from assets.readers.workbook import Notation, read_workbook
from rate_tables.exact import scale_of
from rate_tables.looked_up import looked_up
from validations.contract import Contract, broken_rules
from validations.layout import Delimited, Workbook
from validations.reasons import REASONS
from validations.tables import REJECTED_ROWS

_LAYOUT = Delimited(kind="delimited", final_line_end="optional")
_WORKBOOK = Workbook(kind="workbook")
_KEY_REPEATED = REASONS["key_repeated"][1]
_AROUND_CELLS = " \t\n\r\v\f"


@dataclass(frozen=True)
class OfficeSheet:
    """Rows that can be used (columns of the contract that the sheet has) and rows that cannot (``rejected_rows``); ``kept``, the
    table of the database in which both lie."""

    rows: ir.Table
    rejected: ir.Table
    kept: str | None = None


def _value(
    text: ir.StringValue, name: str, dtype: Any, blanks: frozenset[str], most_characters: int = 200
) -> tuple[ir.Value, ir.BooleanValue]:
    """A cell's value, and where it is there but cannot be read. ``blanks``: blanks and control characters that stand anywhere in the sheet."""
    decimals = scale_of(name)[1]
    if decimals is not None:
        exact = text.re_search(rf"^[+-]?[0-9]{{1,12}}(\.[0-9]{{0,{decimals}}}0*)?$")
        # Twelve digits before the point leave no room to multiply in 18 digits, and reading 38 takes twenty times as long.
        value = text.try_cast(f"decimal(18, {decimals})").cast("string").replace(".", "").cast("int64")
        return ibis.ifelse(exact, value, ibis.null("int64")), (text != "") & ~exact
    if dtype.is_string():
        # What a spreadsheet would run, or a terminal obey, is no id and no word of ours.
        refused = r"^[=+@\-]|[\x00-\x1f\x7f]" if blanks - {" "} else r"^[=+@\-]"
        return text, text.re_search(refused) | (text.length() > most_characters)
    # The engine alone would take 1.5 for 2 dwelling units, and "infinity" for a date.
    exact = text.re_search(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$" if dtype.is_date() else r"^[+-]?[0-9]{1,18}$")
    value = ibis.ifelse(exact, text.try_cast(dtype), ibis.null(dtype))
    return value, (text != "") & value.isnull()


def _sheet_of(con: Any, path: Path, contract: Contract, scratch: Path) -> Sheet:
    if path.suffix.lower() != ".xlsx":
        return read_delimited(con, path, _LAYOUT, scratch)
    first = scale_of(contract.key[0])[0]
    return read_workbook(path, _WORKBOOK, {first: first}, Notation(), scratch)


def read_office_sheet(
    con: Any, path: Path, shown_as: str, sheet_id: str, contract: Contract, made_later: tuple[str, ...], scratch: Path,
    districts: Iterable[str] | None = None, long_texts: tuple[str, ...] = (),
) -> OfficeSheet:  # fmt: skip
    """A CSV or .xlsx as the contract's table without the columns ``made_later``; a row of none of ``districts`` is refused.

    Text may have 200 characters, in the columns ``long_texts`` 20,000.
    Errors: UnreadableFile if the file as a whole is not such a sheet.
    """
    sheet = _sheet_of(con, path, contract, scratch)
    columns = {n: c for n, c in contract.columns.items() if n not in made_later}
    left_out = [n for n, c in columns.items() if (c.metadata or {}).get("optional") and n not in sheet.header]
    missing = [scale_of(n)[0] for n in columns if n not in left_out and scale_of(n)[0] not in sheet.header]
    if missing:
        raise UnreadableFile(f"{shown_as}: the header lacks {', '.join(missing)}; it has: {', '.join(sheet.header)}")

    texts = _texts(sheet, {name: scale_of(name)[0] for name in columns if name not in left_out})
    values, wrong = {}, []
    for name in columns:
        if name in left_out:
            values[name] = ibis.null(contract.schema[name]) if columns[name].nullable else ibis.literal("")
            continue
        most_characters = 20_000 if name in long_texts else 200
        values[name], values[f"unreadable_{name}"] = _value(
            texts[name], name, contract.schema[name], sheet.blanks, most_characters
        )
        wrong.append((f"unreadable_{name}", f"{scale_of(name)[0]} cannot be read"))
    partial = Contract(contract.name, contract.row, contract.key, columns)
    typed = texts.select("source_row", "raw_text", "problem", **values)
    broken = [
        *((typed[unreadable], sentence) for unreadable, sentence in wrong),
        *((is_broken, rule) for rule, is_broken in broken_rules(partial, typed).items()),
    ]
    if districts is not None and "district_id" in columns:
        broken.append((~typed.district_id.isin(list(districts)), "district_id is not in the registry"))
    judged = typed.mutate(
        message=ibis.cases((typed.problem.notnull(), _sentence(typed.problem)), *broken, else_=ibis.null("string")),
        reason_code=ibis.coalesce(typed.problem, ibis.literal("value_unreadable")),
    )
    # A row that can be used is its values: its text would lie beside them for as long as the sheet is needed.
    judged = judged.select(
        *columns,
        "source_row",
        "message",
        "reason_code",
        raw_text=ibis.ifelse(judged.message.isnull(), ibis.null("string"), judged.raw_text),
    )
    name = ibis.util.gen_name(f"sheet_{contract.name}")
    kept = _with_repeated_refused(con, con.create_table(name, judged, temp=True), name, contract, sheet)
    forget_lines(con)
    return OfficeSheet(
        kept.filter(kept.message.isnull()).select(*columns),
        refused(kept.filter(kept.message.notnull()), shown_as, sheet_id),
        kept.get_name(),
    )


def _texts(sheet: Sheet, names: dict[str, str]) -> ir.Table:
    """The rows with the text of each cell under its column's name; ``names``: column -> what the header calls it."""
    rows = sheet.rows
    # Hardly a row has blanks, and to take them away takes as long as all else.
    has_blanks = reduce(
        or_, (rows.raw_text.contains(c) for c in _AROUND_CELLS if c in sheet.blanks), ibis.literal(False)
    )
    rows = rows.mutate(has_blanks=has_blanks)

    def text(name: str) -> ir.StringValue:
        cell = rows.fields[sheet.header.index(name)].fill_null("")
        return ibis.ifelse(rows.has_blanks, cell.strip(), cell)

    return rows.select("source_row", "raw_text", "problem", **{column: text(name) for column, name in names.items()})


def _with_repeated_refused(con: Any, kept: ir.Table, name: str, contract: Contract, sheet: Sheet) -> ir.Table:
    """The rows kept under ``name``, where each whose key stands more than once is refused, unless it is already."""
    # Keys of several texts are told apart by a number each: where two share one, they are looked at themselves.
    key = ", ".join(f'"{column}"' for column in contract.key)
    ((is_any_repeated,),) = con.raw_sql(f'SELECT count(*) > count(DISTINCT hash({key})) FROM "{name}"').fetchall()  # noqa: S608 - names of ours
    if not is_any_repeated:
        return kept
    repeated = kept.group_by(list(contract.key)).agg(times=ibis._.count()).filter(ibis._.times > 1)
    found = looked_up(kept, repeated, list(contract.key), "times")
    found = looked_up(found, sheet.rows.select("source_row", text="raw_text"), "source_row", "text")
    is_repeated = found.message.isnull() & found.times.notnull()
    refused_too = found.mutate(
        message=ibis.ifelse(is_repeated, _KEY_REPEATED, found.message),
        reason_code=ibis.ifelse(is_repeated, "key_repeated", found.reason_code),
        raw_text=ibis.ifelse(is_repeated, found.text, found.raw_text),
    )
    again = con.create_table(f"{name}_again", refused_too.select(*kept.columns), temp=True)
    con.drop_table(name)
    return again


def _sentence(code: ir.StringValue) -> ir.StringValue:
    return ibis.cases(*((code == c, sentence) for c, (_, sentence) in REASONS.items()))


def refused(rows: ir.Table, shown_as: str, sheet_id: str) -> ir.Table:
    """Rows with source_row, raw_text, reason_code and message as ``rejected_rows``."""
    return REJECTED_ROWS.conform(
        rows.mutate(
            district_id=ibis.literal(sheet_id), source_file=ibis.literal(shown_as), source_column=ibis.literal(""),
            raw_text=rows.raw_text.left(4_000), reason_kind=ibis.literal("refused"), delivered_quantity_thousandths=ibis.null("int64"),
        )
    )  # fmt: skip
