"""Blanks and control characters of a delivered file.

Belongs here: which of them a file holds. Does not belong here: what they mean in a field (``assets.records``).

Looking for them in every field of every record costs more than all else that is done with most fields, and most files hold none.
"""

from __future__ import annotations

_OTHERS = bytes(set(range(256)) - set(range(0x21)) - {0x7F})


def blanks_in(text: bytes) -> set[str]:
    """The blanks and control characters (up to the space, and delete) in UTF-8 text."""
    found, left = set[str](), text.translate(None, _OTHERS)
    while left:
        found.add(chr(left[0]))
        left = left.translate(None, left[:1])
    return found
