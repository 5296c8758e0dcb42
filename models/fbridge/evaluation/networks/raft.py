"""RAFT (Teed & Deng 2020, arXiv 2003.12039): the optical flow of VBench's dynamic degree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fbridge.evaluation.networks.flow_parts import Correlation, Encoder, grid, padded
from fbridge.evaluation.networks.load import MetricNetwork

UPDATES = 20
"""Iterations of the flow update, as in VBench."""
_WIDTH = 128  # of the hidden state, and of the context
_RADIUS = 4


class Raft(MetricNetwork):
    """Optical flow from the first to the second frame of a pair."""

    title = "RAFT"
    weights = ("raft",)

    def __init__(self) -> None:
        super().__init__()
        self.fnet = Encoder((64, 96, 128), 256, nn.InstanceNorm2d)
        self.cnet = Encoder((64, 96, 128), 2 * _WIDTH, nn.BatchNorm2d)
        self.update_block = _Update()

    @classmethod
    def renamed(cls, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Without norm3: the normalisation of each shortcut, which downsample holds as well."""
        return ((name, held) for name, held in state.items() if ".norm3." not in name)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Flow (N, 2, H, W) in pixels, (x, y), of frames (N, 3, H, W) in [-1, 1].

        Heights and widths are multiples of 8, and 128 or more.
        """
        correlation = Correlation(self.fnet(first), self.fnet(second), _RADIUS)
        hidden, context = self.cnet(first).split(_WIDTH, 1)
        hidden, context = hidden.tanh(), context.relu()
        here = grid(hidden)
        there = here
        for _ in range(UPDATES):
            flow = there - here
            hidden, change = self.update_block(hidden, context, correlation.around(there), flow)
            there = there + change
        return _enlarged(there - here, self.update_block.mask(hidden) / 4)

    @torch.inference_mode()
    def flows(self, frames: Tensor) -> Tensor:
        """(T - 1, 2, H', W') between neighbouring frames (T, H, W, 3) uint8.

        H' and W' are the next multiples of 8; edges are repeated.

        Raises:
            DataError: The frames are smaller than 128 pixels.
        """
        device = next(self.parameters()).device
        images, _ = padded(frames.permute(0, 3, 1, 2).float(), 8)
        images = 2 * (images.to(device) / 255) - 1
        pairs = zip(images[:-1, None], images[1:, None], strict=True)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return torch.cat([self(before, after) for before, after in pairs])


class _Update(nn.Module):
    """One step of the flow: motion features, a gated unit (GRU), and a change."""

    def __init__(self) -> None:
        super().__init__()
        conv, gate = nn.Conv2d, partial(nn.Conv2d, 3 * _WIDTH, _WIDTH)
        self.encoder = nn.ModuleDict({
            "convc1": conv(4 * (2 * _RADIUS + 1) ** 2, 256, 1),
            "convc2": conv(256, 192, 3, padding=1),
            "convf1": conv(2, 128, 7, padding=3),
            "convf2": conv(128, 64, 3, padding=1),
            "conv": conv(64 + 192, _WIDTH - 2, 3, padding=1),
        })  # fmt: skip
        rows = {f"conv{letter}1": gate((1, 5), padding=(0, 2)) for letter in "zrq"}
        columns = {f"conv{letter}2": gate((5, 1), padding=(2, 0)) for letter in "zrq"}
        self.gru = nn.ModuleDict(rows | columns)
        self.flow_head = nn.ModuleDict(
            {"conv1": conv(_WIDTH, 256, 3, padding=1), "conv2": conv(256, 2, 3, padding=1)}
        )
        self.mask = nn.Sequential(
            conv(_WIDTH, 256, 3, padding=1), nn.ReLU(), conv(256, 8 * 8 * 9, 1)
        )

    def forward(
        self, hidden: Tensor, context: Tensor, alike: Tensor, flow: Tensor
    ) -> tuple[Tensor, Tensor]:
        encode, gru, head = self.encoder, self.gru, self.flow_head
        seen = F.relu(encode["convc2"](F.relu(encode["convc1"](alike))))
        moved = F.relu(encode["convf2"](F.relu(encode["convf1"](flow))))
        motion = F.relu(encode["conv"](torch.cat([seen, moved], 1)))
        x = torch.cat([context, motion, flow], 1)
        for axis in "12":  # along the rows, then along the columns
            both = torch.cat([hidden, x], 1)
            share = gru[f"convz{axis}"](both).sigmoid()
            reset = gru[f"convr{axis}"](both).sigmoid() * hidden
            made = gru[f"convq{axis}"](torch.cat([reset, x], 1)).tanh()
            hidden = (1 - share) * hidden + share * made
        return hidden, head["conv2"](F.relu(head["conv1"](hidden)))


def _enlarged(flow: Tensor, mask: Tensor) -> Tensor:
    """Convex upsampling to (N, 2, 8 h, 8 w): each pixel a weighted mean of 3 x 3 neighbours."""
    n, _, h, w = flow.shape
    weights = mask.reshape(n, 1, 9, 8, 8, h, w).softmax(2)
    around = F.unfold(8 * flow, 3, padding=1).reshape(n, 2, 9, 1, 1, h, w)
    return (weights * around).sum(2).permute(0, 1, 4, 2, 5, 3).reshape(n, 2, 8 * h, 8 * w)
