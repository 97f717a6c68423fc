"""The explanation as text, for whoever answers the telephone.

Belongs here: order and words. Does not belong here: reading or computing anything.

Text from a district's file stands as it is, but nothing in it is obeyed by a terminal.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from pipelines.district_entry.harmless import harmless
from pipelines.letters.words import FREQUENCIES
from pipelines.summary import DERIVATIONS

Row = dict[str, Any]
_ALL = 10_000
_ENOUGH = {
    "days": "{} days", "coverage": "{} of the winter", "count": "{} months", "of_at_least_days": "at least {} days of each",
    "full": "{} full months",
}  # fmt: skip


def volume(value: Decimal | None) -> str:
    """A volume without zeros that say nothing."""
    if value is None:
        return ""
    shown = value.normalize()
    return f"{shown:,.2f}" if -int(shown.as_tuple().exponent) < 2 else f"{shown:,f}"


def dollars(value: Decimal | None) -> str:
    """An amount with its cents."""
    return "" if value is None else f"{value:,.2f}"


def rate(line: Row) -> str:
    """A rate as the schedule writes it."""
    shown = line["rate"].normalize()
    return f"{shown:f}" if -int(shown.as_tuple().exponent) > 2 else f"{shown:.2f}"


def last_day(end: dt.date) -> dt.date:
    """The last day that is included."""
    return end - dt.timedelta(days=1)


def release_in_words(explanation: Row) -> str:
    """Whether the year was released, and the hash that says what."""
    released = explanation["released"]
    if released is None:
        return "not released"
    return f"released as version {released['version']}, hash {released['digest']}"


def how_found(average: Row) -> str:
    """How the average came about, in words."""
    code = average["derivation"]
    word = "set by a person" if code == "override" else DERIVATIONS[code]
    if code in ("computed", "adjusted") or not average["derivation_note"]:
        return word
    return f"{word.split(':')[0].split(' (')[0]}: {average['derivation_note']}"


def counted_in_words(number: int, name: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def every(frequency: str) -> str:
    """How often a bill comes."""
    return FREQUENCIES.get(frequency, frequency.replace("_", " "))


def arithmetic(one: Row, steps: list[Row]) -> str:
    """The calculation with its figures, where it is use by days and one rounding; else nothing, and the steps say it."""
    average = one["average"]
    names = [step["step"] for step in steps]
    own = [part for reading in one["readings"] for part in reading["counted"] if part["whose"] == "own"]
    if names != ["mean_by_days", "round"] or steps[0].get("days_of_month") != "of_the_window" or not own:
        return ""
    if average["winter_average"] != average["own_average"] or not average["days_covered"]:
        return ""
    days, months = (average["window_end"] - average["window_start"]).days, own[0]["span_months"]
    known = "" if average["days_covered"] == days else f" / {average['days_covered']} days known x {days} days"
    unit = average["volume_unit"]
    return (
        f"{volume(average['winter_volume'])} {unit}{known} / {counted_in_words(months, 'month')}, rounded to {steps[1]['to']}: "
        f"{volume(average['winter_average'])} {unit} a month"
    )


def rule_steps(rule: list[Row]) -> list[Row]:
    """The steps of the averaging rule in their order: the keys of each, and its source."""
    steps: dict[int, Row] = {}
    for item in rule:
        if item["item"].startswith("steps."):
            _, place, key = item["item"].split(".", 2)
            steps.setdefault(int(place), {"source": item["source"]})[key] = item["value"]
    return [steps[place] for place in sorted(steps)]


def step_in_words(step: Row, unit: str) -> str:
    """What a step of the averaging rule does."""
    count, limit = step.get("count", ""), f"{step.get('volume', '')} {unit}"
    return {
        "scale_part_months": "a month known in part counts as its daily use times all its days",
        "leave_out_short_months": f"a month known for fewer than {step.get('under_days')} days does not count",
        "each_month_at_least": f"a month below {limit} counts as {limit}",
        "each_month_at_most": f"a month above {limit} counts as {limit}",
        "drop_highest": f"highest months left out: {count}",
        "drop_lowest": f"lowest months left out: {count}",
        "keep_highest": f"highest months kept: {count}",
        "keep_lowest": f"lowest months kept: {count}",
        "keep_consecutive": f"months in a row that are kept: {count}, the {step.get('which')}",
        "mean": "the use of the months that are left, divided by their number",
        "mean_by_days": "the use, divided by the days of which it is known, times the days of a month",
        "multiply": f"times {step.get('by')}",
        "at_most": f"at most {limit}",
        "at_least": f"at least {limit}",
        "round": f"rounded to {step.get('to')} {unit}, {step.get('direction', '').replace('_', ' ')}",
    }[step["step"]]


def steps_of_rule(explanation: Row, average: Row) -> list[tuple[str, str]]:
    """What the averaging rule does with the counted use, step by step, with the source of each."""
    rule = explanation["averaging_rule"]
    source = {item["item"]: item["source"] for item in rule}
    value = {item["item"]: item["value"] for item in rule}
    window = f"{average['window_start']} to {last_day(average['window_end'])}"
    said = [(f"the winter that counts: {window}", next((source[i] for i in source if i.startswith("window.")), ""))]
    if kind := value.get("counted_by.kind"):
        said.append((f"use is counted by {kind.replace('_', ' ')}", source["counted_by.kind"]))
    said += [(step_in_words(step, average["volume_unit"]), step["source"]) for step in rule_steps(rule)]
    asked: dict[str, list[str]] = {}
    for item in rule:
        if item["item"].startswith("enough_history."):
            _, group, key = item["item"].split(".", 2)
            asked.setdefault(group, []).append(_ENOUGH.get(key, f"{key} {{}}").format(item["value"]))
    if asked:
        enough = " or ".join(" and ".join(of_group) for of_group in asked.values())
        said.append(
            (f"enough is known from {enough} on", next(source[i] for i in source if i.startswith("enough_history.")))
        )
    return said


READING_COLUMNS = [
    "from",
    "to",
    "days",
    "read",
    "billed",
    "counts as",
    "in the average",
    "unit",
    "meter",
    "file",
    "row",
]
NUMBERS = {2, 4, 5, 6}
"""Columns of figures."""


def reading_row(reading: Row) -> list[str]:
    """A delivered row in cells, in the order of READING_COLUMNS."""
    changed = "left out" if reading["is_left_out"] else volume(reading["adjusted_volume"])
    own = [part for part in reading["counted"] if part["whose"] == "own"]
    counted = volume(sum((part["counted_volume"] for part in own), Decimal(0))) if own else "-"
    column = f", column {reading['source_column']}" if reading["source_column"] else ""
    return [
        str(reading["period_start"]), str(last_day(reading["period_end"])), str(reading["days"]), reading["read_type"],
        volume(reading["billed_volume"]), changed, counted, reading["volume_unit"], reading["meter_id"] or reading["district_account"],
        f"{reading['district_id']}: {reading['source_file']}", f"{reading['source_row']}{column}",
    ]  # fmt: skip


def about_reading(reading: Row) -> list[str]:
    """What a person should know of a delivered row: its adjustments, why it does not count, which days of it do, whose share."""
    unit = reading["volume_unit"]
    said = []
    for step in reading["adjustment_steps"]:
        made = "does not count" if step["is_left_out"] else f"counts as {volume(step['after_volume'])} {unit}"
        said.append(f"{made} and not as {volume(step['before_volume'])}: {step['adjustment_id']}")
    named = {step["adjustment_id"] for step in reading["adjustment_steps"]}
    said += [f"changed by {one}" for one in reading["changed_by"] if one not in named]
    if reading["why_not_counted"]:
        said.append(f"does not count: {reading['why_not_counted']}")
    for part in reading["counted"]:
        before = ", of the occupant before" if part["whose"] != "own" else ""
        cut = (part["counted_start"], part["counted_end"]) != (reading["period_start"], reading["period_end"])
        if cut or before:
            said.append(f"counts from {part['counted_start']} to {last_day(part['counted_end'])}{before}")
    if reading["counted"]:
        links = [
            one for one in reading["links"]
            if one["link_start"] < reading["period_end"] and one["link_end"] > reading["period_start"]
        ]  # fmt: skip
        for one in links:
            share = one["share_to"] - one["share_from"]
            if share != 1:
                said.append(f"{volume(100 * share)} % of the meter's use is this service's")
        if any(part["counted_volume"] < 0 for part in reading["counted"]):
            said.append(f"taken off: the meter's purpose is {', '.join(sorted({one['purpose'] for one in links}))}")
    return list(dict.fromkeys(said))


def remarks(readings: list[Row]) -> list[tuple[str, str]]:
    """What is to be said about delivered rows, each thing once with the rows that it is about."""
    several = len({reading["source_file"] for reading in readings}) > 1
    rows: dict[str, dict[str, list[str]]] = {}
    for reading in readings:
        for said in about_reading(reading):
            of = rows.setdefault(said, {}).setdefault(reading["source_file"], [])
            if str(reading["source_row"]) not in of:
                of.append(str(reading["source_row"]))
    return [
        (
            "; ".join(
                f"{f'{file} ' if several else ''}row{'s' if len(of) > 1 else ''} {', '.join(of)}"
                for file, of in by_file.items()
            ),
            said,
        )
        for said, by_file in rows.items()
    ]


def _grid(columns: list[str], rows: list[list[str]], numbers: set[int]) -> Iterator[str]:
    cells = [columns, *([harmless(cell, _ALL) for cell in row] for row in rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(columns))]
    for number, row in enumerate(cells):
        yield (
            "  "
            + "  ".join(
                c.rjust(w) if n in numbers else c.ljust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
        )
        if number == 0:
            yield "  " + "  ".join("-" * w for w in widths)


def about_service(service: Row) -> str:
    """Class, size and how it is billed."""
    units = service["dwelling_units"]
    return ", ".join(
        part for part in (
            service["customer_class"].replace("_", " "), counted_in_words(units, "dwelling") if units else "",
            f"{volume(service['edu'])} EDU", f"{volume(service['esu'])} ESU", service["jurisdiction"],
            f"billed {every(service['billing_frequency'])} by {service['billing_agency']}", service["status"],
            f"present occupant since {service['occupant_since']}" if service["occupant_since"] else "",
        ) if part
    )  # fmt: skip


def about_bill(bill: Row) -> str:
    """How many bills of which amount; or why there is none."""
    number = counted_in_words(bill["bills_in_period"], "bill")
    amount = f"{number} of ${dollars(bill['amount'])}, " if bill["amount"] is not None else f"{number}, no amount: "
    why = f": {bill['status_reason']}" if bill["status_reason"] else ""
    return f"{bill['period_start']} to {last_day(bill['period_end'])}, {every(bill['billing_frequency'])}: {amount}{bill['status']}{why}"


LINE_COLUMNS = ["charge", "quantity", "of", "rate, $", "amount, $", "the quantity is"]
LINE_NUMBERS = {1, 3, 4}


def line_row(line: Row) -> list[str]:
    """A line of a bill in cells, in the order of LINE_COLUMNS."""
    tier = f", tier {line['tier']}" if line["tier"] > 1 else ""
    return [
        line["title"] + tier,
        volume(line["quantity"]),
        line["quantity_unit"],
        rate(line),
        dollars(line["amount"]),
        line["quantity_is"],
    ]


def sources_of_rates(explanation: Row, bill: Row) -> list[str]:
    """Where the rates of a bill stand: each schedule file with its authority, and the sources of its lines."""
    said = []
    for file in dict.fromkeys(line["schedule_file"] for line in bill["lines"]):
        sources = dict.fromkeys(line["source"] for line in bill["lines"] if line["schedule_file"] == file)
        said.append(f"rates: {'; '.join([*sources, *_authority(explanation, file)])} [{file}]")
    return said


def title_of_average(average: Row) -> str:
    """The average itself, and from when it holds."""
    known = average["winter_average"] is not None
    figure = f"{volume(average['winter_average'])} {average['volume_unit']} a month" if known else "none"
    return f"Winter average from {average['effective_date']}: {figure}{' (provisional)' if average['is_provisional'] else ''}"


def about_average(explanation: Row, one: Row) -> list[str]:
    """The average's sentences: how it came about, with its figures, and what is known of the winter."""
    average = one["average"]
    unit = average["volume_unit"]
    days = (average["window_end"] - average["window_start"]).days
    said = [how_found(average)]
    if average["periods_counted"]:
        of = [
            f"{n} {word}"
            for n, word in ((average["periods_estimated"], "estimated"), (average["periods_adjusted"], "adjusted"))
            if n
        ]
        among = f" ({', '.join(of)})" if of else ""
        said.append(
            f"{average['days_covered']} of the winter's {days} days are known: {volume(average['winter_volume'])} {unit} in "
            f"{counted_in_words(average['periods_counted'], 'row')}{among}"
        )
    else:
        said.append(f"none of the winter's {days} days is known")
    if calculated := arithmetic(one, rule_steps(explanation["averaging_rule"])):
        said.append(calculated)
    if average["own_average"] is not None and average["own_average"] != average["winter_average"]:
        said.append(f"these rows alone would come to {volume(average['own_average'])} {unit} a month")
    if average["prior_average"] is not None:
        said.append(
            f"until {last_day(average['effective_date'])} the CIS bills from {volume(average['prior_average'])} {unit} a month"
        )
    return said


