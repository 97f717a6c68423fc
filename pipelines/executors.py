"""Where the steps of a run are made: the executor of Dagster that ``workspace.yaml`` names, holding the workspace's lock for the run.

Belongs here: finding the executor, its configuration, what a run does before its first step where steps are processes of their own.
Does not belong here: the lock itself and what a step works in (``session``), the steps.

Dagster executes the plan of a run in one process, whoever started it: the command line, the UI, a run launcher in a pod. That process holds the
lock; processes of steps take part in it by the run's id.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, cast

import dagster as dg
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan

from pipelines.session import WAIT_SECONDS, lock, remove_leftovers
from rate_tables.config_file import ConfigError
from validations.workspace import EXECUTORS_ALLOWED, IN_PROCESS, MULTIPROCESS, Workspace

_FORKED = {"start_method": {"forkserver": {"preload_modules": ["pipelines.forked"]}}}


def executor_of(workspace: Workspace) -> dg.ExecutorDefinition:
    """The workspace's executor. ConfigError if it cannot be imported, or not be configured so."""
    named, config = workspace.file.executor, workspace.file.executor_config
    if named == IN_PROCESS:
        return dg.in_process_executor
    if named == MULTIPROCESS:
        return _configured(_holding_lock(dg.multiprocess_executor, workspace), {**_FORKED, **config})
    return _configured(_holding_lock(_imported(named), workspace), config)


def _imported(named: str) -> dg.ExecutorDefinition:
    module, name = named.split(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise _not_allowed(named, f"it cannot be imported ({error})") from error
    except AttributeError as error:
        raise _not_allowed(named, f"{module} has no {name}") from error
    if not isinstance(found, dg.ExecutorDefinition):
        raise _not_allowed(named, "it is no executor of Dagster")
    return found


def _not_allowed(named: str, why: str) -> ConfigError:
    return ConfigError(
        f"workspace.yaml: key executor: {named!r} is not allowed, because {why}; allowed: {EXECUTORS_ALLOWED}."
    )


def _configured(executor: dg.ExecutorDefinition, config: dict[str, Any]) -> dg.ExecutorDefinition:
    configured = executor.configured(config)

    @dg.job(executor_def=configured)
    def _without_steps() -> None:
        pass

    try:
        dg.validate_run_config(_without_steps)
    except dg.DagsterInvalidConfigError as error:
        said = " ".join(error.errors[0].message.split())
        raise ConfigError(f"workspace.yaml: key executor_config: {said}") from error
    return configured


def _holding_lock(executor: dg.ExecutorDefinition, workspace: Workspace) -> dg.ExecutorDefinition:
    """The same executor, whose runs hold the workspace's lock until their last step has ended."""

    create, config_schema = cast("Any", executor.executor_creation_fn), cast("Any", executor.config_schema)

    def made(context: dg.InitExecutorContext) -> dg.Executor:
        one = create(context)
        execute_steps = one.execute

        def execute(plan_context: PlanOrchestrationContext, plan: ExecutionPlan) -> Iterator[dg.DagsterEvent]:
            run_id, instance = plan_context.run_id, plan_context.instance
            with lock(workspace.work, WAIT_SECONDS, run_id, lambda other: _is_going_on(instance, other, workspace)):
                remove_leftovers(workspace.work)
                yield from execute_steps(plan_context, plan)

        # Not wrapped: an executor of Celery is asked for more than Dagster's interface has.
        one.execute = execute
        return cast("dg.Executor", one)

    return dg.ExecutorDefinition(executor.name, config_schema, executor.get_requirements, made, executor.description)


def _is_going_on(instance: dg.DagsterInstance, run_id: str, workspace: Workspace) -> bool:
    """Whether the run that held the lock last goes on somewhere else, for all that is known.

    On one machine the operating system knows: it has freed the lock. File systems that machines share need not pass locks on.
    """
    if workspace.file.executor == MULTIPROCESS:
        return False
    run = instance.get_run_by_id(run_id)
    return run is not None and not run.is_finished
