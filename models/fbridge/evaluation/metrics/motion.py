"""Optical flow and flicker of a clip. A frozen video scores well on fidelity and 0 here.

Flow by dense inverse search (Kroeger et al. 2016) in OpenCV: no learnt weights. It is not the RAFT
flow of VBench, so metrics that use it do not have VBench's names.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fbridge.errors import DependencyError

_LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
_LEAST_SIDE = 32  # pixels; the search fails below, so smaller frames are enlarged


def flow_magnitudes(frames: Tensor) -> Tensor:
    """Mean length of the optical flow between neighbouring frames (T - 1,), in pixels a frame.

    Args:
        frames: (T, H, W, 3) uint8.

    Raises:
        DependencyError: OpenCV is not installed.
    """
    flows = optical_flow(frames)
    return torch.linalg.vector_norm(flows, dim=-1).flatten(1).mean(1)


def optical_flow(frames: Tensor) -> Tensor:
    """(T - 1, H, W, 2) float32: for each pixel of a frame, where it is in the next one, (x, y).

    Raises:
        DependencyError: OpenCV is not installed.
    """
    cv2 = _opencv()
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = frames.shape[1:3]
    times = max(1, -(-_LEAST_SIDE // min(height, width)))
    grey = [cv2.cvtColor(frame.numpy(), cv2.COLOR_RGB2GRAY) for frame in frames]
    if times > 1:
        size = (width * times, height * times)
        grey = [cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in grey]
    flows = [search.calc(before, after, None) / times for before, after in pairwise(grey)]
    found = torch.from_numpy(np.stack(flows)) if flows else torch.empty(0, height, width, 2)
    return found[:, ::times, ::times]


def flicker(frames: Tensor) -> Tensor:
    """(1,) mean absolute second difference in time of the frames' mean luma, in levels of 255.

    0 for a still clip, for a steadily brightening one, and for fewer than 3 frames.
    """
    luma = (frames.double() @ _LUMA).flatten(1).mean(1)
    if len(luma) < 3:
        return torch.zeros(1, dtype=torch.float64)
    return (luma[2:] - 2 * luma[1:-1] + luma[:-2]).abs().mean()[None]


@lru_cache(maxsize=1)
def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise DependencyError(
            "optical flow needs OpenCV: pip install opencv-python-headless"
        ) from None
    cv2.setNumThreads(1)  # with several threads, sums are rounded differently
    return cv2
