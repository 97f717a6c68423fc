"""Where a district's files are: the typed shape of the key ``source`` in its entry.

Belongs here: the kinds of source and their keys, what each needs so that nothing but the district's own files can come in.
Does not belong here: which files belong to the delivery (``district``), getting them (``assets.pulling``).

Secrets do not stand in an entry: it names the environment variables that hold them.
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import PurePosixPath
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from rate_tables.config_file import NotAllowed, Strict

_WORDS = {"{year}", "{district}"}


def _template(text: str) -> str:
    if "\0" in text or set(re.findall(r"\{[^{}]*\}?|\}", text)) - _WORDS:
        raise ValueError("text in which {year} and {district} are the only words in braces")
    return text


def _inside_workspace(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\\" in text or "\0" in text or not path.parts:
        raise ValueError("a file of the workspace, as a path below its folder: known_hosts or certificates/alder.pem")
    return text


def _host_key(text: str) -> str:
    kind, _, key = text.strip().partition(" ")
    try:
        named = base64.b64decode(key.split(" ")[0], validate=True)
    except (binascii.Error, ValueError):
        named = b""
    if not kind or named[4 : 4 + len(kind)] != kind.encode():
        raise ValueError("a host key as ssh-keyscan prints it, without the host's name: ssh-ed25519 AAAA...")
    return " ".join((kind, key.split(" ")[0]))


def _https_address(text: str) -> str:
    _template(text)
    try:
        parts = urlsplit(text)
        fits = parts.scheme == "https" and parts.hostname and "@" not in parts.netloc and not parts.fragment
        fits = fits and "{" not in parts.netloc and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if not fits or not text.isprintable() or " " in text:
        # Not repeated: a password may stand in it.
        raise NotAllowed("an address that begins with https:// and holds no user and no password")
    return text


def _variable_name(text: str) -> str:
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,99}", text):
        # Not repeated: it may be the secret itself.
        raise NotAllowed("the name of an environment variable in capital letters, such as ALDER_CREEK_PASSWORD")
    return text


Template = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_template)]
WorkspaceFile = Annotated[str, AfterValidator(_inside_workspace)]
VariableName = Annotated[str, AfterValidator(_variable_name)]
HostKey = Annotated[str, AfterValidator(_host_key)]
HttpsAddress = Annotated[str, Field(max_length=2_000), AfterValidator(_https_address)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Minutes = Annotated[int, Field(ge=1, le=1_440)]
QuietSeconds = Annotated[int, Field(ge=0, le=86_400)]

_QUIET = "A file that changed less than so many seconds ago counts as still being written"
_LIMIT = "After so many minutes pulling is broken off; the next run goes on from there"


class Folder(Strict):
    """A folder of this computer: the workspace's own ``deliveries/{year}/{district}``, or ``path``."""

    kind: Literal["folder"] = "folder"
    path: Template | None = Field(
        None, description="Below the workspace, or below a folder that workspace.yaml lists in deliveries_from"
    )
    quiet_seconds: QuietSeconds = Field(0, description=_QUIET)


class Sftp(Strict):
    """A folder of an SFTP server, whose host key is known beforehand."""

    kind: Literal["sftp"]
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:-]{0,252}$")]
    port: Annotated[int, Field(ge=1, le=65_535)] = 22
    user: Annotated[str, Field(min_length=1, max_length=100)]
    path: Template
    host_keys: tuple[HostKey, ...] = Field((), description="The server's keys, as ssh-keyscan prints them")
    known_hosts: WorkspaceFile | None = Field(None, description="A file of the workspace in the format of OpenSSH")
    password_variable: VariableName | None = None
    private_key_variable: VariableName | None = Field(
        None, description="Variable that holds the private key, or the path of its file"
    )
    passphrase_variable: VariableName | None = Field(
        None, description="Variable that holds the private key's passphrase"
    )
    quiet_seconds: QuietSeconds = Field(0, description=_QUIET)
    time_limit_minutes: Minutes = Field(60, description=_LIMIT)

    @model_validator(mode="after")
    def _knows_the_server_and_itself(self) -> Sftp:
        if bool(self.host_keys) == (self.known_hosts is not None):
            raise NotAllowed("either host_keys or known_hosts: a server that nobody knows is not asked", "host_keys")
        if (self.password_variable is None) == (self.private_key_variable is None):
            raise NotAllowed("either password_variable or private_key_variable", "password_variable")
        if self.passphrase_variable and not self.private_key_variable:
            raise NotAllowed("passphrase_variable with private_key_variable only", "passphrase_variable")
        return self


