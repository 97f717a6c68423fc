"""Verification: everything that a year rests on and that left the house, held against the hashes in the log.

Belongs here: what is looked at, and the sentence for whatever is not as it was.
Does not belong here: the chain itself (``assets.log``), what counts as content (``assets.contents``), mending anything.

Nothing is loaded before its bytes are compared: a file that a changed byte made unreadable is named like any other.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from assets.billing_database import unlike_store
from assets.contents import (
    GROWING,
    SETTINGS,
    TABLES,
    Content,
    contents_of_entry,
    office_files,
    path_of_rules,
    settings_of,
    table_contents,
)
from assets.log import Entry, Log
from assets.pulling.archive import archived, content_hash_of
from assets.store import WHOLE
from pipelines.release.approval import deliveries_changed, statement
from pipelines.release.growing_files import states_in_log
from pipelines.release.signature import NotSigned, fingerprint_of_signer
from pipelines.session import WAIT_SECONDS, lock, read_session
from pipelines.summary import NotRun
from rate_tables.config_file import ConfigError
from validations.tables import BILL_FILES
from validations.workspace import MARKER, Workspace

PUT_BACK = "Put it back from a copy"


@dataclass
class Proof:
    """What was looked at, and a sentence for each thing that is not as the log holds it. Without sentences, all is proved."""

    looked_at: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def count(self, what: str, number: int = 1) -> None:
        self.looked_at[what] = self.looked_at.get(what, 0) + number

    def add(self, sentence: str) -> None:
        if sentence not in self.wrong:
            self.wrong.append(sentence)


def verify(workspace: Workspace, billing_year: int) -> Proof:
    """Hold the year against the log: deliveries, sheets, decisions, schedules, tables, approvals, releases.

    Errors: NotRun if the log knows of no run of the year; WorkspaceBusy while a run goes on; ConfigError if the workspace
    does not have the year.
    """
    if billing_year not in workspace.file.billing_years:
        allowed = ", ".join(map(str, workspace.file.billing_years))
        raise ConfigError(f"workspace.yaml: key billing_years: {billing_year} is not listed; allowed: {allowed}.")
    with lock(workspace.work, WAIT_SECONDS):
        everything, wrong = Log(workspace).read_as_far_as_possible()
        proof = Proof(wrong=wrong)
        proof.count("log entries", len(everything))
        entries = [entry for entry in everything if entry.billing_year == billing_year]
        runs = [entry for entry in entries if entry.kind == "run"]
        if not runs and not wrong:
            raise NotRun(f"the log knows of no run of {billing_year}; run: annual-billing run {billing_year}")
        _kept_copies(workspace, entries, proof)
        _growing_files(workspace, entries, proof)
        _answers(workspace, entries, proof)
        _signatures(workspace, entries, proof)
        check_releases(workspace, billing_year, everything, proof)
        if runs:
            _as_last_run(workspace, billing_year, entries, runs[-1], proof)
    return proof


def _shown(workspace: Workspace, path: Path) -> str:
    return path.relative_to(workspace.folder).as_posix() if path.is_relative_to(workspace.folder) else path.name


def _kept_copies(workspace: Workspace, entries: list[Entry], proof: Proof) -> None:
    """Every content that a run or an approval of the year rested on lies unchanged in the archive, and so does every sheet of appeals."""
    found: dict[tuple[str, str, str], int] = {}
    for entry in entries:
        for one in [*contents_of_entry(entry), *_appeals(entry)]:
            if one.kind != "table":
                found.setdefault((one.kind, one.name, one.content_hash), entry.number)
    for (kind, name, content_hash), number in sorted(found.items()):
        path = archived(workspace.archive, content_hash)
        what = f"{kind} {name}: the copy kept of it, {_shown(workspace, path)},"
        proof.count("deliveries" if kind == "delivery" else "kept copies of sheets, decisions and schedules")
        if not path.is_file():
            proof.add(f"{what} is gone; log entry {number} rests on it. {PUT_BACK}.")
        elif content_hash_of(path) != content_hash:
            proof.add(f"{what} was changed after log entry {number}. {PUT_BACK}; its SHA-256 is its name.")


def _appeals(entry: Entry) -> list[Content]:
    """The sheet of appeals as an entry about it holds it."""
    if entry.kind != "appeal":
        return []
    return [Content("appeals", str(entry.about["sheet"]), str(entry.about["sheet_hash"]))]


def _answers(workspace: Workspace, entries: list[Entry], proof: Proof) -> None:
    """Every answer that was taken in lies unchanged in its folder."""
    kept = {str(n): (str(h), e.number) for e in entries if e.kind == "answer" for n, h in e.about["files"]}
    for name, (content_hash, number) in sorted(kept.items()):
        proof.count("answers")
        path = workspace.folder / name
        if not path.is_file():
            proof.add(f"{name} is gone; log entry {number} rests on it. {PUT_BACK}.")
        elif content_hash_of(path) != content_hash:
            proof.add(f"{name} was changed after log entry {number}. {PUT_BACK}.")


def _as_last_run(workspace: Workspace, billing_year: int, entries: list[Entry], run: Entry, proof: Proof) -> None:
    """Files on disk, tables and drafts are as the last run had them."""
    again = f"{PUT_BACK}, or run the year again if the change is meant: annual-billing run {billing_year}"
    recorded = {one.name: one for one in contents_of_entry(run)}
    sheets = {one.name: one for entry in entries for one in _appeals(entry)}
    for one in [*recorded.values(), *sheets.values()]:
        if one.kind in ("table", "delivery", *GROWING) or one.name == SETTINGS:
            continue
        path = path_of_rules(workspace, one.name)
        proof.count("sheets, schedules and rules")
        if not path.is_file():
            proof.add(f"{one.kind} {one.name} is gone since log entry {run.number}. {again}")
        elif content_hash_of(path) != one.content_hash:
            where = _first_difference(path, archived(workspace.archive, one.content_hash))
            proof.add(f"{one.kind} {one.name} was changed{where} since log entry {run.number}. {again}")
    try:
        year = workspace.year(billing_year)
        files = list(office_files(workspace, year))
        changed = deliveries_changed(workspace, billing_year)
        settings = settings_of(workspace, year)
    except ConfigError as error:
        proof.add(str(error))
        return
    for file in files:
        if file.name not in recorded and file.kind not in GROWING:
            proof.add(
                f"{file.kind} {file.name} was put there since log entry {run.number}. Run the year again, or take it out."
            )
    for what in changed:
        proof.add(f"{what} in the district's folder since the last run. {again}")
    if SETTINGS not in recorded or recorded[SETTINGS].content_hash != settings.content_hash:
        proof.add(f"{SETTINGS}: not as log entry {run.number} has them. {again}")
    _made(workspace, billing_year, run, recorded, proof)


def _made(workspace: Workspace, billing_year: int, run: Entry, recorded: dict[str, Content], proof: Proof) -> None:
    """Tables of the store are those of the run; the published ones and the drafts of bill files are those of the store."""
    again = f"a run was broken off, or it was changed. Run the year again: annual-billing run {billing_year}"
    damaged = False
    with read_session(workspace) as session:
        for contract in TABLES:
            proof.count("tables")
            try:
                ((of_table,), _) = table_contents(session, billing_year, contract)
                now = of_table.content_hash
            except (duckdb.Error, KeyError):
                now, damaged = "damaged", True
            if contract.name not in recorded or recorded[contract.name].content_hash != now:
                proof.add(f"table {contract.name} in the store: not as log entry {run.number} has it; {again}")
        try:
            drafts = {
                str(row["file"]): str(row["content_hash"])
                for row in session.store.con.to_pyarrow(
                    session.store.read(BILL_FILES, billing_year, [WHOLE])
                ).to_pylist()
            }
        except (duckdb.Error, KeyError) as error:
            proof.add(f"table {BILL_FILES.name} in the store cannot be read ({type(error).__name__}); {again}")
            return
        database = _shown(workspace, workspace.database)
        try:
            # A table that cannot be read cannot be compared either, and is named above.
            for name in [] if damaged else unlike_store(session, billing_year):
                proof.add(f"{database}: table {name} not as the store has it; {again}")
        except duckdb.Error as error:
            proof.add(
                f"{database} cannot be read ({type(error).__name__}). If a program has it open for writing, close that; else it was "
                f"changed: run the year again: annual-billing run {billing_year}"
            )
    for file, content_hash in sorted(drafts.items()):
        path = workspace.bill_files / file
        proof.count("drafts of bill files")
        if not path.is_file() or content_hash_of(path) != content_hash:
            proof.add(f"{_shown(workspace, workspace.bill_files)}/{file}, a draft: not as the run wrote it; {again}")


def _first_difference(path: Path, kept: Path) -> str:
    """In which line a file first differs from its kept copy, for a sentence; empty if there is no copy or it has no lines."""
    if path.suffix not in (".csv", ".yaml", ".txt") or not kept.is_file():
        return ""
    now, then = path.read_bytes().split(b"\n"), kept.read_bytes().split(b"\n")
    same = next((i for i, (a, b) in enumerate(zip(now, then, strict=False)) if a != b), min(len(now), len(then)))
    return f", first in line {same + 1},"


def _growing_files(workspace: Workspace, entries: list[Entry], proof: Proof) -> None:
    """Files that are only added to still begin with every state that the log holds, and hold no more than the last."""
    states = states_in_log(workspace, entries)
    for billed in (workspace.decisions, workspace.overrides):
        path = billed(entries[0].billing_year) if entries else None
        if path is not None and path.is_file():
            states.setdefault(_shown(workspace, path), [])
    for name, known in sorted(states.items()):
        proof.count("files of decisions")
        path = workspace.folder / name
        content = path.read_bytes() if path.is_file() else b""
        for size, content_hash, number in known:
            if hashlib.sha256(content[:size]).hexdigest() != content_hash or len(content) < size:
                where = _first_difference(path, archived(workspace.archive, content_hash)) if path.is_file() else ""
                proof.add(
                    f"{name} was changed{where} after log entry {number}: lines of it are not as they were taken in, and it is only "
                    f"added to. {PUT_BACK}."
                )
                break
        else:
            if len(content) > max((size for size, _, _ in known), default=0):
                proof.add(
                    f"{name} ends with lines that no entry of the log knows. Look at them; if a command was stopped while it took them "
                    "in, the next run takes them into the log, else take them out."
                )


def _signatures(workspace: Workspace, entries: list[Entry], proof: Proof) -> None:
    for entry in entries:
        if entry.kind != "approval":
            continue
        proof.count("approvals")
        if "signature" in entry.about:
            said = statement(workspace, entry.billing_year, str(entry.about.get("digest")), entry.by)
            try:
                fingerprint_of_signer(
                    said, str(entry.about["signature"]), entry.by, workspace.allowed_signers, entry.at
                )
            except NotSigned as error:
                proof.add(f"log entry {entry.number}, approval: {error}")


def check_releases(workspace: Workspace, billing_year: int, everything: list[Entry], proof: Proof) -> None:
    """Every release that the log knows is there whole, every one that is there is in the log, and each names a head of this log."""
    recorded = {
        str(e.about.get("version")): e for e in everything if e.kind == "release" and e.billing_year == billing_year
    }
    folder = workspace.bill_files / str(billing_year)
    there = {p.parent.name.removeprefix("v"): p.parent for p in sorted(folder.glob(f"v*/{MARKER}"))}
    for version in sorted(recorded.keys() | there.keys()):
        name = f"{_shown(workspace, folder)}/v{version}"
        proof.count("releases")
        if version not in there:
            proof.add(f"{name}: release {version} (log entry {recorded[version].number}) has no {MARKER}. {PUT_BACK}.")
            continue
        if version not in recorded:
            proof.add(
                f"{name}: the log knows of no such release. If a command was stopped, release {billing_year} again; else it is not one "
                "of this workspace."
            )
        elif content_hash_of(there[version] / MARKER) != recorded[version].about.get("marker_hash"):
            proof.add(f"{name}/{MARKER} was changed after log entry {recorded[version].number}. {PUT_BACK}.")
        check_release(there[version], name, everything, proof)


def check_release(folder: Path, name: str, everything: list[Entry], proof: Proof) -> None:
    """The files of one version are those that its marker names, and the marker names an approval and a head of this log."""
    try:
        marker: dict[str, Any] = json.loads((folder / MARKER).read_bytes())
        files = {str(one["file"]): str(one["content_hash"]) for one in marker["files"]}
        head, approval = str(marker["log_head"]), str(marker["approval"]["entry_hash"])
    except (ValueError, KeyError, TypeError):
        proof.add(f"{name}/{MARKER} cannot be read. {PUT_BACK}.")
        return
    if head not in {entry.hash for entry in everything}:
        proof.add(f"{name}/{MARKER}: the log has no entry with the hash that was its head; lines were taken out of it.")
    if approval not in {entry.hash for entry in everything if entry.kind == "approval"}:
        proof.add(f"{name}/{MARKER}: the log has no approval with the hash that it names.")
    for file, content_hash in sorted(files.items()):
        path = folder / file
        proof.count("released files")
        if not path.is_file():
            proof.add(f"{name}/{file} is gone. {PUT_BACK}.")
        elif content_hash_of(path) != content_hash:
            proof.add(f"{name}/{file} was changed after it was released. {PUT_BACK}.")
    for path in sorted(folder.rglob("*")):
        file = path.relative_to(folder).as_posix()
        if path.is_file() and file not in files and file != MARKER:
            proof.add(f"{name}/{file} was put there after the release. Take it out.")
