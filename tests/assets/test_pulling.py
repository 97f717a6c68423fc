"""Pulling from real servers: what breaks off is gone on with, what is not to be trusted is a sentence, no secret gets out.

Belongs here: SFTP, https and S3, each against a server that the test starts. Does not belong here: folders, zips, versions
(``test_deliveries``).
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from front_door_helpers import copy_of_workspace, entry_of
from servers import (
    SSHD,
    CuttingProxy,
    HttpsServer,
    Sshd,
    basic,
    certificates,
    https_server,
    password_sftp,
    s3_store,
    sshd,
)
from whole_runs import ROOT, annual_billing, query, tiny_workspace

from assets.deliveries import archived, receive
from assets.pulling.location import Patience
from validations.district import District
from validations.workspace import Workspace

YEAR = 2018
Rows = list[dict[str, Any]]
BIG = os.urandom(3_000_000)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return copy_of_workspace(tmp_path / "workspace")


def district(source: dict[str, Any], **changes: Any) -> District:
    return entry_of("alder_creek", source=source, **changes)


def pulled(workspace: Workspace, entry: District, **patience: Any) -> Rows:
    """Rows of the delivery, after few and short waits; content that was taken is whole in the archive."""
    rows = receive(workspace, YEAR, entry, Patience(**{"attempts": 3, "first_wait_seconds": 0.01} | patience))
    for row in rows:
        if row["content_hash"]:
            content = archived(workspace.archive, row["content_hash"]).read_bytes()
            assert (hashlib.sha256(content).hexdigest(), len(content)) == (row["content_hash"], row["bytes"])
    return rows


def told(rows: Rows) -> list[tuple[str, str, str]]:
    return [(row["source_file"], row["status"], row["message"]) for row in rows]


def states(rows: Rows) -> list[tuple[str, str]]:
    return [(row["source_file"], row["status"]) for row in rows]


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def parts(workspace: Workspace) -> list[Path]:
    return list(workspace.parts.glob("*")) if workspace.parts.exists() else []


# --- SFTP ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if not SSHD.exists():
        if os.environ.get("ANNUAL_BILLING_REQUIRE_SSHD"):
            raise AssertionError("no sshd on this computer; .ci/run installs one")
        pytest.skip("no sshd on this computer; .ci/run installs one")
    with sshd(tmp_path_factory.mktemp("ssh") / "server") as server:
        yield server


@pytest.fixture
def outbox(ssh: Sshd, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A folder of this test's own on the server, and the variable that lets it in."""
    monkeypatch.setenv("ALDER_KEY", ssh.user_key)
    folder = ssh.root / str(abs(hash(request.node.name))) / str(YEAR)
    folder.mkdir(parents=True)
    return folder


def sftp(ssh: Sshd, outbox: Path, port: int | None = None, **changes: Any) -> dict[str, Any]:
    source = {
        "kind": "sftp", "host": "127.0.0.1", "port": port or ssh.port, "user": ssh.user,
        "path": str(outbox.parent / "{year}"), "host_keys": [ssh.host_key], "private_key_variable": "ALDER_KEY",
    } | changes  # fmt: skip
    return {key: value for key, value in source.items() if value is not None}


def test_files_of_an_sftp_server_are_pulled_and_pulled_again_only_if_they_changed(
    workspace: Workspace, ssh: Sshd, outbox: Path
) -> None:
    (outbox / "a.csv").write_bytes(BIG)
    (outbox / "notes.txt").write_bytes(b"no")
    (outbox / "folder.csv").mkdir()
    (outbox / "link.csv").symlink_to("a.csv")
    long_ago = time.time() - 1_000
    os.utime(outbox / "a.csv", (long_ago, long_ago))
    proxy = CuttingProxy(ssh.port)
    entry = district(sftp(ssh, outbox, proxy.port))
    expected = [("a.csv", "current"), ("link.csv", "same_content")]
    assert states(pulled(workspace, entry)) == expected
    assert proxy.bytes_from_server > len(BIG)
    before = proxy.bytes_from_server
    assert states(pulled(workspace, entry)) == expected
    assert proxy.bytes_from_server - before < 50_000, "what has not changed is not brought over again"
    (outbox / "a.csv").write_bytes(b"changed")
    assert states(pulled(workspace, entry)) == [
        ("a.csv", "superseded"), ("link.csv", "superseded"), ("a.csv", "current"), ("link.csv", "same_content"),
    ]  # fmt: skip
    proxy.close()


