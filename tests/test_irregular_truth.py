"""The comparison of findings with the truth: what counts as found, missed and flagged for nothing."""

from __future__ import annotations

from irregular_truth import Finding, Played, scored, scored_districts


def test_found_missed_found_as_another_kind_and_flagged_for_nothing_are_told_apart() -> None:
    services = [f"S{number}" for number in range(1, 9)]
    truth = [
        Played("use.high", "d", "S1"), Played("use.tenfold", "d", "S2"), Played("use.low", "d", "S3"),
        Played("period.gap", "d", "S4"), Played("use.high", "d", "S5"), Played("district.unit_changed", "d", ""),
    ]  # fmt: skip
    findings = [
        Finding("use.high", "review", "d", "S1"), Finding("use.rising", "review", "d", "S1"),  # found, and more
        Finding("use.high", "must_decide", "d", "S2"),  # found as another kind
        Finding("use.high", "info", "d", "S3"),  # nobody is sent there: missed
        Finding("use.low", "review", "d", "S4"),  # of another family: missed
        Finding("use.high", "info", "d", "S5"),  # found, though only to be known
        Finding("use.low", "review", "d", "S6"), Finding("use.low", "must_decide", "d", "S6"),  # for nothing, once
        Finding("use.low", "info", "d", "S7"),  # good to know is no flag
        Finding("use.low", "review", "d", "S8"),  # plays a scenario
        Finding("district.unit_changed", "must_decide", "d", ""),
    ]  # fmt: skip
    score = scored(findings, truth, services, {"S8"})
    assert score.played == {"use.high": 2, "use.tenfold": 1, "use.low": 1, "period.gap": 1}
    assert score.found == {"use.high": 2}
    assert score.as_another == {"use.tenfold": 1}
    assert score.for_nothing == {"use.low": 1}
    assert (score.services, score.faultless, score.flagged, score.to_review) == (8, 2, 1, 5)
    assert (score + score).played["use.high"] == 4
    assert (score + score).flagged == 2


def test_a_finding_about_a_district_that_plays_nothing_is_for_nothing() -> None:
    truth = [Played("district.unit_changed", "a", ""), Played("district.stuck_value", "b", "")]
    findings = [
        Finding("district.unit_changed", "must_decide", "a", ""),
        Finding("district.unit_changed", "must_decide", "b", ""),
        Finding("district.volume_changed", "review", "c", ""),
        Finding("district.unit_changed", "info", "d", ""),
        Finding("delivery.refused_rows", "review", "d", ""),
    ]
    rules = ["district.unit_changed", "district.stuck_value", "district.volume_changed"]
    score = scored_districts(findings, truth, ["a", "b", "c", "d"], rules)
    assert score.found == {"district.unit_changed": 1}
    assert score.as_another == {"district.stuck_value": 1}
    assert score.for_nothing == {"district.volume_changed": 1}
    assert (score.faultless, score.flagged) == (2, 1)
