"""Addresses of an https server.

Belongs here: asking for them, going on in the middle, redirections, the hash that was announced.
Does not belong here: which addresses an entry may have (``validations.source``).
"""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from assets.pulling.credentials import one_line_secret, secret
from assets.pulling.location import CHUNK_BYTES, Found, NotTaken, PassingFault, Patience
from assets.pulling.names import shown_name
from validations.source import Download, Https, filled_in

_MOST_REDIRECTIONS = 5
_LARGEST_HASH_FILE = 1 << 16


class HttpsLocation:
    """The downloads of an entry, for one billing year. ``ca_file``: certificates to trust, if not those of the system."""

    def __init__(
        self, source: Https, billing_year: int, district_id: str, ca_file: Path | None, patience: Patience
    ) -> None:
        self._source = source
        self._year = billing_year
        self._district_id = district_id
        self._patience = patience
        self._authorization: dict[str, str] = {}
        if source.bearer_variable:
            token = one_line_secret(source.bearer_variable, "bearer_variable")
            self._authorization["Authorization"] = f"Bearer {token}"
        elif source.user and source.password_variable:
            pair = f"{source.user}:{secret(source.password_variable, 'password_variable')}"
            self._authorization["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError):
            raise NotTaken("source.ca_file of the district's entry holds no certificates that can be read") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._pool = urllib3.PoolManager(ssl_context=context, retries=False)
        self._announced: dict[str, str] = {}
        self._validators: dict[str, str] = {}

    def found(self) -> list[Found]:
        return [file for download in self._source.downloads if (file := self._file(download))]

    def _file(self, download: Download) -> Found | None:
        url = filled_in(download.url, self._year, self._district_id)
        name = unquote(urlsplit(url).path.rsplit("/", 1)[-1], errors="surrogateescape") or "index"
        try:
            answer = self._asked("HEAD", url)
            answer.close()
            if answer.status in (405, 501):
                answer = self._asked("GET", url)
                answer.close()
            self._refuse_errors(answer, url)
            self._announced[url] = self._hash_announced(download, name)
        except NotTaken as reason:
            return Found(name, url, None, "", not_taken=reason)
        length, tag = answer.headers.get("Content-Length", ""), answer.headers.get("ETag", "")
        self._validators[url] = tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")
        return Found(
            name, url, int(length) if length.isdigit() else None, f"{self._announced[url]} {self._validators[url]}"
        )

    def _hash_announced(self, download: Download, name: str) -> str:
        if download.sha256_url is None:
            if self._year not in download.sha256:
                raise NotTaken(
                    f"the district's entry has no SHA-256 for {self._year}; ask the district for it and add it below "
                    "source.downloads.sha256"
                )
            return download.sha256[self._year]
        url = filled_in(download.sha256_url, self._year, self._district_id)
        answer = self._asked("GET", url)
        try:
            self._refuse_errors(answer, url)
            text = b"".join(self._read(answer, _LARGEST_HASH_FILE)).decode("latin-1")
        finally:
            answer.close()
        lines = [
            m for line in text.splitlines() if (m := re.fullmatch(r"\s*([0-9a-fA-F]{64})(?:\s+\*?(.*?))?\s*", line))
        ]
        of_name = [m for m in lines if (m[2] or "").rsplit("/", 1)[-1] == name] or (lines if len(lines) == 1 else [])
        if not of_name:
            raise NotTaken(f"{_shown(url)} holds no SHA-256 of {shown_name(name)}")
        return of_name[0][1].lower()

    def _asked(self, method: str, url: str, **headers: str) -> urllib3.BaseHTTPResponse:
        """The answer, its content unread. Credentials go to the entry's own server alone, and never unencrypted."""
        own = urlsplit(url).netloc.lower()
        for _ in range(_MOST_REDIRECTIONS + 1):
            parts = urlsplit(url)
            to_own = self._authorization if parts.netloc.lower() == own else {}
            wait = urllib3.Timeout(connect=self._patience.timeout(), read=self._patience.timeout())
            sent = {"Accept-Encoding": "identity", "User-Agent": "annual-billing"} | headers | to_own
            try:
                answer = self._pool.request(
                    method, url, headers=sent, redirect=False, preload_content=False, decode_content=False, timeout=wait
                )
            except SSLError as error:
                if "CERTIFICATE_VERIFY_FAILED" in str(error) or "doesn't match" in str(error):
                    raise NotTaken(f"the certificate of {parts.hostname} is not to be trusted") from None
                raise PassingFault(f"the connection to {parts.hostname} failed (SSLError)") from None
            except (HTTPError, OSError) as error:
                raise PassingFault(f"the connection to {parts.hostname} failed ({type(error).__name__})") from None
            target = answer.headers.get("Location", "")
            if answer.status not in (301, 302, 303, 307, 308) or not target:
                return answer
            answer.close()
            url = urljoin(url, target)
            if urlsplit(url).scheme != "https":
                raise NotTaken(f"{parts.hostname} sends on to an address that is not https")
        raise NotTaken(f"{parts.hostname} sends from one address to the next without end")

    def _refuse_errors(self, answer: urllib3.BaseHTTPResponse, url: str) -> None:
        match answer.status:
            case 200 | 206:
                return
            case 401 | 403:
                raise NotTaken(f"{_shown(url)} refused the login ({answer.status})")
            case 404 | 410:
                raise NotTaken(f"{_shown(url)} is not there ({answer.status})", "not_pulled", gone=True)
            case 408 | 425 | 429 | 500 | 502 | 503 | 504:
                raise PassingFault(f"{_shown(url)} answered {answer.status}")
            case _:
                raise NotTaken(f"{_shown(url)} answered {answer.status}", "not_pulled")

    def _read(self, answer: urllib3.BaseHTTPResponse, at_most: int | None = None) -> Iterator[bytes]:
        count = 0
        try:
            while chunk := answer.read1(CHUNK_BYTES, decode_content=False):
                count += len(chunk)
                if at_most is not None and count > at_most:
                    return
                yield chunk
        except (HTTPError, OSError) as error:
            raise PassingFault(f"the connection broke off ({type(error).__name__})") from None
        finally:
            answer.close()

    def opened(self, file: Found, start: int) -> tuple[int, Iterator[bytes]]:
        url = str(file.address)
        headers = {}
        if start:
            headers["Range"] = f"bytes={start}-"
            if self._validators[url]:
                headers["If-Range"] = self._validators[url]
        answer = self._asked("GET", url, **headers)
        if answer.status == 416:
            answer.close()
            answer = self._asked("GET", url)
        try:
            self._refuse_errors(answer, url)
        except (NotTaken, PassingFault):
            answer.close()
            raise
        begins = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", "")) if answer.status == 206 else None
        if answer.status == 206 and (begins is None or int(begins[1]) != start):
            answer.close()
            answer = self._asked("GET", url)
            self._refuse_errors(answer, url)
            begins = None
        return (start if begins else 0), self._read(answer)

    def is_unchanged(self, file: Found) -> bool:
        return True

    def hash_of(self, file: Found) -> str | None:
        return self._announced[str(file.address)]

    def close(self) -> None:
        self._pool.clear()


def _shown(url: str) -> str:
    """An address for people, without its query, which may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"
