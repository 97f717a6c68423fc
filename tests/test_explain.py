"""Explaining a bill: what is said is enough to work the bill out anew, and every form says the same.

Belongs here: promises about ``explain``. Does not belong here: how bills come about; the arithmetic (``explained``).
"""

from __future__ import annotations

import copy
import html
import json
import random
import re
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from explained import Differs, check
from whole_runs import ROOT, SAMPLE_YEAR, SampleRun, annual_billing, query

from pipelines.explain.derivation import NotFound, as_json, explain
from pipelines.explain.page import as_html
from pipelines.explain.text import as_text
from validations.workspace import Workspace

Json = dict[str, Any]
HOSTILE = "<script>alert(1)</script>&{{ 7*7 }}\x1b[31m\u202e=1+1"


def explained(workspace: Workspace, asked_for: str) -> Json:
    """The explanation as a program reads it."""
    found: Json = json.loads(as_json(explain(workspace, SAMPLE_YEAR, asked_for)))
    return found


def services(folder: Path, condition: str = "true") -> list[str]:
    sql = f"SELECT service_id FROM billing_basis WHERE billing_year = ? AND {condition} ORDER BY 1"
    return [service for (service,) in query(folder, sql, SAMPLE_YEAR)]


@pytest.fixture
def changed(sample: SampleRun, tmp_path: Path) -> Path:
    """The sample with a database of its own, to be changed."""
    made = Path(
        shutil.copytree(sample.folder, tmp_path / "sample", ignore=shutil.ignore_patterns("store", "dagster_home"))
    )
    return made


def test_a_bill_can_be_worked_out_anew_from_the_explanation_alone(sample: SampleRun) -> None:
    chosen = random.Random(7).sample(services(sample.folder), 50)  # noqa: S311
    chosen += [services(sample.folder, f"derivation = '{code}'")[0] for (code,) in query(
        sample.folder, "SELECT DISTINCT derivation FROM billing_basis WHERE billing_year = ?", SAMPLE_YEAR
    )]  # fmt: skip
    workspace, lines = Workspace(sample.folder), 0
    for service in chosen:
        explanation = explained(workspace, service)
        (one,) = explanation["services"]
        lines += check(explanation, one)
    assert lines > 100


@pytest.mark.parametrize("broken", ["billed_volume", "counted_end", "winter_average", "rate", "value", "amount"])
def test_working_it_out_anew_notices_one_wrong_figure(sample: SampleRun, broken: str) -> None:
    right = explained(
        Workspace(sample.folder), services(sample.folder, "derivation = 'computed' AND winter_average > 5")[0]
    )
    wrong = copy.deepcopy(right)
    (one,) = wrong["services"]
    reading = next(r for r in one["readings"] if r["counted"] and Decimal(r["counted"][0]["counted_volume"]))
    line = next(line for line in one["bills"][0]["lines"] if line["quantity_unit"] == "ccf")
    items = wrong["schedules"][line["schedule_file"]]
    place = {
        "billed_volume": reading, "counted_end": reading["counted"][0], "winter_average": one["average"], "rate": line, "amount": line,
        "value": next(item for item in items if item["item"] == line["charge_code"]),
    }[broken]  # fmt: skip
    place[broken] = (
        reading["counted"][0]["counted_start"]
        if broken == "counted_end"
        else str(Decimal(place[broken]) + Decimal("0.01"))
    )
    check(right, right["services"][0])
    with pytest.raises(Differs):
        check(wrong, one)


def last_year(folder: Path) -> None:
    """A last year in the database: lower rates, another average, another size for some, one charge fewer for others."""
    with duckdb.connect(str(folder / "work" / "billing.duckdb")) as con:
        for table in ("billing_basis", "bills", "bill_lines", "rate_schedule"):
            con.execute(f"DELETE FROM {table} WHERE billing_year = {SAMPLE_YEAR - 1}")
            con.execute(
                f"INSERT INTO {table} BY NAME SELECT * REPLACE ({SAMPLE_YEAR - 1} AS billing_year) FROM {table} WHERE billing_year = {SAMPLE_YEAR}"
            )
        con.execute(
            f"""
            UPDATE billing_basis SET winter_average = winter_average + 1.37 WHERE billing_year = {SAMPLE_YEAR - 1} AND hash(service_id) % 2 = 0;
            UPDATE bill_lines l SET quantity = quantity + 1.37 WHERE billing_year = {SAMPLE_YEAR - 1} AND quantity_unit = 'ccf';
            UPDATE bill_lines SET quantity = quantity * 2 WHERE billing_year = {SAMPLE_YEAR - 1} AND charge_code = 'swm' AND hash(service_id) % 3 = 0;
            DELETE FROM bill_lines WHERE billing_year = {SAMPLE_YEAR - 1} AND charge_code = 'swm' AND hash(service_id) % 3 = 1;
            UPDATE bill_lines SET rate = round(rate * 0.937, 2) WHERE billing_year = {SAMPLE_YEAR - 1} AND charge_code <> 'sewer_base';
            UPDATE bill_lines SET amount = round(quantity * rate, 2) WHERE billing_year = {SAMPLE_YEAR - 1};
            UPDATE bills SET amount = (SELECT sum(amount) FROM bill_lines l WHERE l.billing_year = bills.billing_year AND l.service_id = bills.service_id
                AND l.period_start = bills.period_start) WHERE billing_year = {SAMPLE_YEAR - 1} AND amount IS NOT NULL;
            """
        )


