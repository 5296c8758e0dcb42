"""VBench-I2V's dimensions from embeddings, flows and frames, and its file names.

Formulas, thresholds and weights after VBench (Huang et al. 2024, arXiv 2311.17982) and VBench++
(arXiv 2411.13503). The networks are in `fbridge.evaluation.networks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

I2V_WEIGHTS = {"i2v_subject": 1.0, "i2v_background": 1.0}
QUALITY_WEIGHTS = {
    "subject_consistency": 1.0,
    "background_consistency": 1.0,
    "motion_smoothness": 1.0,
    "dynamic_degree": 0.5,
    "aesthetic_quality": 1.0,
    "imaging_quality": 1.0,
}
RANGES = {
    "i2v_subject": (0.1462, 1.0),
    "i2v_background": (0.2615, 1.0),
    "subject_consistency": (0.1462, 1.0),
    "background_consistency": (0.2615, 1.0),
    "motion_smoothness": (0.7060, 0.9975),
}
"""Values that are mapped to 0 and 1 before dimensions are summed; (0, 1) for the others."""

_MIX = (0.4, 0.3, 0.3)  # weights: closest frame, mean of neighbours, least similar neighbours
_FLOW_AT_256 = 6.0  # pixels that count as movement in a video of 256 pixels
_TOP = 0.05  # share of the pixels, those with the strongest flow, that is averaged


def i2v_similarity(picture: Tensor, frames: Tensor) -> float:
    """i2v_subject (DINO) or i2v_background (DreamSim): similarity to the picture and over time.

    0.4 times the largest cosine of a frame with the picture, 0.3 times the mean and 0.3 times the
    least cosine of neighbouring frames; negative cosines count as 0.

    Args:
        picture: (D,) or (1, D) embedding of the picture.
        frames: (T, D) of the frames, T of 2 or more.
    """
    own = _unit(frames)
    to_picture = (own @ _unit(picture.reshape(1, -1)).T).flatten().clamp_min(0)
    between = (own[1:] * own[:-1]).sum(1).clamp_min(0)
    best, mean, least = _MIX
    return float(best * to_picture.max() + mean * between.mean() + least * between.min())


def consistency(frames: Tensor) -> float:
    """subject_consistency (DINO) or background_consistency (CLIP) of embeddings (T, D) of frames.

    Mean over all frames but the first of the mean cosine with the one before and with the first.
    """
    own = _unit(frames)
    before = (own[1:] * own[:-1]).sum(1).clamp_min(0)
    first = (own[1:] @ own[0]).clamp_min(0)
    return float(((before + first) / 2).mean())


def motion_smoothness(errors: Tensor) -> float:
    """How well left-out frames are interpolated from their neighbours, at most 1.

    Args:
        errors: (N,) mean absolute error of each interpolated frame, in levels of 255.
    """
    return float((255 - errors.double().mean()) / 255)


def strongest(flows: Tensor, side: int) -> Tensor:
    """(T - 1,) mean length of the strongest 5 % of each flow, in pixels of a side of 256.

    Args:
        flows: (T - 1, 2, H, W) in pixels.
        side: the shorter side of the frames, in pixels.
    """
    lengths = torch.linalg.vector_norm(flows.float(), dim=1).flatten(1)
    top = lengths.topk(max(1, int(lengths.shape[1] * _TOP)), dim=1).values
    return top.mean(1) * 256 / side


def is_dynamic(strong: Tensor) -> bool:
    """dynamic_degree of one video: whether enough pairs of neighbouring frames move.

    A pair moves where its `strongest` flow exceeds 6 pixels; a video is dynamic where the number of
    moving pairs is at least a quarter of its frames, rounded.

    Args:
        strong: (T - 1,) from `strongest`.
    """
    return int((strong > _FLOW_AT_256).sum()) >= round(4 * (len(strong) + 1) / 16)


def normalised(dimension: str, value: float) -> float:
    """A dimension's value, scaled by `RANGES` as VBench does before it sums them."""
    low, high = RANGES.get(dimension, (0.0, 1.0))
    return (value - low) / (high - low)


def totals(values: Mapping[str, float]) -> dict[str, float]:
    """VBench-I2V's I2V score, quality score and total, each if all its dimensions are given."""
    found = {}
    for name, weights in (("i2v_score", I2V_WEIGHTS), ("quality_score", QUALITY_WEIGHTS)):
        if weights.keys() <= values.keys():
            whole = sum(w * normalised(key, values[key]) for key, w in weights.items())
            found[name] = whole / sum(weights.values())
    if len(found) == 2:
        found["total_score"] = (found["i2v_score"] + found["quality_score"]) / 2
    return found


def result_file(scores: Mapping[str, Sequence[tuple[str, float]]]) -> dict[str, Any]:
    """The content of VBench's result file: for each dimension its mean and every video's value.

    Args:
        scores: for each dimension the paths of the videos and their values.
    """
    return {
        dimension: [
            sum(value for _, value in videos) / max(1, len(videos)),
            [{"video_path": path, "video_results": value} for path, value in videos],
        ]
        for dimension, videos in scores.items()
    }


def video_name(prompt: str, number: int) -> str:
    """VBench's file name of the `number`-th video of a prompt, from 0: "a cat jumps-0.mp4"."""
    return f"{prompt.replace('/', '_')[:180]}-{number}.mp4"


def _unit(rows: Tensor) -> Tensor:
    return F.normalize(rows.double(), dim=-1)
