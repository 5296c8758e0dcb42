"""A kill at any moment of a save leaves a whole checkpoint, and its litter goes with the next."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fbridge.train.checkpoints.checkpoint import save_checkpoint
from fbridge.train.checkpoints.reading import load_group, newest, read_checkpoint

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


def groups(step: int) -> dict[str, dict[str, Tensor]]:
    return {
        "network": {"w": torch.full((50, 7), float(step))},
        "optimizer": {"w/step": torch.tensor(float(step))},
    }


def save(run: Path, step: int, *, keep: int) -> Path:
    return save_checkpoint(run, step, groups(step), {"at": step}, keep=keep)


def check_content(run: Path, step: int) -> None:
    found = newest(run)
    assert found is not None
    assert (found.step, found.facts) == (step, {"at": step})
    for name, tensors in groups(step).items():
        again = load_group(found, name)
        assert all(torch.equal(again[key], tensors[key]) for key in tensors)


def in_a_child(work: Callable[[], object]) -> int:
    """Fork, do something and tell how the child ended: 0, or minus the signal."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


FILE_EVENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"}


def killed_at(number: int, work: Callable[[], object]) -> Callable[[], object]:
    """`work`, killed just before its file operation of this number."""
    left = number

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, _: Any) -> None:
        if event in FILE_EVENTS:
            count()

    def run() -> object:
        fsync = os.fsync

        def counted(handle: int) -> None:
            count()
            fsync(handle)

        os.fsync = counted  # type: ignore[assignment]
        sys.addaudithook(hook)
        return work()

    return run


@pytest.mark.parametrize("again", [False, True], ids=["another step", "the same step"])
def test_a_kill_at_any_file_operation_leaves_a_whole_checkpoint(
    tmp_path: Path, again: bool
) -> None:
    old, new = 1, 1 if again else 2
    outcomes = []
    for number in range(1, 200):
        run = tmp_path / str(number)
        save(run, old, keep=1)
        ended = in_a_child(killed_at(number, partial(save, run, new, keep=1)))
        assert ended in (0, -signal.SIGKILL)
        visible = list(run.glob("checkpoint-*"))
        assert all(read_checkpoint(path) for path in visible)
        found = newest(run)
        assert found is not None
        check_content(run, found.step)
        outcomes.append(found.step)
        save(run, 3, keep=1)
        check_content(run, 3)
        assert [path.name for path in run.iterdir()] == ["checkpoint-3"]
        if ended == 0:
            break
    assert number > 15
    assert outcomes == sorted(outcomes)
    assert {old, new} == set(outcomes)


def test_one_put_aside_outlives_a_save_that_is_killed_too(tmp_path: Path) -> None:
    """Between two renames nothing has the name; the next save begins by giving it back."""
    save(tmp_path, 1, keep=1).rename(tmp_path / ".checkpoint-1.old")
    check_content(tmp_path, 1)
    for number in range(1, 12):
        in_a_child(killed_at(number, partial(save, tmp_path, 2, keep=1)))
        check_content(tmp_path, 1)
    assert (tmp_path / "checkpoint-1").is_dir()


def test_kills_at_random_moments_leave_a_whole_checkpoint(tmp_path: Path) -> None:
    chance = random.Random(0)

    def train() -> None:
        found = newest(tmp_path)
        step = found.step if found else 0
        while True:
            step += 1
            save(tmp_path, step, keep=2)

    reached = 0
    for _ in range(12):
        child = os.fork()
        if child == 0:
            try:
                train()
            finally:
                os._exit(1)
        time.sleep(chance.uniform(0.02, 0.12))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        found = newest(tmp_path)
        if found is not None:
            check_content(tmp_path, found.step)
            assert found.step >= reached
            reached = found.step
    assert reached > 0
