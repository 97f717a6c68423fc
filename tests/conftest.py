"""The sample as a newcomer makes it, once for all tests, and the order in which modules are run.

Belongs here: fixtures that several test modules share; what concerns the suite as a whole.
Does not belong here: how a workspace is built or run (``whole_runs``).
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from whole_runs import SAMPLE_YEAR, Ran, SampleRun, annual_billing, committed_sample

MAKING_SECONDS = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules that start whole runs come first, so that no worker is left with a long one at the end. The first of them makes
    the sample, and the others that need it come last of them, so that no worker waits for it. Spark's year, the longest, begins beside it."""

    def that_use(fixture: str) -> set[object]:
        return {module_of(item) for item in items if fixture in getattr(item, "fixturenames", ())}

    with_sample, on_spark = that_use("sample"), that_use("java")

    def turn(item: pytest.Item) -> int:
        if not hasattr(module_of(item), "annual_billing"):
            return 3
        return 2 if module_of(item) in with_sample else 1

    maker = next((module_of(item) for item in items if turn(item) == 2), None)
    items.sort(key=lambda item: 0 if maker and module_of(item) is maker else turn(item) - (module_of(item) in on_spark))


def pytest_collection_finish() -> None:
    """As a run does, once all is imported."""
    from pipelines.session import leave_alone_what_was_imported

    leave_alone_what_was_imported()


def module_of(item: pytest.Item) -> object:
    """The test module of an item."""
    return getattr(item, "module", None)


def _once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that one worker makes for all; this worker's copy of it."""
    from pipelines.session import lock

    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made_once" / name
    with lock(shared, MAKING_SECONDS):
        if not (shared / "made").exists():
            shutil.rmtree(shared / "it", ignore_errors=True)
            (shared / "it").mkdir()
            make(shared / "it")
            (shared / "made").touch()
    return Path(shutil.copytree(shared / "it", tmp_path_factory.mktemp(name) / "it", symlinks=True))


def _make_sample(folder: Path) -> None:
    made = committed_sample(folder / "sample")
    simulated = annual_billing("simulate", made)
    assert simulated.code == 0, simulated.err
    ran = annual_billing("run", SAMPLE_YEAR, "--workspace", made)
    assert ran.code == 0, ran.err
    (folder / "printed.json").write_text(json.dumps([asdict(simulated), asdict(ran)]), encoding="utf-8")


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleRun:
    """The sample as ``make run`` makes it. Tests read it; one that changes something takes a copy of its own."""
    folder = _once(tmp_path_factory, "newcomer", _make_sample)
    simulated, ran = (Ran(**said) for said in json.loads((folder / "printed.json").read_text(encoding="utf-8")))
    return SampleRun(folder / "sample", simulated, ran)


@pytest.fixture(scope="session")
def java() -> None:
    """Java, without which Spark does not run, found as the program finds it."""
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java", path=f"{home}/bin" if home else None):
        return
    if os.environ.get("ANNUAL_BILLING_REQUIRE_JAVA"):
        pytest.fail("java is not installed")
    sentence = "NOT TESTED: that Spark computes what DuckDB does, because java is not installed: apt-get install openjdk-17-jre-headless"
    warnings.warn(sentence, stacklevel=1)
    pytest.skip(sentence)


def _make_undecided(folder: Path) -> None:
    from releasable import undecided_year

    undecided_year(folder / "ws")


@pytest.fixture(scope="session")
def undecided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small year that was run once; two findings wait for a decision. Tests copy it before they change it."""
    return _once(tmp_path_factory, "undecided", _make_undecided) / "ws"


@pytest.fixture(scope="session")
def decided(undecided: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, decided and run again: ready to be approved."""

    def make(folder: Path) -> None:
        from releasable import decide_and_run

        decide_and_run(Path(shutil.copytree(undecided, folder / "ws", symlinks=True)))

    return _once(tmp_path_factory, "decided", make) / "ws"


@pytest.fixture(scope="session")
def released(undecided: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small year with all that held it up overridden, approved and released as its first version."""

    def make(folder: Path) -> None:
        from releasable import approve_and_release, override_everything

        made = Path(shutil.copytree(undecided, folder / "ws", symlinks=True))
        override_everything(made)
        approve_and_release(made)

    return _once(tmp_path_factory, "released", make) / "ws"


@pytest.fixture
def sample_copy(sample: SampleRun, tmp_path: Path) -> Path:
    """A copy of the sample after its run, to be changed."""
    return Path(shutil.copytree(sample.folder, tmp_path / "sample", symlinks=True))
