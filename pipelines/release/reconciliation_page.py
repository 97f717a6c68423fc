"""The page that reconciles a year: from the delivered rows to the bill files, with every difference named.

Belongs here: which figures stand on the page, in which order and words; writing it.
Does not belong here: computing them (``assets``), how a page looks (``pipelines.pages``).

Nothing on it depends on when or where it is written: the same year gives the same page, byte for byte.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import ibis

from assets.contents import contents_of, digest_of
from assets.durable import whole_file
from assets.stage import Session
from pipelines.pages.figures import Read, Rows, count, dollars, percent, scaled, sums_by
from pipelines.pages.page import Fact, Grid, Page, Section, as_html
from pipelines.release.gate import gate_of, require_run
from pipelines.session import read_session
from pipelines.summary import DERIVATIONS
from rate_tables.exact import rounded
from rate_tables.volume_units import UNIT_NAMES
from validations.gate import Gate
from validations.identities import STATED_BY_THE_DISTRICT
from validations.tables import NO_DISTRICT, SEVERAL_DISTRICTS
from validations.volume_steps import COUNTED_STEPS, VOLUME_STEPS
from validations.workspace import Workspace, Year

DISTRICTS_IN_A_TABLE = 8
_MOST_LISTED = 25

_STEP_NAMES = {
    "delivered": "Delivered", "refused": "refused", "duplicate": "duplicate", "set_aside": "set aside",
    "reading_to_volume": "readings to volume", "outside_window": "outside the winter", "known_non_sewer": "known non-sewer accounts",
    "unmatched": "unmatched", "not_linked": "not linked that day or share", "other_occupant": "before the occupant, after the end",
    "not_for_sewer": "not for sewer", "deducted": "deduct meters", "adjusted": "consumption adjustments", "decided": "decisions",
    "own_window": "outside the own cycle", "not_averaged": "of which behind no new average",
    "averaged": "of which in the new averages",
}  # fmt: skip
_SUBTOTALS = {
    "reading_to_volume": "Consumption", "outside_window": "In the winter window", "not_linked": "Of meters that serve a service",
    "own_window": "Counted",
}  # fmt: skip
"""Step -> what is left after it."""

_IDENTITIES = [
    "records", "quantity", "control count", "control total", "rows of the district", "volume of the district", "counted volume",
    "services", "bills", "months", "amounts", "shares",
]  # fmt: skip
"""Identities in the order of the data's way."""

_OUTCOMES = {
    "New average": ("computed", "adjusted", "override", "previous_occupant", "class_average", "default", "fixed"),
    "Carried forward": ("prior_year", "carried_forward"),
    "Held": ("held",),
    "Excluded": ("excluded",),
}


# --- what adds up


