"""The house: floors that use only those below, definitions that load in a fresh clone, lint and types.

Belongs here: promises about the code itself and about what Dagster shows of it.
Does not belong here: what the code computes.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from whole_runs import ROOT

FLOORS = ["rate_tables", "validations", "assets", "pipelines"]
BIN = Path(sys.executable).parent


def imported(path: Path) -> set[str]:
    """Top-level packages that a module imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_uses_only_those_below_it(floor: str) -> None:
    above = set(FLOORS[FLOORS.index(floor) + 1 :])
    modules = list((ROOT / floor).rglob("*.py"))
    assert modules
    assert {str(m): imported(m) & above for m in modules if imported(m) & above} == {}


@pytest.mark.parametrize("floor", ["rate_tables", "validations"])
def test_the_lower_two_floors_know_nothing_of_dagster(floor: str) -> None:
    assert [m for m in (ROOT / floor).rglob("*.py") if "dagster" in imported(m)] == []


@pytest.mark.parametrize("floor", FLOORS)
def test_every_module_opens_by_saying_what_belongs_in_it(floor: str) -> None:
    silent = [
        str(m.relative_to(ROOT))
        for m in (ROOT / floor).rglob("*.py")
        if not re.search(
            r"Belongs here:.*Does not belong here:", ast.get_docstring(ast.parse(m.read_text())) or "", re.S
        )
    ]
    assert silent == []


def test_definitions_load_in_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    environment = {k: v for k, v in os.environ.items() if k not in ("DAGSTER_HOME", "ANNUAL_BILLING_WORKSPACE")}
    checked = subprocess.run(
        [str(BIN / "dg"), "check", "defs"],
        cwd=clone, env={**environment, "PYTHONPATH": str(clone), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "All definitions loaded successfully" in checked.stdout + checked.stderr


def test_every_asset_has_group_description_owner_kinds_and_a_column_schema_with_units() -> None:
    from pipelines.definitions import build_definitions
    from validations.workspace import SAMPLE, Workspace

    graph = build_definitions(Workspace(SAMPLE)).resolve_asset_graph()
    nodes = {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}
    assert {
        "deliveries/dunmore",
        "consumption/dunmore",
        "billing_basis",
        "bills",
        "bill_files",
        "billing_database",
    } <= set(nodes)
    for name, node in nodes.items():
        assert node.group_name != "default", name
        assert node.description, name
        assert node.owners == ["team:billing"], name
        assert "duckdb" in node.kinds, name
        if name == "billing_database":
            continue
        columns = node.metadata["dagster/column_schema"].columns
        assert all(column.description for column in columns), name
        assert all(
            "[" in c.description for c in columns if c.name.endswith(("_thousandths", "_cents", "_millionths"))
        ), name


def test_every_table_has_the_check_of_its_contract() -> None:
    from pipelines.definitions import build_definitions
    from validations.workspace import SAMPLE, Workspace

    graph = build_definitions(Workspace(SAMPLE)).resolve_asset_graph()
    checked = {key.asset_key for key in graph.asset_check_keys if key.name == "keeps_its_contract"}
    assert graph.get_all_asset_keys() - checked == {
        key for key in graph.get_all_asset_keys() if key.path == ["billing_database"]
    }


@pytest.mark.parametrize(
    "command", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=["lint", "format", "types"]
)
def test_lint_format_and_types_pass(command: list[str]) -> None:
    done = subprocess.run([str(BIN / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_package_is_pinned_with_an_address() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 50
    assert [p for p in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", p)] == []
