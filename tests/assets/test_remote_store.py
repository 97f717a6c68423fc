"""A year whose store lies in a bucket: the same tables and bill files, whole at any moment, and one sentence where it cannot be reached.

Belongs here: whole runs and single slices on an S3 server that is really started. Does not belong here: the store on this machine (``test_store``).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import ibis.expr.types as ir
import pytest
from contract_rows import row, table_of
from releasable import YEAR, made_anew
from servers import certificates, free_port, s3_store
from whole_runs import annual_billing, bill_file_bytes, table_hashes

from assets.engine import connected
from assets.remote_store import RemoteStore
from rate_tables.config_file import ConfigError
from validations.tables import CLASS_AVERAGES

BUCKET = "utility"
LOCATION = f"s3://{BUCKET}/annual/store"


@dataclass
class Bucket:
    """A bucket, and what a process needs in its environment to reach it."""

    s3: Any
    variables: dict[str, str]

    def objects(self) -> dict[str, tuple[str, object]]:
        """Name -> its tag and when it was put there."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {one["Key"]: (one["ETag"], one["LastModified"]) for page in pages for one in page.get("Contents", [])}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    authority, served = certificates(tmp_path_factory.mktemp("certificates"))
    with s3_store(served, tmp_path_factory.mktemp("store") / "log") as port:
        variables = {
            "AWS_ENDPOINT_URL": f"https://127.0.0.1:{port}", "AWS_CA_BUNDLE": str(authority), "AWS_ACCESS_KEY_ID": "an-id",
            "AWS_SECRET_ACCESS_KEY": "a-secret", "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip
        s3 = boto3.client(
            "s3", endpoint_url=variables["AWS_ENDPOINT_URL"], verify=str(authority), region_name="us-east-1",
            aws_access_key_id="an-id", aws_secret_access_key="a-secret",
        )  # fmt: skip
        s3.create_bucket(Bucket=BUCKET)
        yield Bucket(s3, variables)


@pytest.fixture
def reached(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """The bucket, reached from this process."""
    for name, value in bucket.variables.items():
        monkeypatch.setenv(name, value)
    return bucket


def with_store(folder: Path, location: str) -> Path:
    with (folder / "workspace.yaml").open("a", encoding="utf-8") as file:
        file.write(f"store: {location}\n")
    return folder


def test_promise_3_a_year_whose_store_lies_in_a_bucket_gives_every_table_and_byte_and_its_copies_here_may_be_lost(
    undecided: Path, bucket: Bucket, tmp_path: Path
) -> None:
    folder = with_store(made_anew(undecided, tmp_path / "ws"), LOCATION)
    ran = annual_billing("run", YEAR, "--workspace", folder, **bucket.variables)
    assert ran.code == 0, ran.out + ran.err
    assert table_hashes(folder) == table_hashes(undecided)
    assert bill_file_bytes(folder, YEAR) == bill_file_bytes(undecided, YEAR)
    local = {f"annual/store/{p.relative_to(undecided / 'work' / 'store')}" for p in undecided.glob("work/store/*/*/*.parquet")}  # fmt: skip
    there = bucket.objects()
    assert there.keys() == local

    shutil.rmtree(folder / "work" / "store")
    again = annual_billing("run", YEAR, "--workspace", folder, **bucket.variables)
    assert again.code == 0, again.out + again.err
    # Drafts of bill files are written by every run.
    changed = {name for name, state in bucket.objects().items() if state != there[name]}
    assert {name.split("/")[2] for name in changed} <= {"bill_files"}
    assert table_hashes(folder) == table_hashes(undecided)


def average(thousandths: int) -> ir.Table:
    return table_of(
        CLASS_AVERAGES, row(CLASS_AVERAGES, class_key="a", services=3, class_average_thousandths=thousandths)
    )


def stored(folder: Path, location: str) -> tuple[RemoteStore, list[int]]:
    """The store as whoever opens it now finds it, and the averages in it."""
    store = RemoteStore(folder, connected(keeps_sql=False), location)
    rows = store.con.to_pyarrow(store.read(CLASS_AVERAGES, YEAR, ["all"])).to_pylist()
    return store, [one["class_average_thousandths"] for one in rows]


def test_promise_5_a_slice_that_could_not_be_put_leaves_the_old_one_there_and_here(
    reached: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = f"s3://{BUCKET}/refused"
    store, none = stored(tmp_path / "one", location)
    assert none == []
    store.write(CLASS_AVERAGES, YEAR, "all", average(5), "v1")
    with monkeypatch.context() as broken:
        broken.setattr(store._files, "put_file", lambda *_: (_ for _ in ()).throw(OSError("503 Slow Down")))
        with pytest.raises(
            ConfigError, match=r"workspace\.yaml: store: .* cannot be written to \(503 Slow Down\); allowed: "
        ):
            store.write(CLASS_AVERAGES, YEAR, "all", average(6), "v2")
    for folder in ("one", "another"):
        assert stored(tmp_path / folder, location)[1] == [5]
        assert store.version(CLASS_AVERAGES, YEAR, "all") == "v1"


def test_promise_5_a_copy_is_read_only_as_long_as_it_is_what_lies_there(reached: Bucket, tmp_path: Path) -> None:
    location = f"s3://{BUCKET}/copies"
    ours, _ = stored(tmp_path / "ours", location)
    ours.write(CLASS_AVERAGES, YEAR, "all", average(5), "v1")
    theirs, seen = stored(tmp_path / "theirs", location)
    assert seen == [5]
    theirs.write(CLASS_AVERAGES, YEAR, "all", average(7), "v2")
    assert stored(tmp_path / "ours", location)[1] == [7]
    # Killed after a slice was put there, before it took its place here.
    path = theirs.path(CLASS_AVERAGES, YEAR, "all")
    other, _ = stored(tmp_path / "other", location)
    other.write(CLASS_AVERAGES, YEAR, "x", average(9), "v3")
    theirs._in_place(other.path(CLASS_AVERAGES, YEAR, "x"), path)
    assert stored(tmp_path / "theirs", location)[1] == [9]
    other.drop(CLASS_AVERAGES, YEAR, "x")
    assert [opened.slices(CLASS_AVERAGES, YEAR) for opened in (other, stored(tmp_path / "a third", location)[0])] == [
        ["all"]
    ] * 2
    reached.s3.delete_object(Bucket=BUCKET, Key=f"copies/class_averages/{YEAR}/all.parquet")
    assert stored(tmp_path / "theirs", location)[1] == []


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("s3://another-bucket-than-ours/store", "cannot be listed|cannot be written to"),
        ("nowhere://bucket/store", "cannot be listed"),
    ],
)
def test_a_store_that_cannot_be_reached_is_one_sentence(
    location: str, said: str, undecided: Path, bucket: Bucket, tmp_path: Path
) -> None:
    folder = with_store(made_anew(undecided, tmp_path / "ws"), location)
    ran = annual_billing("run", YEAR, "--workspace", folder, **bucket.variables)
    assert ran.code in (1, 2)
    told = ran.out + ran.err
    assert "Traceback" not in told
    assert f"workspace.yaml: store: {location} cannot" in " ".join(told.split())


def test_a_server_that_does_not_answer_is_one_sentence(undecided: Path, bucket: Bucket, tmp_path: Path) -> None:
    folder = with_store(made_anew(undecided, tmp_path / "ws"), LOCATION)
    gone = bucket.variables | {"AWS_ENDPOINT_URL": f"https://127.0.0.1:{free_port()}", "AWS_MAX_ATTEMPTS": "1"}
    ran = annual_billing("run", YEAR, "--workspace", folder, **gone)
    assert ran.code in (1, 2)
    assert "Traceback" not in ran.out + ran.err
    assert f"workspace.yaml: store: {LOCATION} cannot be listed" in " ".join((ran.out + ran.err).split())


def test_a_store_that_is_no_location_is_refused_with_what_is_allowed(undecided: Path, tmp_path: Path) -> None:
    folder = with_store(made_anew(undecided, tmp_path / "ws"), "s3://key:secret@bucket/store")
    ran = annual_billing("run", YEAR, "--workspace", folder)
    assert ran.code == 2
    assert (
        "key store: 's3://key:secret@bucket/store' is not allowed; allowed: a location such as s3://bucket/folder"
        in ran.err
    )
