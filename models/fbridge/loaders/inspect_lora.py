"""What a LoRA file is of: for a description of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fbridge.backbones.families import FAMILIES
from fbridge.errors import CheckpointError
from fbridge.files.tensors import read_header
from fbridge.loaders.detect import is_low_rank
from fbridge.loaders.experts import told_expert
from fbridge.loaders.lora_family import family_of_layers, variant_of_shapes
from fbridge.loaders.lora_file import read_lora

_BASE = ("modelspec.architecture", "ss_base_model_version", "ss_sd_model_name", "base_model")
_WORDS = ("modelspec.trigger_phrase", "trigger_word", "activation text")
"""Keys of the metadata with the model that it was trained on, and with words for prompts."""


@dataclass(frozen=True)
class InspectedLora:
    """Description of a LoRA file.

    Attributes:
        path: of the file.
        family: of the network that it was made for; "" where its names do not tell.
        variant: the published model of that family whose shapes it has; "" where there is none.
        expert: which network of a pair its name says that it is for: "low", "high" or "".
        tensors: how many it has.
        updates: how many differences it holds, each of a tensor of the network.
        ranks: the smallest and the largest; (0, 0) where it has whole differences alone.
        whole: how many updates are whole differences.
        dora: whether it has magnitudes (arXiv 2402.09353).
        dtypes: number of tensors of each type.
        steps: sampling steps that it was distilled to, as its name says; None where it says none.
        trained_on: the model that its metadata names.
        words: for prompts, as its metadata has them.
    """

    path: str
    family: str
    variant: str
    expert: str
    tensors: int
    updates: int
    ranks: tuple[int, int]
    whole: int
    dora: bool
    dtypes: dict[str, int]
    steps: int | None
    trained_on: str
    words: str


def is_lora(path: Path) -> bool:
    """Whether a file's tensors are low-rank updates; false of what cannot be read."""
    try:
        return path.is_file() and is_low_rank(read_header(path).shapes)
    except CheckpointError:
        return False


def inspect_lora(path: Path) -> InspectedLora:
    """Describe a LoRA file.

    Raises:
        CheckpointError: it is broken, or a tensor's name is not known.
    """
    header, file = read_header(path), read_lora(path)
    named = family_of_layers([update.layer for update in file.updates])
    family = next((known for known in FAMILIES.values() if known.name == named), None)
    ranks = [update.rank for update in file.updates if update.rank is not None]
    expert = told_expert(path, header.metadata)
    return InspectedLora(
        str(path),
        family=named,
        variant="" if family is None else variant_of_shapes(file.updates, family),
        expert=expert if expert in ("low", "high") else "",
        tensors=file.tensors,
        updates=len(file.updates),
        ranks=(min(ranks), max(ranks)) if ranks else (0, 0),
        whole=sum(update.whole for update in file.updates),
        dora=any(update.magnitude is not None for update in file.updates),
        dtypes=dict(Counter(header.dtypes.values())),
        steps=file.steps,
        trained_on=_first(header.metadata, _BASE),
        words=_first(header.metadata, _WORDS),
    )


def _first(metadata: Mapping[str, str], keys: Sequence[str]) -> str:
    return next((str(metadata[key]) for key in keys if metadata.get(key)), "")
