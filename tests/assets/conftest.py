"""Fixtures of the assets' floor. Helpers that are plain functions are in ``front_door_helpers``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from assets.engine import connected


@pytest.fixture(scope="module")
def con() -> Iterator[Any]:
    """A real DuckDB in memory."""
    connection = connected()
    yield connection
    connection.disconnect()
