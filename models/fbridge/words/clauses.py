"""Prompts in clauses, each with its speed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fbridge.words.lexicon import listed, word_set
from fbridge.words.order import usual_order
from fbridge.words.rewording import reworded, without_lead
from fbridge.words.vocabulary import all_verbs, camera_alone, flow_nouns, speeds

DETERMINERS, PREPOSITIONS = word_set("determiners"), word_set("prepositions")
AUXILIARIES, PRONOUNS = word_set("auxiliaries"), word_set("pronouns")
SLOWEST, FASTEST = 0.3, 2.0
_MAKERS = word_set("makers")
_SUBORDINATE = frozenset({"when", "as", "while", "whilst", "because", "before", "after", "until"})
_SHOTS = word_set("shots")
_CONNECTORS, NEGATIONS = word_set("connectors"), word_set("negations")
_NUMBERS, _UNITS, _COUNTS = (
    "|".join(sorted(listed("amounts", key), reverse=True)) for key in ("numbers", "units", "counts")
)
_AMOUNT = re.compile(
    rf"(?:\b(?:by|for|about|exactly|through|another) )*\b(?:\d+|{_NUMBERS}) (?:full |more )?"
    rf"(?:{_UNITS})\b(?! (?:as|faster|slower|quicker|speed|of)\b)|"
    rf"\b(?<!at )(?:{_COUNTS})\b(?! (?:as|again|more|upon|the|a|an|it)\b)"
)
_ALONE = frozenset(listed("style", "alone"))


@dataclass(frozen=True)
class Clause:
    """One statement of a prompt.

    Attributes:
        words: of the clause without its words of speed.
        joined: the connector before it: "", "and", "while", ",", ".".
        speed: 1 where nothing is said.
        negated: it says that something does not happen.
        amounts: counts, angles and lengths, which are not followed.
    """

    words: tuple[str, ...]
    joined: str
    speed: float = 1.0
    negated: bool = False
    amounts: tuple[str, ...] = ()

    def paced(self, pace: float = 1.0) -> float:
        """The speed of its motion, of which the verb has its own."""
        return round(min(max(self.speed * pace, SLOWEST), FASTEST), 3)


def split(prompt: str) -> list[Clause]:
    """The clauses of a prompt."""
    text = reworded(prompt)
    parts: list[tuple[str, list[str]]] = []
    for sentence in re.finditer(r"[^.,;:!?\n\u2014\u2013]+", text):
        stop = text[sentence.start() - 1] if sentence.start() else ""
        parts.append(("," if stop in ",;:\n\u2014\u2013" else ".", []))
        spoken = without_lead(sentence.group())
        words = _without_insertion(re.findall(r"[^\W_]+(?:[~'][^\W_]+)*|[&+]", spoken))
        for place, word in enumerate(words):
            joined = parts[-1][0]
            if word in _CONNECTORS or _opens(words, place) or _in_time(words, place):
                parts.append((word, []))
            elif word == "of" and place and words[place - 1] in _SHOTS:
                parts.append((",", []))  # "static shot of a dog jumping"
            elif joined in _SUBORDINATE and _follows(parts[-1][1], words[place:]):
                parts.append((",", [word]))
            elif word not in ("which", "who") and not _relative(words, place):
                parts[-1][1].append(word)
    if parts:
        parts[0] = ("", parts[0][1])
    merged: list[tuple[str, list[str]]] = []
    for joined, words in parts:
        if merged and not merged[-1][1]:
            joined = merged.pop()[0] or joined
        merged.append((joined, words))
    return _merged([_clause(joined, words) for joined, words in merged if words])


def _merged(clauses: Sequence[Clause]) -> list[Clause]:
    """Clauses without those of speed alone ("zoom in, fast"), which is given to the one before."""
    done: list[Clause] = []
    pending = 1.0
    for clause in clauses:
        if clause.words:
            done.append(replace(clause, speed=_limited(clause.speed * pending)))
            pending = 1.0
        elif done:
            last = done[-1]
            speed, amounts = last.speed * clause.speed, (*last.amounts, *clause.amounts)
            done[-1] = replace(last, speed=_limited(speed), amounts=amounts)
        else:
            pending = clause.speed
    return done


def _limited(speed: float) -> float:
    return round(min(max(speed, SLOWEST), FASTEST), 3)


def _relative(words: Sequence[str], place: int) -> bool:
    """Whether "that" opens a relative clause: a verb or an auxiliary follows."""
    if words[place] not in ("that", "which", "who") or not 0 < place < len(words) - 1:
        return False
    after = words[place + 1]
    match = all_verbs().at(words, place + 1)
    return after in AUXILIARIES or (match is not None and match.form == "s")


def _without_insertion(words: list[str]) -> list[str]:
    """Words without a relative clause before the verb: "the dog that sits on the sofa jumps"."""
    for place, word in enumerate(words):
        if word not in ("that", "which", "who") or not _relative(words, place):
            continue
        for at in range(place + 3, len(words)):
            match = all_verbs().at(words, at)
            if words[at] in _CONNECTORS:
                break
            if match and match.form == "s" and words[at - 1] not in DETERMINERS | PREPOSITIONS:
                return [*words[:place], *words[at:]]
    return words


def _follows(before: Sequence[str], words: Sequence[str]) -> bool:
    """Whether the main clause begins here: "when the bell swings the bird flies away"."""
    if words[0] not in DETERMINERS or not before or before[-1] in DETERMINERS:
        return False
    if before[-1] in PREPOSITIONS and before[-2:-1] and before[-2] not in DETERMINERS:
        return False  # "the left" is a place
    return _finite(before) and _finite(words[2:])


def _finite(words: Sequence[str]) -> bool:
    """Whether a verb in -s is among words, behind no determiner."""
    found = (
        all_verbs().at(words, at)
        for at in range(len(words))
        if not at or words[at - 1] not in DETERMINERS
    )
    return any(verb is not None and verb.form == "s" for verb in found)


def _in_time(words: Sequence[str], place: int) -> bool:
    """Whether "before" or "after" is followed by a statement."""
    if words[place] not in ("before", "after") or place + 2 >= len(words):
        return False
    end = next((at for at in range(place, len(words)) if words[at] in _CONNECTORS), len(words))
    return words[place + 1] in DETERMINERS | PRONOUNS and _finite(words[place + 2 : end])


def _opens(words: Sequence[str], place: int) -> bool:
    """Whether "with" is followed by a statement about the camera or a flow."""
    if words[place] != "with":
        return False
    rest = [word for word in words[place + 1 : place + 5] if word not in DETERMINERS]
    flowing = {
        "hair",
        "smoke",
        "steam",
        "rain",
        "snow",
        "waves",
        "clouds",
        "leaves",
        "flames",
        "water",
    }
    return any(
        word in ("camera", "zoom", "pan", "dolly") or (word in flowing and number < 2)
        for number, word in enumerate(rest)
    )


def _clause(joined: str, words: list[str]) -> Clause:
    kept: list[str] = []
    speed, place, text = 1.0, 0, " ".join(words)
    amounts = tuple(_AMOUNT.findall(text))
    words = _AMOUNT.sub(" ", text).split()
    while place < len(words):
        match = speeds().at(words, place)
        if match is None or _describes(words, place, match.length):
            kept.append(words[place])
            place += 1
        else:
            speed *= float(match.value)
            place += match.length
    if all(word in _ALONE for word in kept):
        kept = []
    her = kept[1:2] == ["her"] and kept[0] in _MAKERS and all_verbs().at(kept, 2) is not None
    if her and not any(all_verbs().at(kept, at) for at in range(3, len(kept))):
        kept[1] = "she"  # "make her spin", but "make her hair blow"
    negated = any(word in NEGATIONS for word in kept)
    return Clause(usual_order(kept), joined, _limited(speed), negated, amounts)


_PACED = word_set("abstract") | {
    "rain", "snow", "breeze", "wind", "camera", "waves", "water", "of", "video", "shot",
}  # fmt: skip
"""Words behind a word of speed that is no adjective of a thing."""


def _describes(words: Sequence[str], place: int, length: int) -> bool:
    """Whether a word of speed is an adjective of a thing, as in "the heavy box falls"."""
    before, after = words[:place], words[place + length :]
    if length > 1 or not after or words[place].endswith("ly"):
        return False
    if not (before and before[-1] in DETERMINERS):
        return False
    following = all_verbs().at(words, place + 1)
    return not (
        camera_alone().at(words, place + 1)
        or (following and following.form == "ing")
        or after[0] in _PACED
        or after[0] in flow_nouns()
    )
