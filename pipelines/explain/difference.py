"""Why a service's bills differ from last year's: figures that add up exactly, and a sentence.

Belongs here: holding two years of one service against each other. Does not belong here: the year's own derivation.

A difference is taken apart by going from last year's figure to this year's one cause at a time; each part is the difference of two
figures on that way, so the parts add to the whole. What the winter would come to without adjustments and decisions is worked out by
the code that bills, with the rows as the districts billed them; that is needed only where there are any.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

import duckdb

from pipelines.explain.reading import Row, rows_of
from rate_tables.volume_units import UNIT_NAMES
from validations.workspace import Workspace

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from validations.contract import Contract

_OWN = ("computed", "adjusted")
_CENT = Decimal("0.01")

CAUSES = {
    "use": "the winter's use changed",
    "use_and_rule": "the winter's use and the averaging rule changed",
    "last_adjustments": "last year's adjustments and decisions do not count any more",
    "adjustments": "adjustments and decisions of this year",
    "set": "a person set the average",
    "stands_in": "another figure stands in",
    "own_winter": "its own winter counts again",
    "against_cis": "its own winter in the place of the CIS's figure",
    "rates": "rates changed",
    "average": "the winter average changed",
    "edu": "the dwelling units billed (EDU) changed",
    "esu": "the surface billed (ESU) changed",
    "strength": "the pounds changed",
    "depends": "the charges that it rests on changed",
    "other": "other quantities changed",
    "charge": "the charge, or its days, changed",
}


def _table(contract: Contract, rows: list[Row]) -> ir.Table:
    """Published rows as the code that bills knows them: whole numbers under their names with the unit."""
    import ibis

    from rate_tables.exact import scale_of, whole

    def stored(row: Row, column: str) -> Any:
        name, decimals = scale_of(column)
        value = row.get(name)
        return value if value is None or decimals is None else whole(value, decimals)

    return ibis.memtable([{c: stored(row, c) for c in contract.columns} for row in rows], schema=contract.schema)


def average_as_billed(
    con: duckdb.DuckDBPyConnection, workspace: Workspace, billing_year: int, service_id: str
) -> Decimal | None:
    """What the year's rule makes of the service's winter without adjustments and decisions; None if it is no average."""
    from assets.engine import connected
    from rate_tables.averaging import averages_of_services
    from validations.tables import ADJUSTED_CONSUMPTION, CONSUMPTION, SERVICE_CONSUMPTION, SEWER_SERVICES

    year = workspace.year(billing_year)
    given: dict[str, Any] = {"year": billing_year, "id": service_id}
    services = rows_of(con, "SELECT * FROM sewer_services WHERE billing_year = $year AND service_id = $id", **given)
    links = rows_of(con, "SELECT * FROM service_consumption WHERE billing_year = $year AND service_id = $id", **given)
    used = rows_of(
        con,
        "SELECT * FROM consumption WHERE billing_year = $year AND (district_id, district_account, meter_id) IN (SELECT "
        "(district_id, district_account, meter_id) FROM service_consumption WHERE billing_year = $year AND service_id = $id)",
        **given,
    )
    if not services or not links or not used:
        return None
    averages = averages_of_services(
        _table(CONSUMPTION, used), _table(SERVICE_CONSUMPTION, links), ADJUSTED_CONSUMPTION.empty(), _table(SEWER_SERVICES, services),
        year.averaging.schedule.averaging, year.effective,
    )  # fmt: skip
    (found,) = connected().to_pyarrow(averages).to_pylist()
    if not found["has_enough_history"] or found["average_thousandths"] is None:
        return None
    return Decimal(found["average_thousandths"]).scaleb(-3)


def _part(cause: str, before: Decimal, after: Decimal, about: str = "") -> Row:
    return {"cause": cause, "words": CAUSES[cause], "about": about, "change": after - before}


def _rule(con: duckdb.DuckDBPyConnection, billing_year: int) -> list[Row]:
    return rows_of(
        con,
        "SELECT item, value FROM rate_schedule WHERE billing_year = $year AND used_for = 'averaging' ORDER BY ALL",
        year=billing_year,
    )


def _changed_by(con: duckdb.DuckDBPyConnection, billing_year: int, service_id: str) -> str:
    found = rows_of(
        con,
        "SELECT DISTINCT adjustment_id FROM adjusted_consumption WHERE billing_year = $year AND service_id = $id ORDER BY 1",
        year=billing_year, id=service_id,
    )  # fmt: skip
    return "; ".join(sorted({one for row in found for one in row["adjustment_id"].split("; ")}))


def _of_average(
    con: duckdb.DuckDBPyConnection, workspace: Workspace, service: Row, before: Row | None, now: Row
) -> list[Row]:
    """The parts of the average's change, in the order of the way from last year's figure to this year's. ``before``: None where
    last year's run does not have the service, and the figure in the CIS takes its place."""
    year, service_id = service["billing_year"], service["service_id"]
    first, last = before["winter_average"] if before else now["prior_average"], now["winter_average"]
    if now["derivation"] not in _OWN:
        cause = "set" if now["derivation"] == "override" or "a person" in now["derivation_note"] else "stands_in"
        return [_part(cause, first, last, now["derivation_note"])] if first != last else []

    def plain(one: Row, billing_year: int) -> Decimal:
        figure = (
            average_as_billed(con, workspace, billing_year, service_id) if one["derivation"] == "adjusted" else None
        )
        return one["winter_average"] if figure is None else figure

    plain_now = plain(now, year)
    parts = []
    if before is None:
        parts.append(_part("against_cis", first, plain_now))
    elif before["derivation"] in _OWN:
        plain_before = plain(before, year - 1)
        use = "use" if _rule(con, year - 1) == _rule(con, year) else "use_and_rule"
        parts.append(_part("last_adjustments", first, plain_before, _changed_by(con, year - 1, service_id)))
        parts.append(_part(use, plain_before, plain_now))
    else:
        parts.append(_part("own_winter", first, plain_now, f"last year: {before['derivation_note']}"))
    parts.append(_part("adjustments", plain_now, last, _changed_by(con, year, service_id)))
    return [part for part in parts if part["change"]]


