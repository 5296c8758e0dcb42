"""What a run learns from: the clips, the codec that made them, and what a network must fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fbridge.checks import is_url, parse_bytes
from fbridge.config.tree import Config
from fbridge.data.latents import LatentDataset, Split
from fbridge.data.latents.shape import Shape, measure_clips, read_data
from fbridge.data.stores import parse_url
from fbridge.data.stores.shard_cache import open_stored
from fbridge.errors import CheckpointError
from fbridge.loaders.codec import LoadedCodec
from fbridge.loaders.load import PretrainedModel
from fbridge.loaders.text_encoder import hash_text_encoder, load_text_encoder

_SAME = 1e-2  # embeddings may be stored in half precision


@dataclass(frozen=True)
class TrainingData:
    """A data set, split, with its codec.

    Attributes:
        dataset: all of it.
        parts: clips to train on and held-out ones.
        codec: of the latents.
        shape: shape of its clips.
    """

    dataset: LatentDataset
    parts: Split
    codec: LoadedCodec
    shape: Shape

    def keys(self, rows: Tensor) -> list[str]:
        """Names of clips to train on: the video's key, and the second at which the clip begins."""
        named = []
        for row in rows.tolist():
            record = self.parts.training.record(row)
            named.append(f"{record['key']} at {record['times'][0]:.2f} s")
        return named


def open_data(config: Config) -> tuple[LatentDataset, Split]:
    """The data set of a run and its division; of one behind a URL, shards come when needed.

    Raises:
        DataError: there is none, or nothing is left to train on.
    """
    assert config.data is not None, "the command line has filled it in"

    def opened(place: Path | str) -> LatentDataset:
        url = parse_url(str(place), "data")
        if url is None:
            return LatentDataset(place)
        return open_stored(url, parse_bytes("cache_size", config.cache_size))

    share = config.validation.share
    return read_data(config.data, split=config.split, share=share, open_dataset=opened)


def room_note(config: Config, dataset: LatentDataset) -> str:
    """A warning where the shards of a data set behind a URL do not fit on this machine."""
    limit = parse_bytes("cache_size", config.cache_size)
    if not is_url(str(config.data)) or dataset.shard_bytes <= limit:
        return ""
    return (
        f"the shards of {config.data} take {dataset.shard_bytes / 1e9:.3g} GB, more than "
        f"--cache-size {config.cache_size}: they are fetched again and again; make it larger"
    )


def measure(dataset: LatentDataset, codec: LoadedCodec) -> Shape:
    """The shape of a data set's clips, whose latents are of a codec."""
    return measure_clips(dataset, getattr(codec.codec, "temporal", None) or 1)


def check_words(base: PretrainedModel, dataset: LatentDataset) -> None:
    """Raise CheckpointError unless the base uses the text encoder of the data set.

    Compares the name, then the hash of the files, then the embedding of the empty caption.
    """
    recorded = dataset.index["text_encoder"]
    if base.transformer is None or base.text_encoder == recorded["name"]:
        return
    if hash_text_encoder(base.text_encoder) == recorded["hash"]:
        return
    stored = dataset.empty_text().float()
    own = load_text_encoder(base.text_encoder)([""])[0][0]
    if own.shape != stored.shape or not torch.allclose(own, stored, atol=_SAME, rtol=_SAME):
        raise CheckpointError(
            f"base {base.name}: reads words with {base.text_encoder}, the data set's captions were "
            f"read with {recorded['name']}; prepare the videos again with --text-encoder "
            f"{base.text_encoder}"
        )
