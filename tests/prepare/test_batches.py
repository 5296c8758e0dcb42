from __future__ import annotations

import pickle
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from fbridge.data.latents import BucketBatches, Draw, LatentDataset, collate
from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.errors import ConfigError
from tests.prepare.sets import BUCKET, Order, run


class Rows:
    """As much of a data set as batches look at."""

    def __init__(self, sizes: list[int]) -> None:
        self.bucket = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))

    def __len__(self) -> int:
        return len(self.bucket)


def batches(rows: Rows, size: int, number: int, **other: int) -> list[list[Draw]]:
    sampler = BucketBatches(rows, size, **other)  # type: ignore[arg-type]
    return list(islice(iter(sampler), number))


SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=4)


@given(SIZES, st.integers(1, 5), st.integers(0, 3))
def test_an_epoch_shows_each_row_once_and_each_bucket(
    sizes: list[int], size: int, seed: int
) -> None:
    rows = Rows(sizes)
    sampler = BucketBatches(rows, size, seed=seed)  # type: ignore[arg-type]
    for epoch in range(2):
        shown = batches(rows, size, 2 * sampler.per_epoch, seed=seed)
        shown = shown[epoch * sampler.per_epoch : (epoch + 1) * sampler.per_epoch]
        counts = torch.zeros(len(rows))
        for batch in shown:
            assert len(batch) == size
            assert {draw.epoch for draw in batch} == {epoch}
            assert len({int(rows.bucket[draw.row]) for draw in batch}) == 1
            for draw in batch:
                counts[draw.row] += 1
        for number, length in enumerate(sizes):
            seen = counts[rows.bucket == number]
            if length >= size:
                assert seen.max() == 1
                assert int(seen.sum()) == length // size * size
            else:
                assert int(seen.sum()) == size
                assert seen.max() - seen.min() <= 1


@given(SIZES, st.integers(1, 4), st.integers(0, 40))
def test_any_step_can_be_the_first(sizes: list[int], size: int, step: int) -> None:
    rows = Rows(sizes)
    straight = batches(rows, size, step + 6, seed=5)
    sampler = BucketBatches(rows, size, seed=5)  # type: ignore[arg-type]
    sampler.step = step
    assert list(islice(iter(sampler), 6)) == straight[step:]


def test_a_batch_of_no_rows_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch size 0: must be at least 1"):
        BucketBatches(Rows([4]), 0)  # type: ignore[arg-type]


def test_workers_read_what_the_main_process_reads(order: Order) -> None:
    cutting = ClipSampling((BUCKET, Bucket(32, 32, 8)), mode="uniform:2")
    options = order(cutting=cutting)
    run(options)
    data = LatentDataset(options.out, seed=2)
    assert len(data) == 20
    found = []
    for workers in (0, 2):
        loader = DataLoader(
            data, batch_sampler=BucketBatches(data, 4), collate_fn=collate, num_workers=workers
        )
        found.append(list(islice(iter(loader), 7)))
    for here, there in zip(*found, strict=True):
        assert torch.equal(here.rows, there.rows)
        assert torch.equal(here.clip, there.clip)
        assert torch.equal(here.text, there.text)
        assert torch.equal(here.prompt_mask, there.prompt_mask)
        assert here.prompt_mask.any(1).all()
    again = pickle.loads(pickle.dumps(data))  # noqa: S301 (our own)
    assert torch.equal(again[3].clip, data[3].clip)