def test_a_broken_sftp_connection_is_gone_on_with(workspace: Workspace, ssh: Sshd, outbox: Path) -> None:
    (outbox / "a.csv").write_bytes(BIG)
    proxy = CuttingProxy(ssh.port, cuts=[1_500_000, 2_000, 1_300_000])
    rows = pulled(workspace, district(sftp(ssh, outbox, proxy.port)))
    assert told(rows) == [("a.csv", "current", "read")]
    assert proxy.connections == 4
    assert proxy.bytes_from_server < 1.5 * len(BIG), "what had come is not brought over again"
    assert parts(workspace) == []
    proxy.close()


def test_the_next_run_goes_on_from_what_came_unless_the_file_has_changed(
    workspace: Workspace, ssh: Sshd, outbox: Path
) -> None:
    (outbox / "a.csv").write_bytes(BIG)
    os.utime(outbox / "a.csv", (1, 1))
    proxy = CuttingProxy(ssh.port, cuts=[2_500_000, 100, 100, 100])
    entry = district(sftp(ssh, outbox, proxy.port))
    (row, nothing) = pulled(workspace, entry)
    assert (row["source_file"], row["status"]) == ("a.csv", "not_pulled")
    assert row["message"].startswith("the connection to 127.0.0.1 failed (")
    assert nothing["status"] == "not_received"
    (part,) = parts(workspace)
    assert part.stat().st_size >= 1_000_000
    proxy.cuts, before = [], proxy.bytes_from_server
    assert states(pulled(workspace, entry)) == [("a.csv", "current")]
    assert proxy.bytes_from_server - before < 2_200_000
    assert parts(workspace) == []

    changed = os.urandom(len(BIG))
    (outbox / "b.csv").write_bytes(BIG[::-1])
    proxy.cuts = [2_500_000, 100, 100, 100]
    assert ("b.csv", "not_pulled") in states(pulled(workspace, entry))
    (outbox / "b.csv").write_bytes(changed)
    os.utime(outbox / "b.csv", (2, 2))
    proxy.cuts = []
    rows = pulled(workspace, entry)
    assert ("b.csv", "current") in states(rows)
    assert sha(changed) in {row["content_hash"] for row in rows}
    assert parts(workspace) == []
    proxy.close()


def test_a_file_that_grows_on_the_server_while_it_is_pulled_is_not_taken(
    workspace: Workspace, ssh: Sshd, outbox: Path
) -> None:
    path = outbox / "a.csv"
    path.write_bytes(BIG * 4)
    writer = subprocess.Popen(
        [sys.executable, "-c", f"f = open({str(path)!r}, 'ab', buffering=0)\nwhile True: f.write(b'more')"]
    )
    try:
        rows = pulled(workspace, district(sftp(ssh, outbox)))
    finally:
        writer.kill()
        writer.wait()
    assert told(rows)[0] == ("a.csv", "still_being_written", "still being written; run again")
    assert [row["status"] for row in pulled(workspace, district(sftp(ssh, outbox)))] == ["current"]


def test_another_content_of_the_same_size_within_the_same_second_is_noticed(
    workspace: Workspace, ssh: Sshd, outbox: Path
) -> None:
    second = int(time.time())
    for content in (b"one", b"two"):
        (outbox / "a.csv").write_bytes(content)
        os.utime(outbox / "a.csv", (second, second))
        rows = pulled(workspace, district(sftp(ssh, outbox)))
    assert [(row["content_hash"], row["status"]) for row in rows] == [
        (sha(b"one"), "superseded"),
        (sha(b"two"), "current"),
    ]


