"""Consumption: what each record of a district's file becomes, and that nothing is lost or counted twice on the way.

Belongs here: reason codes, dates, volumes, register readings, duplicates, months as columns, conservation.
Does not belong here: splitting lines into fields (``test_readers``).
"""

from __future__ import annotations

import datetime as dt
import random
import re
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from front_door_helpers import (
    READINGS,
    READINGS_HEADER,
    USAGE,
    USAGE_HEADER,
    WIDE,
    Taken,
    copy_of_workspace,
    entry_of,
    rows_of,
    take_in,
    year_2018,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from assets.deliveries import archived, receive
from assets.front_door import DeliveredFile, FrontDoor
from assets.readers.sheet import UnreadableFile
from validations.reasons import NOT_OF_RECORDS, REASONS

GOOD = "A1,M1,2017-11-01,2017-12-01,5.25,A"


def usage(con: Any, folder: Path, *lines: str, **changes: Any) -> Taken:
    return take_in(con, folder, entry_of(USAGE, **changes), "\n".join([USAGE_HEADER, *lines]))


def readings(con: Any, folder: Path, *lines: str, **changes: Any) -> Taken:
    return take_in(con, folder, entry_of(READINGS, **changes), "\n".join([READINGS_HEADER, *lines]))


# Reasons

_FIXED = {
    "layout": {"kind": "fixed_width", "record_length": 6, "record_prefix": "D"},
    "columns": {name: {"start": place, "width": 1} for place, name in
                enumerate(["account", "period_start", "period_end", "volume"], start=2)},
}  # fmt: skip
_READINGS = {key: READINGS[key] for key in ("layout", "measure", "columns", "read_types")}
_WIDE = {"columns": {"account": "acct"}, "month_columns": {"header_format": "%b %Y"}}

_DAYS = {"columns": {"account": "acct", "read_date": "to", "days": "n", "volume": "use"}}
_FACTOR = {"columns": {**USAGE["columns"], "multiplier": "x"}}
_UNITS = {"columns": {**USAGE["columns"], "unit": "u"}, "volume": {"unit": "ccf", "written_as": ["CCF", "100CF"]}}
_REGISTERS = {"columns": {**USAGE["columns"], "volume": ["use", "low"]}}
_FACTOR_OF_READING = {**_READINGS, "columns": {**READINGS["columns"], "multiplier": "x"}}

REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    ({}, f"{USAGE_HEADER}\nA1,M1,2017-11-01,2017-12-01,5", "field_count"),
    (_FIXED, "X12345", "record_kind_unknown"),
    (_FIXED, "D1234", "record_length"),
    ({}, f'{USAGE_HEADER}\n"{GOOD}', "stray_quote"),
    ({}, f"{USAGE_HEADER}\n{GOOD}\x1b", "control_character"),
    ({}, f"{USAGE_HEADER}\n  ,M1,2017-11-01,2017-12-01,5,A", "account_missing"),
    ({}, f"{USAGE_HEADER}\n =1+1,M1,2017-11-01,2017-12-01,5,A", "account_is_formula"),
    ({}, f"{USAGE_HEADER}\n@A1,M1,2017-11-01,2017-12-01,5,A", "account_is_formula"),
    ({}, f"{USAGE_HEADER}\n{'A' * 201},M1,2017-11-01,2017-12-01,5,A", "field_too_long"),
    ({}, f"{USAGE_HEADER}\nA1,{'M' * 201},2017-11-01,2017-12-01,5,A", "field_too_long"),
    ({}, f"{USAGE_HEADER}\nA1,M1,,2017-12-01,5,A", "date_unreadable"),
    ({}, f"{USAGE_HEADER}\nA1,M1,2017-11-01,2018-02-29,5,A", "date_unreadable"),
    ({}, f"{USAGE_HEADER}\nA1,M1,2017-12-01,2017-11-01,5,A", "period_backward"),
    ({}, f"{USAGE_HEADER}\nA1,M1,2017-12-01,2017-12-01,5,A", "period_backward"),
    ({}, f"{USAGE_HEADER}\nA1,M1,2016-11-01,2017-12-07,5,A", "period_too_long"),
    ({}, f"{USAGE_HEADER}\nA1,M1,2018-06-01,2018-07-02,5,A", "period_in_the_future"),
    ({}, f"{USAGE_HEADER}\nA1,M1,2017-11-01,2017-12-01,,A", "volume_missing"),
    ({}, f"{USAGE_HEADER}\nA1,M1,2017-11-01,2017-12-01,n/a,A", "volume_unreadable"),
    ({}, f"{USAGE_HEADER}\nA1,M1,2017-11-01,2017-12-01,5.0001,A", "volume_too_precise"),
    ({}, f"{USAGE_HEADER}\nA1,M1,2017-11-01,2017-12-01,10000000.001,A", "volume_out_of_range"),
    ({}, f"{USAGE_HEADER}\nA1,M1,2017-11-01,2017-12-01,-0.001,A", "volume_negative"),
    ({}, f"{USAGE_HEADER}\nA1,M1,2017-11-01,2017-12-01,5,Z", "read_type_unknown"),
    (_READINGS, f"{READINGS_HEADER}\nA1,M1,2017-11-01,500,N\nA1,M1,2017-12-01,400,A", "reading_backward"),
    (_READINGS, f"{READINGS_HEADER}\nA1,M1,2017-11-01,100000,A", "volume_out_of_range"),
    (_READINGS, f"{READINGS_HEADER}\nA1,M1,2017-11-01,500,A", "opening_reading"),
    ({}, f"{USAGE_HEADER}\n{GOOD}\n{GOOD.replace('5.25', '5.26')}", "same_period_other_values"),
    ({}, f"{USAGE_HEADER}\n{GOOD}\n{GOOD}", "exact_duplicate"),
    (_WIDE, "acct,Nov 2017\nA1,", "empty_month"),
    ({"account_numbers": {"width": 3}}, f"{USAGE_HEADER}\nA1234,M1,2017-11-01,2017-12-01,5,A", "account_too_long"),
    (
        {"account_numbers": {"check_digit": {"scheme": "luhn"}}},
        f"{USAGE_HEADER}\n79927398710,M1,2017-11-01,2017-12-01,5,A",
        "check_digit_wrong",
    ),
    (
        {"account_numbers": {"check_digit": {"scheme": "mod11"}}},
        f"{USAGE_HEADER}\nA1,M1,2017-11-01,2017-12-01,5,A",
        "check_digit_wrong",
    ),
    (_DAYS, "acct,to,n,use\nA1,2017-12-01,30.5,5", "days_unreadable"),
    (_DAYS, "acct,to,n,use\nA1,2017-12-01,0,5", "period_backward"),
    (_DAYS, "acct,to,n,use\nA1,2017-12-01,401,5", "period_too_long"),
    ({"after_effective_date": "set_aside"}, f"{USAGE_HEADER}\nA1,M1,2018-06-01,2018-07-02,5,A", "period_after_year"),
    (_FACTOR, f"{USAGE_HEADER},x\n{GOOD},", "multiplier_unreadable"),
    (_FACTOR, f"{USAGE_HEADER},x\n{GOOD},0", "multiplier_unreadable"),
    (_FACTOR, f"{USAGE_HEADER},x\n{GOOD},10000.001", "multiplier_unreadable"),
    (_FACTOR, f"{USAGE_HEADER},x\nA1,M1,2017-11-01,2017-12-01,9000000,A,2", "volume_out_of_range"),
    (_FACTOR, f"{USAGE_HEADER},x\nA1,M1,2017-11-01,2017-12-01,0.001,A,0.5", "volume_too_precise"),
    (_FACTOR_OF_READING, f"{READINGS_HEADER},x\nA1,M1,2017-11-01,5,A,1\nA1,M1,2017-12-01,7,A,10", "multiplier_changed"),
    (_UNITS, f"{USAGE_HEADER},u\n{GOOD},GAL", "unit_unknown"),
    (_REGISTERS, f"{USAGE_HEADER},low\n{GOOD},", "no_register"),
]


