"""A thousand deliveries broken at random, and what became of them.

Belongs here: running them all and writing ``mutations.md``. Does not belong here: how files are broken and judged
(``tests.mutated_files``).

    python benchmarks/mutations.py [--count 1000] [--seed 20191123]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import ibis

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from mutated_files import DAMAGES, judge, mutations  # noqa: E402
from whole_runs import annual_billing, committed_sample, query  # noqa: E402

from validations.workspace import Workspace  # noqa: E402

YEAR = 2019
OUTCOMES = ["taken", "rows refused", "file unreadable", "not taken"]
OF_OTHERS = (
    "SELECT service_id, winter_average, derivation, slice FROM (SELECT b.*, s.slice_id AS slice FROM billing_basis b "
    "JOIN sewer_services s USING (service_id, billing_year)) WHERE billing_year = ? AND slice NOT IN (?, 'several_districts') ORDER BY 1"
)


def _others_unchanged(folder: Path, districts: list[str], seed: int) -> list[str]:
    """Break a file of each of ``districts`` in turn; AssertionError if a whole run changes an average of another district."""
    unchanged = []
    for district in districts:
        assert annual_billing("run", YEAR, "--workspace", folder).code == 0
        before = query(folder, OF_OTHERS, YEAR, district)
        one = next(
            m for m in mutations(Workspace(folder), YEAR, 500, seed) if m.district == district and m.damage == "flip"
        )
        path = folder / "deliveries" / str(YEAR) / district / one.source_file
        whole = path.read_bytes()
        path.write_bytes(one.content)
        ran = annual_billing("run", YEAR, "--workspace", folder)
        path.write_bytes(whole)
        assert ran.code == 0, ran.err
        assert query(folder, OF_OTHERS, YEAR, district) == before, district
        unchanged.append(district)
    return unchanged


def main() -> None:
    """Break, judge, write the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=1000)
    arguments.add_argument("--seed", type=int, default=20191123)
    chosen = arguments.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = committed_sample(Path(scratch) / "sample")
        assert annual_billing("simulate", folder, "--accounts", 400).code == 0
        workspace, con = Workspace(folder), ibis.duckdb.connect()
        for mutation in mutations(workspace, YEAR, chosen.count, chosen.seed):
            counts[mutation.damage, judge(con, workspace, YEAR, mutation)] += 1
            if (mutation.number + 1) % 50 == 0:
                print(f"{mutation.number + 1} of {chosen.count}", flush=True)
        whole = _others_unchanged(folder, list(workspace.districts)[::3], chosen.seed)
    lines = [
        "# Deliveries broken at random",
        "",
        f"{chosen.count:,} files of the sample's {len(workspace.districts)} districts (400 services), seed {chosen.seed}, made by "
        "`python benchmarks/mutations.py`. After each: nothing was raised, every line was counted as an editor counts it, every "
        "record and every volume is consumption or a rejected row, and all four tables keep their contract. (The sample has faulty rows of its own, so no file is taken without a refused row.)",
        "",
        "| damage | what it does | " + " | ".join(OUTCOMES) + " |",
        "| --- | --- |" + " --: |" * len(OUTCOMES),
    ]
    for damage in DAMAGES:
        what = (damage.__doc__ or "").strip().split("\n")[0]
        cells = " | ".join(str(counts[damage.__name__, outcome]) for outcome in OUTCOMES)
        lines.append(f"| {damage.__name__} | {what} | {cells} |")
    totals = " | ".join(str(sum(n for (_, o), n in counts.items() if o == outcome)) for outcome in OUTCOMES)
    lines += [
        f"| all | | {totals} |",
        "",
        f"In whole runs with one broken district ({', '.join(whole)}, in turn), every winter average of the other districts stayed "
        "as it was.",
    ]
    (ROOT / "benchmarks" / "mutations.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
