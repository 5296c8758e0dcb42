"""Verbs of no list, by embeddings in which each text has a direction of its own."""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import pytest
import torch
from torch import Tensor

from fbridge.words import minilm, nearest
from fbridge.words.intent import read_prompt

PACKAGED, ENCODE = nearest.packaged_verbs(), minilm.packaged_minilm


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
    def verbs() -> tuple[list[str], Tensor]:
        listed = nearest.listed_verbs()
        return listed, Encoder().pooled([nearest.in_ing(verb) for verb in listed])

    monkeypatch.setattr(minilm, "packaged_minilm", Encoder)
    monkeypatch.setattr(nearest, "packaged_verbs", verbs)
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


def test_the_packaged_verbs_are_those_of_the_lexicon() -> None:
    verbs, known = PACKAGED
    assert verbs == nearest.listed_verbs()
    assert torch.allclose(known.norm(dim=1), torch.ones(len(verbs)), atol=1e-3)
    assert nearest.PACKAGED.stat().st_size < 600_000


def test_the_packaged_embeddings_are_the_encoders() -> None:
    verbs, known = PACKAGED
    some = range(0, len(verbs), 40)
    expected = ENCODE().pooled([nearest.in_ing(verbs[row]) for row in some])
    torch.testing.assert_close(known[list(some)], expected, rtol=0, atol=2e-3)
