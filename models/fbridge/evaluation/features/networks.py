"""Features by name: the network that computes each, and the identity it is cached under.

A feature maps the frames of one clip, or of two, to a tensor. Networks are loaded on first use,
once a process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from fbridge.evaluation.metrics import motion, pixels, vbench
from fbridge.evaluation.networks.aesthetic import Aesthetic
from fbridge.evaluation.networks.amt import Amt
from fbridge.evaluation.networks.c3d import C3D
from fbridge.evaluation.networks.clip import CLIPLarge, CLIPNetwork
from fbridge.evaluation.networks.dino import Dino
from fbridge.evaluation.networks.dreamsim import DreamSim
from fbridge.evaluation.networks.i3d.network import Resize, load_i3d
from fbridge.evaluation.networks.inception import InceptionV3
from fbridge.evaluation.networks.load import MetricNetwork
from fbridge.evaluation.networks.lpips import Lpips
from fbridge.evaluation.networks.musiq import Musiq
from fbridge.evaluation.networks.raft import Raft
from fbridge.weights import ENTRIES, identity

Feature = Callable[..., Tensor]
"""Clips (T, H, W, 3) uint8, one or two, to a float tensor of fixed shape for equal T."""


@dataclass(frozen=True)
class Setup:
    """How features are computed, the same in every process.

    Attributes:
        size: (width, height) at which frames are kept.
        device: of the networks.
        codec: of the round trip, as `fbridge prepare --codec` takes it; empty for none.
    """

    size: tuple[int, int]
    device: str = "cpu"
    codec: str = ""


@dataclass(frozen=True)
class Maker:
    """How a feature is made.

    Attributes:
        networks: the registry's names of the weights it needs.
        preprocessing: what is done to frames first, and the version of the computation.
        make: from a setup to the feature; imports and loads what it needs.
    """

    networks: tuple[str, ...]
    preprocessing: str
    make: Callable[[Setup], Feature]


@lru_cache(maxsize=32)
def build(name: str, setup: Setup) -> Feature:
    """The feature of this name.

    Raises:
        CheckpointError: Its weights are missing or not the published ones.
        DependencyError: A library is missing.
    """
    return MAKERS[name].make(setup)


def identity_of(name: str) -> str:
    """The identity a feature is cached under: name, preprocessing and weights.

    Raises:
        CheckpointError: Its weights are missing.
    """
    maker = MAKERS[name]
    made = [identity(ENTRIES[network]) for network in maker.networks]
    return " ".join([name, maker.preprocessing, *made])


@lru_cache(maxsize=1)
def round_trip(setup: Setup) -> Callable[[Tensor], Tensor]:
    """A function that encodes and decodes frames (T, H, W, 3) uint8 with the codec."""
    from fbridge.loaders.codec import load_codec

    codec = load_codec(setup.codec, device=setup.device).codec

    def through(frames: Tensor) -> Tensor:
        # A video autoencoder may take 13 or 17 frames and not 16; other codecs take any number.
        more = -(len(frames) - 1) % getattr(codec, "step", 1)
        padded = torch.cat([frames, frames[-1:].expand(more, -1, -1, -1)])
        video = padded.to(setup.device).permute(0, 3, 1, 2).float() / 255
        view = codec.view([video[0]], torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool))
        (back,) = codec.decode(codec.encode([video], view).mean, view)
        back = back[: len(frames)]
        return (back * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu()

    return through


def _i3d(setup: Setup, resize: Resize) -> Feature:
    network = load_i3d().to(setup.device)
    return lambda frames: network.features(frames[None], resize=resize)[0]


def _c3d(setup: Setup) -> Feature:
    network = C3D.load().to(setup.device)
    return lambda frames: network.features(frames[None])[0]


def _aesthetic(setup: Setup) -> Feature:
    ratings, clip = Aesthetic.load().to(setup.device), CLIPLarge.load().to(setup.device)
    return lambda frames: ratings(clip.features(frames, exact=False))


def _raft(setup: Setup) -> Feature:
    network = Raft.load().to(setup.device)
    return lambda frames: vbench.strongest(network.flows(frames), min(frames.shape[1:3]))


def _by(
    network: type[MetricNetwork], preprocessing: str, method: Feature, **options: bool
) -> Maker:
    """The feature that a method of a network computes."""
    return Maker(
        network.weights,
        preprocessing,
        lambda setup: partial(method, network.load().to(setup.device), **options),
    )


def _plain(function: Feature, version: str = "1") -> Maker:
    """A feature that needs no network."""
    return Maker((), version, lambda _: function)


_TENSOR = "tensor-bicubic224,centre"
MAKERS: dict[str, Maker] = {
    "i3d-bilinear": Maker(("i3d",), "in224-bilinear", partial(_i3d, resize="bilinear")),
    "i3d-tf1": Maker(("i3d",), "in224-tf1", partial(_i3d, resize="tf1")),
    "psnr": _plain(pixels.psnr),
    "ssim": _plain(pixels.ssim),
    "psnr-first": _plain(pixels.first_psnr),
    "difference": _plain(pixels.difference),
    "lpips": _by(Lpips, "native,v0.1", Lpips.distance),
    "inception": _by(InceptionV3, "in299-tf1,minus128over128", InceptionV3.features),
    "clip": _by(CLIPNetwork, "pil-bicubic224,centre", CLIPNetwork.features, exact=True),
    "clip-tensor": _by(CLIPNetwork, _TENSOR, CLIPNetwork.features, exact=False),
    "aesthetic": Maker(("clip-l14", "aesthetic"), _TENSOR, _aesthetic),
    "c3d": Maker(C3D.weights, "resize112-bilinear-aligned,bgr,minus-mean", _c3d),
    "dreamsim": _by(DreamSim, "pil-bicubic224x224,lora0.5/16", DreamSim.features),
    "dino-crop": _by(Dino, "bicubic256-antialias,crop224", Dino.features, squeeze=False),
    "dino-squeeze": _by(Dino, "bilinear224", Dino.features, squeeze=True),
    "raft": Maker(Raft.weights, "native,20updates,top5", _raft),
    "amt": _by(Amt, "native,every-second", Amt.errors),
    "musiq": _by(Musiq, "longer512", Musiq.ratings),
    "flow": _plain(motion.flow_magnitudes, "dis-medium-1"),
    "flicker": _plain(motion.flicker),
}
"""By name."""
