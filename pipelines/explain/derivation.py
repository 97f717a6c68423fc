"""The derivation of a service's bills: the rows of every table that lead to them, in the order of reading.

Belongs here: finding the services that an id means, reading their rows, putting them together.
Does not belong here: why they differ from last year (``difference``), how they look (``text``, ``page``).

Everything is read from ``billing.duckdb``, as the run that billed left it; nothing is billed or averaged a second time. Figures are
decimals and dates; ``as_json`` writes them as text, so that none loses a digit.
"""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from pipelines.district_entry.harmless import harmless
from pipelines.explain.difference import difference_of
from pipelines.explain.reading import Row, rows_of
from pipelines.letters.contacts import read_contacts
from pipelines.release import releases
from pipelines.summary import connect_for_reading
from rate_tables.terms import MONTHS_PER_BILL
from validations.workspace import Workspace

FORMAT = 1

Explanation = dict[str, Any]
_RECORD = ("district_id", "source_file", "source_row", "source_column")
_LISTED = 20
_IDS = {"service_id": "service", "account_id": "account", "premise_id": "premise"}


class NotFound(Exception):
    """No service of the year has this id."""


def _services(con: duckdb.DuckDBPyConnection, billing_year: int, asked_for: str) -> tuple[str, list[Row]]:
    """What the id names, and the services it means. NotFound says what to do."""
    by_column = "UNION BY NAME".join(
        f" SELECT * FROM sewer_services WHERE billing_year = $year AND {column} = $id "  # noqa: S608
        for column in _IDS
    )
    of_year = rows_of(con, f"{by_column} ORDER BY service_id", year=billing_year, id=asked_for)
    for column, name in _IDS.items():
        found = [row for row in of_year if row[column] == asked_for]
        if found:
            return name, found
    years = rows_of(
        con,
        "SELECT DISTINCT billing_year FROM sewer_services WHERE service_id = $id OR account_id = $id OR premise_id = $id ORDER BY 1",
        id=asked_for,
    )
    also = f" It is in that of {', '.join(str(row['billing_year']) for row in years)}." if years else ""
    raise NotFound(
        f"no service, account or premise {harmless(asked_for)!r} is in the CIS extract of {billing_year}.{also}"
    )


def _plain(address: str) -> str:
    """An address without case, commas and spaces that differ."""
    return " ".join(address.casefold().replace(",", " ").split())


def _account_at(con: duckdb.DuckDBPyConnection, billing_year: int, address: str, contacts: Path) -> str | None:
    """The account with this address on the contact sheet: its first line, all its lines but the city's, or all of them. None: none
    has it. NotFound where several have it: nobody is told another's figures by accident."""
    accounts = [
        str(row["account_id"])
        for row in rows_of(
            con, "SELECT DISTINCT account_id FROM sewer_services WHERE billing_year = $year", year=billing_year
        )
    ]
    wanted = _plain(address)
    found = sorted(
        account
        for account, contact in read_contacts(contacts, accounts).by_account.items()
        if wanted in {_plain(" ".join(contact.address[:lines])) for lines in range(1, len(contact.address) + 1)}
    )
    if len(found) > 1:
        listed = ", ".join(found[:_LISTED]) + (f" and {len(found) - _LISTED} more" if len(found) > _LISTED else "")
        raise NotFound(
            f"{len(found)} accounts of the contact sheet have this address: {harmless(listed, 1000)}; ask for one of them."
        )
    return found[0] if found else None


def _of_service(con: duckdb.DuckDBPyConnection, table: str, service: Row, order: str) -> list[Row]:
    """The rows of one service in a table of this module's choice."""
    return rows_of(
        con,
        f"SELECT * EXCLUDE (billing_year) FROM {table} WHERE billing_year = $year AND service_id = $id ORDER BY {order}",  # noqa: S608
        year=service["billing_year"], id=service["service_id"],
    )  # fmt: skip


