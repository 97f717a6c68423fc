"""Readers: numbered lines, fields, sheets; what a damaged line costs, and when a whole file cannot be read.

Belongs here: from a file to rows of text. Does not belong here: dates, volumes, duplicates (``test_consumption``).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from front_door_helpers import (
    READINGS,
    READINGS_HEADER,
    USAGE,
    USAGE_HEADER,
    WIDE,
    entry_of,
    rows_of,
    rows_of_layout,
    sheet_of,
    take_in,
    workbook_of,
)

from assets.readers import lines as lines_module
from assets.readers.lines import NEVER_IN_TEXT, forget_lines, read_lines
from assets.readers.sheet import Sheet, UnreadableFile

GOOD = "A1,M1,2017-11-01,2017-12-01,5.25,A"


def lines_of(con: Any, folder: Path, content: bytes, encoding: str = "utf-8") -> list[tuple[int, str]]:
    path = folder / "lines"
    path.write_bytes(content)
    rows = rows_of(con, read_lines(con, path, encoding, folder / "scratch").table, "source_row")
    return [(row["source_row"], row["raw_text"]) for row in rows]


def fields_of(con: Any, sheet: Sheet) -> dict[int, list[str] | None]:
    return {row["source_row"]: row["fields"] for row in rows_of(con, sheet.rows)}


def problems_of(con: Any, sheet: Sheet) -> dict[int, str | None]:
    return {row["source_row"]: row["problem"] for row in rows_of(con, sheet.rows)}


# Lines


@pytest.mark.parametrize(
    "content",
    [
        b"a\nb\n\nc\n",
        b"a\r\nb\r\n\r\nc\r\n",
        b"\n\na\n",
        b"a\n\n\n",
        b"a\nb",
        b"a\r\nb\nc\r\nd",
        b"a\nb\r\nc\r\nd\n",
        b"a\rb\rc",
        b"a\r\nb\rc\r\nd",
        b"a\r\r\nb\r",
        b"\xef\xbb\xbfa\nb",
        b'"a\nb"\n\\"c\n',
        b"a\x0bb\x0cc\nd\n",
        "a\u0085b\u2028c\nd\n".encode(),
        b'# a\nNULL\n""\n  \n',
    ],
)
def test_lines_are_numbered_as_an_editor_shows_them(con: Any, tmp_path: Path, content: bytes) -> None:
    shown = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    assert lines_of(con, tmp_path, content) == list(enumerate(shown, start=1))


def test_mixed_line_ends_keep_their_numbers_in_a_file_read_by_several_threads(con: Any, tmp_path: Path) -> None:
    count = 600_000
    content = b"".join(b"%07d padding so that several buffers are filled%s" % (i, b"\r\n" if i % 3 else b"\n")
                       for i in range(count))  # fmt: skip
    path = tmp_path / "large"
    path.write_bytes(content)
    lines = read_lines(con, path, "utf-8", tmp_path / "scratch").table
    shifted = (lines.raw_text.left(7).try_cast("int64") + 1 == lines.source_row).ifelse(0, 1).sum()
    found = con.to_pyarrow(lines.agg(rows=lines.count(), shifted=shifted)).to_pylist()[0]
    assert found == {"rows": count, "shifted": 0}


@pytest.mark.parametrize("offset", range(-4, 2))
def test_a_line_end_or_character_cut_by_a_chunk_is_whole_again(
    con: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    monkeypatch.setattr(lines_module, "_CHUNK_BYTES", 16)
    text = "x" * (16 + offset) + "é\r\ny" + NEVER_IN_TEXT + "z\rü\n"
    for encoding in ("utf-8", "utf-16"):
        numbered = lines_of(con, tmp_path, text.encode(encoding), encoding)
        assert [line for _, line in numbered][::2] == ["x" * (16 + offset) + "é", "ü"], encoding
        assert len(numbered[1][1]) == 6, encoding


@pytest.mark.parametrize(
    "place",
    ["A{}1,M1,2017-11-01,2017-12-01,5,A", "A1,M1,2017-11-01,2017-12-01,5,A{}", "{}A1,M1,2017-11-01,2017-12-01,5,A"],
)
def test_a_control_character_costs_its_own_line_and_cuts_nothing(con: Any, tmp_path: Path, place: str) -> None:
    whole = NEVER_IN_TEXT
    for damages in ([*whole, whole[:3], "\0", "\x1a", "\x7f"], [whole, whole[0] + whole, whole * 2, whole[0]]):
        damaged = [place.format(damage) for damage in damages]
        content = "\n".join(
            [USAGE_HEADER, *(f"{line}\n{GOOD.replace('A1', f'G{n}')}" for n, line in enumerate(damaged))]
        )
        taken = take_in(con, tmp_path, entry_of(USAGE), content)
        rows = range(2, 2 * len(damages) + 2, 2)
        assert taken.reasons == dict.fromkeys(rows, "control_character")
        assert taken.volumes == {row + 1: 5_250 for row in rows}
        for row, line in zip(taken.rejected, damaged, strict=True):
            shown = ["?" if c in whole else c for c in row["raw_text"]]
            assert shown == ["?" if c in whole else c for c in line]


@pytest.mark.parametrize("column", ["acct", "meter"])
def test_a_tab_inside_an_identifier_is_a_control_character(con: Any, tmp_path: Path, column: str) -> None:
    line = GOOD.replace("A1" if column == "acct" else "M1", "X\t1")
    assert take_in(con, tmp_path, entry_of(USAGE), f"{USAGE_HEADER}\n{line}\n").reasons == {2: "control_character"}


# Delimited


def test_quoted_fields_may_hold_the_delimiter_and_doubled_quotes(con: Any, tmp_path: Path) -> None:
    content = 'a,b,c\n"1,2","say ""yes""",\n,"",""""\nplain,"x",y\n'
    sheet = sheet_of(con, tmp_path, content, entry_of(WIDE, columns={"account": "a"}))
    assert fields_of(con, sheet) == {2: ["1,2", 'say "yes"', ""], 3: ["", "", '"'], 4: ["plain", "x", "y"]}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^", "]"])
def test_any_delimiter_splits_the_same_with_and_without_quotes(con: Any, tmp_path: Path, delimiter: str) -> None:
    content = f'a,b,c\n1,,3\n"1",,"3"\n"x{delimiter}y",2,\n'.replace(",", delimiter)
    entry = entry_of(WIDE, columns={"account": "a"}, layout={"delimiter": delimiter})
    sheet = sheet_of(con, tmp_path, content, entry)
    assert sheet.header == ["a", "b", "c"]
    assert fields_of(con, sheet) == {2: ["1", "", "3"], 3: ["1", "", "3"], 4: [f"x{delimiter}y", "2", ""]}


def test_a_quoted_delimiter_stays_in_its_field_beside_any_other_character(con: Any, tmp_path: Path) -> None:
    content = 'a,b,c\n"1,2",x\x1fy,z\n"x\x1f1,2",",",z\n"1,2",",3,",z\n'
    sheet = sheet_of(con, tmp_path, content, entry_of(USAGE))
    assert fields_of(con, sheet) == {2: ["1,2", "x\x1fy", "z"], 3: ["x\x1f1,2", ",", "z"], 4: ["1,2", ",3,", "z"]}


def test_blanks_around_a_field_are_no_part_of_it_whatever_else_the_file_holds(con: Any, tmp_path: Path) -> None:
    padded = [" A1,M1 , 2017-11-01,2017-12-01,5.25 ,A", "\tA1,M1\t,2017-11-01 ,2017-12-01, 5.25,A\t"]
    for lines in (padded[:1], padded[1:], padded):
        others = [GOOD.replace("A1", f"G{n}") for n in range(2)]
        content = "\n".join([USAGE_HEADER, *others, *(line.replace("A1", f"A{n}") for n, line in enumerate(lines))])
        taken = take_in(con, tmp_path, entry_of(USAGE), content)
        assert not taken.rejected
        found = [(row["district_account"], row["meter_id"]) for row in taken.consumption]
        assert found == [("G0", "M1"), ("G1", "M1"), *((f"A{n}", "M1") for n in range(len(lines)))]
        assert set(taken.volumes.values()) == {5_250}


@pytest.mark.parametrize("broken", ['"1,2,3', '1,2"2,3', '1,2,3"', '"1"x,2,3', '1,"2,3', '""",2,3'])
def test_a_stray_quote_costs_only_its_own_line(con: Any, tmp_path: Path, broken: str) -> None:
    sheet = sheet_of(con, tmp_path, f"a,b,c\n1,2,3\n{broken}\n4,5,6\n7,8,9", entry_of(WIDE, columns={"account": "a"}))
    assert problems_of(con, sheet) == {2: None, 3: "stray_quote", 4: None, 5: None}
    assert {n: raw["raw_text"] for n, raw in enumerate(rows_of(con, sheet.rows, "source_row"), 2)}[3] == broken


