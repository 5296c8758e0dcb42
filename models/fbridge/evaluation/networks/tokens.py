"""Captions as CLIP's token ids: 77 of them, padded with the end token."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fbridge.conditioning.clip_tokenizer import TOKENS, tokenizer
from fbridge.weights import CLIP_MERGES, find_weights, read_file

if TYPE_CHECKING:
    from transformers import CLIPTokenizerFast


def tokenize(caption: str, merges: Path | None = None) -> tuple[Tensor, bool]:
    """(1, 77) token ids of a caption, and whether it had to be cut to that length.

    Raises:
        CheckpointError: The file of merges is missing or is not the published one.
    """
    ids = _tokenizer(merges)(caption, verbose=False)["input_ids"]
    return padded(ids), len(ids) > TOKENS


def padded(ids: list[int]) -> Tensor:
    """(1, 77) token ids: the last one, the end token, repeated, or in last place of a cut text."""
    end = ids[-1]
    kept = [*ids[: TOKENS - 1], end]
    return torch.tensor([kept + [end] * (TOKENS - len(kept))])


@lru_cache(maxsize=1)
def _tokenizer(merges: Path | None) -> CLIPTokenizerFast:
    return tokenizer(read_file(CLIP_MERGES, find_weights(CLIP_MERGES, merges)).decode("utf-8"))
