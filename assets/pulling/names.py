"""Names of files as they come from a location: any bytes at all.

Belongs here: the name that is shown and kept, and what a name says of its file.
Does not belong here: paths. Content lies in the archive under its hash, so no name is ever part of a path.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re

LONGEST_NAME = 120
_NEVER_DELIVERED = {".DS_Store", "Thumbs.db", "desktop.ini"}
_UNFINISHED_ENDINGS = (".part", ".tmp", ".filepart", ".partial", ".crdownload", ".swp")


def shown_name(name: str) -> str:
    """A name that may be shown anywhere; two names never become one.

    What a terminal, a spreadsheet or a path would take for more than text is written as %XX, as in an address: characters
    that cannot be printed, bytes that are not UTF-8, slashes, and a first = + - @ or quotation mark. A name of more than 120
    characters is cut and holds a hash of the whole.
    """
    text = re.sub(r"%(?=[0-9A-F]{2})", "%25", name)
    text = "".join(c if c.isprintable() and c not in "/\\" else _escaped(c) for c in text)
    if text[:1] in {"=", "+", "-", "@", "'", '"', " "}:
        text = _escaped(text[0]) + text[1:]
    if len(text) > LONGEST_NAME:
        whole = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        ending = match[0] if (match := re.search(r"\.[A-Za-z0-9]{1,5}$", text)) else ""
        text = f"{text[:80]}...{whole[:16]}{ending}"
    return text


def _escaped(character: str) -> str:
    try:
        octets = character.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        octets = character.encode("utf-8", "surrogatepass")
    return "".join(f"%{octet:02X}" for octet in octets)


def says_unfinished(name: str, pattern: str) -> bool:
    """Whether the name is one that programs give to a file of the delivery while they write it, or while it is open."""
    if _is_never_delivered(name):
        return False
    if name.startswith("~$"):
        return fnmatch.fnmatchcase(name[2:], pattern)
    for ending in _UNFINISHED_ENDINGS:
        if name.lower().endswith(ending):
            return fnmatch.fnmatchcase(name.removeprefix(".")[: -len(ending)], pattern)
    if name.startswith("."):
        # Where every name belongs to the delivery, a hidden one says nothing.
        without_random_ending = re.sub(r"\.[A-Za-z0-9]{6}$", "", name[1:])
        return pattern != "*" and any(fnmatch.fnmatchcase(n, pattern) for n in (name[1:], without_random_ending))
    return False


def belongs(name: str, pattern: str) -> bool:
    """Whether a file of that name belongs to the delivery."""
    hidden = name.startswith(".") or _is_never_delivered(name)
    return not hidden and not says_unfinished(name, pattern) and fnmatch.fnmatchcase(name, pattern)


def _is_never_delivered(name: str) -> bool:
    return name.startswith("._") or name in _NEVER_DELIVERED


def size_in_words(count: int) -> str:
    """A count of bytes for people, as exactly as it takes to be told from a limit in whole MB."""
    return f"{count:,} bytes" if count < 1_000_000 else f"{count / 1_000_000:,.1f} MB"
