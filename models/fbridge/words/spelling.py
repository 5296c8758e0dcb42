"""Slips of typing in the words that decide a prompt."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from string import ascii_lowercase

from fbridge.words.vocabulary import all_verbs

_DECIDING = ("left", "right", "down", "away", "camera", "zoom", "slowly", "quickly", "the", "and")
_SHORTEST = 5
"""Letters of a verb from which on two of them may be swapped."""


def _swapped(word: str) -> Iterator[str]:
    """The word with two neighbouring letters swapped, at each place."""
    for place in range(len(word) - 1):
        yield word[:place] + word[place + 1] + word[place] + word[place + 2 :]


_MEANT = {slip: word for word in _DECIDING for slip in _swapped(word) if slip != word}
_SLIPS = re.compile(rf"\b(?:{'|'.join(_MEANT)})\b")
_DRAWN_OUT = re.compile(r"([a-z])\1\1+")


def without_slips(text: str) -> str:
    """A text with the few words mended that decide it: "rigth", "camrea", "zooom"."""
    return _SLIPS.sub(lambda slip: _MEANT[slip.group()], _DRAWN_OUT.sub(r"\1\1", text))


def mended(words: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The words of a clause without a verb with the one that is meant, and what it was; else "".

    Two letters are swapped ("jumsp") or the last is dropped ("jumpin"). Forms in -s and -ing alone:
    "coats" is no "coast".
    """
    for place, word in enumerate(words):
        dropped = [word + "g"] if word.endswith("in") else []
        for one in (*_swapped(word), *dropped) if len(word) >= _SHORTEST else ():
            match = all_verbs().at([one], 0)
            if match and one != word and match.form in ("s", "ing"):
                return (*words[:place], one, *words[place + 1 :]), word
    return tuple(words), ""


def nearest_spelling(word: str, known: Collection[str]) -> str:
    """The known word that a word is but for two letters swapped, or one ("lizzard"); else "".

    Letters are likelier missing or too many than wrong, and the first is seldom mistyped. Of
    several words that are as near none is taken.
    """
    if len(word) < _SHORTEST:
        return ""
    ends = [(word[:place], word[place:]) for place in range(1, len(word) + 1)]
    ways = (
        [one for one in _swapped(word) if one[0] == word[0]],
        [start + end[1:] for start, end in ends if end],
        [start + letter + end for start, end in ends for letter in ascii_lowercase],
        [start + letter + end[1:] for start, end in ends if end for letter in ascii_lowercase],
    )
    found = [{one for one in way if one != word and one in known} for way in ways]
    likeliest: set[str] = next(filter(None, (found[0], found[1] | found[2], found[3])), set())
    return likeliest.pop() if len(likeliest) == 1 else ""
