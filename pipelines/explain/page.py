"""The explanation as one HTML page that opens without a network and prints.

Belongs here: which of the explanation's parts stand where. Does not belong here: words and figures (``text``), the look
(``page.html``), reading or computing anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipelines.explain import text

Row = dict[str, Any]


def _grid(columns: list[str], rows: list[list[str]], numbers: set[int]) -> Row:
    filled = [n for n in range(len(columns)) if any(row[n] for row in rows)]
    return {
        "columns": [columns[n] for n in filled],
        "rows": [[row[n] for n in filled] for row in rows],
        "numbers": [place for place, n in enumerate(filled) if n in numbers],
    }


def _part(explanation: Row, one: Row) -> Row:
    service, average, readings = one["service"], one["average"], one["readings"]
    return {
        "ids": [("service", service["service_id"]), ("account", service["account_id"]), ("premise", service["premise_id"])],
        "about": text.about_service(service),
        "amount": None if one["amount_a_year"] is None else text.dollars(one["amount_a_year"]),
        "bills": [
            {
                "about": text.about_bill(bill),
                "lines": _grid(text.LINE_COLUMNS, [text.line_row(line) for line in bill["lines"]], text.LINE_NUMBERS),
                "total": text.dollars(bill["amount"]),
                "sources": text.sources_of_rates(explanation, bill),
            }
            for bill in one["bills"]
        ],
        "difference": one["difference"]["sentences"],
        "title_of_average": text.title_of_average(average),
        "average": text.about_average(explanation, one),
        "rule_file": average["rule_file"],
        "steps": text.steps_of_rule(explanation, average) if readings else [],
        "readings": _grid(text.READING_COLUMNS, [text.reading_row(reading) for reading in readings], text.NUMBERS),
        "remarks": text.remarks(readings),
        "people": text.said_by_people(one),
    }  # fmt: skip


def as_html(explanation: Row) -> str:
    """The page as text; nothing of a file's text is HTML in it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    return environment.get_template("page.html").render(
        title=f"Why these bills: {explanation['asked_for_is']} {explanation['asked_for']}",
        subtitle=f"{explanation['utility']}, annual update {explanation['title']}: {text.release_in_words(explanation)}",
        is_several=len(explanation["services"]) > 1,
        parts=[_part(explanation, one) for one in explanation["services"]],
    )
