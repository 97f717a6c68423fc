"""A finding: what every rule gives.

Belongs here: making a finding's row, its id, its evidence and the hash that decisions are tied to.
Does not belong here: any rule.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from validations.tables import FINDINGS


def as_json(**values: ir.Value) -> ir.StringValue:
    """Named figures as JSON."""
    return ibis.struct(values).cast("json").cast("string")


def sentence(*parts: ir.Value | str) -> ir.StringValue:
    """Parts joined to a sentence; whole numbers are written out, what is missing as a question mark."""
    texts = [ibis.literal(p) if isinstance(p, str) else p.cast("string").fill_null("?") for p in parts]
    joined = texts[0]
    for text in texts[1:]:
        joined = joined + text
    return joined


def ccf(value: ir.FloatingValue) -> ir.StringValue:
    """Hundred cubic feet as a person reads them, with one decimal."""
    return value.cast("decimal(18, 1)").cast("string").fill_null("?")


def found(
    rows: ir.Table,
    rule_id: str,
    severity: str | ir.StringValue,
    about: list[str],
    message: ir.StringValue,
    evidence: ir.StringValue,
    remedy: str,
    *,
    beside: ir.StringValue | None = None,
    proposal: ir.StringValue | str = "",
) -> ir.Table:
    """Findings from ``rows``, each identified by the rule and the columns that it is ``about``.

    ``evidence`` is what the finding rests on, as JSON: a decision is tied to its hash. ``beside`` is what it is compared with and
    others can move (the median of a class or a district): it is shown with the evidence and is no part of the hash.
    ``rows`` may have period_start and period_end: what the finding is about.
    """
    day = ibis.null("date")
    said = _said(
        rows.mutate(
            district_id=rows.district_id if "district_id" in rows.columns else ibis.literal(""),
            service_id=rows.service_id if "service_id" in rows.columns else ibis.literal(""),
            period_start=rows.period_start if "period_start" in rows.columns else day,
            period_end=rows.period_end if "period_end" in rows.columns else day,
        ),
        rule_id, severity, message, evidence, remedy, beside, proposal,
    )  # fmt: skip
    return _identified(said, about)


def found_in_use(
    rows: ir.Table,
    rule_id: str,
    severity: str | ir.StringValue,
    message: ir.StringValue,
    evidence: ir.StringValue,
    remedy: str,
    *,
    beside: ir.StringValue | None = None,
    proposal: ir.StringValue | str = "",
) -> ir.Table:
    """The same of a service that is still a number, with its district's: to be ``of_services``."""
    said = _said(rows, rule_id, severity, message, evidence, remedy, beside, proposal)
    return said.select(*_NUMBERS, "period_start", "period_end", *_SAID)


def of_services(numbered: list[ir.Table], named: ir.Table) -> ir.Table:
    """Findings of services that were numbers. ``named``: ids for the numbers of service and district.

    What all findings have in common is made once for all rules: the database takes longer to plan it for thirty than to compute it.
    """
    return _identified(ibis.union(*numbered).inner_join(named, list(_NUMBERS)), ["service_id"])


_NUMBERS = ("service", "district")
_SAID = ("rule_id", "severity", "message", "evidence", "compared", "proposal", "remedy")


def _said(
    rows: ir.Table,
    rule_id: str,
    severity: str | ir.StringValue,
    message: ir.StringValue,
    evidence: ir.StringValue,
    remedy: str,
    beside: ir.StringValue | None,
    proposal: ir.StringValue | str,
) -> ir.Table:
    return rows.mutate(
        rule_id=ibis.literal(rule_id),
        severity=ibis.literal(severity) if isinstance(severity, str) else severity,
        message=message,
        evidence=evidence,
        compared=ibis.null("string") if beside is None else beside,
        proposal=ibis.literal(proposal) if isinstance(proposal, str) else proposal,
        remedy=ibis.literal(remedy),
    )


def _identified(said: ir.Table, about: list[str]) -> ir.Table:
    """With id and hash. A colon inside a value is written %3A, so that two different things never get one id."""
    values = [said[name].cast("string").replace("%", "%25").replace(":", "%3A") for name in about]
    shown = sentence('{"own":', said.evidence, ',"compared":', said.compared, "}")
    return FINDINGS.conform(
        said.mutate(
            finding_id=sentence(said.rule_id, *(part for value in values for part in (":", value))),
            evidence=ibis.ifelse(said.compared.isnull(), said.evidence, shown),
            evidence_hash=(said.rule_id + "\n" + said.evidence).hexdigest("sha256"),
        )
    )
