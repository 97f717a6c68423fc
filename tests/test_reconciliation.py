"""The page that reconciles a year: everything adds up on real runs, and the page can be handed to an auditor.

Belongs here: promises about the published account and the page. Does not belong here: single steps (``test_volume_account``).
"""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest
from releasable import YEAR
from whole_runs import SAMPLE_YEAR, SampleRun, annual_billing, query

from pipelines.pages.page import Fact, Grid, Page, Section, as_html, as_markdown

HOSTILE = "<script>alert(1)</script> | x | [a](javascript:b) ` {{ 7 * 7 }} \"'&"


@pytest.fixture
def folder(undecided: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(undecided, tmp_path / "ws", symlinks=True))


def test_every_row_and_thousandth_of_the_sample_is_accounted_for_down_to_its_averages(sample: SampleRun) -> None:
    account = query(
        sample.folder,
        "SELECT district_id, sum(rows), sum(volume), count(*) FILTER (step = 'delivered') FROM volume_account "
        "WHERE billing_year = ? GROUP BY 1 ORDER BY 1",
        SAMPLE_YEAR,
    )
    assert [a[1:] for a in account] == [(0, 0, 1)] * 8
    came = "SELECT district_id, sum(records), sum(delivered_quantity) FROM delivery_totals GROUP BY 1 ORDER BY 1"
    went = "SELECT district_id, rows, volume FROM volume_account WHERE step = 'delivered' ORDER BY 1"
    assert query(sample.folder, went) == query(sample.folder, came)
    used = {step for (step,) in query(sample.folder, "SELECT DISTINCT step FROM volume_account")}
    assert used >= {
        "refused",
        "duplicate",
        "outside_window",
        "known_non_sewer",
        "unmatched",
        "deducted",
        "adjusted",
        "averaged",
    }
    assert query(sample.folder, "SELECT identity, district_id FROM reconciliation WHERE difference <> 0") == []
    assert query(
        sample.folder, 'SELECT "left" > 1900, "left" = "right" FROM reconciliation WHERE identity = \'counted volume\''
    ) == [(True, True)]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_is_one_file_that_needs_nothing_else_and_is_the_same_each_time(folder: Path) -> None:
    pages = []
    for name in ("one.html", "other.html"):
        ran = annual_billing("reconcile", YEAR, "--to", folder / name, "--workspace", folder)
        assert ran.code == 0, ran.err
        assert re.search(r"Identities: (\d+) of \1 hold", ran.out)
        pages.append((folder / name).read_bytes())
    assert pages[0] == pages[1]
    text = pages[0].decode()
    assert str(folder) not in text
    tags = _Tags()
    tags.feed(text)
    assert {tag for tag, _ in tags.found} & {"script", "link", "img", "iframe", "object", "form", "a"} == set()
    assert not re.search(r"https?://|url\(|@import", text)
    for title in (
        "What has to be equal", "Rows, from the deliveries", "Volume, from the deliveries", "Services", "Bills, lines and files",
        "Against last year", "Control totals", "CIS extract", "What holds up release",
    ):  # fmt: skip
        assert title in text
    assert "findings.nothing_to_decide" in text


def test_nothing_that_a_district_writes_becomes_markup_on_the_page_or_in_the_ui() -> None:
    grid = Grid(["a", HOSTILE], [[HOSTILE, HOSTILE], ["x", "1"]], 1, frozenset({1}), HOSTILE)
    page = Page(
        HOSTILE, HOSTILE, [Fact(HOSTILE, HOSTILE)], [Section(HOSTILE, HOSTILE, [grid])], HOSTILE, HOSTILE, HOSTILE, [(HOSTILE, HOSTILE)],
        (HOSTILE,),
    )  # fmt: skip
    plain = replace(page, sections=[], title="", subtitle="", facts=[])
    tags, expected = _Tags(), _Tags()
    tags.feed(as_html(page))
    expected.feed(as_html(plain))
    assert {tag for tag, _ in tags.found} - {tag for tag, _ in expected.found} <= {
        "b",
        "span",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "h3",
        "p",
        "dt",
        "dd",
        "div",
    }
    assert "49" not in as_html(page)
    rows = [line for line in as_markdown(page).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {3}
    assert "<script" not in as_markdown(page)


def test_what_does_not_add_up_is_named_on_the_page_and_the_command_says_so(folder: Path) -> None:
    (path,) = (folder / "work" / "store" / "reconciliation" / str(YEAR)).glob("*.parquet")
    whole = path.read_bytes()
    beside = path.with_suffix(".other")
    duckdb.sql(
        f"COPY (SELECT * REPLACE (CASE identity WHEN 'shares' THEN 1000 ELSE difference_thousandths END AS difference_thousandths) "
        f"FROM '{path}') TO '{beside}' (FORMAT parquet)"
    )
    beside.rename(path)
    try:
        ran = annual_billing("reconcile", YEAR, "--workspace", folder)
    finally:
        path.write_bytes(whole)
    assert ran.code == 1
    assert "Something does not add up; the page names it." in ran.err
    text = (folder / "work" / "reconciliation" / f"{YEAR}.html").read_text(encoding="utf-8")
    assert "What differs" in text
    assert "reconciliation.identities_hold" in text
