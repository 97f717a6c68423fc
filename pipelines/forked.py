"""What processes of steps are forked from: the imports, and the job of the workspace, are done once for all of them.

Belongs here: what each step would otherwise begin with, which takes longer than most steps.
Does not belong here: what a step does; anything that a process may not share with the one it was forked from, such as threads and open files.
"""

import os
from contextlib import suppress
from importlib import import_module

from pipelines.annual_update import job_of
from rate_tables.config_file import ConfigError
from validations.workspace import WORKSPACE_VARIABLE

for _name in (
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.root",
    "pipelines.cli",
    "pipelines.run_history",
    "pyarrow.dataset",
):
    import_module(_name)

if _folder := os.environ.get(WORKSPACE_VARIABLE):
    # A step says it better.
    with suppress(ConfigError):
        job_of(_folder)
