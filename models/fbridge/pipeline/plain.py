"""A model's folder as a pipeline without diffusers, which takes longer to import than to sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fbridge.backbones.space_time_plain import PlainSpaceTime
from fbridge.codecs import Codec
from fbridge.codecs.scenes.codec import PlainSceneCodec
from fbridge.errors import CheckpointError
from fbridge.files.configs import read_json
from fbridge.files.hashing import hash_model
from fbridge.files.plain import Config, configure, load_plain
from fbridge.pipeline.sampling import BridgeSampling
from fbridge.prior import NeuralPrior, Prior, ReplicatePrior
from fbridge.scheduler_plain import PlainScheduler
from fbridge.words.encoder import PromptEncoder
from fbridge.words.minilm import packaged_minilm

_PLAIN: dict[str, dict[str, Callable[..., Any]]] = {
    "transformer": {"SpaceTimeTransformer": PlainSpaceTime},
    "prior": {"SpaceTimeTransformer": PlainSpaceTime},
    "codec": {"SceneCodec": PlainSceneCodec},
    "scheduler": {"FrameBridgeScheduler": PlainScheduler},
}
"""The plain form of each part's class, by its name in `model_index.json`."""
_FACTS = ("frames", "fps", "sizes", "classes", "world")


class PlainPipeline(BridgeSampling):
    """Gives the same frames as `FrameBridgePipeline`, of folders whose parts have a plain form.

    Args:
        folder: written by `save_pretrained`; nothing that it names is imported.

    Raises:
        CheckpointError: a part has no plain form, or does not load.
    """

    def __init__(self, folder: Path) -> None:
        index = read_json(folder / "model_index.json")
        kinds = plain_kinds(index)
        if kinds is None:
            raise CheckpointError(f"{folder}: has parts that only FrameBridgePipeline loads")
        self._folder = folder
        self.config = Config({fact: index.get(fact) for fact in _FACTS})
        settings = read_json(folder / "scheduler" / "scheduler_config.json")
        self.scheduler = configure(kinds.pop("scheduler"), settings)
        networks = {part: load_plain(kind, folder / part) for part, kind in kinds.items()}
        self.components = {**networks, "scheduler": self.scheduler}
        self.transformer = networks["transformer"]

    def to(self, device: str) -> None:
        """Move its networks to a device."""
        for part in self.components.values():
            if isinstance(part, nn.Module):
                part.to(device)

    @cached_property
    def model_hash(self) -> str:
        """sha256 over the files that the model was loaded from."""
        return hash_model(self._folder)

    @property
    def latent_codec(self) -> Codec:
        """The codec of its latents."""
        codec: Codec = self.components["codec"]
        return codec

    @property
    def start(self) -> Prior:
        """The neural prior, or without one the repeated picture."""
        network = self.components.get("prior")
        return ReplicatePrior() if network is None else NeuralPrior(network)

    @property
    def backbone(self) -> nn.Module:
        """The network itself."""
        network: nn.Module = self.transformer
        return network

    @property
    def patch(self) -> int:
        """Side of the network's patches, in latent pixels."""
        return int(self.transformer.config.patch)

    @property
    def prompt_encoder(self) -> PromptEncoder:
        """The packaged MiniLM."""
        return packaged_minilm()

    @property
    def execution_device(self) -> torch.device:
        """Where its network is."""
        device: torch.device = self.transformer.device
        return device


def plain_kinds(index: Mapping[str, Any]) -> dict[str, Callable[..., Any]] | None:
    """The plain class of each part that a `model_index.json` names; None where one has none."""
    kinds: dict[str, Callable[..., Any]] = {}
    for part, value in index.items():
        if part[0] == "_" or part in _FACTS or value in (None, [None, None]):
            continue
        kind = _PLAIN.get(part, {}).get(value[1]) if isinstance(value, list) else None
        if kind is None:
            return None
        kinds[part] = kind
    needed = {"transformer", "codec", "scheduler"}
    return kinds if needed <= kinds.keys() and not index.get("classes") else None
