"""Checkpoints are whole or absent, whatever the disk does; what is damaged is named."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fbridge.errors import CheckpointError, DependencyError
from fbridge.train.checkpoints.checkpoint import save_checkpoint
from fbridge.train.checkpoints.reading import (
    checkpoints,
    load_group,
    newest,
    open_group,
    read_checkpoint,
)


def groups(step: int) -> dict[str, dict[str, Tensor]]:
    shared = torch.full((50, 7), float(step))
    return {
        "network": {"w": shared, "tied": shared, "half": shared[:3].bfloat16()},
        "optimizer": {
            "w/step": torch.tensor(float(step)),
            "w/map": torch.arange(9).to(torch.uint8),
        },
    }


def save(run: Path, step: int, *, keep: int = 2, best: int | None = None) -> Path:
    return save_checkpoint(run, step, groups(step), {"at": step}, keep=keep, best=best)


def steps(run: Path) -> list[int]:
    return [checkpoint.step for checkpoint in checkpoints(run)]


def check_content(run: Path, step: int) -> None:
    found = newest(run)
    assert found is not None
    assert (found.step, found.facts) == (step, {"at": step})
    for name, tensors in groups(step).items():
        again = load_group(found, name)
        assert again.keys() == tensors.keys()
        assert all(torch.equal(again[key], tensors[key]) for key in tensors)
        assert all(again[key].dtype == tensors[key].dtype for key in tensors)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    facts = {"rng": [1, 2], "loss": [0.1, 1e-30, 1 / 3], "deep": {"x": None, "y": "é"}}
    path = save_checkpoint(tmp_path / "run", 7, groups(7), facts, keep=1)
    assert path == tmp_path / "run" / "checkpoint-7"
    assert read_checkpoint(path).facts == facts
    assert sorted(p.name for p in path.iterdir()) == [
        "checkpoint.json",
        "network.safetensors",
        "optimizer.safetensors",
    ]
    save(tmp_path / "run", 8)
    check_content(tmp_path / "run", 8)


def test_a_run_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert checkpoints(tmp_path / "absent") == []
    assert newest(tmp_path / "absent") is None


def test_tensors_outlive_their_files(tmp_path: Path) -> None:
    save(tmp_path, 3)
    tensors = load_group(checkpoints(tmp_path)[0], "network")
    (tmp_path / "checkpoint-3" / "network.safetensors").write_bytes(b"")
    assert torch.equal(tensors["w"], groups(3)["network"]["w"])


def test_the_newest_and_the_best_stay(tmp_path: Path) -> None:
    for step in (5, 10, 15, 100, 110):
        save(tmp_path, step, keep=2, best=10 if step >= 10 else None)
    assert steps(tmp_path) == [10, 100, 110]
    save(tmp_path, 120, keep=1, best=120)
    assert steps(tmp_path) == [120]
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-120"]


def test_a_run_continued_from_an_older_one_drops_the_later_ones(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step, keep=3)
    save(tmp_path, 2, keep=1)
    assert steps(tmp_path) == [2]
    check_content(tmp_path, 2)


def test_the_old_one_goes_only_when_the_new_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1, keep=1)
    seen: list[list[int]] = []
    remove = shutil.rmtree

    def look(path: Any, **more: Any) -> None:
        seen.append(steps(tmp_path))
        remove(path, **more)

    monkeypatch.setattr(shutil, "rmtree", look)
    save(tmp_path, 2, keep=1)
    assert seen
    assert all(2 in there for there in seen)


@pytest.mark.parametrize("group", ["network", "optimizer"])
def test_a_changed_bit_is_named_with_the_way_out(tmp_path: Path, group: str) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    file = tmp_path / "checkpoint-2" / f"{group}.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        open_group(checkpoints(tmp_path)[-1], group)
    assert str(caught.value) == (
        f"{file}: is damaged or incomplete; resume from the older {tmp_path}/checkpoint-1"
    )
    other = {"network": "optimizer", "optimizer": "network"}[group]
    load_group(checkpoints(tmp_path)[-1], other)


@pytest.mark.parametrize("harm", ["cut", "gone", "index cut", "index strange"])
def test_what_is_not_whole_is_passed_over(tmp_path: Path, harm: str) -> None:
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    file, index = path / "network.safetensors", path / "checkpoint.json"
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif harm == "gone":
        file.unlink()
    elif harm == "index cut":
        index.write_bytes(index.read_bytes()[:40])
    else:
        index.write_text('{"format": 1, "files": []}')
    check_content(tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"checkpoint-2/.*older .*checkpoint-1$"):
        read_checkpoint(path)
    save(tmp_path, 2)
    check_content(tmp_path, 2)


def test_a_damaged_only_one_says_so(tmp_path: Path) -> None:
    (save(tmp_path, 1) / "network.safetensors").unlink()
    with pytest.raises(CheckpointError, match="there is no older one"):
        read_checkpoint(tmp_path / "checkpoint-1")


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        read_checkpoint(tmp_path)


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    save(tmp_path, 1)
    index = save(tmp_path, 2) / "checkpoint.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"format": 2}))
    assert steps(tmp_path) == [1]
    with pytest.raises(CheckpointError, match=r"checkpoint-2/checkpoint.json: has format 2, .* 1"):
        newest(tmp_path)


def test_an_absent_group_is_named(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"without 'ema', only with network, optimizer"):
        open_group(checkpoints(tmp_path)[0], "ema")


def refuse_files(monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> None:
    fsync = os.fsync

    def full(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").readlink().name == name:
            raise OSError(code, os.strerror(code))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
@pytest.mark.parametrize(
    "name", ["network.safetensors", "optimizer.safetensors", "checkpoint.json"]
)
def test_a_full_disk_leaves_the_last_good_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    save(tmp_path, 400)
    with monkeypatch.context() as patch:
        refuse_files(patch, name, errno.ENOSPC)
        with pytest.raises(DependencyError) as caught:
            save(tmp_path, 500)
    assert str(caught.value) == (
        f"{tmp_path}/checkpoint-500/{name}: cannot be written: no room is left on the device; "
        "free some space or choose another folder; "
        f"the last good checkpoint is {tmp_path}/checkpoint-400"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-400"]
    save(tmp_path, 500)
    check_content(tmp_path, 500)


def test_a_full_disk_before_any_checkpoint(tmp_path: Path) -> None:
    resource_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource_limit[1]))
    try:
        with pytest.raises(DependencyError, match=r"network.safetensors: .*; none was saved"):
            save(tmp_path / "run", 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, resource_limit)
    assert list((tmp_path / "run").iterdir()) == []
