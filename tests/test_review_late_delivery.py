"""A late delivery and the decisions that were made before it, over whole runs.

Belongs here: which decisions come back. Does not belong here: taking decisions in (``test_review_loop``).
"""

from __future__ import annotations

import csv
import datetime as dt
from itertools import pairwise
from pathlib import Path

from whole_runs import annual_billing, query, tiny_workspace

YEAR = 2019
SERVICES = [f"S{n:02d}" for n in range(1, 31)]
ODD = SERVICES[:8]
CHANGED = {"S02", "S03", "S07"}
STARTS = [dt.date(2018, m, 1) for m in range(5, 13)] + [dt.date(2019, m, 1) for m in range(1, 6)]


def delivery(odd_month_ccf: dict[str, int]) -> str:
    """A year of months of every service; the January of some is much too high."""
    lines = ["Account,Meter,From,To,CCF,Type"]
    for n, service in enumerate(SERVICES):
        for month, (start, end) in enumerate(pairwise(STARTS)):
            usual = 6 + (n + month) % 4
            ccf = odd_month_ccf.get(service, usual) if start == dt.date(2019, 1, 1) else usual
            lines.append(f"A{service},M{service},{start},{end},{ccf},A")
    return "\n".join(lines) + "\n"


def test_after_a_late_delivery_that_changes_three_services_exactly_their_decisions_come_back(tmp_path: Path) -> None:
    odd = {service: 90 + n for n, service in enumerate(ODD)}
    extract = {
        "sewer_services": [
            f"{s},C{s},P{s},single_family,1,1,1,fernbrook,sewer_utility,monthly,active,2001-01-01,,2010-01-01,district"
            for s in SERVICES
        ],
        "meter_links": [f"{s},tiny,A{s},M{s},domestic,1,2001-01-01," for s in SERVICES],
        "current_averages": [f"{s},7.5,ccf,2018-07-01" for s in SERVICES],
    }
    folder = tiny_workspace(tmp_path / "ws", {YEAR: delivery(odd)}, {YEAR: extract}, years=[YEAR])
    ran = annual_billing("run", YEAR, "--workspace", folder)
    assert ran.code == 0, ran.out + ran.err

    other_way = dict(
        query(
            folder,
            "SELECT service_id, any_value(other_amount_a_year) FROM worklist WHERE listed_on = 'worklist' GROUP BY 1",
        )
    )
    open_ones = query(folder, "SELECT finding_id, evidence_hash, service_id FROM findings WHERE service_id <> ''")
    assert {service for _, _, service in open_ones} == set(ODD)
    with (tmp_path / "in.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["finding_id", "evidence_hash", "decision", "reason", "name"])
        writer.writerows([finding, seen, "prior_average", "a leak", "Clerk One"] for finding, seen, _ in open_ones)
    decided = annual_billing("decide", YEAR, tmp_path / "in.csv", "--workspace", folder)
    assert decided.code == 0, decided.err
    bytes_of_decisions = (folder / "decisions" / f"{YEAR}.csv").read_bytes()

    late = odd | {service: odd[service] + 7 for service in CHANGED}
    (folder / "deliveries" / str(YEAR) / "tiny" / "history.csv").write_text(delivery(late), encoding="utf-8")
    ran = annual_billing("run", YEAR, "--workspace", folder)
    assert ran.code == 0, ran.out + ran.err

    by_status = query(folder, "SELECT status, list(DISTINCT service_id) FROM decisions GROUP BY 1")
    assert {status: set(services) for status, services in by_status} == {"stands": set(ODD) - CHANGED, "stale": CHANGED}
    assert query(
        folder, "SELECT count(*) FROM decisions WHERE (status = 'stale') = (evidence_seen = evidence_now)"
    ) == [(0,)]
    averages = dict(query(folder, "SELECT service_id, winter_average::DOUBLE FROM billing_basis"))
    assert {service for service in ODD if averages[service] == 7.5} == set(ODD) - CHANGED
    billed = dict(query(folder, "SELECT service_id, sum(amount * bills_in_period) FROM bills GROUP BY 1"))
    assert {s: billed[s] for s in set(ODD) - CHANGED} == {s: other_way[s] for s in set(ODD) - CHANGED}
    assert set(query(folder, "SELECT DISTINCT service_id FROM worklist WHERE decision_status = 'stale'")) == {
        (s,) for s in CHANGED
    }
    assert (folder / "decisions" / f"{YEAR}.csv").read_bytes() == bytes_of_decisions

    workbook = annual_billing("review", YEAR, "--workspace", folder)
    assert "3 services one by one" in workbook.out
