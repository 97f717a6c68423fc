"""What every kind of source has in common: files that are found there, how their content comes, what can go wrong.

Belongs here: the shape of a location, the sentences' carriers, patience with faults that pass.
Does not belong here: any particular kind of source, the archive.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

CHUNK_BYTES = 1 << 16
LONGEST_WAIT_SECONDS = 30.0


class NotTaken(Exception):
    """A file, or all of a location, cannot be had; the message is a sentence for people and holds no secret.

    ``status``: that of the delivery's row. ``gone``: the file is not there at all.
    """

    def __init__(self, sentence: str, status: str = "refused", *, gone: bool = False) -> None:
        super().__init__(sentence)
        self.status = status
        self.gone = gone


class PassingFault(Exception):
    """Something that may have passed at the next attempt; the message is a sentence without secrets."""


@dataclass(frozen=True)
class Found:
    """A file at a location.

    ``name``: as it is called there; hostile until shown. ``address``: how the location finds it again. ``bytes``: size, or
    None if it does not say. ``stamp``: changes when the content does. ``age_seconds``: since its last change, as far as clocks
    agree. ``not_taken``: why it cannot be had, if that is known already.
    """

    name: str
    address: str | bytes
    bytes: int | None
    stamp: str
    age_seconds: float | None = None
    not_taken: NotTaken | None = None


@dataclass
class Patience:
    """How long a location is waited for: attempts in a row that bring nothing, and the time for all of it."""

    limit_minutes: float = 60.0
    attempts: int = 5
    first_wait_seconds: float = 1.0
    _began: float = field(default_factory=time.monotonic)

    def seconds_left(self) -> float:
        """NotTaken when the time is up."""
        left = self._began + self.limit_minutes * 60 - time.monotonic()
        if left <= 0:
            raise NotTaken(
                f"pulling took longer than {self.limit_minutes:g} minutes and was broken off; run again, it goes on from "
                "what has come",
                "not_pulled",
            )
        return left

    def timeout(self) -> float:
        """Seconds to wait for an answer."""
        return min(LONGEST_WAIT_SECONDS, self.seconds_left())

    def wait_after(self, fault: PassingFault, faults: int) -> None:
        """Wait before the next attempt, twice as long after each; NotTaken if there have been enough."""
        if faults >= self.attempts:
            raise NotTaken(f"{fault}; tried {faults} times", "not_pulled") from None
        pause = min(self.first_wait_seconds * 2 ** (faults - 1), LONGEST_WAIT_SECONDS)
        time.sleep(min(pause, self.seconds_left()))


class Location(Protocol):
    """A source of one billing year, opened."""

    def found(self) -> list[Found]:
        """Every file there. NotTaken, PassingFault."""

    def opened(self, file: Found, start: int) -> tuple[int, Iterator[bytes]]:
        """The content from ``start`` on, or from 0 if it cannot go on there; first where it begins. NotTaken, PassingFault."""

    def is_unchanged(self, file: Found) -> bool:
        """Whether the file is still as it was found, after its content came. PassingFault."""

    def hash_of(self, file: Found) -> str | None:
        """SHA-256 of the content, if it can be had without bringing the content over."""

    def close(self) -> None:
        """Let go of connections."""
