"""Checks are asked again of what has changed alone, and miss nothing by it.

Belongs here: what a check remembers. Does not belong here: what must hold (``test_contract``), the checks in the UI (``test_ui``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract_rows import row, table_of
from whole_runs import committed_sample

from assets.engine import connected
from assets.stage import Session
from assets.store import WHOLE, Store
from pipelines.checks import evaluate
from validations.checks import contract_check
from validations.tables import BILLING_BASIS, SEWER_SERVICES
from validations.workspace import Workspace

YEAR = 2019
KEEPS_ITS_CONTRACT = contract_check(BILLING_BASIS)


class Basis:
    """The basis of services in the slices of three districts."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.first, self.second, self.third = list(session.workspace.districts)[:3]
        services = [
            row(SEWER_SERVICES, service_id=f"{of}.{n}", slice_id=of)
            for of in (self.first, self.second, self.third)
            for n in range(3)
        ]
        session.store.write(SEWER_SERVICES, YEAR, WHOLE, table_of(SEWER_SERVICES, *services), "v1")
        for of in (self.first, self.second, self.third):
            self.write(of, self.of(of))

    def of(self, district: str, **values: Any) -> list[dict[str, Any]]:
        return [row(BILLING_BASIS, service_id=f"{district}.{n}", **values) for n in range(3)]

    def write(self, slice_id: str, rows: list[dict[str, Any]], version: str = "") -> None:
        made = table_of(BILLING_BASIS, *rows)
        self._session.store.write(BILLING_BASIS, YEAR, slice_id, made, version or repr(rows))

    def failing(self) -> int:
        """Rows that break the contract, as a run says of them."""
        (verdict,) = evaluate([KEEPS_ITS_CONTRACT], self._session, YEAR, None, keep_list=True)
        return verdict.failing_rows


@pytest.fixture
def basis(tmp_path: Path) -> Iterator[Basis]:
    con = connected()
    workspace = Workspace(committed_sample(tmp_path / "sample"))
    yield Basis(Session(workspace, Store(workspace.store, con)))
    con.disconnect()


def test_a_slice_that_held_is_not_asked_again_while_another_changes(basis: Basis) -> None:
    assert basis.failing() == 0
    basis.write(basis.first, basis.of(basis.first, days_covered=-1), version=repr(basis.of(basis.first)))
    basis.write(basis.second, basis.of(basis.second, days_covered=50))
    assert basis.failing() == 0
    basis.write(basis.first, basis.of(basis.first, days_covered=-1), version="as it is")
    assert basis.failing() == 3


def test_a_row_that_breaks_the_contract_in_a_changed_slice_is_found_and_until_it_is_mended(basis: Basis) -> None:
    assert basis.failing() == 0
    basis.write(basis.second, basis.of(basis.second, days_covered=-1))
    assert [basis.failing(), basis.failing()] == [3, 3]
    basis.write(basis.third, basis.of(basis.third, days_covered=50))
    assert basis.failing() == 3
    basis.write(basis.second, basis.of(basis.second))
    assert basis.failing() == 0


@pytest.mark.parametrize("stray_first", [True, False])
def test_a_service_in_two_slices_is_found_whichever_of_them_changes(basis: Basis, stray_first: bool) -> None:
    """One slice holds a row of a service that belongs to the other: as the only one of the service, then beside its own."""
    own = basis.of(basis.second)
    strayed = [*basis.of(basis.first), own[0]]
    if stray_first:
        basis.write(basis.first, strayed)
        basis.write(basis.second, own[1:])
        assert basis.failing() == 0
        basis.write(basis.second, own)
    else:
        assert basis.failing() == 0
        basis.write(basis.first, strayed)
    assert basis.failing() > 0
