"""Prompts in clauses, each with its speed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fbridge.words.inflection import normalise
from fbridge.words.lexicon import listed, word_set
from fbridge.words.vocabulary import all_verbs, camera_alone, speeds

DETERMINERS, PREPOSITIONS = word_set("determiners"), word_set("prepositions")
AUXILIARIES, PRONOUNS = word_set("auxiliaries"), word_set("pronouns")
SLOWEST, FASTEST = 0.3, 2.0
_CONNECTORS, NEGATIONS = word_set("connectors"), word_set("negations")
_LEAD = re.compile(
    r"^(?:please |can you |could you |i want (?:to see )?|i would like (?:to see )?|we see |"
    r"you can see |"
    r"there (?:is|are) |show me |show |add (?:some )?|now |suddenly |also |meanwhile |imagine |"
    r"(?:a |an |the |this )?(?:short |looping |realistic |cinematic )?"
    r"(?:video|clip|animation|gif|movie|film|footage|scene|shot|photo|picture|image|loop|photograph)"
    r" (?:of|where|in which|that shows|showing|with) )+"
)
_REWORDED = [
    (re.compile(pattern), by)
    for pattern, by in (
        (
            r"\b(turn|switch)(s|es|ed|ing)? ((?:the|a|my|his|her)(?: \w+){1,3}) (on|off)"
            r"(?! (?:the|a|an|my|his|her|its|this)\b)",
            r"\1\2 \4 \3",
        ),
        (
            r"\b(?:at first|first of all|first|next|at last|last|after that|in the end) "
            r"(?=(?:the|a|an|my|his|her|our|both|it|he|she|they|zoom|pan|tilt)\b)",
            "",
        ),
        (
            r"\bbetween ((?:the|a|an|my|his|her) (?:\w+ )?\w*[^\Ws]) "
            r"and (the|a|an|my|his|her) (\w+)",
            r"between \1~and~\2~\3",
        ),
        (r"\bnothing (?:but|except) (?=\w)", "only "),
        (r"\ball (?:but|except)\b", "everything except"),
        (
            r"\b(every(?:thing|one|body)|all \w+) (?:but|except|besides)(?: for)?\b",
            r"\1 except",
        ),
        ("\u00b0", " degrees"),
        ("%", " percent"),
        (r"\b(?:a |the )?(?:360 )?(?:degrees? )?(?:rotation|spin) of (?=\w)", "spin "),
        (r"\bmake (.+?) (bigger|larger|smaller|brighter)\b", r"\1 gets \2"),
        (
            r"\b(?:add|give|bring)(?: some| a little| a bit of| a| more| subtle| gentle)* "
            r"(?:motion|movement|life|animation) (?:to|into|in) "
            r"(?!(?:the |this |my )?(?:picture|photo|photograph|image|scene|it|this)\b)([\w ]+)",
            r"\1 moves",
        ),
    )
]
_STYLE = re.compile(
    r"\b(?:"
    + "|".join(sorted((re.escape(one) for one in listed("style", "anywhere")), reverse=True))
    + r")\b"
)
_NUMBERS, _UNITS, _COUNTS = (
    "|".join(sorted(listed("amounts", key), reverse=True)) for key in ("numbers", "units", "counts")
)
_AMOUNT = re.compile(
    rf"(?:\b(?:by|for|about|exactly|through|another) )*\b(?:\d+|{_NUMBERS}) (?:full |more )?"
    rf"(?:{_UNITS})\b(?! (?:as|faster|slower|quicker|speed|of)\b)|"
    rf"\b(?<!at )(?:{_COUNTS})\b(?! (?:as|again|more|upon|the|a|an|it)\b)"
)
_ALONE = frozenset(listed("style", "alone"))
_STILL_PICTURE = re.compile(r"^(?:a |the )?still (?:picture|image|photo|photograph|life) of (.*)$")


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


def split(prompt: str) -> list[Clause]:
    """The clauses of a prompt."""
    text = _STYLE.sub(" ", re.sub(r"[\"()\[\]{}<>*_#|]", " ", normalise(prompt)))
    for pattern, by in _REWORDED:
        text = pattern.sub(by, text)
    parts: list[tuple[str, list[str]]] = []
    for sentence in re.finditer(r"[^.,;:!?\n\u2014\u2013]+", text):
        stop = text[sentence.start() - 1] if sentence.start() else ""
        parts.append(("," if stop in ",;:\n\u2014\u2013" else ".", []))
        spoken = _STILL_PICTURE.sub(
            r"\1 stays still", _LEAD.sub("", " ".join(sentence.group().split()))
        )
        words = re.findall(r"[^\W_]+(?:[~'][^\W_]+)*|[&+]", spoken)
        for place, word in enumerate(words):
            if word in _CONNECTORS or _opens(words, place):
                parts.append((word if word in _CONNECTORS else "with", []))
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
    if words[place] != "that" or not 0 < place < len(words) - 1:
        return False
    after = words[place + 1]
    match = all_verbs().at(words, place + 1)
    return after in AUXILIARIES or (match is not None and match.form == "s")


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
    negated = any(word in NEGATIONS for word in kept)
    return Clause(tuple(kept), joined, _limited(speed), negated, amounts)


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
    )
