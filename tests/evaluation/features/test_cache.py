"""Features on disk: whole, by content, and told when they cannot be kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fbridge.errors import DataError, DependencyError
from fbridge.evaluation.features.cache import FeatureCache, key_of


def test_tensors_come_back(tmp_path: Path) -> None:
    path = tmp_path / "new/features.sqlite"
    rows = {key_of("a"): torch.randn(4, 3), key_of("b"): torch.randn(5)}
    with FeatureCache(path) as cache:
        cache.put(rows.items())
        assert cache.known([*rows, key_of("c")]) == set(rows)
    with FeatureCache(path) as again, FeatureCache(path) as other:
        for key, tensor in rows.items():
            assert torch.equal(again.get(key), tensor)
        other.put([(key_of("c"), torch.ones(1))])
        assert torch.equal(again.get(key_of("c")), torch.ones(1))
        with pytest.raises(KeyError):
            again.get(key_of("d"))


def test_many_keys_are_asked_at_once() -> None:
    with FeatureCache(None) as cache:
        keys = [key_of(str(number)) for number in range(1200)]
        cache.put((key, torch.tensor([1.0])) for key in keys)
        assert cache.known([*keys, key_of("x")]) == set(keys)


def test_keys_are_of_all_parts() -> None:
    assert len({key_of("a", "b"), key_of("b", "a"), key_of("ab"), key_of("a", "b", "")}) == 4


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"this is no data base at all, and long enough to be looked at" * 20)
    with pytest.raises(DataError, match="is no cache of features"):
        FeatureCache(path)
    with pytest.raises(DependencyError, match="cannot be"):
        FeatureCache(tmp_path / "x.sqlite/below/it.sqlite")
