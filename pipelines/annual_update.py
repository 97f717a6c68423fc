"""The annual update, started by a person: from the command line the same job that the UI starts.

Belongs here: one run of the job, and what became of it.
Does not belong here: printing (``cli``), stages.
"""

import os
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from assets.durable import whole_file
from assets.log import LogBroken
from pipelines.definitions import JOB, build_definitions
from pipelines.progress import LOGGER, progress_logger
from pipelines.session import WorkspaceBusy
from rate_tables.config_file import ConfigError
from validations.workspace import WORKSPACE_VARIABLE, Workspace

_DAGSTER_YAML = """\
# Made by annual-billing; the run history of this workspace is kept beside this file.
telemetry:
  enabled: false
nux:
  enabled: false
# A run started in the UI begins at once; the workspace's own lock keeps runs apart. (The default, a queue, needs a daemon.)
run_coordinator:
  module: dagster.core.run_coordinator
  class: DefaultRunCoordinator
storage:
  custom:
    module: pipelines.run_history
    class: RunHistory
    config:
      base_dir:
        env: DAGSTER_HOME
"""


@dataclass(frozen=True)
class Outcome:
    """How a run ended. ``sentence`` says what to do if it did not end well."""

    succeeded: bool
    sentence: str
    run_id: str


def use_dagster_home(workspace: Workspace) -> Path:
    """Point Dagster at this workspace's run history, for this process and those it starts."""
    home = workspace.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.is_file() or settings.read_text(encoding="utf-8") != _DAGSTER_YAML:
        # In one rename, because another command may be reading it.
        with whole_file(settings) as beside:
            beside.write_text(_DAGSTER_YAML, encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ[WORKSPACE_VARIABLE] = str(workspace.folder)
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    return home


def run_year(workspace: Workspace, billing_year: int, heard: Callable[[str, str, int], None]) -> Outcome:
    """Run the annual update. ``heard(event, step, steps in all)`` follows it.

    Errors: ConfigError if the workspace or the year is wrong.
    """
    workspace.year(billing_year)
    use_dagster_home(workspace)
    steps = 0
    definitions = build_definitions(workspace, {LOGGER: progress_logger(lambda event, step: heard(event, step, steps))})
    job = definitions.resolve_job_def(JOB)
    steps = len(job.nodes)
    with dg.DagsterInstance.get() as instance:
        result = job.execute_in_process(
            partition_key=str(billing_year),
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {LOGGER: {}}},
        )
    if result.success:
        return Outcome(True, "", result.run_id)
    return Outcome(False, _what_to_do(result, workspace), result.run_id)


def _what_to_do(result: dg.ExecuteInProcessResult, workspace: Workspace) -> str:
    """The sentence of the failure that a person can mend, else where the details are."""
    for event in result.all_events:
        data = event.event_specific_data
        user_failure = getattr(data, "user_failure_data", None)
        if user_failure and user_failure.description:
            return str(user_failure.description)
        error = getattr(data, "error", None)
        while error:
            if error.cls_name in (ConfigError.__name__, WorkspaceBusy.__name__, LogBroken.__name__):
                return str(error.message).split(": ", 1)[-1].strip()
            error = error.cause
    return f"a step failed; its details are in the UI (make ui), run {result.run_id}. Nothing was published."


def keep_traceback() -> str:
    """Write the traceback of the exception at hand into a file of its own, and say where; or why it could not be written."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="annual-billing-", suffix=".txt", delete=False) as file:
            file.write(traceback.format_exc())
    except OSError as error:
        return f"no file, because none could be written ({error.strerror}): make room, and run it again"
    return file.name