@pytest.mark.parametrize(("changes", "content", "reason"), REFUSALS)
def test_a_record_that_cannot_be_used_is_refused_for_its_reason_with_its_text(
    con: Any, tmp_path: Path, changes: dict[str, Any], content: str, reason: str
) -> None:
    taken = take_in(con, tmp_path, entry_of({**USAGE, **changes}), content)
    last = taken.rejected[-1]
    assert (last["reason_code"], last["reason_kind"], last["message"]) == (reason, *REASONS[reason])
    lines = content.split("\n")
    assert (last["source_row"], last["raw_text"]) == (len(lines), lines[-1])


def test_every_reason_that_a_district_file_can_have_is_tried() -> None:
    of_sheets_and_files = {
        "value_unreadable", "key_repeated", "line_cut_off", "account_not_in_cross_reference", *NOT_OF_RECORDS,
    }  # fmt: skip
    assert {reason for _, _, reason in REFUSALS} == REASONS.keys() - of_sheets_and_files


def test_raw_text_is_kept_to_its_limit(con: Any, tmp_path: Path) -> None:
    taken = usage(con, tmp_path, "x" * 5_000)
    assert [row["raw_text"] for row in taken.rejected] == ["x" * 4_000]


def test_an_unreadable_file_is_a_row_and_a_total_and_its_neighbour_is_taken(con: Any, tmp_path: Path) -> None:
    workspace = copy_of_workspace(tmp_path / "ws")
    entry = workspace.districts["dunmore"]
    folder = Path(workspace.deliveries(2018, entry))
    folder.mkdir(parents=True)
    record = f"D{'A1':<10}{'M1':<12}20171101201712310000000525ACT"
    (folder / "cut.txt").write_text(f"{record}\n")
    (folder / "good.txt").write_text(f"{record}\nT00000000100000000000525\n")
    files = [
        DeliveredFile(row["source_file"], row["content_hash"], archived(workspace.archive, row["content_hash"]))
        for row in receive(workspace, 2018, entry)
    ]
    door = FrontDoor(con, entry, year_2018(), files, tmp_path / "scratch")
    totals = {row["source_file"]: row for row in rows_of(con, door["delivery_totals"])}
    assert [row["billed_volume_thousandths"] for row in rows_of(con, door["consumption"])] == [5_250]
    assert [(r["source_file"], r["source_row"], r["reason_code"]) for r in rows_of(con, door["rejected_rows"])] == [
        ("cut.txt", 0, "file_unreadable")
    ]
    assert (totals["cut.txt"]["unreadable"], totals["cut.txt"]["records"]) == (True, 0)
    good = totals["good.txt"]
    assert (good["rows_in_file"], good["rows_of_layout"], good["records"]) == (2, 1, 1)
    assert (good["control_records"], good["control_quantity_thousandths"]) == (1, 5_250)
    assert good["delivered_quantity_thousandths"] == 5_250
    door.close()


