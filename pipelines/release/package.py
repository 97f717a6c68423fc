"""``datapackage.json``: what each released file is, for any program that reads Frictionless data packages.

Belongs here: the facts about a file, and their description: types, units, keys, hashes. Does not belong here: writing the files (``bundle``).

The form is version 1 of the specification, which every tool reads; ``unit`` beside a field is an addition that it allows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rate_tables.exact import scale_of
from validations.contract import Contract

_TYPES = {"string": "string", "int64": "integer", "date": "date", "boolean": "boolean"}
_MEDIA_TYPES = {
    ".csv": "text/csv", ".parquet": "application/vnd.apache.parquet", ".sql": "application/sql", ".json": "application/json",
}  # fmt: skip


@dataclass(frozen=True)
class ReleasedFile:
    """A file of a version: its name below the version's folder. ``rows`` and ``contract`` of a table, else None."""

    file: str
    bytes: int
    rows: int | None
    content_hash: str
    description: str
    contract: Contract | None = None

    def as_row(self) -> dict[str, Any]:
        """As the marker of a release has it."""
        return {"file": self.file, "bytes": self.bytes, "rows": self.rows, "content_hash": self.content_hash}


def _field(contract: Contract, name: str, volume_unit: str) -> dict[str, Any]:
    col, (published, decimals) = contract.columns[name], scale_of(name)
    field: dict[str, Any] = {
        "name": published,
        "type": "number" if decimals is not None else _TYPES[str(contract.schema[name])],
        "description": col.description,
    }
    if decimals is not None:
        field["unit"] = "dollars" if name.endswith("_cents") else volume_unit
    constraints: dict[str, Any] = {} if col.nullable else {"required": True}
    for check in col.checks:
        limits = check.statistics or {}
        if check.name == "isin":
            constraints["enum"] = list(limits["allowed_values"])
        elif check.name == "greater_than_or_equal_to":
            constraints["minimum"] = limits["min_value"]
    if constraints:
        field["constraints"] = constraints
    return field


def schema_of(contract: Contract, volume_unit: str) -> dict[str, Any]:
    """The Table Schema of a CSV file with a contract's columns."""
    fields = [_field(contract, name, volume_unit) for name in contract.columns]
    return {"fields": fields, "primaryKey": list(contract.key), "missingValues": [""]}


def _resource(file: ReleasedFile, volume_unit: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": file.file.lower().replace("/", "-"),
        "path": file.file,
        "description": file.description,
        "bytes": file.bytes,
        "hash": f"sha256:{file.content_hash}",
    }
    media_type = next((words for ending, words in _MEDIA_TYPES.items() if file.file.endswith(ending)), "text/plain")
    if file.contract is None:
        return {**facts, "type": "file", "mediatype": media_type}
    return {
        **facts,
        "profile": "tabular-data-resource",
        "format": "csv",
        "mediatype": media_type,
        "encoding": "utf-8",
        "dialect": {"delimiter": ",", "lineTerminator": "\n", "quoteChar": '"', "doubleQuote": True, "header": True},
        "schema": schema_of(file.contract, volume_unit),
    }


def datapackage(files: list[ReleasedFile], *, billing_year: int, version: int, utility: str, volume_unit: str) -> bytes:
    """The descriptor of these files. The same files give the same bytes."""
    descriptor = {
        "profile": "data-package",
        "name": f"winter-averages-{billing_year}-v{version}",
        "title": f"{utility}: winter averages of {billing_year}, version {version}",
        "version": str(version),
        "resources": [_resource(file, volume_unit) for file in files],
    }
    return (json.dumps(descriptor, indent=1, ensure_ascii=False) + "\n").encode()
