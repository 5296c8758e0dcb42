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
from fbridge.words.inflection import IRREGULAR_PLURALS
from fbridge.words.lexicon import word_set
from fbridge.words.minilm import packaged_minilm
from fbridge.words.spelling import nearest_spelling

PACKAGED = Path(__file__).parents[2] / "pretrained" / "nouns.safetensors"
NEAR = 0.55
"""Cosine below which a word is not like any noun of the table."""
NEXT = 4
"""The nearest is believed if one of so many after it names some of its classes, and not just these:
embeddings go by spelling too ("tulip" lies by "tup", a ram), and spelling finds no such second."""
_ENDINGS = (("ies", "y"), ("ves", "f"), ("s", ""), ("es", ""))
"""Endings of plurals, and what they stand for."""
_PEOPLE = word_set("people")
_LIKE = {
    "aircraft": "helicopter", "airplane": "glider", "airship": "blimp zeppelin",
    "antelope": "deer stag moose elk fawn reindeer caribou",
    "bag": "suitcase", "bagel": "donut doughnut", "ball": "football", "basin": "sink",
    "bed": "mattress", "berry": "raspberry",
    "bird": "turkey raven swallow starling blackbird woodpecker kingfisher puffin grebe chick",
    "boat": "dinghy hovercraft sailboat yacht", "bookcase": "shelf",
    "building": "house cottage hut cabin villa hotel",
    "canoe": "kayak", "cassette": "tape", "cattle": "bull calf yak", "chair": "armchair stool",
    "coat": "jacket", "comforter": "blanket duvet", "comic book": "book newspaper",
    "conch": "seashell", "cup": "teacup", "dessert": "cake", "eared seal": "walrus",
    "fish": "cod mackerel sardine", "flagpole": "flag",
    "flower": "tulip rose lily sunflower dandelion daffodil poppy violet peony marigold",
    "fountain": "waterfall", "fruit": "tomato plum apricot grape", "goose": "gosling",
    "hamster": "gerbil chinchilla", "hen": "chicken", "horse": "pony foal mule",
    "insect": "hornet", "jewelry": "earring ring bracelet", "knot": "rope",
    "lamp": "lamppost", "llama": "alpaca", "matchstick": "match", "mountain": "hill",
    "ostrich": "emu", "owl": "owlet", "pepper": "chilli", "pig": "piglet",
    "refrigerator": "freezer", "seabird": "seagull cormorant",
    "sheep": "lamb", "shovel": "rake", "space shuttle": "shuttle",
    "spaghetti sauce": "pasta noodles noodle", "squirrel": "chipmunk", "vegetable": "onion",
    "wild dog": "jackal",
}  # fmt: skip
"""Nouns of the table with words for what looks like them, where the nearest is none or another."""
_ALSO = {
    "train": "locomotive|passenger car|freight car|streetcar", "cup": "mug|espresso", "mug": "cup",
    "crt screen": "television|desktop computer", "laptop": "notebook", "notebook": "laptop",
    "phone": "ipod|hand-held computer", "swan": "goose", "sheep": "goat", "goat": "sheep",
    "rabbit": "hare", "watch": "analog clock|stopwatch", "tower": "castle|church|water tower",
}  # fmt: skip
"""Nouns of the table with others whose classes show what they mean, too."""
_NAMES = {
    "monitor": "crt screen", "computer screen": "crt screen", "bottle cap": "bottlecap",
    "robin": "oscine", "lantern": "lamp", "stuffed animal": "teddy bear", "soft toy": "teddy bear",
    "plush": "teddy bear", "plush toy": "teddy bear", "stuffed toy": "teddy bear",
}  # fmt: skip
"""Nouns that the table has in another or a narrower sense, or not at all, with what they are."""
_STUFFED, _ANIMALS = {"stuffed", "plush"}, 398
"""Before the noun of an animal they tell a toy; the first so many of the classes are animals."""
_SAME = (
    {"pit bull": "dog"} | _NAMES | {w: noun for noun, words in _LIKE.items() for w in words.split()}
)
_NO_CLASS = {
    "tree", "bush", "palm", "plant", "leaf", "rock", "stone", "cloud", "sky",
    "thing", "object", "item",
    "toy", "doll", "cap", "kite", "mole", "cactus", "saucer", "blender", "bat", "coconut", "egg",
    "cheese", "chocolate", "letter", "ladder", "river", "skull", "windmill", "chess",
}  # fmt: skip
"""Words without a class of their own, for which the table has, alike or in another sense, others:
toy dogs for "toy", a hawk for "kite"."""
_HYPHENED = {"small-arm", "make-up", "drop-off", "two-piece", "man-eater"}
"""Nouns that mean something else without their hyphens."""
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
        for word, row in tuple(self._rows.items()):  # prompts are read without hyphens
            if "-" in word and word not in _HYPHENED:
                self._rows.setdefault(word.replace("-", " "), row)
        self._known = {*self._rows, *_SAME, *_PEOPLE, *_NO_CLASS}

    def named(self, noun: str) -> Tensor:
        """(1000,) bool: the classes that a noun phrase names; none of an unknown or empty one."""
        row = self._row(noun)
        if row is None:
            return torch.zeros(CLASSES, dtype=torch.bool)
        also = _ALSO.get(list(self._rows)[row], "").split("|")
        rows = [row, *(self._rows[word] for word in also if word in self._rows)]
        bits = torch.from_numpy(np.unpackbits(self._classes[rows], axis=1, count=CLASSES))
        named = bits.bool().any(0)
        if _STUFFED & set(noun.lower().split()[:-1]) and not named[_ANIMALS:].any():
            return self.named("teddy bear")
        return named

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

    def slip(self, noun: str) -> tuple[str, str]:
        """A misspelt noun and the one that is meant: "lizzard", "lizard"; "" of other phrases."""
        words = noun.lower().split()
        tails = [" ".join(words[start:]) for start in range(len(words))]
        if not words or any(one in self._known for tail in tails for one in _singular(tail)):
            return "", ""
        head = words[-1]
        meant = [nearest_spelling(one, self._known) for one in _singular(head)]
        found = next(filter(None, meant), "")
        if not found or any(packaged_minilm().is_word(one) for one in _singular(head)):
            return "", ""
        return head, found

    def _row(self, noun: str) -> int | None:
        words = noun.lower().split()
        for start in range(len(words)):  # "tabby cat", then "cat"
            for phrase in _singular(" ".join(words[start:])):
                if phrase in _NO_CLASS:
                    return None
                if (known := _SAME.get(phrase, phrase)) in self._rows:
                    return self._rows[known]
        if not words:
            return None
        head = words[-1]
        if any(phrase in _PEOPLE for phrase in _singular(head)):
            return self._rows["person"]
        if meant := self.slip(head)[1]:
            return self._row(meant)
        likeness = self._embeddings.float() @ packaged_minilm().pooled([head])[0]
        # A "tree sloth" lies near "tree", and is none.
        heads = tuple(_singular(head))
        compound = [row for word, row in self._rows.items() if word.startswith(heads)]
        likeness[compound] = -1
        best, *others = likeness.topk(1 + NEXT).indices.tolist()
        borne_out = any(self._overlap(best, other) for other in others)
        if list(self._rows)[best] in _NO_CLASS or not borne_out:
            return None
        return best if float(likeness[best]) >= NEAR else None

    def _overlap(self, row: int, other: int) -> bool:
        """Whether two nouns share some classes, and one has more."""
        one, two = self._classes[row], self._classes[other]
        return bool((one & two).any() and (one != two).any())


@cache
def packaged_nouns() -> NounTable:
    """The table that comes with fbridge."""
    return NounTable()


def is_plural(noun: str) -> bool:
    """Whether a noun phrase names several things."""
    head = noun.lower().split()[-1:]
    return bool(head) and (
        head[0] in IRREGULAR_PLURALS
        or (head[0].endswith("s") and head[0][-2:] not in _SINGULAR and head[0] != "lens")
    )


def not_found(noun: str) -> str:
    """How it is said that nothing in the picture is what a noun names."""
    return f"no {noun} {'are' if is_plural(noun) else 'is'} found in the picture"


def _singular(phrase: str) -> list[str]:
    """A phrase and what it may be the plural of."""
    return [phrase] + [
        phrase.removesuffix(ending) + instead
        for ending, instead in _ENDINGS
        if phrase.endswith(ending) and len(phrase) > len(ending) + 2
    ]
