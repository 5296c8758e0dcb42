"""RAFT (Teed & Deng 2020, arXiv 2003.12039): the optical flow of VBench's dynamic degree."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fbridge.evaluation.networks.flow_parts import Correlation, Encoder, grid, padded
from fbridge.evaluation.networks.load import load_network
from fbridge.weights import RAFT_THINGS, load_weights

UPDATES = 20
"""Iterations of the flow update, as in VBench."""
_WIDTH = 128  # of the hidden state, and of the context
_RADIUS = 4


class Raft(nn.Module):
    """Optical flow from the first to the second frame of a pair."""

    def __init__(self) -> None:
        super().__init__()
        self.fnet = Encoder((64, 96, 128), 256, nn.InstanceNorm2d)
        self.cnet = Encoder((64, 96, 128), 2 * _WIDTH, nn.BatchNorm2d)
        self.update_block = _Update()

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Raft:
        """From the names of the authors' `raft-things.pth`.

        Raises:
            CheckpointError: They are of another network.
        """
        # The file holds each shortcut's normalisation twice, under downsample and as norm3.
        own = {name: tensor for name, tensor in state.items() if ".norm3." not in name}
        return load_network("RAFT's", cls, own)

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
    """One step of the flow."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _Motion()
        self.gru = _Gate()
        self.flow_head = _Head()
        self.mask = nn.Sequential(
            nn.Conv2d(_WIDTH, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 8 * 8 * 9, 1)
        )

    def forward(
        self, hidden: Tensor, context: Tensor, alike: Tensor, flow: Tensor
    ) -> tuple[Tensor, Tensor]:
        hidden = self.gru(hidden, torch.cat([context, self.encoder(flow, alike)], 1))
        return hidden, self.flow_head(hidden)


class _Motion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convc1 = nn.Conv2d(4 * (2 * _RADIUS + 1) ** 2, 256, 1)
        self.convc2 = nn.Conv2d(256, 192, 3, padding=1)
        self.convf1 = nn.Conv2d(2, 128, 7, padding=3)
        self.convf2 = nn.Conv2d(128, 64, 3, padding=1)
        self.conv = nn.Conv2d(64 + 192, _WIDTH - 2, 3, padding=1)

    def forward(self, flow: Tensor, alike: Tensor) -> Tensor:
        seen = F.relu(self.convc2(F.relu(self.convc1(alike))))
        moved = F.relu(self.convf2(F.relu(self.convf1(flow))))
        return torch.cat([F.relu(self.conv(torch.cat([seen, moved], 1))), flow], 1)


class _Gate(nn.Module):
    """A gated unit (GRU) along the rows, then along the columns."""

    def __init__(self) -> None:
        super().__init__()
        wide = partial(nn.Conv2d, 3 * _WIDTH, _WIDTH)
        self.convz1, self.convr1, self.convq1 = (wide((1, 5), padding=(0, 2)) for _ in range(3))
        self.convz2, self.convr2, self.convq2 = (wide((5, 1), padding=(2, 0)) for _ in range(3))

    def forward(self, hidden: Tensor, x: Tensor) -> Tensor:
        for keep, reset, make in (
            (self.convz1, self.convr1, self.convq1),
            (self.convz2, self.convr2, self.convq2),
        ):
            both = torch.cat([hidden, x], 1)
            share = keep(both).sigmoid()
            made = make(torch.cat([reset(both).sigmoid() * hidden, x], 1)).tanh()
            hidden = (1 - share) * hidden + share * made
        return hidden


class _Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(_WIDTH, 256, 3, padding=1)
        self.conv2 = nn.Conv2d(256, 2, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        change: Tensor = self.conv2(F.relu(self.conv1(hidden)))
        return change


def load_raft(path: Path | None = None) -> Raft:
    """RAFT with the published weights.

    Raises:
        CheckpointError: Its weights are missing or not the genuine ones.
    """
    return Raft.from_state(load_weights(RAFT_THINGS, path))


def _enlarged(flow: Tensor, mask: Tensor) -> Tensor:
    """Convex upsampling to (N, 2, 8 h, 8 w): each pixel a weighted mean of 3 x 3 neighbours."""
    n, _, h, w = flow.shape
    weights = mask.reshape(n, 1, 9, 8, 8, h, w).softmax(2)
    around = F.unfold(8 * flow, 3, padding=1).reshape(n, 2, 9, 1, 1, h, w)
    return (weights * around).sum(2).permute(0, 1, 4, 2, 5, 3).reshape(n, 2, 8 * h, 8 * w)