# Dates


@pytest.mark.parametrize(
    ("date_format", "days"),
    [
        ("%m/%d/%Y", {
            "02/28/2018": dt.date(2018, 2, 28), "2/8/2018": dt.date(2018, 2, 8), "02/30/2018": None, "28/02/2018": None,
            "2018-02-28": None, "02/28/18": None, "02/28/2018 00:00": None, "infinity": None, "epoch": None,
        }),
        ("%m/%d/%y", {"02/28/18": dt.date(2018, 2, 28)}),
        ("%Y%m%d", {"20180228": dt.date(2018, 2, 28), "2018113": None, "201811 3": None, "20180230": None}),
        ("%d.%m.%Y", {"28.02.2018": dt.date(2018, 2, 28), "28.2.2018": dt.date(2018, 2, 28), "28-02-2018": None}),
        ("%d-%b-%Y", {"28-Feb-2018": dt.date(2018, 2, 28), "28-Fev-2018": None}),
    ],
)  # fmt: skip
def test_a_date_is_read_in_the_announced_format_or_not_at_all(
    con: Any, tmp_path: Path, date_format: str, days: dict[str, dt.date | None]
) -> None:
    opened = dt.date(2018, 1, 1).strftime(date_format)
    lines = [f"A{n},M1,{opened},5,A\nA{n},M1,{text},6,A" for n, text in enumerate(days)]
    taken = readings(con, tmp_path, *lines, date_format=date_format)
    read = {row["source_row"]: row["period_end"] for row in taken.consumption}
    refused = {row for row, reason in taken.reasons.items() if reason == "date_unreadable"}
    assert read == {2 * n + 3: day for n, day in enumerate(days.values()) if day}
    assert refused == {2 * n + 3 for n, day in enumerate(days.values()) if day is None}


