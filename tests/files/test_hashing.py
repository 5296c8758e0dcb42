"""Hashes that records, manifests and runs hold: their values may not change."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from fbridge.errors import CheckpointError
from fbridge.files.hashing import hash_files, hash_model
from fbridge.files.weight_files import hash_weight_file
from fbridge.loaders.locate import EMBEDDED, locate_model, packaged_file


def test_files_one_after_the_other(tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_bytes(b"12")
    two.write_bytes(b"3")
    assert hash_files([two, one]) == sha256(b"312").hexdigest()
    named = sha256(b"one.json 2\n12two.json 1\n3").hexdigest()
    assert hash_files([one, two], relative_to=tmp_path) == named
    (tmp_path / "notes.md").write_text("not hashed")
    assert hash_model(tmp_path) == named


def test_an_index_stands_for_its_shards(tmp_path: Path) -> None:
    index = tmp_path / "x.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "2.safetensors", "b": "1.safetensors"}}')
    (tmp_path / "1.safetensors").write_bytes(b"1")
    (tmp_path / "2.safetensors").write_bytes(b"2")
    assert hash_weight_file(index) == sha256(b"12").hexdigest()
    index.write_text("{}")
    with pytest.raises(CheckpointError, match="is broken or cut off"):
        hash_weight_file(index)


def test_the_embedded_models_are_known_by_these() -> None:
    assert hash_model(locate_model(EMBEDDED)) == (
        "38c4dc39e9254705dd3e96a59d875b93d133abd3c0b839ed8b3b93341a26290d"
    )
    base = packaged_file("t2v.safetensors")
    assert base is not None
    assert hash_weight_file(base) == (
        "9d5be40ad980139f7ea21cb32aa6cb5db64e7a29803e38294d5f40b3ea8c60d0"
    )
