"""Splits a data set into training and validation clips."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from fbridge.data.latents.dataset import LatentDataset

VALIDATION_TAGS = ("validation", "valid", "val", "dev", "test")
"""Tags of a data set's own held-out clips; the first that exists is used."""


class Split(NamedTuple):
    """Clips to train on, clips held out (possibly none), and a line for the user on the split."""

    training: LatentDataset
    held_out: LatentDataset
    summary: str


def hold_out(dataset: LatentDataset, share: float, *, split: str | None = None) -> Split:
    """Take clips out of a data set for validation.

    Those with a tag of `VALIDATION_TAGS`, or with UCF-101's numbers "test01" for "train01". Else a
    `share` of the source videos by the hash of their content, so that clips of one video are never
    on both sides; at least one video, if there are two or more.

    Args:
        dataset: all of its rows.
        share: of the source videos, 0 for none.
        split: train on rows with this tag only.
    """
    chosen = dataset if split is None else dataset.only(dataset.tagged(split).nonzero()[:, 0])
    for tag in _counterparts(split):
        held = dataset.tagged(tag)
        if bool(held.any()):
            training = ~held if split is None else dataset.tagged(split) & ~held
            return Split(
                dataset.only(training.nonzero()[:, 0]),
                dataset.only(held.nonzero()[:, 0]),
                f"the data set's own {tag!r} clips are held out",
            )
    held = _by_source(chosen, share) if share > 0 else torch.zeros(len(chosen), dtype=torch.bool)
    count = int(held.sum())
    how = f"{count} clips are held out, by their source" if count else "no clip is held out"
    return Split(chosen.only((~held).nonzero()[:, 0]), chosen.only(held.nonzero()[:, 0]), how)


def _counterparts(split: str | None) -> tuple[str, ...]:
    if split is None:
        return VALIDATION_TAGS
    numbered = tuple(
        split.replace("train", tag) for tag in VALIDATION_TAGS if split.startswith("train")
    )
    return tuple(tag for tag in (*numbered, *VALIDATION_TAGS) if tag != split)


def _by_source(dataset: LatentDataset, share: float) -> torch.Tensor:
    """(N,) bool: clips of the videos with the lowest hashes."""
    videos = dataset.sources.unique()
    if len(videos) < 2:
        return torch.zeros(len(dataset), dtype=torch.bool)
    number = min(math.ceil(share * len(videos)), len(videos) - 1)
    return dataset.sources <= videos[number - 1]