def test_a_line_with_too_few_or_too_many_fields_is_told_by_its_number(con: Any, tmp_path: Path) -> None:
    sheet = sheet_of(con, tmp_path, 'a,b\n1,2\n1\n\n1,2,3\n"1,2"\n1,2\n', entry_of(WIDE, columns={"account": "a"}))
    assert problems_of(con, sheet) == {2: None, 3: "field_count", 5: "field_count", 6: "field_count", 7: None}
    assert (sheet.rows_in_file, rows_of_layout(con, sheet)) == (7, 2)


@pytest.mark.parametrize(
    ("encoding", "announced"),
    [("cp1252", "cp1252"), ("latin-1", "latin-1"), ("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16")],
)
def test_text_comes_through_every_announced_encoding(con: Any, tmp_path: Path, encoding: str, announced: str) -> None:
    content = f"Größe,meter,from,to,use,type\r\nÆ1,Mø,2017-11-01,2017-12-01,5,A\r\n{GOOD}\r\n".encode(encoding)
    entry = entry_of(USAGE, layout={"encoding": announced}, columns={"account": "Größe"})
    taken = take_in(con, tmp_path, entry, content)
    assert [(r["source_row"], r["district_account"], r["meter_id"]) for r in taken.consumption] == [
        (2, "Æ1", "Mø"), (3, "A1", "M1"),
    ]  # fmt: skip
    assert list((tmp_path / "scratch").glob("*")) == []


