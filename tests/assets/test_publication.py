"""Readers see what one run has published, whole: the database and the drafts of bill files change in one rename."""

from __future__ import annotations

from pathlib import Path

import pytest
from whole_runs import committed_sample

from assets.publication import link_drafts, next_publication
from validations.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(committed_sample(tmp_path / "sample"))


def published(workspace: Workspace, said: str, *years: int) -> None:
    """Publish a database and drafts that say this."""
    with next_publication(workspace) as folder:
        (folder / workspace.database.name).write_text(said, encoding="utf-8")
        drafts = {year: workspace.drafts / str(year) / said for year in years}
        for made in drafts.values():
            made.mkdir(parents=True, exist_ok=True)
            (made / "agency.csv").write_text(said, encoding="utf-8")
        link_drafts(workspace, folder, drafts)


def seen(workspace: Workspace, year: int = 2019) -> tuple[str, str]:
    """What a reader finds in the database and in a draft; empty where there is none."""
    paths = (workspace.database, workspace.bill_files / str(year) / "draft" / "agency.csv")
    first, second = (path.read_text(encoding="utf-8") if path.exists() else "" for path in paths)
    return first, second


def broken_off(workspace: Workspace, before: tuple[str, str]) -> None:
    """Begin to publish, look at what readers see, and fail."""
    with next_publication(workspace) as folder:
        (folder / workspace.database.name).write_text("half", encoding="utf-8")
        assert seen(workspace) == before
        raise InterruptedError


def test_nothing_of_a_publication_is_seen_before_all_of_it(workspace: Workspace) -> None:
    with pytest.raises(InterruptedError):
        broken_off(workspace, ("", ""))
    assert seen(workspace) == ("", "")
    published(workspace, "one", 2019)
    with pytest.raises(InterruptedError):
        broken_off(workspace, ("one", "one"))
    assert seen(workspace) == ("one", "one")
    published(workspace, "three", 2018, 2019)
    assert (seen(workspace, 2018), seen(workspace)) == (("three", "three"), ("three", "three"))
    assert sorted(path.is_symlink() for path in workspace.publications.iterdir()) == [False, True]


def test_whoever_has_the_database_open_keeps_it_and_a_log_left_beside_it_is_not_played_into_the_next(
    workspace: Workspace,
) -> None:
    published(workspace, "one", 2019)
    left = Path(f"{workspace.database}.wal")
    left.write_text("of the old file", encoding="utf-8")
    with workspace.database.open(encoding="utf-8") as opened:
        published(workspace, "two", 2019)
        assert opened.read() == "one"
    assert not left.exists()


def test_files_where_the_links_should_be_as_in_a_copy_of_a_workspace_are_replaced(workspace: Workspace) -> None:
    draft = workspace.bill_files / "2019" / "draft"
    draft.mkdir(parents=True)
    (draft / "agency.csv").write_text("copied", encoding="utf-8")
    workspace.database.write_text("copied", encoding="utf-8")
    published(workspace, "one", 2019)
    assert seen(workspace) == ("one", "one")
    assert draft.is_symlink()
    assert workspace.database.is_symlink()
