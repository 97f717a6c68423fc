"""Files broken at random, and what must hold of whatever comes out of the front door.

Belongs here: the kinds of damage, the judge of a delivery that was taken in. Serves a test with some of them and the benchmark
with a thousand.
Does not belong here: particular wrong files and their sentences (``test_wrong_files``).

Everything is drawn from a seed: the same seed breaks the same files in the same way.
"""

from __future__ import annotations

import codecs
import fnmatch
import io
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from assets.deliveries import archived, receive
from assets.front_door import DeliveredFile, FrontDoor
from validations.district import District
from validations.identities import by_file, identities_of_files
from validations.layout import FixedWidth, Workbook
from validations.tables import CONSUMPTION, DELIVERY_TOTALS, METERS, REJECTED_ROWS
from validations.workspace import Workspace

Damage = Callable[[bytes, random.Random], bytes]

_HOSTILE = [
    b'"', b'""', b'"a\nb"', b"\0", b"\x1b[2J", b"\x01\x1e\x02\x1f", b"=cmd|' /C calc'!A0", b"@SUM(A1)", b"1e400", b"-0", b"+-5",
    b"9" * 40, b"0.1.2", b"1,5", b"NaN", b"inf", b"31/02/2018", b"99999999", b"00000000", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3",
    b"\xe2\x80\xa8", b"'); DROP TABLE x;--", b"{year}", b"%s%n", b"../../etc/passwd", b"x" * 10_000, b"\r", b"\r\n", b"\n\n\n",
]  # fmt: skip


def _at(content: bytes, rng: random.Random) -> int:
    return rng.randrange(len(content) + 1)


