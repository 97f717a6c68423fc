"""The worklist: findings that somebody should look at, most dollars a year first.

Belongs here: the order, what stands on the list and what only in the sample.
Does not belong here: what a finding is worth (``at_stake``), limits (``rate_tables.review_limits``), the workbook (``pipelines.review``).
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from assets.stage import stage
from rate_tables.exact import whole
from validations.tables import WORKLIST
from validations.workspace import Year

_SAMPLE_PARTS = 16**8


@stage(WORKLIST, "review", built_once=True)
def worklist(at_stake: ir.Table, *, year: Year) -> ir.Table:
    """Findings about services in the order in which somebody looks at them.

    Findings of one service stand together, at the place of the one with most dollars; before them what must be decided and nobody
    knows the worth of. One below the limit of dollars is in the
    sample if the hash of its id is low enough: the same one whenever it is drawn. One of unknown worth is looked at, and one
    whose decision is stale.
    """
    limits = year.review_limits.rules
    below = whole(limits.least_dollars_a_year.value, 2)
    threshold = int(limits.sampled_share.value * _SAMPLE_PARTS)
    a = at_stake
    must, unknown = a.severity == "must_decide", a.most_of_service_cents.isnull()
    order = [
        ~(unknown & a.must_of_service), unknown, a.most_of_service_cents.desc(), a.service_id,
        a.at_stake_a_year_cents.isnull(), a.at_stake_a_year_cents.desc(), ~must, a.finding_id,
    ]  # fmt: skip
    drawn = ibis.literal(threshold == _SAMPLE_PARTS) | (a.finding_id.hexdigest("sha256").left(8) < f"{threshold:08x}")
    return a.mutate(
        place=ibis.row_number().over(ibis.window(order_by=order)) + 1,
        listed_on=ibis.cases(
            (
                must
                | (a.decision_status == "stale")
                | a.at_stake_a_year_cents.isnull()
                | (a.at_stake_a_year_cents >= below),
                "worklist",
            ),
            (drawn, "sample"),
            else_="below_limit",
        ),
    )
