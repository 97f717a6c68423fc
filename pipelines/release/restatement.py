"""Restatement: how what stands differs from what is released, since a run changes tables and never a release.

Belongs here: holding the year's averages against the last version's files, and the sentences about it.
Does not belong here: releasing the difference (``releases``), what a bill comes to (``corrections``).

A late delivery, a district's restatement of a winter, a decision: each makes a proposal of a released year. It is in force once
somebody has approved it and it is released.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from assets.stage import Session, slices_of
from pipelines.release.posting import posted_by
from pipelines.release.releases import Released, last
from validations.tables import BILLING_BASIS


@dataclass(frozen=True)
class Proposal:
    """A released year as it stands: services whose average is another than released, those without one, those that have one since."""

    released: Released
    changed: int
    without: int
    added: int

    @property
    def services(self) -> int:
        return self.changed + self.without + self.added


def proposal_of(session: Session, billing_year: int) -> Proposal | None:
    """What stands of a released year against its last version; None if the year has not been released."""
    released = last(session.workspace, billing_year)
    if released is None:
        return None
    con: Any = session.store.con
    basis = session.store.read(BILLING_BASIS, billing_year, slices_of(BILLING_BASIS, session.workspace))
    stands = basis.filter(basis.winter_average_thousandths.notnull())
    stands = stands.select(id="service_id", stands="winter_average_thousandths")
    agencies = [str(one["billing_agency"]) for one in released.marker["agencies"]]
    posted = posted_by(con, released.folder, agencies)
    posted = posted.select("service_id", posted="new_winter_average_thousandths")
    both = posted.outer_join(stands, posted.service_id == stands.id)
    counts = both.agg(
        changed=both.count(where=both.posted != both.stands),
        without=both.count(where=both.stands.isnull()),
        added=both.count(where=both.posted.isnull()),
    )
    (row,) = con.to_pyarrow(counts).to_pylist()
    return Proposal(released, row["changed"], row["without"], row["added"])


def in_words(proposal: Proposal, billing_year: int) -> list[str]:
    """Sentences for people: which version is released, and how what stands differs from it."""
    version = f"Released: v{proposal.released.version}."
    if not proposal.services:
        return [f"{version} What stands has the same averages."]
    what = {
        "with another average": proposal.changed,
        "without one any more": proposal.without,
        "with one that had none": proposal.added,
    }
    parts = ", ".join(f"{number:,} {words}" for words, number in what.items() if number)
    services = f"{proposal.services:,} {'service' if proposal.services == 1 else 'services'}"
    return [
        f"{version} What stands differs from it in {services}: {parts}. It is a proposal; the release is as it was. To release it: "
        f"annual-billing approve {billing_year} --by NAME, then release {billing_year}."
    ]
