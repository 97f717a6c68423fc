"""The policy on adjustments: the file that ships, a utility's own, mistakes in it.

Belongs here: which file holds and what it may say. Does not belong here: entries that break it (the assets' tests).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml

from rate_tables.adjustment_policy import COMMON, FOLDER, policy_in_force
from rate_tables.config_file import ConfigError

DAY = dt.date(2019, 7, 1)
SHIPPED_FILE = COMMON / "2012-07-01.yaml"


def own(tmp_path: Path, effective: str = "2019-07-01", **changes: Any) -> Path:
    """A utility's folder with a policy of its own: the common one with ``changes``."""
    content = yaml.safe_load(SHIPPED_FILE.read_text(encoding="utf-8")) | {"effective": dt.date.fromisoformat(effective)}
    folder = tmp_path / "rate_tables" / "our_city"
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(content | changes, sort_keys=False)
    (folder / FOLDER / f"{effective}.yaml").write_text(text, encoding="utf-8")
    return folder


def test_the_common_policy_holds_for_a_utility_without_one_and_names_its_sources(tmp_path: Path) -> None:
    found = policy_in_force([tmp_path / "nobody"], DAY)
    assert found.file == f"rate_tables/{FOLDER}/common/2012-07-01.yaml"
    assert (found.rules.once_in_years, found.rules.years_looked_back) == ({"leak": 3, "pool": 1}, 3)
    assert policy_in_force([], dt.date(1999, 7, 1)).file == found.file


def test_a_utilitys_own_policy_goes_first_and_the_latest_that_has_begun_holds(tmp_path: Path) -> None:
    later = {"pool": {"once_in_years": {"value": 5, "source": "a resolution"}}}
    folder = own(tmp_path)
    own(tmp_path, "2021-07-01", **later)
    looked_back = [policy_in_force([folder], day).rules.years_looked_back for day in (DAY, dt.date(2022, 7, 1))]
    assert looked_back == [3, 5]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"pool": {"once_in_years": {"value": 0, "source": "a resolution"}}},
            "key pool.once_in_years.value: 0 is not allowed",
        ),
        ({"pool": {"once_in_years": {"value": 1}}}, "key pool.once_in_years.source: this key is required"),
        (
            {"kinds_that_expire": {"value": ["leaks"], "source": "a resolution"}},
            "'leaks' is not allowed; allowed: 'leak', 'evaporation'",
        ),
        ({"sewer": 1}, "key sewer: this key is not known"),
    ],
    ids=["out of range", "no source", "no such kind", "unknown key"],
)
def test_a_mistake_in_it_is_one_sentence_with_file_line_key_and_what_is_allowed(
    tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        policy_in_force([own(tmp_path, **change)], DAY)
    assert str(refused.value).startswith(f"rate_tables/our_city/{FOLDER}/2019-07-01.yaml, line ")
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_called_after_another_day_is_refused(tmp_path: Path) -> None:
    folder = own(tmp_path)
    (folder / FOLDER / "2019-07-01.yaml").rename(folder / FOLDER / "2020-07-01.yaml")
    with pytest.raises(ConfigError, match=r"the file must be called 2019-07-01\.yaml"):
        policy_in_force([folder], DAY)
