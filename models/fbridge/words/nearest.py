"""Verbs that the lexicon does not list: the motion whose verbs mean nearly the same.

Kernel ridge regression on the embeddings of all listed verbs in their -ing form, those of unknown
motions among them. Leaving out one verb at a time, of 289 known ones 28 % are given their motion,
5 % another one and 67 % none; of 421 unknown ones 1.7 % are given a motion. (The nearest verb
alone, at the same rate, finds 18 %.)
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from fbridge.words.inflection import inflect
from fbridge.words.vocabulary import object_verb_senses

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 0.3
"""The least score of a motion: at 0.25, 1.9 % of unknown verbs are given one."""
_RIDGE = 0.1
_SHARPNESS = 2.0


def nearest_motion(verb: str) -> str:
    """The motion that a verb in any form means; "" where none is near enough."""
    import torch

    from fbridge.words.minilm import packaged_minilm

    known, weights, names = _regression()
    seen = packaged_minilm().pooled([_in_ing(_base(verb))])
    scores = _kernel(seen, known) @ weights
    best = int(scores[0].argmax())
    return names[best] if torch.isfinite(scores).all() and scores[0, best] >= LEAST else ""


@cache
def _regression() -> tuple[Tensor, Tensor, list[str]]:
    """Embeddings (N, D) of the verbs, weights (N, M), and the M motions, the first "" for none."""
    import torch

    from fbridge.words.minilm import packaged_minilm

    senses = {one[0]: sense for one, sense in object_verb_senses().items() if len(one) == 1}
    names = ["", *sorted({sense.motion for sense in senses.values()} - {""})]
    verbs = sorted((_in_ing(verb), verb) for verb, sense in senses.items() if not sense.state)
    encode = packaged_minilm()
    parts = [encode.pooled([ing for ing, _ in verbs[k : k + 64]]) for k in range(0, len(verbs), 64)]
    known = torch.cat(parts)
    target = known.new_zeros(len(verbs), len(names))
    for row, (_, verb) in enumerate(verbs):
        target[row, names.index(senses[verb].motion)] = 1
    target -= target.mean(0)
    ridge = _RIDGE * torch.eye(len(verbs), dtype=known.dtype)
    return known, torch.linalg.solve(_kernel(known, known) + ridge, target), names


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return ((a @ b.mT - 1) * 2 * _SHARPNESS).exp()


def _in_ing(base: str) -> str:
    if base.endswith("ing") and base[:-3].strip("bcdfghjklmnpqrstvwxz"):
        return base
    return [form for kind, form in inflect(base) if kind == "ing"][-1]


def _base(verb: str) -> str:
    """The base form of a regular verb, nearly: enough for its -ing form."""
    if verb.endswith("ies"):
        return verb[:-3] + "y"
    if verb.endswith(("ches", "shes", "sses", "xes", "zzes")):
        return verb[:-2]
    if verb.endswith("s") and not verb.endswith("ss"):
        return verb[:-1]
    return verb