def _span(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = _at(content, rng)
    return start, min(len(content), start + rng.choice([1, 3, 17, 200, 5_000]))


def flip(content: bytes, rng: random.Random) -> bytes:
    """Some bytes become others."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 5, 50])):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cut_out(content: bytes, rng: random.Random) -> bytes:
    """A stretch is missing."""
    start, end = _span(content, rng)
    return content[:start] + content[end:]


def cut_off(content: bytes, rng: random.Random) -> bytes:
    """The end is missing."""
    return content[: _at(content, rng)]


def repeat(content: bytes, rng: random.Random) -> bytes:
    """A stretch stands twice."""
    start, end = _span(content, rng)
    return content[:end] + content[start:]


def insert_hostile(content: bytes, rng: random.Random) -> bytes:
    """Texts that programs stumble over stand where they do not belong."""
    for _ in range(rng.choice([1, 3, 20])):
        at = _at(content, rng)
        content = content[:at] + rng.choice(_HOSTILE) + content[at:]
    return content


def _by_lines(change: Callable[[list[bytes], random.Random], list[bytes]]) -> Damage:
    def damage(content: bytes, rng: random.Random) -> bytes:
        return b"".join(change(content.splitlines(keepends=True), rng))

    damage.__name__, damage.__doc__ = change.__name__, change.__doc__
    return damage


@_by_lines
def shuffle_lines(lines: list[bytes], rng: random.Random) -> list[bytes]:
    """Lines come in another order, the header among them."""
    rng.shuffle(lines)
    return lines


@_by_lines
def drop_lines(lines: list[bytes], rng: random.Random) -> list[bytes]:
    """Some lines are missing, perhaps the first."""
    return [line for number, line in enumerate(lines) if (number and rng.random() > 0.2) or rng.random() > 0.5]


@_by_lines
def change_line_ends(lines: list[bytes], rng: random.Random) -> list[bytes]:
    """Lines end in different ways."""
    return [line.rstrip(b"\r\n") + rng.choice([b"\n", b"\r\n", b"\r", b"\n\r"]) for line in lines]


@_by_lines
def spoil_fields(lines: list[bytes], rng: random.Random) -> list[bytes]:
    """Fields hold something else, in many lines."""
    changed = []
    for line in lines:
        pieces = line.split(delimiter := rng.choice([b",", b";", b"|", b" "]))
        if rng.random() < 0.3:
            pieces[rng.randrange(len(pieces))] = rng.choice(_HOSTILE)
        changed.append(delimiter.join(pieces))
    return changed


def recode(content: bytes, rng: random.Random) -> bytes:
    """Another encoding."""
    text = content.decode("utf-8", errors="replace")
    return text.encode(rng.choice(["utf-16", "utf-16-be", "utf-32", "utf-8-sig", "cp500"]), errors="replace")


def in_zip(content: bytes, rng: random.Random) -> bytes:
    """A zip where none was announced; of a zip, its first part."""
    if content.startswith(b"PK"):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as parts:
                return parts.read(parts.namelist()[rng.randrange(len(parts.namelist()))])
        except (zipfile.BadZipFile, IndexError):
            return b""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("history.csv", content)
    return packed.getvalue()


DAMAGES: list[Damage] = [
    flip, cut_out, cut_off, repeat, insert_hostile, shuffle_lines, drop_lines, change_line_ends, spoil_fields, recode, in_zip,
]  # fmt: skip


@dataclass(frozen=True)
class Mutation:
    """A delivered file, broken."""

    number: int
    district: str
    damage: str
    source_file: str
    content: bytes


def mutations(workspace: Workspace, billing_year: int, count: int, seed: int) -> Iterator[Mutation]:
    """``count`` broken files, districts and kinds of damage in turn; inside a zip its parts are broken as often as itself."""
    rng = random.Random(seed)  # noqa: S311
    districts = list(workspace.districts)
    for number in range(count):
        district = districts[number % len(districts)]
        damage = DAMAGES[number // len(districts) % len(DAMAGES)]
        folder = workspace.folder / "deliveries" / str(billing_year) / district
        path = rng.choice(sorted(folder.iterdir()))
        content = path.read_bytes()
        if content.startswith(b"PK") and path.suffix == ".zip" and rng.random() < 0.5:
            content = _with_a_part_broken(content, damage, rng)
        else:
            content = damage(content, rng)
        yield Mutation(number, district, damage.__name__, path.name, content)


def _with_a_part_broken(content: bytes, damage: Damage, rng: random.Random) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as parts, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as changed:
        broken = rng.choice(parts.namelist())
        for name in parts.namelist():
            changed.writestr(name, damage(parts.read(name), rng) if name == broken else parts.read(name))
    return packed.getvalue()


def judge(con: Any, workspace: Workspace, billing_year: int, mutation: Mutation) -> str:
    """Deliver the broken file beside its unbroken neighbours, take it in, and say how it ended: ``taken``, ``rows refused``,
    ``file unreadable`` or ``not taken``.

    AssertionError if a row is lost, a contract is broken, or the lines were counted wrongly. Anything else that is raised is
    a fault too.
    """
    entry = workspace.district(mutation.district, billing_year)
    folder = workspace.folder / "deliveries" / str(billing_year) / mutation.district
    kept = (folder / mutation.source_file).read_bytes()
    (folder / mutation.source_file).write_bytes(mutation.content)
    try:
        rows = receive(workspace, billing_year, entry)
    finally:
        (folder / mutation.source_file).write_bytes(kept)
    files = [
        DeliveredFile(row["source_file"], row["content_hash"], archived(workspace.archive, row["content_hash"]))
        for row in rows
        if row["status"] == "current"
    ]
    door = FrontDoor(con, entry, workspace.year(billing_year), files, workspace.work / "scratch")
    try:
        _holds(con, door, entry, files)
        totals = con.to_pyarrow(door["delivery_totals"]).to_pylist()
        if any(row["unreadable"] for row in totals):
            return "file unreadable"
        if not files or any(row["status"] not in ("current", "superseded", "withdrawn", "unpacked") for row in rows):
            return "not taken"
        left = door["rejected_rows"]
        refused = int(con.to_pyarrow(left.filter(left.reason_kind == "refused").count()).as_py())
        return "rows refused" if refused else "taken"
    finally:
        door.close()


def _holds(con: Any, door: FrontDoor, entry: District, files: list[DeliveredFile]) -> None:
    made = {name: door[name] for name in ("consumption", "meters", "rejected_rows", "delivery_totals")}
    for contract in (CONSUMPTION, METERS, REJECTED_ROWS, DELIVERY_TOTALS):
        assert made[contract.name].schema() == contract.schema
    for identity in identities_of_files(made["delivery_totals"], by_file(made["consumption"]), made["rejected_rows"]):
        lost = identity.filter((identity.difference_thousandths != 0) & ~identity.identity.startswith("control"))
        assert con.to_pyarrow(lost).to_pylist() == []
    for fact in con.to_pyarrow(made["delivery_totals"]).to_pylist():
        assert fact["message"].isprintable(), fact["message"]
        path = next(file.path for file in files if file.source_file == fact["source_file"])
        reference = entry.account_numbers.cross_reference
        is_sheet = reference is not None and fnmatch.fnmatch(fact["source_file"].rsplit("/", 1)[-1], reference.files)
        if fact["unreadable"] or is_sheet or isinstance(entry.layout, Workbook):
            continue
        assert fact["rows_in_file"] == _lines(path.read_bytes(), entry.layout.encoding), fact
        if entry.month_columns is None:
            rows = (fact["rows_in_file"] - fact["rows_of_layout"]) * entry.columns.registers
            assert fact["records"] == rows, fact
        if isinstance(entry.layout, FixedWidth):
            assert fact["rows_of_layout"] <= fact["rows_in_file"]


def _lines(content: bytes, encoding: str) -> int:
    """Lines as an editor counts them, by other means than the reader's."""
    text = content.decode(encoding).removeprefix(codecs.BOM_UTF8.decode())
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.count("\n") + (not text.endswith("\n") and text != "")
