"""The report of the year, the report to a district, and what is said of a year's population: figures are those of the tables.

Belongs here: that what people are sent or shown is right, whole and harmless. Does not belong here: the tables themselves.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
import yaml
from python_calamine import load_workbook
from whole_runs import ROOT, SAMPLE_YEAR, SampleRun, annual_billing, query

from pipelines.expectations import said_of_year
from pipelines.pages.figures import Read
from pipelines.pictures.charts import as_image, bars, heat_map, histogram, lines
from pipelines.pictures.of_year import PICTURES, charged, pictures_of
from pipelines.reports.district import ASKED_ABOUT
from pipelines.session import read_session
from validations.expectations import ExpectationLimits, said_of
from validations.workspace import Workspace

HOSTILE = '"><script>alert(1)</script>&<img src=x>'


class _Page(HTMLParser):
    """Tags with their attributes, and the cells of every row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data


def _sheets(path: Path) -> dict[str, list[list[object]]]:
    book = load_workbook(str(path))
    return {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}


@pytest.fixture(scope="module")
def page(sample: SampleRun, tmp_path_factory: pytest.TempPathFactory) -> _Page:
    to = tmp_path_factory.mktemp("report") / "year.html"
    ran = annual_billing("report", SAMPLE_YEAR, "--to", to, "--workspace", sample.folder)
    assert ran.code == 0, ran.err
    return _Page(to.read_text(encoding="utf-8"))


def test_the_report_of_the_year_has_the_figures_of_the_tables(page: _Page, sample: SampleRun) -> None:
    ((total,),) = query(
        sample.folder, f"SELECT sum(amount * bills_in_period) FROM bills WHERE billing_year = {SAMPLE_YEAR}"
    )
    by_charge = query(
        sample.folder,
        f"SELECT replace(charge_code, '_', ' '), sum(l.amount * b.bills_in_period) FROM bill_lines l JOIN bills b USING (billing_year, service_id, "
        f"period_start) WHERE billing_year = {SAMPLE_YEAR} GROUP BY 1",
    )
    rows = {row[0]: row[1:] for row in page.rows if len(row) == 4 and row[0] in dict(by_charge)}
    assert {name: Decimal(cells[0].replace(",", "")) for name, cells in rows.items()} == dict(by_charge)
    assert [f"{total:,.2f}" for row in page.rows if row[0] == "Bills of the year, $"] == [
        row[1] for row in page.rows if row[0] == "Bills of the year, $"
    ]
    ((refused,),) = query(sample.folder, f"SELECT count(*) FROM rejected_rows WHERE billing_year = {SAMPLE_YEAR}")
    reasons = [row for row in page.rows if len(row) == 4 and row[0] in ("refused", "duplicate", "set aside")]
    assert sum(int(row[3].replace(",", "")) for row in reasons) == refused


def test_the_report_of_the_year_needs_nothing_from_elsewhere(page: _Page) -> None:
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "image", "use", "style_"}
    addresses = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href")
    ]
    assert addresses == []
    assert sum(tag == "svg" for tag, _ in page.tags) >= 5


def test_a_district_is_sent_each_of_its_refused_rows_in_its_own_columns_and_nobody_elses(
    sample: SampleRun, tmp_path: Path
) -> None:
    for district, header in (("alder_creek", "Account No"), ("cinder_butte", "Account")):
        to = tmp_path / f"{district}.xlsx"
        ran = annual_billing("district-report", SAMPLE_YEAR, district, "--to", to, "--workspace", sample.folder)
        assert ran.code == 0, ran.err
        sheets = _sheets(to)
        listed = sheets["rows not counted"]
        columns, rows = listed[2], listed[3:]
        assert header in columns
        expected = query(
            sample.folder,
            f"SELECT DISTINCT source_file, source_row FROM rejected_rows WHERE billing_year = {SAMPLE_YEAR} AND district_id = '{district}' "
            "AND reason_kind IN ('refused', 'duplicate')",
        )
        assert {(row[0], int(str(row[1]).split(".")[0])) for row in rows} == set(expected)
        texts = dict(
            query(
                sample.folder,
                f"SELECT source_row, any_value(raw_text) FROM rejected_rows WHERE billing_year = {SAMPLE_YEAR} AND district_id = '{district}' GROUP BY 1",
            )
        )
        for row in rows:
            account = str(row[columns.index(header)])
            assert account, "its own account number"
            assert account in texts[int(str(row[1]).split(".")[0])]
        others = [
            name for name, *_ in query(sample.folder, "SELECT DISTINCT district_id FROM deliveries") if name != district
        ]
        everything = " ".join(str(cell) for sheet in sheets.values() for row in sheet for cell in row)
        assert not [name for name in others if name in everything]
        (total,) = query(
            sample.folder,
            f"SELECT sum(billed_volume), count(*) FROM consumption WHERE billing_year = {SAMPLE_YEAR} AND district_id = '{district}'",
        )
        volume = next(n for n, name in enumerate(sheets["totals"][2]) if str(name).startswith("volume taken"))
        assert round(sum(Decimal(str(row[volume])) for row in sheets["totals"][3:]), 3) == total[0]
        assert sum(int(str(row[3]).split(".")[0]) for row in sheets["totals"][3:]) == total[1]


def test_what_a_district_is_asked_about_is_found_by_a_rule() -> None:
    rules = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "validations" / "review").glob("*.py"))
    assert [rule for rule in ASKED_ABOUT if f'"{rule}"' not in rules] == []


