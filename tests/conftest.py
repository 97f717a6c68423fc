"""The sample as a newcomer makes it, once for all tests, and the order in which modules are run.

Belongs here: fixtures that several test modules share; what concerns the suite as a whole.
Does not belong here: how a workspace is built or run (``whole_runs``).
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from whole_runs import SAMPLE_YEAR, Ran, SampleRun, annual_billing, committed_sample

MAKING_SECONDS = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules that start whole runs come first, so that no worker is left with a long one at the end. The first of them makes
    the sample, and the others that need it come last of them, so that no worker waits for it."""
    with_sample = {module_of(item) for item in items if "sample" in getattr(item, "fixturenames", ())}

    def turn(item: pytest.Item) -> int:
        if not hasattr(module_of(item), "annual_billing"):
            return 3
        return 2 if module_of(item) in with_sample else 1

    maker = next((module_of(item) for item in items if turn(item) == 2), None)
    items.sort(key=lambda item: 0 if maker and module_of(item) is maker else turn(item))


def module_of(item: pytest.Item) -> object:
    """The test module of an item."""
    return getattr(item, "module", None)


def _made(folder: Path) -> SampleRun:
    """The sample run in ``folder``; made if no worker has made it yet."""
    printed = folder / "printed.json"
    if not printed.exists():
        shutil.rmtree(folder / "sample", ignore_errors=True)
        made = committed_sample(folder / "sample")
        simulated = annual_billing("simulate", made)
        assert simulated.code == 0, simulated.err
        ran = annual_billing("run", SAMPLE_YEAR, "--workspace", made)
        assert ran.code == 0, ran.err
        printed.write_text(json.dumps([asdict(simulated), asdict(ran)]), encoding="utf-8")
    simulated, ran = (Ran(**said) for said in json.loads(printed.read_text(encoding="utf-8")))
    return SampleRun(folder / "sample", simulated, ran)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleRun:
    """The sample as ``make run`` makes it, made by one worker for all; each has a copy. Tests read it; one that changes
    something takes a copy of its own."""
    from pipelines.session import lock

    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made_once"
    with lock(shared, MAKING_SECONDS):
        made = _made(shared)
    folder = tmp_path_factory.mktemp("newcomer") / "sample"
    return SampleRun(Path(shutil.copytree(made.folder, folder)), made.simulated, made.ran)


@pytest.fixture
def sample_copy(sample: SampleRun, tmp_path: Path) -> Path:
    """A copy of the sample after its run, to be changed."""
    return Path(shutil.copytree(sample.folder, tmp_path / "sample"))
