"""Sheets of the office: the CIS extract, adjustments. CSV whose header names the columns of a table's contract.

Belongs here: reading such a sheet into the contract's types, and what of it is refused.
Does not belong here: what the tables mean, or which sheets there are.

They are validated like any input: a row that cannot be used is refused with a sentence and the others stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from assets.readers.delimited import read_delimited
from assets.readers.sheet import UnreadableFile
from rate_tables.exact import scale_of
from validations.contract import Contract, broken_rules
from validations.district import Delimited
from validations.reasons import REASONS
from validations.tables import REJECTED_ROWS

_LAYOUT = Delimited(kind="delimited")


@dataclass(frozen=True)
class OfficeSheet:
    """Rows that can be used (columns of the contract that the sheet has) and rows that cannot (``rejected_rows``)."""

    rows: ir.Table
    rejected: ir.Table


def _value(text: ir.StringValue, name: str, dtype: Any) -> tuple[ir.Value, ir.BooleanValue]:
    """A cell's value, and where it is there but cannot be read."""
    decimals = scale_of(name)[1]
    if decimals is not None:
        exact = text.re_search(rf"^[+-]?[0-9]{{1,12}}(\.[0-9]{{0,{decimals}}}0*)?$")
        value = (text.try_cast(f"decimal(18, {decimals})") * 10**decimals).cast("int64")
        return ibis.ifelse(exact, value, ibis.null("int64")), (text != "") & ~exact
    if dtype.is_string():
        # What a spreadsheet would run, or a terminal obey, is no id and no word of ours.
        return text, text.re_search(r"^[=+@\-]|[\x00-\x1f\x7f]") | (text.length() > 200)
    value = text.try_cast(dtype)
    return value, (text != "") & value.isnull()


def read_office_sheet(
    con: Any, path: Path, shown_as: str, sheet_id: str, contract: Contract, made_later: tuple[str, ...], scratch: Path
) -> OfficeSheet:
    """A CSV as the contract's table without the columns ``made_later``.

    Errors: UnreadableFile if the file as a whole is not such a sheet.
    """
    sheet = read_delimited(con, path, _LAYOUT, scratch)
    columns = {n: c for n, c in contract.columns.items() if n not in made_later}
    missing = [scale_of(name)[0] for name in columns if scale_of(name)[0] not in sheet.header]
    if missing:
        raise UnreadableFile(f"{shown_as}: the header lacks {', '.join(missing)}; it has: {', '.join(sheet.header)}")

    values, wrong = {}, []
    for name in columns:
        text = sheet.rows.fields[sheet.header.index(scale_of(name)[0])].fill_null("").strip()
        value, unreadable = _value(text, name, contract.schema[name])
        values[name] = value
        wrong.append((unreadable, f"{scale_of(name)[0]} cannot be read"))
    partial = Contract(contract.name, contract.row, contract.key, columns)
    typed = sheet.rows.mutate(**values)
    wrong += [(broken, rule) for rule, broken in broken_rules(partial, typed).items()]
    wrong.append((typed.count().over(ibis.window(group_by=list(contract.key))) > 1, "the key stands more than once"))
    judged = typed.mutate(
        message=ibis.cases((typed.problem.notnull(), _sentence(typed.problem)), *wrong, else_=ibis.null("string"))
    )
    kept = con.create_table(ibis.util.gen_name(f"sheet_{contract.name}"), judged, temp=True)
    return OfficeSheet(
        kept.filter(kept.message.isnull()).select(*columns),
        refused(kept.filter(kept.message.notnull()), shown_as, sheet_id),
    )


def _sentence(code: ir.StringValue) -> ir.StringValue:
    return ibis.cases(*((code == c, sentence) for c, (_, sentence) in REASONS.items()))


def refused(rows: ir.Table, shown_as: str, sheet_id: str) -> ir.Table:
    """Rows with source_row, raw_text and message as ``rejected_rows``."""
    return REJECTED_ROWS.conform(
        rows.mutate(
            district_id=ibis.literal(sheet_id), source_file=ibis.literal(shown_as), source_column=ibis.literal(""),
            raw_text=rows.raw_text.left(4_000), reason_code=ibis.literal("value_unreadable"),
            reason_kind=ibis.literal("refused"), delivered_quantity_thousandths=ibis.null("int64"),
        )
    )  # fmt: skip
