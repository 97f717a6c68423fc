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

    A colon inside a value is written %3A, so that two different things never get one id.

    ``evidence`` is what the finding rests on, as JSON: a decision is tied to its hash. ``beside`` is what it is compared with and
    others can move (the median of a class or a district): it is shown with the evidence and is no part of the hash.
    ``rows`` may have period_start and period_end: what the finding is about.
    """
    values = [rows[name].cast("string").replace("%", "%25").replace(":", "%3A") for name in about]
    key = sentence(rule_id, *(part for value in values for part in (":", value)))
    shown = evidence if beside is None else sentence('{"own":', evidence, ',"compared":', beside, "}")
    day = ibis.null("date")
    return FINDINGS.conform(
        rows.mutate(
            finding_id=key,
            district_id=rows.district_id if "district_id" in rows.columns else ibis.literal(""),
            service_id=rows.service_id if "service_id" in rows.columns else ibis.literal(""),
            rule_id=ibis.literal(rule_id),
            severity=ibis.literal(severity) if isinstance(severity, str) else severity,
            period_start=rows.period_start if "period_start" in rows.columns else day,
            period_end=rows.period_end if "period_end" in rows.columns else day,
            message=message,
            evidence=shown,
            evidence_hash=(ibis.literal(f"{rule_id}\n") + evidence).hexdigest("sha256"),
            proposal=ibis.literal(proposal) if isinstance(proposal, str) else proposal,
            remedy=ibis.literal(remedy),
        )
    )
