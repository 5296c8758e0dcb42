"""A pretrained model as its parts: for fine-tuning and for training-free bridges."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from fbridge.backbones.family import Family
from fbridge.codecs import Codec
from fbridge.conditioning.text import PairTextEncoder, TextEncoder
from fbridge.errors import ConfigError
from fbridge.files.hashing import hash_model
from fbridge.loaders.lora_merge import MergedLora
from fbridge.loaders.text_encoder import MINILM, load_text_encoder
from fbridge.scheduler import FrameBridgeScheduler


@dataclass(frozen=True)
class PretrainedModel:
    """A pretrained model as its parts.

    Attributes:
        name: as it was asked for.
        hash: sha256 of its file or files; "" of a network from scratch.
        family: of its network.
        transformer: the network; None from scratch, where its shapes follow from the data.
        transformer_2: of a pair of networks the one for little noise.
        boundary: the network time from which on `transformer` of a pair answers.
        preset: of a network from scratch.
        noise_schedule: the argument of `build_noise_schedule`; None if it has none.
        prediction: "v", "flow", "noise" or "clean"; of a bridge its scheduler's.
        codec: of its latents; None from scratch.
        vae: diffusers' autoencoder behind the codec, where it is one.
        codec_path: folder of the codec, or the single file that holds it.
        text_encoder: name of its text encoder.
        frames: default, minimum, maximum and step of their number.
        fps: frames per second.
        sizes: (width, height) it was trained at; None where any will do.
        world: the only things that it knows, such as "drawn shapes"; "" where nothing is said.
        scheduler: of a model that is a bridge already.
        prior: network of such a model.
        classes: names of a class-conditional model's.
        start_from: of a bridge, see `FrameBridgePipeline`.
        image_encoder: CLIP's, of a network that takes image embeddings; None of others.
        dtype: of the networks.
        loras: that have been merged into the network.
    """

    name: str
    hash: str
    family: Family
    transformer: Any = None
    transformer_2: Any = field(default=None, kw_only=True)
    boundary: float | None = field(default=None, kw_only=True)
    preset: str | None = None
    noise_schedule: dict[str, Any] | None = None
    prediction: str | None = None
    codec: Codec | None = None
    vae: Any = None
    codec_path: Path | None = None
    text_encoder: str = MINILM
    frames: list[int] = field(default_factory=lambda: [16, 2, 64, 1])
    fps: float = 8.0
    sizes: list[list[int]] | None = None
    world: str = ""
    scheduler: FrameBridgeScheduler | None = None
    prior: Any = None
    classes: list[str] | None = None
    start_from: dict[str, Any] | None = None
    image_encoder: Any = None
    dtype: torch.dtype = torch.float32
    loras: tuple[MergedLora, ...] = ()

    @cached_property
    def codec_hash(self) -> str:
        """`LoadedCodec.hash` of the codec; "" from scratch."""
        if self.codec_path is None:
            return ""
        return self.hash if self.codec_path.is_file() else hash_model(self.codec_path)

    def check_one_network(self) -> None:
        """Raise ConfigError for a pair of networks, which are trained one by one."""
        if self.transformer_2 is not None:
            raise ConfigError(
                f"base {self.name}: is a pair of networks, which are trained one by one; add "
                "--expert low, for little noise and most of the bridge, or --expert high, and join "
                "the two runs by fbridge export --with"
            )

    def components(self) -> dict[str, Any]:
        """Arguments of `FrameBridgePipeline`: all parts but the network and the scheduler."""
        held: dict[str, Any] = {"vae": self.vae} if self.vae is not None else {"codec": self.codec}
        if self.text_encoder != MINILM:
            encoder = load_text_encoder(self.text_encoder, dtype=self.dtype)
            assert isinstance(encoder, TextEncoder), "only MiniLM is of another class"
            held.update(text_encoder=encoder.model, tokenizer=encoder.tokenizer)
            if isinstance(encoder, PairTextEncoder):
                held.update(text_encoder_2=encoder.second, tokenizer_2=encoder.second_tokenizer)
            held["reading"] = list(encoder.reading)
        if self.image_encoder is not None:
            held["image_encoder"] = self.image_encoder
        held |= {} if self.transformer_2 is None else {"transformer_2": self.transformer_2}
        facts = {"frames": self.frames, "fps": self.fps, "sizes": self.sizes}
        return {**held, **facts, "classes": self.classes, "world": self.world or None}