def test_the_end_date_is_the_last_day_or_the_day_of_the_next_read_as_announced(con: Any, tmp_path: Path) -> None:
    lines = ["A1,M1,2017-12-01,2017-12-31,5,A", "A2,M2,2018-02-28,2018-02-28,5,A", "A3,M3,2018-06-30,2018-06-30,5,A"]
    taken = usage(con, tmp_path, *lines, period_end_is="last_day")
    assert [(row["period_end"], row["days"]) for row in taken.consumption] == [
        (dt.date(2018, 1, 1), 31), (dt.date(2018, 3, 1), 1), (dt.date(2018, 7, 1), 1),
    ]  # fmt: skip
    taken = usage(con, tmp_path, *lines, period_end_is="next_read")
    assert [(row["period_end"], row["days"]) for row in taken.consumption] == [(dt.date(2017, 12, 31), 30)]
    assert taken.reasons == {3: "period_backward", 4: "period_backward"}


def test_the_longest_period_is_400_days(con: Any, tmp_path: Path) -> None:
    taken = usage(con, tmp_path, "A1,M1,2017-01-01,2018-02-05,5,A", "A2,M2,2017-01-01,2018-02-06,5,A")
    assert [row["days"] for row in taken.consumption] == [400]
    assert taken.reasons == {3: "period_too_long"}


# Volumes


_PRECISE, _UNREADABLE, _BEYOND, _NEGATIVE = (
    "volume_too_precise", "volume_unreadable", "volume_out_of_range", "volume_negative",
)  # fmt: skip


@pytest.mark.parametrize(
    ("volume", "texts"),
    [
        ({}, {
            "5": 5_000, "5.": 5_000, "+5.5": 5_500, "005.125": 5_125, "0": 0, "-0": 0, "5.125" + "0" * 40: 5_125,
            "10000000": 10_000_000_000, "5.1250001": _PRECISE, "0.0001": _PRECISE, "5." + "0" * 30 + "1": _PRECISE,
            "1,234": _UNREADABLE, "1 234": _UNREADABLE, "1_234": _UNREADABLE, "1e3": _UNREADABLE, "0x10": _UNREADABLE,
            "five": _UNREADABLE, "NaN": _UNREADABLE, "inf": _UNREADABLE, "--5": _UNREADABLE, "5-": _UNREADABLE,
            "(5)": _UNREADABLE, "١٢": _UNREADABLE, "9" * 30: _UNREADABLE, "999999999999": _BEYOND, "-5": _NEGATIVE,
        }),
        ({"negative": "credit"}, {"-4132.5": -4_132_500, "-10000001": _BEYOND}),
        ({"decimal_mark": ","}, {
            "1,234": 1_234, "5": 5_000, "1,2345": _PRECISE, "1.234": _UNREADABLE, "1.234,5": _UNREADABLE,
        }),
        ({"implied_decimals": 2}, {
            "0000000525": 5_250, "-525": _NEGATIVE, "5.25": _UNREADABLE, "9" * 15: _BEYOND, "9" * 16: _UNREADABLE,
        }),
        ({"implied_decimals": 3}, {"525": 525}),
        ({"implied_decimals": 1, "negative": "credit"}, {"-000000525": -52_500}),
    ],
)  # fmt: skip
def test_a_volume_is_exact_in_the_announced_notation_or_refused(
    con: Any, tmp_path: Path, volume: dict[str, Any], texts: dict[str, int | str]
) -> None:
    lines = [f'A{n},M1,2017-11-01,2017-12-01,"{text}",A' for n, text in enumerate(texts)]
    taken = usage(con, tmp_path, *lines, volume=volume)
    assert taken.volumes | taken.reasons == dict(enumerate(texts.values(), start=2))


def test_registered_and_billed_volume_are_kept_apart(con: Any, tmp_path: Path) -> None:
    content = (
        f"{USAGE_HEADER},registered\nA1,M1,2017-11-01,2017-12-01,885,E,825\nA2,M1,2017-11-01,2017-12-01,885,E,x\n"
        "A3,M1,2017-11-01,2017-12-01,0,E,-825\n"
    )
    taken = take_in(con, tmp_path, entry_of(USAGE, columns={"registered_volume": "registered"}), content)
    assert [(r["billed_volume_thousandths"], r["registered_volume_thousandths"]) for r in taken.consumption] == [
        (885_000, 825_000), (0, -825_000),
    ]  # fmt: skip
    assert taken.reasons == {3: "volume_unreadable"}


