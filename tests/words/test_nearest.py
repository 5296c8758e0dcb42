"""Verbs of no list, by embeddings in which each text has a direction of its own."""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import pytest
import torch
from torch import Tensor

from fbridge.words import minilm, nearest
from fbridge.words.intent import read_prompt


class Encoder:
    """ "zorbing" lies beside "hopping", every other text far from all others."""

    def pooled(self, texts: list[str]) -> Tensor:
        rows = []
        for text in texts:
            seed = "hopping" if text == "zorbing" else text
            generator = torch.Generator().manual_seed(crc32(seed.encode()))
            row = torch.randn(384, generator=generator, dtype=torch.float32)
            rows.append(row + 0.1 * (text == "zorbing"))
        return torch.nn.functional.normalize(torch.stack(rows), dim=-1)


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(minilm, "packaged_minilm", Encoder)
    nearest._regression.cache_clear()
    yield
    nearest._regression.cache_clear()


def test_a_verb_of_no_list_is_taken_for_its_neighbour() -> None:
    intent = read_prompt("the cat zorbs")
    assert [(act.verb, act.noun) for act in intent.acts] == [("jump", "cat")]
    assert intent.notes() == ("'zorbs' is not known and is taken for 'jump'",)


def test_a_verb_far_from_all_is_unknown() -> None:
    assert read_prompt("the cat quibbles").unknown == ("quibbles",)
    assert read_prompt("the cat quibbles the dog").unknown == ("quibbles the dog",)


def test_a_direction_is_followed_whatever_the_verb() -> None:
    intent = read_prompt("the cat quibbles to the left")
    assert [(act.verb, act.noun) for act in intent.acts] == [("left", "cat")]
    assert intent.notes() == ("'quibbles' is not known and is shown as moving only",)
