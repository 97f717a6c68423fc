"""Approval: a person says of a year, exactly as it stands, that it may leave the house.

Belongs here: what stands to be approved, whether it changed since the run, adding an approval to the log, finding the one in force.
Does not belong here: what holds up release (``gate``), writing what is released, who may do what (``people``).

An approval names ``digest_of`` the contents. Nothing has to make it void: what was changed has another hash, which nobody has approved.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assets.contents import (
    Content,
    contents_of,
    contents_of_entry,
    contents_of_last_run,
    digest_of,
    keep_files,
    office_files,
)
from assets.deliveries import last_seen_hashes
from assets.log import Entry, Log, canonical
from assets.pulling import lying_there
from assets.stage import Session
from pipelines.release.apart import done_before, not_entitled
from pipelines.release.gate import blocks_of
from pipelines.release.people import as_listed, require
from pipelines.release.signature import NotSigned, fingerprint_of_signer, signed
from pipelines.session import open_session
from pipelines.summary import NotRun
from validations.gate import Block
from validations.workspace import Workspace

_MOST_SHOWN = 12
_DONE = {"enter": "entered adjustments", "decide": "decided findings or overrides"}


class NotApproved(Exception):
    """There is no approval, or there cannot be one; the message says why and what to do."""


@dataclass(frozen=True)
class Approval:
    """An approval in the log. ``signer`` is the fingerprint of the key that signed it, or empty."""

    number: int
    at: str
    by: str
    digest: str
    entry_hash: str
    signer: str


@dataclass(frozen=True)
class Approved:
    """What became of ``approve``: the approval, and what still holds up the release."""

    approval: Approval
    blocks: list[Block]


def statement(workspace: Workspace, billing_year: int, digest: str, by: str) -> bytes:
    """What is signed: the whole sentence, so that a signature of one year or utility is none of another."""
    return canonical({
        "statement": "approved for release", "utility": workspace.file.name, "billing_year": billing_year, "digest": digest, "by": by,
    })  # fmt: skip


def differences(then: list[Content], now: list[Content]) -> list[str]:
    """Names of what differs between two lists of contents, each with what became of it."""
    before, after = ({(one.kind, one.name): one.content_hash for one in contents} for contents in (then, now))
    words = {(True, True): "changed", (True, False): "gone", (False, True): "new"}
    return [
        f"{kind} {name} ({words[(kind, name) in before, (kind, name) in after]})"
        for kind, name in sorted(before.keys() | after.keys())
        if before.get((kind, name)) != after.get((kind, name))
    ]


def changed_since_run(session: Session, billing_year: int, now: list[Content]) -> list[str]:
    """What is not as the year's last run found it; ``now`` are the contents as they stand. Overrides are no part of a run.

    Errors: NotRun if the year has not been run to its end.
    """
    then = contents_of_last_run(session, billing_year)
    if not then:
        raise NotRun(f"billing year {billing_year} has not been run here; run: annual-billing run {billing_year}")
    of_run = ([one for one in contents if one.kind != "overrides"] for contents in (then, now))
    return [*differences(*of_run), *deliveries_changed(session.workspace, billing_year)]


def deliveries_changed(workspace: Workspace, billing_year: int) -> list[str]:
    """Files in districts' folders that are not as the last run saw them. What lies on a server is not looked at."""
    changed = []
    for district in workspace.districts:
        entry = workspace.district(district, billing_year)
        there, seen = lying_there(workspace, billing_year, entry), last_seen_hashes(workspace, billing_year, entry)
        if there is not None:
            before, after = (
                [Content("delivery", f"{district}/{n}", h) for n, h in files.items()] for files in (seen, there)
            )
            changed += differences(before, after)
    return changed


def in_a_few_words(names: list[str]) -> str:
    """The first names of a list for a sentence."""
    more = len(names) - _MOST_SHOWN
    return "; ".join(names[:_MOST_SHOWN]) + (f"; and {more:,} more" if more > 0 else "")


def contents_to_release(session: Session, billing_year: int) -> list[Content]:
    """The contents as they stand, if the last run made them and nothing has changed since.

    Errors: NotApproved saying what changed; NotRun; ConfigError if a file of the workspace cannot be used.
    """
    now = contents_of(session, billing_year)
    changed = changed_since_run(session, billing_year, now)
    if changed:
        raise NotApproved(
            f"Changed since the last run that came to its end: {in_a_few_words(changed)}. Run the year again, look at it, and approve "
            f"that: annual-billing run {billing_year}"
        )
    return now


