"""Where delivered volume goes: the steps of the account of rows and volume, in order.

Belongs here: each step's name and what it means.
Does not belong here: computing them (``assets.volume_account``), judging whether they add up (``identities``).

Every record that came in, and every thousandth of its volume, leaves the account in one of these steps.
"""

from __future__ import annotations

VOLUME_STEPS: dict[str, str] = {
    "delivered": "records of the files that were read; where a file holds readings of registers, these readings added up",
    "refused": "records that cannot be used as they stand",
    "duplicate": "records that were delivered before",
    "set_aside": "records that are right as they are and no consumption of the year, such as the first reading of a meter",
    "reading_to_volume": "readings of registers less the use between them; multipliers; what was registered less what was billed",
    "outside_window": "days before and after the winter window",
    "known_non_sewer": "accounts that are known to have no sewer",
    "unmatched": "accounts and meters that no sewer service is linked to",
    "not_linked": "days on which a linked meter serves no service, and shares of it that no service has",
    "other_occupant": "days before the present occupant came, or outside the service's own dates",
    "not_for_sewer": "water that does not count for sewer, such as irrigation, and meters whose place an effluent meter takes",
    "deducted": "what deduct and make-up meters measured, and the same once more, because it is taken off",
    "adjusted": "what the entries of the adjustment sheet take off, or add",
    "decided": "what decisions about findings take off, or add",
    "own_window": "days outside the service's own window or cycle, periods without use where the rule leaves them out, and "
    "thousandths that are rounded where a share is cut into months",
    "not_averaged": "counted for services whose average does not come from it: held, excluded, set by a person, too little history",
    "averaged": "counted in the new averages",
}
"""Step -> what it means. ``delivered`` comes in, every other step goes out."""

COUNTED_STEPS = ("not_averaged", "averaged")
"""The steps in which volume reaches a service."""