class Download(Strict):
    """One file at an https address, with the SHA-256 that its content must have."""

    url: HttpsAddress
    sha256: dict[Annotated[int, Field(ge=1990, le=2100)], Sha256] = Field(
        default_factory=dict, description="Billing year -> SHA-256 of that year's file"
    )
    sha256_url: HttpsAddress | None = Field(None, description="Address of a file that holds it, as sha256sum writes it")

    @model_validator(mode="after")
    def _one_hash(self) -> Download:
        if bool(self.sha256) == (self.sha256_url is not None):
            raise NotAllowed("either sha256 or sha256_url", "sha256")
        return self


class Https(Strict):
    """Files at addresses of one https server."""

    kind: Literal["https"]
    downloads: tuple[Download, ...]
    bearer_variable: VariableName | None = Field(None, description="Variable that holds a bearer token")
    user: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^:]+$")] | None = None
    password_variable: VariableName | None = None
    ca_file: WorkspaceFile | None = Field(None, description="Certificates to trust, if not those of the system")
    time_limit_minutes: Minutes = Field(60, description=_LIMIT)

    @model_validator(mode="after")
    def _one_server_and_one_way_in(self) -> Https:
        if not 0 < len(self.downloads) <= 1_000:
            raise NotAllowed("1 to 1,000 files", "downloads")
        hosts = {urlsplit(a).netloc.lower() for d in self.downloads for a in (d.url, d.sha256_url) if a}
        if len(hosts) > 1:
            raise NotAllowed("addresses of one server, the only one that is shown the credentials", "downloads")
        if (self.user is None) != (self.password_variable is None):
            raise NotAllowed("user and password_variable together, or neither", "user")
        if self.user and self.bearer_variable:
            raise NotAllowed("either bearer_variable or user and password_variable", "bearer_variable")
        return self


class S3(Strict):
    """Objects of a bucket in a store that speaks S3."""

    kind: Literal["s3"]
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    prefix: Template = Field(description="What the objects' keys begin with; it ends with a slash")
    endpoint_url: HttpsAddress | None = Field(None, description="Address of the store, if it is not Amazon's")
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")] = "us-east-1"
    access_key_variable: VariableName
    secret_key_variable: VariableName
    session_token_variable: VariableName | None = None
    ca_file: WorkspaceFile | None = Field(None, description="Certificates to trust, if not those of the system")
    time_limit_minutes: Minutes = Field(60, description=_LIMIT)

    @model_validator(mode="after")
    def _prefix_is_a_folder(self) -> S3:
        if not self.prefix.endswith("/") or self.prefix.startswith("/"):
            raise NotAllowed("a prefix that ends with a slash and does not begin with one: out/{year}/", "prefix")
        return self


Source = Annotated[Folder | Sftp | Https | S3, Field(discriminator="kind")]


def names_the_year(source: Folder | Sftp | Https | S3) -> bool:
    """Whether what one billing year finds at the source is told apart from another year's."""
    match source:
        case Folder():
            return source.path is None or "{year}" in source.path
        case Sftp():
            return "{year}" in source.path
        case Https():
            return all("{year}" in d.url for d in source.downloads)
        case S3():
            return "{year}" in source.prefix


def filled_in(template: str, billing_year: int, district_id: str) -> str:
    """A template with its words replaced."""
    return template.replace("{year}", str(billing_year)).replace("{district}", district_id)
