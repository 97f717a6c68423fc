"""A proposed schedule over a year's averages: what it would bring in, and what it would do to bills.

Belongs here: rating the year's basis twice, and the figures in which the two differ.
Does not belong here: printing (``cli``); making any table of the year: nothing here is written where a bill could be taken from.
"""

from dataclasses import dataclass, replace
from typing import Any

import ibis.expr.types as ir

from assets.bills import bill_lines, bills
from assets.stage import all_slices
from assets.store import WHOLE, Store
from pipelines.rates import percent
from pipelines.session import read_session
from pipelines.summary import NotRun, Table
from rate_tables.billing_periods import SchedulePeriod
from rate_tables.schedule import LoadedSchedule
from validations.contract import Contract
from validations.tables import BILLING_BASIS, SEWER_SERVICES, STRENGTHS
from validations.workspace import Workspace, Year

MOST_CHANGED = 10
_STEPS = [-25, -15, -5, 0, 5, 15, 25]
"""Limits of the classes of change, in percent."""


@dataclass(frozen=True)
class Compared:
    """The figures of a comparison, in the order in which they are asked for."""

    title: str
    tables: list[Table]
    remarks: list[str]


def stored(store: Store, contract: Contract, workspace: Workspace, year: Year) -> ir.Table:
    """A table of the year, all its slices."""
    return store.read(contract, year.billing_year, [*all_slices(workspace), WHOLE])


def rated(con: Any, name: str, tables: tuple[ir.Table, ir.Table, ir.Table], year: Year) -> None:
    """Temporary tables of this connection: ``lines_<name>`` and ``bills_<name>``, in cents a year."""
    basis, services, strengths = tables
    lines = con.create_table(f"of_one_bill_{name}", bill_lines(basis, services, strengths, year=year), temp=True)
    made = bills(basis, lines, services, strengths, year=year)
    kept = con.create_table(f"bills_{name}", made, temp=True)
    of_bill = kept.select("service_id", "period_start", "bills_in_period")
    met = lines.inner_join(of_bill, ["service_id", "period_start"])
    a_year = met.mutate(cents=met.amount_cents * met.bills_in_period)
    con.create_table(f"lines_{name}", a_year.select("service_id", "charge_code", "cents"), temp=True)


def _dollars(cents: int | None) -> str:
    return f"{(cents or 0) / 100:,.2f}"


def _revenue(con: Any, title: str, what: str, by: str) -> Table:
    rows = con.raw_sql(
        f"""
        SELECT {by}, sum(cents) FILTER (was)::BIGINT, sum(cents) FILTER (NOT was)::BIGINT
        FROM compared_lines JOIN services USING (service_id) GROUP BY 1 ORDER BY 1
        """  # noqa: S608 - names of columns
    ).fetchall()
    rows.append(("all", sum(r[1] or 0 for r in rows), sum(r[2] or 0 for r in rows)))
    cells = [
        [str(k), _dollars(a), _dollars(b), _dollars((b or 0) - (a or 0)), percent(a or 0, b or 0)] for k, a, b in rows
    ]
    return Table(title, [what, "adopted $ a year", "proposed $ a year", "difference", "percent"], cells)


def _distribution(con: Any) -> Table:
    limits = ", ".join(f"({n})" for n in _STEPS)
    found = dict(
        con.raw_sql(
            f"""
            SELECT CASE WHEN after = before THEN 'none'
                        ELSE coalesce((SELECT min(l) FROM (VALUES {limits}) AS s(l)
                                       WHERE (after - before) * 100 <= l * before
                                             AND (l > 0 OR (after - before) * 100 < 0))::VARCHAR, 'more') END AS step,
                   count(*)
            FROM compared_bills GROUP BY 1
            """  # noqa: S608 - the limits stand above
        ).fetchall()
    )
    names = {"-25": "falls by 25 % or more", "-15": "falls by 15 to 25 %", "-5": "falls by 5 to 15 %",
             "0": "falls by less than 5 %", "none": "stays as it is", "5": "rises by up to 5 %",
             "15": "rises by 5 to 15 %", "25": "rises by 15 to 25 %", "more": "rises by more than 25 %"}  # fmt: skip
    return Table(
        "What becomes of a year's bills", ["change", "services"],
        [[words, f"{found[step]:,}"] for step, words in names.items() if step in found],
    )  # fmt: skip


