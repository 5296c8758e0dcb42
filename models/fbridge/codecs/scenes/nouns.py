"""Which of ImageNet's classes a noun names: by WordNet's hypernyms, for other words the nearest.

The table is made by `examples/embedded/nouns.py`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from fbridge.codecs.scenes.features import CLASSES
from fbridge.words.lexicon import word_set
from fbridge.words.minilm import packaged_minilm

PACKAGED = Path(__file__).parents[2] / "pretrained" / "nouns.safetensors"
NEAR = 0.55
"""Cosine below which a word is not like any noun of the table."""
_ENDINGS = (("ies", "y"), ("ves", "f"), ("es", ""), ("s", ""))
"""Endings of plurals, and what they stand for."""
_PLURALS = {"people", "men", "women", "children", "geese", "mice", "feet", "teeth", "sheep"}
_PEOPLE, _SAME = word_set("people"), {"flag": "flagpole"}
_NO_CLASS = {"tree", "bush", "palm", "plant", "leaf", "rock", "stone", "cloud", "sky"}
"""Words without a class of their own, whose neighbours in the table are other things."""
_SINGULAR = {"ss", "us", "is"}
"""Endings of words in s that name one thing."""


class NounTable:
    """Nouns with the classes that they name, and their embeddings.

    Args:
        path: a safetensors file with `words` (uint8, joined by line feeds), `classes` (N, 125)
            uint8 of packed bits, and `embeddings` (N, 384) float16.
    """

    def __init__(self, path: Path = PACKAGED) -> None:
        stored = load_file(path)
        self._classes, self._embeddings = stored["classes"].numpy(), stored["embeddings"]
        words = bytes(stored["words"].tolist()).decode().split("\n")
        self._rows = {word: row for row, word in enumerate(words)}

    def named(self, noun: str) -> Tensor:
        """(1000,) bool: the classes that a noun phrase names; none of an unknown or empty one."""
        row = self._row(noun)
        if row is None:
            return torch.zeros(CLASSES, dtype=torch.bool)
        bits = np.unpackbits(self._classes[row], count=CLASSES)
        return torch.from_numpy(bits.astype(bool))

    def adjectives(self, noun: str) -> str:
        """The words of a phrase before the noun that the table knows: "" of "golden retriever"."""
        words = noun.lower().split()
        for start in range(len(words)):
            if any(phrase in self._rows for phrase in _singular(" ".join(words[start:]))):
                return " ".join(words[:start])
        return " ".join(words[:-1])

    def name_of(self, label: int) -> str:
        """The noun that names a class and the fewest others."""
        rows = np.flatnonzero(self._classes[:, label // 8] >> (7 - label % 8) & 1)
        counts = np.unpackbits(self._classes[rows], axis=1).sum(1)
        return list(self._rows)[rows[counts.argmin()]]

    def _row(self, noun: str) -> int | None:
        words = noun.lower().split()
        for start in range(len(words)):  # "tabby cat", then "cat"
            for phrase in _singular(" ".join(words[start:])):
                if phrase in self._rows:
                    return self._rows[phrase]
        if not words:
            return None
        head = words[-1]
        for phrase in _singular(head):
            if phrase in _PEOPLE or phrase in _SAME:
                return self._rows[_SAME.get(phrase, "person")]
            if phrase in _NO_CLASS:
                return None
        likeness = self._embeddings.float() @ packaged_minilm().pooled([head])[0]
        # A "tree sloth" lies near "tree", and is none.
        heads = tuple(_singular(head))
        compound = [row for word, row in self._rows.items() if word.startswith(heads)]
        likeness[compound] = -1
        best = int(likeness.argmax())
        return best if float(likeness[best]) >= NEAR else None


@cache
def packaged_nouns() -> NounTable:
    """The table that comes with fbridge."""
    return NounTable()


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
