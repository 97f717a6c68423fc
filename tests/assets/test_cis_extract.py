"""The CIS extract: which rows are refused and why, slices, shares in line, what changed since last year.

Belongs here: from the office's sheets to the tables of services and links. Does not belong here: matching, averages.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pytest
from front_door_helpers import copy_of_workspace, rows_of, year_2018

from assets.cis_extract import (
    Extract,
    as_of_stated,
    extract_changes,
    extracts_seen,
    receive_extract,
    refresh_changes,
    with_shares_in_line,
    with_slices,
)
from assets.stage import Session
from assets.store import Store
from rate_tables.config_file import ConfigError
from validations.contract import Contract, violations
from validations.tables import (
    CURRENT_AVERAGES,
    METER_LINKS,
    NON_SEWER_ACCOUNTS,
    REJECTED_ROWS,
    SEWER_SERVICES,
)

SERVICE = {
    "service_id": "S1", "account_id": "C1", "premise_id": "P1", "customer_class": "single_family", "dwelling_units": "1",
    "edu": "1", "esu": "1.5", "jurisdiction": "fernbrook", "billing_agency": "sewer_utility", "billing_frequency": "monthly",
    "status": "active", "service_start": "2001-02-03", "service_end": "", "occupant_since": "2010-01-01",
    "volume_source": "district",
}  # fmt: skip
LINK = {
    "service_id": "S1", "district_id": "alder_creek", "district_account": "0100", "meter_id": "M1", "purpose": "domestic",
    "share": "1", "link_start": "2001-02-03", "link_end": "",
}  # fmt: skip
AVERAGE = {"service_id": "S1", "winter_average": "7.875", "volume_unit": "ccf", "effective_date": "2017-07-01"}
NON_SEWER = {"district_id": "alder_creek", "district_account": "0900", "reason": "septic"}

Lines = list[dict[str, str]]


def csv_of(lines: Lines) -> str:
    return "\n".join([",".join(lines[0]), *(",".join(line.values()) for line in lines)]) + "\n"


def extract_of(
    con: Any, folder: Path, services: Lines, links: Lines | None = None, averages: Lines | None = None
) -> Extract:
    """An extract from files in a workspace of its own."""
    workspace = copy_of_workspace(folder / "ws")
    place = workspace.cis_extract(2018)
    place.mkdir(parents=True)
    sheets = {"sewer_services": services, "meter_links": links or [LINK], "current_averages": averages or [AVERAGE],
              "non_sewer_accounts": [NON_SEWER]}  # fmt: skip
    for name, lines in sheets.items():
        (place / f"{name}.csv").write_text(csv_of(lines), encoding="utf-8")
    return Extract(Session(workspace, Store(workspace.store, con)), year_2018())


def table_of(contract: Contract, rows: list[dict[str, Any]]) -> ir.Table:
    return ibis.memtable(rows, schema=contract.schema)


def service_row(service_id: str = "S1", **changes: Any) -> dict[str, Any]:
    return {
        "service_id": service_id, "account_id": "C1", "premise_id": "P1", "customer_class": "single_family",
        "dwelling_units": 1, "edu_thousandths": 1000, "esu_thousandths": 1000, "jurisdiction": "fernbrook",
        "billing_agency": "sewer_utility", "billing_frequency": "monthly", "billing_cycle": "", "status": "active",
        "service_start": dt.date(2001, 2, 3), "service_end": None, "occupant_since": dt.date(2010, 1, 1),
        "volume_source": "district", "bears_account_charges": True, "slice_id": "alder_creek",
    } | changes  # fmt: skip


def link_row(service_id: str = "S1", **changes: Any) -> dict[str, Any]:
    return {
        "service_id": service_id, "district_id": "alder_creek", "district_account": "0100", "meter_id": "M1",
        "purpose": "domestic", "share_millionths": 1_000_000, "share_from_millionths": 0,
        "link_start": dt.date(2001, 2, 3), "link_end": None, "slice_id": "alder_creek",
    } | changes  # fmt: skip


# Refusals


def test_good_rows_come_through_exactly_and_within_their_contracts(con: Any, tmp_path: Path) -> None:
    extract = extract_of(con, tmp_path, [SERVICE | {"edu": "0.125"}])
    services = rows_of(con, extract.sewer_services)
    assert services == [service_row(esu_thousandths=1_500, edu_thousandths=125)]
    assert rows_of(con, extract.meter_links) == [link_row()]
    assert [row["winter_average_thousandths"] for row in rows_of(con, extract.current_averages)] == [7_875]
    assert rows_of(con, extract.rejected_rows) == []
    made = {SEWER_SERVICES: extract.sewer_services, METER_LINKS: extract.meter_links,
            CURRENT_AVERAGES: extract.current_averages, NON_SEWER_ACCOUNTS: extract.non_sewer_accounts}  # fmt: skip
    for contract, table in made.items():
        assert rows_of(con, violations(contract, contract.conform(table))) == []


BAD_SERVICES = {
    "billing_agency": ["", "../../elsewhere", "city of somewhere", "a" * 61],
    "customer_class": ["castle", ""],
    "service_start": ["2001-02-30", "02/03/2001", "", "infinity", "epoch", "2001-02-03 00:00"],
    "service_end": ["soon"],
    "dwelling_units": ["1.5", "-1", "two", "1e3", ""],
    "edu": ["1.0001", "-1", "1;5", "9" * 13, ""],
    "service_id": ["=1+1", "@S", "-S", "S\x1b[2J", "S" * 201, ""],
    "account_id": ["", "+1"],
    "status": ["Active"],
}


def test_a_bad_row_is_refused_with_a_sentence_naming_the_column_and_the_others_stand(con: Any, tmp_path: Path) -> None:
    bad = [
        (column, SERVICE | {"service_id": f"B{number}{column}"} | {column: text})
        for column, texts in BAD_SERVICES.items() for number, text in enumerate(texts)
    ]  # fmt: skip
    lines = [SERVICE, *(line for _, line in bad), SERVICE | {"service_id": "S2"}]
    extract = extract_of(con, tmp_path, lines)
    assert [row["service_id"] for row in rows_of(con, extract.sewer_services, "service_id")] == ["S1", "S2"]
    refused = {row["source_row"]: row for row in rows_of(con, REJECTED_ROWS.conform(extract.rejected_rows))}
    assert sorted(refused) == list(range(3, len(bad) + 3))
    for row, (column, line) in enumerate(bad, start=3):
        assert column in refused[row]["message"]
        assert refused[row]["raw_text"] == ",".join(line.values())
        assert refused[row]["source_file"] == "cis_extract/2018/sewer_services.csv"


def test_a_row_with_a_repeated_key_a_share_of_nothing_or_a_broken_line_is_refused(con: Any, tmp_path: Path) -> None:
    links = [LINK, LINK | {"service_id": "S2"}, LINK | {"service_id": "S2", "share": "0.5"},
             LINK | {"service_id": "S3", "share": "0"}, LINK | {"service_id": "S4", "share": "1.000001"},
             LINK | {"service_id": "S5", "link_start": "2001-02-03,"}, LINK | {"service_id": 'S"6'},
             LINK | {"service_id": "S7", "share": "0.000001"},
             LINK | {"service_id": "S8", "share": "999999999999"}]  # fmt: skip
    extract = extract_of(con, tmp_path, [SERVICE], links)
    assert [row["service_id"] for row in rows_of(con, extract.meter_links, "service_id")] == ["S1", "S7"]
    refused = {row["source_row"]: row for row in rows_of(con, REJECTED_ROWS.conform(extract.rejected_rows))}
    messages = {row: found["message"] for row, found in refused.items()}
    assert [refused[row]["reason_code"] for row in (3, 5, 7, 8)] == [
        "key_repeated",
        "value_unreadable",
        "field_count",
        "stray_quote",
    ]
    assert sorted(messages) == [3, 4, 5, 6, 7, 8, 10]
    assert messages[3] == messages[4] == "the row's key stands more than once"
    assert "share" in messages[5]
    assert "share" in messages[6]
    assert "share" in messages[10]
    assert "number of fields" in messages[7]
    assert "quotation mark" in messages[8]


def test_a_link_to_a_district_that_is_not_registered_is_refused_and_its_service_keeps_a_slice(
    con: Any, tmp_path: Path
) -> None:
    extract = extract_of(con, tmp_path, [SERVICE], [LINK | {"district_id": "atlantis"}])
    assert [row["slice_id"] for row in rows_of(con, extract.sewer_services)] == ["no_district"]
    assert [row["message"] for row in rows_of(con, extract.rejected_rows)] == ["district_id is not in the registry"]


def test_a_sheet_that_is_missing_or_lacks_a_column_is_a_sentence_naming_it(con: Any, tmp_path: Path) -> None:
    extract = extract_of(con, tmp_path, [SERVICE], [{k: v for k, v in LINK.items() if k not in ("share", "purpose")}])
    with pytest.raises(
        ConfigError, match=r"cis_extract/2018/meter_links.csv: .*the header lacks purpose, share; it has"
    ):
        _ = extract.sewer_services
    extract.path(METER_LINKS).unlink()
    with pytest.raises(ConfigError, match=r"cis_extract/2018/meter_links.csv: the file does not exist; export it"):
        _ = extract.sewer_services
    extract.path(METER_LINKS).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="encoding"):
        _ = extract.sewer_services


# Slices and shares


@pytest.mark.parametrize(
    ("links", "slice_id"),
    [
        ([], "no_district"),
        ([{}, {"meter_id": "M2"}], "alder_creek"),
        ([{}, {"district_id": "dunmore"}], "several_districts"),
        ([{}, {"district_id": "dunmore", "link_end": "window_start"}], "alder_creek"),
        ([{}, {"district_id": "dunmore", "link_end": "second_day"}], "several_districts"),
        ([{"link_end": "window_start"}], "no_district"),
        ([{}, {"district_id": "dunmore", "link_start": "window_end"}], "alder_creek"),
        ([{}, {"district_id": "dunmore", "link_start": "last_day"}], "several_districts"),
    ],
)
def test_a_service_lies_in_the_slice_of_the_district_that_measures_it_in_the_winter(
    con: Any, links: list[dict[str, Any]], slice_id: str
) -> None:
    year, day = year_2018(), dt.timedelta(days=1)
    days = {"window_start": year.window_start, "second_day": year.window_start + day, "window_end": year.window_end,
            "last_day": year.window_end - day}  # fmt: skip
    dated = [link_row(**{k: days.get(v, v) for k, v in link.items()}) for link in links]
    table = with_slices(
        table_of(SEWER_SERVICES, [service_row()]).drop("slice_id"),
        table_of(METER_LINKS, [*dated, link_row("S2")]),
        year,
    )
    assert [row["slice_id"] for row in rows_of(con, table)] == [slice_id]


def test_shares_of_one_meter_lie_end_to_end_whatever_the_order_of_rows(con: Any) -> None:
    links = [
        link_row("S3", share_millionths=333_334), link_row("S1", share_millionths=333_333),
        link_row("S2", share_millionths=333_333), link_row("S4", meter_id="M2", share_millionths=5),
        link_row("S5", purpose="irrigation", share_millionths=7), link_row("S6", district_account="0200"),
        link_row("S7", district_id="dunmore"),
    ]  # fmt: skip
    for order in (links, links[::-1]):
        laid = with_shares_in_line(table_of(METER_LINKS, order).drop("share_from_millionths"))
        assert {r["service_id"]: r["share_from_millionths"] for r in rows_of(con, laid)} == {
            "S1": 0, "S2": 333_333, "S3": 666_666, "S4": 0, "S5": 0, "S6": 0, "S7": 0,
        }  # fmt: skip


# Changes


def test_changes_are_told_by_kind_with_both_values_and_nothing_else_is(con: Any) -> None:
    names = ["same", "class", "edu", "closed", "stays_closed", "moved", "vacated", "gone", "relinked", "unlinked", "order",
             "elsewhere"]  # fmt: skip
    then = {name: service_row(name) for name in names}
    then["stays_closed"] = service_row("stays_closed", status="closed")
    now = {name: dict(row) for name, row in then.items() if name != "gone"} | {"new": service_row("new")}
    now["class"]["customer_class"] = "commercial"
    now["edu"]["edu_thousandths"] = 1_125
    now["closed"]["status"] = "closed"
    now["moved"]["occupant_since"] = dt.date(2018, 1, 5)
    now["vacated"]["occupant_since"] = None
    now["elsewhere"] |= {"account_id": "C9", "dwelling_units": 2, "billing_frequency": "two_monthly", "slice_id": "x"}
    two = [link_row("order"), link_row("order", meter_id="M2")]
    links_then = [link_row("same"), link_row("relinked"), link_row("unlinked"), *two]
    links_now = [link_row("same", link_end=dt.date(2018, 4, 1)), link_row("relinked", meter_id="M9"), *two[::-1]]
    changes = extract_changes(
        table_of(SEWER_SERVICES, list(now.values())), table_of(METER_LINKS, links_now),
        table_of(SEWER_SERVICES, list(then.values())), table_of(METER_LINKS, links_then),
    )  # fmt: skip
    assert {(r["service_id"], r["change"]): (r["last_year"], r["this_year"]) for r in rows_of(con, changes)} == {
        ("new", "new"): ("", "single_family"),
        ("gone", "gone"): ("single_family", ""),
        ("closed", "closed"): ("active", "closed"),
        ("class", "customer_class"): ("single_family", "commercial"),
        ("edu", "edu"): ("1000", "1125"),
        ("moved", "occupant"): ("2010-01-01", "2018-01-05"),
        ("vacated", "occupant"): ("2010-01-01", "none"),
        ("relinked", "meter_links"): (
            "alder_creek 0100 M1 domestic 1000000", "alder_creek 0100 M9 domestic 1000000",
        ),
        ("unlinked", "meter_links"): ("alder_creek 0100 M1 domestic 1000000", "none"),
    }  # fmt: skip


# --- extracts that follow each other in one year


def put(folder: Path, services: Lines, as_of: str) -> None:
    """Another extract in the workspace that ``extract_of`` made."""
    place = folder / "ws" / "cis_extract" / "2018"
    (place / "sewer_services.csv").write_text(csv_of(services), encoding="utf-8")
    (place / "as_of.txt").write_text(as_of, encoding="utf-8")


def test_each_extract_that_was_read_is_kept_and_what_is_new_or_finaled_since_the_one_before_is_listed(
    con: Any, tmp_path: Path
) -> None:
    stays, ends, comes = SERVICE, SERVICE | {"service_id": "S2"}, SERVICE | {"service_id": "S3"}
    session = extract_of(con, tmp_path, [stays, ends])._session
    year = year_2018()
    ((first,), _) = receive_extract(session, year)
    assert first.as_of is None
    assert receive_extract(session, year)[0] == [first], "the same extract again is no other one"

    put(tmp_path, [stays, ends | {"status": "closed", "service_end": "2018-05-01"}, comes], "2018-06-01\n")
    (before, now), _ = receive_extract(session, year)
    assert (before, now.as_of) == (first, "2018-06-01")
    archive = session.workspace.archive
    kept = Extract(session, year, now.paths(archive)), Extract(session, year, before.paths(archive))
    listed = [
        (r["service_id"], r["change"], r["after"]) for r in rows_of(con, refresh_changes(*kept).order_by("service_id"))
    ]
    assert listed == [("S2", "closed", "closed"), ("S3", "new", "single_family")]

    put(tmp_path, [stays, ends], "2018-06-20")
    assert [one.sheets for one in receive_extract(session, year)[0]] == [before.sheets, now.sheets, before.sheets]


def test_an_extract_that_cannot_be_read_never_counts_as_the_one_before(con: Any, tmp_path: Path) -> None:
    session = extract_of(con, tmp_path, [SERVICE])._session
    ((first,), _) = receive_extract(session, year_2018())
    put(tmp_path, [{"service_id": "S1"}], "2018-06-01")
    with pytest.raises(ConfigError, match="the header lacks account_id"):
        receive_extract(session, year_2018())
    assert extracts_seen(session.workspace, 2018) == [first]


def test_half_a_line_in_the_ledger_of_extracts_never_counts(con: Any, tmp_path: Path) -> None:
    session = extract_of(con, tmp_path, [SERVICE])._session
    ((first,), _) = receive_extract(session, year_2018())
    ledger = session.workspace.archive / "ledger" / "2018" / "cis_extract.jsonl"
    with ledger.open("a", encoding="utf-8") as file:
        file.write('{"as_of": "2018-0')
    put(tmp_path, [SERVICE], "2018-06-01")
    assert [one.as_of for one in receive_extract(session, year_2018())[0]] == [None, "2018-06-01"]
    assert extracts_seen(session.workspace, 2018)[0] == first


@pytest.mark.parametrize("text", ["", "soon", "2018-02-30", "1 June 2018", "2018-06-01 or so", "\x00" * 50])
def test_an_as_of_that_is_no_day_is_refused_with_what_is_allowed(con: Any, tmp_path: Path, text: str) -> None:
    session = extract_of(con, tmp_path, [SERVICE])._session
    put(tmp_path, [SERVICE], text)
    with pytest.raises(ConfigError, match=r"^cis_extract/2018/as_of.txt: .* is no day; allowed: one line with the day"):
        as_of_stated(session.workspace, 2018)
