"""Servers on the loopback, for the tests of this folder and those whose conftest has them too."""

from __future__ import annotations

import _socket
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fbridge.data.stores import StoreUrl, faults
from tests.data.stores.servers import Faults, put, s3_server

Fill = Callable[[Path], StoreUrl]


def _loopback_alone(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] != "127.0.0.1":
        raise RuntimeError(f"a test reached for the network: {address}")
    _socket.socket.connect(self, address)


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    with s3_server() as port:
        yield port


@pytest.fixture
def proxy(s3_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Faults]:
    """A proxy before S3, which this process and its children ask."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(socket.socket, "connect", _loopback_alone)
    between = Faults(s3_port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{between.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(faults, "FIRST_WAIT", 0.01)
    yield between
    between.close()


@pytest.fixture
def fill(proxy: Faults, s3_port: int) -> Fill:
    """Puts a folder into a new bucket and returns its URL there."""

    assert proxy.port != s3_port

    def make(folder: Path) -> StoreUrl:
        bucket = f"films-{uuid.uuid4().hex[:12]}"
        put(s3_port, bucket, folder, "set/videos")
        return StoreUrl(f"s3://{bucket}/set/videos")

    return make