def test_the_parts_of_a_change_add_up_to_it_and_the_sentence_says_them(changed: Path) -> None:
    workspace = Workspace(changed)
    one_year = explained(workspace, services(changed, "derivation = 'adjusted'")[0])["services"][0]["difference"]
    last_year(changed)
    chosen = random.Random(8).sample(services(changed, "winter_average IS NOT NULL"), 15)  # noqa: S311
    causes = set[str]()
    for difference in [one_year, *(explained(workspace, s)["services"][0]["difference"] for s in chosen)]:
        said = " ".join(difference["sentences"])
        for kind in ("average", "amount_a_year"):
            if change := difference[kind]:
                parts = [Decimal(part["change"]) for part in change["parts"]]
                assert all(parts)
                assert sum(parts, Decimal(0)) == Decimal(change["now"]) - Decimal(change["before"])
                causes |= {part["cause"] for part in change["parts"]}
                by_words = dict.fromkeys((part["words"] for part in change["parts"]), Decimal(0))
                for part in change["parts"]:
                    by_words[part["words"]] += Decimal(part["change"])
                for words, amount in by_words.items():
                    assert not amount or re.search(rf"{re.escape(words)}[^,]* [+-]\$?{abs(amount):,.2f}", said), said
    assert one_year["average"]["before_is"] == "cis"
    assert {"use", "against_cis", "adjustments", "rates", "average", "esu", "charge"} <= causes


def figures(one: Json) -> list[str]:
    """Every figure of an explanation that a person has to see, as it is written for one."""
    average = one["average"]
    shown = [
        f"{Decimal(line[name]):,.2f}" for bill in one["bills"] for line in bill["lines"] for name in ("amount", "rate")
    ]
    shown += [f"{Decimal(bill['amount']):,.2f}" for bill in one["bills"] if bill["amount"]]
    shown += [
        f"{Decimal(average[name]):,.2f}" for name in ("winter_average", "prior_average", "own_average") if average[name]
    ]
    shown += [r["source_file"] for r in one["readings"]] + [str(r["source_row"]) for r in one["readings"]]
    shown += [f"{Decimal(r['billed_volume']):,.2f}" for r in one["readings"]]
    return (
        shown
        + one["difference"]["sentences"]
        + [a["reason"] for a in one["adjustments"]]
        + [f["message"] for f in one["findings"]]
    )


def test_text_page_and_json_say_the_same_figures_however_the_average_came_about(changed: Path) -> None:
    every = [
        "computed",
        "adjusted",
        "previous_occupant",
        "prior_year",
        "class_average",
        "default",
        "fixed",
        "carried_forward",
        "held",
        "excluded",
        "override",
    ]
    service = services(changed, "derivation = 'adjusted'")[0]
    for derivation in every:
        with duckdb.connect(str(changed / "work" / "billing.duckdb")) as con:
            con.execute("UPDATE billing_basis SET derivation = ? WHERE service_id = ?", [derivation, service])
        explanation = explain(Workspace(changed), SAMPLE_YEAR, service)
        text, page = as_text(explanation), html.unescape(as_html(explanation))
        (one,) = json.loads(as_json(explanation))["services"]
        assert len(one["readings"]) > 3
        for figure in figures(one):
            assert figure in text, (derivation, figure)
            assert figure in page, (derivation, figure)


def test_a_decision_is_told_with_who_made_it_and_the_average_that_it_set(decided: Path) -> None:
    ((service, by, reason),) = query(
        decided, "SELECT service_id, decided_by, reason FROM decisions WHERE status = 'stands' ORDER BY 1 LIMIT 1"
    )
    explanation = explain(Workspace(decided), SAMPLE_YEAR, service)
    (one,) = explanation["services"]
    assert one["average"]["winter_average"] == one["average"]["prior_average"]
    assert one["average"]["own_average"] != one["average"]["winter_average"]
    assert sum(part["change"] for part in one["difference"]["average"]["parts"]) == 0
    for said in (as_text(explanation), html.unescape(as_html(explanation))):
        assert f"by {by} on" in said
        assert reason in said


def test_a_released_year_is_told_with_its_hash(released: Path) -> None:
    (service,) = services(released)[:1]
    explanation = explain(Workspace(released), SAMPLE_YEAR, service)
    digest = json.loads(
        (released / "work" / "bill_files" / str(SAMPLE_YEAR) / "v1" / "release.json").read_text(encoding="utf-8")
    )["digest"]
    for said in (as_text(explanation), as_html(explanation), as_json(explanation)):
        assert digest in said