def _of_service(explanation: Row, one: Row) -> Iterator[str]:
    service, average = one["service"], one["average"]
    yield harmless(
        f"Service {service['service_id']}, account {service['account_id']}, premise {service['premise_id']}", _ALL
    )
    yield "  " + harmless(about_service(service), _ALL)
    yield ""
    yield "Bills"
    for bill in one["bills"]:
        yield "  " + harmless(about_bill(bill), _ALL)
        if bill["lines"]:
            yield from _grid(LINE_COLUMNS, [line_row(line) for line in bill["lines"]], LINE_NUMBERS)
            for said in sources_of_rates(explanation, bill):
                yield "  " + harmless(said, _ALL)
    if not one["bills"]:
        yield "  none in this year"
    elif one["amount_a_year"] is not None:
        yield f"  all bills of the year: ${dollars(one['amount_a_year'])}"
    yield ""
    yield "Against last year"
    for said in one["difference"]["sentences"]:
        yield "  " + harmless(said, _ALL)
    yield ""
    yield title_of_average(average)
    for said in about_average(explanation, one):
        yield "  " + harmless(said, _ALL)
    if one["readings"]:
        yield f"  by the rule in {average['rule_file']}:"
        for step, source in steps_of_rule(explanation, average):
            yield "    - " + harmless(f"{step} [{source}]", _ALL)
    yield ""
    yield "What the district delivered of this winter"
    if one["readings"]:
        yield from _grid(READING_COLUMNS, [reading_row(r) for r in one["readings"]], NUMBERS)
        for rows, said in remarks(one["readings"]):
            yield "  " + harmless(f"{rows}: {said}", _ALL)
    else:
        yield "  nothing"
    yield from _people(one)


