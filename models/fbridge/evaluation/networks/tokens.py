"""CLIP's words as numbers: 77, the end repeated."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from fbridge.conditioning.clip_tokenizer import TOKENS, tokenizer
from fbridge.weights import CLIP_MERGES, find_weights, read_file


def tokenize(caption: str, merges: Path | None = None) -> tuple[Tensor, bool]:
    """(1, 77) token numbers of words, and whether there were more of them than are read.

    Raises:
        CheckpointError: The table of merges is missing or not the genuine one.
    """
    table = _genuine(merges)
    end = table.get_vocab_size() - 1
    numbers = [end - 1, *table.encode(caption).ids, end]
    return padded(numbers), len(numbers) > TOKENS


def padded(numbers: list[int]) -> Tensor:
    """(1, 77): the last number, the end, repeated, or moved up to where the text is cut."""
    end = numbers[-1]
    whole = [*numbers[: TOKENS - 1], end]
    return torch.tensor([whole + [end] * (TOKENS - len(whole))])


@lru_cache(maxsize=1)
def _genuine(merges: Path | None) -> Tokenizer:
    return tokenizer(read_file(CLIP_MERGES, find_weights(CLIP_MERGES, merges)).decode("utf-8"))