# Duplicates and contradictions


def test_of_equal_rows_the_first_stays_within_a_file_and_between_files(con: Any, tmp_path: Path) -> None:
    other = GOOD.replace("A1", "A2")
    taken = take_in(
        con, tmp_path, entry_of(USAGE),
        "\n".join([USAGE_HEADER, GOOD, other, GOOD.replace("5.25", "05.250")]), "\n".join([USAGE_HEADER, other, GOOD]),
    )  # fmt: skip
    assert [(r["source_file"], r["source_row"]) for r in taken.consumption] == [("file_1", 2), ("file_1", 3)]
    assert [(r["source_file"], r["source_row"], r["reason_code"]) for r in taken.rejected] == [
        ("file_1", 4, "exact_duplicate"), ("file_2", 2, "exact_duplicate"), ("file_2", 3, "exact_duplicate"),
    ]  # fmt: skip


@pytest.mark.parametrize("contradiction", [GOOD.replace("5.25", "9"), GOOD.replace(",A", ",E")])
def test_of_contradicting_rows_none_stays(con: Any, tmp_path: Path, contradiction: str) -> None:
    taken = usage(con, tmp_path, GOOD, GOOD, contradiction, GOOD.replace("M1", "M2"))
    assert taken.reasons == {2: "same_period_other_values", 3: "exact_duplicate", 4: "same_period_other_values"}
    assert list(taken.volumes) == [5]


def test_a_broken_row_contradicts_nothing(con: Any, tmp_path: Path) -> None:
    taken = usage(con, tmp_path, GOOD, GOOD.replace(",A", ",Z"), GOOD.replace("5.25", "x"))
    assert (list(taken.volumes), taken.reasons) == ([2], {3: "read_type_unknown", 4: "volume_unreadable"})


def test_the_entry_says_whether_equal_rows_and_other_values_are_further_meters(con: Any, tmp_path: Path) -> None:
    other = GOOD.replace("5.25", "9")
    second, add = {"exact_duplicate": "second_meter"}, {"same_period_other_values": "add"}
    contradiction, duplicate = "same_period_other_values", "exact_duplicate"
    assert usage(con, tmp_path, GOOD, GOOD, **second).volumes == {2: 5_250, 3: 5_250}
    assert usage(con, tmp_path, GOOD, GOOD, other, **second).reasons == dict.fromkeys([2, 3, 4], contradiction)
    assert usage(con, tmp_path, GOOD, GOOD, other, **add).reasons == {3: duplicate}
    assert usage(con, tmp_path, GOOD, GOOD, other, **second, **add).volumes == {2: 5_250, 3: 5_250, 4: 9_000}


# Register readings


def test_each_reading_closes_the_period_that_the_one_before_it_opened(con: Any, tmp_path: Path) -> None:
    lines = ["A1,M1,2018-01-03,130,A", "A1,M1,2017-11-01,100,A", "A1,M1,2018-03-05,130,E", "A2,M1,2018-02-01,7,A"]
    taken = readings(con, tmp_path, *lines)
    assert [
        (r["source_row"], r["period_start"], r["period_end"], r["days"], r["billed_volume_thousandths"], r["read_type"])
        for r in taken.consumption
    ] == [
        (2, dt.date(2017, 11, 1), dt.date(2018, 1, 3), 63, 30_000, "actual"),
        (4, dt.date(2018, 1, 3), dt.date(2018, 3, 5), 61, 0, "estimated"),
    ]
    assert taken.reasons == {3: "opening_reading", 5: "opening_reading"}


@pytest.mark.parametrize(
    ("before", "now", "use"),
    [(99_990, 15, 25), (90_000, 10_000, 20_000), (90_000, 10_001, None), (99_999, 0, 1), (500, 499, None), (500, 500, 0),
     (0, 99_999, 99_999)],
)  # fmt: skip
def test_a_backward_step_is_a_rollover_only_up_to_the_announced_use(
    con: Any, tmp_path: Path, before: int, now: int, use: int | None
) -> None:
    taken = readings(con, tmp_path, f"A1,M1,2017-11-01,{before:05d},A", f"A1,M1,2018-01-01,{now:05d},A")
    if use is None:
        assert taken.reasons[3] == "reading_backward"
    else:
        assert [(r["billed_volume_thousandths"], r["is_rollover"]) for r in taken.consumption] == [
            (use * 1000, now < before)
        ]


