"""What the UI shows of a table that was written: counts, volumes, a preview.

Belongs here: numbers and markdown for people, from a table that lies in the store.
Does not belong here: judging a table (``checks``). Raw text of files is never shown.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import dagster as dg
import ibis
import ibis.expr.types as ir

from rate_tables.exact import scale_of
from validations.contract import Contract

HIDDEN = {
    "raw_text", "evidence", "evidence_seen", "evidence_now", "evidence_hash", "content_hash", "decided_by", "reason", "entered_by", "approved_by",
}  # fmt: skip
PREVIEW_ROWS = 8
LONGEST_CELL = 500


def as_plain_text(text: str) -> str:
    """Text as markdown that shows it as it is; nothing in it becomes markup or ends a cell."""
    text = "".join(c if c.isprintable() else " " for c in text)
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}" if mark not in "<>" else {"<": "&lt;", ">": "&gt;"}[mark])
    return text


def shown_value(name: str, value: Any) -> str:
    """A cell as a person reads it; text from a file cannot break out of the table or become markup."""
    _, decimals = scale_of(name)
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int() if decimals is not None:
            return f"{Decimal(value).scaleb(-decimals):,}"
        case int() | Decimal():
            return f"{value:,}"
        case float():
            return "" if value != value else f"{value:,.3f}"
        case dt.datetime() | dt.date():
            return value.isoformat()[:10]
        case _:
            text = str(value)
            return as_plain_text(text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…")


def markdown_table(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Rows as a markdown table with published column names."""
    if not rows:
        return "*no rows*"
    head = "| " + " | ".join(scale_of(c)[0].replace("_", " ") for c in columns) + " |"
    numeric = {
        c for c in columns if any(isinstance(r.get(c), (int, Decimal)) and not isinstance(r.get(c), bool) for r in rows)
    }
    rule = "|" + "|".join("---:" if c in numeric else "---" for c in columns) + "|"
    body = ["| " + " | ".join(shown_value(c, row.get(c)) for c in columns) + " |" for row in rows]
    return "\n".join([head, rule, *body])


def described(contract: Contract, table: ir.Table, rows: int) -> dict[str, Any]:
    """Metadata of a materialization: row count, sums, counts by kind, and a preview."""
    facts: dict[str, Any] = {"dagster/row_count": rows}
    if rows == 0:
        return facts | {"preview": dg.MetadataValue.md("*no rows*")}
    kinds = [c for c in ("reason_code", "derivation", "status", "severity", "side", "change") if c in contract.columns]
    for kind in kinds[:1]:
        counted = table.group_by(kind).agg(rows=ibis._.count()).order_by(ibis.desc("rows"), kind)
        facts[f"by {kind.replace('_', ' ')}"] = dg.MetadataValue.md(
            markdown_table(counted.to_pyarrow().to_pylist(), [kind, "rows"])
        )
    sums = [
        c for c in contract.columns
        if c in {"registered_volume_thousandths", "billed_volume_thousandths", "adjusted_volume_thousandths",
                 "amount_cents", "regional_amount_cents", "local_amount_cents"}
    ]  # fmt: skip
    if sums and "volume_unit" in contract.columns:
        by_unit = table.group_by("volume_unit").agg(**{c: table[c].sum().cast("decimal(38, 0)") for c in sums})
        listed = [
            {k: _whole(v) for k, v in row.items()} for row in by_unit.order_by("volume_unit").to_pyarrow().to_pylist()
        ]
        facts["volumes"] = dg.MetadataValue.md(markdown_table(listed, ["volume_unit", *sums]))
    elif sums:
        total = table.agg(**{c: table[c].sum().cast("decimal(38, 0)") for c in sums}).to_pyarrow().to_pylist()[0]
        for name, value in total.items():
            published, decimals = scale_of(name)
            facts[published.replace("_", " ")] = float(Decimal(_whole(value) or 0).scaleb(-(decimals or 0)))
    columns = [c for c in contract.columns if c not in HIDDEN]
    facts["preview"] = dg.MetadataValue.md(
        markdown_table(table.select(*columns).limit(PREVIEW_ROWS).to_pyarrow().to_pylist(), columns)
    )
    return facts


def lineage_table(lineage: dg.TableColumnLineage) -> str:
    """Column -> the columns it is computed from; a constant, a count or a rule's figure has none."""
    lines = ["| column | computed from |", "|---|---|"]
    for column, found in lineage.deps_by_column.items():
        # Each district has an asset of its own; the table's name says enough.
        sources = sorted({f"{dep.asset_key.path[0]}.{dep.column_name}" for dep in found})
        lines.append(f"| {as_plain_text(column)} | {as_plain_text(', '.join(sources))} |")
    return "\n".join(lines)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, Decimal) else value
