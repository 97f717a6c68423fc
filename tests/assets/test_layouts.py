"""What a district's entry can say of a layout, and that the front door reads it so.

Belongs here: one small file for each thing an entry can say. Does not belong here: refusals (``test_consumption``), whole
files of the sample (``test_story``, ``test_independent_rating``).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import ibis
import pytest
from front_door_helpers import (
    READINGS,
    READINGS_HEADER,
    USAGE,
    USAGE_HEADER,
    WIDE,
    entry_of,
    rows_of,
    rows_of_layout,
    take_in,
    workbook_of,
    year_2018,
)

from assets.front_door import DeliveredFile, FrontDoor
from assets.records.account_numbers import account_number
from validations.district import AccountNumbers, District
from validations.workspace import Workspace

USE = {"account": "acct", "period_start": "from", "period_end": "to", "volume": "use"}
GOOD = "A1,M1,2017-11-01,2017-12-01,5.25,A"


def through_the_door(con: Any, folder: Path, entry: District, **files: str | bytes) -> FrontDoor:
    """A delivery of several files, read as a run reads it."""
    delivered = []
    for name, content in files.items():
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        delivered.append(DeliveredFile(name, f"hash of {name}", path))
    return FrontDoor(con, entry, year_2018(), delivered, folder / "scratch")


# Header


def test_names_on_two_lines_are_joined_and_a_merged_upper_cell_serves_those_to_its_right(
    con: Any, tmp_path: Path
) -> None:
    columns = {"account": "Acct", "period_start": "Service From", "period_end": "Service To", "volume": "Usage Billed"}
    content = ",Service,,Usage,\nAcct,From,To,Read,Billed\nA1,2017-11-01,2017-12-01,9,5.25\n"
    entry = entry_of({**USAGE, "columns": columns}, layout={"header_lines": 2, "header_repeats": True})
    taken = take_in(con, tmp_path, entry, content)
    assert taken.volumes == {3: 5_250}
    assert rows_of_layout(con, taken.sheets[0]) == 2


def test_names_on_two_rows_of_a_workbook_and_months_that_are_dates(con: Any, tmp_path: Path) -> None:
    book = workbook_of(
        tmp_path / "book.xlsx", [["Account", "Use"], ["number", "in January"], ["A1", 5]], sheet="Consumption"
    )
    entry = entry_of(
        {**USAGE, "columns": {"account": "Account number", "volume": "Use in January", "bill_month": {"position": 3}}},
        layout={"kind": "workbook", "header_lines": 2},
        bill_month={"format": "%Y-%m", "months": 1},
    )
    with_month = workbook_of(
        tmp_path / "book2.xlsx",
        [["Account", "Use", "Month"], ["number", "in January", ""], ["A1", 5, "2018-01"], ["A2", 6, "2018-02"]],
    )
    assert take_in(con, tmp_path, entry, with_month).volumes == {3: 5_000, 4: 6_000}
    assert book


def test_months_of_a_workbook_may_be_real_dates(con: Any, tmp_path: Path) -> None:
    import xlsxwriter

    path = tmp_path / "dated.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        page, shape = book.add_worksheet(), book.add_format({"num_format": "mmm yyyy"})
        page.write(0, 0, "acct")
        page.write_datetime(0, 1, dt.datetime(2017, 11, 1), shape)
        page.write_row(1, 0, ["A1", 7])
    taken = take_in(con, tmp_path, entry_of({**WIDE, "layout": {"kind": "workbook"}}), path.read_bytes())
    assert [(r["period_start"], r["period_end"], r["billed_volume_thousandths"]) for r in taken.consumption] == [
        (dt.date(2017, 11, 1), dt.date(2017, 12, 1), 7_000)
    ]


# Lines and fields


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(con: Any, tmp_path: Path, encoding: str) -> None:
    entry = entry_of(USAGE, layout={"encoding": encoding.removesuffix("-sig")})
    taken = take_in(con, tmp_path, entry, f"{USAGE_HEADER}\n{GOOD}\n".encode(encoding))
    assert taken.volumes == {2: 5_250}


def test_a_quoted_field_may_go_on_in_the_next_lines_where_the_entry_says_so(con: Any, tmp_path: Path) -> None:
    noted = {**USAGE, "columns": {**USAGE["columns"]}}
    header = f"{USAGE_HEADER},note"
    lines = [header, f'{GOOD},"gate locked,', "", 'call first; ""dog"""', f'{GOOD.replace("A1", "A2")},"x"']
    content = "\n".join(lines) + "\n"
    entry = entry_of(noted, layout={"line_breaks_in_quotes": True})
    taken = take_in(con, tmp_path, entry, content)
    assert taken.volumes == {2: 5_250, 5: 5_250}
    assert (taken.sheets[0].rows_in_file, rows_of_layout(con, taken.sheets[0])) == (5, 3)
    refused = take_in(con, tmp_path, entry_of(noted), content)
    assert (refused.volumes, refused.reasons) == ({5: 5_250}, {2: "stray_quote", 4: "stray_quote"})


