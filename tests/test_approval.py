"""A person approves a year exactly as it stands: who may, what makes it void, and proof by an SSH key."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from releasable import APPROVES, DECIDED, ENTERED, PEOPLE, UTILITY, YEAR, override_everything, ssh_key
from whole_runs import annual_billing

from assets.contents import contents_of, digest_of
from assets.log import Log
from pipelines.release.approval import NotApproved, approval_in_force, approve, standing
from pipelines.release.people import NotEntitled
from pipelines.release.reconciliation_page import page_of
from pipelines.release.releases import last
from pipelines.release.releasing import NotReleased, release
from pipelines.release.signature import NotSigned
from pipelines.release.verification import verify
from pipelines.session import read_session
from rate_tables.config_file import ConfigError
from validations.workspace import Workspace


@pytest.fixture
def folder(decided: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(decided, tmp_path / "ws", symlinks=True))


def set_up(folder: Path, *lines: str, people: str = "") -> Workspace:
    """The workspace with these lines in ``workspace.yaml``, and these people in place of those it lists."""
    path = folder / "workspace.yaml"
    text = path.read_text(encoding="utf-8").replace(PEOPLE, people)
    path.write_text(text + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return Workspace(folder)


def stands_approved(workspace: Workspace) -> bool:
    """Whether an approval in force names what stands."""
    with read_session(workspace) as session:
        return approval_in_force(workspace, YEAR, digest_of(contents_of(session, YEAR))) is not None


def test_an_approval_names_the_hash_of_exactly_what_stands_and_again_by_the_same_person_adds_nothing(
    folder: Path,
) -> None:
    workspace = Workspace(folder)
    with read_session(workspace) as session:
        digest = digest_of(contents_of(session, YEAR))
    said = annual_billing("approve", YEAR, "--by", APPROVES, "--workspace", folder)
    assert said.code == 0, said.err
    assert f"Approved: {YEAR} as it stands, {digest}" in said.out
    entries = Log(workspace).entries(YEAR, "approval")
    assert approve(workspace, YEAR, APPROVES.upper()).approval.digest == digest
    assert Log(workspace).entries(YEAR, "approval") == entries
    assert digest_of([]) != digest == entries[0].about["digest"]
    with read_session(workspace) as session:
        assert standing(session, YEAR).startswith(f"Approved as it stands: log entry {entries[0].number}")


def test_an_approval_names_the_hash_that_the_reconciliation_page_shows_overrides_included(
    undecided: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(undecided, tmp_path / "ws", symlinks=True))
    override_everything(folder)
    with read_session(Workspace(folder)) as session:
        shown = page_of(session, YEAR).digest
    assert approve(Workspace(folder), YEAR, APPROVES).approval.digest == shown


@pytest.mark.parametrize(
    "file",
    [
        f"deliveries/{YEAR}/tiny/history.csv", f"cis_extract/{YEAR}/sewer_services.csv", f"adjustments/{YEAR}.csv",
        f"decisions/{YEAR}.csv", f"rate_tables/{UTILITY}/2019-07-01.yaml", "districts/tiny.yaml",
    ],
)  # fmt: skip
def test_whatever_is_changed_after_an_approval_makes_it_void_and_is_named(folder: Path, file: str) -> None:
    workspace = Workspace(folder)
    approve(workspace, YEAR, APPROVES)
    path = folder / file
    path.write_bytes(path.read_bytes() + b"\n")
    (folder / "rate_tables" / UTILITY / "schedules.lock").unlink()
    with pytest.raises((NotApproved, ConfigError)) as refused:
        release(Workspace(folder), YEAR, APPROVES)
    assert file.removeprefix(f"deliveries/{YEAR}/") in str(refused.value)
    assert last(workspace, YEAR) is None


@pytest.mark.parametrize(
    ("lines", "people", "by", "refused"),
    [
        ((), PEOPLE, APPROVES, None),
        ((), PEOPLE, DECIDED, NotApproved),
        ((), PEOPLE, ENTERED, NotEntitled),
        ((), PEOPLE, "Some Body", NotEntitled),
        ((), "", ENTERED, NotApproved),
        ((), "", DECIDED, NotApproved),
        ((), "", "Some Body", None),
        (("approval: {apart_from: [enter]}",), PEOPLE, DECIDED, None),
        (("approval: {apart_from: []}",), "", ENTERED, None),
        ((f"may_approve: [{APPROVES}]",), "", "Some Body", NotEntitled),
        ((f"may_approve: [{APPROVES}]",), "", "manager  three", None),
        ((), PEOPLE.replace(f"{ENTERED}: [enter]", f"{ENTERED}: [approve]"), APPROVES, NotApproved),
    ],
)
def test_who_entered_or_decided_does_not_approve_unless_the_workspace_says_less(
    folder: Path, lines: tuple[str, ...], people: str, by: str, refused: type[Exception] | None
) -> None:
    workspace = set_up(folder, *lines, people=people)
    if refused is None:
        approve(workspace, YEAR, by)
        assert stands_approved(workspace)
        return
    with pytest.raises(refused) as error:
        approve(workspace, YEAR, by)
    assert not any(name in str(error.value) for name in (ENTERED, DECIDED, APPROVES))
    assert not stands_approved(workspace)


def test_where_signatures_are_demanded_only_one_by_the_persons_key_holds_and_the_release_carries_it(
    folder: Path, tmp_path: Path
) -> None:
    public = ssh_key(tmp_path / "keys" / "manager")
    (folder / "allowed_signers").write_text(f'"{APPROVES}" {public}\n', encoding="utf-8")
    approve(Workspace(folder), YEAR, APPROVES)
    workspace = set_up(folder, "approval: {signature: demanded}", people=PEOPLE)
    with pytest.raises(NotSigned, match="--key FILE"):
        approve(workspace, YEAR, APPROVES)
    with pytest.raises(NotReleased, match="it is not signed"):
        release(workspace, YEAR, APPROVES)
    signed = approve(workspace, YEAR, APPROVES, tmp_path / "keys" / "manager").approval
    assert signed.signer.startswith("SHA256:")
    released = release(workspace, YEAR, APPROVES).released
    assert json.loads((released.folder / "release.json").read_bytes())["approval"]["signer"] == signed.signer
    assert verify(workspace, YEAR).wrong == []
    (folder / "allowed_signers").write_text(f'"{DECIDED}" {public}\n', encoding="utf-8")
    (wrong,) = verify(workspace, YEAR).wrong
    assert wrong.startswith(f"log entry {signed.number}, approval: the signature is not one that allowed_signers lists")


def of_another_key(folder: Path, keys: Path) -> None:
    (folder / "allowed_signers").write_text(f'"{APPROVES}" {ssh_key(keys / "other")}\n', encoding="utf-8")


def of_another_person(folder: Path, keys: Path) -> None:
    (folder / "allowed_signers").write_text(f'"{DECIDED}" {(keys / "manager.pub").read_text()}', encoding="utf-8")


def not_held_any_more(folder: Path, keys: Path) -> None:
    public = " ".join((keys / "manager.pub").read_text(encoding="utf-8").split()[:2])
    line = f'"{APPROVES}" valid-before="20200101" {public}\n'
    (folder / "allowed_signers").write_text(line, encoding="utf-8")


def nobody(folder: Path, keys: Path) -> None:
    """There is no such file."""


@pytest.mark.parametrize("lists", [of_another_key, of_another_person, not_held_any_more, nobody])
def test_a_signature_that_the_workspace_does_not_list_for_the_person_is_refused_and_nothing_is_logged(
    folder: Path, tmp_path: Path, lists: Callable[[Path, Path], None]
) -> None:
    ssh_key(tmp_path / "keys" / "manager")
    lists(folder, tmp_path / "keys")
    workspace = Workspace(folder)
    before = Log(workspace).head()
    with pytest.raises(NotSigned):
        approve(workspace, YEAR, APPROVES, tmp_path / "keys" / "manager")
    assert Log(workspace).head() == before
