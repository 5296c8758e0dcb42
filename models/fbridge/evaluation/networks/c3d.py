"""C3D (Tran et al. 2015) trained on Sports-1M and UCF-101, of the video Inception Score.

Architecture, names and preprocessing are those of TGAN-v2 (Saito et al. 2020), whose weights most
published scores use. Scores are comparable at equal numbers of clips only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fbridge.evaluation.networks.load import MetricNetwork

FRAMES, SIDE, CLASSES = 16, 112, 101
_CORNER = 8  # where in the mean video the network's field begins
_EDGES = slice(_CORNER, _CORNER + SIDE)


_CONVOLUTIONS = {  # output channels, and how many frames are pooled behind; 0 pools nothing
    "conv1a": (64, 1), "conv2a": (128, 2), "conv3a": (256, 0), "conv3b": (256, 2),
    "conv4a": (512, 0), "conv4b": (512, 2), "conv5a": (512, 0), "conv5b": (512, 2),
}  # fmt: skip
_DENSE = {"fc6": 4096, "fc7": 4096, "fc8": CLASSES}


class C3D(MetricNetwork):
    """Clips (B, 3, 16, 112, 112), BGR, minus the mean video, to logits (B, 101).

    The files hold "conv1a/W", "conv1a/b" ... "fc8/b", and "mean" (3, 16, H, W): the mean video on
    0 to 255, blue first. No hash of them is published.
    """

    title = "C3D"
    weights = ("c3d", "c3d-mean")
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        before = 3
        for name, (outputs, _) in _CONVOLUTIONS.items():
            self.layers[name] = nn.Conv3d(before, outputs, 3, padding=1)
            before = outputs
        before *= 4 * 4
        for name, outputs in _DENSE.items():
            self.layers[name] = nn.Linear(before, outputs)
            before = outputs
        self.register_buffer("mean", torch.zeros(3, FRAMES, SIDE, SIDE))

    @classmethod
    def empty(cls, *_: Mapping[str, Tensor]) -> C3D:
        """The network on the meta device: its 78 million numbers need not be drawn first."""
        with torch.device("meta"):
            return cls()

    @classmethod
    def renamed(
        cls, state: Mapping[str, Tensor], mean: Mapping[str, Tensor]
    ) -> Iterator[tuple[str, Tensor]]:
        """The layers, and the middle of the mean video."""
        yield "mean", mean["mean"][:, :, _EDGES, _EDGES]
        for name in (*_CONVOLUTIONS, *_DENSE):
            yield f"layers.{name}.weight", state[f"{name}/W"]
            yield f"layers.{name}.bias", state[f"{name}/b"]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 101)."""
        for name, (_, frames) in _CONVOLUTIONS.items():
            x = F.relu_(self.layers[name](x))
            if frames:
                x = F.max_pool3d(x, (frames, 2, 2), ceil_mode=True)  # 7 becomes 4
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
