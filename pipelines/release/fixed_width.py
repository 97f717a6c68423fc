"""Fixed-width bill files: records of one length, as a layout describes them.

Belongs here: making the text of a record, refusing what does not fit.
Does not belong here: the layout (``validations.bill_layout``), what is posted (``posting``).

A value that is too long, has more decimals than its field, or a character that the file's encoding lacks refuses the whole release: a
cut account number is somebody else's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from validations.bill_layout import DAY_FORMATS, DECIMALS, BillLayout, FixedField

_LINE_ENDS = {"lf": "\n", "crlf": "\r\n"}


class DoesNotFit(Exception):
    """A value has no place in its field; the message says which, and what to do."""


def _number(field: FixedField, value: int) -> str:
    """A whole number of 10^-DECIMALS as the field has it. ValueError if it would have to be rounded."""
    has = DECIMALS[str(field.value)]
    wanted = has if field.decimals is None else field.decimals
    if wanted < has and value % 10 ** (has - wanted):
        raise ValueError(f"it has more than {wanted} decimals")
    scaled = value // 10 ** (has - wanted) if wanted < has else value * 10 ** (wanted - has)
    if not wanted or field.point == "implied":
        return str(scaled)
    return f"{scaled // 10**wanted}.{scaled % 10**wanted:0{wanted}d}"


def _text(field: FixedField, value: Any) -> str:
    """The value as text, before it is filled up. ValueError saying why it has none."""
    if value is None:
        return ""
    if isinstance(value, dt.date):
        return value.strftime(DAY_FORMATS[field.day])
    if field.is_number:
        return _number(field, int(value))
    if not field.codes:
        return str(value)
    if value not in field.codes:
        raise ValueError(f"the layout has no code for it; codes: {', '.join(field.codes)}")
    return field.codes[value]


def _written(field: FixedField, value: Any) -> str:
    text = field.text if field.text is not None else _text(field, value)
    if len(text) > field.width:
        raise ValueError(f"it is {len(text)} characters long and the field {field.width} wide")
    if not text.isprintable():
        raise ValueError("it has a character that cannot be printed")
    to_the_right = field.align == "right" if field.align else field.is_number
    if not to_the_right:
        return text.ljust(field.width)
    return text.rjust(field.width, "0" if field.pad_with == "zero" and text else " ")


def _record(fields: Iterable[FixedField], values: Mapping[str, Any], layout: BillLayout, whose: str) -> bytes:
    parts = []
    for field in fields:
        value = values[field.value] if field.value else None
        try:
            parts.append(_written(field, value).encode(layout.encoding))
        except UnicodeEncodeError:
            raise DoesNotFit(f"{whose}: {field.value} has a character that {layout.encoding} lacks.") from None
        except ValueError as why:
            raise DoesNotFit(f"{whose}: {field.value} does not fit its field: {why}.") from None
    return b"".join([*parts, _LINE_ENDS[layout.line_end].encode()])


def records(layout: BillLayout, of_file: Mapping[str, Any], services: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Header, a record per service, trailer; each value under the layout's name for it, numbers whole, as DECIMALS counts them.

    Errors: DoesNotFit.
    """
    about = f"Layout {layout.title!r}"
    yield _record(layout.header, of_file, layout, f"{about}, header")
    for row in services:
        yield _record(layout.detail, row, layout, f"{about}, sewer service {row['service_id']!r}")
    yield _record(layout.trailer, of_file, layout, f"{about}, trailer")
