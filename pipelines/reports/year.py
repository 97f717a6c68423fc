"""The report of a year: what changed for whom, what was refused and decided, and what was released.

Belongs here: which figures stand in the report, in which order and words.
Does not belong here: proving that they add up (``pipelines.release.reconciliation_page``), computing them (``assets``).

Nothing in it depends on when it is written: the same year gives the same report, byte for byte. It names no customer: services
stand under their id alone.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir

from assets.contents import contents_of, digest_of
from assets.durable import whole_file
from assets.stage import Session
from pipelines.pages.figures import Read, Rows, count, dollars, percent, scaled
from pipelines.pages.page import Fact, Grid, Page, Section, as_html
from pipelines.pictures import of_year
from pipelines.release.gate import gate_of, require_run
from pipelines.release.reconciliation_page import against_last_year
from pipelines.release.releases import versions
from pipelines.session import read_session
from pipelines.summary import DERIVATIONS
from rate_tables.looked_up import looked_up
from validations.reasons import REASONS
from validations.workspace import Workspace

MOVERS = 25
_SEVERITIES = {"must_decide": "must be decided", "review": "to review", "info": "for information"}
_DECISIONS = {
    "as_it_is": "stays as it is", "as_proposed": "as proposed", "leave_out": "left out", "prior_average": "prior average stays",
    "set_average": "average set by a person",
}  # fmt: skip


def _of_services(read: Read) -> ir.Table:
    """One row per service: class, jurisdiction, how its average came about, the average, cents of a year's bills (null if held)."""
    bills = read.table("bills")
    amounts = bills.group_by("service_id").agg(
        cents=(bills.amount_cents * bills.bills_in_period).sum(), is_whole=bills.amount_cents.notnull().all()
    )
    s = read.table("billing_basis").select(
        "service_id", "slice_id", "winter_average_thousandths", "volume_unit", "derivation"
    )
    s = looked_up(s, read.table("sewer_services"), "service_id", "customer_class", "jurisdiction")
    s = looked_up(s, amounts, "service_id", "cents", "is_whole")
    return s.mutate(cents=ibis.ifelse(s.is_whole.fill_null(False), s.cents, ibis.null("int64"))).drop("is_whole")


def _both(now: ir.Table, then: ir.Table) -> ir.Table:
    """Services of this year beside what they were in the year before (columns ``then_...``)."""
    names = ["derivation", "winter_average_thousandths", "volume_unit", "cents"]
    return looked_up(now, then.rename({f"then_{n}": n for n in names}), "service_id", *(f"then_{n}" for n in names))


def _glance(read: Read, now: ir.Table, then: ir.Table, was_run: bool) -> Section:
    def facts(of: ir.Table) -> dict[str, Any]:
        (found,) = read.rows(
            of.agg(
                services=of.count(), averaged=of.winter_average_thousandths.count(), excluded=(of.derivation == "excluded").sum().fill_null(0),
                held=(of.derivation == "held").sum().fill_null(0), cents=of.cents.sum().fill_null(0),
            )
        )  # fmt: skip
        return found

    mine, before = facts(now), facts(then)
    shown: list[tuple[str, Any, str]] = [
        ("Services of the CIS extract", count, "services"),
        ("with a winter average", count, "averaged"),
        ("held: a person has to decide", count, "held"),
        ("excluded: closed, or billed otherwise", count, "excluded"),
        ("Bills of the year, $", dollars, "cents"),
    ]
    rows = [
        [title, show(mine[n]), show(before[n]) if was_run else "", percent(mine[n], before[n])]
        for title, show, n in shown
    ]
    return Section("The year at a glance", "", [Grid(["", "this year", "year before", "change"], rows, 1)])


def _by_jurisdiction(read: Read, both: ir.Table, was_run: bool) -> Grid:
    found = read.rows(
        both.group_by("jurisdiction").agg(services=both.count(), cents=both.cents.sum().fill_null(0), before=both.then_cents.sum().fill_null(0)).order_by("jurisdiction")
    )  # fmt: skip
    rows = [
        [
            r["jurisdiction"],
            count(r["services"]),
            dollars(r["cents"]),
            dollars(r["before"]) if was_run else "",
            percent(r["cents"], r["before"]),
        ]
        for r in found
    ]
    total, past = (sum(r[n] for r in found) for n in ("cents", "before"))
    rows.append(
        [
            "All",
            count(sum(r["services"] for r in found)),
            dollars(total),
            dollars(past) if was_run else "",
            percent(total, past),
        ]
    )
    columns = ["jurisdiction", "services", "bills, $ a year", "these services the year before", "change"]
    return Grid(columns, rows, 1, frozenset({len(rows) - 1}), "By jurisdiction")


