"""Writing safetensors so that equal content has equal bytes."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fbridge.files.tensors import sort_metadata


def test_metadata_is_sorted_and_nothing_else_changes(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(3.0), "a": torch.ones(2, 2, dtype=torch.int64)}
    facts = {f"key {i}": f'"quoted"\n\tümlaut \x01\x7f {i}' for i in range(8)}
    path = tmp_path / "one.safetensors"
    save_file(tensors, path, facts)
    size = path.stat().st_size
    sort_metadata(path)
    assert path.stat().st_size == size
    with safe_open(path, "pt") as file:
        assert file.metadata() == facts
    assert all(torch.equal(value, tensors[name]) for name, value in load_file(path).items())
    held = path.read_bytes()
    header = json.loads(held[8 : 8 + int.from_bytes(held[:8], "little")])
    assert list(header["__metadata__"]) == sorted(facts)


def test_a_file_without_metadata_stays_readable(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    save_file({"a": torch.ones(2)}, path)
    before = path.read_bytes()
    sort_metadata(path)
    assert path.read_bytes() == before