def test_columns_by_position_need_no_header(con: Any, tmp_path: Path) -> None:
    columns = {"account": {"position": 2}, "meter": {"position": 1}, "period_start": {"position": 3},
               "period_end": {"position": 4}, "volume": {"position": 5}, "read_type": {"position": 6}}  # fmt: skip
    taken = take_in(con, tmp_path, entry_of(USAGE, columns=columns, layout={"header_row": 0}), f"\ufeff{GOOD}\nA2\n")
    assert [(r["source_row"], r["district_account"], r["meter_id"]) for r in taken.consumption] == [(1, "M1", "A1")]
    assert taken.reasons == {2: "account_missing"}


def _zip_bytes(folder: Path) -> bytes:
    return workbook_of(folder / "book.xlsx", [["acct", "Nov 2017"], ["A1", 5]])


def _spoiled_workbook(folder: Path) -> bytes:
    """A workbook whose list of parts is whole and whose parts are not."""
    content = bytearray(_zip_bytes(folder))
    content[40:400] = bytes(360)
    return bytes(content)


@pytest.mark.parametrize(
    ("layout", "content", "sentence"),
    [
        ({}, b"", "the file is empty"),
        ({}, b"\xef\xbb\xbf", "the file is empty"),
        ({}, b"\n\nacct\n", "line 1 should hold the column names"),
        ({"header_row": 9}, f"{USAGE_HEADER}\n{GOOD}\n".encode(), "line 9 should hold the column names"),
        ({}, f"{USAGE_HEADER}\nÆ1,M1,2017-11-01,2017-12-01,5,A\n".encode("cp1252"), "announced encoding utf-8"),
        ({}, f"{USAGE_HEADER}\n{GOOD}\n".encode("utf-16"), "announced encoding utf-8"),
        ({"encoding": "utf-16"}, f"{USAGE_HEADER}\n{GOOD}\n".encode(), "announced encoding utf-16"),
        ({"encoding": "utf-16"}, f"{USAGE_HEADER}\n{GOOD}\n".encode("utf-16")[:-1], "announced encoding utf-16"),
        ({"encoding": "cp1252"}, b"acct\x81\n", "announced encoding cp1252"),
        ({}, USAGE_HEADER.replace("use", "usage").encode(), "the header lacks the column 'use'; it has: acct, meter"),
        ({}, f"{USAGE_HEADER},use\n{GOOD},5\n".encode(), "the column 'use' 2 times"),
        ({}, b"acct," + b"x" * 200_000 + b"\n", "line 1 does not hold column names"),
        ({}, USAGE_HEADER.encode() + b"\n" + b"x" * 2_100_000 + b"\n", "longer than 2,000,000"),
        ({}, _zip_bytes, "the file is a workbook; announced is text (delimited)"),
        ({"encoding": "latin-1"}, b"%PDF-1.7\n", "the file is a PDF document; announced is text (delimited)"),
        ({}, b"\x1f\x8b\x08", "the file is a compressed file (.gz)"),
        ({"kind": "workbook"}, f"{USAGE_HEADER}\n{GOOD}\n".encode(), "the file is text; announced is a workbook"),
        ({"kind": "workbook"}, b"", "the file is text; announced is a workbook"),
        ({"kind": "workbook"}, b"PK\x03\x04" + b"\0" * 100, "the file is a damaged workbook or zip archive"),
        (
            {"kind": "workbook"},
            lambda folder: _zip_bytes(folder)[:-300],
            "the file is a damaged workbook or zip archive",
        ),
        ({"kind": "workbook"}, _spoiled_workbook, "not a workbook that can be read"),
        ({"kind": "workbook", "sheet": "Use"}, _zip_bytes, "no sheet 'Use'; it has: Consumption"),
        ({"kind": "workbook", "header_row": 7}, _zip_bytes, "row 7 should hold the column names"),
        ({"kind": "workbook", "header_row": 2}, _zip_bytes, "the header lacks the column 'acct'"),
    ],
)
def test_a_file_without_the_announced_layout_is_one_sentence_for_the_district(
    con: Any, tmp_path: Path, layout: dict[str, Any], content: Any, sentence: str
) -> None:
    layout = layout if "kind" in layout else {"kind": "delimited", **layout}
    entry = entry_of({**USAGE, "layout": layout})
    with pytest.raises(UnreadableFile) as caught:
        take_in(con, tmp_path, entry, content(tmp_path) if callable(content) else content)
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 500
    assert not list((tmp_path / "scratch").glob("*"))