def _by_charge(session: Session, billing_year: int) -> Section:
    now, before = (of_year.charged(Read(session, year)) for year in (billing_year, billing_year - 1))
    names = sorted(now.keys() | before.keys())
    rows = [
        [
            n.replace("_", " "),
            dollars(now.get(n, 0)),
            dollars(before[n]) if n in before else "",
            percent(now.get(n, 0), before.get(n, 0)),
        ]
        for n in names
    ]
    total, past = sum(now.values()), sum(before.values())
    rows.append(["All", dollars(total), dollars(past) if before else "", percent(total, past)])
    words = "All bills of the year, as a preview: the billing system bills from the averages. Held bills are not in it."
    grid = Grid(["charge", "$ a year", "year before", "change"], rows, 1, frozenset({len(rows) - 1}))
    return Section(
        "Bills by charge and class",
        words,
        [grid],
        [*of_year.revenue_by_charge(session, billing_year), *of_year.revenue_by_class(session, billing_year)],
    )


def _movers(read: Read, both: ir.Table) -> Section:
    moved = both.filter(both.cents.notnull() & both.then_cents.notnull())
    moved = moved.mutate(change=moved.cents - moved.then_cents)
    counted = read.rows(
        moved.agg(up=(moved.change > 0).sum(), down=(moved.change < 0).sum(), same=(moved.change == 0).sum())
    )[0]
    listed = read.rows(moved.filter(moved.change != 0).order_by(moved.change.abs().desc(), "service_id").limit(MOVERS))
    rows = [
        [
            r["service_id"], r["customer_class"].replace("_", " "), DERIVATIONS.get(r["derivation"], "set by a person").split(":")[0],
            scaled(r["then_winter_average_thousandths"], 3), scaled(r["winter_average_thousandths"], 3),
            dollars(r["then_cents"]), dollars(r["cents"]), ("+" if r["change"] > 0 else "") + dollars(r["change"]),
        ]
        for r in listed
    ]  # fmt: skip
    words = (
        f"Of services that were billed in both years, the bills of {count(counted['up'])} rise, of {count(counted['down'])} fall and of "
        f"{count(counted['same'])} stay. The {len(rows):,} largest changes; annual-billing explain says of each why."
    )
    columns = [
        "service",
        "class",
        "this year's average",
        "average before",
        "average",
        "$ a year before",
        "$ a year",
        "change",
    ]
    return Section("Who moved most", words, [Grid(columns, rows, 3)] if rows else [])


def _delivered(session: Session, read: Read, billing_year: int) -> Section:
    totals = read.rows("delivery_totals")
    rejected = read.table("rejected_rows")
    found = read.rows(
        rejected.group_by("reason_kind", "reason_code")
        .agg(rows=rejected.count())
        .order_by("reason_kind", ibis.desc("rows"), "reason_code")
    )
    by_district = read.rows(rejected.group_by("district_id", "reason_kind").agg(rows=rejected.count()))
    kinds = sorted({r["reason_kind"] for r in by_district})
    left = {(r["district_id"], r["reason_kind"]): r["rows"] for r in by_district}
    names = sorted({r["district_id"] for r in totals} | {r["district_id"] for r in by_district})
    records = Counter({n: sum(r["records"] for r in totals if r["district_id"] == n) for n in names})
    of_district = [[n, count(records[n]), *(count(left.get((n, kind), 0)) for kind in kinds)] for n in names]
    of_district.append(
        ["All", count(sum(records.values())), *(count(sum(left.get((n, kind), 0) for n in names)) for kind in kinds)]
    )
    reasons = [
        [
            r["reason_kind"].replace("_", " "),
            r["reason_code"].replace("_", " "),
            REASONS[r["reason_code"]][1],
            count(r["rows"]),
        ]
        for r in found
    ]
    grids = [
        Grid(["district or sheet", "records read", *(f"{kind.replace('_', ' ')} rows" for kind in kinds)], of_district, 1, frozenset({len(of_district) - 1})),
        *([Grid(["", "reason", "in words", "rows"], reasons, 3, title="Why rows are not consumption")] if reasons else []),
    ]  # fmt: skip
    words = "Every delivered row is consumption or stands in rejected_rows with its reason; the volume is what each district billed."
    return Section("What the districts delivered", words, grids, of_year.volume_by_month(session, billing_year))


