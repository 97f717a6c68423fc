"""The kinds of letter.

Belongs here: their names, which are also those of their templates. Does not belong here: what each says (``figures``).
"""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """Which letter."""

    new_average = "new_average"
    adjustment_granted = "adjustment_granted"
    adjustment_refused = "adjustment_refused"
    request_for_information = "request_for_information"
