"""A district's source: only its own files can come in, and no entry holds a secret.

Belongs here: the key ``source`` as a person writes it. Does not belong here: pulling (``tests/assets/test_pulling``).
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from rate_tables.config_file import ConfigError, load_config
from validations.district import District
from validations.workspace import SAMPLE

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIbpTV6YBn1dV3Y7kOe0G2aTz2Jj5s1hF6b8hHqQGk5B"
SOURCES: dict[str, dict[str, Any]] = {
    "folder": {"kind": "folder", "path": "in/{year}"},
    "sftp": {"kind": "sftp", "host": "files.alder.example", "user": "utility", "path": "/out/{year}",
             "host_keys": [KEY], "password_variable": "ALDER_PASSWORD"},
    "https": {"kind": "https", "downloads": [{"url": "https://alder.example/{year}/a.csv", "sha256": {2018: "0" * 64}}]},
    "s3": {"kind": "s3", "bucket": "alder", "prefix": "out/{year}/", "access_key_variable": "A", "secret_key_variable": "B"},
}  # fmt: skip
MISTAKES: dict[str, tuple[str, dict[str, Any], str]] = {
    # mistake: (kind, keys changed (None: removed), the sentence's end)
    "no such kind": ("folder", {"kind": "ftp"}, "key source: 'ftp' is not allowed; allowed: 'folder', 'sftp', 'https', 's3'."),
    "no year": ("folder", {"path": "in"}, "key source: not allowed as it stands; allowed: {year} in it or in the key files, so that years are told apart."),
    "no year in one address": ("https", {"downloads": [{"url": "https://alder.example/a.csv", "sha256": {2018: "0" * 64}}]}, "{year} in it or in the key files, so that years are told apart."),
    "a word that is none": ("folder", {"path": "in/{yeer}"}, "key source.path: 'in/{yeer}' is not allowed; allowed: text in which {year} and {district} are the only words in braces."),
    "more than a word": ("folder", {"path": "in/{year.__class__}"}, "text in which {year} and {district} are the only words in braces."),
    "a password": ("sftp", {"password": "x"}, "key source.password: this key is not known. Allowed here: kind, host, port, user, path, host_keys, known_hosts, password_variable, private_key_variable, passphrase_variable, quiet_seconds, time_limit_minutes."),
    "a password for a variable": ("sftp", {"password_variable": "correct horse"}, "key source.password_variable: not allowed as it stands; allowed: the name of an environment variable in capital letters, such as ALDER_CREEK_PASSWORD."),
    "no host key": ("sftp", {"host_keys": None}, "key source: not allowed as it stands; allowed: either host_keys or known_hosts: a server that nobody knows is not asked."),
    "a host key that is none": ("sftp", {"host_keys": ["ssh-ed25519 AAAA"]}, "allowed: a host key as ssh-keyscan prints it, without the host's name: ssh-ed25519 AAAA...."),
    "known hosts elsewhere": ("sftp", {"host_keys": None, "known_hosts": "/etc/ssh/known_hosts"}, "allowed: a file of the workspace, as a path below its folder: known_hosts or certificates/alder.pem."),
    "no login": ("sftp", {"password_variable": None}, "allowed: either password_variable or private_key_variable."),
    "plain http": ("https", {"downloads": [{"url": "http://alder.example/{year}", "sha256": {2018: "0" * 64}}]}, "key source.downloads.0.url: not allowed as it stands; allowed: an address that begins with https:// and holds no user and no password."),
    "a password in an address": ("https", {"downloads": [{"url": "https://u:p@alder.example/{year}", "sha256": {2018: "0" * 64}}]}, "an address that begins with https:// and holds no user and no password."),
    "no hash": ("https", {"downloads": [{"url": "https://alder.example/{year}"}]}, "allowed: either sha256 or sha256_url."),
    "a hash that is none": ("https", {"downloads": [{"url": "https://alder.example/{year}", "sha256": {2018: "0"}}]}, "key source.downloads.0.sha256.2018: '0' is not allowed; string should match pattern '^[0-9a-f]{64}$'."),
    "no address": ("https", {"downloads": []}, "key source.downloads: not allowed as it stands; allowed: 1 to 1,000 files."),
    "two servers": ("https", {"downloads": [{"url": "https://alder.example/{year}", "sha256_url": "https://other.example/{year}"}]}, "allowed: addresses of one server, the only one that is shown the credentials."),
    "a bucket that is none": ("s3", {"bucket": "../x"}, "key source.bucket: '../x' is not allowed; string should match pattern '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$'."),
    "a prefix that is no folder": ("s3", {"prefix": "out/{year}"}, "allowed: a prefix that ends with a slash and does not begin with one: out/{year}/."),
    "an unencrypted store": ("s3", {"endpoint_url": "http://127.0.0.1:9000"}, "an address that begins with https:// and holds no user and no password."),
}  # fmt: skip


def loaded(folder: Path, source: dict[str, Any], **changes: Any) -> District:
    entry = yaml.safe_load((SAMPLE / "districts" / "alder_creek.yaml").read_text(encoding="utf-8"))
    path = folder / "alder_creek.yaml"
    path.write_text(yaml.safe_dump(entry | {"source": source} | changes), encoding="utf-8")
    return load_config(District, path, "districts/alder_creek.yaml")


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_of_each_kind_is_read(tmp_path: Path, kind: str) -> None:
    assert loaded(tmp_path, SOURCES[kind]).source.kind == kind


def test_a_folder_of_all_years_is_allowed_where_the_names_tell_them_apart(tmp_path: Path) -> None:
    assert loaded(tmp_path, {"kind": "folder", "path": "in"}, files="use_{year}.csv").files == "use_{year}.csv"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_that_says_what_is_allowed(tmp_path: Path, mistake: str) -> None:
    kind, changes, sentence = MISTAKES[mistake]
    source = {k: v for k, v in (copy.deepcopy(SOURCES[kind]) | changes).items() if v is not None}
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, source)
    said = str(caught.value)
    assert said.startswith("districts/alder_creek.yaml, line ")
    assert said.endswith(sentence)
    assert "\n" not in said
    assert "correct horse" not in said
    assert "u:p" not in said
