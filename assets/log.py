"""The log: runs, decisions, overrides, approvals, releases and answers of a workspace, each entry holding the hash of the one before.

Belongs here: the form of an entry, adding one whole or not at all, finding what was changed in it.
Does not belong here: what an entry is about (whoever adds it), holding files against it (``pipelines.release.verification``).

``log.jsonl`` lies beside what people wrote, not below ``work/``, which may be deleted. One entry a line: its canonical JSON with
``hash``, the SHA-256 of the same without ``hash``. So a line has one form only, and a changed byte of it is a wrong line. Half a line
at the end was being written when its writer was killed; it never counted, and the next entry takes its place.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

from assets.durable import force_to_disk
from validations.workspace import Workspace

Kind = Literal["run", "decisions", "override", "approval", "release", "answer", "appeal", "reproduction"]
KINDS: tuple[str, ...] = get_args(Kind)
BEGINNING = "0" * 64
"""``previous`` of the first entry, and the head of a log without any."""
_FIELDS = {"number", "at", "kind", "billing_year", "by", "about", "previous", "hash"}


class LogBroken(Exception):
    """The log is not as it was written; the message names the line and what to do."""


@dataclass(frozen=True)
class Entry:
    """One entry. ``at`` is UTC; ``by`` is a name as it was typed, or empty; ``about`` holds hashes and names of things."""

    number: int
    at: str
    kind: str
    billing_year: int
    by: str
    about: dict[str, Any]
    previous: str
    hash: str


def canonical(content: Mapping[str, Any]) -> bytes:
    """The one form of some JSON: keys in order, no spaces, UTF-8, no figures with a fraction."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _line(content: dict[str, Any]) -> bytes:
    digest = hashlib.sha256(canonical(content)).hexdigest()
    return canonical({**content, "hash": digest}) + b"\n"


def _parsed(line: bytes) -> Entry | None:
    """The entry that a line (without its end) holds, or None if no entry was ever written like this."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or set(content) != _FIELDS or not isinstance(content["about"], dict):
        return None
    try:
        is_as_written = _line({name: value for name, value in content.items() if name != "hash"}) == line + b"\n"
    except ValueError:
        return None
    return Entry(**content) if is_as_written else None


class Log:
    """The log of one workspace. Writers wait for each other; readers see whole entries only."""

    def __init__(self, workspace: Workspace) -> None:
        self.path = workspace.log

    def entries(self, billing_year: int | None = None, kind: Kind | None = None) -> list[Entry]:
        """Entries in order, all or of a year or kind. LogBroken if a line is not as it was written."""
        found, wrong = self._checked(self._content())
        if wrong:
            raise LogBroken(wrong[0])
        return [e for e in found if billing_year in (None, e.billing_year) and kind in (None, e.kind)]

    def head(self) -> str:
        """Hash of the last entry. LogBroken as for ``entries``."""
        entries = self.entries()
        return entries[-1].hash if entries else BEGINNING

    def broken(self) -> list[str]:
        """A sentence for each line that is not as it was written or does not follow the one before."""
        return self.read_as_far_as_possible()[1]

    def read_as_far_as_possible(self) -> tuple[list[Entry], list[str]]:
        """The entries that are as they were written, and a sentence for each line that is not, a torn last one included."""
        content = self._content()
        found, wrong = self._checked(content)
        if content and not content.endswith(b"\n"):
            wrong.append(
                f"{self.path.name}, line {content.count(10) + 1}: the line has no end. If a command was stopped while it wrote the "
                "line, the next run mends that; else put back the log from a copy."
            )
        return found, wrong

    def append(self, kind: Kind, billing_year: int, by: str, about: Mapping[str, Any]) -> Entry:
        """Add an entry, on disk when this returns. LogBroken if the log is not as it was written; nothing is added then."""
        with self._locked() as (descriptor, entries):
            return self._added(descriptor, entries, kind, billing_year, by, about)

    def append_unless_same(self, kind: Kind, billing_year: int, by: str, about: Mapping[str, Any]) -> Entry | None:
        """The same, but None and nothing added where the last entry of this kind and year is about the same."""
        with self._locked() as (descriptor, entries):
            last = [entry.about for entry in entries if (entry.kind, entry.billing_year) == (kind, billing_year)][-1:]
            if last == [json.loads(canonical(about))]:
                return None
            return self._added(descriptor, entries, kind, billing_year, by, about)

    @contextmanager
    def _locked(self) -> Iterator[tuple[int, list[Entry]]]:
        """The file, opened for the one writer, its end mended, and its entries. LogBroken."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_first = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            content = _read_all(descriptor)
            entries, wrong = self._checked(content)
            if wrong:
                raise LogBroken(wrong[0])
            self._mend_end(descriptor, content)
            yield descriptor, entries
        finally:
            os.close(descriptor)
        if is_first:
            force_to_disk(self.path.parent)

    def _added(
        self, descriptor: int, before: list[Entry], kind: Kind, billing_year: int, by: str, about: Mapping[str, Any]
    ) -> Entry:
        content = {
            "number": len(before) + 1, "at": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "kind": kind,
            "billing_year": billing_year, "by": by, "about": json.loads(canonical(about)),
            "previous": before[-1].hash if before else BEGINNING,
        }  # fmt: skip
        end = os.lseek(descriptor, 0, os.SEEK_END)
        line = _line(content)
        try:
            _write_all(descriptor, line)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, end)
            raise
        return Entry(**content, hash=json.loads(line)["hash"])

    def _mend_end(self, descriptor: int, content: bytes) -> None:
        """Take half a line away from the end. LogBroken if it is no half line, but one whose end was changed."""
        lines, torn = _lines_and_torn(content)
        if torn:
            try:
                json.JSONDecoder().raw_decode(torn.decode("utf-8", errors="replace"))
            except ValueError:
                os.ftruncate(descriptor, len(content) - len(torn))
            else:
                raise LogBroken(_changed(self.path.name, len(lines) + 1))
        elif content and not content.endswith(b"\n"):
            os.lseek(descriptor, 0, os.SEEK_END)
            _write_all(descriptor, b"\n")

    def _content(self) -> bytes:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            return _read_all(descriptor)
        finally:
            os.close(descriptor)

    def _checked(self, content: bytes) -> tuple[list[Entry], list[str]]:
        """Entries of whole lines, and a sentence per line that is wrong."""
        entries, wrong = list[Entry](), list[str]()
        lines, _ = _lines_and_torn(content)
        follows: str | None = BEGINNING
        for number, line in enumerate(lines, 1):
            entry = _parsed(line)
            if entry is None:
                wrong.append(_changed(self.path.name, number))
                follows = None
                continue
            if entry.number != number or (follows is not None and entry.previous != follows):
                wrong.append(
                    f"{self.path.name}, line {number}: it does not follow the line before it; lines were taken out, put in or "
                    "exchanged. Put back the log from a copy."
                )
            entries.append(entry)
            follows = entry.hash
        return entries, wrong


def _changed(name: str, number: int) -> str:
    return f"{name}, line {number}: the line was changed after it was written. Put back the log from a copy."


def _lines_and_torn(content: bytes) -> tuple[list[bytes], bytes]:
    """Whole lines, of which the last may lack its line end alone, and what follows them."""
    *lines, tail = content.split(b"\n")
    return ([*lines, tail], b"") if _parsed(tail) is not None else (lines, tail)


def _read_all(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read()


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
