"""Two processes that evaluate together find what one finds, to the last bit."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.sides import FRAMES, damaged, write_side


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
    return port


def evaluated(
    folder: Path, launcher: list[str], name: str, *more: str
) -> subprocess.CompletedProcess[str]:
    line = ["eval", "noise", "-r", "real", "-m", "psnr,flicker", "--frames", str(FRAMES)]
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-m", *launcher, "fbridge_cli", *line, "--workers", "0", "--json",
         "--cache", f"{name}.sqlite", *more],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{root / 'models'}:{root}"},
    )  # fmt: skip


def both(folder: Path, *more: str) -> list[subprocess.CompletedProcess[str]]:
    two = [
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        "--master_port",
        str(free_port()),
        "-m",
    ]
    return [evaluated(folder, [], "one", *more), evaluated(folder, two, "two", *more)]


@pytest.mark.slow
def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    write_side(tmp_path / "real", range(5))
    damaged(tmp_path / "noise", range(5), "noise")
    found: list[Any] = []
    for ran in both(tmp_path):
        assert ran.returncode == 0, ran.stderr
        found.append(json.loads(ran.stdout))
    assert found[0]["scores"] == found[1]["scores"]
    assert found[0]["generated"]["clips"] == 5