def _quantity_cause(unit: str) -> str:
    if unit in UNIT_NAMES:
        return "average"
    return {"EDU-months": "edu", "ESU-months": "esu", "pounds": "strength"}.get(
        unit, "depends" if unit.startswith("dollars") else "other"
    )


def _of_amount(before: list[Row], now: list[Row]) -> list[Row]:
    """The parts of the change in a year's dollars, charge by charge. ``before``, ``now``: lines with bills_in_period."""
    parts: dict[tuple[str, str], Decimal] = {}

    def add(cause: str, code: str, change: Decimal) -> None:
        parts[cause, code] = parts.get((cause, code), Decimal(0)) + change

    def total(lines: list[Row]) -> Decimal:
        return sum((line["amount"] * line["bills_in_period"] for line in lines), Decimal(0))

    for code, tier in dict.fromkeys((line["charge_code"], line["tier"]) for line in [*now, *before]):
        old, new = (
            [line for line in lines if (line["charge_code"], line["tier"]) == (code, tier)] for lines in (before, now)
        )
        if len(old) == len(new) == 1 and old[0]["quantity_unit"] == new[0]["quantity_unit"]:
            at_new_rate = (old[0]["quantity"] * new[0]["rate"]).quantize(_CENT, ROUND_HALF_UP) * old[0][
                "bills_in_period"
            ]
            add("rates", code, at_new_rate - total(old))
            add(_quantity_cause(new[0]["quantity_unit"]), code, total(new) - at_new_rate)
        elif any(line["tier"] > 1 for line in (*old, *new)) and len(old) + len(new) == 1:
            add(_quantity_cause((old or new)[0]["quantity_unit"]), code, total(new) - total(old))
        else:
            add("charge", code, total(new) - total(old))
    return [_part(cause, Decimal(0), change, code) for (cause, code), change in parts.items() if change]


def _lines(con: duckdb.DuckDBPyConnection, billing_year: int, service_id: str) -> list[Row]:
    return rows_of(
        con,
        "SELECT l.*, b.bills_in_period FROM bill_lines l JOIN bills b USING (billing_year, service_id, period_start) "
        "WHERE billing_year = $year AND service_id = $id ORDER BY period_start, charge_code, tier",
        year=billing_year, id=service_id,
    )  # fmt: skip