# Fixed width


def _fixed(account: str, start: str, end: str, volume: str, read_type: str = "ACT", meter: str = "M1") -> str:
    return f"D{account:<10}{meter:<12}{start}{end}{volume}{read_type}"


def test_fixed_width_lines_that_are_no_record_are_told_apart(con: Any, tmp_path: Path) -> None:
    good = _fixed("A1", "20171101", "20171231", "0000000525")
    content = "\n".join([good, "", good[:-1], good + " ", "X" + good[1:], "  ", good.replace("A1", "A2"), "T0000000"])
    sheet = sheet_of(con, tmp_path, content, entry_of("dunmore"))
    assert problems_of(con, sheet) == {
        1: None, 3: "record_length", 4: "record_length", 5: "record_kind_unknown", 7: None,
    }  # fmt: skip
    assert (sheet.rows_in_file, rows_of_layout(con, sheet)) == (8, 3)
    assert fields_of(con, sheet)[7] == ["A2".ljust(10), "M1".ljust(12), "20171101", "20171231", "0000000525", "ACT"]


def test_fixed_width_fields_are_counted_in_characters_and_the_trailer_states_totals(con: Any, tmp_path: Path) -> None:
    content = _fixed("Æ1", "20171101", "20171231", "0000000525") + "\r\nT000000001" + "00000000000525" + "\r\n"
    for encoding in ("utf-8", "utf-8-sig", "cp1252"):
        announced = "utf-8" if encoding == "utf-8-sig" else encoding
        entry = entry_of("dunmore", layout={"encoding": announced})
        taken = take_in(con, tmp_path, entry, content.encode(encoding))
        assert [(r["district_account"], r["billed_volume_thousandths"]) for r in taken.consumption] == [("Æ1", 5_250)]
        assert taken.sheets[0].control_records == "000000001"
        assert taken.sheets[0].control_quantity == ["00000000000525"]


@pytest.mark.parametrize("trailers", [0, 2])
def test_a_missing_or_doubled_trailer_makes_the_file_unreadable(con: Any, tmp_path: Path, trailers: int) -> None:
    content = _fixed("A1", "20171101", "20171231", "0000000525") + "\n" + "T000000001\n" * trailers
    with pytest.raises(UnreadableFile, match=f"one trailer record .* has {trailers}; is it cut off"):
        sheet_of(con, tmp_path, content, entry_of("dunmore"))


# Workbooks


