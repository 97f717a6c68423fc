"""The ten promises of docs/design.md, each by a test that is named after it.

Belongs here: what a promise comes to on the whole sample, from its files to its bills; that no promise is without a test.
Does not belong here: the same in the small (every module's own tests), promises that take runs of their own (the modules that
``test_every_promise_has_a_test`` finds).
"""

from __future__ import annotations

import hashlib
import re

from whole_runs import ROOT, SAMPLE_YEAR, SampleRun, query

PROMISES = range(1, 11)


def test_every_promise_has_a_test_that_is_named_after_it() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert {int(number) for number in re.findall(r"^def test_promise_(\d+)_", text, re.M)} == set(PROMISES)
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    promises = design.partition("## Promises")[2].partition("\n## ")[0]
    assert [int(number) for number in re.findall(r"^(\d+)\. ", promises, re.M)] == list(PROMISES)


def test_promise_1_rows_and_volume_in_are_accepted_rejected_or_duplicate_and_every_service_has_its_outcome(
    sample: SampleRun,
) -> None:
    came = query(
        sample.folder,
        "SELECT district_id, source_file, records, delivered_quantity FROM delivery_totals WHERE billing_year = ? ORDER BY 1, 2",
        SAMPLE_YEAR,
    )
    went = query(
        sample.folder,
        "SELECT district_id, source_file, count(*), sum(coalesce(delivered_quantity, 0)) FROM ("
        "SELECT billing_year, district_id, source_file, delivered_quantity FROM consumption UNION ALL "
        "SELECT billing_year, district_id, source_file, delivered_quantity FROM rejected_rows) "
        "WHERE billing_year = ? AND district_id NOT IN ('cis', 'adjustments', 'decisions') GROUP BY 1, 2 ORDER BY 1, 2",
        SAMPLE_YEAR,
    )
    assert [row for row in came if row[2]] == went
    services = query(
        sample.folder,
        "SELECT count(*), count(*) FILTER (winter_average IS NOT NULL AND derivation <> 'carried_forward'), "
        "count(*) FILTER (derivation = 'carried_forward'), count(*) FILTER (derivation IN ('held', 'excluded')) "
        "FROM billing_basis WHERE billing_year = ?",
        SAMPLE_YEAR,
    )
    ((every, averaged, carried, held_or_excluded),) = services
    assert every == averaged + carried + held_or_excluded == 1_984
    assert query(sample.folder, "SELECT count(*) FROM sewer_services WHERE billing_year = ?", SAMPLE_YEAR) == [(every,)]


def test_promise_7_what_lacks_a_rate_a_unit_or_an_average_is_held_with_a_reason_and_never_zero(
    sample: SampleRun,
) -> None:
    held = query(
        sample.folder,
        "SELECT count(*), count(amount), count(*) FILTER (status_reason = ''), count(*) FILTER (service_id IN (SELECT service_id FROM bill_lines l "
        "WHERE l.billing_year = b.billing_year AND l.period_start = b.period_start)) FROM bills b WHERE status = 'held'",
    )
    assert held[0][0] > 0
    assert held[0][1:] == (0, 0, 0)
    assert query(
        sample.folder, "SELECT count(*) FROM bill_lines WHERE rate IS NULL OR quantity IS NULL OR amount IS NULL"
    ) == [(0,)]
    wrong = query(
        sample.folder,
        "SELECT service_id FROM bills b WHERE status <> 'held' AND amount IS DISTINCT FROM (SELECT sum(l.amount) FROM bill_lines l "
        "WHERE l.billing_year = b.billing_year AND l.service_id = b.service_id AND l.period_start = b.period_start)",
    )
    assert wrong == []


def test_promise_8_every_amount_leads_back_to_a_cited_rate_and_every_volume_to_a_row_of_a_kept_file(
    sample: SampleRun,
) -> None:
    uncited = query(
        sample.folder,
        "SELECT DISTINCT charge_code, rate, schedule_file FROM bill_lines l WHERE NOT EXISTS (SELECT 1 FROM rate_schedule r "
        "WHERE r.billing_year = l.billing_year AND r.schedule_file = l.schedule_file AND r.item LIKE '%' || l.charge_code || '%' "
        "AND try_cast(r.value AS DECIMAL(18, 4)) = l.rate AND r.source <> '')",
    )
    assert uncited == []
    archive = sample.folder / "work" / "archive"
    kept = {
        (district, file): archive / content_hash[:2] / content_hash
        for district, file, content_hash in query(
            sample.folder,
            "SELECT district_id, source_file, content_hash FROM deliveries WHERE billing_year = ? AND status = 'current'",
            SAMPLE_YEAR,
        )
    }
    volumes = query(
        sample.folder,
        "SELECT district_id, source_file, source_row, district_account, meter_id FROM consumption WHERE billing_year = ?",
        SAMPLE_YEAR,
    )
    assert {(district, file) for district, file, *_ in volumes} <= kept.keys()
    for path in kept.values():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    lines = {one: path.read_bytes().splitlines() for one, path in kept.items() if one[1].endswith((".csv", ".txt"))}
    in_text = [
        (lines[district, file][row - 1].replace(b" ", b""), account.lstrip("0").encode(), meter.encode())
        for district, file, row, account, meter in volumes
        if (district, file) in lines
    ]
    assert len(in_text) > 10_000
    # One district's accounts are taken from its cross-reference; its meters stand in the file.
    assert [one for one in in_text if one[1] not in one[0] and (not one[2] or one[2] not in one[0])] == []


def test_promise_10_nothing_of_a_refused_rows_text_is_in_logs_metadata_or_messages(sample: SampleRun) -> None:
    raw = {
        text.encode()
        for (text,) in query(sample.folder, "SELECT raw_text FROM rejected_rows WHERE length(raw_text) > 12")
    }
    assert len(raw) > 100
    told = [sample.ran.out.encode(), sample.ran.err.encode()]
    told += [path.read_bytes() for path in (sample.folder / "work" / "dagster_home").rglob("*") if path.is_file()]
    told.append((sample.folder / "log.jsonl").read_bytes())
    assert sum(map(len, told)) > 1_000_000
    messages = query(sample.folder, "SELECT message FROM rejected_rows")
    told += [message.encode() for (message,) in messages]
    assert [text for text in raw for one in told if text in one] == []
