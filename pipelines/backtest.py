"""A back-test: last year's deliveries through today's rules, against the averages that were really billed.

Belongs here: averaging last year's winter again, comparing it with the CIS, naming what explains a difference.
Does not belong here: averaging (``rate_tables.averaging``), printing (``cli``); no table of a year is made or changed.

An explanation is a second calculation that comes to the billed figure exactly (without the adjustments, from the registered
volumes, the average before). What no calculation comes to is listed, most dollars a year first, for a person to find out.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ibis.expr.types as ir

from assets.billing_basis import billing_basis
from assets.stage import CONTRACTS, Stage
from assets.store import Store
from assets.winter_averages import class_averages, counted_use, winter_averages
from pipelines.session import read_session
from pipelines.summary import NotRun, Table
from pipelines.what_if import rated, stored
from rate_tables.averaging_rule import windows_of
from rate_tables.averaging_steps import Round
from rate_tables.config_file import ConfigError
from rate_tables.volume_units import SIZE_8NL
from validations.tables import (
    ADJUSTED_CONSUMPTION,
    BILLING_BASIS,
    CONSUMPTION,
    CURRENT_AVERAGES,
    SEWER_SERVICES,
    STRENGTHS,
)
from validations.workspace import Workspace, Year

MOST_LISTED = 25

EXPLAINED = {
    "equal": "the same average",
    "rounding": "one step of rounding apart",
    "without_adjustments": "billed without the consumption adjustments and decisions",
    "registered_volume": "billed from what was registered, not from what the district billed",
    "billed_volume": "billed from what the district billed, not from what was registered",
    "average_kept": "the average of the year before was kept",
    "default": "the default of its class was billed",
    "no_average_in_cis": "the CIS has no average for it",
    "not_in_update": "the CIS has an average, and it was in no update of that year",
    "none_here": "no average here: held or excluded",
}
"""Code -> what it says; a difference with none of these is listed."""
LISTED = {
    "digits_exchanged": "the same digits in another order",
    "unit": "off by the ratio of two units",
    "unexplained": "not explained",
}
"""Code -> the same, for differences that a person has to look at."""


@dataclass(frozen=True)
class Backtest:
    """What came of it. ``listed``: differences that no calculation explains."""

    title: str
    tables: list[Table]
    services: int
    listed: int


def _basis(con: Any, name: str, store: Store, workspace: Workspace, year: Year, **given: ir.Table) -> ir.Table:
    """A temporary table: the basis of ``year``, with the tables ``given`` in place of those in the store."""

    def of(stage: Stage) -> ir.Table:
        inputs = {n: given[n] if n in given else stored(store, CONTRACTS[n], workspace, year) for n in stage.inputs}
        return stage(**inputs, year=year)

    given["counted_use"] = con.create_table(f"counted_{name}", of(counted_use), temp=True)
    given["winter_averages"] = con.create_table(f"winter_{name}", of(winter_averages), temp=True)
    given["class_averages"] = con.create_table(f"classes_{name}", of(class_averages), temp=True)
    return con.create_table(f"basis_{name}", of(billing_basis), temp=True)


def _other_volume(year: Year) -> tuple[str, Year]:
    """The year averaged by the volume that its rule does not take, and the code for it."""
    rule = year.averaging.schedule.averaging
    other = "registered" if rule.averaged_volume.value == "billed" else "billed"
    cited = rule.averaged_volume.model_copy(update={"value": other})
    schedule = year.averaging.schedule.model_copy(
        update={"averaging": rule.model_copy(update={"averaged_volume": cited})}
    )
    return f"{other}_volume", replace(year, averaging=year.averaging.model_copy(update={"schedule": schedule}))


def _thousandths_of_default(year: Year) -> list[tuple[str, int]]:
    default = year.averaging.schedule.averaging.no_history_default
    return [(name, int(value * 1000)) for name, value in default.value.items()] if default else []


def backtest(workspace: Workspace, billing_year: int, to: Path | None = None) -> Backtest:
    """Compare what today's rules make of last year's deliveries with what the CIS has billed from since.

    ``to``: a CSV with every service that differs. Errors: NotRun if last year, or this year's extract, was not run here.
    """
    year = workspace.year(billing_year)
    before = billing_year - 1
    if before not in workspace.file.billing_years:
        raise ConfigError(
            f"workspace.yaml: key billing_years: {before} is not listed; the back-test of {billing_year} takes its deliveries and extract."
        )
    own = workspace.year(before)
    windows = windows_of(year.averaging.schedule.averaging, own.effective)
    prior = replace(
        own,
        averaging=year.averaging,
        window_start=min(w.start for w in windows),
        window_end=max(w.end for w in windows),
    )
    with read_session(workspace) as session:
        store, con = session.store, session.store.con
        for one, contract in ((prior, CONSUMPTION), (prior, SEWER_SERVICES), (year, CURRENT_AVERAGES)):
            if not con.to_pyarrow(stored(store, contract, workspace, one).limit(1)).num_rows:
                raise NotRun(
                    f"billing year {one.billing_year} has not been run here; run: annual-billing run {one.billing_year}"
                )
        empty = ADJUSTED_CONSUMPTION.empty()
        code, by_other_volume = _other_volume(prior)
        ours = _basis(con, "ours", store, workspace, prior)
        _basis(con, "plain", store, workspace, prior, adjusted_consumption=empty)
        _basis(con, "other", store, workspace, by_other_volume)
        billed = con.create_table("billed", stored(store, CURRENT_AVERAGES, workspace, year), temp=True)
        con.create_table("before", stored(store, CURRENT_AVERAGES, workspace, prior), temp=True)
        services = con.create_table("services", stored(store, SEWER_SERVICES, workspace, prior), temp=True)
        _compare(con, prior, code)
        strengths = stored(store, STRENGTHS, workspace, prior)
        has_rates = prior.rates is not None and bool(prior.rates.schedule.charges)
        if has_rates:
            rated(con, "before", (ours, services, strengths), prior)
            as_billed = ours.drop("winter_average_thousandths").inner_join(
                billed.select("service_id", "winter_average_thousandths"), "service_id"
            )
            rated(con, "after", (BILLING_BASIS.conform(as_billed), services, strengths), prior)
            con.raw_sql(
                """
                CREATE TEMP TABLE dollars AS
                SELECT service_id, a.cents - b.cents AS cents
                FROM (SELECT service_id, sum(cents) AS cents FROM lines_before GROUP BY 1) b
                JOIN (SELECT service_id, sum(cents) AS cents FROM lines_after GROUP BY 1) a USING (service_id)
                """
            )
        else:
            con.raw_sql("CREATE TEMP TABLE dollars (service_id VARCHAR, cents BIGINT)")
        return _told(con, workspace, year, prior, has_rates, to)


def _compare(con: Any, prior: Year, code_of_other_volume: str) -> None:
    """The temporary table ``compared``: one row per service with both averages and the code."""
    rule = prior.averaging.schedule.averaging
    step = int([s for s in rule.steps if isinstance(s, Round)][-1].to * 1000)
    unit = rule.unit.value
    default = (
        " ".join(f"WHEN '{name}' THEN {value}" for name, value in _thousandths_of_default(prior)) or "WHEN '' THEN NULL"
    )
    sizes = sorted({SIZE_8NL[a] / SIZE_8NL[b] for a in SIZE_8NL for b in SIZE_8NL if a != b} | {10.0, 100.0, 0.1, 0.01})
    is_ratio = " OR ".join(f"abs(theirs - here * {r!r}) <= {step} + 0.001 * theirs" for r in sizes)
    con.raw_sql(
        f"""
        CREATE TEMP TABLE compared AS
        SELECT service_id, s.slice_id, s.customer_class, o.derivation, o.derivation_note, here, theirs,
            CASE WHEN here IS NULL AND theirs IS NULL THEN 'equal'
                 WHEN here = theirs THEN 'equal'
                 WHEN theirs IS NULL THEN 'no_average_in_cis'
                 WHEN o.service_id IS NULL THEN 'not_in_update'
                 WHEN abs(here - theirs) <= {step} THEN 'rounding'
                 WHEN theirs = plain THEN 'without_adjustments'
                 WHEN theirs = other THEN '{code_of_other_volume}'
                 WHEN theirs = was THEN 'average_kept'
                 WHEN theirs = CASE s.customer_class {default} END THEN 'default'
                 WHEN here IS NULL THEN 'none_here'
                 WHEN array_to_string(list_sort(string_split(here::VARCHAR, '')), '')
                    = array_to_string(list_sort(string_split(theirs::VARCHAR, '')), '') THEN 'digits_exchanged'
                 WHEN here > 0 AND ({is_ratio}) THEN 'unit'
                 ELSE 'unexplained' END AS code
        FROM (SELECT service_id, derivation, derivation_note, winter_average_thousandths AS here FROM basis_ours) o
        FULL JOIN (SELECT service_id, winter_average_thousandths AS theirs FROM billed WHERE volume_unit = '{unit}') b
            USING (service_id)
        LEFT JOIN (SELECT service_id, winter_average_thousandths AS plain FROM basis_plain) USING (service_id)
        LEFT JOIN (SELECT service_id, winter_average_thousandths AS other FROM basis_other) USING (service_id)
        LEFT JOIN (SELECT service_id, winter_average_thousandths AS was FROM "before" WHERE volume_unit = '{unit}')
            USING (service_id)
        LEFT JOIN services s USING (service_id)
        """  # noqa: S608 - names and figures of the rule
    )


def _volume(thousandths: int | None) -> str:
    return "" if thousandths is None else f"{thousandths / 1000:,.2f}"


def _dollars(cents: int | None) -> str:
    return "" if cents is None else f"{cents / 100:,.2f}"


def _told(con: Any, workspace: Workspace, year: Year, prior: Year, has_rates: bool, to: Path | None) -> Backtest:
    counted = {
        code: rest
        for code, *rest in con.raw_sql(
            """
            SELECT code, count(*), sum(abs(theirs - here)), sum(abs(cents))::BIGINT FROM compared LEFT JOIN dollars USING (service_id)
            GROUP BY 1
            """
        ).fetchall()
    }
    unit = prior.averaging.schedule.averaging.unit.value.upper()
    rows = [
        [words, f"{counted[code][0]:,}", _volume(counted[code][1]), _dollars(counted[code][2])]
        for code, words in {**EXPLAINED, **LISTED}.items()
        if code in counted
    ]
    total = sum(n for n, *_ in counted.values())
    rows.append(["all services", f"{total:,}", "", ""])
    listed_codes = ", ".join(f"'{code}'" for code in LISTED)
    listed = con.raw_sql(
        f"""
        SELECT service_id, slice_id, customer_class, derivation, here, theirs, cents, code
        FROM compared LEFT JOIN dollars USING (service_id) WHERE code IN ({listed_codes})
        ORDER BY abs(cents) DESC NULLS LAST, abs(theirs - here) DESC, service_id
        """  # noqa: S608 - codes
    ).fetchall()
    words = {**EXPLAINED, **LISTED}
    cells = [
        [*map(str, r[:4]), _volume(r[4]), _volume(r[5]), _dollars(r[6]), words[r[7]]] for r in listed[:MOST_LISTED]
    ]
    tables = [
        Table(
            "Averages against what was billed",
            ["what explains it", "services", f"{unit} a month apart", "$ a year apart"],
            rows,
        )
    ]
    if listed:
        title = "Differences for a person, most dollars a year first"
        if len(listed) > MOST_LISTED:
            title += f" ({MOST_LISTED} of {len(listed):,})"
        head = ["service", "district", "class", "derivation", "here", "billed", "$ a year", "what it looks like"]
        tables.append(Table(title, head, cells, 4))
    if to is not None:
        _write(con, to, words)
    rule = prior.averaging.file
    title = (
        f"{workspace.file.name}: deliveries of {prior.title} by the averaging rule of {rule}, against the averages that the CIS "
        f"extract of {year.billing_year} says were billed"
    )
    if not has_rates:
        title += f"\n(no adopted rates of {prior.title}: dollars are left out)"
    return Backtest(title, tables, total, len(listed))


def _write(con: Any, to: Path, words: dict[str, str]) -> None:
    """Every service that differs, in its place in one step."""
    found = con.raw_sql(
        """
        SELECT service_id, slice_id, customer_class, derivation, derivation_note, here, theirs, cents, code
        FROM compared LEFT JOIN dollars USING (service_id) WHERE code <> 'equal'
        ORDER BY abs(cents) DESC NULLS LAST, service_id
        """
    ).fetchall()
    beside = to.with_name(f".{to.name}.tmp")
    with beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["service_id", "slice", "customer_class", "derivation", "derivation_note", "average_here", "average_billed",
             "dollars_a_year", "code", "meaning"]
        )  # fmt: skip
        writer.writerows(
            [*r[:5], *(_volume(v).replace(",", "") for v in r[5:7]), _dollars(r[7]).replace(",", ""), r[8], words[r[8]]]
            for r in found
        )
    beside.rename(to)