def difference_of(
    con: duckdb.DuckDBPyConnection, workspace: Workspace, service: Row, basis: Row, bills: list[Row]
) -> Row:
    """average and amount_a_year: before, now and the parts of the change (None where one is missing); and all of it in sentences.

    average["before_is"]: "last_year", or "cis" where last year's run does not have the service and the CIS's figure stands for it.
    """
    year, service_id = service["billing_year"], service["service_id"]
    given: dict[str, Any] = {"year": year - 1, "id": service_id}
    was = rows_of(con, "SELECT * FROM billing_basis WHERE billing_year = $year AND service_id = $id", **given)
    before = was[0] if was else None
    found: Row = {"average": None, "amount_a_year": None, "sentences": []}
    prior, now = basis["prior_average"], basis["winter_average"]
    first = before["winter_average"] if before else prior
    if first is not None and now is not None and (before is None or before["volume_unit"] == basis["volume_unit"]):
        found["average"] = {
            "before": first, "before_is": "last_year" if before else "cis", "now": now, "unit": basis["volume_unit"],
            "parts": _of_average(con, workspace, service, before, basis),
        }  # fmt: skip
    if before:
        old_bills = rows_of(con, "SELECT * FROM bills WHERE billing_year = $year AND service_id = $id", **given)
        if all(of_year and all(b["amount"] is not None for b in of_year) for of_year in (old_bills, bills)):
            totals = [sum((b["amount"] * b["bills_in_period"] for b in of), Decimal(0)) for of in (old_bills, bills)]
            found["amount_a_year"] = {
                "before": totals[0], "now": totals[1],
                "parts": _of_amount(_lines(con, year - 1, service_id), _lines(con, year, service_id)),
            }  # fmt: skip
    found["sentences"] = [
        *(
            _about_amount(found["amount_a_year"])
            if found["amount_a_year"]
            else _without_amount(con, year - 1, before, basis)
        ),
        *(_about_average(found["average"]) if found["average"] else []),
    ]
    if before and prior is not None and before["winter_average"] is not None and prior != before["winter_average"]:
        found["sentences"].append(
            f"Before {basis['effective_date']} the CIS bills from {_figure(prior)}, and not from the {_figure(before['winter_average'])} of "
            "last year's update."
        )
    return found


def _figure(value: Decimal) -> str:
    """Without zeros that say nothing, but never fewer than two decimals."""
    shown = value.normalize()
    return f"{shown:,.2f}" if -int(shown.as_tuple().exponent) < 2 else f"{shown:,f}"


def _signed(value: Decimal) -> str:
    return f"{'+' if value > 0 else '-'}{_figure(abs(value))}"


def _dollars(value: Decimal) -> str:
    return f"{'+' if value > 0 else '-'}${abs(value):,.2f}"


def _moved(before: Decimal, now: Decimal) -> str:
    return "rise" if now > before else "fall"


def _about_amount(amount: Row) -> list[str]:
    by_cause: dict[str, Decimal] = {}
    for part in amount["parts"]:
        by_cause[part["words"]] = by_cause.get(part["words"], Decimal(0)) + part["change"]
    causes = ", ".join(f"{words} {_dollars(change)}" for words, change in by_cause.items() if change)
    change = amount["now"] - amount["before"]
    if not change:
        return [f"A year's bills stay at ${amount['now']:,.2f}{f': {causes}' if causes else ''}."]
    return [
        f"A year's bills {_moved(amount['before'], amount['now'])} by ${abs(change):,.2f}, from ${amount['before']:,.2f} to "
        f"${amount['now']:,.2f}: {causes}."
    ]


def _without_amount(con: duckdb.DuckDBPyConnection, last_year: int, before: Row | None, now: Row) -> list[str]:
    """Why a year's bills cannot be compared."""
    if before is None:
        if not rows_of(con, "SELECT 1 FROM billing_basis WHERE billing_year = $year LIMIT 1", year=last_year):
            return [f"Billing year {last_year} has not been run here, so there are no bills of it to compare with."]
        return ["Last year's run does not have this service, so there are no bills of it to compare with."]

    def state(one: Row) -> str:
        return {"excluded": "not billed", "held": "held"}.get(one["derivation"], "without an amount")

    if state(before) == state(now):
        return [f"A year's bills cannot be compared: in both years it is {state(now)}."]
    return [
        f"A year's bills cannot be compared: last year it was {_or_billed(state(before))}, this year it is {_or_billed(state(now))}."
    ]


def _or_billed(state: str) -> str:
    return "billed" if state == "without an amount" else state


def _about_average(average: Row) -> list[str]:
    whose = "" if average["before_is"] == "last_year" else " in the CIS"
    if average["before"] == average["now"] and not average["parts"]:
        return [f"The winter average stays at {_figure(average['now'])} {average['unit']} a month."]
    causes = ", ".join(
        part["words"] + (f" ({part['about']})" if part["about"] else "") + " " + _signed(part["change"])
        for part in average["parts"]
    )
    if average["before"] == average["now"]:
        return [f"The winter average stays at {_figure(average['now'])} {average['unit']} a month: {causes}."]
    return [
        f"The winter average {_moved(average['before'], average['now'])}s from {_figure(average['before'])}{whose} to "
        f"{_figure(average['now'])} {average['unit']} a month: {causes}."
    ]