@pytest.mark.parametrize(
    ("shown", "refused", "volumes"),
    [
        # 150 or 200 is wrong, so 210 cannot be told either; 220 - 210 can.
        ([100, 200, 150, 210, 220], {4: "reading_backward", 5: "reading_backward"}, {3: 100, 6: 10}),
        # All later readings go on from the lower one: the register was set back or the higher ones were wrong.
        ([100, 200, 50, 60, 70], {4: "reading_backward"}, {3: 100, 5: 10, 6: 10}),
        ([100, 200, 150, 140, 145], {4: "reading_backward", 5: "reading_backward"}, {3: 100, 6: 5}),
    ],
)
def test_a_refused_step_and_the_reading_that_it_makes_doubtful_are_both_refused(
    con: Any, tmp_path: Path, shown: list[int], refused: dict[int, str], volumes: dict[int, int]
) -> None:
    lines = [f"A1,M1,{dt.date(2017, 11, 1) + dt.timedelta(days=30 * n)},{r},A" for n, r in enumerate(shown)]
    taken = readings(con, tmp_path, *lines)
    assert taken.reasons == {2: "opening_reading"} | refused
    assert taken.volumes == {row: volume * 1000 for row, volume in volumes.items()}


def test_two_serials_on_the_day_of_a_change_out_are_two_parts_of_one_use(con: Any, tmp_path: Path) -> None:
    taken = readings(
        con,
        tmp_path,
        "A1,M1,2017-11-01,100,A",
        "A1,M1,2018-01-10,160,A",
        "A1,M2,2018-01-10,3,N",
        "A1,M2,2018-03-01,40,A",
    )
    assert taken.volumes == {3: 60_000, 5: 37_000}
    assert taken.reasons == {2: "opening_reading", 4: "opening_reading"}


@pytest.mark.parametrize("next_reading", [90, 150])
def test_after_an_announced_opening_a_meter_counts_from_there_and_nothing_is_doubtful(
    con: Any, tmp_path: Path, next_reading: int
) -> None:
    taken = readings(
        con, tmp_path, "A1,M1,2017-11-01,100,A", "A1,M1,2018-01-10,0,N", f"A1,M1,2018-03-01,{next_reading},A"
    )
    assert taken.volumes == {4: next_reading * 1000}
    assert taken.reasons == {2: "opening_reading", 3: "opening_reading"}


def test_repeated_and_contradicting_readings_make_no_period(con: Any, tmp_path: Path) -> None:
    taken = readings(
        con, tmp_path, "A1,M1,2017-11-01,100,A", "A1,M1,2017-11-01,100,A", "A1,M1,2018-01-01,120,A", "A1,M1,2018-01-01,130,A",
        "A1,M1,2018-03-01,150,A",
    )  # fmt: skip
    assert taken.reasons == {
        2: "opening_reading", 3: "exact_duplicate", 4: "same_period_other_values", 5: "same_period_other_values",
    }  # fmt: skip
    assert [(r["source_row"], r["days"], r["billed_volume_thousandths"]) for r in taken.consumption] == [
        (6, 120, 50_000)
    ]


def test_readings_more_than_400_days_apart_make_no_period_and_the_next_one_does(con: Any, tmp_path: Path) -> None:
    taken = readings(con, tmp_path, "A1,M1,2016-01-01,1,A", "A1,M1,2017-11-01,100,A", "A1,M1,2018-01-01,120,A")
    assert taken.reasons == {2: "opening_reading", 3: "period_too_long"}
    assert taken.volumes == {4: 20_000}


def test_a_register_of_many_dials_may_show_all_of_them(con: Any, tmp_path: Path) -> None:
    lines = ["A1,M1,2017-11-01,99999990,A", "A1,M1,2018-01-01,00000010,A", "A1,M1,2018-03-01,100000000,A"]
    taken = readings(con, tmp_path, *lines, measure={"dials": 8})
    assert taken.volumes == {3: 20_000}
    assert taken.reasons == {2: "opening_reading", 4: "volume_out_of_range"}


