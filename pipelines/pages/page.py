"""A page for people to read, print and sign: facts, then sections of tables and pictures; as HTML and as markdown.

Belongs here: what a page is made of, how it becomes text. Does not belong here: what stands on one (``release.reconciliation_page``,
``reports``), how the file looks (``page.html``).

A page needs nothing else: no script, no address. Text from a file is text on it, whatever it says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pipelines.metadata import as_plain_text, shown_value


@dataclass(frozen=True)
class Fact:
    """One figure of the page's head; ``is_good`` is False where somebody has to look."""

    title: str
    text: str
    is_good: bool = True


@dataclass(frozen=True)
class Grid:
    """A table: cells as text, figures from column ``numbers_from`` on. ``strong`` are rows that are totals."""

    columns: list[str]
    rows: list[list[str]]
    numbers_from: int = 1
    strong: frozenset[int] = frozenset()
    title: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page. ``pictures``: charts as SVG."""

    title: str
    words: str
    grids: list[Grid]
    pictures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """All of it. ``terms``: words that the page explains, under a title of their own; ``signatures``: who signs it on paper; ``adds_up``: whether its
    figures do."""

    title: str
    subtitle: str
    facts: list[Fact]
    sections: list[Section]
    sources: str
    digest: str = ""
    terms_title: str = ""
    terms: list[tuple[str, str]] = field(default_factory=list)
    signatures: tuple[str, ...] = ()
    adds_up: bool = True


def as_markdown(page: Page) -> str:
    """The page for the UI; nothing that a file says can end its cell or become markup."""
    lines = [f"**{as_plain_text(page.title)}**", "", as_plain_text(page.subtitle), ""]
    lines += [
        f"- {as_plain_text(fact.title)}: {'' if fact.is_good else '**'}{as_plain_text(fact.text)}{'' if fact.is_good else '**'}"
        for fact in page.facts
    ]
    for section in page.sections:
        lines += ["", f"#### {as_plain_text(section.title)}", "", as_plain_text(section.words)]
        for grid in section.grids:
            if grid.title:
                lines += ["", f"**{as_plain_text(grid.title)}**"]
            lines += ["", "| " + " | ".join(shown_value("", c) or " " for c in grid.columns) + " |"]
            lines.append(
                "|" + "|".join("---:" if n >= grid.numbers_from else "---" for n in range(len(grid.columns))) + "|"
            )
            for number, row in enumerate(grid.rows):
                cells = [shown_value("", cell) for cell in row]
                mark = "**" if number in grid.strong else ""
                lines.append("| " + " | ".join(f"{mark}{cell}{mark}" if cell else "" for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def as_html(page: Page) -> str:
    """The page as one file that needs nothing else: no script, no address, printable."""
    from jinja2 import Environment, StrictUndefined

    template = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(page=page) + "\n"