def _cited(lines: list[Row], schedules: dict[str, list[Row]], titles: dict[tuple[str, str], str]) -> None:
    """Beside each line: its charge's name, and the item of the schedule in which its rate stands."""
    for line in lines:
        items = [
            item
            for item in schedules.get(line["schedule_file"], [])
            if item["item"] == line["charge_code"] or item["item"].startswith(f"{line['charge_code']}, ")
        ]
        per_unit = [item for item in items if item["counted_in"].startswith("$ per") and item["value"] != "unknown"]
        same = [item for item in per_unit if Decimal(item["value"]) == line["rate"]]
        stated = next(iter(same or items), None)
        line["title"] = titles.get((line["schedule_file"], line["charge_code"]), line["charge_code"])
        line["source"] = stated["source"] if stated else ""
        line["rate_counted_in"] = stated["counted_in"] if stated else ""


def quantity_in_words(line: Row, service: Row, average: Decimal | None, unit: str) -> str:
    """How the quantity comes about where it is a product that can be seen; else nothing."""
    months = MONTHS_PER_BILL[service["billing_frequency"]]
    counted = {
        "EDU-months": (service["edu"], f"{service['edu'].normalize():f} EDU"),
        "ESU-months": (service["esu"], f"{service['esu'].normalize():f} ESU"),
        "account-months": (Decimal(1), "1 account"),
    }
    if average is not None:
        shown = f"{average:,.2f}" if average == round(average, 2) else f"{average:,f}"
        counted[unit] = (average, f"winter average {shown} {unit}")
    amount, words = counted.get(line["quantity_unit"], (None, ""))
    if amount is None or amount * months != line["quantity"]:
        return ""
    return f"{words} x {months} month{'s' if months > 1 else ''}"


def _readings(con: duckdb.DuckDBPyConnection, service: Row, basis: Row, counted: list[Row]) -> list[Row]:
    """Delivered rows of the service's meters in its winter, each with its file, adjustments, and what of it counts."""
    year, service_id = service["billing_year"], service["service_id"]
    found = rows_of(
        con,
        """
        WITH linked AS (
            SELECT DISTINCT district_id, district_account, meter_id FROM service_consumption
            WHERE billing_year = $year AND service_id = $id
        ), purposes AS (
            SELECT district_id, district_account, meter_id,
                   list({'purpose': purpose, 'share_from': share_from, 'share_to': share_to, 'link_start': link_start, 'link_end': link_end}
                        ORDER BY link_start, purpose) AS links
            FROM service_consumption WHERE billing_year = $year AND service_id = $id GROUP BY ALL
        )
        SELECT c.* EXCLUDE (billing_year), p.links, d.content_hash
        FROM consumption c
        JOIN linked USING (district_id, district_account, meter_id)
        JOIN purposes p USING (district_id, district_account, meter_id)
        LEFT JOIN (SELECT district_id, source_file, min(content_hash) AS content_hash FROM deliveries
                   WHERE billing_year = $year AND status = 'current' GROUP BY ALL) d USING (district_id, source_file)
        WHERE c.billing_year = $year
        ORDER BY c.period_start, c.district_id, c.district_account, c.meter_id, c.source_file, c.source_row, c.source_column
        """,
        year=year, id=service_id,
    )  # fmt: skip
    by_record: dict[tuple[Any, ...], list[Row]] = {}
    for row in counted:
        by_record.setdefault(tuple(row[name] for name in _RECORD), []).append(row)
    changed = {
        tuple(row[name] for name in _RECORD): row
        for row in _of_service(con, "adjusted_consumption", service, "period_start")
    }
    steps: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows_of(
        con,
        """
        SELECT s.* EXCLUDE (billing_year) FROM adjustment_steps s
        WHERE s.billing_year = $year AND (s.district_id, s.district_account, s.meter_id) IN (
            SELECT (district_id, district_account, meter_id) FROM service_consumption WHERE billing_year = $year AND service_id = $id)
        ORDER BY s.place
        """,
        year=year, id=service_id,
    ):  # fmt: skip
        steps.setdefault(tuple(row[name] for name in _RECORD), []).append(row)

    readings = []
    for row in found:
        record = tuple(row[name] for name in _RECORD)
        parts = by_record.get(record, [])
        is_near = row["period_end"] > basis["window_start"] and row["period_start"] < basis["window_end"]
        if not parts and not is_near:
            continue
        change = changed.get(record)
        row["adjusted_volume"] = change["adjusted_volume"] if change else None
        row["is_left_out"] = bool(change and change["is_left_out"])
        row["changed_by"] = change["adjustment_id"].split("; ") if change else []
        row["adjustment_steps"] = [
            {name: step[name] for name in ("adjustment_id", "before_volume", "after_volume", "is_left_out", "why")}
            for step in steps.get(record, [])
        ]
        row["counted"] = [{n: v for n, v in part.items() if n not in _RECORD and n != "service_id"} for part in parts]
        row["why_not_counted"] = "" if parts else _why_not(row, service)
        readings.append(row)
    return readings