def _most_changed(con: Any) -> Table:
    rows = con.raw_sql(
        f"""
        SELECT service_id, customer_class, slice_id, jurisdiction, before, after
        FROM compared_bills JOIN services USING (service_id)
        ORDER BY abs(after - before) DESC, service_id LIMIT {MOST_CHANGED}
        """  # noqa: S608 - a constant
    ).fetchall()
    return Table(
        "The services whose bills change most",
        [
            "service",
            "class",
            "district",
            "jurisdiction",
            "adopted $ a year",
            "proposed $ a year",
            "difference",
            "percent",
        ],
        [[*map(str, r[:4]), _dollars(r[4]), _dollars(r[5]), _dollars(r[5] - r[4]), percent(r[4], r[5])] for r in rows],
        numbers_from=4,
    )


def compare(workspace: Workspace, billing_year: int, proposed: LoadedSchedule) -> Compared:
    """The year's basis under its adopted schedule and under another one, as if that held all year.

    Errors: NotRun if the year has no basis here, or no adopted schedule to compare with.
    """
    year = workspace.year(billing_year)
    if year.rates is None:
        raise NotRun(f"no adopted schedule holds for fiscal year {year.fiscal_year}: there is nothing to compare with.")
    period = SchedulePeriod(year.effective, year.rate_periods[-1].end, proposed)
    with read_session(workspace) as session:
        con: Any = session.store.con
        basis, services, strengths = (
            stored(session.store, contract, workspace, year) for contract in (BILLING_BASIS, SEWER_SERVICES, STRENGTHS)
        )
        if not con.to_pyarrow(basis.limit(1)).num_rows:
            raise NotRun(f"billing year {billing_year} has not been run here; run: annual-billing run {billing_year}")
        kept = con.create_table("services", services, temp=True)
        rated(con, "before", (basis, kept, strengths), year)
        rated(con, "after", (basis, kept, strengths), replace(year, rate_periods=(period,)))
        con.raw_sql(
            """
            CREATE TEMP TABLE of_year_before AS SELECT service_id, sum(cents)::BIGINT AS cents FROM lines_before GROUP BY 1;
            CREATE TEMP TABLE of_year_after AS SELECT service_id, sum(cents)::BIGINT AS cents FROM lines_after GROUP BY 1;
            CREATE TEMP TABLE compared_bills AS
                SELECT service_id, b.cents AS before, a.cents AS after
                FROM of_year_before b JOIN of_year_after a USING (service_id);
            CREATE TEMP TABLE compared_lines AS
                SELECT true AS was, * FROM lines_before SEMI JOIN compared_bills USING (service_id)
                UNION ALL SELECT false, * FROM lines_after SEMI JOIN compared_bills USING (service_id);
            """
        )
        tables = [
            _revenue(con, "Revenue by customer class", "class", "customer_class"),
            _revenue(con, "Revenue by district that measures", "district", "slice_id"),
            _revenue(con, "Revenue by charge", "charge", "charge_code"),
            _distribution(con),
            _most_changed(con),
        ]
        (compared, only_before, only_after), *_ = con.raw_sql(
            """
            SELECT (SELECT count(*) FROM compared_bills),
                   (SELECT count(*) FROM of_year_before ANTI JOIN of_year_after USING (service_id)),
                   (SELECT count(*) FROM of_year_after ANTI JOIN of_year_before USING (service_id))
            """
        ).fetchall()
        held = con.raw_sql(
            """
            SELECT status_reason, count(DISTINCT service_id) FROM bills_after
            WHERE status = 'held' AND service_id IN (FROM of_year_before SELECT service_id) GROUP BY 1 ORDER BY 2 DESC, 1
            """
        ).fetchall()
    title = f"{workspace.file.name}, averages of {year.title}: {proposed.file} ({proposed.schedule.status}) against {year.rates.file}"
    remarks = [f"{compared:,} services have a bill under both schedules; the figures are of these."]
    if only_before:
        remarks.append(f"{only_before:,} have one only under the adopted schedule:")
        remarks += [f"  - {count:,}: {reason}" for reason, count in held]
    if only_after:
        remarks.append(f"{only_after:,} have one only under the proposed schedule.")
    if proposed.schedule.averaging != year.averaging.schedule.averaging:
        remarks.append("The proposed averaging rule differs; the averages are those of the year's own rule.")
    remarks.append("This is a trial: nothing was written, and none of it can be released.")
    return Compared(title, tables, remarks)
