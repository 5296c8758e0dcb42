"""A request is checked where it is built, from Python as from the command line, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fbridge.errors import CheckpointError, ConfigError
from fbridge.generate import GenerateRequest, Job
from fbridge.memory.options import MemoryOptions

CAT = [Path("cat.jpg")]


def test_one_or_several_prompts_and_seeds() -> None:
    one = GenerateRequest(images=CAT, prompt="jump", seed=3)
    assert (list(one.prompts), list(one.seeds)) == (["jump"], [3])
    several = GenerateRequest(images=CAT, prompt=["jump", "spin"], seed=[1, 2])
    assert (list(several.prompts), list(several.seeds)) == (["jump", "spin"], [1, 2])


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"seed": []}, "--seed: is empty; give at least one"),
        ({"seed": 2**63 - 1, "num": 2}, "--seed 9223372036854775808: must be a whole number"),
        ({"prompt": " "}, "--prompt: is empty"),
        ({"images": []}, "no IMAGE given"),
        ({"jobs": [Job(Path("cat.jpg"), "jump")]}, "jobs and images: give one of them"),
        ({"sampler": "dbm"}, "--sampler dbm: unknown, did you mean dbim"),
        ({"out": "a.mp4", "format": "gif"}, "-o a.mp4 and --format gif contradict"),
        ({"out": Path("a.gif"), "fps": 60}, "--fps 60: a GIF shows at most 50"),
        ({"replay": Path("a.mp4"), "steps": 3}, "--from makes the recorded video; drop --steps"),
        (
            {"replay": Path("a.mp4"), "memory": MemoryOptions(tiling=True)},
            "--from makes the recorded video; drop --vae-tiling",
        ),
        (
            {"replay": Path("a.mp4"), "jobs": [Job(Path("cat.jpg"), "jump")]},
            "--from makes the recorded video; drop --jobs",
        ),
    ],
)
def test_impossible_requests(values: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        GenerateRequest(**{"images": CAT, **values})


def test_impossible_values_of_other_kinds() -> None:
    with pytest.raises(CheckpointError, match=r"--model \./nowhere: no such folder"):
        GenerateRequest(images=CAT, prompt="jump", model="./nowhere")
    with pytest.raises(ConfigError, match="--seed -1: must be a whole number"):
        Job(Path("cat.jpg"), "jump", seed=-1)


def test_requests_need_no_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from fbridge.generate import GenerateRequest, run; "
        "GenerateRequest(images=[Path('cat.jpg')], prompt='jump'); sys.exit('torch' in sys.modules)"
    )
    path = [entry for entry in sys.path if entry]
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"], check=False
    )
    assert ran.returncode == 0