def test_an_account_or_a_premise_has_all_its_services(changed: Path) -> None:
    two = services(changed)[:2]
    with duckdb.connect(str(changed / "work" / "billing.duckdb")) as con:
        con.execute("UPDATE sewer_services SET premise_id = 'P-both' WHERE service_id IN (?, ?)", two)
    explanation = explain(Workspace(changed), SAMPLE_YEAR, "P-both")
    assert explanation["asked_for_is"] == "premise"
    assert [one["service"]["service_id"] for one in explanation["services"]] == two
    for said in (as_text(explanation), as_html(explanation)):
        assert all(service in said for service in two)


def test_text_of_a_delivery_is_harmless_on_the_page_and_in_the_terminal(changed: Path) -> None:
    service = services(changed, "derivation = 'adjusted'")[0]
    with duckdb.connect(str(changed / "work" / "billing.duckdb")) as con:
        con.execute("UPDATE adjustments SET reason = ? WHERE service_id = ?", [HOSTILE, service])
        con.execute("UPDATE sewer_services SET jurisdiction = ? WHERE service_id = ?", [HOSTILE, service])
        linked = con.execute(
            "SELECT DISTINCT meter_id FROM service_consumption WHERE service_id = ?", [service]
        ).fetchall()
        for table in ("consumption", "service_consumption", "adjusted_consumption", "adjustment_steps"):
            con.execute(f"UPDATE {table} SET meter_id = ? WHERE meter_id = ?", [HOSTILE, linked[0][0]])
    explanation = explain(Workspace(changed), SAMPLE_YEAR, service)
    page, printed = as_html(explanation), annual_billing("explain", SAMPLE_YEAR, service, "--workspace", changed)
    assert page.count("&lt;script&gt;") >= 3
    assert "<script" not in page
    assert "{{ 7*7 }}" in page
    assert "<script>alert(1)" in printed.out
    assert not {"\x1b", "\u202e"} & set(printed.out)


def test_an_id_is_text_and_never_part_of_a_query(sample: SampleRun) -> None:
    for asked_for in ("' OR 1=1 --", "$id", "x'); DROP TABLE bills; --", "\x00", ""):
        with pytest.raises(NotFound):
            explain(Workspace(sample.folder), SAMPLE_YEAR, asked_for)


def test_what_cannot_be_explained_is_told_in_one_sentence(sample: SampleRun) -> None:
    for year, asked_for, said in (
        (SAMPLE_YEAR, "S-nobody", "'S-nobody'"),
        (SAMPLE_YEAR - 1, services(sample.folder)[0], "has not been run"),
    ):
        ran = annual_billing("explain", year, asked_for, "--workspace", sample.folder)
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert said in ran.err


def test_an_address_is_found_on_a_contact_sheet_and_kept_nowhere(sample: SampleRun, tmp_path: Path) -> None:
    accounts = [
        a
        for (a,) in query(
            sample.folder, "SELECT account_id FROM billing_basis WHERE billing_year = ? ORDER BY 1 LIMIT 3", SAMPLE_YEAR
        )
    ]
    sheet, streets = tmp_path / "contacts.csv", ["12 Qwertz Hollow", "13 Qwertz Hollow", "13 Qwertz Hollow"]
    rows = [
        f"{account},Zzyzx,{street},{f'Unit {n}'},Fernbrook,OR,97000"
        for n, (account, street) in enumerate(zip(accounts, streets, strict=True))
    ]
    sheet.write_text(
        "\n".join(["account_id,name,address_line_1,address_line_2,city,state,postal_code", *rows]), encoding="utf-8"
    )
    for address, account in (
        ("  12 qwertz   HOLLOW", 0),
        ("13 Qwertz Hollow, unit 2", 2),
        ("13 qwertz hollow unit 1 fernbrook or 97000", 1),
    ):
        explanation = explain(Workspace(sample.folder), SAMPLE_YEAR, address, sheet)
        assert explanation["asked_for"] == accounts[account]
        assert not re.search(
            "qwertz|zzyzx", as_json(explanation) + as_text(explanation) + as_html(explanation), re.IGNORECASE
        )
    with pytest.raises(NotFound, match=rf"^2 accounts .*{accounts[1]}, {accounts[2]}"):
        explain(Workspace(sample.folder), SAMPLE_YEAR, "13 Qwertz Hollow", sheet)
    ran = annual_billing("explain", SAMPLE_YEAR, "99 Qwertz Hollow", "--contacts", sheet, "--workspace", sample.folder)
    assert (ran.code, ran.err.count("\n"), "Qwertz" in ran.err) == (1, 1, False)


def test_the_documentation_shows_what_the_command_prints(sample: SampleRun) -> None:
    shown = (
        (ROOT / "docs" / "explain.md")
        .read_text(encoding="utf-8")
        .split("$ annual-billing explain 2019 ")[1]
        .split("```")[0]
    )
    service, _, printed = shown.partition("\n")
    assert printed == as_text(explain(Workspace(sample.folder), SAMPLE_YEAR, service))
