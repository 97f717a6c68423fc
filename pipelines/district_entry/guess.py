"""A district's entry drafted from a file that nobody knows yet.

Belongs here: the entry's keys with the evidence for each, as YAML that a person goes through.
Does not belong here: finding the evidence (``unknown_file``, ``columns``), writing the draft anywhere.

A comment that begins with ``confirm`` gives the evidence for a guess. Where nothing can be told, the comment begins with
``answer`` and the key holds what the loader refuses, so that no draft is used before somebody has answered.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import yaml

from pipelines.district_entry.columns import Column, Roles, plain, roles_of, unit_in
from pipelines.district_entry.harmless import harmless
from pipelines.district_entry.household import IN_WORDS, in_ccf, in_gallons, is_ordinary, ordinary_units
from pipelines.district_entry.notation import NumberNotation, percent
from pipelines.district_entry.sizes import Sizes
from pipelines.district_entry.unknown_file import UnknownFile, look_at
from rate_tables.volume_units import UNIT_NAMES

_WIDTH = 118
_UNKNOWN = '"?"'
_NO_COLUMN = '{position: "?"}'
_CYCLES = {"monthly": (25, 36), "two_monthly": (52, 70), "quarterly": (80, 102)}
_MEANINGS = {
    "a": "actual", "act": "actual", "actual": "actual", "e": "estimated", "est": "estimated", "estimate": "estimated",
    "estimated": "estimated", "estimee": "estimated", "read": "actual", "f": "final", "fin": "final", "final": "final", "corrected": "corrected", "cor": "corrected",
    "cust": "customer", "customer": "customer", "opening": "opening",
}  # fmt: skip
_CHECKED_ACCOUNTS = 50


@dataclass
class Draft:
    """An entry as YAML, and what is not answered in it, by key."""

    district: str
    text: str
    unanswered: list[str] = field(default_factory=list)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


class _Page:
    """Lines of the draft."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.unanswered: list[str] = []
        self._above: list[str] = []

    def say(self, text: str, indent: int = 0) -> None:
        margin = " " * indent
        self.lines += textwrap.wrap(text, _WIDTH, initial_indent=f"{margin}# ", subsequent_indent=f"{margin}#   ")

    def key(self, name: str, value: str = "", confirm: str = "", answer: str = "", indent: int = 0) -> None:
        """A key; with ``answer``, one that nothing is known of."""
        self._above = [*self._above[: indent // 2], harmless(name.strip('"'), 30) or '""']
        if answer:
            self.say(f"answer: {answer}", indent)
            self.unanswered.append(".".join(self._above))
        elif confirm:
            self.say(f"confirm: {confirm}", indent)
        self.lines.append(" " * indent + (f"{name}: {value}" if value else f"{name}:"))


def _quoted(text: str) -> str:
    """``text`` as YAML."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*( [A-Za-z0-9_]+)*", text) and text.lower() not in {
        "y",
        "n",
        "yes",
        "no",
        "on",
        "off",
        "true",
        "false",
        "null",
    }:
        return text
    dumped = yaml.safe_dump(text, default_style='"', width=float("inf"), allow_unicode=text.isprintable())
    return dumped.strip()


def guess(path: Path, district: str | None = None, name: str | None = None, write_to: str | None = None) -> Draft:
    """An entry for files like the one at ``path``. CannotGuess if it cannot be described by one."""
    file = look_at(path)
    roles, page = roles_of(file), _Page()
    made_of = "the whole file" if file.is_whole else f"the first {len(file.rows):,} records; the file has more"
    page.say(
        f"Drafted from {harmless(path.name)}: {made_of}. Every comment that begins with confirm or answer is for a person."
    )
    district_id = _identity(page, file, district, name, write_to)
    _layout(page, file, roles)
    sizes = _settled_sizes(file, roles)
    _measure(page, roles, sizes)
    _columns(page, file, roles)
    _period_keys(page, roles, sizes)
    _volume(page, file, roles, sizes)
    _account_numbers(page, file, roles)
    _read_types(page, roles)
    _cycle(page, roles, sizes)
    _repetitions(page, file, roles)
    _trailer(page, file, roles)
    return Draft(district_id or "", "\n".join(page.lines) + "\n", page.unanswered)


def _identity(
    page: _Page, file: UnknownFile, district: str | None, name: str | None, write_to: str | None
) -> str | None:
    stem = re.sub(r"(19|20)[0-9]{2}.*$", "", Path(file.name).stem.lower())
    found = re.sub(r"[^a-z0-9]+", "_", stem).strip("_")
    district_id = district or (found if re.fullmatch(r"[a-z][a-z0-9_]{1,40}", found) else None)
    if district_id is None:
        page.key("district", _UNKNOWN, answer="a short id in small letters: alder_creek")
    else:
        page.key(
            "district",
            district_id,
            "" if district else f"from the file's name; the entry has to lie in districts/{district_id}.yaml",
        )
    if name:
        page.key("name", _quoted(name))
    elif district_id:
        page.key("name", _quoted(district_id.replace("_", " ").title()), "from the id; how is the district called?")
    else:
        page.key("name", answer="the district's name")
    page.key(
        "write_to",
        _quoted(write_to) if write_to else "",
        answer="" if write_to else "whom to write to: office@district.example",
    )
    ending = Path(file.name).suffix
    pattern = f"*{ending}" if re.fullmatch(r"\.[A-Za-z0-9]{1,5}", ending) else "*"
    page.key("files", _quoted(pattern), "which files of the district's folder belong to the delivery?")
    if file.zip_members:
        page.key("zip_members", _quoted(file.zip_members), file.notes["zip_members"])
    return district_id


def _layout(page: _Page, file: UnknownFile, roles: Roles) -> None:
    page.key("layout")
    page.key("kind", file.kind, indent=2)
    if file.kind == "delimited":
        page.key("delimiter", _quoted(file.delimiter), file.notes["delimiter"], indent=2)
    if file.kind != "workbook":
        page.key("encoding", file.encoding, file.notes.get("encoding", ""), indent=2)
    else:
        page.say("the first sheet is read; another one is named by sheet: ...", 2)
    if file.kind == "fixed_width":
        page.key("record_length", str(file.record_length), "so many characters have nearly all lines", indent=2)
    else:
        _header(page, file)
    if file.quotes == "none":
        page.key("quotes", "none", file.notes["quotes"], indent=2)
    if file.line_breaks:
        page.key(
            "line_breaks_in_quotes",
            "true",
            f"{_count(file.line_breaks, 'record')} in quotes over more than one line",
            indent=2,
        )
    if file.record_prefix:
        others = f"; other lines begin with {' '.join(file.other_prefixes)}" if file.other_prefixes else ""
        page.key("record_prefix", _quoted(file.record_prefix), f"nearly all lines begin so{harmless(others)}", indent=2)
    trailer = _trailer_prefix(file)
    headings = [p for p in file.other_prefixes if p != trailer]
    if file.totals_label and trailer is None and file.last_line.startswith(file.totals_label):
        headings.append(file.totals_label)
    if headings:
        page.key(
            "other_records",
            f"[{', '.join(map(_quoted, headings))}]",
            "are these lines headings or totals, without consumption?",
            indent=2,
        )
    if not file.ends_with_line_end and file.kind == "delimited":
        if trailer:
            page.key(
                "final_line_end",
                "optional",
                "the last line has no line end, and it is the one with the totals",
                indent=2,
            )
        else:
            page.say(
                "confirm: the last line has no line end and will be refused as cut off. If the district's program never writes one: "
                "final_line_end: optional", 2,
            )  # fmt: skip
    if file.totals_label and file.kind == "workbook":
        page.key("totals_label", _quoted(file.totals_label), "the last row begins so and holds sums", indent=2)


def _header(page: _Page, file: UnknownFile) -> None:
    if file.header_row:
        names = harmless(", ".join(n for n in file.names if n), 80)
        page.key("header_row", str(file.header_row), f"it holds the names: {names}", indent=2)
    else:
        page.key("header_row", "0", "the first line looks like a record, so there are no names", indent=2)
    if file.header_lines > 1:
        page.key(
            "header_lines",
            str(file.header_lines),
            "the names take several lines; their parts are joined by a space",
            indent=2,
        )
        if file.header_repeats:
            page.key(
                "header_repeats",
                "true",
                "an empty upper part repeats the one to its left, as merged cells do",
                indent=2,
            )


def _measure(page: _Page, roles: Roles, sizes: Sizes) -> None:
    if "measure" in roles.notes:
        page.say(f"confirm: {harmless(roles.notes['measure'], 300)}.")
    if roles.gives == "usage":
        return
    page.key("measure", "", roles.notes.get("readings", ""))
    page.key("gives", roles.gives, indent=2)
    reading = roles.columns["reading"]
    digits = max((len(re.sub(r"[^0-9].*", "", v.lstrip("0"))) for v in reading.present), default=3)
    widths = Counter(len(v) for v in reading.present)
    page.key(
        "dials", str(min(max(digits, 3), 12)),
        f"the highest reading has {digits} digits" + (f"; all are written with {max(widths)}" if len(widths) == 1 else "")
        + ". How many has the register? It decides what a register that went round has used", indent=2,
    )  # fmt: skip
    if sizes.steps:
        most = sorted(sizes.steps)[int(0.999 * (len(sizes.steps) - 1))]
        limit = 10 ** max(len(str(int(most))), 1)
        page.key(
            "rollover_at_most", f'"{limit}"',
            f"999 of 1,000 steps are at most {most:,.0f}; a backward step that would mean more than this is refused", indent=2,
        )  # fmt: skip
    else:
        page.key("rollover_at_most", _UNKNOWN, answer='the most that one period can have used, as "20000"', indent=2)


def _reference(file: UnknownFile, column: Column) -> str:
    if file.kind == "fixed_width":
        start, width = file.positions[column.place]
        return f"{{start: {start + 1}, width: {width}}}"
    if column.name and file.names.count(column.name) == 1:
        return _quoted(column.name)
    return f"{{position: {column.place + 1}}}"


def _examples(column: Column) -> str:
    few = list(dict.fromkeys(column.present))[:3]
    return harmless(", ".join(few), 50)


def _columns(page: _Page, file: UnknownFile, roles: Roles) -> None:
    page.key("columns")
    order = ("account", "meter", "register_id", "period_start", "period_end", "read_date", "days", "bill_month", "volume",
             "registered_volume", "previous_reading", "reading", "multiplier", "unit", "read_type")  # fmt: skip
    for role in order:
        column = roles.columns.get(role)
        if column is not None:
            evidence = roles.doubts.get(role, "") or f"it holds {_examples(column)}"
            page.key(role, _reference(file, column), harmless(evidence, 300), indent=2)
    if not roles.has("account"):
        page.key("account", _NO_COLUMN, answer="which column holds the account number?", indent=2)
    if not roles.months:
        _missing_columns(page, roles)
    if roles.unused:
        left = [f"{_reference(file, c)} ({_examples(c)})" for c in roles.unused if c.present][:20]
        if left:
            page.say(harmless(f"confirm: not used: {'; '.join(left)}.", 900), 2)


def _missing_columns(page: _Page, roles: Roles) -> None:
    if not (roles.has("volume") or roles.has("reading")):
        page.key("volume", _NO_COLUMN, answer="which column holds the volume? None behaves like one", indent=2)
    if roles.gives == "register_readings" and not roles.has("read_date"):
        page.key("read_date", _NO_COLUMN, answer="which column holds the day of the reading?", indent=2)
    elif roles.gives != "register_readings":
        if roles.has("period_end") and not roles.has("period_start"):
            page.key("period_start", _NO_COLUMN, answer="the file has one date. Where does the period begin? With read_date and days, "
                     "or bill_month, it can be told too", indent=2)  # fmt: skip
        elif not any(roles.has(r) for r in ("period_end", "read_date", "bill_month")):
            page.key(
                "period_start",
                _NO_COLUMN,
                answer="no column holds dates. Which one says when the period begins?",
                indent=2,
            )
            page.key("period_end", _NO_COLUMN, answer="and when it ends?", indent=2)


def _period_keys(page: _Page, roles: Roles, sizes: Sizes) -> None:
    if roles.months:
        page.key("month_columns", "", roles.notes["month_columns"])
        page.key("header_format", _quoted(roles.month_format), indent=2)
        return
    if roles.has("bill_month"):
        page.key("bill_month")
        page.key(
            "format",
            _quoted(roles.bill_month_format),
            roles.notes.get("bill_month", f"as in {_examples(roles.columns['bill_month'])}"),
            indent=2,
        )
        months = sizes.months_between
        if months:
            page.key(
                "months", str(months), f"an account's rows are typically {_count(months, 'month')} apart", indent=2
            )
        else:
            page.key("months", _UNKNOWN, answer="how many months does a bill cover?", indent=2)
        page.key("names", _UNKNOWN, answer="is the month that is named the last one of the period (last_month), or the one after it "
                 "(month_after)? The file does not say; it moves the winter by a month", indent=2)  # fmt: skip
    dated = any(roles.has(r) for r in ("period_start", "period_end", "read_date"))
    if dated:
        if roles.date_format:
            page.key("date_format", _quoted(roles.date_format), roles.notes.get("date_format", ""))
        else:
            page.key("date_format", _UNKNOWN, answer=roles.doubts.get("date_format", "how are the dates written?"))
    if roles.has("period_start") and roles.has("period_end"):
        if roles.period_end_is:
            page.key("period_end_is", roles.period_end_is, roles.notes["period_end_is"])
        else:
            page.key("period_end_is", _UNKNOWN, answer=roles.doubts.get(
                "period_end_is", "is the end date the last day of the period (last_day), or the day of the closing read (next_read)?"
            ))  # fmt: skip


def _settled_sizes(file: UnknownFile, roles: Roles) -> Sizes:
    """Sizes; where a mark with three digits after it may part decimals or thousands, as the stated unit makes sense."""
    sizes, column = Sizes(file, roles), roles.columns.get("volume")
    stated, _ = _stated_unit(file, roles, column)
    size = sizes.per_30_days
    if column is None or column.numbers is None or not column.numbers.doubt or stated is None or size is None:
        return sizes
    mark, minus = column.numbers.decimal_mark, column.numbers.minus
    if is_ordinary(size, stated) == is_ordinary(size * 1000, stated):
        return sizes
    if is_ordinary(size, stated):
        column.numbers = NumberNotation(mark, "", minus)
        return sizes
    column.numbers = NumberNotation("." if mark == "," else ",", mark, minus)
    return Sizes(file, roles)


def _volume(page: _Page, file: UnknownFile, roles: Roles, sizes: Sizes) -> None:
    page.key("volume")
    column = roles.columns.get("volume") or roles.columns.get("reading") or next(iter(roles.months), None)
    _unit(page, file, roles, sizes, column)
    if roles.has("unit"):
        counts = roles.columns["unit"].counts.most_common()
        same = [v for v, _ in counts if unit_in(v) == unit_in(counts[0][0])]
        refused = "; a row with another one is refused" if len(same) < len(counts) else ""
        page.key("written_as", f"[{', '.join(map(_quoted, same))}]",
                 harmless("; ".join(f"{v} in {_count(n, 'row')}" for v, n in counts), 200) + refused, indent=2)  # fmt: skip
    columns = roles.months or ([column] if column else [])
    notations = [c.numbers for c in columns if c.numbers]
    if not notations:
        return
    marked = next((n for n in notations if n.decimal_mark == ","), notations[0])
    doubt = next((n.doubt for n in notations if n.doubt), "")
    if doubt:
        page.key("decimal_mark", _UNKNOWN, answer=harmless(doubt, 200), indent=2)
    elif marked.decimal_mark == ",":
        shown = next((v for c in columns for v in c.present if "," in v), "")
        evidence = (
            f"as in {harmless(shown)}" if shown else "no volume has decimals; a point parts thousands, so a comma would"
        )
        page.key("decimal_mark", '","', evidence, indent=2)
    thousands = next((n.thousands_mark for n in notations if n.thousands_mark), "")
    if thousands:
        shown = next((v for c in columns for v in c.present if thousands in v), "")
        page.key("thousands_mark", _quoted(thousands), f"as in {harmless(shown)}", indent=2)
    minus = next((n.minus for n in notations if n.minus != "before"), "before")
    if minus != "before":
        shown = next((v for c in columns for v in c.present if v.endswith(("-", ")"))), "")
        page.key("minus", minus, f"as in {harmless(shown)}", indent=2)
    if sizes.negative:
        number, text = sizes.negative[0]
        page.key("negative", "refuse", f"{_count(len(sizes.negative), 'volume')} below zero, the first in row {number}: {harmless(text)}. "
                 "refuse sends them back; if they take back what was billed too much: credit", indent=2)  # fmt: skip


def _unit(page: _Page, file: UnknownFile, roles: Roles, sizes: Sizes, column: Column | None) -> None:
    stated, where = _stated_unit(file, roles, column)
    size = sizes.per_30_days
    is_bare = (
        file.kind == "fixed_width" and column is not None and not any(re.search("[.,]", v) for v in column.present)
    )
    if size is None:
        page.key("unit", stated or _UNKNOWN, confirm=f"{where} says so; the size of volumes could not be looked at",
                 answer="" if stated else "the file does not say, and the size of volumes cannot be told", indent=2)  # fmt: skip
        return
    found = f"the median of {sizes.accounts:,} accounts uses {size:,.4g} in 30 days"
    if is_bare:
        _unit_and_decimals(page, stated, where, size, found)
        return
    fitting = ordinary_units(size)
    if stated:
        sense = f"{in_ccf(size, stated):,.1f} CCF ({in_gallons(size, stated):,.0f} gallons)"
        if is_ordinary(size, stated):
            page.key("unit", stated, f"{where} says so; {found}: {sense}, and {IN_WORDS}", indent=2)
        else:
            could = f"; it would fit {' or '.join(fitting)}" if fitting else ""
            page.key(
                "unit",
                _UNKNOWN,
                answer=f"{where} says {stated}; but {found}: that would be {sense}, and {IN_WORDS}{could}",
                indent=2,
            )
    elif len(fitting) == 1:
        unit = fitting[0]
        page.key("unit", unit, f"nothing states the unit; {found}, and {IN_WORDS}: that fits {UNIT_NAMES[unit]} "
                 f"({in_ccf(size, unit):,.1f} CCF) and no other unit", indent=2)  # fmt: skip
    else:
        choice = ", ".join(f"{u} ({in_ccf(size, u):,.1f} CCF)" for u in fitting) or "none of the units"
        page.key(
            "unit",
            _UNKNOWN,
            answer=f"nothing states the unit; {found}, and {IN_WORDS}. That fits {choice}: ask the district",
            indent=2,
        )


def _unit_and_decimals(page: _Page, stated: str | None, where: str, size: float, found: str) -> None:
    choices = [
        (unit, decimals)
        for decimals in range(4)
        for unit in ordinary_units(size / 10**decimals)
        if stated in (None, unit)
    ]
    shown = (
        ", ".join(f"{u} with {_count(d, 'decimal')} ({in_ccf(size / 10**d, u):,.1f} CCF)" for u, d in choices)
        or "none of the units"
    )
    said = f"{where} says {stated}" if stated else "nothing states the unit"
    if len(choices) == 1:
        page.key(
            "unit", choices[0][0], f"{said}; {found} as it is written, and {IN_WORDS}. That fits {shown} only", indent=2
        )
        if choices[0][1]:
            page.key(
                "implied_decimals", str(choices[0][1]), "digits that are decimals without a mark, see above", indent=2
            )
        return
    page.key("unit", stated or _UNKNOWN, confirm=f"{said}", answer="" if stated else f"{said}, and decimals may stand without a mark; "
             f"{found} as it is written, and {IN_WORDS}. That fits {shown}: ask the district", indent=2)  # fmt: skip
    page.key("implied_decimals", _UNKNOWN, answer=f"how many of the digits are decimals? It fits {shown}" if stated else "how many of the "
             "digits are decimals? See above", indent=2)  # fmt: skip


def _stated_unit(file: UnknownFile, roles: Roles, column: Column | None) -> tuple[str | None, str]:
    if roles.has("unit"):
        code = roles.columns["unit"].counts.most_common(1)[0][0]
        return unit_in(code), f"column {harmless(roles.columns['unit'].name)}"
    if column is not None and not roles.months and (unit := unit_in(column.name)):
        return unit, f"the name {harmless(column.name)}"
    for title in file.titles:
        if unit := unit_in(title):
            return unit, f"the line {harmless(title, 80)!r}"
    return None, ""


def _account_numbers(page: _Page, file: UnknownFile, roles: Roles) -> None:
    if not roles.has("account"):
        return
    account = roles.columns["account"]
    numbers = [v for v in account.counts if re.fullmatch(r"[0-9]+X?", v)]
    if len(numbers) < 0.95 * len(account.counts):
        return
    lengths = Counter(len(v) for v in numbers)
    common, longest = lengths.most_common(1)[0][0], max(lengths)
    full = [v for v in numbers if len(v) == common]
    scheme = _check_digit_scheme(full) if common >= 4 else None
    lost = sum(n for length, n in lengths.items() if length < common) if file.kind != "fixed_width" else 0
    as_numbers = file.kind == "workbook" and len(lengths) > 1
    keeps_zeros = any(v.startswith("0") for v in full)
    if not (scheme or as_numbers or (keeps_zeros and lost and lengths[common] > 0.8 * len(numbers))):
        return
    page.key("account_numbers")
    if as_numbers:
        page.key("width", str(longest), f"they have {min(lengths)} to {longest} digits, and a sheet drops leading zeros. How many "
                 "has a whole number, on a bill for example?", indent=2)  # fmt: skip
    elif keeps_zeros and lost:
        page.key("width", str(common), f"{lengths[common]:,} numbers have {common} digits, some with leading zeros; {lost:,} shorter, "
                 "as if they had lost theirs", indent=2)  # fmt: skip
    if scheme:
        page.key("check_digit", indent=2)
        page.key("scheme", scheme, f"the last digit of nearly all of {len(full):,} numbers is that of {scheme}; by chance it "
                 "would be one in ten", indent=4)  # fmt: skip
        page.key(
            "is_part",
            _UNKNOWN,
            answer="does the CIS know the account with this digit (true), or without it (false)?",
            indent=4,
        )


def _check_digit_scheme(numbers: list[str]) -> str | None:
    if len(numbers) < _CHECKED_ACCOUNTS:
        return None
    for scheme, holds in (("luhn", _luhn), ("mod11", _mod11)):
        if sum(map(holds, numbers)) > 0.97 * len(numbers):
            return scheme
    return None


def _luhn(number: str) -> bool:
    if not number.isdigit():
        return False
    digits = [int(c) for c in reversed(number)]
    doubled = [2 * d - 9 if d > 4 else 2 * d for d in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _mod11(number: str) -> bool:
    total = sum(int(c) * (2 + place % 6) for place, c in enumerate(reversed(number[:-1])))
    return "0123456789X"[(11 - total % 11) % 11] == number[-1]


def _read_types(page: _Page, roles: Roles) -> None:
    if not roles.has("read_type"):
        return
    page.say(
        "what each code means: actual, estimated, customer, corrected, final, opening or unknown; a code that is not listed is refused"
    )
    page.key("read_types")
    column = roles.columns["read_type"]
    codes = column.counts.most_common()
    if blank := len(column.values) - len(column.present):
        codes.append(("", blank))
    for code, count in codes:
        meaning = _MEANINGS.get(plain(code))
        rows = f"in {_count(count, 'row')}"
        page.key(
            _quoted(code),
            meaning or _UNKNOWN,
            confirm=rows,
            answer="" if meaning else f"{rows}; what does {'it' if code else 'an empty one'} mean?",
            indent=2,
        )


def _cycle(page: _Page, roles: Roles, sizes: Sizes) -> None:
    if roles.months:
        page.key("billing_cycle", "monthly", "a column per month")
        return
    if roles.has("bill_month") and sizes.months_between:
        cycle = {1: "monthly", 2: "two_monthly", 3: "quarterly"}.get(sizes.months_between, "mixed")
        page.key("billing_cycle", cycle, "as bill_month says")
        return
    if not sizes.days:
        page.key(
            "billing_cycle", _UNKNOWN, answer="monthly, two_monthly, quarterly or mixed? The periods cannot be told"
        )
        return
    shares = {c: sum(a <= d <= b for d in sizes.days) / len(sizes.days) for c, (a, b) in _CYCLES.items()}
    best = max(shares, key=lambda c: shares[c])
    typical = median(sizes.days)
    if shares[best] >= 0.8:
        fewest, most = _CYCLES[best]
        page.key(
            "billing_cycle",
            best,
            f"{percent(shares[best])} of the periods have {fewest} to {most} days; the median has {typical:.0f}",
        )
    else:
        spread = ", ".join(f"{percent(share)} {cycle}" for cycle, share in shares.items())
        page.key("billing_cycle", "mixed", f"the periods are of several lengths: {spread}")


def _repetitions(page: _Page, file: UnknownFile, roles: Roles) -> None:
    """Rows that stand twice: without meter ids they may be another meter."""
    if roles.months or roles.gives != "usage" or not roles.has("account"):
        return
    names = [
        r
        for r in ("account", "meter", "register_id", "period_start", "period_end", "read_date", "days", "bill_month")
        if roles.has(r)
    ]
    keys = list(zip(*(roles.columns[r].values for r in names), strict=True))
    texts = Counter(tuple(fields) for _, fields in file.rows)
    equal = sum(n - 1 for n in texts.values())
    again = sum(n - 1 for n in Counter(keys).values()) - equal
    if roles.has("meter"):
        return
    if equal:
        page.key("exact_duplicate", _UNKNOWN, answer=f"{_count(equal, 'row')} equal to another, and no column names a meter. Is such a row there "
                 "twice (duplicate), or is it another meter that used the same (second_meter)?")  # fmt: skip
    if again > 0:
        page.key("same_period_other_values", _UNKNOWN, answer=f"{_count(again, 'row')} with another volume for an account and period that stood before. "
                 "Are they meters to be added (add), or a contradiction (refuse)?")  # fmt: skip


def _trailer_prefix(file: UnknownFile) -> str | None:
    """What the last line begins with, if it is of another kind than the records and states how many there are."""
    line = file.last_line
    if not line or not file.others:
        return None
    if file.kind == "fixed_width":
        return line[0] if file.record_prefix and line[0].isalpha() and line[0] != file.record_prefix else None
    if file.kind == "delimited":
        first = line.split(file.delimiter)[0].strip().strip('"')
        if file.record_prefix:
            prefix = first + file.delimiter
            return prefix if prefix in file.other_prefixes else None
        states_count = str(len(file.rows)) in line.split(file.delimiter)
        if states_count and re.fullmatch(r"(grand )?(totals?|sum|summe|trl|trailer|end|eof)", first, re.I):
            return line[: len(first)]
    return None


def _trailer(page: _Page, file: UnknownFile, roles: Roles) -> None:
    prefix = _trailer_prefix(file)
    if prefix is None:
        return
    column = roles.columns.get("volume") or roles.columns.get("reading")
    total = sum(column.number(row) or 0 for row in range(len(file.rows))) if column else 0.0
    page.key("trailer", "", f"the last line: {harmless(file.last_line, 80)}")
    page.key("prefix", _quoted(prefix), indent=2)
    notation = column.numbers if column and column.numbers else NumberNotation()
    count_at, total_at = _stated_totals(file, prefix, len(file.rows), total, notation)
    seen = "" if file.is_whole else "; only part of the file was looked at"
    page.key("count", count_at or _NO_COLUMN, f"it is the number of records, {len(file.rows):,}",
             "" if count_at else f"where does it say how many records there are ({len(file.rows):,} were found{seen})?", indent=2)  # fmt: skip
    page.key("total", total_at or _NO_COLUMN, f"it is the sum of the volumes, {total:,.10g}",
             "" if total_at else f"where does it say what they add to ({total:,.10g} were found{seen})?", indent=2)  # fmt: skip


def _stated_totals(
    file: UnknownFile, prefix: str, count: int, total: float, notation: NumberNotation
) -> tuple[str, str]:
    """Where the last line holds the number of records, and their sum; empty if it does not."""

    def is_total(text: str) -> bool:
        value = notation.value(text)
        return value is not None and total != 0 and abs(value - total) < 1e-6 * abs(total)

    if file.kind == "delimited":
        fields = [f.strip().strip('"') for f in file.last_line.split(file.delimiter)]
        counts = [i for i, f in enumerate(fields) if re.fullmatch("[0-9]{1,9}", f) and int(f) == count]
        sums = [i for i, f in enumerate(fields) if is_total(f)]
        count_at, total_at = (f"{{position: {found[0] + 1}}}" if found else "" for found in (counts, sums))
        return count_at, total_at
    digits = re.match(r"[0-9]{1,40}", file.last_line[len(prefix) :])
    text, begin = (digits.group() if digits else ""), len(prefix)
    for width in range(1, len(text)):
        if int(text[:width]) == count and is_total(text[width:]):
            return (
                f"{{start: {begin + 1}, width: {width}}}",
                f"{{start: {begin + 1 + width}, width: {len(text) - width}}}",
            )
    return "", ""
