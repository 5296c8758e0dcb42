"""The packaged text encoder: real embeddings, paraphrases near, no network."""

from __future__ import annotations

import pytest
import torch

from fbridge.errors import CheckpointError
from fbridge.text import load_text_encoder


def pooled(prompt: str) -> torch.Tensor:
    text, mask = load_text_encoder()([prompt])
    mean = (text * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return torch.nn.functional.normalize(mean, dim=-1)[0]


def test_paraphrases_lie_near_each_other() -> None:
    hop, leap, car = pooled("a cat jumps"), pooled("the kitten is leaping"), pooled("a red car")
    assert hop @ leap > 0.5 > hop @ car


def test_a_prompt_has_the_same_tokens_in_any_batch() -> None:
    encode = load_text_encoder()
    together, mask = encode(["a cat", "a very much longer prompt about a dog", ""])
    encode._seen.clear()
    alone, alone_mask = encode(["a cat"])
    length = int(alone_mask.sum())
    assert int(mask[0].sum()) == length
    assert torch.allclose(together[0, :length], alone[0], atol=1e-5)
    assert int(mask[2].sum()) == 2


def test_an_unknown_encoder_is_named() -> None:
    with pytest.raises(CheckpointError, match="no-such-encoder"):
        load_text_encoder("no-such-encoder")