def _side(text: str, thousandths: int) -> tuple[str, str]:
    """What a side of an identity is, and its figure: cents as dollars, whole counts without decimals."""
    if text.endswith(", cents"):
        return text.removesuffix(", cents") + ", $", scaled(thousandths // 1000, 2)
    whole, rest = divmod(thousandths, 1000)
    return text, f"{whole:,}" if not rest else scaled(thousandths, 3)


def _identities(rows: Rows) -> Section:
    by_name: dict[str, Rows] = defaultdict(list)
    for row in rows:
        by_name[row["identity"]].append(row)
    of_all, differing = [], []
    for name in sorted(
        by_name, key=lambda name: (_IDENTITIES.index(name) if name in _IDENTITIES else len(_IDENTITIES), name)
    ):
        compared = by_name[name]
        first, is_one = compared[0], len(compared) == 1 and not compared[0]["district_id"]
        equal = sum(not row["difference_thousandths"] for row in compared)
        left, right = (_side(first[f"{s}_side"], first[f"{s}_thousandths"]) for s in ("left", "right"))
        figures = [left[1], right[1]] if is_one else ["", ""]
        of_all.append(
            [name, left[0], right[0], *figures, count(len(compared)), count(equal), count(len(compared) - equal)]
        )
        differing += [
            [
                name,
                row["district_id"],
                row["source_file"],
                *(_side("", row[f"{s}_thousandths"])[1] for s in ("left", "right", "difference")),
            ]
            for row in compared
            if row["difference_thousandths"]
        ]
    grids = [
        Grid(["identity", "left", "right", "left figure", "right figure", "compared", "equal", "different"], of_all, 3)
    ]
    if differing:
        columns = ["identity", "district", "file", "left", "right", "difference"]
        grids.append(Grid(columns, differing, 3, title="What differs"))
    words = (
        "Each side is counted from another table. What concerns files or districts is compared one by one, in the unit of each. A control "
        "count or control total is what a file states of itself; every other identity is between our own tables."
    )
    return Section("What has to be equal", words, grids)


# --- rows and volume


def _matrix(account: Rows, districts: list[str], value: str, shown: Callable[[int], str], total: bool) -> Grid:
    """Steps down, districts across, with what is left after the main steps."""
    of: dict[tuple[str, str], int] = {(r["step"], r["district_id"]): r[value] for r in account}
    present = {r["step"] for r in account} | set(_SUBTOTALS)
    left = dict.fromkeys(districts, 0)
    rows, strong = list[list[str]](), set[int]()

    def add(title: str, figures: dict[str, int], is_strong: bool) -> None:
        all_of_them = [sum(figures.values())] if total else []
        if is_strong:
            strong.add(len(rows))
        rows.append([title, *(shown(n) for n in [*figures.values(), *all_of_them])])

    for step in VOLUME_STEPS:
        figures = {d: of.get((step, d), 0) for d in districts}
        for d, amount in figures.items():
            left[d] += amount
        if step in present and (any(figures.values()) or step == "delivered"):
            sign = -1 if step in COUNTED_STEPS else 1
            add(_STEP_NAMES[step], {d: sign * n for d, n in figures.items()}, step == "delivered")
        if step in _SUBTOTALS:
            add(_SUBTOTALS[step], left, True)
    add("Left over", left, True)
    return Grid(["", *districts, *(["all"] if total else [])], rows, 1, frozenset(strong))


def _account(account: Rows) -> list[Section]:
    districts = sorted({r["district_id"] for r in account})
    units = {r["district_id"]: r["volume_unit"] for r in account}
    groups = [districts[i : i + DISTRICTS_IN_A_TABLE] for i in range(0, len(districts), DISTRICTS_IN_A_TABLE)]
    volumes = []
    for group in groups:
        grid = _matrix(account, group, "volume_thousandths", lambda n: scaled(n, 3) if n else "0", total=False)
        unit = ["unit", *(units[d].replace("_", " ") for d in group)]
        volumes.append(Grid(grid.columns, [unit, *grid.rows], 1, frozenset(n + 1 for n in grid.strong)))
    rows = [_matrix(account, g, "rows", count, total=len(groups) == 1) for g in groups]
    if len(groups) > 1:
        everyone = [
            {"district_id": "all districts", "step": step, "rows": sums["rows"]}
            for step, sums in sums_by(account, "step", "rows").items()
        ]
        rows.insert(0, _matrix(everyone, ["all districts"], "rows", count, total=False))
    return [
        Section(
            "Rows, from the deliveries to the averages",
            "A record leaves in one step. Nothing may be left over.",
            rows,
        ),
        Section(
            "Volume, from the deliveries to the averages",
            "Each district in its own unit, exact to the thousandth. A period that crosses an edge is cut by its days, a meter that several "
            "services share by their shares; the parts add to the whole. Nothing may be left over.",
            volumes,
        ),
    ]


# --- services, dollars


def _services(read: Read) -> tuple[Section, dict[str, int]]:
    basis = read.table("billing_basis")
    found = {
        r["derivation"]: r
        for r in read.rows(
            basis.group_by("derivation").agg(
                services=basis.count(), before=basis.prior_average_thousandths.sum().fill_null(0),
                now=basis.winter_average_thousandths.sum().fill_null(0),
            )
        )
    }  # fmt: skip
    rows, strong, counts = list[list[str]](), set[int](), dict[str, int]()
    names = ("services", "before", "now")

    def add(title: str, of: Rows) -> int:
        sums = [sum(r[name] for r in of) for name in names]
        rows.append([title, count(sums[0]), *(scaled(n, 3) for n in sums[1:])])
        return sums[0]

    for outcome, derivations in _OUTCOMES.items():
        of = [found[d] for d in derivations if d in found]
        strong.add(len(rows))
        counts[outcome] = add(outcome, of)
        for r in of if len(of) > 1 else []:
            add(f"    {DERIVATIONS[r['derivation']]}", [r])
    strong.add(len(rows))
    counts["all"] = add("All services of the extract", list(found.values()))
    asked = basis.filter(~basis.derivation.isin(["computed", "adjusted"]))
    reasons = read.rows(
        asked.group_by("derivation", "derivation_note")
        .agg(services=asked.count())
        .order_by(ibis.desc("services"), "derivation", "derivation_note")
    )
    listed = [
        [DERIVATIONS[r["derivation"]], r["derivation_note"], count(r["services"])] for r in reasons[:_MOST_LISTED]
    ]
    if len(reasons) > _MOST_LISTED:
        rest = sum(r["services"] for r in reasons[_MOST_LISTED:])
        listed.append(
            ["others", f"{len(reasons) - _MOST_LISTED:,} further reasons, each in billing_basis", count(rest)]
        )
    unit = next(iter(read.rows(basis.select("volume_unit").distinct().order_by("volume_unit"))), {"volume_unit": ""})[
        "volume_unit"
    ]
    shown_unit = UNIT_NAMES.get(unit, unit)
    grids = [Grid(["how the average came about", "services", "before", "now"], rows, 1, frozenset(strong))]
    if listed:
        grids.append(Grid(["", "why it is not from the service's own winter", "services"], listed, 2, title="Reasons"))
    words = f"Averages are sums over the services, per month, in {shown_unit}. Every service of the CIS extract stands in one line."
    return Section("Services", words, grids), counts


def _amounts(read: Read, with_files: bool) -> tuple[Section, int]:
    bills, lines = read.table("bills"), read.table("bill_lines")
    a_year = (bills.amount_cents * bills.bills_in_period).sum().fill_null(0)
    by_agency = read.rows(
        bills.group_by("billing_agency").agg(
            services=bills.service_id.nunique(), held=bills.service_id.nunique(where=bills.status == "held"), a_year=a_year
        ).order_by("billing_agency")
    )  # fmt: skip
    stretch = bills.select("service_id", "period_start", "bills_in_period")
    charged = lines.inner_join(stretch, ["service_id", "period_start"])
    times = charged.bills_in_period
    by_charge = read.rows(
        charged.group_by("charge_code").agg(
            lines=charged.count(), a_year=(charged.amount_cents * times).sum(),
            regional=(charged.regional_amount_cents * times).sum(), local=(charged.local_amount_cents * times).sum(),
        ).order_by("charge_code")
    )  # fmt: skip
    total = sum(r["a_year"] for r in by_agency)

    def totalled(
        rows: Rows, first: str, names: dict[str, Callable[[int], str]]
    ) -> tuple[list[list[str]], frozenset[int]]:
        shown = [[r[first], *(show(r[n]) for n, show in names.items())] for r in rows]
        last = ["All", *(show(sum(r[n] for r in rows)) for n, show in names.items())]
        return [*shown, last], frozenset({len(shown)})

    agencies, bold = totalled(by_agency, "billing_agency", {"services": count, "held": count, "a_year": dollars})
    charges, strong = totalled(
        by_charge, "charge_code", {"lines": count, "a_year": dollars, "regional": dollars, "local": dollars}
    )
    grids = [
        Grid(["billing agency", "services", "of which held", "bills, $ a year"], agencies, 1, bold, "Bills"),
        Grid(["charge", "lines", "$ a year", "regional $", "local $"], charges, 1, strong, "Lines of these bills"),
    ]
    if with_files:
        files = [
            [r["billing_agency"], r["file"], r["content_hash"][:16], count(r["records"]), scaled(r["winter_average_thousandths"], 3),
             dollars(r["amount_cents"])]
            for r in read.rows("bill_files")
        ]  # fmt: skip
        columns = ["billing agency", "file", "SHA-256 begins", "records", "sum of averages", "first bills, $"]
        grids.append(Grid(columns, files, 3, title="Bill files"))
    words = "Bills are a preview: the billing system bills from the averages. Regional and local parts add to each line, lines to their bill."
    return Section("Bills, lines and files", words, grids), total


def against_last_year(rows: Rows, year: Year) -> Section:
    """Services, averages and dollars of the year beside the year before, by class and by district, from ``year_on_year``."""
    names = [
        name
        for base in ("services", "averaged", "average_sum_thousandths", "amount_a_year_cents")
        for name in (base, f"prior_{base}")
    ]
    was_run = any(r["prior_services"] for r in rows)
    is_same_unit = {r["volume_unit"] for r in rows if r["averaged"]} >= {
        r["prior_volume_unit"] for r in rows if r["prior_averaged"]
    }
    columns = [
        "",
        "services",
        "year before",
        "change",
        "mean average",
        "year before",
        "change",
        "bills, $ a year",
        "year before",
        "change",
    ]

    def mean(total: int, services: int) -> int | None:
        return rounded(Fraction(total, services)) if services else None

    def line(title: str, s: dict[str, int]) -> list[str]:
        now, then = (
            mean(s["average_sum_thousandths"], s["averaged"]),
            mean(s["prior_average_sum_thousandths"], s["prior_averaged"]),
        )
        moved = percent(now, then) if now is not None and then is not None and is_same_unit else ""
        return [
            title, count(s["services"]), count(s["prior_services"]), percent(s["services"], s["prior_services"]),
            scaled(now, 3), scaled(then, 3), moved, dollars(s["amount_a_year_cents"]), dollars(s["prior_amount_a_year_cents"]),
            percent(s["amount_a_year_cents"], s["prior_amount_a_year_cents"]),
        ]  # fmt: skip

    def grid(by: str, title: str) -> Grid:
        sums = sums_by(rows, by, *names)
        shown = [line(_PLACES.get(key, key.replace("_", " ")), of) for key, of in sums.items()]
        shown.append(line("All", {n: sum(of[n] for of in sums.values()) for n in names}))
        return Grid([title, *columns[1:]], shown, 1, frozenset({len(shown) - 1}))

    words = (
        f"Services that are not excluded; the mean of their averages per month; their bills of the year. Billing year {year.billing_year} "
        f"against {year.billing_year - 1}."
        if was_run
        else f"Billing year {year.billing_year - 1} has not been run here, so there is nothing to compare with."
    )
    return Section("Against last year", words, [grid("customer_class", "class"), grid("slice_id", "district")])


_PLACES = {SEVERAL_DISTRICTS: "several districts", NO_DISTRICT: "no district"}


def _control_totals(rows: Rows) -> Section:
    stated = [r for r in rows if r["control_records"] is not None or r["control_quantity_thousandths"] is not None]
    shown = [
        [
            r["district_id"], r["source_file"],
            "" if r["control_records"] is None else count(r["control_records"]), count(r["records"]),
            scaled(r["control_quantity_thousandths"], 3), scaled(r["delivered_quantity_thousandths"], 3),
        ]
        for r in stated
    ]  # fmt: skip
    columns = ["district", "file", "records it states", "records read", "total it states", "total read"]
    words = f"{len(stated):,} of {len(rows):,} files state totals of themselves."
    return Section("Control totals of the districts", words, [Grid(columns, shown, 2)] if shown else [])


def _extract(read: Read) -> Section:
    seen = read.rows("cis_extracts")
    before, last_year = read.rows("extract_refresh"), read.rows("extract_changes")
    came = [[count(r["place"]), str(r["as_of"] or "not stated"), r["content_hash"][:16]] for r in seen]
    kinds = sorted({r["change"] for r in [*before, *last_year]})
    counts = [
        [kind.replace("_", " "), *(count(sum(r["change"] == kind for r in rows)) for rows in (before, last_year))]
        for kind in kinds
    ]
    grids = [Grid(["extract", "as of", "SHA-256 begins"], came, 3)]
    if counts:
        grids.append(
            Grid(["services", "since the extract before", "since last year's"], counts, 1, title="What changed")
        )
    listed = [r for r in before if r["change"] in ("new", "gone", "closed")]
    if listed:
        shown = [[r["service_id"], r["change"], r["before"], r["after"]] for r in listed[:_MOST_LISTED]]
        if len(listed) > _MOST_LISTED:
            shown.append([f"and {len(listed) - _MOST_LISTED:,} more, all in extract_refresh", "", "", ""])
        grids.append(
            Grid(["service", "change", "before", "after"], shown, 4, title="New and finaled since the extract before")
        )
    return Section(
        "CIS extract",
        "Every service of the extract in force has its line under Services, also new and finaled ones.",
        grids,
    )


def _gate(found: Gate) -> Section:
    blocks = [[b.block_id, b.sentence, b.next_step] for b in found.blocks]
    overridden = [
        [b.block_id, b.sentence, f"{o.override_id}, {o.overridden_by}, {o.overridden_on}", o.reason]
        for b, o in found.overridden
    ]
    grids = [Grid(["what", "what is so", "next step"], blocks, 3)] if blocks else []
    if overridden:
        grids.append(Grid(["what", "what is so", "overridden", "why"], overridden, 4, title="Overridden"))
    return Section("What holds up release", "" if blocks else "Nothing holds up release.", grids)


def page_of(session: Session, billing_year: int, *, in_run: bool = False) -> Page:
    """The page of a year from the store. ``in_run``: without what is made after it, bill files and the gate.

    Errors: NotRun; ConfigError.
    """
    workspace = session.workspace
    year = workspace.year(billing_year)
    if not in_run:
        require_run(session, billing_year)
    read = Read(session, billing_year)
    identities, account, totals = (read.rows(name) for name in ("reconciliation", "volume_account", "delivery_totals"))
    ours = [r for r in identities if r["identity"] not in STATED_BY_THE_DISTRICT]
    wrong = [r for r in identities if r["difference_thousandths"]]
    adds_up = not any(r["difference_thousandths"] for r in ours)
    services, counts = _services(read)
    amounts, a_year = _amounts(read, with_files=not in_run)
    delivered = sum(r["rows"] for r in account if r["step"] == "delivered")
    left = sum(r["rows"] for r in account)
    found = None if in_run else gate_of(session, billing_year)
    outcomes = " + ".join(f"{counts[name]:,} {name.lower()}" for name in _OUTCOMES)
    facts = [
        Fact("Identities", f"{len(identities) - len(wrong):,} of {len(identities):,} hold", not wrong),
        Fact("Rows delivered", f"{delivered:,}; {left:,} unaccounted for", not left),
        Fact("Services", f"{counts['all']:,} = {outcomes}", counts["Held"] == 0),
        Fact("Bills", f"${dollars(a_year)} a year, as preview", True),
    ]
    if found is not None:
        held_up = (
            "nothing holds it up"
            if found.is_open
            else f"{len(found.blocks):,} {'thing holds' if len(found.blocks) == 1 else 'things hold'} it up"
        )
        over = f", {len(found.overridden):,} overridden" if found.overridden else ""
        facts.append(Fact("Release", held_up + over, found.is_open))
    sections = [
        _identities(identities),
        *_account(account),
        services,
        amounts,
        against_last_year(read.rows("year_on_year"), year),
        _control_totals(totals),
        _extract(read),
        *([_gate(found)] if found is not None else []),
    ]
    contents = [] if in_run else contents_of(session, billing_year)
    rates = year.rates.file if year.rates else "no adopted schedule"
    return Page(
        f"Reconciliation of the annual update {year.title}",
        f"{workspace.file.name}. Effective {year.effective}; winter {year.window_start} to {year.window_end}, that day excluded; averages by "
        f"{year.averaging.file}, rates by {rates}.",
        facts,
        sections,
        "reconciliation, volume_account, year_on_year, billing_basis, bills, bill_lines",
        digest_of(contents) if contents else "",
        "How to read the account of rows and volume",
        [(_STEP_NAMES[step].removeprefix("of which "), meaning) for step, meaning in VOLUME_STEPS.items() if step in {r["step"] for r in account}],
        ("Prepared by, date", "Reviewed by, date"),
        adds_up,
    )  # fmt: skip


def write_page(workspace: Workspace, billing_year: int, to: Path | None = None) -> tuple[Page, Path]:
    """Write the page, whole or not at all. Errors: NotRun; ConfigError."""
    with read_session(workspace) as session:
        page = page_of(session, billing_year)
    target = to or workspace.work / "reconciliation" / f"{billing_year}.html"
    with whole_file(target) as beside:
        beside.write_text(as_html(page), encoding="utf-8")
    return page, target
