"""Fetching: gone on with where it was cut, from the next address, kept only if genuine."""

from __future__ import annotations

import errno
import hashlib
import http.server
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fbridge.errors import CheckpointError, DependencyError
from fbridge.weights import WeightsFile
from fbridge.weights import fetch as module
from fbridge.weights.fetch import FetchBegun, Fetching, fetch

CONTENT = bytes(range(256)) * 20_000
CONNECT = socket.socket.connect
ENTRY = WeightsFile(
    name="tiny",
    use="this test",
    file="tiny.pth",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="CC0-1.0",
)


class Server(http.server.BaseHTTPRequestHandler):
    """Gives the content; cuts the first answer short where the path says so."""

    asked: list[str | None]
    cut: list[int]

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        wanted = self.headers.get("Range")
        type(self).asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start == len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT if self.path == "/good" else bytes(len(CONTENT))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = type(self).cut.pop() if type(self).cut else len(body)
        self.wfile.write(body[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(socket.socket, "connect", CONNECT)
    monkeypatch.setattr(module, "SCHEMES", ("http",))
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("FBRIDGE_OFFLINE")
    Server.asked, Server.cut = [], []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def at(server: str, *paths: str) -> WeightsFile:
    return replace(ENTRY, urls=tuple(server + path for path in paths))


def test_a_file_is_fetched_whole(server: str, tmp_path: Path) -> None:
    begun, *events = fetch(at(server, "/good"))
    assert isinstance(begun, FetchBegun)
    assert re.fullmatch(
        r"tiny \(for this test\): fetching tiny\.pth, 5\.1 MB, licence CC0-1\.0, from 127\.0\.0\.1 "
        r"to /.*/cache",
        begun.text,
    )
    assert len(events) > 1
    assert events[-1] == Fetching("tiny", len(CONTENT), len(CONTENT))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["tiny.pth"]
    assert (tmp_path / "cache/tiny.pth").read_bytes() == CONTENT


def test_a_cut_download_is_gone_on_with(server: str, tmp_path: Path) -> None:
    Server.cut = [3_000_000]
    with pytest.raises(DependencyError, match=r"cannot be fetched \(127.0.0.1: .*goes on with it"):
        list(fetch(at(server, "/good")))
    assert (tmp_path / "cache/tiny.pth.part").stat().st_size == 3_000_000
    list(fetch(at(server, "/good")))
    assert Server.asked == [None, "bytes=3000000-"]
    assert (tmp_path / "cache/tiny.pth").read_bytes() == CONTENT


def test_a_length_need_not_be_known(server: str, tmp_path: Path) -> None:
    unknown = replace(at(server, "/good"), size=0)
    Server.cut = [3_000_000]
    with pytest.raises(DependencyError, match=f"ended after 3000000 of {len(CONTENT)} bytes"):
        list(fetch(unknown))
    _, *events = fetch(unknown)
    assert {event.total for event in events if isinstance(event, Fetching)} == {len(CONTENT)}
    assert (tmp_path / "cache/tiny.pth").read_bytes() == CONTENT
    (tmp_path / "cache/tiny.pth").rename(tmp_path / "cache/tiny.pth.part")
    list(fetch(unknown))  # nothing is left to fetch
    assert (tmp_path / "cache/tiny.pth").read_bytes() == CONTENT


def test_the_next_address_is_tried(server: str, tmp_path: Path) -> None:
    list(fetch(at(server, "/missing", "/good")))
    assert (tmp_path / "cache/tiny.pth").read_bytes() == CONTENT
    with pytest.raises(DependencyError, match="answers 404"):
        list(fetch(replace(at(server, "/missing"), file="other.pth")))


def test_another_file_is_not_kept(server: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"another file, sha256 [0-9a-f]{64}; nothing was"):
        list(fetch(at(server, "/wrong")))
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_full_disk_is_told(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DependencyError, match=r"tiny.pth.part: cannot be written: no room is left"):
        list(fetch(at(server, "/good")))


def test_only_https_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path))
    monkeypatch.delenv("FBRIDGE_OFFLINE")
    for url in ("http://localhost/x", "file:///etc/passwd"):
        with pytest.raises(CheckpointError, match="only https is fetched"):
            list(fetch(replace(ENTRY, urls=(url,))))
    with pytest.raises(CheckpointError, match="has no address"):
        list(fetch(ENTRY))
