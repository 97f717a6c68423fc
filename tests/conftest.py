"""The sample as a newcomer makes it, once for all tests.

Belongs here: fixtures that several test modules share.
Does not belong here: how a workspace is built or run (``whole_runs``).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from whole_runs import SAMPLE_YEAR, SampleRun, annual_billing, committed_sample


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleRun:
    """The sample as ``make run`` makes it. Tests read it; one that changes something takes a copy."""
    folder = committed_sample(tmp_path_factory.mktemp("newcomer") / "sample")
    simulated = annual_billing("simulate", folder)
    assert simulated.code == 0, simulated.err
    ran = annual_billing("run", SAMPLE_YEAR, "--workspace", folder)
    assert ran.code == 0, ran.err
    return SampleRun(folder, simulated, ran)


@pytest.fixture
def sample_copy(sample: SampleRun, tmp_path: Path) -> Path:
    """A copy of the sample after its run, to be changed."""
    return Path(shutil.copytree(sample.folder, tmp_path / "sample"))
