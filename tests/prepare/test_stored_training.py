"""Training reads a data set from a bucket as from a folder, and only what it needs of it."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch.utils.data import DataLoader

from fbridge.config import load_config
from fbridge.data.latents import BucketBatches, LatentDataset, LatentSample, collate
from fbridge.data.latents.format import file_fault
from fbridge.data.stores import Store, StoreError, StoreUrl, shard_cache
from fbridge.data.stores.scratch import stores_folder
from fbridge.data.stores.shard_cache import open_stored
from fbridge.data.stores.store import Item
from fbridge.errors import ConfigError, DataError
from fbridge.train.events import Warned
from fbridge.train.request import TrainRequest
from fbridge.train.run import run as train
from tests.data.stores.conftest import Fill
from tests.data.stores.servers import Faults
from tests.prepare.sets import Inline, Order, film, run, tree

ALL = 10**9


class Stored(NamedTuple):
    """A data set of six clips in shards of one, in a folder and in a bucket."""

    folder: Path
    url: StoreUrl


@pytest.fixture
def stored(order: Order, fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stored:
    monkeypatch.setattr("fbridge.prepare.engine.Workers", Inline)
    for number in range(6):
        film(tmp_path / "films" / f"{number}.mp4", number)
    run(order(source=tmp_path / "films", out=tmp_path / "set", shard_rows=1))
    return Stored(tmp_path / "set", fill(tmp_path / "set"))


def equal(one: LatentSample, other: LatentSample) -> bool:
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("clip", "still", "condition", "text")
    )


def shards_here() -> list[Path]:
    return sorted(stores_folder().glob("data-*/shards/*/*.safetensors"))


def test_rows_are_those_of_the_folder_and_come_one_by_one(stored: Stored) -> None:
    local, remote = LatentDataset(stored.folder), open_stored(stored.url, ALL)
    assert remote.hash == local.hash
    assert not shards_here()
    assert equal(remote[2], local[2])
    assert len(shards_here()) == 1
    assert all(equal(remote[row], local[row]) for row in range(len(local)))
    assert remote.captions(0) == local.captions(0)
    assert remote.record(3) == local.record(3)


def test_worker_processes_share_what_was_fetched(stored: Stored, proxy: Faults) -> None:
    remote = open_stored(stored.url, ALL)
    assert len(remote[0].clip)  # a connection is open when the workers are forked
    batches = BucketBatches(remote, 3, seed=1)
    loader = iter(DataLoader(remote, batch_sampler=batches, collate_fn=collate, num_workers=2))
    rows = [next(loader).rows for _ in range(6)]
    del loader
    assert sorted(torch.cat(rows[:2]).tolist()) == list(range(6))
    got = [path for method, path, _ in proxy.asked if method == "GET" and "/shards/" in path]
    assert len(got) == len(set(got)) == 6
    assert len(pickle.loads(pickle.dumps(remote))[1].clip)  # noqa: S301


def test_the_cache_keeps_to_its_limit(stored: Stored, proxy: Faults) -> None:
    sizes = [path.stat().st_size for path in (stored.folder / "shards").rglob("*.safetensors")]
    texts = [path.stat().st_size for path in (stored.folder / "text").rglob("*.safetensors")]
    limit = 2 * max(sizes) + sum(texts)
    remote, local = open_stored(stored.url, limit), LatentDataset(stored.folder)
    for row in (0, 1, 2, 3, 4, 5, 0, 1):
        assert equal(remote[row], local[row])
        assert len(shards_here()) <= 2
    again = open_stored(stored.url, limit)  # what is at hand is not fetched again
    proxy.asked.clear()
    assert equal(again[1], local[1])
    assert not [path for _, path, _ in proxy.asked if "/shards/" in path]


def test_a_batch_fetches_its_shards_side_by_side(stored: Stored, proxy: Faults) -> None:
    remote = open_stored(stored.url, ALL)
    proxy.most = 0
    proxy.rule = lambda method, *_: "slow" if method == "GET" else ""
    remote.prefetch([0, 1, 2, 3])
    assert proxy.most >= 3
    assert len(shards_here()) == 4
    proxy.asked.clear()
    assert len(remote[3].clip)
    assert not [path for _, path, _ in proxy.asked if "/shards/" in path]
    small = open_stored(stored.url, 20_000)  # one by one, where they do not fit
    small.prefetch([4, 5])
    assert len(shards_here()) == 4


def test_damage_here_is_mended_and_damage_there_is_named(stored: Stored) -> None:
    remote, local = open_stored(stored.url, ALL), LatentDataset(stored.folder)
    assert equal(remote[0], local[0])
    (here,) = shards_here()
    here.write_bytes(b"x" * here.stat().st_size)
    assert equal(open_stored(stored.url, ALL)[0], local[0])
    name = here.relative_to(here.parents[2]).as_posix()
    here.unlink()
    Store(stored.url).upload(here.parents[2] / "index.json", name)
    with pytest.raises(DataError, match=f"{name}: is not as it was written; fbridge prepare --ver"):
        open_stored(stored.url, ALL)[0]
    Store(stored.url).remove([name])
    with pytest.raises(DataError, match="there is no such object"):
        open_stored(stored.url, ALL)[0]


def test_a_cache_that_is_smaller_than_a_shard_serves_two_runs(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one run fetches is removed by the other at any moment."""
    local, removed = LatentDataset(stored.folder), list[Path]()
    download = Store.download

    def robbed(self: Store, item: Item, target: Path) -> None:
        download(self, item, target)
        if target.suffix == ".safetensors" and len(removed) % 3 < 2:  # just before it is read
            target.unlink()
        removed.append(target)

    monkeypatch.setattr(Store, "download", robbed)
    runs = [open_stored(stored.url, 1) for _ in range(2)]
    for row in (0, 3, 0):
        assert all(equal(run[row], local[row]) for run in runs)
    assert len(shards_here()) == 1

    vanishing = file_fault

    def seen(folder: Path, record: dict[str, Any]) -> str:
        (folder / record["path"]).unlink(missing_ok=True)
        return vanishing(folder, record)

    third = open_stored(stored.url, 1)
    monkeypatch.setattr(shard_cache, "file_fault", seen)
    with pytest.raises(StoreError, match=r"removed from the cache as soon .*--cache-size larger"):
        assert third[1]


