"""Two processes that evaluate together find what one finds, to the last bit."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.evaluation.sides import FRAMES, damaged, write_side
from tests.warm import WarmPython


def both(folder: Path, warm: WarmPython) -> list[subprocess.CompletedProcess[str]]:
    """The first process's words: of one alone, and of two."""
    line = ["-m", "fbridge_cli", "eval", "noise", "-r", "real", "-m", "psnr,flicker"]
    line += ["--frames", str(FRAMES), "--workers", "0", "--json", "--cache"]
    two = [each.wait() for each in warm.launch([*line, "two.sqlite"], 2, cwd=folder)]
    assert two[1].returncode == 0, two[1].stderr
    assert two[1].stdout == ""
    return [warm.run([*line, "one.sqlite"], cwd=folder), two[0]]


def test_two_processes_find_what_one_finds(tmp_path: Path, warm: WarmPython) -> None:
    write_side(tmp_path / "real", range(5))
    damaged(tmp_path / "noise", range(5), "noise")
    found: list[Any] = []
    for ran in both(tmp_path, warm):
        assert ran.returncode == 0, ran.stderr
        found.append(json.loads(ran.stdout))
    assert found[0]["scores"] == found[1]["scores"]
    assert found[0]["generated"]["clips"] == 5