def _why_not(row: Row, service: Row) -> str:
    """Why a delivered row of the winter counts towards no average, as far as its own columns say."""
    if row["is_left_out"]:
        return f"left out by {'; '.join(row['changed_by'])}"
    on_days = [
        one for one in row["links"] if one["link_start"] < row["period_end"] and one["link_end"] > row["period_start"]
    ]
    if not on_days:
        return "the meter is not linked to the service on these days"
    since = service["occupant_since"]
    if since is not None and row["period_end"] <= since:
        return f"before the present occupant, who came on {since}"
    purposes = sorted({one["purpose"] for one in on_days})
    if purposes != ["domestic"]:
        return f"the meter's purpose is {', '.join(purposes)}"
    return "the averaging rule does not count it"


def _average_rule(con: duckdb.DuckDBPyConnection, billing_year: int) -> list[Row]:
    return rows_of(
        con,
        "SELECT item, value, counted_in, source, schedule_file FROM rate_schedule WHERE billing_year = $year AND used_for = 'averaging'",
        year=billing_year,
    )


def _explained(
    con: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    service: Row,
    schedules: dict[str, list[Row]],
    titles: dict[tuple[str, str], str],
) -> Row:
    (basis,) = _of_service(con, "billing_basis", service, "service_id")
    (own,) = _of_service(con, "winter_averages", service, "service_id")
    bills = _of_service(con, "bills", service, "period_start")
    lines = _of_service(con, "bill_lines", service, "period_start, schedule_file, charge_code, tier")
    _cited(lines, schedules, titles)
    for line in lines:
        line["quantity_is"] = quantity_in_words(line, service, basis["winter_average"], basis["volume_unit"])
    order = {code: place for place, (_, code) in enumerate(titles)}
    for bill in bills:
        bill["lines"] = sorted(
            (line for line in lines if line["period_start"] == bill["period_start"]),
            key=lambda line: (line["schedule_file"], order.get(line["charge_code"], 999), line["tier"]),
        )
    counted = _of_service(con, "counted_use", service, "counted_start, source_file, source_row, source_column")
    changes = rows_of(
        con,
        "SELECT a.* EXCLUDE (billing_year), r.message AS refused_because FROM adjustments a "
        "LEFT JOIN refused_adjustments r ON r.billing_year = a.billing_year AND r.adjustment_id = a.adjustment_id "
        "WHERE a.billing_year = $year AND a.service_id = $id ORDER BY a.adjustment_id",
        year=service["billing_year"], id=service["service_id"],
    )  # fmt: skip
    findings = rows_of(
        con,
        "SELECT finding_id, rule_id, severity, period_start, period_end, message, proposal, remedy FROM findings "
        "WHERE billing_year = $year AND service_id = $id ORDER BY severity = 'info', finding_id",
        year=service["billing_year"], id=service["service_id"],
    )  # fmt: skip
    decisions = [
        {name: value for name, value in row.items() if name not in ("evidence_seen", "evidence_now")}
        for row in _of_service(con, "decisions", service, "decision_id")
    ]
    amounts = [bill["amount"] for bill in bills]
    classes: list[Row] = []
    if basis["derivation"] == "class_average":
        classes = rows_of(
            con,
            "SELECT * EXCLUDE (billing_year) FROM class_averages WHERE billing_year = $year",
            year=service["billing_year"],
        )
    return {
        "service": {name: value for name, value in service.items() if name != "billing_year"},
        "amount_a_year": sum((b["amount"] * b["bills_in_period"] for b in bills), Decimal(0)) if bills and None not in amounts else None,
        "bills": bills,
        "average": basis | {"own_average": own["average"], "has_enough_history": own["has_enough_history"],
                            "previous_occupant_average": own["previous_occupant_average"], "class_averages": classes},
        "readings": _readings(con, service, basis, counted),
        "adjustments": changes,
        "decisions": decisions,
        "findings": findings,
        "difference": difference_of(con, workspace, service, basis, bills),
    }  # fmt: skip


