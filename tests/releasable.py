"""A small utility whose year is run, decided and run again, so that it can be approved.

Belongs here: what tests of approval, verification and release start from. Does not belong here: expectations.
"""

from __future__ import annotations

import csv
import datetime as dt
import shutil
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from whole_runs import annual_billing, query, tiny_workspace

from pipelines.release.approval import approve
from pipelines.release.gate import blocks_of, make_override
from pipelines.release.releasing import release
from pipelines.session import read_session
from rate_tables.schedule import SHIPPED
from validations.workspace import Workspace

YEAR = 2019
UTILITY = "clean_water_services"
ENTERED, DECIDED, APPROVES = "Clerk One", "Clerk Two", "Manager Three"
PEOPLE = f"people: {{{ENTERED}: [enter], {DECIDED}: [enter, decide, approve], {APPROVES}: [approve, release]}}\n"
SERVICES = [f"S{n:02d}" for n in range(1, 9)]
ODD = SERVICES[:2]
STARTS = [dt.date(2018, m, 1) for m in range(5, 13)] + [dt.date(2019, m, 1) for m in range(1, 6)]
ADJUSTMENT = (
    "adjustment_id,service_id,district_id,district_account,meter_id,period_start,period_end,kind,method,volume,less_volume,volume_unit,"
    "share,bills,reached_sewer,linked_to,expires_on,reason,document,entered_by,approved_by\n"
    f"ADJ-1,S05,tiny,AS05,MS05,2018-12-01,2019-01-01,leak,volume,2,,ccf,,,no,,,a leak,LR-1,{ENTERED},{APPROVES}\n"
)


def delivery(january_ccf: dict[str, int]) -> str:
    """A year of months of every service, some with another January."""
    lines = ["Account,Meter,From,To,CCF,Type"]
    for n, service in enumerate(SERVICES):
        for month, (start, end) in enumerate(pairwise(STARTS)):
            usual = 6 + (n + month) % 4
            ccf = january_ccf.get(service, usual) if start == dt.date(2019, 1, 1) else usual
            lines.append(f"A{service},M{service},{start},{end},{ccf},A")
    return "\n".join(lines) + "\n"


def undecided_year(folder: Path, odd: Sequence[str] = ODD) -> Path:
    """A workspace that was run once: of each of ``odd`` a finding waits for a decision, one adjustment was entered, its rates are its own."""
    extract = {
        "sewer_services": [
            f"{s},C{s},P{s},single_family,1,1,1,fernbrook,sewer_utility,monthly,active,2001-01-01,,2010-01-01,district"
            for s in SERVICES
        ],
        "meter_links": [f"{s},tiny,A{s},M{s},domestic,1,2001-01-01," for s in SERVICES],
        "current_averages": [f"{s},7.5,ccf,2018-07-01" for s in SERVICES],
    }
    made = tiny_workspace(folder, {YEAR: delivery(dict.fromkeys(odd, 90))}, {YEAR: extract}, years=[YEAR])
    shutil.copytree(SHIPPED / UTILITY, made / "rate_tables" / UTILITY)
    (made / "adjustments").mkdir()
    (made / "adjustments" / f"{YEAR}.csv").write_text(ADJUSTMENT, encoding="utf-8")
    with (made / "workspace.yaml").open("a", encoding="utf-8") as file:
        file.write(PEOPLE)
    ran = annual_billing("run", YEAR, "--workspace", made)
    assert ran.code == 0, ran.out + ran.err
    return made


def made_anew(source: Path, target: Path) -> Path:
    """A copy of a workspace without anything that was made in it."""
    folder = Path(shutil.copytree(source, target, symlinks=True))
    shutil.rmtree(folder / "work")
    (folder / "log.jsonl").unlink()
    return folder


def open_findings(folder: Path, decision: str) -> Path:
    """A sheet with the same decision about every finding that is open."""
    still_open = query(
        folder,
        "SELECT finding_id, evidence_hash FROM findings WHERE severity <> 'info' AND service_id <> '' ORDER BY 1",
    )
    assert still_open
    sheet = folder.parent / f"{folder.name}_{decision}.csv"
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["finding_id", "evidence_hash", "decision", "reason"])
        writer.writerows([finding, seen, decision, "looked at"] for finding, seen in still_open)
    return sheet


def decide_all(folder: Path, decision: str = "prior_average", by: str = DECIDED) -> None:
    """Take in the same decision about every finding that is open; it counts once the year is run again."""
    sheet = open_findings(folder, decision)
    decided = annual_billing("decide", YEAR, sheet, "--by", by, "--workspace", folder)
    assert decided.code == 0, decided.out + decided.err


def decide_and_run(folder: Path) -> None:
    """Decide what is open and run the year again: it can be approved then."""
    decide_all(folder)
    ran = annual_billing("run", YEAR, "--workspace", folder)
    assert ran.code == 0, ran.out + ran.err


def override_everything(folder: Path, by: str = DECIDED) -> None:
    """Override whatever holds up the release."""
    workspace = Workspace(folder)
    with read_session(workspace) as session:
        blocks = [block.block_id for block in blocks_of(session, YEAR)]
    assert blocks
    for block in blocks:
        make_override(workspace, YEAR, block, by, "to be settled with the next version")


def approve_and_release(folder: Path, by: str = APPROVES) -> None:
    """Release the year as it stands."""
    approve(Workspace(folder), YEAR, by)
    release(Workspace(folder), YEAR, by)


def ssh_key(path: Path) -> str:
    """Make a key of a person's own, without a passphrase. Returns its public part as a line of allowed signers has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)
    return " ".join(path.with_name(f"{path.name}.pub").read_text(encoding="utf-8").split()[:2])
