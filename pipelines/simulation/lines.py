"""Lines of text from columns of labels and codes, fast enough for millions of rows.

Belongs here: what a number, a day or an id looks like as text; joining columns to lines; writing a file whole or not.
Does not belong here: which columns a file has (``layouts``, ``extract``).

A column is its different labels and, per row, the place of its label: 24 reading days make 24 texts, not a million.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

EPOCH = dt.date(1970, 1, 1).toordinal()
FAR = dt.date(9999, 12, 31).toordinal() - EPOCH
"""The day that stands for an end that has not come."""

_ROWS_AT_ONCE = 500_000


def day(year: int, month: int, day_of_month: int) -> int:
    """A date as days since 1970-01-01."""
    return dt.date(year, month, day_of_month).toordinal() - EPOCH


def date_of(days: int | np.integer[Any]) -> dt.date:
    """Days since 1970-01-01 as a date."""
    return dt.date.fromordinal(int(days) + EPOCH)


@dataclass(frozen=True)
class Notation:
    """How a number is written: what stands before its decimals, between groups of three digits, and where its minus is."""

    decimal_mark: str = "."
    thousands_mark: str = ""
    minus: Literal["before", "after", "parentheses"] = "before"


PLAIN = Notation()


def number_text(value: int, decimals: int, notation: Notation = PLAIN) -> str:
    """A whole number of 10^-decimals, written with all its decimals."""
    scale = 10**decimals
    text = str(abs(value) // scale)
    if notation.thousands_mark:
        text = f"{abs(value) // scale:,}".replace(",", notation.thousands_mark)
    if decimals:
        text += f"{notation.decimal_mark}{abs(value) % scale:0{decimals}d}"
    if value >= 0:
        return text
    return {"before": f"-{text}", "after": f"{text}-", "parentheses": f"({text})"}[notation.minus]


def number_in(text: str, notation: Notation) -> int | None:
    """The whole number that ``number_text`` wrote; None if the text is no number."""
    number = text.replace(notation.thousands_mark, "") if notation.thousands_mark else text
    number = number.replace(notation.decimal_mark, "", 1)
    is_negative = number[:1] in ("-", "(") or number[-1:] == "-"
    digits = number.strip("-()")
    if not digits.isdigit():
        return None
    return -int(digits) if is_negative else int(digits)


def short_number_text(value: int, decimals: int) -> str:
    """The same without zeros at the end: 1, 0.5, 0.333333."""
    text = number_text(value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass
class Field:
    """One column: ``labels[codes[row]]`` is the text of a row."""

    labels: list[str]
    codes: Ints

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> Field:
        return cls(list(texts), np.arange(len(texts)))

    @classmethod
    def of_few(cls, texts: Any) -> Field:
        """For a column of few different texts."""
        codes, labels = pd.factorize(np.asarray(texts, dtype=object))
        return cls([str(label) for label in labels], codes)

    @classmethod
    def of_days(cls, days: Ints, date_format: str = "%Y-%m-%d") -> Field:
        """Days since 1970-01-01; ``FAR`` is left empty."""
        codes, different = pd.factorize(days)
        return cls(["" if d == FAR else date_of(d).strftime(date_format) for d in different], codes)

    @classmethod
    def of_numbers(cls, values: Ints, decimals: int = 0, notation: Notation = PLAIN, short: bool = False) -> Field:
        """Whole numbers of 10^-decimals."""
        codes, different = pd.factorize(values)
        if short:
            return cls([short_number_text(int(v), decimals) for v in different], codes)
        return cls([number_text(int(v), decimals, notation) for v in different], codes)

    def take(self, rows: Ints | Flags) -> Field:
        return Field(self.labels, self.codes[rows])

    def set(self, rows: Ints | int, label: str) -> None:
        """Write another text in some rows."""
        self.labels = [*self.labels, label]
        self.codes = self.codes.copy()
        self.codes[rows] = len(self.labels) - 1

    def relabelled(self, labels: list[str]) -> Field:
        return Field(labels, self.codes)


def quoted(label: str, delimiter: str) -> str:
    """A field of delimited text, in quotes only where it needs them."""
    if delimiter in label or '"' in label or "\n" in label or "\r" in label:
        return '"' + label.replace('"', '""') + '"'
    return label


def write_lines(
    handle: BinaryIO, fields: Sequence[Field], delimiter: str = "", encoding: str = "utf-8", quotes: bool = True
) -> None:
    """One line per row: the fields' texts with ``delimiter`` between them ("" for fixed width), in quotes if they need them."""
    labels = [
        pa.array(
            [quoted(text, delimiter) for text in field.labels] if delimiter and quotes else field.labels, pa.string()
        )
        for field in fields
    ]
    rows = len(fields[0].codes)
    for first in range(0, rows, _ROWS_AT_ONCE):
        part = slice(first, min(first + _ROWS_AT_ONCE, rows))
        columns = [texts.take(pa.array(f.codes[part])) for texts, f in zip(labels, fields, strict=True)]
        body = pc.binary_join_element_wise(*columns, delimiter) if len(columns) > 1 else columns[0]
        lines = pc.binary_join_element_wise(body, "\n", "")
        # The texts of an Arrow array lie one after the other in memory, which is the file.
        content = memoryview(lines.buffers()[2])[: len_of_texts(lines)]
        handle.write(content if encoding == "utf-8" else encoded(str(content, "utf-8"), encoding))


def len_of_texts(texts: pa.StringArray) -> int:
    """Bytes that an unsliced Arrow string array holds."""
    return int(np.frombuffer(texts.buffers()[1], dtype=np.int32)[len(texts)])


def encoded(text: str, encoding: str) -> bytes:
    """Text as bytes; UTF-16 as little-endian without a mark, so that parts can follow each other."""
    return text.encode("utf-16-le" if encoding == "utf-16" else encoding)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file beside its place and rename it there, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    with beside.open("wb") as handle:
        yield handle
    os.replace(beside, path)
