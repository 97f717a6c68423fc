"""Real servers for the tests of pulling: sshd, an https server, an S3 store, and a proxy that cuts connections.

Belongs here: starting and ending them, each on a free port of this computer. Does not belong here: what should come of it.
"""

from __future__ import annotations

import base64
import http.server
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

SSHD = Path("/usr/sbin/sshd")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"nothing listens on port {port}")


@contextmanager
def running(command: list[str], port: int, log: Path, environment: dict[str, str] | None = None) -> Iterator[None]:
    """A server process, ended by its id."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        wait_for(port)
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


@dataclass
class CuttingProxy:
    """Passes bytes on to a port. Each of ``cuts`` breaks one connection after so many bytes from the server."""

    target: int
    cuts: list[int] = field(default_factory=list)
    connections: int = 0
    bytes_from_server: int = 0

    def __post_init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            cut = self.cuts.pop(0) if self.cuts else None
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self._pump, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, cut), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, cut: int | None) -> None:
        passed = 0
        try:
            while data := source.recv(65_536):
                if cut is not None and passed + len(data) >= cut:
                    target.sendall(data[: cut - passed])
                    break
                passed += len(data)
                target.sendall(data)
                if source.getpeername()[1] == self.target:
                    self.bytes_from_server += len(data)
        except OSError:
            pass
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        self._listening.close()


@dataclass
class Sshd:
    """A running sshd. ``root``: folder that it serves; ``host_key``: as ssh-keyscan prints it; ``user_key``: a private key."""

    port: int
    root: Path
    host_key: str
    other_key: str
    user: str
    user_key: str
    log: Path


def _keygen(path: Path, passphrase: str = "") -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)], check=True)


@contextmanager
def sshd(folder: Path) -> Iterator[Sshd]:
    """An sshd of its own host key and configuration, which lets one key in and no password."""
    folder.mkdir(parents=True)
    for name in ("host", "user", "other"):
        _keygen(folder / name)
    root, port = folder / "outbox", free_port()
    root.mkdir()
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile {folder}/pid\n"
        f"AuthorizedKeysFile {folder}/user.pub\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
        "StrictModes no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\nMaxStartups 100\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with running([str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")], port, folder / "log"):
        yield Sshd(
            port, root, *(" ".join((folder / f"{n}.pub").read_text().split()[:2]) for n in ("host", "other")),
            user=subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip(),
            user_key=(folder / "user").read_text(), log=folder / "log",
        )  # fmt: skip


@contextmanager
def password_sftp(folder: Path, user: str, password: str) -> Iterator[tuple[int, str]]:
    """An SFTP server that lets a password in, in a process of its own: its port and host key."""
    folder.mkdir(parents=True, exist_ok=True)
    _keygen(folder / "password_host")
    port = free_port()
    code = f"""
import asyncio, asyncssh, os
class Server(asyncssh.SSHServer):
    def password_auth_supported(self): return True
    def validate_password(self, user, password): return (user, password) == ({user!r}, os.environ["SERVED_PASSWORD"])
async def main():
    await asyncssh.create_server(Server, "127.0.0.1", {port}, server_host_keys=[{str(folder / "password_host")!r}],
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot={str(folder / "served")!r}))
    await asyncio.Event().wait()
asyncio.run(main())
"""
    (folder / "served").mkdir()
    environment = {**os.environ, "SERVED_PASSWORD": password}
    with running([sys.executable, "-c", code], port, folder / "password_log", environment):
        yield port, " ".join((folder / "password_host.pub").read_text().split()[:2])


@dataclass
class HttpsServer:
    """A running https server.

    ``files``: path -> content. ``requests``: (method, path, headers) of each request. ``answer``: looked at first; what it
    returns is sent as (status, headers, content).
    """

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    authorization: str | None = None
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    answer: Callable[[str, str, dict[str, str]], tuple[int, dict[str, str], bytes] | None] = lambda *_: None
    says_length: bool = True
    says_tag: bool = True
    ranges: bool = True


def certificates(folder: Path) -> tuple[Path, Path]:
    """A certificate authority's file, and a file with the certificate and key of 127.0.0.1 and localhost."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    served = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    served.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return folder / "authority.pem", folder / "server.pem"


def _handler(server: HttpsServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._serve()

        def do_GET(self) -> None:
            self._serve()

        def _serve(self) -> None:
            headers = {k.lower(): v for k, v in self.headers.items()}
            server.requests.append((self.command, self.path, headers))
            status, more, content = server.answer(self.command, self.path, headers) or self._of_files(headers)
            try:
                self.send_response(status)
                for key, value in more.items():
                    self.send_header(key, value)
                if server.says_length:
                    self.send_header("Content-Length", str(len(content)))
                else:
                    self.send_header("Connection", "close")
                    self.close_connection = True
                self.end_headers()
                if self.command == "GET":
                    for at in range(0, len(content), 65_536):
                        self.wfile.write(content[at : at + 65_536])
            except OSError:
                self.close_connection = True

        def _of_files(self, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
            path = self.path.split("?")[0]
            if server.authorization and headers.get("authorization") != server.authorization:
                return 401, {}, b""
            if path not in server.files:
                return 404, {}, b""
            content = server.files[path]
            tag = f'"{hash(content)}"'
            more = {"ETag": tag} if server.says_tag else {}
            wanted = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
            if wanted and server.ranges and headers.get("if-range", tag) == tag:
                start = int(wanted[1])
                return (
                    206,
                    more | {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"},
                    content[start:],
                )
            return 200, more, content

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@contextmanager
def https_server(certificate: Path) -> Iterator[HttpsServer]:
    """A server in a thread of its own."""
    serving = HttpsServer()
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(serving))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True, do_handshake_on_connect=False)
    serving.port = httpd.server_address[1]
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        yield serving
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@contextmanager
def s3_store(certificate: Path, log: Path) -> Iterator[int]:
    """An S3 store in a process of its own, over https: its port."""
    port = free_port()
    program = shutil.which("moto_server") or str(Path(sys.executable).parent / "moto_server")
    command = [program, "-H", "127.0.0.1", "-p", str(port), "-c", str(certificate), "-k", str(certificate)]
    with running(command, port, log):
        yield port
