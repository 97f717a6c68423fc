"""The tables that a release fills in PostgreSQL, as SQL: ``postgres/schema.sql`` of each version.

Belongs here: that SQL, made from the contract of what is posted, so that a column is declared once.
Does not belong here: filling the tables (``postgres``).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rate_tables.exact import scale_of
from validations.contract import Contract
from validations.tables import EFFECTIVE_MEANS, POSTED_AVERAGES

SCHEMA_FILE = "postgres/schema.sql"
_TYPES = {"string": "text", "int64": "bigint", "date": "date", "boolean": "boolean"}


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _one_of(values: Any) -> str:
    return "(" + ", ".join(quoted(str(value)) for value in values) + ")"


def _condition(name: str, check: Any, decimals: int | None) -> str:
    limits = check.statistics or {}
    match check.name:
        case "isin":
            return f"{name} IN {_one_of(limits['allowed_values'])}"
        case "not_equal_to":
            return f"{name} <> {quoted(limits['value'])}"
        case "str_matches":
            return f"{name} ~ {quoted(limits['pattern'])}"
        case "greater_than_or_equal_to" | "less_than_or_equal_to":
            sign, limit = next((s, limits[k]) for k, s in {"min_value": ">=", "max_value": "<="}.items() if k in limits)
            return f"{name} {sign} {Decimal(limit).scaleb(-(decimals or 0))}"
        case _:
            raise NotImplementedError(f"the check {check.name} has no form in PostgreSQL")


def _column(contract: Contract, name: str) -> str:
    col, (published, decimals) = contract.columns[name], scale_of(name)
    words = [published, f"numeric(18, {decimals})" if decimals is not None else _TYPES[str(contract.schema[name])]]
    if not col.nullable:
        words.append("NOT NULL")
    words += [f"CHECK ({_condition(published, check, decimals)})" for check in col.checks]
    return " ".join(words)


def _unit(name: str) -> str:
    """What a published number is counted in; the contract tells the small unit in which it is stored."""
    return " [dollars]" if name.endswith("_cents") else " [volume_unit]" if scale_of(name)[1] is not None else ""


def schema_sql() -> str:
    """The SQL that makes schema, tables and view where they are missing; where they are there, it changes nothing."""
    columns = ",\n".join(f"    {_column(POSTED_AVERAGES, name)}" for name in POSTED_AVERAGES.columns)
    comments = "\n".join(
        f"COMMENT ON COLUMN annual_billing.winter_average_updates.{scale_of(name)[0]} IS {quoted(f'{col.description}{_unit(name)}')};"
        for name, col in POSTED_AVERAGES.columns.items()
    )
    return f"""\
-- Winter averages as released, for a billing system on PostgreSQL. Every version stays; the view shows what holds.
CREATE SCHEMA IF NOT EXISTS annual_billing;

CREATE TABLE IF NOT EXISTS annual_billing.releases (
    billing_year integer NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    utility text NOT NULL,
    digest text NOT NULL,
    effective_date date NOT NULL,
    effective_means text NOT NULL CHECK (effective_means IN {_one_of(EFFECTIVE_MEANS.values())}),
    imported_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (billing_year, version)
);
COMMENT ON TABLE annual_billing.releases IS 'One row per version that was imported whole; digest is the hash that was approved';

CREATE TABLE IF NOT EXISTS annual_billing.winter_average_updates (
    billing_year integer NOT NULL,
    version integer NOT NULL,
{columns},
    PRIMARY KEY (billing_year, version, {", ".join(POSTED_AVERAGES.key)}),
    FOREIGN KEY (billing_year, version) REFERENCES annual_billing.releases
);
COMMENT ON TABLE annual_billing.winter_average_updates IS 'One row per version and sewer service whose winter average is posted';
{comments}

CREATE OR REPLACE VIEW annual_billing.winter_averages_in_force AS
SELECT updates.*
FROM annual_billing.winter_average_updates AS updates
WHERE updates.version = (SELECT max(r.version) FROM annual_billing.releases AS r WHERE r.billing_year = updates.billing_year);
COMMENT ON VIEW annual_billing.winter_averages_in_force IS 'Of each billing year the latest version';
"""  # noqa: S608 - the names in it are columns of a contract
