"""Class averages that a year's last release fixed: what services without history were billed on stays as it was sent.

Belongs here: reading them from the release. Does not belong here: computing class averages (``rate_tables.fallbacks``), releasing.

A late district has its services averaged; it moves nobody else's average once bills have gone out on it.
"""

import json
import re
from pathlib import Path
from typing import Any

import dagster as dg
import ibis.expr.types as ir

from assets.literal_path import literal
from assets.pulling.archive import content_hash_of
from assets.stage import Making, Session, Slice, asset_facts, version_of, years_of
from assets.store import WHOLE
from rate_tables.config_file import ConfigError
from validations.tables import RELEASED_CLASS_AVERAGES
from validations.workspace import MARKER, Workspace

FILE = "class_averages.csv"


def last_release(workspace: Workspace, billing_year: int) -> Path | None:
    """Folder of the year's last released version; None before the first."""
    found = {
        int(path.parent.name[1:]): path.parent
        for path in (workspace.bill_files / str(billing_year)).glob(f"v*/{MARKER}")
        if re.fullmatch(r"v[1-9][0-9]{0,5}", path.parent.name)
    }
    return found[max(found)] if found else None


def fixed_by(workspace: Workspace, billing_year: int) -> Path | None:
    """The file of class averages that holds; None if there is none. ConfigError if it is not as it was released."""
    folder = last_release(workspace, billing_year)
    if folder is None:
        return None
    try:
        files = json.loads((folder / MARKER).read_bytes())["files"]
        hashes = {str(one["file"]): str(one["content_hash"]) for one in files}
    except (OSError, ValueError, KeyError, TypeError):
        hashes = {FILE: ""}
    if FILE not in hashes:
        return None
    path = folder / FILE
    if not path.is_file() or content_hash_of(path) != hashes[FILE]:
        raise ConfigError(
            f"{path.relative_to(workspace.folder).as_posix()}: it is not as it was released; put it back from a copy. annual-billing verify "
            f"{billing_year} names all that was changed."
        )
    return path


def released_class_averages_asset(workspace: Workspace) -> dg.AssetsDefinition:
    """The Dagster asset ``released_class_averages``."""

    @dg.asset(
        name=RELEASED_CLASS_AVERAGES.name,
        partitions_def=years_of(workspace),
        group_name="billing_basis",
        description="Class averages that the year's last release fixed; without rows before the first. "
        f"One row per {RELEASED_CLASS_AVERAGES.row}.",
        required_resource_keys={"session"},
        **asset_facts(RELEASED_CLASS_AVERAGES, workspace),
    )
    def _released_class_averages(context: dg.AssetExecutionContext) -> Making:
        session: Session = context.resources.session
        billing_year = int(context.partition_key)
        try:
            path = fixed_by(session.workspace, billing_year)
        except ConfigError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        version = version_of(RELEASED_CLASS_AVERAGES.name, content_hash_of(path) if path else "none")

        def read() -> ir.Table:
            if path is None:
                return RELEASED_CLASS_AVERAGES.empty()
            con: Any = session.store.con
            return RELEASED_CLASS_AVERAGES.of_text(con.read_csv(literal(path), header=True, all_varchar=True))

        return Making(RELEASED_CLASS_AVERAGES, billing_year, {WHOLE: Slice(version, read)})

    return _released_class_averages
