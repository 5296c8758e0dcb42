"""Priors by name, and the one that moves the picture by the embedded model's motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from fbridge.backbones.space_time_plain import PlainSpaceTime
from fbridge.codecs import Codec
from fbridge.codecs.scenes.codec import PlainSceneCodec
from fbridge.errors import ConfigError
from fbridge.files.plain import load_plain
from fbridge.loaders.locate import EMBEDDED, locate_model
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

    motion: PlainSceneCodec
    network: PlainSpaceTime
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
        """Latents (B, F, C, H, W), F = latent_frames, from pictures (3, H, W) in [0, 1]."""
        device = condition.prompt_embeds.device
        self.motion.to(device)
        self.network.to(device)
        moving = [picture.to(device, torch.float32) for picture in pictures]
        words = (condition.prompt_embeds, condition.prompt_mask)
        view = self.motion.view(moving, *words, condition.prompts)
        inputs = Condition(*words, view.image_latents)
        frames = (latent_frames - 1) * (getattr(self.codec, "temporal", None) or 1) + 1
        rest = self.motion.still(view, frames).mean
        videos = self.motion.decode(self.network(rest, None, inputs), view)
        seen = self.codec.view(moving, *words, condition.prompts)
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
def _embedded_motion() -> tuple[PlainSceneCodec, PlainSpaceTime]:
    folder = locate_model(EMBEDDED)
    codec = load_plain(PlainSceneCodec, folder / "codec").requires_grad_(False)
    network = load_plain(PlainSpaceTime, folder / "prior")
    return codec, network.requires_grad_(False)
