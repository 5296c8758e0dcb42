"""The network behind the Fréchet Video Distance: Inflated Inception-v1 with 400 Kinetics logits.

Carreira & Zisserman 2017 (arXiv 1705.07750), in the form the original FVD uses: the RGB stream
trained from scratch, logits averaged over time *before* the softmax, batch normalisation without
scale and with eps 1e-3 (folded into the convolutions here), padding "SAME" by the size at hand.
Clips of different length give different distances, so the length belongs to the metric's name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fbridge.choices import SHORTEST_FVD_CLIP
from fbridge.errors import CheckpointError
from fbridge.evaluation.networks.i3d.checkpoints import canonical_state, is_genuine
from fbridge.evaluation.networks.i3d.layers import MaxPool, Mixed, Pointwise, Unit
from fbridge.weights import I3D_KINETICS, find_weights, kept_as, load_weights, read_tensors

SIDE = 224
"""Height and width, in pixels, of the frames the network sees."""

CLASSES = 400
"""Length of a feature vector: one logit per action of Kinetics-400."""

Resize: TypeAlias = Literal["tf1", "bilinear"]
"""How frames come to 224 x 224: see `prepare`."""


_OTHERS = (".pt", ".pth", ".safetensors")
_BATCH_NORM_EPS = 1e-3
_UNITS = {  # layers of a Mixed block and their paths in the state; what is beside reads the same
    "reduced": ("Branch_0/Conv3d_0a_1x1", "Branch_1/Conv3d_0a_1x1", "Branch_2/Conv3d_0a_1x1"),
    "b1": ("Branch_1/Conv3d_0b_3x3",),
    "b2": ("Branch_2/Conv3d_0b_3x3",),
    "b3": ("Branch_3/Conv3d_0b_1x1",),
}


class I3D(nn.Module):
    """Clips (B, 3, T, 224, 224) in [-1, 1] to logits (B, 400), averaged over time."""

    def __init__(self) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["Conv3d_1a_7x7"] = Unit(3, 64, kernel=7, stride=2)
        layers["pool_2"] = MaxPool((1, 3, 3), (1, 2, 2))
        layers["Conv3d_2b_1x1"] = Pointwise(64, 64)
        layers["Conv3d_2c_3x3"] = Unit(64, 192, kernel=3, tiles=True)
        layers["pool_3"] = MaxPool((1, 3, 3), (1, 2, 2))
        layers["Mixed_3b"] = Mixed(192, 64, (96, 128), (16, 32), 32, tiles=True)
        layers["Mixed_3c"] = Mixed(256, 128, (128, 192), (32, 96), 64, tiles=True)
        layers["pool_4"] = MaxPool((3, 3, 3), (2, 2, 2))
        layers["Mixed_4b"] = Mixed(480, 192, (96, 208), (16, 48), 64)
        layers["Mixed_4c"] = Mixed(512, 160, (112, 224), (24, 64), 64)
        layers["Mixed_4d"] = Mixed(512, 128, (128, 256), (24, 64), 64)
        layers["Mixed_4e"] = Mixed(512, 112, (144, 288), (32, 64), 64)
        layers["Mixed_4f"] = Mixed(528, 256, (160, 320), (32, 128), 128)
        layers["pool_5"] = MaxPool((2, 2, 2), (2, 2, 2))
        layers["Mixed_5b"] = Mixed(832, 256, (160, 320), (32, 128), 128)
        layers["Mixed_5c"] = Mixed(832, 384, (192, 384), (48, 128), 128)
        self.body = nn.Sequential(layers)
        self.head = nn.Conv3d(1024, CLASSES, 1)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> I3D:
        """The network with the weights of a canonical state, ready to measure.

        Args:
            state: as `fbridge.weights.load_weights(I3D_KINETICS)` gives it: "params/..." kernels
                (kt, kh, kw, in, out) and biases, "batch_stats/..." means and variances.
        """
        network = cls()
        folded: dict[str, Tensor] = {}
        try:
            for name, module in network.body.named_modules():
                if isinstance(module, Unit | Pointwise):
                    block, _, unit = name.partition(".")
                    paths = [f"{block}/{path}" for path in _UNITS[unit]] if unit else [block]
                    parts = [_fold(state, path) for path in paths]
                    folded[f"body.{name}.conv.weight"] = torch.cat([part[0] for part in parts])
                    folded[f"body.{name}.conv.bias"] = torch.cat([part[1] for part in parts])
            head = "params/Logits/Conv3d_0c_1x1/Conv_0"
            folded["head.weight"] = _torch_kernel(state[f"{head}/kernel"])
            folded["head.bias"] = state[f"{head}/bias"]
        except KeyError as error:
            raise CheckpointError(f"I3D state lacks {error}; is it another network?") from error
        network.load_state_dict(folded)
        return network.eval().requires_grad_(requires_grad=False)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits (B, 400) of clips (B, 3, T, 224, 224) in [-1, 1] with T >= 9."""
        if clips.ndim != 5 or clips.shape[1] != 3 or clips.shape[3:] != (SIDE, SIDE):
            raise ValueError(f"I3D needs (B, 3, T, {SIDE}, {SIDE}), not {tuple(clips.shape)}")
        _check_length(clips.shape[2])
        with _full_precision():
            hidden = self.body(clips)
            pooled = F.avg_pool3d(hidden, (2, SIDE // 32, SIDE // 32), stride=1)
            logits: Tensor = self.head(pooled)
        return logits.mean(dim=(2, 3, 4))

    @torch.inference_mode()
    def features(self, frames: Tensor, *, resize: Resize = "tf1") -> Tensor:
        """Logits (B, 400) of raw frames (B, T, H, W, 3) uint8, brought to size as `prepare` says.

        Clips go through one at a time: a larger batch is no faster on a processor, and a row does
        not depend on its neighbours.
        """
        if frames.dtype != torch.uint8 or frames.ndim != 5 or frames.shape[-1] != 3:
            found = f"{tuple(frames.shape)} {frames.dtype}"
            raise ValueError(f"frames must be (B, T, H, W, 3) uint8, not {found}")
        _check_length(frames.shape[1])
        device = self.head.weight.device
        rows = [self(prepare(clip.to(device)[None], resize=resize)) for clip in frames]
        return torch.cat(rows) if rows else torch.empty(0, CLASSES, device=device)


def load_i3d(path: Path | None = None) -> I3D:
    """The genuine FVD network.

    Args:
        path: the weights where the usual places are not meant: the published file, or a .pt, .pth
            or .safetensors that holds the same values in any layout that `i3d.checkpoints` reads.

    Raises:
        CheckpointError: The weights are missing or not the genuine ones.
    """
    source = find_weights(I3D_KINETICS, path)
    if source.suffix not in _OTHERS or source == kept_as(I3D_KINETICS):
        return I3D.from_state(load_weights(I3D_KINETICS, path))
    state = canonical_state(read_tensors(source))
    if not is_genuine(state):
        raise CheckpointError(
            f"{source}: is an I3D, but not the network of FVD (rgb_imagenet has the same names); "
            "its distances would be other numbers"
        )
    return I3D.from_state(state)


def prepare(frames: Tensor, *, resize: Resize = "tf1") -> Tensor:
    """Frames (B, T, H, W, 3) uint8 to network input (B, 3, T, 224, 224) in [-1, 1].

    Straight to 224 x 224 (the aspect ratio is not kept), linearly and without antialiasing. "tf1"
    samples as TensorFlow 1 in the original: pixel i reads at i * H / 224. "bilinear" has half-pixel
    centres, as torch in StyleGAN-V.
    """
    clips = frames.movedim(-1, 1).float()
    if resize == "tf1":
        clips = _resize(_resize(clips, axis=4), axis=3)
    else:
        planes = clips.flatten(0, 1)
        clips = F.interpolate(planes, (SIDE, SIDE), mode="bilinear", align_corners=False)
        clips = clips.reshape(len(frames), 3, -1, SIDE, SIDE)
    return clips * (2 / 255) - 1


@contextmanager
def _full_precision() -> Iterator[None]:
    """Without TF32, whose ten bits are too few, in convolutions and in products of matrices."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _resize(x: Tensor, axis: int) -> Tensor:
    """Linear interpolation of one axis to SIDE, sampled at i * size / SIDE."""
    size = x.shape[axis]
    position = torch.arange(SIDE, dtype=torch.float32, device=x.device) * (size / SIDE)
    low = position.long()
    high = (low + 1).clamp(max=size - 1)
    weight = (position - low).reshape([-1] + [1] * (x.ndim - 1 - axis))
    return torch.lerp(x.index_select(axis, low), x.index_select(axis, high), weight)


def _fold(state: Mapping[str, Tensor], path: str) -> tuple[Tensor, Tensor]:
    """Kernel and bias of a convolution that has its batch normalisation inside, in float64."""
    norm = "BatchNorm_0"
    variance = state[f"batch_stats/{path}/{norm}/var"].double().flatten()
    mean = state[f"batch_stats/{path}/{norm}/mean"].double().flatten()
    beta = state[f"params/{path}/{norm}/bias"].double().flatten()
    scale = (variance + _BATCH_NORM_EPS).rsqrt()
    kernel = _torch_kernel(state[f"params/{path}/Conv_0/kernel"]).double()
    return kernel * scale.reshape(-1, 1, 1, 1, 1), beta - mean * scale


def _torch_kernel(kernel: Tensor) -> Tensor:
    """(kt, kh, kw, in, out) to (out, in, kt, kh, kw)."""
    return kernel.permute(4, 3, 0, 1, 2)


def _check_length(frames: int) -> None:
    if frames < SHORTEST_FVD_CLIP:
        raise ValueError(f"I3D needs clips of at least {SHORTEST_FVD_CLIP} frames, not {frames}")
