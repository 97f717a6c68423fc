"""The gate's logic: which override holds, and the blocks that come from rates and from the extract's age.

Belongs here: promises about blocks and overrides as values. Does not belong here: the commands (``tests/test_gate.py``).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from contract_rows import row, table_of
from hypothesis import given
from hypothesis import strategies as st
from use_world import year_2019

from rate_tables.billing_periods import schedule_periods
from validations.checks import CHECKS
from validations.gate import Block, Override, extract_too_old, gate, rates_not_adopted
from validations.tables import BILL_FILES, BILLING_BASIS, BILLS, DECISIONS, DELIVERY_TOTALS, FINDINGS, RECONCILIATION
from validations.workspace import SAMPLE, Workspace

YEAR = year_2019()
blocks = st.lists(
    st.builds(Block, st.sampled_from("abc"), st.just("so"), st.just("do"), st.sampled_from(["h1", "h2"]), st.just(1), st.booleans()),
    unique_by=lambda block: block.block_id,
)  # fmt: skip
overrides = st.lists(
    st.builds(
        Override, st.text("0123456789", min_size=3, max_size=3), st.sampled_from("abcd"), st.sampled_from(["h1", "h2", "h3"]),
        st.just(1), st.just("why"), st.just("Clerk"), st.just(dt.date(2019, 6, 1)),
    ),
    max_size=6,
)  # fmt: skip


@given(blocks, overrides)
def test_an_override_holds_for_the_very_rows_it_was_made_on_and_for_nothing_that_must_not_be_overridden(
    found: list[Block], made: list[Override]
) -> None:
    judged = gate(found, made)
    lifted = [block for block, _ in judged.overridden]
    assert sorted([*judged.blocks, *lifted], key=lambda b: b.block_id) == sorted(found, key=lambda b: b.block_id)
    for block in found:
        meant = [o for o in made if (o.block_id, o.evidence_hash) == (block.block_id, block.evidence_hash)]
        assert (block in lifted) == (bool(meant) and block.may_be_overridden)
    for block, override in judged.overridden:
        assert (override.block_id, override.evidence_hash) == (block.block_id, block.evidence_hash)
    keys = {(block.block_id, block.evidence_hash) for block in found}
    assert {(o.block_id, o.evidence_hash) for o in judged.spent} == {(o.block_id, o.evidence_hash) for o in made} - keys
    assert judged.is_open == (not judged.blocks)


def test_faults_of_the_pipeline_and_totals_that_differ_are_never_overridden() -> None:
    never = {check.name for check in CHECKS if check.blocks and not check.may_be_overridden}
    assert never == {"keeps_its_contract", "rows_and_volume_add_up", "identities_hold", "holds_what_is_due"}


@pytest.mark.parametrize(
    ("as_of", "at_most", "says"),
    [
        (None, None, None),
        (dt.date(2010, 1, 1), None, None),
        (dt.date(2019, 6, 1), 30, None),
        (dt.date(2019, 5, 31), 30, "The CIS extract is of 2019-05-31, 31 days before 2019-07-01"),
        (dt.date(2019, 7, 9), 0, None),
        (None, 30, "The CIS extract does not say of which day it is"),
    ],
)
def test_an_extract_older_than_the_workspace_allows_blocks_and_so_does_one_without_a_day(
    as_of: dt.date | None, at_most: int | None, says: str | None
) -> None:
    found = extract_too_old(YEAR, as_of, at_most)
    assert [block.sentence.startswith(says or "") for block in found] == ([True] if says else [])
    assert all("cis_extract/2019" in block.next_step and "run the year again" in block.next_step for block in found)


def test_rates_that_are_only_proposed_block_and_are_named_and_cannot_be_overridden() -> None:
    schedules = Workspace(SAMPLE).schedules
    assert rates_not_adopted(YEAR, schedules) == []
    proposed = [
        s.model_copy(update={"schedule": s.schedule.model_copy(update={"status": "proposed"})})
        if s.schedule.effective.year == 2019
        else s
        for s in schedules
    ]
    year = replace(YEAR, rate_periods=schedule_periods(proposed, YEAR.effective))
    (block,) = rates_not_adopted(year, proposed)
    assert block.sentence == "No adopted schedule holds on 2019-07-01 to 2020-06-30: rates are only proposed."
    assert "2019-07-01.yaml" in block.next_step
    assert not block.may_be_overridden
    (without,) = rates_not_adopted(year, [s for s in proposed if s.schedule.status == "adopted"])
    assert without.sentence.endswith("there are no rates.")
    assert without.evidence_hash != block.evidence_hash


def failing(name: str, *tables: object) -> list[dict[str, object]]:
    (check,) = [check for check in CHECKS if check.name == name]
    return list(check.failing(*tables).to_pyarrow().to_pylist())


def test_what_a_check_on_deliveries_says_is_not_asked_once_more_as_a_finding() -> None:
    found = [
        row(FINDINGS, finding_id=f"{rule}:x", rule_id=rule, severity="must_decide")
        for rule in (
            "delivery.not_received",
            "delivery.unreadable",
            "delivery.not_taken",
            "delivery.control_total",
            "use.tenfold",
        )
    ]
    waiting = failing("nothing_to_decide", table_of(FINDINGS, *found), table_of(DECISIONS))
    assert [r["finding_id"] for r in waiting] == ["use.tenfold:x"]


def test_a_file_that_states_other_totals_is_a_question_to_the_district_and_no_fault_of_ours() -> None:
    right = row(DELIVERY_TOTALS, source_file="right", records=3, control_records=3, delivered_quantity_thousandths=9)
    silent = row(DELIVERY_TOTALS, source_file="silent", records=3)
    count = row(DELIVERY_TOTALS, source_file="count", records=3, control_records=4)
    total = row(DELIVERY_TOTALS, source_file="total", delivered_quantity_thousandths=9, control_quantity_thousandths=8)
    found = failing("states_the_totals_it_holds", table_of(DELIVERY_TOTALS, right, silent, count, total))
    assert [r["source_file"] for r in found] == ["count", "total"]
    stated = row(RECONCILIATION, identity="control total", difference_thousandths=5)
    ours = row(RECONCILIATION, identity="shares", difference_thousandths=5)
    assert [r["identity"] for r in failing("identities_hold", table_of(RECONCILIATION, stated, ours))] == ["shares"]


def test_a_bill_file_that_lacks_a_record_a_cent_or_a_thousandth_is_found_and_one_of_a_lost_agency_too() -> None:
    basis = [
        row(BILLING_BASIS, service_id=s, derivation="computed", winter_average_thousandths=a)
        for s, a in (("S1", 5), ("S2", 7), ("S3", 9))
    ]
    made = [
        row(BILLS, service_id=s, billing_agency=agency, amount_cents=cents, period_start=dt.date(2019, month, 1))
        for s, agency, cents, month in (
            ("S1", "a", 10, 7),
            ("S1", "a", 99, 10),
            ("S2", "a", 20, 7),
            ("S3", "b", None, 7),
        )
    ]
    tables = (table_of(BILLING_BASIS, *basis), table_of(BILLS, *made))

    def differing(**changed: int) -> list[dict[str, object]]:
        a = {"records": 2, "winter_average_thousandths": 12, "amount_cents": 30} | changed
        b = {"records": 1, "winter_average_thousandths": 9, "amount_cents": 0}
        files = [row(BILL_FILES, billing_agency="a", **a), row(BILL_FILES, billing_agency="b", **b)]
        return failing("holds_what_is_due", table_of(BILL_FILES, *files), *tables)

    assert differing() == []
    for name, wrong, by in (("records", 1, 1), ("winter_average_thousandths", 13, -1), ("amount_cents", 29, 1)):
        (found,) = differing(**{name: wrong})
        assert (found["billing_agency"], found[name]) == ("a", by)
    only_a = table_of(
        BILL_FILES, row(BILL_FILES, billing_agency="a", records=2, winter_average_thousandths=12, amount_cents=30)
    )
    assert [r["billing_agency"] for r in failing("holds_what_is_due", only_a, *tables)] == ["b"]
