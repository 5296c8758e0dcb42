"""MUSIQ (Ke et al. 2021, arXiv 2108.05997), trained on SPAQ: VBench's imaging quality.

A picture at three sizes is cut into patches of 32 x 32 pixels, convolutions turn them into tokens,
and a transformer predicts the quality of the picture, 0 to 100.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fbridge.evaluation.networks.load import MetricNetwork
from fbridge.evaluation.networks.pictures import in_parts, pad_same

_PATCH = 32
_SIZES = (224, 384)  # longer sides, beside the picture's own
_GRID = 10  # position embeddings a side
_WIDTH, _HEADS, _HIDDEN, _DEPTH = 384, 6, 1152, 14
_LONGEST = 512  # pixels; VBench shrinks longer frames to that


class Musiq(MetricNetwork):
    """Pictures (N, 3, H, W) in [0, 1] to (N,) ratings."""

    title = "MUSIQ"
    weights = ("musiq",)

    def __init__(self) -> None:
        super().__init__()
        self.conv_root = _Standardised(3, 64, 7, 2)
        self.gn_root = nn.GroupNorm(32, 64, eps=1e-6)
        self.block1 = _Block(64, 256)
        self.embedding = nn.Linear(256 * (_PATCH // 4) ** 2, _WIDTH)
        self.transformer_encoder = _Encoder()
        self.head = nn.Linear(_WIDTH, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Ratings of pictures of one size."""
        patches, places, scales = _patches(2 * pictures - 1)
        n, length = patches.shape[:2]
        x = F.relu(self.gn_root(self.conv_root(patches.flatten(0, 1))))
        x = self.block1(F.max_pool2d(pad_same(x, (3, 3), (2, 2)), 3, 2))
        tokens = self.embedding(x.permute(0, 2, 3, 1).reshape(n, length, -1))
        seen = self.transformer_encoder(tokens, places, scales)
        rating: Tensor = self.head(seen[:, 0])
        return rating[:, 0]

    @torch.inference_mode()
    def ratings(self, frames: Tensor) -> Tensor:
        """(T,) of frames (T, H, W, 3) uint8; VBench's imaging_quality is their mean over 100."""
        device = self.head.weight.device
        return in_parts(lambda part: self(_fitted(part)), frames, device)


class _Standardised(nn.Conv2d):
    """A convolution whose kernels have no mean and unit deviation; output ceil(size / stride)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        deviation, mean = torch.std_mean(self.weight, (1, 2, 3), keepdim=True)
        kernel = (self.weight - mean) / (deviation + 1e-5)
        return F.conv2d(pad_same(x, self.kernel_size, self.stride), kernel, None, self.stride)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = _Standardised(inputs, inputs, 1)
        self.conv2 = _Standardised(inputs, inputs, 3)
        self.conv3 = _Standardised(inputs, outputs, 1)
        self.conv_proj = _Standardised(inputs, outputs, 1)
        self.gn1, self.gn2 = (nn.GroupNorm(32, inputs, eps=1e-4) for _ in range(2))
        self.gn3, self.gn_proj = (nn.GroupNorm(32, outputs, eps=1e-4) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.gn1(self.conv1(x)))
        y = F.relu(self.gn2(self.conv2(y)))
        return F.relu(self.gn3(self.conv3(y)) + self.gn_proj(self.conv_proj(x)))


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.posembed_input = nn.Module()
        self.posembed_input.position_emb = nn.Parameter(torch.zeros(1, _GRID**2, _WIDTH))
        self.scaleembed_input = nn.Module()
        self.scaleembed_input.scale_emb = nn.Parameter(torch.zeros(1 + len(_SIZES), _WIDTH))
        self.cls = nn.Parameter(torch.zeros(1, 1, _WIDTH))
        self.encoder_norm = nn.LayerNorm(_WIDTH, eps=1e-6)
        self.transformer = nn.ModuleDict({f"encoderblock_{i}": _Layer() for i in range(_DEPTH)})

    def forward(self, tokens: Tensor, places: Tensor, scales: Tensor) -> Tensor:
        """(N, 1 + L, D) of tokens (N, L, D), whose places and scales are (L,)."""
        positions, sizes = self.posembed_input.position_emb, self.scaleembed_input.scale_emb
        assert isinstance(positions, Tensor)
        assert isinstance(sizes, Tensor)
        x = tokens + positions[0][places] + sizes[scales]
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1)
        for layer in self.transformer.values():
            x = layer(x)
        out: Tensor = self.encoder_norm(x)
        return out


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(_WIDTH, eps=1e-6) for _ in range(2))
        self.attention = nn.ModuleDict(
            {name: nn.Linear(_WIDTH, _WIDTH) for name in ("query", "key", "value", "out")}
        )
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(_WIDTH, _HIDDEN), "fc2": nn.Linear(_HIDDEN, _WIDTH)}
        )

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        query, key, value = (
            self.attention[name](normed).unflatten(2, (_HEADS, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        seen = F.scaled_dot_product_attention(query, key, value)
        x = x + self.attention["out"](seen.transpose(1, 2).flatten(2))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


def _fitted(frames: Tensor) -> Tensor:
    """(T, 3, h, w) in [0, 1]; sides beyond 512 are shrunk, bilinear without antialiasing."""
    images = frames.permute(0, 3, 1, 2).float()
    height, width = images.shape[2:]
    if max(height, width) > _LONGEST:
        scale = _LONGEST / max(height, width)
        size = (int(scale * height), int(scale * width))
        images = F.interpolate(images, size, mode="bilinear", align_corners=False).round()
    return images / 255


def _patches(pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, L, 3, 32, 32) of pictures at all sizes, and (L,) the place and the scale of each.

    The authors pad the sequence with masked patches; they are left out here.
    """
    height, width = pictures.shape[2:]
    ratios = [longer / max(height, width) for longer in _SIZES]
    sizes = [(round(height * ratio), round(width * ratio)) for ratio in ratios]
    sized = [F.interpolate(pictures, size, mode="bicubic", align_corners=False) for size in sizes]
    patches, places, scales = [], [], []
    for number, one in enumerate([*sized, pictures]):
        rows, columns = (-(-side // _PATCH) for side in one.shape[2:])
        whole = pad_same(one, (_PATCH, _PATCH), (_PATCH, _PATCH))
        patches.append(F.unfold(whole, _PATCH, stride=_PATCH).mT)
        places.append(_places(rows, columns))
        scales.append(torch.full((rows * columns,), number))
    squares = torch.cat(patches, 1).unflatten(2, (3, _PATCH, _PATCH))
    return squares, torch.cat(places).to(squares.device), torch.cat(scales).to(squares.device)


def _places(rows: int, columns: int) -> Tensor:
    """(rows * columns,) numbers of the nearest of 10 x 10 places."""
    down = torch.arange(rows) * _GRID // rows
    across = torch.arange(columns) * _GRID // columns
    return (down[:, None] * _GRID + across).flatten()
