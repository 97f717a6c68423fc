"""The annual update, started by a person: from the command line the same job that the UI starts.

Belongs here: one run of the job, and what became of it.
Does not belong here: printing (``cli``), stages.
"""

import os
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import dagster as dg
from dagster._core.execution.api import execute_run_iterator
from dagster._core.storage.tags import PARTITION_NAME_TAG

from assets.durable import whole_file
from assets.log import LogBroken
from pipelines.definitions import JOB, build_definitions
from pipelines.progress import LOGGER, progress_logger
from pipelines.session import WorkspaceBusy
from rate_tables.config_file import ConfigError
from validations.workspace import IN_PROCESS, WORKSPACE_VARIABLE, Workspace

_DAGSTER_YAML = """\
# Made by annual-billing; the run history of this workspace is kept beside this file.
telemetry:
  enabled: false
nux:
  enabled: false
# Of what is printed: the run history has every event. Otherwise each step that is a process of its own prints a line.
python_logs:
  python_log_level: INFO
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
    run = _run_in_process if workspace.file.executor == IN_PROCESS else _run_in_processes
    with dg.DagsterInstance.get() as instance:
        run_id, events = run(workspace, billing_year, instance, heard)
    if any(event.is_job_success for event in events):
        return Outcome(True, "", run_id)
    return Outcome(False, _what_to_do(events, run_id), run_id)


def _run_in_process(
    workspace: Workspace, billing_year: int, instance: dg.DagsterInstance, heard: Callable[[str, str, int], None]
) -> tuple[str, Sequence[dg.DagsterEvent]]:
    """Id and events of a run in this process."""
    steps = 0
    definitions = build_definitions(workspace, {LOGGER: progress_logger(lambda event, step: heard(event, step, steps))})
    job = definitions.resolve_job_def(JOB)
    steps = len(job.nodes)
    result = job.execute_in_process(
        partition_key=str(billing_year),
        instance=instance,
        raise_on_error=False,
        run_config={"loggers": {LOGGER: {}}},
    )
    return result.run_id, result.all_events


def _run_in_processes(
    workspace: Workspace, billing_year: int, instance: dg.DagsterInstance, heard: Callable[[str, str, int], None]
) -> tuple[str, Sequence[dg.DagsterEvent]]:
    """Id and events of a run whose steps the workspace's executor makes somewhere else."""
    job = dg.build_reconstructable_job(__name__, job_of.__name__, reconstructable_args=(str(workspace.folder),))
    definition = job.get_definition()
    run = instance.create_run_for_job(
        definition,
        run_config={"loggers": {LOGGER: {}}},
        tags={PARTITION_NAME_TAG: str(billing_year)},
        job_code_origin=job.get_python_origin(),
    )
    events = list[dg.DagsterEvent]()
    for event in execute_run_iterator(job, run, instance):
        events.append(event)
        if event.step_key:
            heard(event.event_type_value, event.step_key, len(definition.nodes))
    return run.run_id, events


@cache
def job_of(folder: str) -> dg.JobDefinition:
    """The annual update of the workspace in ``folder``: how each process of a step finds it."""
    silent = progress_logger(lambda *_: None)
    return build_definitions(Workspace(Path(folder)), {LOGGER: silent}).resolve_job_def(JOB)


def _what_to_do(events: Sequence[dg.DagsterEvent], run_id: str) -> str:
    """The sentence of the failure that a person can mend, else where the details are."""
    for event in events:
        data = event.event_specific_data
        user_failure = getattr(data, "user_failure_data", None)
        if user_failure and user_failure.description:
            return str(user_failure.description)
        error = getattr(data, "error", None)
        while error:
            if error.cls_name in (ConfigError.__name__, WorkspaceBusy.__name__, LogBroken.__name__):
                return str(error.message).split(": ", 1)[-1].strip()
            error = error.cause
    return f"a step failed; its details are in the UI (make ui), run {run_id}. Nothing was published."


def keep_traceback() -> str:
    """Write the traceback of the exception at hand into a file of its own, and say where; or why it could not be written."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="annual-billing-", suffix=".txt", delete=False) as file:
            file.write(traceback.format_exc())
    except OSError as error:
        return f"no file, because none could be written ({error.strerror}): make room, and run it again"
    return file.name
