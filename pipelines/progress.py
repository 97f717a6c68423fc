"""Progress of a run in a terminal.

Belongs here: turning Dagster's events into a bar.
Does not belong here: what the steps do.
"""

import logging
from collections.abc import Callable
from typing import Any

import dagster as dg
from dagster import InitLoggerContext

LOGGER = "progress"


class _Listener(logging.Handler):
    def __init__(self, heard: Callable[[str, str], None]) -> None:
        super().__init__()
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        event: Any = (getattr(record, "dagster_meta", None) or {}).get("dagster_event")
        if event is not None and event.step_key:
            self._heard(event.event_type_value, event.step_key)


def progress_logger(heard: Callable[[str, str], None]) -> dg.LoggerDefinition:
    """A Dagster logger that tells ``heard`` of each step's events (event type, step) and prints nothing."""

    def _progress(_context: InitLoggerContext) -> logging.Logger:
        listener = logging.Logger(LOGGER, level=logging.DEBUG)
        listener.addHandler(_Listener(heard))
        return listener

    return dg.LoggerDefinition(_progress, config_schema={}, description="Progress of a run in a terminal")


def step_in_words(step: str) -> str:
    """``front_door_dunmore`` as ``reading dunmore``."""
    for prefix, words in (("front_door_", "reading "), ("deliveries__", "pulling "), ("check_", "checking ")):
        if step.startswith(prefix):
            return (words + step.removeprefix(prefix)).replace("_", " ")
    return step.replace("_", " ")