def approve(workspace: Workspace, billing_year: int, by: str, key: Path | None = None) -> Approved:
    """Add to the log that ``by`` has approved the year as it stands, signed with ``key`` if one is given.

    The same person's same approval again adds nothing. Errors: NotApproved, NotEntitled, NotSigned, NotRun, LogBroken,
    WorkspaceBusy, each with what to do; ConfigError.
    """
    workspace.year(billing_year)
    by = as_listed(workspace, by)
    require(workspace, by, "approve")
    if key is None and workspace.file.approval.signature == "demanded":
        raise NotSigned(
            "This workspace demands signed approvals (workspace.yaml, approval.signature): add --key FILE, your SSH key."
        )
    with open_session(workspace) as session:
        contents = contents_to_release(session, billing_year)
        _refuse_if_not_apart(session, billing_year, by)
        blocks = blocks_of(session, billing_year)
        digest = digest_of(contents)
        about: dict[str, Any] = {
            "digest": digest,
            "contents": [[one.kind, one.name, one.content_hash, one.rows] for one in contents],
        }
        if key is not None:
            said = statement(workspace, billing_year, digest, by)
            about["signature"] = signed(said, key)
            fingerprint_of_signer(said, about["signature"], by, workspace.allowed_signers)
        for entry in _entries_of(workspace, billing_year, digest):
            if entry.by == by and ("signature" in entry.about or key is None) and (found := _holds(workspace, entry)):
                return Approved(found, blocks)
        keep_files(workspace, list(office_files(workspace, workspace.year(billing_year))))
        entry = Log(workspace).append("approval", billing_year, by, about)
        found = _holds(workspace, entry)
        if found is None:
            raise NotApproved(
                "The approval was written and does not hold: the signature ended in the meantime. Approve again."
            )
        return Approved(found, blocks)


def _refuse_if_not_apart(session: Session, billing_year: int, by: str) -> None:
    done = done_before(session, billing_year, by)
    if done:
        raise NotApproved(
            f"This person has {' and '.join(_DONE[right] for right in done)} for {billing_year}, so somebody else approves it "
            "(workspace.yaml, approval.apart_from)."
        )
    wrong = not_entitled(session, billing_year)
    if wrong:
        raise NotApproved("\n".join(wrong))


def _entries_of(workspace: Workspace, billing_year: int, digest: str) -> list[Entry]:
    """Approvals of the year that name this hash, the latest first."""
    found = [e for e in Log(workspace).entries(billing_year, "approval") if e.about.get("digest") == digest]
    return found[::-1]


def _holds(workspace: Workspace, entry: Entry) -> Approval | None:
    """The approval in an entry; None if its signature is wrong, or lacks where the workspace demands one."""
    digest, signature = str(entry.about["digest"]), entry.about.get("signature")
    signer = ""
    if signature is not None:
        said = statement(workspace, entry.billing_year, digest, entry.by)
        try:
            signer = fingerprint_of_signer(said, str(signature), entry.by, workspace.allowed_signers, entry.at)
        except NotSigned:
            return None
    elif workspace.file.approval.signature == "demanded":
        return None
    return Approval(entry.number, entry.at, entry.by, digest, entry.hash, signer)


def approval_in_force(workspace: Workspace, billing_year: int, digest: str) -> Approval | None:
    """The latest approval of the year that names this hash and holds, or None. LogBroken."""
    held = (_holds(workspace, entry) for entry in _entries_of(workspace, billing_year, digest))
    return next((approval for approval in held if approval is not None), None)


def standing(session: Session, billing_year: int) -> str:
    """Whether the year is approved as it stands, in a sentence for ``status``. Errors: NotRun; LogBroken; ConfigError."""
    try:
        contents = contents_to_release(session, billing_year)
    except NotApproved as why:
        return str(why)
    approval = approval_in_force(session.workspace, billing_year, digest_of(contents))
    if approval is None:
        return why_not_approved(session.workspace, billing_year, contents)
    signed = f"signed with the key {approval.signer}" if approval.signer else "not signed"
    return f"Approved as it stands: log entry {approval.number}, {approval.at}, {signed}."


def why_not_approved(workspace: Workspace, billing_year: int, contents: list[Content]) -> str:
    """The sentence for a release of contents that no approval in force names: what has changed since the last one."""
    do = f"Have it approved as it stands: annual-billing approve {billing_year} --by NAME"
    approvals = Log(workspace).entries(billing_year, "approval")
    if not approvals:
        return f"Nobody has approved {billing_year}. {do}"
    last = approvals[-1]
    changed = differences(contents_of_entry(last), contents)
    if changed:
        return f"Changed since it was approved (log entry {last.number}): {in_a_few_words(changed)}. {do}"
    return (
        f"The approval in log entry {last.number} does not hold: it is not signed, or {workspace.allowed_signers.name} does not list its "
        f"signature. {do} --key FILE"
    )
