"""The worklist: what a finding is worth, in what order, and what only a sample is looked at of.

Belongs here: the stage over small tables. Does not belong here: rules, the workbook.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from contract_rows import row, table_of

from assets.at_stake import at_stake
from assets.bills import bill_lines, bills
from assets.worklist import worklist
from validations.contract import Contract
from validations.tables import (
    ADJUSTED_CONSUMPTION,
    ADJUSTMENT_STEPS,
    BILL_LINES,
    BILLING_BASIS,
    BILLS,
    CONSUMPTION,
    DECISIONS,
    FINDINGS,
    PROPOSED_CORRECTIONS,
    SERVICE_CONSUMPTION,
    SEWER_SERVICES,
    STRENGTHS,
    WORKLIST,
)
from validations.workspace import SAMPLE, Workspace, Year

D = dt.date.fromisoformat
EDGES = [
    D("2018-11-01"),
    D("2018-12-01"),
    D("2019-01-01"),
    D("2019-02-01"),
    D("2019-03-01"),
    D("2019-04-01"),
    D("2019-05-01"),
]
WINTER = (D("2018-11-01"), D("2019-05-01"))
Row = dict[str, Any]


def year_2019() -> Year:
    return Workspace(SAMPLE).year(2019)


def service(service_id: str) -> Row:
    return row(
        SEWER_SERVICES, service_id=service_id, customer_class="single_family", dwelling_units=1, edu_thousandths=1000, esu_thousandths=1000,
        jurisdiction="unincorporated", billing_frequency="monthly", billing_cycle="", status="active", service_start=D("2001-01-01"),
        occupant_since=D("2010-01-01"), volume_source="district", bears_account_charges=True, slice_id="tiny",
    )  # fmt: skip


def basis(service_id: str, average: int | None, prior: int | None, derivation: str = "computed") -> Row:
    return row(
        BILLING_BASIS, service_id=service_id, winter_average_thousandths=average, prior_average_thousandths=prior, volume_unit="ccf",
        derivation=derivation, derivation_note="", is_provisional=False, window_start=WINTER[0], window_end=WINTER[1],
    )  # fmt: skip


def used(service_id: str, *volumes: int) -> list[Row]:
    return [
        row(CONSUMPTION, district_id="tiny", district_account=service_id, meter_id="", period_start=a, period_end=b, days=(b - a).days,
            billed_volume_thousandths=v, registered_volume_thousandths=v, volume_unit="ccf", read_type="actual", is_rollover=False,
            source_file=service_id, source_row=n, source_column="")
        for n, (a, b, v) in enumerate(zip(EDGES, EDGES[1:], volumes, strict=False), start=2)
    ]  # fmt: skip


def finding(rule: str, service_id: str, severity: str = "review", period: tuple[dt.date, dt.date] = WINTER) -> Row:
    return row(
        FINDINGS,
        finding_id=f"{rule}:{service_id}",
        service_id=service_id,
        rule_id=rule,
        severity=severity,
        period_start=period[0],
        period_end=period[1],
    )


def proposed(of: Row, source_row: int, volume: int) -> Row:
    a, b = EDGES[source_row - 2], EDGES[source_row - 1]
    return row(
        PROPOSED_CORRECTIONS, finding_id=of["finding_id"], service_id=of["service_id"], district_id="tiny", district_account=of["service_id"],
        meter_id="", source_file=of["service_id"], source_row=source_row, source_column="", period_start=a, period_end=b,
        proposed_volume_thousandths=volume, volume_unit="ccf",
    )  # fmt: skip


def yearly(bases: list[Row], services: list[Row], year: Year) -> tuple[list[Row], dict[str, int]]:
    """Bills of these averages, and what they come to in a year."""
    tables = table_of(BILLING_BASIS, *bases), table_of(SEWER_SERVICES, *services), STRENGTHS.empty()
    lines = table_of(BILL_LINES, *bill_lines(*tables, year=year).to_pyarrow().to_pylist())
    made = bills(tables[0], lines, *tables[1:], year=year).to_pyarrow().to_pylist()
    total: dict[str, int] = {}
    for bill in made:
        if bill["amount_cents"] is not None:
            total[bill["service_id"]] = (
                total.get(bill["service_id"], 0) + bill["amount_cents"] * bill["bills_in_period"]
            )
    return made, total


def listed(
    findings: list[Row], bases: list[Row], *, corrections: list[Row] = [], decided: list[Row] = [], consumption: list[Row] = [],  # noqa: B006
    adjusted: list[Row] = [], steps: list[Row] = [],  # noqa: B006
) -> list[Row]:  # fmt: skip
    year = year_2019()
    services = [service(b["service_id"]) for b in bases]
    links = [
        row(SERVICE_CONSUMPTION, service_id=b["service_id"], district_id="tiny", district_account=b["service_id"], meter_id="", purpose="domestic",
            link_start=D("2001-01-01"), link_end=D("9999-12-31"), share_from_millionths=0, share_to_millionths=1_000_000)
        for b in bases
    ]  # fmt: skip
    made, _ = yearly(bases, services, year)
    given: list[tuple[Contract, list[Row]]] = [
        (FINDINGS, findings), (PROPOSED_CORRECTIONS, corrections), (DECISIONS, decided), (BILLING_BASIS, bases), (BILLS, made),
        (SEWER_SERVICES, services), (STRENGTHS, []), (CONSUMPTION, consumption), (SERVICE_CONSUMPTION, links), (ADJUSTED_CONSUMPTION, adjusted),
        (ADJUSTMENT_STEPS, steps),
    ]  # fmt: skip
    worth = at_stake(*(table_of(contract, *rows) for contract, rows in given), year=year)
    out = worklist(worth, year=year)
    return sorted(WORKLIST.conform(out).to_pyarrow().to_pylist(), key=lambda r: r["place"])


def test_a_proposed_correction_is_worth_what_the_average_recomputed_with_it_is_billed_less() -> None:
    # Two estimates of 30 and a correction of -42 in the winter; what went through, spread, is 6 a month.
    estimated = finding("read.estimate_then_correction", "S1", "must_decide")
    corrections = [proposed(estimated, n, 6_000) for n in (3, 4, 5)]
    volumes = (6_000, 30_000, 30_000, -36_000, 6_000, 6_000)
    (found,) = listed(
        [estimated], [basis("S1", 7_000, 9_000)], corrections=corrections, consumption=used("S1", *volumes)
    )
    _, now = yearly([basis("S1", 7_000, 9_000)], [service("S1")], year_2019())
    _, then = yearly([basis("S1", 6_000, 9_000)], [service("S1")], year_2019())
    assert (found["other_average_thousandths"], found["other_way"]) == (6_000, "the proposed correction counts")
    assert (found["amount_a_year_cents"], found["other_amount_a_year_cents"]) == (now["S1"], then["S1"])
    assert found["at_stake_a_year_cents"] == now["S1"] - then["S1"] > 0
    assert found["proposed_decision"] == "as_proposed"


def test_most_dollars_a_year_come_first_and_findings_of_one_service_stand_together() -> None:
    bases = [
        basis("S1", 8_000, 7_900),
        basis("S2", 90_000, 7_000),
        basis("S3", 40_000, 7_000),
        basis("S4", 12_000, None),
    ]
    findings = [finding("use.high", s) for s in ("S1", "S2", "S3", "S4")] + [finding("use.rising", "S2")]
    found = listed(findings, bases)
    assert [(r["service_id"], r["listed_on"]) for r in found if r["service_id"] != "S1"] == [
        ("S2", "worklist"), ("S2", "worklist"), ("S3", "worklist"), ("S4", "worklist"),
    ]  # fmt: skip
    (little,) = (r for r in found if r["service_id"] == "S1")
    assert little["listed_on"] in ("sample", "below_limit")
    assert [r["place"] for r in found] == [1, 2, 3, 4, 5]
    unknown = found[-1]
    assert (unknown["service_id"], unknown["at_stake_a_year_cents"], unknown["proposed_decision"]) == (
        "S4",
        None,
        "as_it_is",
    )
    stakes = [r["at_stake_a_year_cents"] for r in found[:-1]]
    assert stakes == sorted(stakes, reverse=True)


def test_what_must_be_decided_is_never_sampled_and_about_a_tenth_of_the_rest_is() -> None:
    names = [f"S{n:03d}" for n in range(300)]
    findings = [finding("use.high", s) for s in names] + [finding("use.negative", "S000", "must_decide")]
    found = listed(findings, [basis(s, 8_000, 7_900) for s in names])
    assert {r["listed_on"] for r in found if r["severity"] == "must_decide"} == {"worklist"}
    drawn = {r["finding_id"] for r in found if r["listed_on"] == "sample"}
    assert 15 <= len(drawn) <= 50
    fewer = listed([f for f in findings if f["finding_id"] in drawn], [basis(s, 8_000, 7_900) for s in names])
    assert {r["finding_id"] for r in fewer if r["listed_on"] == "sample"} == drawn


@pytest.mark.parametrize(
    ("rule", "derivation", "period", "other", "worth_nothing"),
    [
        ("use.high", "computed", (D("2018-06-01"), D("2018-07-01")), 12_000, True),
        ("use.high", "override", WINTER, 12_000, True),
        ("use.high", "computed", (D("2018-10-20"), D("2018-11-20")), 7_000, False),
        ("history.something", "computed", WINTER, 7_000, False),
    ],
)
def test_what_does_not_rest_on_the_winter_is_worth_nothing(
    rule: str, derivation: str, period: tuple[dt.date, dt.date], other: int, worth_nothing: bool
) -> None:
    (found,) = listed([finding(rule, "S1", period=period)], [basis("S1", 12_000, 7_000, derivation)])
    assert found["other_average_thousandths"] == other
    assert (found["at_stake_a_year_cents"] == 0) is worth_nothing


def test_once_a_proposal_is_accepted_the_other_way_is_what_was_delivered() -> None:
    slip = finding("use.tenfold", "S1", "must_decide")
    decided = row(
        DECISIONS,
        decision_id="D-2019-000001",
        finding_id=slip["finding_id"],
        service_id="S1",
        decision="as_proposed",
        status="stands",
    )
    correction = proposed(slip, 4, 6_000)
    changed = row(
        ADJUSTED_CONSUMPTION, service_id="S1", district_id="tiny", district_account="S1", meter_id="", source_file="S1", source_row=4,
        source_column="", adjusted_volume_thousandths=6_000, billed_volume_thousandths=60_000, registered_volume_thousandths=60_000,
        is_left_out=False, volume_unit="ccf", adjustment_id="D-2019-000001",
    )  # fmt: skip
    consumption = used("S1", 6_000, 6_000, 60_000, 6_000, 6_000, 6_000)
    (found,) = listed([slip], [basis("S1", 6_000, 7_000, "adjusted")], corrections=[correction], decided=[decided],
                      consumption=consumption, adjusted=[changed])  # fmt: skip
    assert (found["decision"], found["decision_status"]) == ("as_proposed", "stands")
    assert (found["other_average_thousandths"], found["other_way"]) == (15_000, "as it is, without the decision")


def standing(of: Row, decision: str) -> Row:
    return row(
        DECISIONS,
        decision_id="D-2019-000001",
        finding_id=of["finding_id"],
        service_id=of["service_id"],
        decision=decision,
        status="stands",
    )


def test_without_a_decision_what_an_entry_says_of_the_same_row_holds_again() -> None:
    empty = finding("use.zero_run", "S1", period=(EDGES[2], EDGES[3]))
    key = {
        "district_id": "tiny",
        "district_account": "S1",
        "meter_id": "",
        "source_file": "S1",
        "source_row": 4,
        "source_column": "",
    }
    left_out = row(
        ADJUSTED_CONSUMPTION, service_id="S1", **key, adjusted_volume_thousandths=12_000, billed_volume_thousandths=60_000,
        registered_volume_thousandths=60_000, is_left_out=True, volume_unit="ccf", adjustment_id="J1; D-2019-000001",
    )  # fmt: skip
    entered = row(
        ADJUSTMENT_STEPS,
        adjustment_id="J1",
        service_id="S1",
        **key,
        place=1,
        after_volume_thousandths=12_000,
        is_left_out=False,
    )
    (found,) = listed([empty], [basis("S1", 6_000, 7_000, "adjusted")], decided=[standing(empty, "leave_out")], steps=[entered],
                      consumption=used("S1", 6_000, 6_000, 60_000, 6_000, 6_000, 6_000), adjusted=[left_out])  # fmt: skip
    assert found["other_average_thousandths"] == 7_000, "6, 6, 12, 6, 6 and 6 in six months"


def test_where_a_person_set_the_average_no_other_finding_of_the_service_is_worth_anything() -> None:
    set_by, slip = finding("use.high", "S1"), finding("use.tenfold", "S1", "must_decide")
    consumption = used("S1", 6_000, 6_000, 60_000, 6_000, 6_000, 6_000)
    for word, average, derivation in (("set_average", 5_000, "override"), ("prior_average", 7_000, "prior_year")):
        found = listed([set_by, slip], [basis("S1", average, 7_000, derivation)], corrections=[proposed(slip, 4, 6_000)],
                       decided=[standing(set_by, word)], consumption=consumption)  # fmt: skip
        other = {r["rule_id"]: (r["other_average_thousandths"], r["other_way"]) for r in found}
        assert other == {
            "use.high": (15_000, "as it is, without the decision"),
            "use.tenfold": (average, "the average does not rest on what was used"),
        }


def test_what_must_be_decided_and_nobody_knows_the_worth_of_comes_first_and_what_is_only_to_be_reviewed_last() -> None:
    bases = [basis("S1", 90_000, 7_000), basis("S2", None, None, "held"), basis("S3", 12_000, None)]
    findings = [finding("use.high", "S1"), finding("use.negative", "S2", "must_decide"), finding("use.high", "S3")]
    found = listed(findings, bases)
    assert [(r["service_id"], r["listed_on"]) for r in found] == [
        ("S2", "worklist"),
        ("S1", "worklist"),
        ("S3", "worklist"),
    ]
    assert [r["at_stake_a_year_cents"] is None for r in found] == [True, False, True]


def test_of_a_service_with_a_proposal_the_average_in_force_is_not_proposed_beside_it() -> None:
    negative, estimated = (
        finding("use.negative", "S1", "must_decide"),
        finding("read.estimate_then_correction", "S1", "must_decide"),
    )
    corrections = [proposed(estimated, n, 6_000) for n in (3, 4, 5)]
    consumption = used("S1", 6_000, 30_000, 30_000, -36_000, 6_000, 6_000)
    found = listed([negative, estimated], [basis("S1", 7_000, 9_000)], corrections=corrections, consumption=consumption)
    assert {r["rule_id"]: r["proposed_decision"] for r in found} == {
        "use.negative": "as_it_is", "read.estimate_then_correction": "as_proposed",
    }  # fmt: skip
