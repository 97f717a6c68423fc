"""A file of which nothing is known yet: a bounded part of it as rows of text, and how these were found.

Belongs here: encoding, delimiter or fixed width, quotes, kinds of lines, header. Does not belong here: what a column is for.

Only the first 5 MB and 20,000 rows are looked at, and the last few lines. Nothing of the file is believed or executed.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import ibis

from assets.readers.content import is_workbook, other_than_text
from assets.readers.header_names import joined_names
from assets.readers.sheet import UnreadableFile
from assets.readers.workbook import Notation, read_workbook
from pipelines.district_entry.harmless import harmless
from pipelines.district_entry.notation import date_formats, month_formats, number_notation, percent
from validations.layout import AtPosition, Workbook

MOST_BYTES = 5_000_000
MOST_ROWS = 20_000
MOST_COLUMNS = 400
_TAIL_BYTES = 20_000
_DELIMITERS = ",;\t|^~"
_MOST_TITLE_LINES = 30
_MOST_HEADER_LINES = 3
_MOST_LINES_OF_A_RECORD = 20
_MOST_MEMBERS = 20


class CannotGuess(Exception):
    """Nothing can be told of the file; the message is a sentence for the person."""


@dataclass
class UnknownFile:
    """What was found of a file.

    ``rows``: records as fields, with the number of their line; ``names``: of the columns, empty if there is no header;
    ``titles``: lines above it; ``others``: lines of another kind (number, text), the last one among them; ``notes``: evidence
    by key.
    """

    kind: str
    name: str
    encoding: str = "utf-8"
    delimiter: str = ","
    quotes: str = "double"
    line_breaks: int = 0
    header_row: int = 0
    header_lines: int = 1
    header_repeats: bool = False
    record_length: int = 0
    record_prefix: str = ""
    other_prefixes: list[str] = field(default_factory=list)
    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    raw: dict[int, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    positions: list[tuple[int, int]] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    others: list[tuple[int, str]] = field(default_factory=list)
    last_line: str = ""
    is_whole: bool = True
    ends_with_line_end: bool = True
    totals_label: str = ""
    zip_members: str | None = None
    notes: dict[str, str] = field(default_factory=dict)


def look_at(path: Path) -> UnknownFile:
    """The file at ``path``. CannotGuess if it is of a kind that no entry can describe, or empty."""
    kind = other_than_text(path)
    if is_workbook(kind):
        return _workbook(path)
    if kind == "a zip archive":
        return _members(path)
    if kind:
        raise CannotGuess(f"the file is {kind}; an entry can describe text, a workbook, or a zip of these")
    with path.open("rb") as opened:
        head = opened.read(MOST_BYTES + 1)
        size = path.stat().st_size
        opened.seek(max(size - _TAIL_BYTES, 0))
        tail = opened.read(_TAIL_BYTES)
    return _text(path.name, head, tail)


def _members(path: Path) -> UnknownFile:
    """What is found of the members of a zip, which should be files of one layout."""
    seen, unfit = list[tuple[str, UnknownFile]](), list[str]()
    for name, head in _heads_of_members(path).items():
        try:
            seen.append((name, _member(name, head)))
        except CannotGuess as reason:
            unfit.append(f"{harmless(name)}: {reason}")
    if not seen:
        raise CannotGuess(unfit[0])
    first, found = seen[0]
    alike = [f for _, f in seen if _layout_of(f) == _layout_of(found)]
    for other in alike[1:]:
        found.rows += other.rows[: MOST_ROWS - len(found.rows)]
        found.line_breaks += other.line_breaks
    others = unfit + [f"{harmless(name)}: another layout" for name, f in seen if f not in alike]
    ending = Path(first).suffix
    found.name, found.zip_members = path.name, f"*{ending}" if re.fullmatch(r"\.[A-Za-z0-9]{1,5}", ending) else "*"
    differ = f". Not so: {'; '.join(others[:3])}" if others else ""
    found.notes["zip_members"] = (
        f"{len(alike)} of the {len(seen) + len(unfit)} members that were looked at are alike{differ}"
    )
    return found


def _layout_of(found: UnknownFile) -> tuple[object, ...]:
    return found.kind, found.names, found.delimiter, found.encoding, found.header_row, found.positions


def _heads_of_members(path: Path) -> dict[str, bytes]:
    """The first bytes of the first members, by name; all in all so many as of a file."""
    heads: dict[str, bytes] = {}
    left = MOST_BYTES
    try:
        with zipfile.ZipFile(path) as opened:
            members = [
                m for m in opened.infolist() if not m.is_dir() and not m.filename.rsplit("/", 1)[-1].startswith(".")
            ]
            for member in sorted(members, key=lambda m: m.filename)[:_MOST_MEMBERS]:
                with opened.open(member) as source:
                    heads[member.filename] = source.read(left)
                left -= len(heads[member.filename])
                if left <= 0:
                    break
    except Exception:  # A damaged zip can break zipfile anywhere.
        raise CannotGuess("the zip is damaged, encrypted, or packed in a way that is not read") from None
    if not heads:
        raise CannotGuess("the zip holds no file")
    return heads


def _member(name: str, head: bytes) -> UnknownFile:
    with tempfile.TemporaryDirectory(prefix="annual-billing-guess-") as made:
        path = Path(made) / "member"
        path.write_bytes(head)
        kind = other_than_text(path)
        if is_workbook(kind):
            return _workbook(path)
        if kind:
            raise CannotGuess(f"the zip holds {kind}, {harmless(name)}; unpack it and look at that")
    return _text(name, head, head[-_TAIL_BYTES:])


def _workbook(path: Path) -> UnknownFile:
    layout = Workbook(kind="workbook", header_row=1)
    with tempfile.TemporaryDirectory(prefix="annual-billing-guess-") as made:
        try:
            sheet = read_workbook(path, layout, {"account": AtPosition(position=1)}, Notation(), Path(made))
        except UnreadableFile as error:
            raise CannotGuess(str(error)) from None
        con = ibis.duckdb.connect()
        try:
            rows = con.to_pyarrow(sheet.rows.order_by("source_row").limit(MOST_ROWS)).to_pylist()
        finally:
            con.disconnect()
    found = UnknownFile("workbook", path.name)
    records = [(1, sheet.header[:MOST_COLUMNS])] if any(sheet.header) else []
    records += [(row["source_row"], row["fields"][:MOST_COLUMNS]) for row in rows]
    if not records:
        raise CannotGuess("the first sheet is empty")
    found.is_whole = sheet.rows_in_file <= MOST_ROWS
    found.raw = {number: "  ".join(f for f in fields if f) for number, fields in records}
    _split_header(found, records)
    _set_totals_apart(found)
    return found


def _set_totals_apart(found: UnknownFile) -> None:
    """Rows of totals at the end."""
    while (
        found.rows
        and len(found.rows) > 2
        and any(re.match(r"(grand )?(total|sum)", f, re.I) for f in found.rows[-1][1][:3])
    ):
        number, fields = found.rows.pop()
        found.others.insert(0, (number, next(f for f in fields if f)))
        found.totals_label = found.others[0][1]


def _text(name: str, head: bytes, tail: bytes) -> UnknownFile:
    found = UnknownFile("", name)
    found.is_whole = len(head) <= MOST_BYTES
    text = _decoded(head[:MOST_BYTES], found)
    lines = re.split(r"\r\n|\n|\r", text)
    found.ends_with_line_end = tail[-2:].rstrip(b"\0")[-1:] in (b"\n", b"\r")
    found.last_line = next(
        (line for line in reversed(re.split(r"\r\n|\n|\r", tail.decode(found.encoding, "replace"))) if line.strip()), ""
    )
    if not found.is_whole:
        lines = lines[:-1]
    numbered = [(n, line[:20_000]) for n, line in enumerate(lines, start=1) if line.strip()]
    if len(numbered) > MOST_ROWS:
        numbered, found.is_whole = numbered[:MOST_ROWS], False
    if not numbered:
        raise CannotGuess("the file is empty")
    found.raw = dict(numbered)
    best, count, share = max((_delimited_as(numbered, d) for d in _DELIMITERS), key=lambda s: (s[1] - 1) * s[2] ** 2)
    if count >= 2 and share >= 0.7:
        found.kind, found.delimiter = "delimited", best
        found.notes["delimiter"] = f"{percent(share)} of the lines have {count} fields parted by it"
        _split_delimited(found, numbered, count)
    elif _same_length(numbered):
        found.kind = "fixed_width"
        _split_fixed(found, numbered)
    else:
        raise CannotGuess(
            f"the lines are neither parted by one of {' '.join(_DELIMITERS.replace(chr(9), ''))} or a tab nor of one length; the "
            f"first is: {harmless(numbered[0][1], 80)}"
        )
    return found


def _decoded(head: bytes, found: UnknownFile) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        found.encoding = "utf-16"
        found.notes["encoding"] = "the file begins with the mark of UTF-16"
        return head[: len(head) // 2 * 2].decode("utf-16", "replace")
    if head.count(0) > len(head) / 5:
        raise CannotGuess("the file looks like UTF-16 without its mark, or is no text; ask for it as UTF-8")
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The part that is looked at may end within a character.
        if error.start >= len(head) - 4 and not found.is_whole:
            text = head[: error.start].decode("utf-8-sig")
        else:
            return _eight_bit(head, found)
    if head.startswith(b"\xef\xbb\xbf"):
        found.notes["encoding"] = "the file begins with the mark of UTF-8"
    elif text.isascii():
        found.notes["encoding"] = "no accented character so far, so this is not put to the test"
    else:
        found.notes["encoding"] = "accented characters read well"
    return text


def _eight_bit(head: bytes, found: UnknownFile) -> str:
    is_windows = not re.search(rb"[\x81\x8d\x8f\x90\x9d]", head)
    found.encoding = "cp1252" if is_windows else "latin-1"
    text = head.decode(found.encoding)
    words = list(dict.fromkeys(word for word in re.findall(r"\w+", text) if not word.isascii()))[:3]
    found.notes["encoding"] = f"it is not UTF-8; are these words right: {harmless(', '.join(words))}?"
    return text


def _delimited_as(numbered: list[tuple[int, str]], delimiter: str) -> tuple[str, int, float]:
    """Delimiter, most frequent number of fields, share of lines that have it."""
    counts = Counter(len(_fields(line, delimiter) or line.split(delimiter)) for _, line in numbered[:2_000])
    count, times = max(counts.items(), key=lambda c: (c[1] if c[0] > 1 else 0, c[0]))
    return delimiter, min(count, MOST_COLUMNS), times / counts.total()


def _fields(text: str, delimiter: str) -> list[str] | None:
    if '"' not in text:
        return text.split(delimiter)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _same_length(numbered: list[tuple[int, str]]) -> bool:
    _, times = Counter(len(line) for _, line in numbered).most_common(1)[0]
    return times >= 0.9 * len(numbered) and len(numbered[-1][1]) >= 8


def _split_delimited(found: UnknownFile, numbered: list[tuple[int, str]], count: int) -> None:
    quoted = [line for _, line in numbered if '"' in line]
    if quoted:
        unfit = sum(_fields(line, found.delimiter) is None for line in quoted if line.count('"') % 2 == 0)
        plain = sum(len(line.split(found.delimiter)) == count for line in quoted)
        odd = sum(line.count('"') % 2 for line in quoted)
        if unfit + odd > 0.5 * len(quoted) and plain > 0.9 * len(quoted):
            found.quotes = "none"
            found.notes["quotes"] = f"quotation marks stand inside fields, as in: {harmless(quoted[0], 50)}"
    records, place = list[tuple[int, list[str]]](), 0
    while place < len(numbered):
        number, line = numbered[place]
        fields = line.split(found.delimiter) if found.quotes == "none" else _fields(line, found.delimiter)
        place += 1
        if fields is None or (len(fields) != count and line.count('"') % 2):
            joined, ahead = line, place
            while ahead < min(len(numbered), place + _MOST_LINES_OF_A_RECORD):
                joined += "\n" + numbered[ahead][1]
                ahead += 1
                whole = _fields(joined, found.delimiter) if joined.count('"') % 2 == 0 else None
                if whole and len(whole) == count:
                    found.line_breaks += 1
                    found.raw[number], fields, place = joined, whole, ahead
                    break
        if fields is not None and len(fields) == count:
            records.append((number, [f.strip() for f in fields]))
        else:
            found.others.append((number, line))
    _split_header(found, _of_one_kind(found, records))
    _set_totals_apart(found)


def _of_one_kind(found: UnknownFile, records: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Records without lines that begin with another mark, if all begin with one of few."""
    marks = Counter(fields[0] for _, fields in records)
    mark, times = marks.most_common(1)[0] if marks else ("", 0)
    if not re.fullmatch(r"[A-Za-z]{1,4}|[0-9]{1,2}", mark) or times < 0.9 * len(records) or times < 10:
        return records
    found.record_prefix = mark + found.delimiter
    first = next(number for number, fields in records if fields[0] == mark)
    others = [
        (n, line) for n, line in found.others if re.match(rf"[A-Za-z0-9]{{1,4}}{re.escape(found.delimiter)}", line)
    ]
    prefixes = dict.fromkeys(line.split(found.delimiter)[0] + found.delimiter for _, line in others)
    found.other_prefixes = [p for p in prefixes if p != found.record_prefix]
    return [(n, fields) for n, fields in records if fields[0] == mark or n < first]


