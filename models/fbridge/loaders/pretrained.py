"""A pretrained model, taken apart: what fine-tuning begins with and an untrained bridge is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from fbridge.backbones.family import Family
from fbridge.codecs import Codec
from fbridge.conditioning.text import PairTextEncoder
from fbridge.loaders.text_encoder import MINILM, load_text_encoder
from fbridge.scheduler import FrameBridgeScheduler


@dataclass(frozen=True)
class PretrainedModel:
    """A pretrained model, taken apart.

    Attributes:
        name: as it was asked for.
        hash: sha256 of its file or files; "" of a network from scratch.
        family: of its network.
        transformer: the network; None from scratch, where the data decide its shapes.
        preset: of a network from scratch.
        noise_schedule: the argument of `build_noise_schedule`; None if it has none.
        prediction: what it answers: "v", "flow", "noise", "clean"; of a bridge its scheduler's.
        codec: of its latents; None where the data tell it.
        vae: diffusers' autoencoder behind the codec, where it is one.
        text_encoder: name of what reads its words.
        frames: default, minimum, maximum and step of their number.
        fps: frames per second.
        sizes: (width, height) it was trained at; None where any will do.
        scheduler: of a base that is a bridge already.
        prior: network of such a one.
        classes: names of a class-conditional one's.
        start_from: of a bridge, see `FrameBridgePipeline`.
        image_encoder: what looks at the picture for a network that is told of it; None of others.
        dtype: of the networks.
    """

    name: str
    hash: str
    family: Family
    transformer: Any = None
    preset: str | None = None
    noise_schedule: dict[str, Any] | None = None
    prediction: str | None = None
    codec: Codec | None = None
    vae: Any = None
    text_encoder: str = MINILM
    frames: list[int] = field(default_factory=lambda: [16, 2, 64, 1])
    fps: float = 8.0
    sizes: list[list[int]] | None = None
    scheduler: FrameBridgeScheduler | None = None
    prior: Any = None
    classes: list[str] | None = None
    start_from: dict[str, Any] | None = None
    image_encoder: Any = None
    dtype: torch.dtype = torch.float32

    def components(self) -> dict[str, Any]:
        """Arguments of `FrameBridgePipeline` that are the base's own, but its network."""
        held: dict[str, Any] = {"vae": self.vae} if self.vae is not None else {"codec": self.codec}
        if self.text_encoder != MINILM:
            encoder = load_text_encoder(self.text_encoder, dtype=self.dtype)
            held.update(text_encoder=encoder.model, tokenizer=encoder.tokenizer)
            if isinstance(encoder, PairTextEncoder):
                held.update(text_encoder_2=encoder.second, tokenizer_2=encoder.second_tokenizer)
            held["reading"] = list(encoder.reading)
        if self.image_encoder is not None:
            held["image_encoder"] = self.image_encoder
        facts = {"frames": self.frames, "fps": self.fps, "sizes": self.sizes}
        return {**held, **facts, "classes": self.classes}
