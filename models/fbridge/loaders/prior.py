"""Priors by name, and the one that moves the picture by the embedded model's motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.codecs import Codec
from fbridge.codecs.motion import MotionCodec
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.modules import load_folder
from fbridge.loaders.locate import EMBEDDED, locate_model
from fbridge.loaders.text_encoder import MINILM
from fbridge.prior import MixPrior, NeuralPrior, Prior, ReplicatePrior
from fbridge.types import Condition, Latents, View

KINDS = ("repeat", "neural", "motion", "mix")


@dataclass(frozen=True)
class MotionPrior:
    """The picture moved by the embedded model's regression, in any codec's latents.

    The embedded neural prior turns picture and prompt into motions, the renderer moves the
    picture's own pixels by them, the codec encodes the frames. Deterministic and without training.

    Attributes:
        motion: the embedded model's codec.
        network: its prior.
        codec: of the latents that the bridge works on.
    """

    motion: MotionCodec
    network: SpaceTimeTransformer
    codec: Codec

    def __call__(self, still: Latents, condition: Condition, view: View | None, /) -> Latents:
        """Moves the view's pictures, each (3, H, W) in [0, 1]."""
        if view is None:
            raise ValueError("the motion prior needs the pictures' pixels: pass the codec's view")
        guess = self.from_pictures(view.scenes, condition, still.shape[1])
        return guess.to(still)

    @torch.no_grad()
    def from_pictures(
        self, pictures: Sequence[Tensor], condition: Condition, latent_frames: int
    ) -> Latents:
        """Latents (B, F, C, H, W), F = latent_frames, from pictures (3, H, W) in [0, 1].

        Raises:
            CheckpointError: the prompt embeddings are not those of the embedded model's encoder.
        """
        width = self.network.config["text_width"]
        if condition.prompt_embeds.shape[-1] != width:
            raise CheckpointError(
                f"the motion prior reads {MINILM}'s embeddings ({width} features), not these "
                f"({condition.prompt_embeds.shape[-1]}); use that text encoder or another prior"
            )
        device = condition.prompt_embeds.device
        self.motion.to(device)
        self.network.to(device)
        moving = [picture.to(device, torch.float32) for picture in pictures]
        view = self.motion.view(moving, condition.prompt_embeds, condition.prompt_mask)
        inputs = Condition(condition.prompt_embeds, condition.prompt_mask, view.image_latents)
        frames = (latent_frames - 1) * (getattr(self.codec, "temporal", None) or 1) + 1
        rest = self.motion.still(view, frames).mean
        videos = self.motion.decode(self.network(rest, None, inputs), view)
        seen = self.codec.view(moving, condition.prompt_embeds, condition.prompt_mask)
        return self.codec.encode(videos, seen).mean


def build_prior(kind: str, network: nn.Module | None, mix: float, codec: Codec) -> Prior:
    """A prior by its kind.

    Args:
        kind: "repeat", "neural", "motion", or "mix" of the repeated picture with the network's
            guess, or without a network with the motion prior's.
        network: of a neural prior.
        mix: share of the guess in a mix.
        codec: of the latents.

    Raises:
        ConfigError: the kind is unknown, or it lacks its network.
    """
    match kind:
        case "repeat":
            return ReplicatePrior()
        case "neural" if network is not None:
            return NeuralPrior(network)
        case "neural":
            raise ConfigError(
                "prior kind 'neural' needs a network: train one with fbridge train-prior and name "
                "it as prior.path, or use kind 'repeat' or 'motion'"
            )
        case "motion":
            return _motion_prior(codec)
        case "mix":
            return MixPrior(_motion_prior(codec) if network is None else NeuralPrior(network), mix)
    raise ConfigError(f"prior kind {kind!r} is unknown; known: {', '.join(KINDS)}")


def _motion_prior(codec: Codec) -> MotionPrior:
    if codec.reads_text:
        raise ConfigError(
            "the motion prior makes pixels, but this codec's latents are motions already; use "
            "prior kind 'neural' or 'repeat'"
        )
    return MotionPrior(*_embedded_motion(), codec)


@lru_cache(maxsize=1)
def _embedded_motion() -> tuple[MotionCodec, SpaceTimeTransformer]:
    folder = locate_model(EMBEDDED)
    codec: MotionCodec = load_folder(MotionCodec, folder / "codec").requires_grad_(False)
    network: SpaceTimeTransformer = load_folder(SpaceTimeTransformer, folder / "prior")
    return codec, network.requires_grad_(False)