def test_a_stray_quote_costs_its_own_line_even_where_fields_may_go_on(con: Any, tmp_path: Path) -> None:
    goods = [f"A{n},M1,2017-11-01,2017-12-01,{n},A" for n in range(1, 6)]
    lines = [USAGE_HEADER, goods[0], '"A9,M1,2017-11-01,2017-12-01,5,A', goods[1], '"A8', "x" * 30, goods[2]]
    entry = entry_of(USAGE, layout={"line_breaks_in_quotes": True})
    taken = take_in(con, tmp_path, entry, "\n".join(lines))
    assert taken.volumes == {2: 1_000, 4: 2_000, 7: 3_000}
    assert taken.reasons == {3: "stray_quote", 5: "stray_quote", 6: "field_count"}


def test_quotation_marks_may_be_plain_text(con: Any, tmp_path: Path) -> None:
    columns = {**USAGE["columns"], "meter": "size"}
    content = 'acct,size,from,to,use,type\nA1,5/8",2017-11-01,2017-12-01,5,A\n'
    taken = take_in(con, tmp_path, entry_of({**USAGE, "columns": columns}, layout={"quotes": "none"}), content)
    assert [row["meter_id"] for row in taken.consumption] == ['5/8"']


def test_a_last_line_without_a_line_end_is_taken_for_cut_off_unless_the_entry_knows_better(
    con: Any, tmp_path: Path
) -> None:
    content = f"{USAGE_HEADER}\n{GOOD}\nA2,M1,2017-11-01,2017-12-01,12,A".encode()
    taken = take_in(con, tmp_path, entry_of(USAGE), content)
    assert (taken.volumes, taken.reasons) == ({2: 5_250}, {3: "line_cut_off"})
    usual = entry_of(USAGE, layout={"final_line_end": "optional"})
    assert take_in(con, tmp_path, usual, content).volumes == {2: 5_250, 3: 12_000}
    wide_chars = entry_of(USAGE, layout={"encoding": "utf-16"})
    assert take_in(con, tmp_path, wide_chars, content.decode().encode("utf-16")).reasons == {3: "line_cut_off"}
    assert take_in(con, tmp_path, wide_chars, (content.decode() + "\r\n").encode("utf-16")).reasons == {}


def test_typed_records_of_delimited_text_and_their_control_totals(con: Any, tmp_path: Path) -> None:
    places = {"account": 2, "period_start": 3, "period_end": 4, "volume": 5}
    entry = entry_of(
        {**USAGE, "columns": {name: {"position": place} for name, place in places.items()}},
        layout={"delimiter": "|", "header_row": 0, "record_prefix": "D|", "other_records": ["H|", "C|"]},
        trailer={"prefix": "T|", "count": {"position": 2}, "total": {"position": 3}},
    )
    content = "H|2018\nD|A1|2017-11-01|2017-12-01|5.25\nC|route 7\nX|?\nT|2|5.25\n"
    taken = take_in(con, tmp_path, entry, content)
    assert (taken.volumes, taken.reasons) == ({2: 5_250}, {4: "record_kind_unknown"})
    sheet = taken.sheets[0]
    assert (rows_of_layout(con, sheet), sheet.control_records, sheet.control_quantity) == (3, "2", ["5.25"])


