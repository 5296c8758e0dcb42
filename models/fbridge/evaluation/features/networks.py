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
from fbridge.evaluation.networks.i3d.network import Resize
from fbridge.weights import DREAMSIM, ENTRIES, identity

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
        video = frames.to(setup.device).permute(0, 3, 1, 2).float() / 255
        view = codec.view([video[0]], torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool))
        (back,) = codec.decode(codec.encode([video], view).mean, view)
        return (back * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu()

    return through


def _i3d(setup: Setup, resize: Resize) -> Feature:
    from fbridge.evaluation.networks.i3d.network import load_i3d

    network = load_i3d().to(setup.device)
    return lambda frames: network.features(frames[None], resize=resize)[0]


def _inception(setup: Setup) -> Feature:
    from fbridge.evaluation.networks.inception import load_inception

    network = load_inception().to(setup.device)
    return network.features


def _lpips(setup: Setup) -> Feature:
    from fbridge.evaluation.networks.lpips import load_lpips

    return load_lpips().to(setup.device).distance


def _clip(setup: Setup, *, exact: bool) -> Feature:
    from fbridge.evaluation.networks.clip import load_clip

    network = load_clip().to(setup.device)
    return partial(network.features, exact=exact)


def _aesthetic(setup: Setup) -> Feature:
    from fbridge.evaluation.networks.aesthetic import load_aesthetic
    from fbridge.evaluation.networks.clip import load_clip_l14

    ratings, clip = load_aesthetic(), load_clip_l14()
    ratings.to(setup.device)
    clip.to(setup.device)
    return lambda frames: ratings(clip.features(frames, exact=False))


def _c3d(setup: Setup) -> Feature:
    from fbridge.evaluation.networks.c3d import load_c3d

    network = load_c3d().to(setup.device)
    return lambda frames: network.features(frames[None])[0]


def _dreamsim(setup: Setup) -> Feature:
    from fbridge.evaluation.networks.dreamsim import load_dreamsim

    return load_dreamsim().to(setup.device).features


def _dino(setup: Setup, *, squeeze: bool) -> Feature:
    from fbridge.evaluation.networks.dino import load_dino

    network = load_dino().to(setup.device)
    return partial(network.features, squeeze=squeeze)


def _raft(setup: Setup) -> Feature:
    from fbridge.evaluation.networks.raft import load_raft

    network = load_raft().to(setup.device)
    return lambda frames: vbench.strongest(network.flows(frames), min(frames.shape[1:3]))


def _amt(setup: Setup) -> Feature:
    from fbridge.evaluation.networks.amt import load_amt

    return load_amt().to(setup.device).errors


def _musiq(setup: Setup) -> Feature:
    from fbridge.evaluation.networks.musiq import load_musiq

    return load_musiq().to(setup.device).ratings


def _plain(function: Feature) -> Callable[[Setup], Feature]:
    return lambda _: function


MAKERS: dict[str, Maker] = {
    "i3d-bilinear": Maker(("i3d",), "in224-bilinear", partial(_i3d, resize="bilinear")),
    "i3d-tf1": Maker(("i3d",), "in224-tf1", partial(_i3d, resize="tf1")),
    "psnr": Maker((), "1", _plain(pixels.psnr)),
    "ssim": Maker((), "1", _plain(pixels.ssim)),
    "psnr-first": Maker((), "1", _plain(pixels.first_psnr)),
    "difference": Maker((), "1", _plain(pixels.difference)),
    "lpips": Maker(("alexnet", "lpips"), "native,v0.1", _lpips),
    "inception": Maker(("inception",), "in299-tf1,minus128over128", _inception),
    "clip": Maker(("clip",), "pil-bicubic224,centre", partial(_clip, exact=True)),
    "clip-tensor": Maker(("clip",), "tensor-bicubic224,centre", partial(_clip, exact=False)),
    "aesthetic": Maker(("clip-l14", "aesthetic"), "tensor-bicubic224,centre", _aesthetic),
    "c3d": Maker(("c3d", "c3d-mean"), "resize112-bilinear-aligned,bgr,minus-mean", _c3d),
    "dreamsim": Maker(
        tuple(entry.name for entry in DREAMSIM), "pil-bicubic224x224,lora0.5/16", _dreamsim
    ),
    "dino-crop": Maker(("dino",), "bicubic256-antialias,crop224", partial(_dino, squeeze=False)),
    "dino-squeeze": Maker(("dino",), "bilinear224", partial(_dino, squeeze=True)),
    "raft": Maker(("raft",), "native,20updates,top5", _raft),
    "amt": Maker(("amt-s",), "native,every-second", _amt),
    "musiq": Maker(("musiq",), "longer512", _musiq),
    "flow": Maker((), "dis-medium-1", _plain(motion.flow_magnitudes)),
    "flicker": Maker((), "1", _plain(motion.flicker)),
}
"""By name."""
