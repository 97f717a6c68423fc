"""Standing questions: what staff ask all year, as views of ``billing.duckdb``.

Belongs here: the views, their columns in words, what to do with what they list. Does not belong here: printing them
(``pipelines.questions``), anything that is worth a finding (``validations.review``).

A view reads tables alone, so it answers for every year that has been run and costs nothing until it is asked. A year that has not been run
is no evidence of anything: it neither adds to the years without something nor ends them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import duckdb

from validations.workspace import Workspace


@dataclass(frozen=True)
class Question:
    """A view: ``row`` says what one row is, ``columns`` what each column is, in its order; ``remedy`` what to do with a row."""

    name: str
    title: str
    row: str
    columns: dict[str, str]
    remedy: str
    sql: Callable[[Workspace], str]

    @property
    def view(self) -> str:
        return f"question_{self.name}"


_SERVICE = {
    "service_id": "Sewer service (the CIS's id)",
    "account_id": "Sewer account (the CIS's id)",
}
_CLASS = {"customer_class": "Customer class"}
_AVERAGE = {"winter_average": "Winter average per month from the effective date; empty if held or excluded"}


def _no_district_history(_: Workspace) -> str:
    return """
    WITH years AS (
        SELECT b.billing_year, b.service_id, b.account_id, s.customer_class, s.status, s.service_start, s.occupant_since, b.derivation,
               EXISTS (SELECT 1 FROM service_consumption c WHERE c.billing_year = b.billing_year AND c.service_id = b.service_id) AS has_history,
               b.winter_average
        FROM billing_basis b JOIN sewer_services s USING (billing_year, service_id)
        WHERE s.volume_source = 'district' AND b.derivation <> 'excluded'
    ), running AS (
        SELECT *, max(CASE WHEN has_history THEN billing_year END) OVER before_it AS last_year_with_history,
               row_number() OVER before_it AS place
        FROM years WINDOW before_it AS (PARTITION BY service_id ORDER BY billing_year)
    ), counted AS (
        SELECT *, place - coalesce(max(CASE WHEN has_history THEN place END) OVER (PARTITION BY service_id ORDER BY billing_year), 0) AS years_without_history
        FROM running
    )
    SELECT billing_year, service_id, account_id, customer_class, status, service_start, occupant_since, years_without_history,
           last_year_with_history, derivation, winter_average
    FROM counted WHERE NOT has_history
    """


_STANDS_IN = ("default", "class_average", "previous_occupant", "prior_year", "carried_forward")


def _stands_in(_: Workspace) -> str:
    listed = ", ".join(f"'{one}'" for one in _STANDS_IN)
    return f"""
    WITH years AS (
        SELECT b.billing_year, b.service_id, b.account_id, s.customer_class, s.volume_source, b.derivation, b.derivation_note, b.is_provisional,
               b.winter_average, b.derivation IN ({listed}) AS stands_in,
               row_number() OVER (PARTITION BY b.service_id ORDER BY b.billing_year) AS place
        FROM billing_basis b JOIN sewer_services s USING (billing_year, service_id)
    ), counted AS (
        SELECT *, place - coalesce(max(CASE WHEN NOT stands_in THEN place END) OVER (PARTITION BY service_id ORDER BY billing_year), 0) AS years_running
        FROM years
    )
    SELECT billing_year, service_id, account_id, customer_class, volume_source, derivation, derivation_note, is_provisional, years_running, winter_average
    FROM counted WHERE stands_in
    """  # noqa: S608


def _served_not_billed(_: Workspace) -> str:
    return """
    WITH unbilled AS (
        SELECT b.billing_year, b.service_id, b.account_id, s.customer_class, s.status, s.service_end, b.derivation,
               CASE WHEN b.derivation IN ('excluded', 'held') THEN b.derivation_note
                    ELSE coalesce((SELECT min(l.status_reason) FROM bills l WHERE l.billing_year = b.billing_year AND l.service_id = b.service_id), 'it has no bill')
               END AS why_not_billed,
               greatest(b.window_start, coalesce(s.service_end, b.window_start)) AS used_from
        FROM billing_basis b JOIN sewer_services s USING (billing_year, service_id)
        WHERE s.volume_source <> 'wholesale' AND NOT EXISTS (
            SELECT 1 FROM bills l WHERE l.billing_year = b.billing_year AND l.service_id = b.service_id AND l.amount IS NOT NULL
        )
    )
    SELECT u.billing_year, u.service_id, u.account_id, u.customer_class, u.status, u.service_end, u.derivation, u.why_not_billed,
           min(c.period_start) AS used_from, max(c.period_end) AS used_until, sum(c.billed_volume)::DECIMAL(18, 3) AS delivered_volume, c.volume_unit
    FROM unbilled u
    JOIN (SELECT DISTINCT billing_year, service_id, district_id, district_account, meter_id FROM service_consumption) m USING (billing_year, service_id)
    JOIN consumption c USING (billing_year, district_id, district_account, meter_id)
    WHERE c.period_start >= u.used_from AND c.billed_volume > 0
    GROUP BY ALL
    """


def _district_account_maybe_sewer(_: Workspace) -> str:
    return """
    WITH years AS (
        SELECT DISTINCT billing_year, row_place FROM (
            SELECT billing_year, dense_rank() OVER (ORDER BY billing_year) AS row_place FROM (SELECT DISTINCT billing_year FROM billing_basis)
        )
    ), listed AS (
        SELECT u.billing_year, u.district_id, u.district_account, sum(u.billed_volume)::DECIMAL(18, 3) AS billed_volume, u.volume_unit,
               count(*) AS meters, max(u.nearest_account) AS nearest_account, y.row_place
        FROM unmatched u JOIN years y USING (billing_year) WHERE u.side = 'district' GROUP BY ALL
    ), runs AS (
        SELECT *, row_place - row_number() OVER (PARTITION BY district_id, district_account, volume_unit ORDER BY billing_year) AS run FROM listed
    )
    SELECT billing_year, district_id, district_account, meters, billed_volume, volume_unit, nearest_account,
           row_number() OVER (PARTITION BY district_id, district_account, volume_unit, run ORDER BY billing_year) AS years_running
    FROM runs
    """


def _collections_or_written_off(_: Workspace) -> str:
    return """
    WITH of_year AS (
        SELECT billing_year, service_id, sum(bills_in_period) AS bills, sum(amount * bills_in_period) AS amount_a_year
        FROM bills WHERE amount IS NOT NULL GROUP BY ALL
    )
    SELECT r.billing_year, r.service_id, s.account_id, s.status AS service_status, r.status, r.balance, b.derivation, b.winter_average,
           coalesce(y.bills, 0)::BIGINT AS bills, y.amount_a_year, coalesce(y.bills, 0) > 0 AS is_billed,
           CASE WHEN s.service_id IS NULL THEN 'nothing: the CIS extract has no such service'
                WHEN b.derivation = 'excluded' THEN 'nothing: ' || b.derivation_note
                WHEN b.winter_average IS NULL THEN 'no average is posted: ' || b.derivation_note
                WHEN y.bills IS NULL THEN 'an average is posted, and its bills are held'
                WHEN r.status = 'written_off' THEN 'BILLED ANEW, although what it owed was written off'
                ELSE 'billed on like any other; what it owes is not changed'
           END AS what_the_update_does
    FROM receivables r
    LEFT JOIN sewer_services s USING (billing_year, service_id)
    LEFT JOIN billing_basis b USING (billing_year, service_id)
    LEFT JOIN of_year y USING (billing_year, service_id)
    WHERE r.status <> 'current'
    """


def _untouched_credits(workspace: Workspace) -> str:
    law = workspace.file.unclaimed_property
    years = "NULL::BIGINT" if law is None else f"{law.years:d}::BIGINT"
    return f"""
    SELECT r.billing_year, r.service_id, s.account_id, s.status AS service_status, r.credit, r.credit_since,
           {years} AS unclaimed_after_years,
           CAST(r.credit_since + to_years(CAST({years} AS INTEGER)) AS DATE) AS unclaimed_from
    FROM receivables r LEFT JOIN sewer_services s USING (billing_year, service_id)
    WHERE r.credit > 0
    """  # noqa: S608


QUESTIONS: list[Question] = [
    Question(
        "no_district_history",
        "Services of which no district has delivered anything",
        "sewer service that a district should measure and of which nothing was delivered for the year",
        {
            **_SERVICE, **_CLASS, "status": "Status of the service", "service_start": "First day of service",
            "occupant_since": "Since when the present occupant is there",
            "years_without_history": "Years that were run, up to this one, in a row without anything delivered",
            "last_year_with_history": "Last year before with something delivered; empty if none that was run",
            "derivation": "How its average came about all the same", **_AVERAGE,
        },
        "Correct its meter link in the CIS, or ask the district why the account is missing; see whether there is a meter at all.",
        _no_district_history,
    ),
    Question(
        "stands_in",
        "Services on a default, or on a figure carried forward",
        "sewer service whose average is not of its own winter",
        {
            **_SERVICE, **_CLASS, "volume_source": "Where the volume comes from", "derivation": "What stands in", "derivation_note": "The same in words",
            "is_provisional": "True while a district of the service has not delivered",
            "years_running": "Years that were run, up to this one, in a row in which something stood in", **_AVERAGE,
        },
        "For years on end this is no stop-gap: find out why its own winter is not known. Wells and permits have no meter of a district.",
        _stands_in,
    ),
    Question(
        "served_not_billed",
        "Services that use water and are not billed",
        "sewer service without a bill and unit of what its meters delivered; services billed by agreement (wholesale) are left out",
        {
            **_SERVICE, **_CLASS, "status": "Status of the service", "service_end": "First day without service; empty while it goes on",
            "derivation": "How it stands in the basis", "why_not_billed": "Why it has no bill",
            "used_from": "First day of what was delivered, in the winter or after the service's end", "used_until": "First day after it",
            "delivered_volume": "Volume that its meters delivered on these days, whole meters, even where they are shared",
            "volume_unit": "Unit of the volume",
        },
        "See whether somebody moved in: open the service again in the CIS. What is held waits for a decision.",
        _served_not_billed,
    ),
    Question(
        "district_account_maybe_sewer",
        "District accounts that might have sewer",
        "account that a district delivered, that no sewer service is linked to and that is not known to have no sewer, and unit",
        {
            "district_id": "District (id in the registry)", "district_account": "Account number as the district writes it",
            "meters": "Meters delivered of it", "billed_volume": "Volume delivered", "volume_unit": "Unit of the volume",
            "nearest_account": "Linked account that differs only in leading zeros or a check digit",
            "years_running": "Years that were run, up to this one, in a row in which it was left over",
        },
        "Find out whether the premise has sewer: link the account in the CIS, or list it among the non-sewer accounts.",
        _district_account_maybe_sewer,
    ),
    Question(
        "collections_or_written_off",
        "Accounts in collections or written off, and what the update does with them",
        "sewer service whose receivables are in collections or written off",
        {
            **_SERVICE, "service_status": "Status of the service", "status": "collections or written_off, as the CIS's receivables say",
            "balance": "What is owed", "derivation": "How its average came about", **_AVERAGE,
            "bills": "Bills of the year with an amount", "amount_a_year": "What they come to", "is_billed": "Whether the year bills it",
            "what_the_update_does": "In words",
        },
        "Billed though written off: close the service in the CIS, or override the check where somebody else lives there. No balance is ever changed.",
        _collections_or_written_off,
    ),
    Question(
        "untouched_credits",
        "Credits, and from when the law calls them unclaimed",
        "sewer service with a credit",
        {
            **_SERVICE, "service_status": "Status of the service", "credit": "The credit",
            "credit_since": "Day since which nothing has changed it; empty if the CIS does not say",
            "unclaimed_after_years": "Years of workspace.yaml, unclaimed_property; empty if it does not say",
            "unclaimed_from": "First day on which it is unclaimed property; empty if that cannot be known",
        },
        "Write to the customer before that day; then report it to the state as the law in workspace.yaml, unclaimed_property, asks.",
        _untouched_credits,
    ),
]  # fmt: skip


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def sql_of_views(workspace: Workspace) -> list[str]:
    """SQL of every view: it depends on the workspace too."""
    return [question.sql(workspace) for question in QUESTIONS]


def create_views(con: duckdb.DuckDBPyConnection, workspace: Workspace) -> None:
    """Create every view in a database that has the published tables, with a comment on it and on each column."""
    for question in QUESTIONS:
        names = ", ".join(f'"{name}"' for name in ("billing_year", *question.columns))
        con.execute(f'CREATE VIEW "{question.view}" AS SELECT {names} FROM ({question.sql(workspace)})')  # noqa: S608
        said = f"{question.title}. One row per billing year and {question.row}. {question.remedy}"
        con.execute(f'COMMENT ON VIEW "{question.view}" IS {_quoted(said)}')
        comments = {"billing_year": "Annual update effective in this year", **question.columns}
        for name, text in comments.items():
            con.execute(f'COMMENT ON COLUMN "{question.view}"."{name}" IS {_quoted(text)}')
