"""Loopback servers: S3's interface by moto, and a proxy before it that answers wrongly."""

from __future__ import annotations

import http.client
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BUCKET = "films"
ODD = ("a b", "50%", "a%20b", "a+b", "a#1?", "k\u00e4tzchen", "[x]*", "deep er/\u732b")
"""Names with what URLs, shells and patterns read otherwise."""
Rule = Callable[[str, str, int], str]
"""(method, path, how often it was asked for) -> "", "cut", "slow" or one of `REFUSALS`."""
REFUSALS = {
    "503": (503, "SlowDown"),
    "403": (403, "AccessDenied"),
    "expired": (400, "ExpiredToken"),
    "key": (403, "InvalidAccessKeyId"),
    "signature": (403, "SignatureDoesNotMatch"),
}
"""Status and code of answers; the code does not come with one to HEAD, which has no body."""


class Faults:
    """A proxy before a server; `rule` decides what goes wrong.

    Attributes:
        asked: method, path and range of each request.
        sent: bytes of all answers.
        most: requests that were under way at the same time.
    """

    def __init__(self, port: int) -> None:
        self.rule: Rule = lambda *_: ""
        self.asked: list[tuple[str, str, str]] = []
        self.sent = self.most = self.now = 0
        self._counts: dict[tuple[str, str], int] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self, port))
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def kind(self, method: str, path: str, where: str) -> str:
        """What goes wrong with a request."""
        self.asked.append((method, path, where))
        key = method, path
        self._counts[key] = self._counts.get(key, 0) + 1
        return self.rule(method, path, self._counts[key])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, faults: Faults, port: int, *more: Any) -> None:
        self._faults, self._port = faults, port
        super().__init__(*more)

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._faults.now += 1
        self._faults.most = max(self._faults.most, self._faults.now)
        try:
            self._handle()
        finally:
            self._faults.now -= 1

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

    def _handle(self) -> None:
        path = self.path.partition("?")[0]
        kind = self._faults.kind(self.command, path, self.headers.get("Range", ""))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if kind in REFUSALS:
            status, code = REFUSALS[kind]
            self._answer(status, {}, f"<Error><Code>{code}</Code></Error>".encode())
            return
        status, headers, data = self._forward(body)
        self._faults.sent += len(data)
        if kind == "slow":
            time.sleep(1.5)
        self._answer(status, headers, data, cut=kind == "cut")

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        inner = http.client.HTTPConnection("127.0.0.1", self._port)
        inner.request(self.command, self.path, body, dict(self.headers.items()))
        answer = inner.getresponse()
        data = answer.read()
        inner.close()
        return answer.status, dict(answer.getheaders()), data

    def _answer(
        self, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False
    ) -> None:
        own = ("content-length", "connection", "transfer-encoding")
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in own:
                self.send_header(name, value)
        told = len(data) if data else headers.get("Content-Length", 0)
        self.send_header("Content-Length", str(told))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = self.close_connection or cut


@contextmanager
def s3_server() -> Iterator[int]:
    """The port of a server of S3's interface with no bucket."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()[1]
    finally:
        server.stop()


def put(port: int, bucket: str, folder: Path, below: str) -> None:
    """Put the files of a folder into a bucket, which is made."""
    import boto3

    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
    client.create_bucket(Bucket=bucket)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            key = f"{below}/{path.relative_to(folder).as_posix()}"
            client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
