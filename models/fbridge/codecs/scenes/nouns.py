"""Which of ImageNet's classes a noun names: by WordNet's hypernyms, for other words the nearest.

The table is made by `examples/embedded/nouns.py`.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from fbridge.codecs.scenes.features import CLASSES
from fbridge.words.minilm import packaged_minilm

NEAR = 0.55
"""Cosine below which a word is not like any noun of the table."""
_ENDINGS = (("ies", "y"), ("ves", "f"), ("es", ""), ("s", ""))
"""Endings of plurals, and what they stand for."""
_PLURALS = {"people", "men", "women", "children", "geese", "mice", "feet", "teeth", "sheep"}
_SINGULAR = {"ss", "us", "is"}
"""Endings of words in s that name one thing."""


class NounTable(nn.Module):
    """Nouns with their classes and embeddings, as buffers of a model.

    Args:
        nouns: how many.
        letters: bytes of all nouns, joined by line feeds.
        width: of an embedding.
    """

    def __init__(self, nouns: int, letters: int, width: int = 384) -> None:
        super().__init__()
        self.words = nn.Buffer(torch.zeros(letters, dtype=torch.uint8))
        self.classes = nn.Buffer(torch.zeros(nouns, CLASSES // 8, dtype=torch.uint8))
        self.embeddings = nn.Buffer(torch.zeros(nouns, width, dtype=torch.float16))

    @cached_property
    def _listed(self) -> dict[str, int]:
        words = bytes(self.words.tolist()).decode().split("\n")
        return {word: row for row, word in enumerate(words)}

    def named(self, noun: str) -> Tensor:
        """(1000,) bool: the classes that a noun phrase names; none of an unknown or empty one."""
        row = self._row(noun)
        if row is None:
            return torch.zeros(CLASSES, dtype=torch.bool)
        bits = np.unpackbits(self.classes[row].cpu().numpy(), count=CLASSES)
        return torch.from_numpy(bits.astype(bool))

    def name_of(self, label: int) -> str:
        """The noun that names a class and the fewest others."""
        packed = self.classes.cpu().numpy()
        rows = np.flatnonzero(packed[:, label // 8] >> (7 - label % 8) & 1)
        counts = np.unpackbits(packed[rows], axis=1).sum(1)
        return list(self._listed)[rows[counts.argmin()]]

    def _row(self, noun: str) -> int | None:
        words = noun.lower().split()
        for start in range(len(words)):  # "tabby cat", then "cat"
            for phrase in _singular(" ".join(words[start:])):
                if phrase in self._listed:
                    return self._listed[phrase]
        if not words:
            return None
        likeness = self.embeddings.float() @ packaged_minilm().pooled(words[-1:])[0]
        best = int(likeness.argmax())
        return best if float(likeness[best]) >= NEAR else None


def is_plural(noun: str) -> bool:
    """Whether a noun phrase names several things."""
    head = noun.lower().split()[-1:]
    return bool(head) and (
        head[0] in _PLURALS or (head[0].endswith("s") and head[0][-2:] not in _SINGULAR)
    )


def _singular(phrase: str) -> list[str]:
    """A phrase and what it may be the plural of."""
    return [phrase] + [
        phrase.removesuffix(ending) + instead
        for ending, instead in _ENDINGS
        if phrase.endswith(ending) and len(phrase) > len(ending) + 2
    ]