# Months as columns


def test_each_month_column_is_a_period_over_the_turn_of_the_year_and_empty_months_are_set_aside(
    con: Any, tmp_path: Path
) -> None:
    content = "acct,name,Dec 2017,Jan 2018,Feb 2018\nA1,x,5,0,\nA2,y,,,\nA3,z,1,n/a,2\n"
    taken = take_in(con, tmp_path, entry_of(WIDE), content)
    periods = {(r["source_row"], r["source_column"]): (r["period_start"], r["days"]) for r in taken.consumption}
    assert periods == {
        (2, "Dec 2017"): (dt.date(2017, 12, 1), 31), (2, "Jan 2018"): (dt.date(2018, 1, 1), 31),
        (4, "Dec 2017"): (dt.date(2017, 12, 1), 31), (4, "Feb 2018"): (dt.date(2018, 2, 1), 28),
    }  # fmt: skip
    assert {(r["source_row"], r["source_column"]): r["reason_code"] for r in taken.rejected} == {
        (2, "Feb 2018"): "empty_month", (3, "Dec 2017"): "empty_month", (3, "Jan 2018"): "empty_month",
        (3, "Feb 2018"): "empty_month", (4, "Jan 2018"): "volume_unreadable",
    }  # fmt: skip


@pytest.mark.parametrize("header", ["acct,Jan 2018,Jan 2018", "acct,name,total"])
def test_months_that_are_missing_or_stand_twice_make_the_file_unreadable(con: Any, tmp_path: Path, header: str) -> None:
    with pytest.raises(UnreadableFile, match=r"month|times"):
        take_in(con, tmp_path, entry_of(WIDE), f"{header}\nA1,5,6\n")


# Conservation: counted again from the raw text, by other means


def _split(line: str) -> list[str] | None:
    """Fields of a line by a walk over its characters; None where quotes do not open and close whole fields."""
    fields, at = list[str](), 0
    while True:
        if line[at : at + 1] == '"':
            text, at = "", at + 1
            while True:
                end = line.find('"', at)
                if end < 0:
                    return None
                text, at = text + line[at:end], end + 1
                if line[at : at + 1] != '"':
                    break
                text, at = text + '"', at + 1
            fields.append(text)
        else:
            end = line.find(",", at)
            fields.append(line[at : end if end >= 0 else len(line)])
            at += len(fields[-1])
            if '"' in fields[-1]:
                return None
        if at == len(line):
            return fields
        if line[at] != ",":
            return None
        at += 1


def _quantity(text: str) -> int:
    text = text.strip(" \t\n\r\v\f")
    if not re.fullmatch(r"[+-]?[0-9]{1,12}(\.[0-9]*)?", text):
        return 0
    return int((Decimal(text) * 1000).quantize(Decimal(1), ROUND_HALF_UP))


def _recount(content: str, columns: list[tuple[str, int]]) -> Counter[tuple[int, str, int]]:
    """(row, column, quantity) of every record that the text holds."""
    lines = content.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found: Counter[tuple[int, str, int]] = Counter()
    for row, line in enumerate(lines, start=1):
        if row > 1 and line.strip(" \t\n\r\v\f"):
            fields = _split(line) or []
            for column, place in columns:
                found[row, column, _quantity(fields[place]) if place < len(fields) else 0] += 1
    return found


_ANY_TEXT = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=8)
_HOSTILE = st.sampled_from(
    ['"', '""', ",", "\x01\x1e\x02\x1f", "\x00", "\t", "=1+1", "1e3", "-5", "5.0005", " 7 ", "\u2028", "", "9" * 20]
)
_NEWLINE = st.sampled_from(["\n", "\r\n", "\n", "\r"])