# Periods


def test_a_period_is_given_as_read_date_and_days(con: Any, tmp_path: Path) -> None:
    columns = {"account": "acct", "read_date": "read", "days": "n", "volume": "use"}
    taken = take_in(con, tmp_path, entry_of({**USAGE, "columns": columns}), "acct,read,n,use\nA1,2018-01-15,31,5\n")
    assert [(r["period_start"], r["period_end"], r["days"]) for r in taken.consumption] == [
        (dt.date(2017, 12, 15), dt.date(2018, 1, 15), 31)
    ]


@pytest.mark.parametrize(
    ("rule", "month", "start", "end"),
    [
        ({"format": "%m/%Y", "months": 1}, "01/2018", (2018, 1, 1), (2018, 2, 1)),
        ({"format": "%b %Y", "months": 2}, "Jan 2018", (2017, 12, 1), (2018, 2, 1)),
        ({"format": "%Y%m", "months": 3, "names": "month_after"}, "201804", (2018, 1, 1), (2018, 4, 1)),
        ({"format": "%Y-%m-%d", "months": 2}, "2018-03-19", (2018, 2, 1), (2018, 4, 1)),
    ],
)
def test_a_period_is_given_as_the_month_of_its_bill(
    con: Any, tmp_path: Path, rule: dict[str, Any], month: str, start: tuple[int, int, int], end: tuple[int, int, int]
) -> None:
    columns = {"account": "acct", "bill_month": "month", "volume": "use"}
    entry = entry_of({**USAGE, "columns": columns, "bill_month": rule})
    taken = take_in(con, tmp_path, entry, f"acct,month,use\nA1,{month},5\nA2,13/99,5\n")
    assert [(r["period_start"], r["period_end"]) for r in taken.consumption] == [(dt.date(*start), dt.date(*end))]
    assert taken.reasons == {3: "date_unreadable"}


def test_dates_with_day_and_month_exchanged_make_the_whole_file_unreadable(con: Any, tmp_path: Path) -> None:
    days = [(f"{d:02d}/11/2017", f"{d:02d}/12/2017") for d in (3, 5, 9, 14, 20, 25)]
    lines = [f"A{n},M1,{start},{end},5,A" for n, (start, end) in enumerate(days)]
    content = "\n".join([USAGE_HEADER, *lines]) + "\n"
    door = through_the_door(con, tmp_path, entry_of(USAGE, date_format="%m/%d/%Y"), history=content)
    assert rows_of(con, door["consumption"]) == []
    (fact,) = rows_of(con, door["delivery_totals"])
    assert fact["message"] == (
        "3 records have dates that cannot be read as %m/%d/%Y and can as %d/%m/%Y: day and month are exchanged"
    )
    right = through_the_door(con, tmp_path, entry_of(USAGE, date_format="%d/%m/%Y"), history=content)
    assert len(rows_of(con, right["consumption"])) == 6
    impossible = content.replace("14/11/2017", "11/31/2017").replace("20/11/2017", "13/45/2017")
    door = through_the_door(con, tmp_path, entry_of(USAGE, date_format="%d/%m/%Y"), history=impossible)
    assert len(rows_of(con, door["rejected_rows"])) == 2


# Volumes


