"""Text of a file on a person's terminal.

Belongs here: making it harmless and short. Does not belong here: what it means.
"""

from __future__ import annotations


def harmless(text: str, longest: int = 60) -> str:
    """``text`` on one line, without anything that a terminal obeys or that turns its direction; cut where it is long."""
    cut = text if len(text) <= longest else text[: longest - 3] + "..."
    return "".join(c if c.isprintable() else _escaped(c) for c in cut)


def _escaped(character: str) -> str:
    code = ord(character)
    return {9: "\\t", 10: "\\n", 13: "\\r"}.get(code, f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