def _decided(session: Session, read: Read, billing_year: int) -> Section:
    findings = read.table("findings")
    worked = looked_up(
        findings, read.table("worklist").select("finding_id", "decision_status"), "finding_id", "decision_status"
    )
    decided = (worked.decision_status == "standing").fill_null(False)
    found = read.rows(
        worked.group_by("severity", "rule_id").agg(findings=worked.count(), decided=decided.sum().fill_null(0)).order_by("severity", ibis.desc("findings"), "rule_id")
    )  # fmt: skip
    listed = sorted(found, key=lambda r: list(_SEVERITIES).index(r["severity"]))
    rows = [[_SEVERITIES[r["severity"]], r["rule_id"], count(r["findings"]), count(r["decided"])] for r in listed]
    rows.append(["All", "", *(count(sum(r[n] for r in found)) for n in ("findings", "decided"))])
    grids = [Grid(["", "rule", "findings", "decided one by one"], rows, 2, frozenset({len(rows) - 1}))]
    decisions = read.table("decisions")
    by_whom = read.rows(
        decisions.group_by("decision", "decided_by", "status")
        .agg(n=decisions.count())
        .order_by("decision", "decided_by", "status")
    )
    if by_whom:
        shown = [
            [
                _DECISIONS.get(r["decision"], r["decision"]),
                r["decided_by"],
                r["status"].replace("_", " "),
                count(r["n"]),
            ]
            for r in by_whom
        ]
        grids.append(Grid(["decision", "by", "now", "decisions"], shown, 3, title="Decisions"))
    adjustments = read.table("adjustments")
    refused = read.table("refused_adjustments").select("adjustment_id", refused=ibis.literal(True))
    entered = looked_up(adjustments, refused, "adjustment_id", "refused")
    counted = (
        entered.group_by("kind")
        .agg(entered=entered.count(), refused=entered.refused.fill_null(False).sum())
        .order_by("kind")
    )
    kinds = [
        [r["kind"].replace("_", " "), count(r["entered"]), count(r["entered"] - r["refused"]), count(r["refused"])]
        for r in read.rows(counted)
    ]
    if kinds:
        grids.append(
            Grid(["consumption adjustment", "entered", "granted", "refused"], kinds, 1, title="Consumption adjustments")
        )
    over = [
        [b.block_id, b.sentence, o.overridden_by, str(o.overridden_on), o.reason]
        for b, o in gate_of(session, billing_year).overridden
    ]
    if over:
        grids.append(Grid(["what", "what is so", "overridden by", "on", "why"], over, 5, title="Overrides"))
    words = "Findings that wait for a decision hold up release. What is for information asks nothing of anybody."
    return Section("What was found and decided", words, grids)


def _released(workspace: Workspace, billing_year: int) -> tuple[Fact, Section]:
    found = versions(workspace, billing_year)
    if not found:
        fact = Fact("Release", "not released", is_good=False)
        return fact, Section(
            "Release", f"Not released. annual-billing status {billing_year} says what holds it up.", []
        )
    rows = [
        [
            f"v{one.version}",
            one.marker["approval"]["by"],
            one.marker["approval"]["at"],
            one.marker["released_by"],
            one.marker["at"],
            one.marker["digest"],
        ]
        for one in found
    ]
    last = found[-1]
    columns = ["version", "approved by", "on", "released by", "on", "hash of all that it rests on"]
    words = "Each version stays as it was released; annual-billing verify proves it to the byte. The hash is the one that the approval names."
    return Fact("Release", f"version {last.version}, {last.marker['digest'][:16]}…"), Section(
        "Release", words, [Grid(columns, rows, 6)]
    )


def report_of(session: Session, billing_year: int) -> Page:
    """The report of a year from the store. Errors: NotRun; ConfigError."""
    require_run(session, billing_year)
    workspace = session.workspace
    year, read, prior = workspace.year(billing_year), Read(session, billing_year), Read(session, billing_year - 1)
    now, then = _of_services(read), _of_services(prior)
    on_year: Rows = read.rows("year_on_year")
    was_run = any(r["prior_services"] for r in on_year)
    both = _both(now, then)
    identities = read.rows("reconciliation")
    wrong = sum(bool(r["difference_thousandths"]) for r in identities)
    a_year = sum(r["amount_a_year_cents"] for r in on_year)
    before = sum(r["prior_amount_a_year_cents"] for r in on_year)
    moved = f" ({percent(a_year, before)} against {billing_year - 1})" if before else ""
    release, release_section = _released(workspace, billing_year)
    facts = [
        Fact("Services", count(sum(r["services"] for r in on_year))),
        Fact("Bills of the year", f"${dollars(a_year)}{moved}"),
        Fact("Reconciliation", f"{len(identities) - wrong:,} of {len(identities):,} identities hold", not wrong),
        release,
    ]
    changes = against_last_year(on_year, year)
    changes.grids.append(_by_jurisdiction(read, both, was_run))
    glance = _glance(read, now, then, was_run)
    glance.pictures.extend(
        [*of_year.winter_averages(session, billing_year), *of_year.derivations(session, billing_year)]
    )
    rates = year.rates.file if year.rates else "no adopted schedule"
    return Page(
        f"Annual update {year.title}: report of the year",
        f"{workspace.file.name}. Effective {year.effective}; winter {year.window_start} to {year.window_end}, that day excluded; averages by "
        f"{year.averaging.file}, rates by {rates}.",
        facts,
        [
            glance, changes, _by_charge(session, billing_year), _movers(read, both), _delivered(session, read, billing_year),
            _decided(session, read, billing_year), release_section,
        ],
        "billing_basis, bills, bill_lines, year_on_year, rejected_rows, findings, decisions, adjustments, reconciliation",
        digest_of(contents_of(session, billing_year)),
        adds_up=not wrong,
    )  # fmt: skip


def write_report(workspace: Workspace, billing_year: int, to: Path | None = None) -> tuple[Page, Path]:
    """Write the report, whole or not at all. Errors: NotRun; ConfigError."""
    with read_session(workspace) as session:
        page = report_of(session, billing_year)
    target = to or workspace.work / "reports" / f"{billing_year}.html"
    with whole_file(target) as beside:
        beside.write_text(as_html(page), encoding="utf-8")
    return page, target
