"""The store on another machine: below any location that fsspec reaches, such as a bucket of S3.

Belongs here: which files are there, bringing one here to be read, putting one there whole. Does not belong here: what is in the files, their versions (``store``).

Readers work on local copies: a copy is used for as long as the file there is the one it was made from. A file is put there before it takes its place
here, and what an object store puts is there whole or not at all: whoever is killed in between leaves the old slice or the new one there, and a copy that
is no longer used here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec

from assets.durable import whole_file
from assets.store import Cluster, Store
from rate_tables.config_file import ConfigError
from validations.contract import Contract


class RemoteStore(Store):
    """A store whose files lie at ``location``, with copies of those that were read or written in ``folder``.

    What is there is asked once, when it is opened; one run at a time writes. Credentials and the address of a server are where the file system looks for
    them (for S3 the variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL), never in a file of the workspace.
    Errors: ConfigError where the location cannot be reached.
    """

    def __init__(self, folder: Path, con: Any, location: str, cluster: Cluster | None = None) -> None:
        super().__init__(folder, con, cluster)
        self._location = location
        try:
            # Another process may have changed what this one listed before.
            self._files, root = fsspec.url_to_fs(location, skip_instance_cache=True)
            self._root = root.rstrip("/")
            listed = self._files.find(self._root, detail=True)
        except FileNotFoundError:
            listed = {}
        except Exception as error:
            raise self._out_of_reach("be listed", error) from None
        self._marks = {str(name): _mark(about) for name, about in listed.items()}

    def _out_of_reach(self, wanted: str, error: Exception) -> ConfigError:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        return ConfigError(
            f"workspace.yaml: store: {self._location} cannot {wanted} ({why}); allowed: a location such as s3://bucket/folder that answers, "
            "its package installed (annual-billing[remote] for S3) and its credentials in the environment."
        )

    def _name(self, path: Path) -> str:
        return f"{self._root}/{path.relative_to(self.folder).as_posix()}"

    def _names(self, contract_name: str, year: int) -> list[str]:
        below = f"{self._root}/{contract_name}/{year}/"
        return [name.removeprefix(below) for name in self._marks if name.startswith(below)]

    def is_there(self, path: Path) -> bool:
        mark = self._marks.get(self._name(path))
        if mark is None:
            return False
        if not path.is_file() or _copied(path) != mark:
            try:
                with whole_file(path) as beside:
                    self._files.get_file(self._name(path), str(beside))
            except Exception as error:
                raise self._out_of_reach("be read", error) from None
            _note(path, mark)
        return True

    def drop(self, contract: Contract, year: int, slice_id: str) -> None:
        path = self.path(contract, year, slice_id)
        try:
            self._files.rm_file(self._name(path))
        except Exception as error:
            raise self._out_of_reach("be written to", error) from None
        del self._marks[self._name(path)]
        super().drop(contract, year, slice_id)

    def _in_place(self, beside: Path, path: Path) -> None:
        name = self._name(path)
        try:
            self._files.put_file(str(beside), name)
            self._files.invalidate_cache()
            self._marks[name] = _mark(self._files.info(name))
        except Exception as error:
            raise self._out_of_reach("be written to", error) from None

    def _placed(self, path: Path) -> None:
        _note(path, self._marks[self._name(path)])


def _mark(about: dict[str, Any]) -> str:
    """What tells a file there from another of the same name: the tag that an object store gives it, else when it was made and its size."""
    tag = about.get("ETag") or about.get("etag")
    if tag:
        return str(tag).strip('"')
    moment = next(
        (about[key] for key in ("mtime", "LastModified", "last_modified", "updated", "created") if about.get(key)), ""
    )
    return f"{moment} {about.get('size')}"


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.copied")


def _copied(path: Path) -> str:
    """The mark of the file that the copy was made from."""
    try:
        return _beside(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _note(path: Path, mark: str) -> None:
    """Said after the copy is in its place: a copy without it, or with an older one, is made again."""
    with whole_file(_beside(path)) as beside:
        beside.write_text(mark, encoding="utf-8")
