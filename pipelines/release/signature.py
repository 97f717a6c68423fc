"""Signatures with a person's SSH key, made and checked by ``ssh-keygen``.

Belongs here: calling ``ssh-keygen -Y``. Does not belong here: what is signed, whether a signature is needed (``approval``).
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

from rate_tables.config_file import ConfigError

NAMESPACE = "annual-billing"
"""Said in every signature, so that one made for something else is none here."""
_LONGEST_SIGNATURE = 20_000


class NotSigned(Exception):
    """A signature could not be made, or is not that of the person; the message says what to do."""


def _ssh_keygen(*arguments: str, given: bytes) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    try:
        return subprocess.run(["ssh-keygen", "-Y", *arguments], input=given, capture_output=True, env=environment)  # noqa: S603, S607
    except FileNotFoundError:
        raise NotSigned(
            "ssh-keygen is not there; it comes with OpenSSH, which has to be installed to sign and to check."
        ) from None


def signed(statement: bytes, key: Path) -> str:
    """The signature of a statement, as text. ``key`` is a private key, or a public one whose private part an agent holds.

    Errors: ConfigError if there is no such file; NotSigned if ssh-keygen does not sign with it.
    """
    if not key.is_file():
        raise ConfigError(f"--key: {key.name!r} is no file; name your SSH key, for example ~/.ssh/id_ed25519.")
    done = _ssh_keygen("sign", "-n", NAMESPACE, "-f", str(key), given=statement)
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0 or "BEGIN SSH SIGNATURE" not in text:
        raise NotSigned(
            f"ssh-keygen did not sign with {key.name!r}: it may be no SSH key, or its passphrase was not given. Try: ssh-keygen -y -f KEY"
        )
    return text


def fingerprint_of_signer(statement: bytes, signature: str, name: str, allowed_signers: Path, at: str = "") -> str:
    """Fingerprint of the key of ``name`` that signed the statement, if the file lists it and it held at ``at`` (UTC, ISO; else today).

    Errors: NotSigned if the signature is of something else, or of a key that the file does not list for this name.
    """
    if not allowed_signers.is_file():
        raise NotSigned(
            f"{allowed_signers.name} is not there: signatures are checked against it. It has a line for each person: the name in double "
            "quotes, a space, the public key."
        )
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".sig") as file:
        file.write(signature[:_LONGEST_SIGNATURE])
        file.flush()
        when = ("-O", f"verify-time={re.sub('[^0-9]', '', at)}Z") if at else ()
        done = _ssh_keygen(
            "verify", "-n", NAMESPACE, "-f", str(allowed_signers), "-I", name, "-s", file.name, *when, given=statement
        )
    found = re.search(rb"SHA256:\S+", done.stdout)
    if done.returncode != 0 or found is None:
        raise NotSigned(
            f"the signature is not one that {allowed_signers.name} lists for the person: it is of something else, of another key, or the "
            "key did not hold that day."
        )
    return found.group().decode()
