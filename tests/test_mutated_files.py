"""Files broken at random cost nothing but what is in them.

Belongs here: some of the broken files: each kind of damage in every second district; the benchmark
``benchmarks/mutations.py`` takes a thousand.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from mutated_files import DAMAGES, judge, mutations
from whole_runs import annual_billing, committed_sample

from assets.engine import connected
from validations.workspace import Workspace


def test_broken_files_raise_nothing_lose_no_row_and_keep_every_contract(tmp_path: Path) -> None:
    folder = committed_sample(tmp_path / "sample")
    assert annual_billing("simulate", folder, "--accounts", 400).code == 0
    workspace = Workspace(folder)
    con = connected()
    outcomes: Counter[str] = Counter()
    districts = len(workspace.districts)
    count = len(DAMAGES) * districts // 2
    for mutation in mutations(workspace, 2019, len(DAMAGES) * districts, seed=20191123):
        if (mutation.number // districts + mutation.number) % 2 == 0:
            outcomes[judge(con, workspace, 2019, mutation)] += 1
    assert outcomes.total() == count
    assert min(outcomes[kind] for kind in ("rows refused", "file unreadable")) > count // 20