def _line(*fields: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A line of these fields: as it is, quoted, or with a field or the whole replaced by anything."""
    good = st.tuples(*fields).map(list)
    quoted = good.map(lambda row: ['"' + f.replace('"', '""') + '"' for f in row])
    broken = st.tuples(good, st.integers(0, len(fields) - 1), _ANY_TEXT | _HOSTILE).map(
        lambda made: [*made[0][: made[1]], made[2], *made[0][made[1] + 1 :]]
    )
    short = good.map(lambda row: row[:-1])
    whole = (good | good | quoted | broken | short).map(",".join)
    return whole | whole | whole | _ANY_TEXT | st.sampled_from(["", "  ", ",,,,,"])


_ACCOUNT, _METER = st.sampled_from(["A1", "A2", "A3"]), st.sampled_from(["M1", "M2"])
_VOLUME = st.sampled_from(["5", "5.25", "0", "12.5", "10000000", "7.125"])
_DAYS = ["2017-11-01", "2017-12-01", "2018-01-02", "2018-03-01"]
LAYOUTS: dict[str, tuple[dict[str, Any], str, list[tuple[str, int]], st.SearchStrategy[str]]] = {
    "usage": (USAGE, USAGE_HEADER, [("", 4)],
              _line(_ACCOUNT, _METER, st.sampled_from(_DAYS[:2]), st.sampled_from(_DAYS[1:]), _VOLUME, st.sampled_from("AE"))),
    "readings": (READINGS, READINGS_HEADER, [("", 3)],
                 _line(_ACCOUNT, _METER, st.sampled_from(_DAYS),
                       st.sampled_from(["100", "250.5", "99990", "90", "10", "300"]), st.sampled_from("AEN"))),
    "months": (WIDE, "acct,Dec 2017,note,Jan 2018", [("Dec 2017", 1), ("Jan 2018", 3)],
               _line(_ACCOUNT, _VOLUME | st.just(""), st.just("x"), _VOLUME)),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate],  # Shrinking a failure would take a quarter of an hour.
)  # fmt: skip
@given(data=st.data())
def test_records_read_are_consumption_and_rejected_rows_each_once_in_count_and_quantity(
    con: Any, tmp_path: Path, layout: str, data: st.DataObject
) -> None:
    base, header, columns, line = LAYOUTS[layout]
    lines = data.draw(st.lists(line, min_size=20, max_size=70), label="lines")
    ends = data.draw(st.lists(_NEWLINE, min_size=len(lines) + 1, max_size=len(lines) + 1), label="ends")
    content = "".join(text + end for text, end in zip([header, *lines], ends, strict=True))
    entry = entry_of(
        base,
        exact_duplicate=data.draw(st.sampled_from(["duplicate", "second_meter"])) if layout != "readings" else "duplicate",
        same_period_other_values=data.draw(st.sampled_from(["refuse", "add"])) if layout != "readings" else "refuse",
    )  # fmt: skip
    taken = take_in(con, tmp_path, entry, content)
    ended = [
        (row["source_row"], row["source_column"], row["delivered_quantity_thousandths"] or 0)
        for row in [*taken.consumption, *taken.rejected]
    ]
    assert Counter(ended) == _recount(content, columns)
    assert all(row["days"] >= 1 for row in taken.consumption)

    shuffled = random.Random(len(content)).sample(lines, len(lines))  # noqa: S311
    again = take_in(con, tmp_path, entry, "\n".join([header, *shuffled]))
    assert _facts(again) == _facts(taken), "the order of lines changes what counts"


def _facts(taken: Taken) -> Counter[tuple[Any, ...]]:
    where = {"source_file", "source_row"}
    return Counter(tuple(v for k, v in row.items() if k not in where) for row in taken.consumption)


def test_recounting_by_hand_gives_what_the_recount_gives() -> None:
    content = 'h\r\n1,"a,""b",x,y,5.25\n\n"5,,,,7\n,,,,-3\r,,,,4'
    assert _recount(content, [("", 4)]) == Counter(
        {(2, "", 5_250): 1, (4, "", 0): 1, (5, "", -3_000): 1, (6, "", 4_000): 1}
    )


def test_one_repeated_row_among_twenty_thousand_is_found(con: Any, tmp_path: Path) -> None:
    days = [dt.date(2017, 1, 1) + dt.timedelta(days=n) for n in range(500)]
    lines = [f"A{a},M1,{day},{day + dt.timedelta(days=1)},1,A" for a in range(40) for day in days]
    taken = usage(con, tmp_path, *lines, lines[777])
    assert taken.reasons == {len(lines) + 2: "exact_duplicate"}
    assert len(taken.consumption) == len(lines)
