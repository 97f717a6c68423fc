"""Credentials: from the environment variables that an entry names, and from nowhere else.

Belongs here: reading them, with a sentence if one is missing. Does not belong here: using them.
No message here or elsewhere holds a variable's value.
"""

from __future__ import annotations

import os

from assets.pulling.location import NotTaken


def secret(variable: str, key: str) -> str:
    """Value of the variable that the key of the entry names. NotTaken if it is not set."""
    value = os.environ.get(variable, "").strip("\r\n")
    if not value:
        raise NotTaken(f"the environment variable {variable} is not set; source.{key} of the district's entry names it")
    return value


def one_line_secret(variable: str, key: str) -> str:
    """The same for what is sent in a header: printable ASCII."""
    value = secret(variable, key).strip()
    if not (value.isascii() and value.isprintable()):
        raise NotTaken(f"the environment variable {variable} holds characters that cannot be sent; see source.{key}")
    return value
