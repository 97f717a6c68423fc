"""Figures for a page: small tables of a year as rows, and numbers as they are written.

Belongs here: reading, adding up, notation. Does not belong here: which figures a page shows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import ibis.expr.types as ir

from assets.stage import CONTRACTS, Session, slices_of
from rate_tables.exact import rounded

Rows = list[dict[str, Any]]


def count(number: Any) -> str:
    return f"{number or 0:,}"


def scaled(number: int | None, decimals: int) -> str:
    return "" if number is None else f"{Decimal(number).scaleb(-decimals):,.{decimals}f}"


def dollars(cents: int | None) -> str:
    return scaled(cents, 2)


def percent(now: int, then: int) -> str:
    """The change, in tenths of a percent; empty where there was nothing."""
    if not then:
        return ""
    tenths = rounded(Fraction(1000 * (now - then), then))
    return f"{'+' if tenths > 0 else ''}{Decimal(tenths).scaleb(-1):,.1f} %"


class Read:
    """Small tables of the year, as rows."""

    def __init__(self, session: Session, billing_year: int) -> None:
        self._session, self._year = session, billing_year

    def table(self, name: str) -> ir.Table:
        contract = CONTRACTS[name]
        return contract.conform(
            self._session.store.read(contract, self._year, slices_of(contract, self._session.workspace))
        )

    def rows(self, table: ir.Table | str) -> Rows:
        chosen = self.table(table).order_by(CONTRACTS[table].key) if isinstance(table, str) else table
        return [{k: _whole(v) for k, v in r.items()} for r in self._session.store.con.to_pyarrow(chosen).to_pylist()]


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, Decimal) else value


def sums_by(rows: Iterable[dict[str, Any]], by: str, *names: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(names, 0))
    for row in rows:
        for name in names:
            found[row[by]][name] += row[name] or 0
    return dict(sorted(found.items()))
