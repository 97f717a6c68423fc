"""Sheets of the office: the CIS extract, adjustments. CSV or a workbook whose header names the columns of a table's contract.

Belongs here: reading such a sheet into the contract's types, and what of it is refused.
Does not belong here: what the tables mean, or which sheets there are.

They are validated like any input: a row that cannot be used is refused with a sentence and the others stand. A workbook is opened in
the process that opens those of districts, and its cells are held to the same notation as those of a CSV.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from assets.readers.delimited import read_delimited
from assets.readers.lines import forget_lines
from assets.readers.sheet import Sheet, UnreadableFile
from assets.readers.workbook import Notation, read_workbook
from rate_tables.exact import scale_of
from validations.contract import Contract, broken_rules
from validations.layout import Delimited, Workbook
from validations.reasons import REASONS
from validations.tables import REJECTED_ROWS

_LAYOUT = Delimited(kind="delimited", final_line_end="optional")
_WORKBOOK = Workbook(kind="workbook")
_KEY_REPEATED = REASONS["key_repeated"][1]


@dataclass(frozen=True)
class OfficeSheet:
    """Rows that can be used (columns of the contract that the sheet has) and rows that cannot (``rejected_rows``); ``kept``, the
    table of the database in which both lie."""

    rows: ir.Table
    rejected: ir.Table
    kept: str | None = None


def _value(text: ir.StringValue, name: str, dtype: Any, most_characters: int = 200) -> tuple[ir.Value, ir.BooleanValue]:
    """A cell's value, and where it is there but cannot be read."""
    decimals = scale_of(name)[1]
    if decimals is not None:
        exact = text.re_search(rf"^[+-]?[0-9]{{1,12}}(\.[0-9]{{0,{decimals}}}0*)?$")
        value = (text.try_cast(f"decimal(18, {decimals})") * 10**decimals).cast("int64")
        return ibis.ifelse(exact, value, ibis.null("int64")), (text != "") & ~exact
    if dtype.is_string():
        # What a spreadsheet would run, or a terminal obey, is no id and no word of ours.
        return text, text.re_search(r"^[=+@\-]|[\x00-\x1f\x7f]") | (text.length() > most_characters)
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

    values, wrong = {}, []
    for name in columns:
        if name in left_out:
            values[name] = ibis.null(contract.schema[name]) if columns[name].nullable else ibis.literal("")
            continue
        text = sheet.rows.fields[sheet.header.index(scale_of(name)[0])].fill_null("").strip()
        value, unreadable = _value(text, name, contract.schema[name], 20_000 if name in long_texts else 200)
        values[name] = value
        wrong.append((unreadable, f"{scale_of(name)[0]} cannot be read"))
    partial = Contract(contract.name, contract.row, contract.key, columns)
    typed = sheet.rows.mutate(**values)
    wrong += [(broken, rule) for rule, broken in broken_rules(partial, typed).items()]
    if districts is not None and "district_id" in columns:
        wrong.append((~typed.district_id.isin(list(districts)), "district_id is not in the registry"))
    is_repeated = typed.count().over(ibis.window(group_by=list(contract.key))) > 1
    judged = typed.mutate(
        message=ibis.cases(
            (typed.problem.notnull(), _sentence(typed.problem)),
            *wrong,
            (is_repeated, _KEY_REPEATED),
            else_=ibis.null("string"),
        )
    )
    judged = judged.mutate(
        reason_code=ibis.cases(
            (judged.problem.notnull(), judged.problem),
            (judged.message == _KEY_REPEATED, "key_repeated"),
            else_="value_unreadable",
        )
    )
    # A row that can be used is its values: its text would lie beside them for as long as the sheet is needed.
    judged = judged.select(
        *columns,
        "source_row",
        "message",
        "reason_code",
        raw_text=ibis.ifelse(judged.message.isnull(), ibis.null("string"), judged.raw_text),
    )
    kept = con.create_table(ibis.util.gen_name(f"sheet_{contract.name}"), judged, temp=True)
    forget_lines(con)
    return OfficeSheet(
        kept.filter(kept.message.isnull()).select(*columns),
        refused(kept.filter(kept.message.notnull()), shown_as, sheet_id),
        kept.get_name(),
    )


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