def _split_fixed(found: UnknownFile, numbered: list[tuple[int, str]]) -> None:
    length, _ = Counter(len(line) for _, line in numbered).most_common(1)[0]
    found.record_length = length
    fitting = [(n, line) for n, line in numbered if len(line) == length]
    marks = Counter(line[0] for _, line in fitting)
    mark, times = marks.most_common(1)[0]
    if mark.isalpha() and times >= 0.9 * len(fitting):
        found.record_prefix = mark
        found.others = [(n, line) for n, line in numbered if not line.startswith(mark)]
        fitting = [(n, line) for n, line in fitting if line.startswith(mark)]
    found.positions = _fixed_fields([line for _, line in fitting], len(found.record_prefix))
    found.rows = [(n, [line[start : start + width].strip() for start, width in found.positions]) for n, line in fitting]


def _fixed_fields(lines: list[str], begin: int) -> list[tuple[int, int]]:
    """(start from 0, width) of each field: dates where nothing but a date fits, and what lies between them."""
    length, few = len(lines[0]), lines[:: len(lines) // 500 + 1]
    dates, place = list[tuple[int, int]](), begin
    while place < length:
        for width in (10, 8):
            values = [line[place : place + width] for line in few]
            if place + width <= length and all(" " not in v for v in values) and date_formats(values):
                dates.append((place, width))
                place += width - 1
                break
        place += 1
    found, at = list[tuple[int, int]](), begin
    for start, width in [*dates, (length, 0)]:
        found += _gap_fields(few, at, start)
        if width:
            found.append((start, width))
        at = start + width
    return found


def _gap_fields(lines: list[str], begin: int, end: int) -> list[tuple[int, int]]:
    """Fields between two dates: one begins after blanks, and where letters follow digits."""
    blank = [sum(line[c] == " " for line in lines) / len(lines) for c in range(begin, end)]
    digit = [sum(line[c].isdigit() for line in lines) / len(lines) for c in range(begin, end)]
    if begin >= end:
        return []
    starts = [begin]
    for c in range(begin + 1, end):
        before, here = c - 1 - begin, c - begin
        after_blank = blank[before] > 0.5 and blank[here] < 0.5
        letters_after_digits = digit[before] > 0.9 and digit[here] < 0.1 and blank[here] < 0.1
        if after_blank or letters_after_digits:
            starts.append(c)
    fields = [(a, b - a) for a, b in zip(starts, [*starts[1:], end], strict=True)]
    return [(a, w) for a, w in fields if any(line[a : a + w].strip() for line in lines)]


def _split_header(found: UnknownFile, records: list[tuple[int, list[str]]]) -> None:
    """Tell titles and names of columns from records."""
    if not records:
        raise CannotGuess("no two lines look alike; is this a table?")
    typed = _typed_columns([fields for _, fields in records[len(records) // 3 :]] or [f for _, f in records])

    def is_record(fields: list[str]) -> bool:
        judged = [fits(fields[c]) for c, fits in typed.items() if c < len(fields) and fields[c]]
        return bool(judged) and sum(judged) >= 0.5 * len(judged) and not _names_months(fields)

    first = next((i for i, (_, fields) in enumerate(records[:_MOST_TITLE_LINES]) if is_record(fields)), 0)
    above = records[:first]
    header = list[tuple[int, list[str]]]()
    for number, fields in reversed(above):
        names = sum(bool(f) for f in fields)
        follows = not header or header[0][0] == number + 1
        if names < min(2, len(fields)) or not follows or len(header) == _MOST_HEADER_LINES:
            break
        if header and names <= len(header[-1][1]) / 3:
            break
        header.insert(0, (number, fields))
    if header:
        found.header_row, found.header_lines = header[0][0], len(header)
        parts = [[f.strip() for f in fields] for _, fields in header]
        found.header_repeats = any(
            not upper and lower and left
            for row, below in itertools.pairwise(parts)
            for left, upper, lower in zip(row, row[1:], below[1:], strict=False)
        )
        found.names = joined_names(parts, found.header_repeats)
    inside = {number for number, _ in header}
    until = records[first][0]
    found.titles = [t for n, t in found.raw.items() if n < until and n not in inside]
    if found.record_prefix:
        found.titles = [t for t in found.titles if not t.startswith(tuple(found.other_prefixes) or "\0")]
    found.others = [
        (n, line) for n, line in found.others if n > until or line.startswith(tuple(found.other_prefixes) or "\0")
    ]
    found.rows = records[first:]


def _names_months(fields: list[str]) -> bool:
    """Whether a row holds names of at least three different months."""
    texts = [f for f in fields if f]
    for place in range(len(texts)):
        few = texts[place : place + 3]
        if len(set(few)) == 3 and (month_formats(few) or _are_first_days(few)):
            return True
    return False


def _are_first_days(texts: list[str]) -> bool:
    return any(f in ("%Y-%m-%d", "%m/%d/%Y") for f in date_formats(texts)) and all("01" in t for t in texts)


def _typed_columns(rows: list[list[str]]) -> dict[int, Callable[[str], bool]]:
    """Column -> whether a text is like the others in it, for columns of dates and numbers."""
    found: dict[int, Callable[[str], bool]] = {}
    for column in range(max(len(row) for row in rows)):
        values = [row[column] for row in rows if column < len(row) and row[column]]
        if not values:
            continue
        if date_formats(values) or month_formats(values):
            found[column] = _is_date
        elif number_notation(values):
            found[column] = _is_number
    return found


def _is_date(text: str) -> bool:
    return bool(date_formats([text]) or month_formats([text]))


def _is_number(text: str) -> bool:
    return number_notation([text]) is not None
