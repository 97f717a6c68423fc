"""A bucket of a store that speaks S3.

Belongs here: listing objects directly below a prefix, reading one version of an object from any byte on.
Does not belong here: which prefix an entry may have (``validations.source``).

Nothing of the computer's own AWS set-up is used: credentials are those of the entry's variables alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ResponseStreamingError, SSLError
from urllib3.exceptions import HTTPError

from assets.pulling.credentials import one_line_secret
from assets.pulling.location import CHUNK_BYTES, LONGEST_WAIT_SECONDS, Found, NotTaken, PassingFault, Patience
from validations.source import S3, filled_in

_MOST_OBJECTS = 10_000

# At DEBUG, botocore writes the session token and the signed headers of each request to the log.
logging.getLogger("botocore").setLevel(logging.WARNING)


class S3Location:
    """Objects directly below the prefix. ``ca_file``: certificates to trust, if not those of the system."""

    def __init__(
        self, source: S3, billing_year: int, district_id: str, ca_file: Path | None, patience: Patience
    ) -> None:
        self._bucket = source.bucket
        self._prefix = filled_in(source.prefix, billing_year, district_id)
        self._patience = patience
        token = source.session_token_variable
        session = boto3.session.Session(
            aws_access_key_id=one_line_secret(source.access_key_variable, "access_key_variable"),
            aws_secret_access_key=one_line_secret(source.secret_key_variable, "secret_key_variable"),
            aws_session_token=one_line_secret(token, "session_token_variable") if token else None,
            region_name=source.region,
        )
        self._client: Any = session.client(
            "s3",
            endpoint_url=source.endpoint_url,
            verify=str(ca_file) if ca_file else True,
            config=Config(
                connect_timeout=LONGEST_WAIT_SECONDS,
                read_timeout=LONGEST_WAIT_SECONDS,
                retries={"mode": "standard", "total_max_attempts": 1},
                s3={"addressing_style": "path"} if source.endpoint_url else None,
            ),
        )

    def _failed(self, error: Exception) -> NoReturn:
        if isinstance(error, ClientError):
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status in (401, 403):
                raise NotTaken(f"the store refused the login, or reading the bucket {self._bucket}") from None
            if status == 404:
                raise NotTaken("it is not there", "not_pulled", gone=True) from None
            if status == 412:
                raise NotTaken("still being written; run again", "still_being_written") from None
            if status in (408, 429) or status >= 500:
                raise PassingFault(f"the store answered {status}") from None
            raise NotTaken(f"the store answered {status}", "not_pulled") from None
        if isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise NotTaken("the certificate of the store is not to be trusted") from None
        raise PassingFault(f"the connection to the store failed ({type(error).__name__})") from None

    def found(self) -> list[Found]:
        files: list[Found] = []
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix, Delimiter="/"
            )
            for page in pages:
                self._patience.seconds_left()
                files += [self._found(one) for one in page.get("Contents", []) if one["Key"] != self._prefix]
                if len(files) > _MOST_OBJECTS:
                    raise NotTaken(f"there are more than {_MOST_OBJECTS:,} objects below {self._prefix}", "not_pulled")
        except (ClientError, BotoCoreError, HTTPError, OSError) as error:
            if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") == "NoSuchBucket":
                raise NotTaken(f"there is no bucket {self._bucket}", "not_pulled") from None
            self._failed(error)
        return files

    def _found(self, listed: dict[str, Any]) -> Found:
        key = listed["Key"]
        return Found(key.removeprefix(self._prefix), key, int(listed["Size"]), str(listed["ETag"]))

    def opened(self, file: Found, start: int) -> tuple[int, Iterator[bytes]]:
        part = {"Range": f"bytes={start}-"} if start else {}
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=file.address, IfMatch=file.stamp, **part)
        except (ClientError, BotoCoreError, HTTPError, OSError) as error:
            self._failed(error)
        begins = start if str(answer.get("ContentRange", "")).startswith(f"bytes {start}-") else 0
        return begins, self._chunks(answer["Body"])

    def _chunks(self, body: Any) -> Iterator[bytes]:
        try:
            while chunk := body.read(CHUNK_BYTES):
                yield chunk
        except (ResponseStreamingError, BotoCoreError, HTTPError, OSError) as error:
            raise PassingFault(f"the connection broke off ({type(error).__name__})") from None
        finally:
            body.close()

    def is_unchanged(self, file: Found) -> bool:
        return True

    def hash_of(self, file: Found) -> str | None:
        return None

    def close(self) -> None:
        self._client.close()