def test_a_server_with_another_host_key_is_told_nothing(workspace: Workspace, ssh: Sshd, outbox: Path) -> None:
    (outbox / "a.csv").write_bytes(b"one")
    seen = len(ssh.log.read_text())
    (row,) = pulled(workspace, district(sftp(ssh, outbox, host_keys=[ssh.other_key])))
    fingerprint = subprocess.run(
        ["ssh-keygen", "-l", "-f", "-"], input=ssh.host_key, capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert told([row]) == [
        ("", "not_received", f"the server 127.0.0.1 shows a host key that is not the pinned one ({fingerprint}); nothing was "
         "sent to it, ask the district whether its key has changed")
    ]  # fmt: skip
    assert "Accepted" not in ssh.log.read_text()[seen:]
    # Only the key counts, not what the computer's own user trusts.
    (workspace.folder / "known_hosts").write_text(f"[127.0.0.1]:{ssh.port} {ssh.other_key}\n")
    entry = district(sftp(ssh, outbox, host_keys=None, known_hosts="known_hosts"))
    assert "host key that is not the pinned one" in pulled(workspace, entry)[0]["message"]
    (workspace.folder / "known_hosts").write_text(f"[127.0.0.1]:{ssh.port} {ssh.host_key}\n")
    assert states(pulled(workspace, entry)) == [("a.csv", "current")]


def test_what_is_wrong_with_an_sftp_source_is_a_sentence(
    workspace: Workspace, ssh: Sshd, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(**changes: Any) -> str:
        (row,) = pulled(workspace, district(sftp(ssh, outbox, **changes)))
        assert row["status"] == "not_received"
        return str(row["message"])

    assert said(private_key_variable="NOT_SET") == (
        "the environment variable NOT_SET is not set; source.private_key_variable of the district's entry names it"
    )
    monkeypatch.setenv("NO_KEY", "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret-nonsense\n")
    assert "NO_KEY holds neither a private key nor the path" in said(private_key_variable="NO_KEY")
    monkeypatch.setenv("A_PASSWORD", "secret-password")
    refused = said(private_key_variable=None, password_variable="A_PASSWORD")
    assert refused == f"the server 127.0.0.1 refused the login of {ssh.user}"
    assert said(known_hosts="nowhere", host_keys=None) == (
        "nowhere is no file of the workspace; source.known_hosts of the district's entry names it"
    )
    assert said(path="/nothing/{year}") == "no file *.csv was found; ask billing@alder-creek.example"
    assert said(port=1) == "the connection to 127.0.0.1 failed (ConnectionRefusedError); tried 3 times"


def test_a_key_with_a_passphrase_and_a_password_let_in(
    workspace: Workspace, ssh: Sshd, outbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (outbox / "a.csv").write_bytes(b"one")
    key = tmp_path / "key"
    key.write_text(ssh.user_key)
    key.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "open sesame", "-f", str(key)], check=True)
    monkeypatch.setenv("KEY_FILE", str(key))
    monkeypatch.setenv("PHRASE", "open sesame")
    entry = district(sftp(ssh, outbox, private_key_variable="KEY_FILE", passphrase_variable="PHRASE"))
    assert states(pulled(workspace, entry)) == [("a.csv", "current")]
    with password_sftp(tmp_path / "other", "alder", "correct horse") as (port, host_key):
        served = tmp_path / "other" / "served" / str(YEAR)
        served.mkdir()
        (served / "b.csv").write_bytes(b"two")
        monkeypatch.setenv("PASSWORD", "correct horse")
        source = {"kind": "sftp", "host": "localhost", "port": port, "user": "alder", "path": "/{year}",
                  "host_keys": [host_key], "password_variable": "PASSWORD"}  # fmt: skip
        assert ("b.csv", "current") in states(pulled(workspace, district(source)))
        monkeypatch.setenv("PASSWORD", "wrong horse")
        assert pulled(workspace, district(source))[-1]["message"].startswith(
            "the server localhost refused the login of alder; what was received before is read"
        )


def test_hostile_names_on_a_server_are_shown_safely(workspace: Workspace, ssh: Sshd, outbox: Path) -> None:
    for number, name in enumerate((b"caf\xe9.csv", b"=a.csv", b"\x1b[31m.csv", b"[a]*.csv")):
        (Path(os.fsdecode(os.fsencode(outbox) + b"/" + name))).write_bytes(b"x" * number)
    rows = pulled(workspace, district(sftp(ssh, outbox)))
    assert sorted(states(rows)) == [(n, "current") for n in ("%1B[31m.csv", "%3Da.csv", "[a]*.csv", "caf%E9.csv")]


# --- https -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def web(certificate: tuple[Path, Path], workspace: Workspace) -> Iterator[HttpsServer]:
    (workspace.folder / "authority.pem").write_bytes(certificate[0].read_bytes())
    with https_server(certificate[1]) as server:
        yield server


def https(port: int, content: bytes | None = None, **changes: Any) -> dict[str, Any]:
    one: dict[str, Any] = {"url": f"https://127.0.0.1:{port}/{{year}}/a.csv"}
    one |= {"sha256": {YEAR: sha(content)}} if content is not None else {"sha256_url": one["url"] + ".sha256"}
    source = {"kind": "https", "downloads": [one], "ca_file": "authority.pem"} | changes
    return {key: value for key, value in source.items() if value is not None}


def test_a_download_is_taken_if_its_hash_is_the_announced_one(workspace: Workspace, web: HttpsServer) -> None:
    web.files["/2018/a.csv"] = BIG
    assert told(pulled(workspace, district(https(web.port, BIG)))) == [("a.csv", "current", "read")]
    gets = [r for r in web.requests if r[0] == "GET"]
    assert states(pulled(workspace, district(https(web.port, BIG)))) == [("a.csv", "current")]
    assert [r for r in web.requests if r[0] == "GET"] == gets, "what is in the archive is not brought over again"
    web.files["/2018/a.csv"] = BIG[:-1] + b"?"
    entry = district(https(web.port))
    assert "/2018/a.csv.sha256 is not there (404)" in pulled(workspace, entry)[-1]["message"]
    for text in (f"{sha(BIG)}  b.csv\n{sha(b'?')} *out/a.csv\n", sha(b"?"), "nonsense"):
        web.files["/2018/a.csv.sha256"] = text.encode()
        row = next(r for r in pulled(workspace, entry) if r["status"] in ("refused", "not_received"))
        assert "its SHA-256 is " in row["message"] or "holds no SHA-256 of a.csv" in row["message"]
    web.files["/2018/a.csv.sha256"] = f"{sha(web.files['/2018/a.csv'])}  a.csv\n".encode()
    assert states(pulled(workspace, entry)) == [("a.csv", "superseded"), ("a.csv", "current")]
    assert parts(workspace) == []


@pytest.mark.parametrize("speaks", ["ranges and tags", "ranges", "nothing", "no length"])
def test_a_broken_download_is_gone_on_with_or_begun_anew(workspace: Workspace, web: HttpsServer, speaks: str) -> None:
    web.files["/2018/a.csv"] = BIG
    web.says_tag, web.ranges = speaks == "ranges and tags", speaks != "nothing"
    web.says_length = speaks != "no length"
    proxy = CuttingProxy(web.port, cuts=[10_000, 1_500_000] if speaks != "no length" else [])
    assert told(pulled(workspace, district(https(proxy.port, BIG)))) == [("a.csv", "current", "read")]
    ranges = [r[2].get("range") for r in web.requests if r[0] == "GET"]
    assert len(ranges) == (1 if speaks == "no length" else 2)
    assert ("if-range" in web.requests[-1][2]) == (speaks == "ranges and tags")
    if speaks.startswith("ranges"):
        assert proxy.bytes_from_server < 1.2 * len(BIG)
    proxy.close()


def test_a_download_that_changed_meanwhile_is_begun_anew(workspace: Workspace, web: HttpsServer) -> None:
    web.files["/2018/a.csv"] = BIG
    proxy = CuttingProxy(web.port, cuts=[10_000, 1_500_000, 10, 10, 10])
    entry = district(https(proxy.port, BIG))
    assert states(pulled(workspace, entry)) == [("a.csv", "not_pulled"), ("", "not_received")]
    assert len(parts(workspace)) == 1
    other = BIG[::-1]
    web.files["/2018/a.csv"] = other
    proxy.cuts = []
    rows = pulled(workspace, district(https(proxy.port, other)))
    assert (rows[0]["status"], rows[0]["content_hash"]) == ("current", sha(other))
    assert parts(workspace) == []
    proxy.close()


def test_a_part_that_was_damaged_is_found_out_and_begun_anew(workspace: Workspace, web: HttpsServer) -> None:
    web.files["/2018/a.csv"] = BIG
    proxy = CuttingProxy(web.port, cuts=[10_000, 1_500_000, 10, 10, 10])
    entry = district(https(proxy.port, BIG))
    pulled(workspace, entry)
    (part,) = parts(workspace)
    part.write_bytes(bytes(part.stat().st_size))
    proxy.cuts = []
    assert told(pulled(workspace, entry)) == [("a.csv", "current", "read")]
    proxy.close()


def test_more_than_the_limit_is_stopped_whatever_the_server_says(workspace: Workspace, web: HttpsServer) -> None:
    web.files["/2018/a.csv"] = os.urandom(5_000_000)
    entry = district(https(web.port, BIG), largest_file_mb=1)
    assert told(pulled(workspace, entry))[0] == (
        "a.csv", "refused", "has 5.0 MB, and largest_file_mb allows 1 MB; it is not read",
    )  # fmt: skip
    assert [r for r in web.requests if r[0] == "GET"] == []
    web.says_length = False
    assert told(pulled(workspace, entry))[0] == (
        "a.csv", "refused", "has more than 1 MB, and largest_file_mb allows 1 MB; it is not read",
    )  # fmt: skip
    assert parts(workspace) == []


def test_what_is_wrong_with_an_https_source_is_a_sentence(
    workspace: Workspace, web: HttpsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.files["/2018/a.csv"] = b"one"

    def said(**changes: Any) -> str:
        return str(pulled(workspace, district(https(web.port, b"one", **changes)))[0]["message"])

    url = f"https://127.0.0.1:{web.port}/2018/a.csv"
    assert said(ca_file=None) == "the certificate of 127.0.0.1 is not to be trusted"
    assert "the entry has no SHA-256" in said(
        downloads=[{"url": url.replace("2018", "{year}"), "sha256": {2017: sha(b"")}}]
    ).replace("district's entry", "entry")
    web.authorization = "Bearer good-token"
    assert said() == f"{url} refused the login (401)"
    assert said(bearer_variable="NOT_SET").startswith("the environment variable NOT_SET is not set")
    monkeypatch.setenv("TOKEN", "bad\ntoken")
    assert said(bearer_variable="TOKEN") == (
        "the environment variable TOKEN holds characters that cannot be sent; see source.bearer_variable"
    )
    monkeypatch.setenv("TOKEN", "good-token")
    assert said(bearer_variable="TOKEN") == "read"
    web.authorization = basic("alder", "pa:ss wörd")
    monkeypatch.setenv("PASSWORD", "pa:ss wörd")
    assert said(user="alder", password_variable="PASSWORD") == "read"
    web.answer = lambda *_: (503, {}, b"")
    assert said() == "read", "what came before stays in force"
    assert pulled(workspace, district(https(web.port, b"one")))[1]["message"].startswith(
        f"{url} answered 503; tried 3 times"
    )


def test_credentials_go_to_no_other_server_and_to_no_unencrypted_address(
    workspace: Workspace, web: HttpsServer, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "good-token")
    with https_server(certificate[1]) as other:
        other.files["/elsewhere"] = b"one"
        target = f"https://127.0.0.1:{other.port}/elsewhere"
        web.answer = lambda *_: (302, {"Location": target}, b"")
        entry = district(https(web.port, b"one", bearer_variable="TOKEN"))
        assert states(pulled(workspace, entry)) == [("a.csv", "current")]
        assert all(headers["authorization"] == "Bearer good-token" for *_, headers in web.requests)
        assert other.requests
        assert all("authorization" not in headers for *_, headers in other.requests)
    web.answer = lambda *_: (302, {"Location": "http://127.0.0.1/2018/a.csv"}, b"")
    assert "sends on to an address that is not https" in pulled(workspace, entry)[1]["message"]
    web.answer = lambda *_: (302, {"Location": "/2018/a.csv"}, b"")
    assert "without end" in pulled(workspace, entry)[1]["message"]


def test_the_time_limit_holds_against_a_server_that_drips(workspace: Workspace, web: HttpsServer) -> None:
    web.files["/2018/a.csv"] = BIG
    proxy = CuttingProxy(web.port, cuts=[300_000] * 10_000)
    rows = pulled(workspace, district(https(proxy.port, BIG)), attempts=10_000, limit_minutes=0.005)
    assert rows[0]["status"] in ("current", "not_pulled")
    proxy.cuts = [6_000] * 10_000
    rows = pulled(workspace, district(https(proxy.port, BIG[::-1])), attempts=10_000, limit_minutes=0.005)
    assert "pulling took longer than 0.005 minutes and was broken off" in rows[-1]["message"]
    proxy.close()


# --- S3 --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store_port(certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with s3_store(certificate[1], tmp_path_factory.mktemp("store") / "log") as port:
        yield port


@pytest.fixture
def bucket(
    store_port: int, certificate: tuple[Path, Path], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """An empty bucket ``alder`` and the client that fills it."""
    import boto3

    (workspace.folder / "authority.pem").write_bytes(certificate[0].read_bytes())
    monkeypatch.setenv("ALDER_ACCESS", "access-id")
    monkeypatch.setenv("ALDER_SECRET", "secret-value")
    client = boto3.client(
        "s3", endpoint_url=f"https://127.0.0.1:{store_port}", verify=str(certificate[0]), region_name="us-east-1",
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip
    client.create_bucket(Bucket="alder")
    yield client
    for one in client.list_objects_v2(Bucket="alder").get("Contents", []):
        client.delete_object(Bucket="alder", Key=one["Key"])
    client.delete_bucket(Bucket="alder")


def s3(port: int, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "s3", "bucket": "alder", "prefix": "out/{year}/", "endpoint_url": f"https://127.0.0.1:{port}",
        "access_key_variable": "ALDER_ACCESS", "secret_key_variable": "ALDER_SECRET", "ca_file": "authority.pem",
    } | changes  # fmt: skip


def test_objects_below_the_prefix_are_pulled_whatever_their_keys(
    workspace: Workspace, bucket: Any, store_port: int
) -> None:
    long_key = "x" * 900 + ".csv"
    for key in ("a.csv", "=b.csv", "[c]*.csv", "d\x1b.csv", long_key, "deeper/e.csv", "f.txt", ""):
        bucket.put_object(Bucket="alder", Key=f"out/2018/{key}", Body=key.encode())
    bucket.put_object(Bucket="alder", Key="out/2019/g.csv", Body=b"g")
    rows = pulled(workspace, district(s3(store_port)))
    shown = "x" * 80 + f"...{sha(long_key.encode())[:16]}.csv"
    assert sorted(states(rows)) == [(n, "current") for n in ("%3Db.csv", "[c]*.csv", "a.csv", "d%1B.csv", shown)]


def test_a_listing_with_names_of_10_000_characters_and_a_false_size_is_taken_for_what_it_is(
    workspace: Workspace, web: HttpsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALDER_ACCESS", "access-id")
    monkeypatch.setenv("ALDER_SECRET", "secret-value")
    name = "y" * 10_000 + ".csv"

    def answer(method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if "list-type" not in path:
            if headers["if-match"] != '"1"':
                return 412, {}, b""
            return 200, {"ETag": '"1"'}, b"more than the listing says"
        keys = "".join(
            f'<Contents><Key>out/2018/{key}</Key><Size>{size}</Size><ETag>"{tag}"</ETag></Contents>'
            for key, size, tag in (
                (name, 26, 1), ("small.csv", 3, 1), ("x%2F..%2F..%2Fup.csv", 26, 1), ("huge.csv", 9 * 10**18, 1),
                ("changed.csv", 26, 2),
            )
        )  # fmt: skip
        listing = f"<ListBucketResult><EncodingType>url</EncodingType>{keys}</ListBucketResult>"
        return 200, {"Content-Type": "application/xml"}, listing.encode()

    web.answer = answer
    rows = pulled(workspace, district(s3(web.port)))
    assert sorted(states(rows)) == [
        ("changed.csv", "still_being_written"),
        ("huge.csv", "refused"),
        ("small.csv", "still_being_written"),
        ("x%2F..%2F..%2Fup.csv", "current"),
        ("y" * 80 + f"...{sha(name.encode())[:16]}.csv", "same_content"),
    ]


def test_a_broken_object_is_gone_on_with_and_a_changed_one_begun_anew(
    workspace: Workspace, bucket: Any, store_port: int
) -> None:
    bucket.put_object(Bucket="alder", Key="out/2018/a.csv", Body=BIG)
    proxy = CuttingProxy(store_port, cuts=[1_500_000])
    entry = district(s3(proxy.port))
    assert told(pulled(workspace, entry)) == [("a.csv", "current", "read")]
    assert proxy.bytes_from_server < 1.2 * len(BIG)
    before = proxy.bytes_from_server
    assert states(pulled(workspace, entry)) == [("a.csv", "current")]
    assert proxy.bytes_from_server - before < 50_000

    bucket.put_object(Bucket="alder", Key="out/2018/a.csv", Body=BIG[::-1])
    proxy.cuts = [1_500_000, 10, 10, 10]
    assert states(pulled(workspace, entry)) == [("a.csv", "superseded"), ("a.csv", "not_pulled"), ("", "not_received")]
    bucket.put_object(Bucket="alder", Key="out/2018/a.csv", Body=BIG[1:])
    proxy.cuts = []
    rows = pulled(workspace, entry)
    assert (rows[-1]["status"], rows[-1]["content_hash"]) == ("current", sha(BIG[1:]))
    assert parts(workspace) == []
    proxy.close()


def test_what_is_wrong_with_an_s3_source_is_a_sentence(workspace: Workspace, bucket: Any, store_port: int) -> None:
    def said(**changes: Any) -> str:
        return str(pulled(workspace, district(s3(store_port, **changes), largest_file_mb=1))[0]["message"])

    assert said() == "no file *.csv was found; ask billing@alder-creek.example"
    assert said(bucket="nothing-here") == "there is no bucket nothing-here"
    assert said(secret_key_variable="NOT_SET").startswith("the environment variable NOT_SET is not set")
    assert said(ca_file="missing.pem").startswith("missing.pem is no file of the workspace")
    assert said(endpoint_url="https://127.0.0.1:1").startswith("the connection to the store failed (")
    without = {k: v for k, v in s3(store_port).items() if k != "ca_file"}
    assert pulled(workspace, district(without))[0]["message"] == "the certificate of the store is not to be trusted"
    bucket.put_object(Bucket="alder", Key="out/2018/a.csv", Body=b"x" * 1_000_001)
    assert said() == "has 1.0 MB, and largest_file_mb allows 1 MB; it is not read"


# --- all of them -----------------------------------------------------------------------------------------------------


def test_no_secret_is_in_anything_that_is_made_or_said(
    workspace: Workspace, ssh: Sshd, outbox: Path, web: HttpsServer, bucket: Any, store_port: int,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    secrets = {
        "S_PASSWORD": "sekrit-password-1", "S_TOKEN": "sekrit-token-2", "S_ACCESS": "sekritaccess3",
        "S_SECRET": "sekrit-secret-4", "S_SESSION": "sekrit-session-5", "S_KEY": ssh.user_key, "S_PHRASE": "sekrit-phrase-6",
    }  # fmt: skip
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    caplog.set_level(logging.DEBUG)
    (outbox / "a.csv").write_bytes(b"one")
    web.files["/2018/a.csv"] = b"one"
    bucket.put_object(Bucket="alder", Key="out/2018/a.csv", Body=b"one")
    keyed = {"private_key_variable": "S_KEY"}
    unkeyed = {"private_key_variable": None, "password_variable": "S_PASSWORD"}
    stored = {
        "access_key_variable": "S_ACCESS",
        "secret_key_variable": "S_SECRET",
        "session_token_variable": "S_SESSION",
    }
    sources = [
        sftp(ssh, outbox, **keyed), sftp(ssh, outbox, **unkeyed), sftp(ssh, outbox, **keyed, host_keys=[ssh.other_key]),
        sftp(ssh, outbox, **keyed, passphrase_variable="S_PHRASE"), sftp(ssh, outbox, **keyed, port=1),
        sftp(ssh, outbox, private_key_variable="S_PHRASE"),
        https(web.port, b"one", bearer_variable="S_TOKEN"), https(web.port, b"two", bearer_variable="S_TOKEN"),
        https(web.port, b"one", user="u", password_variable="S_PASSWORD"), https(1, b"one", bearer_variable="S_TOKEN"),
        s3(store_port, **stored), s3(1, **stored), s3(store_port, **stored, bucket="other"),
    ]  # fmt: skip
    said = [str(pulled(workspace, district(source), attempts=2)) for source in sources]
    assert any("current" in text for text in said)
    for text in (f"bad\n{secrets['S_TOKEN']}", f"{secrets['S_TOKEN']}\u2028"):
        monkeypatch.setenv("S_TOKEN", text)
        said.append(str(pulled(workspace, district(https(web.port, b"three", bearer_variable="S_TOKEN")))))
    out, err = capfd.readouterr()
    written = [p.read_bytes() for p in workspace.folder.rglob("*") if p.is_file()]
    everything = b"\0".join([*(s.encode() for s in said), out.encode(), err.encode(), caplog.text.encode(), *written])
    found = {n for n, v in secrets.items() if v.strip().splitlines()[len(v.splitlines()) // 2].encode() in everything}
    found |= {"basic"} if basic("u", secrets["S_PASSWORD"]).split()[1].encode() in everything else set()
    assert found == set()


def test_a_run_goes_on_without_a_district_whose_source_fails_and_no_secret_is_in_what_it_makes(
    tmp_path: Path, ssh: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "sekrit-password-of-a-run"
    monkeypatch.setenv("FAR_PASSWORD", secret)
    history = "Account,Meter,From,To,CCF,Type\n101,M1,2017-11-01,2018-05-01,60,A\n"
    service = "S1,A1,P1,single_family,1,1,1,Tigard,cws,monthly,active,2010-01-01,,2010-01-01,district"
    folder = tiny_workspace(
        tmp_path / "utility [1] *",
        {2018: history},
        {2018: {"sewer_services": [service], "meter_links": ["S1,tiny,101,M1,domestic,1,2010-01-01,"],
                "current_averages": ["S1,5,ccf,2017-07-01"]}},
        years=[2018],
    )  # fmt: skip
    delivered = folder / "deliveries" / "2018" / "tiny" / "history.csv"
    with zipfile.ZipFile(delivered.with_name("history.zip"), "w") as packed:
        packed.write(delivered, "route_1.csv")
    delivered.unlink()
    tiny = (folder / "districts" / "tiny.yaml").read_text()
    (folder / "districts" / "tiny.yaml").write_text(tiny.replace('"*.csv"', '"*.zip"') + 'zip_members: "*.csv"\n')
    (folder / "districts" / "far.yaml").write_text(
        tiny.replace("district: tiny", "district: far")
        + f"source: {{kind: sftp, host: 127.0.0.1, port: {ssh.port}, user: u, "
        "path: '/{year}', known_hosts: known_hosts, password_variable: FAR_PASSWORD}\n"
    )
    (folder / "known_hosts").write_text("")
    ran = annual_billing("run", 2018, "--workspace", folder)
    assert ran.code == 0, ran.out + ran.err
    assert query(folder, "SELECT district_id, source_file, status FROM deliveries ORDER BY ALL") == [
        ("far", "", "not_received"), ("tiny", "history.zip", "unpacked"), ("tiny", "history.zip/route_1.csv", "current"),
    ]  # fmt: skip
    assert query(folder, "SELECT source_file, billed_volume FROM consumption") == [("history.zip/route_1.csv", 60)]
    assert "before release: delivery.not_received" in ran.out
    ((said,),) = query(folder, "SELECT message FROM deliveries WHERE district_id = 'far'")
    assert "shows a host key that is not the pinned one" in said
    made = [p for p in folder.rglob("*") if p.is_file()]
    assert len(made) > 30
    assert [p for p in made if secret.encode() in p.read_bytes()] == []
    assert secret not in ran.out + ran.err


def test_libraries_for_servers_are_loaded_where_a_district_needs_them_and_not_before() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import pipelines.definitions, pipelines.cli, sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    ).stdout.split()  # fmt: skip
    assert "assets.pulling" in loaded
    assert {"asyncssh", "boto3", "botocore", "assets.pulling.https"} & set(loaded) == set()
