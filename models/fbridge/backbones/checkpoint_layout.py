"""What a family's weights look like in a file: names of tensors, and the models that are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fbridge.files.key_mapping import Weights


class CheckpointLayout(NamedTuple):
    """One way in which the tensors of a family are named.

    Attributes:
        style: "diffusers", or "original" for that of the model's makers.
        keys: tensors that are in every file of it and, together, of no other family's.
        convert: to diffusers' names and shapes; None where they are those.
        beside: beginnings of names in a whole model's file that are the network's too, though they
            lack what stands before its others.
    """

    style: str
    keys: tuple[str, ...]
    convert: Callable[[Weights], Weights] | None = None
    beside: tuple[str, ...] = ()


class Variant(NamedTuple):
    """A published model of a family.

    Attributes:
        name: as its makers call it.
        hubs: ids of the diffusers pipelines whose transformer looks so; where there are several,
            their autoencoders differ.
        config: of its transformer, where it differs from the class's own defaults.
    """

    name: str
    hubs: tuple[str, ...]
    config: Mapping[str, Any]
