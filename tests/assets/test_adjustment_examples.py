"""What ``docs/adjustments.md`` works out by hand comes out of the code, to the word.

Belongs here: every example of the page through the stages. Does not belong here: what is refused (``test_adjustment_steps``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest
from adjustment_world import EXPIRING, D, World, entry, outcome

from assets.adjustment_steps import overrides
from rate_tables.adjusting import METHODS, ORDER, in_words
from rate_tables.terms import AdjustmentKind
from validations.tables import ADJUSTMENTS, REFUSED_ADJUSTMENTS

PAGE = (Path(__file__).parents[2] / "docs" / "adjustments.md").read_text(encoding="utf-8")

Cells = dict[str, str]


@dataclass(frozen=True)
class Example:
    """A section of the page: the sheet's row, the periods with what counts of them, and the sentences."""

    title: str
    given: Cells
    periods: list[Cells]
    why: list[str]


def table(*rows: Cells) -> str:
    """Rows as the page writes them."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def tables_in(text: str) -> list[list[Cells]]:
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.M):
        header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        found.append([dict(zip(header, row, strict=True)) for row in rows])
    return found


def examples() -> list[Example]:
    page = PAGE.split("## Every kind and method, with an example")[1]
    found = []
    for section in page.split("\n### ")[1:]:
        title, _, body = section.partition("\n")
        given, *periods = tables_in(body)
        quotes = [" ".join(q.replace("\n>", " ").split()) for q in re.findall(r"^> ((?:.*\n>)*.*)$", body, re.M)]
        found.append(Example(title, given[0], periods[0] if periods else [], quotes))
    return found


def thousandths(text: str) -> int:
    return int(Decimal(text.replace(",", "")).scaleb(3))


def worked_out(example: Example) -> tuple[list[str], list[str]]:
    """What counts of each period that the example's entry is about, in the page's words; and the sentences."""
    given = example.given
    row = entry("J1", given["kind"], given["method"], given["period_start"], given["period_end"]) | {
        "reached_sewer": given.get("reached_sewer", ""),
        "volume_unit": given.get("volume_unit", ""),
        "bills": int(given["bills"]) if "bills" in given else None,
        "share_millionths": int(Decimal(given["share"]).scaleb(6)) if "share" in given else None,
        "volume_thousandths": thousandths(given["volume"]) if "volume" in given else None,
        "less_volume_thousandths": thousandths(given["less_volume"]) if "less_volume" in given else None,
        "expires_on": D("2020-07-01") if given["kind"] in EXPIRING else None,
    }
    if given["kind"] == "override":
        found = overrides(ADJUSTMENTS.of_rows([row]), REFUSED_ADJUSTMENTS.empty()).to_pyarrow().to_pylist()
        assert [in_words(f["average_thousandths"]) for f in found] == [given["volume"]]
        assert outcome(World().service().meter(), row).refused == {}
        return [], []
    world = World().service().meter()
    for period in example.periods:
        world.deliver(
            period["period_start"], period["period_end"], thousandths(period["before"]), volume_unit=period["unit"]
        )
    made = outcome(world, row)
    assert made.refused == {}
    steps = sorted(made.steps, key=lambda s: s["period_start"])
    counts = ["left out" if s["is_left_out"] else in_words(s["after_volume_thousandths"]) for s in steps]
    return counts, [s["why"] for s in steps]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.title)
def test_the_example_comes_out_as_the_page_says(example: Example) -> None:
    counts, why = worked_out(example)
    assert counts == [period["after"] for period in example.periods if period["after"] != "history"]
    assert why == example.why


def test_every_kind_and_method_has_an_example() -> None:
    shown = {(e.given["kind"], e.given["method"]) for e in examples()}
    assert shown == {(kind, method) for kind, methods in METHODS.items() for method in methods}
    assert set(METHODS) == set(get_args(AdjustmentKind))


def test_the_page_states_the_order_in_which_entries_are_applied() -> None:
    listed = re.search(r"## The order\n(.*?)\n## ", PAGE, re.S)
    assert listed
    assert tuple(re.findall(r"`([a-z_]+)`", "\n".join(re.findall(r"^\d\. (.*)$", listed[1], re.M)))) == ORDER