def _authority(explanation: Row, file: str) -> list[str]:
    items = {item["item"]: item["value"] for item in explanation["schedules"].get(file, [])}
    return [items["authority.title"]] if items.get("authority.title") else []


def said_by_people(one: Row) -> list[tuple[str, list[str]]]:
    """Adjustments, decisions and findings about the service: title, and a sentence for each."""
    adjustments = []
    for entry in one["adjustments"]:
        refused = f"; NOT applied: {entry['refused_because']}" if entry["refused_because"] else ""
        approved = f", approved by {entry['approved_by']}" if entry["approved_by"] else ""
        days = (
            f" for {entry['period_start']} to {last_day(entry['period_end'])}"
            if entry["period_start"] and entry["period_end"]
            else ""
        )
        adjustments.append(
            f"{entry['adjustment_id']}: {entry['kind'].replace('_', ' ')}{days}: {entry['reason']} (document {entry['document'] or 'none'}; "
            f"entered by {entry['entered_by']}{approved}){refused}"
        )
    decisions = [
        f"{e['decision_id']}: {e['decision'].replace('_', ' ')}, by {e['decided_by']} on {e['decided_on']}: {e['reason']} "
        f"({e['status']}; about {e['finding_id']})"
        for e in one["decisions"]
    ]
    findings = [f"{e['severity'].replace('_', ' ')}, {e['rule_id']}: {e['message']}" for e in one["findings"]]
    parts = [("Consumption adjustments", adjustments), ("Decisions", decisions), ("Findings", findings)]
    return [(title, said) for title, said in parts if said]


def _people(one: Row) -> Iterator[str]:
    for title, said in said_by_people(one):
        yield ""
        yield title
        for sentence in said:
            yield "  " + harmless(sentence, _ALL)


def as_text(explanation: Row) -> str:
    """The explanation on as many lines as it needs, a part for each service."""
    lines = [
        f"{harmless(explanation['utility'])}, annual update {explanation['title']}: {release_in_words(explanation)}"
    ]
    services = explanation["services"]
    if explanation["asked_for_is"] != "service":
        lines.append(
            f"{explanation['asked_for_is']} {harmless(explanation['asked_for'])} has {len(services)} service{'s' if len(services) > 1 else ''}"
        )
    for one in services:
        lines += ["", *_of_service(explanation, one)]
    return "\n".join(lines) + "\n"