@pytest.mark.parametrize(
    ("volume", "text", "thousandths"),
    [
        ({"thousands_mark": ","}, "1,234,567.5", 1_234_567_500),
        ({"thousands_mark": ","}, "1234.5", 1_234_500),
        ({"thousands_mark": ","}, "12,34", "volume_unreadable"),
        ({"thousands_mark": ".", "decimal_mark": ","}, "1.234,5", 1_234_500),
        ({"thousands_mark": ".", "decimal_mark": ","}, "1.23", "volume_unreadable"),
        ({"thousands_mark": " "}, "1 234", 1_234_000),
        ({"thousands_mark": "'"}, "1'234", 1_234_000),
        ({"minus": "after", "negative": "credit"}, "12.5-", -12_500),
        ({"minus": "parentheses", "negative": "credit"}, "(12.5)", -12_500),
        ({"minus": "parentheses", "thousands_mark": ",", "negative": "credit"}, "(1,012.5)", -1_012_500),
        ({"minus": "parentheses"}, "(12.5)", "volume_negative"),
        ({"minus": "after", "negative": "credit"}, "12-5", "volume_unreadable"),
        ({"minus": "after", "negative": "credit"}, "-12-", "volume_unreadable"),
    ],
)
def test_numbers_are_read_in_the_announced_notation_and_no_other(
    con: Any, tmp_path: Path, volume: dict[str, Any], text: str, thousandths: int | str
) -> None:
    taken = take_in(
        con, tmp_path, entry_of(USAGE, volume=volume), f'{USAGE_HEADER}\nA1,M1,2017-11-01,2017-12-01,"{text}",A\n'
    )
    assert (taken.volumes or taken.reasons) == {2: thousandths}


def test_a_multiplier_multiplies_what_is_billed_and_registered_and_not_what_was_delivered(
    con: Any, tmp_path: Path
) -> None:
    columns = {**USAGE["columns"], "registered_volume": "reg", "multiplier": "x"}
    lines = ["A1,M1,2017-11-01,2017-12-01,5.25,A,4,10", "A2,M1,2017-11-01,2017-12-01,-3,A,0,2.5"]
    entry = entry_of({**USAGE, "columns": columns}, volume={"negative": "credit"})
    taken = take_in(con, tmp_path, entry, "\n".join([f"{USAGE_HEADER},reg,x", *lines]))
    assert [
        (r["billed_volume_thousandths"], r["registered_volume_thousandths"], r["delivered_quantity_thousandths"])
        for r in taken.consumption
    ] == [(52_500, 40_000, 5_250), (-7_500, 0, -3_000)]


def test_use_between_readings_is_multiplied_once(con: Any, tmp_path: Path) -> None:
    entry = entry_of({**READINGS, "columns": {**READINGS["columns"], "multiplier": "x"}})
    lines = ["A1,M1,2017-11-01,99990,A,10", "A1,M1,2018-01-01,10,A,10", "A1,M1,2018-03-01,15,A,10"]
    taken = take_in(con, tmp_path, entry, "\n".join([f"{READINGS_HEADER},x", *lines]))
    assert taken.volumes == {3: 200_000, 4: 50_000}
    assert taken.reasons == {2: "opening_reading"}


# Compound meters


def test_two_registers_in_columns_are_two_records_of_one_meter_and_period(con: Any, tmp_path: Path) -> None:
    entry = entry_of({**USAGE, "columns": {**USAGE["columns"], "volume": ["high", "low"]}})
    content = (
        "acct,meter,from,to,high,low,type\nA1,M1,2017-11-01,2017-12-01,7,0.5,A\nA2,M2,2017-11-01,2017-12-01,3,,A\n"
    )
    taken = take_in(con, tmp_path, entry, content)
    assert {(r["source_row"], r["source_column"]): r["billed_volume_thousandths"] for r in taken.consumption} == {
        (2, "high"): 7_000, (2, "low"): 500, (3, "high"): 3_000,
    }  # fmt: skip
    assert [(r["source_row"], r["source_column"], r["reason_code"]) for r in taken.rejected] == [
        (3, "low", "no_register")
    ]


def test_the_registers_of_a_compound_meter_have_each_their_own_series_of_readings(con: Any, tmp_path: Path) -> None:
    in_columns = entry_of({**READINGS, "columns": {**READINGS["columns"], "reading": ["high", "low"]}})
    taken = take_in(
        con, tmp_path, in_columns, "acct,meter,day,high,low,type\nA1,M1,2017-11-01,100,5,A\nA1,M1,2018-01-01,103,9,A\n"
    )
    assert sorted(r["billed_volume_thousandths"] for r in taken.consumption) == [3_000, 4_000]
    in_rows = entry_of({**READINGS, "columns": {**READINGS["columns"], "register_id": "reg"}})
    lines = ["A1,M1,2017-11-01,100,A,H", "A1,M1,2017-11-01,5,A,L", "A1,M1,2018-01-01,103,A,H", "A1,M1,2018-01-01,9,A,L"]
    taken = take_in(con, tmp_path, in_rows, "\n".join([f"{READINGS_HEADER},reg", *lines]))
    assert taken.volumes == {4: 3_000, 5: 4_000}


