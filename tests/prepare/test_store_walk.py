"""The lines of docs/prepare.md about object stores, one after the other, against a server."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from fbridge_cli.main import run
from tests.data.stores.servers import Faults, put
from tests.prepare.sets import film
from tests.test_docs import blocks


def test_the_walk(
    proxy: Faults,
    s3_port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(3):
        film(tmp_path / "films" / f"{number}.mp4", number, frames=20)
    assert proxy.port != s3_port
    put(s3_port, "films", tmp_path / "films", "set/videos")
    shutil.rmtree(tmp_path / "films")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FBRIDGE_TRAIN_STEPS", "1")
    lines = [
        shlex.split(line)[1:]
        for block in blocks("docs/prepare.md")
        if "s3://films" in block.text
        for line in block.text.splitlines()
    ]
    assert lines
    for line in lines:
        assert run(line) == 0, line
    assert not (tmp_path / "s3:").exists()
