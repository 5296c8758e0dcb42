"""Features on disk: whole, by content, and told when they cannot be kept."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any

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


def test_several_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    together = Barrier(4)

    def opened(number: int) -> bool:
        together.wait()
        with FeatureCache(tmp_path / f"{number}.sqlite") as cache:
            return not cache.known([key_of("a")])

    with ThreadPoolExecutor(4) as threads:
        for number in range(40):
            assert all(threads.map(opened, [number] * 4))


def test_keys_are_of_all_parts() -> None:
    assert len({key_of("a", "b"), key_of("b", "a"), key_of("ab"), key_of("a", "b", "")}) == 4


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"this is no data base at all, and long enough to be looked at" * 20)
    with pytest.raises(DataError, match="is no cache of features"):
        FeatureCache(path)
    with pytest.raises(DependencyError, match="cannot be"):
        FeatureCache(tmp_path / "x.sqlite/below/it.sqlite")


def change(path: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(path)) as base, base:
        base.execute(statement, values)


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("UPDATE features SET data = ? WHERE length(data) = 12", (b"\0" * 12,)),
        ("UPDATE features SET data = NULL WHERE length(data) = 12", ()),
        ("UPDATE features SET data = x'00' WHERE length(data) = 12", ()),
        ("UPDATE features SET shape = '[1, 3]' WHERE length(data) = 12", ()),
        ("UPDATE features SET shape = '[3' WHERE length(data) = 12", ()),
        ("UPDATE features SET shape = x'ff' WHERE length(data) = 12", ()),
        ("UPDATE digests SET digest = x'00' WHERE key = ?", (key_of("a"),)),
    ],
)
def test_a_damaged_feature_counts_as_missing(
    tmp_path: Path, statement: str, values: tuple[Any, ...]
) -> None:
    path = tmp_path / "features.sqlite"
    with FeatureCache(path) as cache:
        cache.put([(key_of("a"), torch.ones(3)), (key_of("b"), torch.ones(5))])
    change(path, statement, *values)
    with FeatureCache(path) as cache:
        assert cache.known([key_of("a"), key_of("b")]) == {key_of("b")}
        with pytest.raises(KeyError):
            cache.get(key_of("a"))
        cache.put([(key_of("a"), torch.ones(3))])
        assert torch.equal(cache.get(key_of("a")), torch.ones(3))


def test_what_an_older_version_kept_is_used_where_it_can_be(tmp_path: Path) -> None:
    path = tmp_path / "features.sqlite"
    change(path, "CREATE TABLE features (key BLOB PRIMARY KEY, shape TEXT, data BLOB)")
    kept = torch.ones(2, 3)
    for name, shape in (("whole", "[2, 3]"), ("cut", "[2, 4]"), ("odd", "{}"), ("none", "")):
        values = (key_of(name), shape, kept.numpy().tobytes())
        change(path, "INSERT INTO features VALUES (?, ?, ?)", *values)
    with FeatureCache(path) as cache:
        assert cache.known(map(key_of, ("whole", "cut", "odd", "none"))) == {key_of("whole")}
        assert torch.equal(cache.get(key_of("whole")), kept)