# Account numbers


@pytest.mark.parametrize(
    ("scheme", "number", "is_right"),
    [("luhn", "79927398713", True), ("luhn", "79927398710", False), ("luhn", "0000000000", True), ("luhn", "", False),
     ("luhn", "4539148803436467", True), ("luhn", "4539148803436476", False),
     ("mod11", "0365327", True), ("mod11", "0365326", False), ("mod11", "6X", True), ("mod11", "131", False),
     ("mod11", "1X3", False), ("mod11", "9" * 31, False)],
)  # fmt: skip
def test_a_check_digit_is_recomputed(con: Any, scheme: str, number: str, is_right: bool) -> None:
    rule = AccountNumbers.model_validate({"check_digit": {"scheme": scheme, "is_part": False}})
    table = ibis.memtable({"n": [number]}, schema={"n": "string"})
    made = account_number(table.n, rule)
    (row,) = con.to_pyarrow(table.select(value=made.value, wrong=made.problems[0][0])).to_pylist()
    assert row["wrong"] is not is_right
    if is_right:
        assert row["value"] == number[:-1]


@pytest.mark.parametrize(("number", "value"), [("6X", "0006"), ("18", "0001"), ("X", ""), ("A6X", "A6")])
def test_zeros_that_a_number_lost_come_back_though_its_check_digit_is_a_letter(
    con: Any, number: str, value: str
) -> None:
    rule = AccountNumbers.model_validate({"width": 5, "check_digit": {"scheme": "mod11", "is_part": False}})
    table = ibis.memtable({"n": [number]}, schema={"n": "string"})
    assert con.to_pyarrow(table.select(value=account_number(table.n, rule).value))["value"].to_pylist() == [value]


REFERRED = {
    "width": 6,
    "check_digit": {"scheme": "luhn", "is_part": False},
    "cross_reference": {
        "files": "xref*", "layout": {"kind": "delimited", "delimiter": ";"}, "delivered": "new", "known_as": "old",
    },
}  # fmt: skip


def test_accounts_are_filled_checked_and_looked_up_in_the_delivered_cross_reference(con: Any, tmp_path: Path) -> None:
    entry = entry_of({**USAGE, "account_numbers": REFERRED, "columns": USE})
    rows = ["18,2017-11-01,2017-12-01,5", "000026,2017-11-01,2017-12-01,6", "34,2017-11-01,2017-12-01,7",
            "42,2017-11-01,2017-12-01,8", "19,2017-11-01,2017-12-01,9"]  # fmt: skip
    sheet = ["new;old", "000018;K-1", "26;K-2", "42;K-3", "42;K-4", "59;=K", "67", "18;K-1"]
    door = through_the_door(
        con, tmp_path, entry, xref_2018="\n".join(sheet) + "\n", history="\n".join(["acct,from,to,use", *rows]) + "\n"
    )
    assert {r["source_row"]: r["district_account"] for r in rows_of(con, door["consumption"])} == {2: "K-1", 3: "K-2"}
    refused = {(r["source_file"], r["source_row"]): r["reason_code"] for r in rows_of(con, door["rejected_rows"])}
    assert refused == {
        ("history", 4): "account_not_in_cross_reference", ("history", 5): "account_not_in_cross_reference",
        ("history", 6): "check_digit_wrong",
        ("xref_2018", 4): "cross_reference_ambiguous", ("xref_2018", 5): "cross_reference_ambiguous",
        ("xref_2018", 6): "cross_reference_unusable", ("xref_2018", 7): "cross_reference_unusable",
    }  # fmt: skip
    facts = {r["source_file"]: (r["rows_in_file"], r["records"]) for r in rows_of(con, door["delivery_totals"])}
    assert facts == {"xref_2018": (8, 0), "history": (6, 5)}
    door.close()


