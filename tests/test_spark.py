"""A year computed on Spark is the year computed on DuckDB.

Belongs here: whole runs with ``engine: spark``, on a real Spark with two workers. Does not belong here: what the tables mean.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from whole_runs import ROOT, annual_billing, bill_file_bytes

YEAR = 2019
OF_A_TEST = {
    # The master that Spark's own tests use: two workers, each with an executor in a process of its own.
    "spark.master": "local-cluster[2,1,1024]",
    "spark.executor.memory": "1g",
    # What is small takes longer to be made fast than to be computed.
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.codegen.wholeStage": False,
    "spark.sql.adaptive.enabled": False,
    "spark.sql.shuffle.partitions": 2,
    "spark.driver.extraJavaOptions": "-Xss32m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}


def run(folder: Path, year: int, timeout: float, **variables: str) -> None:
    ran = annual_billing("run", year, "--workspace", folder, timeout=timeout, **variables)
    assert ran.code == 0, ran.out + ran.err


@pytest.fixture(scope="module")
def small_utility(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One district whose meters have registers, multipliers and credits; 120 services, many of them with irregular use. Tests copy it."""
    folder = tmp_path_factory.mktemp("small_utility") / "ws"
    source = ROOT / "data" / "sample"
    (folder / "districts").mkdir(parents=True)
    shutil.copy(source / "districts" / "gorse_hollow.yaml", folder / "districts")
    shutil.copy(source / "workspace.yaml", folder)
    (folder / "simulation.yaml").write_text('accounts: 120\nseed: 3\nirregular_percent: "2"\n', encoding="utf-8")
    made = annual_billing("simulate", folder)
    assert made.code == 0, made.err
    return folder


def copied(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target, symlinks=True))


def on_spark(folder: Path, **properties: Any) -> None:
    """Let the workspace's stages be computed on Spark."""
    file = folder / "workspace.yaml"
    said = yaml.safe_dump({"engine": "spark", "spark": properties})
    file.write_text(f"{file.read_text(encoding='utf-8')}\n{said}", encoding="utf-8")


def slices(folder: Path) -> dict[str, Path]:
    """Every slice of the year in the store."""
    store = folder / "work" / "store"
    return {str(p.relative_to(store)): p for p in sorted(store.glob(f"*/{YEAR}/*.parquet"))}


def rows(path: Path) -> tuple[list[tuple[Any, ...]], Counter[tuple[Any, ...]]]:
    """Columns with their types, and each row with the times it stands there."""
    read = duckdb.read_parquet(str(path))
    return list(zip(read.columns, map(str, read.types), strict=True)), Counter(read.fetchall())


def happened(log: Path) -> Counter[str]:
    """How many events of each kind Spark itself wrote down."""
    (file,) = (p for p in log.rglob("*") if p.is_file() and p.suffix != ".crc")
    return Counter(json.loads(line)["Event"] for line in file.read_text(encoding="utf-8").splitlines())


@pytest.mark.usefixtures("java")
def test_every_table_and_every_byte_of_a_bill_file_is_the_same_on_spark_with_two_workers(
    small_utility: Path, tmp_path: Path
) -> None:
    one = copied(small_utility, tmp_path / "on_duckdb")
    run(one, YEAR - 1, timeout=300)
    other = copied(one, tmp_path / "on_spark")
    log = tmp_path / "log"
    log.mkdir()
    written_down: dict[str, Any] = {
        "spark.eventLog.enabled": True, "spark.eventLog.dir": log.as_uri(), "spark.eventLog.rolling.enabled": False,
        "spark.eventLog.compress": False,
    }  # fmt: skip
    on_spark(other, **OF_A_TEST, **written_down)

    run(one, YEAR, timeout=300)
    run(other, YEAR, timeout=1200)

    found = happened(log)
    assert found["SparkListenerExecutorAdded"] == 2
    assert found["SparkListenerJobStart"] > 100
    theirs = slices(other)
    assert slices(one).keys() == theirs.keys()
    for name, path in slices(one).items():
        assert rows(theirs[name]) == rows(path), name
    assert bill_file_bytes(other, YEAR) == bill_file_bytes(one, YEAR)


@pytest.mark.usefixtures("java")
def test_a_property_that_would_change_what_an_expression_means_is_refused_in_a_sentence(
    small_utility: Path, tmp_path: Path
) -> None:
    folder = copied(small_utility, tmp_path / "ws")
    on_spark(folder, **{"spark.sql.ansi.enabled": False})
    ran = annual_billing("run", YEAR, "--workspace", folder)
    assert ran.code != 0
    assert "key spark" in ran.out + ran.err
    assert "spark.sql.ansi.enabled does" in ran.out + ran.err


def test_without_java_spark_is_refused_in_a_sentence_before_anything_is_made(
    small_utility: Path, tmp_path: Path
) -> None:
    folder = copied(small_utility, tmp_path / "ws")
    on_spark(folder)
    ran = annual_billing("run", YEAR, "--workspace", folder, JAVA_HOME=str(tmp_path / "nothing"))
    assert ran.code != 0
    assert "workspace.yaml: key engine: 'spark' is not allowed, because " in ran.out + ran.err
    assert not (folder / "work" / "store").exists()