def test_what_a_killed_run_left_in_the_cache_is_mended(stored: Stored) -> None:
    local, remote = LatentDataset(stored.folder), open_stored(stored.url, ALL)
    assert equal(remote[0], local[0])
    (here,) = shards_here()
    os.truncate(here, here.stat().st_size // 2)
    (cache,) = stores_folder().glob("data-*")
    for table in cache.glob("*.jsonl"):
        os.truncate(table, table.stat().st_size // 2)
    part, new = here.with_name(".fbridge-0123456789ab.part"), here.with_name(".fbridge-0.part")
    for path in (part, new):
        path.write_bytes(bytes(10))
    os.utime(part, (0, 0))
    again = open_stored(stored.url, ALL)
    assert equal(again[0], local[0])
    assert again.record(0) == local.record(0)
    assert not part.exists(), "nobody writes to it any more"
    assert new.exists(), "another run may"


def test_a_new_index_is_seen(stored: Stored, order: Order, tmp_path: Path) -> None:
    assert len(open_stored(stored.url, ALL)) == 6
    film(tmp_path / "films" / "9.mp4", 9)
    run(order(source=tmp_path / "films", out=stored.folder, shard_rows=1))
    store = Store(stored.url)
    for name in tree(stored.folder):
        store.upload(stored.folder / name, name)
    assert len(open_stored(stored.url, ALL)) == 7


def test_no_data_set_is_named(fill: Fill, tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "a.txt").write_text("a")
    url = fill(tmp_path / "v")
    with pytest.raises(DataError, match=f"{url}: holds no finished data set"):
        open_stored(url, ALL)


def request(data: object, run: Path, **more: object) -> TrainRequest:
    options = {
        "data": str(data),
        "train.steps": 2,
        "train.batch_size": 1,
        "validation.rows": 1,
        "validation.clips": 0,
        "validation.share": 0.2,
        **more,
    }
    return TrainRequest("train-prior", load_config(options=options), None, run, device="cpu")


def test_a_run_is_the_same_and_starts_before_all_is_here(stored: Stored, tmp_path: Path) -> None:
    for data, name in ((stored.folder, "local"), (stored.url, "remote")):
        for _ in train(request(data, tmp_path / name)):
            pass
    assert 0 < len(shards_here()) < 6
    one, other = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.safetensors")}
        for name in ("local", "remote")
    )
    assert one
    assert one == other
    facts = json.loads((tmp_path / "remote" / "run.json").read_text())
    assert facts["data"]["path"] == str(stored.url)


def test_too_little_room_is_told(stored: Stored, tmp_path: Path) -> None:
    events = list(train(request(stored.url, tmp_path / "run", cache_size="10KB")))
    told = [event.text for event in events if isinstance(event, Warned)]
    assert [text for text in told if "more than --cache-size 10KB" in text]


def test_the_size_must_be_one(stored: Stored, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cache.size much: is no size"):
        request(stored.url, tmp_path / "run", cache_size="much")