def test_without_its_cross_reference_no_account_of_a_delivery_is_believed(con: Any, tmp_path: Path) -> None:
    entry = entry_of({**USAGE, "account_numbers": REFERRED, "columns": USE})
    history = "acct,from,to,use\n18,2017-11-01,2017-12-01,5\n"
    for files in ({}, {"xref": "other;names\n1;2\n"}):
        door = through_the_door(con, tmp_path, entry, history=history, **files)
        assert rows_of(con, door["consumption"]) == []
        messages = {r["source_file"]: r["message"] for r in rows_of(con, door["delivery_totals"])}
        assert "cross-reference sheet xref* was not delivered or cannot be read" in messages["history"]
        door.close()


# Layouts by year


def test_an_entry_of_a_later_year_takes_over_from_that_year_on(tmp_path: Path) -> None:
    (tmp_path / "districts").mkdir()
    (tmp_path / "workspace.yaml").write_text(
        "name: U\nrate_tables: clean_water_services\nbilling_years: [2017, 2018, 2019]\n"
    )
    base = (
        "district: dd\nname: D\nwrite_to: x\nlayout: {kind: delimited}\nbilling_cycle: monthly\nvolume: {unit: ccf}\n"
    )
    columns = "columns: {{account: {0}, period_start: f, period_end: t, volume: v}}\n"
    (tmp_path / "districts" / "dd.yaml").write_text(base + columns.format("old"))
    (tmp_path / "districts" / "dd.from_2019.yaml").write_text(base + "from_year: 2019\n" + columns.format("new"))
    workspace = Workspace(tmp_path)
    assert [workspace.district("dd", year).columns.account for year in (2017, 2018, 2019, 2020)] == [
        "old", "old", "new", "new",
    ]  # fmt: skip
    assert list(workspace.districts) == ["dd"]


def test_previous_and_current_reading_in_one_row_are_the_use_between_them(con: Any, tmp_path: Path) -> None:
    columns = {
        "account": "acct", "meter": "meter", "read_date": "to", "days": "n", "previous_reading": "was", "reading": "is",
        "multiplier": "x",
    }  # fmt: skip
    entry = entry_of({**USAGE, "columns": columns},
                     measure={"gives": "reading_pairs", "dials": 4, "rollover_at_most": "500"})  # fmt: skip
    lines = ["acct,meter,to,n,was,is,x", "A1,M1,2018-01-01,31,100,112.5,10", "A1,M1,2018-02-01,31,9990,10,1",
             "A1,M1,2018-03-01,28,700,100,1", "A1,M1,2018-04-01,31,0,10000,1", "A1,M1,2018-05-01,30,,5,1"]  # fmt: skip
    taken = take_in(con, tmp_path, entry, "\n".join(lines))
    assert {r["source_row"]: (r["billed_volume_thousandths"], r["is_rollover"]) for r in taken.consumption} == {
        2: (125_000, False), 3: (20_000, True),
    }  # fmt: skip
    assert taken.reasons == {4: "reading_backward", 5: "volume_out_of_range", 6: "volume_missing"}
    assert [r["delivered_quantity_thousandths"] for r in taken.consumption] == [112_500, 10_000]


def test_control_totals_may_be_padded_and_count_rows_where_a_row_holds_two_registers(con: Any, tmp_path: Path) -> None:
    places = {"account": 2, "period_start": 3, "period_end": 4}
    entry = entry_of(
        {**USAGE, "columns": {name: {"position": place} for name, place in places.items()}
         | {"volume": [{"position": 5}, {"position": 6}]}},
        layout={"delimiter": "|", "header_row": 0, "record_prefix": "D|"},
        trailer={"prefix": "T|", "count": {"position": 2}, "total": {"position": 3}},
    )  # fmt: skip
    content = f"D|A1|2017-11-01|2017-12-01|5.25|{'0' * 20}7\nT|00001|{'0' * 20}12.25\n"
    door = through_the_door(con, tmp_path, entry, history=content)
    (fact,) = rows_of(con, door["delivery_totals"])
    assert (fact["control_records"], fact["control_quantity_thousandths"]) == (2, 12_250)
    assert (fact["records"], fact["delivered_quantity_thousandths"]) == (2, 12_250)
