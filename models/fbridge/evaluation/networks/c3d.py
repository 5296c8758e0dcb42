"""C3D (Tran et al. 2015) trained on Sports-1M and UCF-101, of the video Inception Score.

Architecture, names and preprocessing are those of TGAN-v2 (Saito et al. 2020), whose weights most
published scores use. Scores are comparable at equal numbers of clips only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fbridge.errors import CheckpointError
from fbridge.evaluation.networks.load import load_network
from fbridge.weights import C3D_MEAN, C3D_UCF101, load_weights

FRAMES, SIDE, CLASSES = 16, 112, 101
PREPROCESSING = "resize112-bilinear-aligned,bgr,minus-mean"
"""Preprocessing of frames, as named in protocol ids."""

_CORNER = 8  # where in the mean video the network's field begins
_EDGES = slice(_CORNER, _CORNER + SIDE)


class _Layer(NamedTuple):
    name: str
    inputs: int
    outputs: int
    pool: tuple[int, int, int] | None = None


_LAYERS = (
    _Layer("conv1a", 3, 64, (1, 2, 2)),
    _Layer("conv2a", 64, 128, (2, 2, 2)),
    _Layer("conv3a", 128, 256),
    _Layer("conv3b", 256, 256, (2, 2, 2)),
    _Layer("conv4a", 256, 512),
    _Layer("conv4b", 512, 512, (2, 2, 2)),
    _Layer("conv5a", 512, 512),
    _Layer("conv5b", 512, 512, (2, 2, 2)),
)
_DENSE = (("fc6", 512 * 4 * 4, 4096), ("fc7", 4096, 4096), ("fc8", 4096, CLASSES))


class C3D(nn.Module):
    """Clips (B, 3, 16, 112, 112), BGR, minus the mean video, to logits (B, 101)."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {}
        for layer in _LAYERS:
            layers[layer.name] = nn.Conv3d(layer.inputs, layer.outputs, 3, padding=1)
        for name, inputs, outputs in _DENSE:
            layers[name] = nn.Linear(inputs, outputs)
        self.layers = nn.ModuleDict(layers)
        self.register_buffer("mean", torch.zeros(3, FRAMES, SIDE, SIDE))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], mean: Tensor) -> C3D:
        """The network with these weights, ready to measure.

        Args:
            state: "conv1a/W", "conv1a/b" ... "fc8/b", as in `conv3d_deepnetA_ucf.npz`.
            mean: (3, 16, H, W) mean video on 0 to 255, blue first, as "mean" in `mean2.npz`.

        Raises:
            CheckpointError: They are of another network.
        """

        def own() -> Iterator[tuple[str, Tensor]]:
            yield "mean", mean[:, :, _EDGES, _EDGES]
            for name in [layer.name for layer in _LAYERS] + [dense[0] for dense in _DENSE]:
                yield f"layers.{name}.weight", state[f"{name}/W"]
                yield f"layers.{name}.bias", state[f"{name}/b"]

        def empty() -> C3D:
            with torch.device("meta"):  # 78 million numbers need not be drawn first
                return cls()

        return load_network("C3D", empty, own(), assign=True)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 101)."""
        for layer in _LAYERS:
            x = F.relu_(self.layers[layer.name](x))
            if layer.pool:
                x = F.max_pool3d(x, layer.pool, ceil_mode=True)  # 7 becomes 4
        x = x.flatten(1)
        for name in ("fc6", "fc7"):
            x = F.relu_(self.layers[name](x))
        logits: Tensor = self.layers["fc8"](x)
        return logits

    @torch.inference_mode()
    def features(self, clips: Tensor) -> Tensor:
        """Logits (B, 101) of raw clips (B, 16, H, W, 3) uint8, red first.

        Raises:
            ValueError: The clips have another shape or type.
        """
        shape = (clips.ndim, *clips.shape[1:2], *clips.shape[4:])
        if clips.dtype != torch.uint8 or shape != (5, FRAMES, 3):
            found = f"{tuple(clips.shape)} {clips.dtype}"
            raise ValueError(f"clips must be (B, {FRAMES}, H, W, 3) uint8, not {found}")
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            rows = [self(self.prepare(clip.to(self.mean.device)))[0] for clip in clips]
        return torch.stack(rows) if rows else self.mean.new_empty(0, CLASSES)

    def prepare(self, clip: Tensor) -> Tensor:
        """(1, 3, 16, 112, 112) of a clip (16, H, W, 3) uint8.

        Resized to 112 x 112 (the aspect ratio is not kept), bilinear with aligned corners. The
        original scales to [-1, 1] and back (times 128, plus 128), which cancels out.
        """
        images = clip.permute(0, 3, 1, 2).float()
        images = F.interpolate(images, (SIDE, SIDE), mode="bilinear", align_corners=True)
        return (images.flip(1).transpose(0, 1) - self.mean)[None]


def load_c3d() -> C3D:
    """The network from the files the user names; no hash of them is published.

    Raises:
        CheckpointError: They are not named, or are of another network.
    """
    mean = load_weights(C3D_MEAN)
    if "mean" not in mean:
        raise CheckpointError(f"{C3D_MEAN.file}: has no mean video")
    return C3D.from_state(load_weights(C3D_UCF101), mean["mean"])
