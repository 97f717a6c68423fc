"""A sample of a district's files read against its entry, before anything is run.

Belongs here: taking the sample in as a run would (``receive``, then ``FrontDoor``), what speaks against running it.
Does not belong here: reading, refusing (``assets``), what is shown of it (``shown``), printing (``cli``).

Nothing is written into the workspace: what a run would keep in it goes to a folder that is removed again.
"""

from __future__ import annotations

import fnmatch
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assets.deliveries import receive
from assets.engine import connected
from assets.front_door import DeliveredFile, FrontDoor
from assets.pulling.archive import archived
from pipelines.district_entry.harmless import harmless
from pipelines.district_entry.shown import Checked, show_reading
from pipelines.limits import limits
from pipelines.summary import Table
from rate_tables.config_file import ConfigError
from validations.district import District
from validations.source import Folder
from validations.workspace import Workspace, Year

TOLERATED_PERCENT = 1.0
"""So many records in a hundred may be refused: a few wrong rows are the district's to mend, more are the entry's."""

_MEMORY = "2GB"
"""Of a sample, where the environment does not say how much."""
_BECOMES = {"current": "read", "unpacked": "unpacked", "same_content": "the same content again, read once"}


class _SampleWorkspace(Workspace):
    """A workspace in a folder that is removed again, whose deliveries are a folder elsewhere."""

    def __init__(self, folder: Path, of: Workspace, sample: Path) -> None:
        self.folder, self.file = folder, of.file
        self._sample = sample

    @property
    def folders_of_deliveries(self) -> list[Path]:
        return [self._sample]

    def deliveries(self, billing_year: int, district: District) -> Path:
        return self._sample


@contextmanager
def _connection(scratch: Path) -> Iterator[Any]:
    con = connected(temp_directory=str(scratch / "duckdb"), **{"memory_limit": _MEMORY, **limits()})
    con.raw_sql("SET preserve_insertion_order = true")
    try:
        yield con
    finally:
        con.disconnect()


def check(
    workspace: Workspace, year: Year, entry: District, path: Path, tolerated_percent: float = TOLERATED_PERCENT
) -> Checked:
    """Take the file or folder at ``path`` in as the district's delivery of the year.

    Errors: ConfigError if there is nothing to read at ``path``; none for what is in a file.
    """
    folder, pattern = _where(path)
    checked = Checked(
        f"{harmless(entry.name)} ({entry.district}): read as the delivery of billing year {year.title}; nothing is kept"
    )
    with tempfile.TemporaryDirectory(prefix="annual-billing-check-") as made:
        scratch = Path(made)
        sample = _SampleWorkspace(scratch, workspace, folder)
        local = entry.model_copy(update={"source": Folder(), "files": pattern or entry.files})
        received = receive(sample, year.billing_year, local)
        files = [
            DeliveredFile(row["source_file"], row["content_hash"], archived(sample.archive, row["content_hash"]))
            for row in sorted(received, key=lambda row: row["source_file"])
            if row["status"] == "current"
        ]
        _show_files(checked, received)
        _compare_name(checked, entry, year, path)
        if files:
            with _connection(scratch) as con:
                door = FrontDoor(con, entry, year, files, scratch / "scratch")
                try:
                    show_reading(con, door, tolerated_percent, checked)
                finally:
                    door.close()
    return checked


def _where(path: Path) -> tuple[Path, str | None]:
    """The folder to read; and, if ``path`` is a file, a pattern that it alone matches."""
    shown = harmless(str(path), 200)
    try:
        real = path.resolve(strict=True)
        if real.is_dir():
            next(real.iterdir(), None)
            return real, None
        if not real.is_file():
            raise ConfigError(f"{shown}: this is no ordinary file; name a file or a folder with a sample.")
        with real.open("rb"):
            pass
    except FileNotFoundError:
        raise ConfigError(f"{shown}: does not exist; name a file or a folder with a sample.") from None
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such path can be"
        raise ConfigError(f"{shown}: cannot be read ({reason}).") from None
    return real.parent, "".join(f"[{c}]" if c in "*?[{" else c for c in real.name)


def _show_files(checked: Checked, received: list[dict[str, Any]]) -> None:
    of_files = [row for row in received if row["source_file"]]
    if of_files:
        rows = [
            [harmless(r["source_file"]), _BECOMES.get(r["status"], "not read"), f"{r['bytes']:,}"] for r in of_files
        ]
        checked.parts.append(Table("What is there", ["file", "what becomes of it", "bytes"], rows, numbers_from=2))
    for row in received:
        if row["status"] not in _BECOMES and (row["source_file"] or not of_files):
            sentence = f"{row['source_file']}: {row['message']}" if row["source_file"] else row["message"]
            checked.against.append(harmless(sentence, 500) + ".")


def _compare_name(checked: Checked, entry: District, year: Year, path: Path) -> None:
    """What a run would do otherwise with a file that was named alone."""
    if not path.is_file():
        return
    pattern = entry.files.replace("{year}", str(year.billing_year))
    if not fnmatch.fnmatchcase(path.name, pattern):
        checked.to_know.append(
            f"A run would leave {harmless(path.name)} out for its name: the entry says files: {harmless(pattern)}."
        )
    if entry.account_numbers.cross_reference is not None:
        checked.to_know.append("This entry needs its cross-reference sheet too: check the folder that holds both.")