def test_a_workbook_with_title_blanks_and_totals_gives_its_records_and_no_others(con: Any, tmp_path: Path) -> None:
    cells: list[list[Any]] = [
        ["Consumption history"], [None], ["as of", dt.date(2018, 5, 1)], [],
        ["Account", "Nov 2017", "Dec 2017", "Note"],
        [1234, 0.1, 3, "=1+1"],
        [None, None, None, None],
        ["0000777", 1234567.125, None, None],
        ["TOTAL", 1234570.225, 3, None],
        [9999999, 12.3456, -1, None],
        ["=SUM(A1)", 5, 6, None],
    ]  # fmt: skip
    taken = take_in(con, tmp_path, entry_of("cinder_butte"), workbook_of(tmp_path / "book.xlsx", cells))
    volumes = {
        (r["source_row"], r["source_column"], r["district_account"]): r["delivered_quantity_thousandths"]
        for r in taken.consumption
    }
    assert volumes == {
        (6, "Nov 2017", "0001234"): 100, (6, "Dec 2017", "0001234"): 3_000, (8, "Nov 2017", "0000777"): 1_234_567_125,
    }  # fmt: skip
    assert {(r["source_row"], r["source_column"]): r["reason_code"] for r in taken.rejected} == {
        (8, "Dec 2017"): "empty_month",
        (10, "Nov 2017"): "volume_too_precise", (10, "Dec 2017"): "volume_negative",
        (11, "Nov 2017"): "account_is_formula", (11, "Dec 2017"): "account_is_formula",
    }  # fmt: skip
    sheet = taken.sheets[0]
    assert (sheet.rows_in_file, rows_of_layout(con, sheet)) == (11, 7)
    assert sheet.control_quantity is not None
    assert sheet.control_quantity[:2] == ["1234570.225", "3"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (1e-7, "0.0000001"), (3.0, "3"), (2.0**53 - 1, "9007199254740991"), (12345678.125, "12345678.125"),
     (-0.25, "-0.25"), (True, "TRUE"), (dt.date(2018, 2, 1), "02/01/2018"), (" x ", "x"), ("007", "007")],
)  # fmt: skip
def test_a_cell_becomes_its_shortest_exact_text(con: Any, tmp_path: Path, value: Any, text: str) -> None:
    book = workbook_of(tmp_path / "book.xlsx", [["acct", "v"], ["A", value]])
    if isinstance(value, dt.date):
        book = _dated_workbook(tmp_path / "dated.xlsx", value)
    entry = entry_of({**WIDE, "layout": {"kind": "workbook"}}, date_format="%m/%d/%Y")
    assert fields_of(con, sheet_of(con, tmp_path, book, entry)) == {2: ["A", text]}


def _dated_workbook(path: Path, day: dt.date) -> bytes:
    with xlsxwriter.Workbook(str(path)) as book:
        page = book.add_worksheet()
        page.write_row(0, 0, ["acct", "v"])
        page.write(1, 0, "A")
        page.write_datetime(1, 1, dt.datetime.combine(day, dt.time()), book.add_format({"num_format": "mm/dd/yyyy"}))
    return path.read_bytes()


def test_a_workbook_of_a_district_with_decimal_commas_has_its_numbers_and_its_text_alike(
    con: Any, tmp_path: Path
) -> None:
    book = workbook_of(tmp_path / "book.xlsx", [["acct", "Nov 2017"], ["A", 1.5], ["B", "1,5"], ["C", "1.500"]])
    entry = entry_of({**WIDE, "layout": {"kind": "workbook"}}, volume={"decimal_mark": ","})
    taken = take_in(con, tmp_path, entry, book)
    assert taken.volumes == {2: 1_500, 3: 1_500}
    assert taken.reasons == {4: "volume_unreadable"}


def test_an_account_column_beyond_the_workbook_is_a_sentence(con: Any, tmp_path: Path) -> None:
    book = workbook_of(tmp_path / "book.xlsx", [["acct", "Nov 2017"], ["A", 1.5]])
    entry = entry_of({**WIDE, "layout": {"kind": "workbook"}, "columns": {"account": {"position": 9}}})
    with pytest.raises(UnreadableFile, match="column 9"):
        sheet_of(con, tmp_path, book, entry)


def test_a_field_shorter_than_its_place_is_missing_and_not_another_field(con: Any, tmp_path: Path) -> None:
    columns = {
        "account": "acct",
        "meter": "meter",
        "read_date": "day",
        "reading": "reading",
        "read_type": {"position": 9},
    }
    taken = take_in(con, tmp_path, entry_of(READINGS, columns=columns), f"{READINGS_HEADER}\nA1,M1,2017-11-01,5,A\n")
    assert taken.reasons == {2: "opening_reading"}


def test_the_lines_of_a_file_are_freed_once_they_are_forgotten(con: Any, tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("a\nb\n", encoding="utf-8")
    read_lines(con, path, "utf-8", tmp_path)
    temporary = "SELECT count(*) FROM duckdb_tables() WHERE temporary AND starts_with(table_name, 'lines_')"
    (before,) = con.raw_sql(temporary).fetchone()
    forget_lines(con)
    (after,) = con.raw_sql(temporary).fetchone()
    assert (before > 0, after) == (True, 0)
