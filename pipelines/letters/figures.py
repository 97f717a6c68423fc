"""What a letter says about a service: its figures and dates, from ``billing.duckdb`` as the last run left it.

Belongs here: reading the service's rows, and whether there is anything to write to the customer about.
Does not belong here: names and addresses (``contacts``), the document (``writing``), computing any figure.

Figures of a year that is not released are marked as a draft. Where the last run has another average than the release posted, there is no
letter: a customer is told what is billed.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import duckdb

from pipelines.explain.derivation import quantity_in_words
from pipelines.explain.reading import rows_of
from pipelines.explain.text import dollars, rate
from pipelines.letters import words
from pipelines.letters.kinds import Kind
from pipelines.letters.words import day, days, figure
from pipelines.release import releases
from pipelines.summary import connect_for_reading
from rate_tables.config_file import ConfigError
from validations.workspace import Office, Workspace, Year

Row = dict[str, Any]
_MOST_PERIODS = 40


class NoLetter(Exception):
    """There is nothing of the kind to write about this service; the message is for the office."""


@dataclass(frozen=True)
class Book:
    """The year as last published, and what was posted of it."""

    workspace: Workspace
    office: Office
    year: Year
    con: duckdb.DuckDBPyConnection
    version: int | None
    digest: str
    posted: dict[str, Decimal] = field(repr=False)

    @property
    def reference(self) -> str:
        """Which state of the year the figures are of."""
        return f"Figures of release {self.version}, {self.digest[:12]}" if self.version else "Figures not released"


def office_of(workspace: Workspace) -> Office:
    """Who writes. ConfigError if ``workspace.yaml`` does not say."""
    if workspace.file.office is None:
        raise ConfigError("workspace.yaml: key office: is required for letters; below it at least name and phone.")
    return workspace.file.office


@contextmanager
def open_book(workspace: Workspace, billing_year: int) -> Iterator[Book]:
    """The year, for reading. NotRun; ConfigError."""
    office, year = office_of(workspace), workspace.year(billing_year)
    last = releases.last(workspace, billing_year)
    with connect_for_reading(workspace, billing_year) as con:
        posted: dict[str, Decimal] = {}
        if last is not None:
            for (agency,) in con.execute(
                "SELECT DISTINCT billing_agency FROM sewer_services WHERE billing_year = $year", {"year": billing_year}
            ).fetchall():
                file = last.folder / f"{agency}.parquet"
                if file.is_file():
                    posted |= dict(
                        con.execute(
                            "SELECT service_id, new_winter_average FROM read_parquet($file)", {"file": str(file)}
                        ).fetchall()
                    )
        yield Book(
            workspace, office, year, con,
            None if last is None else last.version, "" if last is None else str(last.marker.get("digest", "")), posted,
        )  # fmt: skip


def services_meant(book: Book, ids: list[str]) -> tuple[list[Row], list[str]]:
    """Services of the year by service or account, in the order asked for, each once; and ids that the year does not have."""
    found: dict[str, Row] = {}
    unknown = []
    for one in dict.fromkeys(ids):
        rows = rows_of(
            book.con,
            "SELECT * FROM sewer_services WHERE billing_year = $year AND (service_id = $id OR account_id = $id) ORDER BY service_id",
            year=book.year.billing_year, id=one,
        )  # fmt: skip
        if not rows:
            unknown.append(one)
        found |= {row["service_id"]: row for row in rows}
    return list(found.values()), unknown


def _of_service(book: Book, service: Row, table: str, order: str) -> list[Row]:
    return rows_of(
        book.con,
        f"SELECT * EXCLUDE (billing_year) FROM {table} WHERE billing_year = $year AND service_id = $id ORDER BY {order}",  # noqa: S608
        year=book.year.billing_year, id=service["service_id"],
    )  # fmt: skip


def _average(book: Book, service: Row, basis: Row) -> dict[str, Any]:
    """The average, said. NoLetter if there is none, or another than was posted."""
    average, unit = basis["winter_average"], basis["volume_unit"]
    if average is None or basis["derivation"] not in words.SAID:
        raise NoLetter(f"it has no winter average: {basis['derivation_note']}")
    if book.version is not None and book.posted.get(service["service_id"]) != average:
        posted = book.posted.get(service["service_id"])
        was = "no average" if posted is None else f"{figure(posted)} {unit}"
        raise NoLetter(
            f"release {book.version} posted {was}, and the last run has {figure(average)} {unit}; release the correction before writing"
        )
    return {
        "average": figure(average),
        "unit": words.UNITS[unit],
        "about_unit": words.ABOUT_UNITS.get(unit, ""),
        "effective": day(basis["effective_date"]),
        "change": words.change(average, basis["prior_average"], unit),
        "how_found": words.how_found(basis),
        "how_applied": words.how_applied(basis),
        "winter": days(basis["window_start"], basis["window_end"]),
    }


def _use(book: Book, service: Row) -> list[dict[str, str]]:
    """Use that counts, by the periods in which it was measured, meters of the same days together."""
    rows = rows_of(
        book.con,
        """
        WITH by_record AS (
            SELECT district_id, source_file, source_row, source_column, volume_unit, min(counted_start) AS first_day, max(counted_end) AS end_day,
                   sum(counted_volume) AS volume, bool_or(is_estimated) AS is_estimated, bool_or(is_adjusted) AS is_adjusted
            FROM counted_use WHERE billing_year = $year AND service_id = $id AND whose = 'own' GROUP BY ALL
        )
        SELECT first_day, end_day, volume_unit, sum(volume) AS volume, bool_or(is_estimated) AS is_estimated, bool_or(is_adjusted) AS is_adjusted
        FROM by_record GROUP BY ALL ORDER BY first_day, end_day, volume_unit
        """,
        year=book.year.billing_year, id=service["service_id"],
    )  # fmt: skip
    if len(rows) > _MOST_PERIODS:
        return []
    return [
        {
            "days": days(row["first_day"], row["end_day"]),
            "volume": f"{figure(row['volume'])} {words.UNITS[row['volume_unit']]}",
            "note": ", ".join(
                word for word, holds in (("estimated", row["is_estimated"]), ("adjusted", row["is_adjusted"])) if holds
            ),
        }
        for row in rows
    ]


def _bill(book: Book, service: Row, basis: Row) -> dict[str, Any]:
    """The first bill of the year, charge by charge; without lines where it has no amount."""
    bills = _of_service(book, service, "bills", "period_start")
    if not bills or any(bill["amount"] is None for bill in bills):
        return {"lines": [], "total": "", "how_often": "", "terms": [], "later": ""}
    first = bills[0]
    titles = {
        (period.schedule.file, charge.code): (place, charge.title)
        for period in book.year.rate_periods
        if period.schedule is not None
        for place, charge in enumerate(period.schedule.schedule.charges)
    }
    lines = [
        row
        for row in _of_service(book, service, "bill_lines", "schedule_file, charge_code, tier")
        if row["period_start"] == first["period_start"]
    ]
    lines.sort(
        key=lambda row: (
            row["schedule_file"],
            titles.get((row["schedule_file"], row["charge_code"]), (999, ""))[0],
            row["tier"],
        )
    )
    shown = []
    for row in lines:
        quantity = quantity_in_words(row, service, basis["winter_average"], basis["volume_unit"])
        unit = words.UNITS.get(row["quantity_unit"], row["quantity_unit"])
        for code, name in words.UNITS.items():
            quantity = quantity.replace(f" {code} ", f" {name} ")
        shown.append({
            "title": titles.get((row["schedule_file"], row["charge_code"]), (0, row["charge_code"]))[1] + (f", step {row['tier']}" if row["tier"] > 1 else ""),
            "quantity": quantity or f"{figure(row['quantity'])} {unit}",
            "rate": f"${rate(row)}",
            "amount": f"${dollars(row['amount'])}",
        })  # fmt: skip
    written = " ".join(line["quantity"] for line in shown)
    return {
        "lines": shown,
        "total": f"${dollars(first['amount'])}",
        "how_often": words.FREQUENCIES[service["billing_frequency"]],
        "terms": [text for term, text in words.TERMS.items() if term in written],
        "later": f"Charges change on {day(bills[1]['period_start'])}." if len(bills) > 1 else "",
    }


def _new_average(book: Book, service: Row, basis: Row) -> dict[str, Any]:
    own = basis["derivation"] in ("computed", "adjusted")
    return {
        **_average(book, service, basis),
        "use": _use(book, service) if own else [],
        "bill": _bill(book, service, basis),
    }


def _entries(book: Book, service: Row) -> tuple[list[Row], dict[str, str]]:
    entries = _of_service(book, service, "adjustments", "period_start, adjustment_id")
    refused = _of_service(book, service, "refused_adjustments", "adjustment_id")
    return entries, {row["adjustment_id"]: row["message"] for row in refused}


def _granted(book: Book, service: Row, basis: Row) -> dict[str, Any]:
    entries, refused = _entries(book, service)
    granted = [row for row in entries if row["adjustment_id"] not in refused and row["approved_by"]]
    if not granted:
        raise NoLetter(
            "no adjustment of the year stands for it" if entries else "no adjustment of the year was entered for it"
        )
    steps: dict[str, list[Row]] = {}
    for row in _of_service(book, service, "adjustment_steps", "period_start, place"):
        steps.setdefault(row["adjustment_id"], []).append(row)
    changes = []
    for entry in granted:
        said = {"what": words.KINDS[entry["kind"]], "reference": entry["adjustment_id"]}
        found = steps.get(entry["adjustment_id"], [])
        if not found and entry["kind"] != "override":
            raise NoLetter(f"{entry['adjustment_id']} stands, and changes nothing that was measured")
        for step in found:
            unit = words.UNITS[step["volume_unit"]]
            changes.append({
                **said, "days": days(step["period_start"], step["period_end"]), "before": f"{figure(step['before_volume'])} {unit}",
                "after": "left out" if step["is_left_out"] else f"{figure(step['after_volume'])} {unit}",
            })  # fmt: skip
        if not found:
            changes.append(
                {**said, "days": days(entry["period_start"], entry["period_end"]), "before": "", "after": "see below"}
            )
    return {**_average(book, service, basis), "changes": changes}


def _refused(book: Book, service: Row, basis: Row, because: str) -> dict[str, Any]:
    entries, refused = _entries(book, service)
    if not refused:
        raise NoLetter("no adjustment of the year was refused for it")
    if not because:
        recorded = "; ".join(f"{one}: {why}" for one, why in sorted(refused.items()))
        raise NoLetter(
            f"say why in words for the customer (--because, or the column because of --list); recorded is: {recorded}"
        )
    asked_for = [
        {
            "what": words.KINDS[row["kind"]],
            "days": days(row["period_start"], row["period_end"]),
            "reference": row["adjustment_id"],
        }
        for row in entries
        if row["adjustment_id"] in refused
    ]
    return {**_average(book, service, basis), "asked_for": asked_for, "because": because}


def _share_days(one: Row, other: Row) -> bool:
    """Whether two findings are about a day in common; one without days is about all."""
    if other["period_start"] is None or other["period_end"] is None:
        return True
    return bool(one["period_start"] < other["period_end"] and other["period_start"] < one["period_end"])


def _request(book: Book, service: Row, reply_by: dt.date) -> dict[str, Any]:
    findings = rows_of(
        book.con,
        """
        SELECT f.rule_id, f.period_start, f.period_end, f.evidence, f.finding_id FROM findings f
        WHERE f.billing_year = $year AND f.service_id = $id AND f.severity <> 'info' AND NOT EXISTS (
            SELECT 1 FROM decisions d WHERE d.billing_year = $year AND d.finding_id = f.finding_id AND d.status = 'stands'
        ) ORDER BY f.period_start NULLS LAST, f.finding_id
        """,
        year=book.year.billing_year, id=service["service_id"],
    )  # fmt: skip
    doubted = [row for row in findings if row["rule_id"].startswith(words.DISTRICT_FIRST)]
    about = [
        row for row in findings if row["rule_id"] in words.ASKED_RULES and row["period_start"] and row["period_end"]
    ]
    said = [
        words.asked(row, json.loads(row["evidence"]))
        for row in about
        if not any(_share_days(row, other) for other in doubted)
    ]
    if not said and findings:
        raise NoLetter(
            f"what is open about it is not for the customer to answer: {', '.join(sorted({row['rule_id'] for row in findings}))}"
        )
    if not said:
        raise NoLetter("nothing is open about it")
    return {
        "found": [what for what, _ in said],
        "questions": list(dict.fromkeys(question for _, question in said)),
        "use": _use(book, service),
        "reply_by": day(reply_by),
    }


def letter_about(
    book: Book, kind: Kind, service: Row, *, dated: dt.date, because: str = "", reply_by: dt.date | None = None
) -> dict[str, Any]:
    """Everything that a template of the kind can name, except the contact: text, and lists of rows of text. NoLetter."""
    (basis,) = _of_service(book, service, "billing_basis", "service_id")
    office = book.office
    if kind is Kind.new_average:
        own = _new_average(book, service, basis)
    elif kind is Kind.adjustment_granted:
        own = _granted(book, service, basis)
    elif kind is Kind.adjustment_refused:
        own = _refused(book, service, basis, because)
    else:
        own = _request(book, service, reply_by or dated + dt.timedelta(days=office.reply_within_days))
    is_draft = book.version is None and kind is not Kind.request_for_information
    return {
        "office": {
            "name": office.name, "phone": office.phone, "hours": office.hours, "email": office.email, "address": list(office.address),
        },
        "date": day(dated),
        "service": service["service_id"],
        "account": service["account_id"],
        "fiscal_year": book.year.fiscal_year,
        "draft": "DRAFT. The figures of this year are not released. Not to be sent." if is_draft else "",
        "reference": "" if kind is Kind.request_for_information else book.reference,
        **own,
    }  # fmt: skip
