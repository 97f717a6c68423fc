"""The limits of the rules of review: the file that ships, a utility's own, mistakes in it.

Belongs here: which file holds and what it may say. Does not belong here: what is found with it (the rules' tests).
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from rate_tables.config_file import ConfigError
from rate_tables.review_limits import COMMON, FOLDER, limits_in_force

DAY = dt.date(2019, 7, 1)
SHIPPED = yaml.safe_load((COMMON / "2012-07-01.yaml").read_text(encoding="utf-8"))


def own(workspace: Path, effective: str = "2019-07-01", **changes: Any) -> Path:
    """A utility's folder with limits of its own: the common ones with ``changes``; one that is None is taken out."""
    content = SHIPPED | {"effective": dt.date.fromisoformat(effective)} | changes
    folder = workspace / "rate_tables" / "our_city"
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({key: value for key, value in content.items() if value is not None}, sort_keys=False)
    (folder / FOLDER / f"{effective}.yaml").write_text(text, encoding="utf-8")
    return folder


def cited(value: Any) -> dict[str, Any]:
    return {"value": value, "source": "a resolution"}


def bands(*pairs: tuple[str | None, str]) -> dict[str, Any]:
    return cited([{"up_to_ccf_a_month": up_to, "times": times} for up_to, times in pairs])


def test_the_common_limits_hold_for_a_utility_without_any_in_every_year(tmp_path: Path) -> None:
    found = limits_in_force([tmp_path / "nobody"], DAY)
    assert found.file == f"rate_tables/{FOLDER}/common/2012-07-01.yaml"
    assert limits_in_force([], dt.date(1999, 7, 1)) == found


def test_the_workspaces_own_limits_go_first_and_the_latest_that_have_begun_hold(tmp_path: Path) -> None:
    workspace, shipped = own(tmp_path / "workspace", gap_days=cited(5)), own(tmp_path / "shipped", gap_days=cited(6))
    own(tmp_path / "workspace", "2021-07-01", gap_days=cited(7))
    days = [dt.date(2018, 7, 1), DAY, dt.date(2021, 6, 30), dt.date(2021, 7, 1)]
    assert [limits_in_force([workspace, shipped], day).rules.gap_days.value for day in days] == [5, 5, 5, 7]
    assert limits_in_force([tmp_path / "nobody", shipped], DAY).rules.gap_days.value == 6


def test_another_limit_is_another_version_of_the_file(tmp_path: Path) -> None:
    before, after = (limits_in_force([own(tmp_path, vacant_share=cited(s))], DAY) for s in ("0.25", "0.26"))
    assert before.content_hash != after.content_hash
    assert after.rules.vacant_share.value == Decimal("0.26")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tolerance": bands(("6", "3"), ("3", "2"), (None, "2"))}, "bands with rising up_to_ccf_a_month, the last one null"),
        ({"tolerance": bands(("3", "3"), ("6", "2"))}, "bands with rising up_to_ccf_a_month, the last one null"),
        ({"tolerance": bands(("3", "2"), (None, "3"))}, "times that fall, or stay, as the use grows"),
        ({"tolerance": bands(("3", "2"), (None, "1"))}, "key tolerance.value.1.times: '1' is not allowed; input should be greater than 1"),
        ({"tolerance": cited([])}, "key tolerance"),
        ({"stuck_share": cited("1.01")}, "key stuck_share.value: '1.01' is not allowed; input should be less than or equal to 1"),
        ({"gap_days": {"value": 10}}, "key gap_days.source: this key is required"),
        ({"gap_days": cited(0)}, "key gap_days.value: 0 is not allowed"),
        ({"slip_to": cited(15.1)}, "key slip_to.value"),
        ({"rising_periods": None}, "key rising_periods: this key is required"),
        ({"zero_day": cited(80)}, "key zero_day: this key is not known"),
    ],
    ids=[
        "bands out of order", "no last band", "times that rise", "times of one", "no bands", "share beyond one", "no source",
        "out of range", "no exact figure", "key missing", "unknown key",
    ],
)  # fmt: skip
def test_a_mistake_in_it_is_one_sentence_with_file_line_key_and_what_is_allowed(
    tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        limits_in_force([own(tmp_path, **change)], DAY)
    assert str(refused.value).startswith(f"rate_tables/our_city/{FOLDER}/2019-07-01.yaml, line ")
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert str(refused.value).count("is not allowed") <= 1


def test_a_file_called_after_another_day_is_refused(tmp_path: Path) -> None:
    folder = own(tmp_path)
    (folder / FOLDER / "2019-07-01.yaml").rename(folder / FOLDER / "2020-07-01.yaml")
    with pytest.raises(ConfigError, match=r"the file must be called 2019-07-01\.yaml"):
        limits_in_force([folder], DAY)