def test_a_district_that_is_not_there_is_one_sentence(sample: SampleRun) -> None:
    ran = annual_billing("district-report", SAMPLE_YEAR, "nowhere", "--workspace", sample.folder)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "alder_creek" in ran.err


def test_every_picture_is_a_whole_drawing_with_its_title_and_its_figures_as_text(sample: SampleRun) -> None:
    with read_session(Workspace(sample.folder)) as session:
        for table in PICTURES:
            drawn = pictures_of(table, session, SAMPLE_YEAR)
            assert drawn, table
            for svg in drawn:
                root = ElementTree.fromstring(svg)
                assert root.findtext("{*}title")
                width = float(root.attrib["width"])
                texts = [t for t in root.iter() if t.tag.endswith("}text") and "transform" not in t.attrib]
                for text in texts:
                    long = 6.2 * len(text.text or "") * float(text.attrib.get("font-size", 12)) / 12
                    begin = {"start": 0.0, "middle": long / 2, "end": long}[text.attrib["text-anchor"]]
                    left = float(text.attrib["x"]) - begin
                    assert -6 < left < left + long < width + 6, f"cut: {text.text}"
        cents = charged(Read(session, SAMPLE_YEAR))
        svg = next(s for s in pictures_of("bill_lines", session, SAMPLE_YEAR))
        for charge, amount in cents.items():
            assert f"{charge.replace('_', ' ')}: ${Decimal(amount).scaleb(-2):,.2f}" in svg


def test_text_in_a_picture_is_text_whatever_it_says() -> None:
    for svg in (
        histogram(HOSTILE, HOSTILE, {HOSTILE: [(0, 1, 2)]}, HOSTILE, HOSTILE), bars(HOSTILE, HOSTILE, [(HOSTILE, 1)], {HOSTILE: 2}),
        heat_map(HOSTILE, HOSTILE, [HOSTILE], [HOSTILE], {(HOSTILE, HOSTILE): 1}), lines(HOSTILE, HOSTILE, [HOSTILE], {HOSTILE: [1, None]}),
    ):  # fmt: skip
        assert {element.tag.rsplit("}", 1)[1] for element in ElementTree.fromstring(svg).iter()} <= {
            "svg",
            "title",
            "text",
            "rect",
            "line",
            "circle",
        }
        assert re.fullmatch(r"!\[.*\]\(data:image/svg\+xml;base64,[A-Za-z0-9+/=]+\)", as_image(svg))
        assert "<script" not in as_image(svg)


def test_what_is_said_of_a_first_year_compares_nothing_and_names_the_district_beyond_a_limit(
    sample: SampleRun, tmp_path: Path
) -> None:
    folder = tmp_path / "ws"
    shutil.copytree(sample.folder, folder, symlinks=True)
    with read_session(Workspace(folder)) as session:
        for said in said_of_year(session, SAMPLE_YEAR):
            assert said.holds
            assert said.compared is not said.statement.against_last_year
    settings = yaml.safe_load((folder / "workspace.yaml").read_text(encoding="utf-8"))
    settings["expectations"] = {"without_history": "0.1", "refused_rows": "0.1"}
    (folder / "workspace.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    ran = annual_billing("expectations", SAMPLE_YEAR, "--workspace", folder, timeout=300)
    assert ran.code == 1
    beyond = query(
        folder,
        f"SELECT d.district_id, count(r.source_row) AS refused FROM (SELECT district_id, sum(records) AS records FROM delivery_totals "
        f"WHERE billing_year = {SAMPLE_YEAR} GROUP BY 1) d LEFT JOIN rejected_rows r ON r.district_id = d.district_id AND r.reason_kind = 'refused' "
        f"AND r.billing_year = {SAMPLE_YEAR} GROUP BY d.district_id, d.records HAVING 1000 * refused > d.records",
    )
    named = dict(re.findall(r"^  district (\w+), refused rows (\d+)", ran.out, re.M))
    assert {name: str(refused) for name, refused in beyond} == named != {}
    assert Counter(line.split(":")[0] for line in ran.out.splitlines())["NOT SO"] == 2


def test_what_is_said_of_a_year_names_what_moved_further_than_its_limit() -> None:
    year = {
        "services_of_last_percent": 94.9, "median_of_last_percent": 115.0, "bills_of_last_percent": 115.1, "without_history_percent": 5.0,
        "held_percent": 1.1,
    }  # fmt: skip
    tables = {
        "year": pd.DataFrame([year]),
        "classes": pd.DataFrame([{"class": "single_family", "points_moved": -3.1}, {"class": "commercial", "points_moved": 3.0}]),
        "districts": pd.DataFrame([{"district": "near", "refused_percent": 2.0}, {"district": "far", "refused_percent": 2.1}]),
    }  # fmt: skip
    found = {one.statement.name: one for one in said_of(ExpectationLimits(), tables, was_run_before=True)}
    assert {name for name, one in found.items() if not one.holds} == {
        "services_as_many_as_last_year", "bills_as_last_year", "classes_as_last_year", "few_held", "few_refused_rows",
    }  # fmt: skip
    assert [row["class"] for row in found["classes_as_last_year"].rows] == ["single_family"]
    assert [row["district"] for row in found["few_refused_rows"].rows] == ["far"]