def explain(workspace: Workspace, billing_year: int, asked_for: str, contacts: Path | None = None) -> Explanation:
    """The derivation of the bills of every service that ``asked_for`` means, as last published.

    With a contact sheet it may be an address on it too; the explanation then names the account, and nothing of the sheet is in it.

    Errors: NotRun; NotFound; ConfigError.
    """
    year = workspace.year(billing_year)
    last = releases.last(workspace, billing_year)
    with connect_for_reading(workspace, billing_year) as con:
        if not rows_of(con, "SELECT 1 FROM duckdb_tables() WHERE table_name = 'counted_use'"):
            raise NotFound(f"this run does not say what averages are made from; run: annual-billing run {billing_year}")
        asked_for = asked_for.strip()
        try:
            named, services = _services(con, billing_year, asked_for)
        except NotFound:
            if contacts is None:
                raise
            account = _account_at(con, billing_year, asked_for, contacts)
            if account is None:
                raise NotFound(
                    "this is no service, account or premise of the year's CIS extract, and no address on the contact sheet of an account in it."
                ) from None
            asked_for = account
            named, services = _services(con, billing_year, asked_for)
        schedules: dict[str, list[Row]] = {}
        for item in rows_of(
            con,
            "SELECT schedule_file, item, value, counted_in, source, effective_date, status FROM rate_schedule "
            "WHERE billing_year = $year AND used_for = 'charges'",
            year=billing_year,
        ):
            schedules.setdefault(item.pop("schedule_file"), []).append(item)
        titles = {
            (period.schedule.file, charge.code): charge.title
            for period in year.rate_periods
            if period.schedule is not None
            for charge in period.schedule.schedule.charges
        }
        explained = [_explained(con, workspace, service, schedules, titles) for service in services]
        rule = _average_rule(con, billing_year)
    return {
        "format": FORMAT,
        "utility": workspace.file.name,
        "billing_year": billing_year,
        "title": year.title,
        "asked_for": asked_for,
        "asked_for_is": named,
        "released": None if last is None else {"version": last.version, "digest": last.marker["digest"]},
        "averaging_rule": rule,
        "schedules": schedules,
        "services": explained,
    }


def as_json(explanation: Explanation) -> str:
    """The explanation as JSON: amounts and volumes as text with all their decimals, dates as YYYY-MM-DD."""

    def plain(value: Any) -> str:
        if isinstance(value, Decimal):
            return f"{value:f}"
        if isinstance(value, dt.date):
            return value.isoformat()
        raise TypeError(type(value).__name__)

    return json.dumps(explanation, indent=1, ensure_ascii=False, default=plain) + "\n"
