"""The same inputs give the same bills, whatever the threads and in whichever files and order their rows came.

Belongs here: whole runs of a small year that goes another way. Does not belong here: a clean rebuild after a stop (``test_faults``),
released files (``test_release``), the sample (``benchmarks/same_result.py``).
"""

from __future__ import annotations

import os
from pathlib import Path

from releasable import YEAR, made_anew
from whole_runs import annual_billing, bill_file_bytes, query, table_hashes

from assets.contents import contents_of, digest_of
from pipelines.limits import THREADS_VARIABLE
from pipelines.session import read_session
from validations.workspace import Workspace

NAME_FILES = {
    "adjusted_consumption", "adjustment_steps", "consumption", "contents", "counted_use", "delivered_volume", "deliveries",
    "delivery_totals", "linked_volume", "reconciliation",
}  # fmt: skip
"""Tables that name delivered files, or rows in them."""
WITHOUT_FILES = [
    "SELECT * EXCLUDE (source_file, source_row) FROM adjusted_consumption ORDER BY ALL",
    "SELECT * EXCLUDE (source_file, source_row) FROM consumption ORDER BY ALL",
    "SELECT * EXCLUDE (source_file, source_row) FROM counted_use ORDER BY ALL",
    "SELECT district_id, fate, sum(records), sum(records_inside), sum(volume), sum(volume_inside) FROM delivered_volume GROUP BY ALL ORDER BY ALL",
    'SELECT identity, district_id, sum("left") AS one, sum("right") AS other FROM reconciliation GROUP BY ALL ORDER BY ALL',
]


def digest(folder: Path) -> str:
    """The hash that an approval would name."""
    with read_session(Workspace(folder)) as session:
        return digest_of(contents_of(session, YEAR))


def run(folder: Path, threads: int) -> None:
    ran = annual_billing("run", YEAR, "--workspace", folder, timeout=300, **{THREADS_VARIABLE: str(threads)})
    assert ran.code == 0, ran.err


def test_promise_3_the_same_files_laid_down_later_and_run_anew_with_two_threads_give_every_table_and_byte_again(
    undecided: Path, tmp_path: Path
) -> None:
    folder = made_anew(undecided, tmp_path / "ws")
    for number, path in enumerate(sorted(folder.glob("*/**/*.csv"), reverse=True)):
        os.utime(path, (1_550_000_000 + number, 1_550_000_000 + number))
    run(folder, threads=2)
    assert table_hashes(folder) == table_hashes(undecided)
    assert bill_file_bytes(folder, YEAR) == bill_file_bytes(undecided, YEAR)
    assert digest(folder) == digest(undecided)


def test_promise_3_rows_in_another_order_and_in_two_files_give_the_same_money_and_bill_files_with_four_threads(
    undecided: Path, tmp_path: Path
) -> None:
    folder = made_anew(undecided, tmp_path / "ws")
    delivered = folder / "deliveries" / str(YEAR) / "tiny" / "history.csv"
    header, *rows = delivered.read_text(encoding="utf-8").splitlines()
    delivered.unlink()
    for name, part in (("b.csv", rows[::-2]), ("a.csv", rows[-2::-2])):
        delivered.with_name(name).write_text("\n".join([header, *part]) + "\n", encoding="utf-8")
    run(folder, threads=4)
    made, before = table_hashes(folder), table_hashes(undecided)
    assert {"bills", "bill_lines", "billing_basis"} < made.keys() - NAME_FILES
    assert made.keys() == before.keys()
    assert {name for name in made if made[name] != before[name]} <= NAME_FILES
    for sql in WITHOUT_FILES:
        assert query(folder, sql) == query(undecided, sql) != []
    assert bill_file_bytes(folder, YEAR) == bill_file_bytes(undecided, YEAR)
    assert digest(folder) != digest(undecided), "an approval names the files that were delivered"
