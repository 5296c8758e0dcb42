"""The Inception Score (Salimans et al. 2016): exp of the mean divergence KL(p(y|x) || p(y)).

Over clips, with the classifier C3D trained on UCF-101, it is the video Inception Score of TGAN
(Saito et al. 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SPLITS = 10


@dataclass(frozen=True)
class InceptionScore:
    """Mean and spread (population standard deviation) over the splits."""

    value: float
    std: float
    splits: int


def inception_score(
    logits: Tensor, *, generator: torch.Generator | None = None, splits: int = SPLITS
) -> InceptionScore:
    """The score of classifier logits, by log-softmax in float64, so no probability is zero.

    Args:
        logits: (N, K).
        generator: shuffles the rows first; None keeps their order.
        splits: number of consecutive parts the rows are divided into, at most N.

    Raises:
        ValueError: logits are not (N, K) with N of 1 or more.
    """
    if logits.ndim != 2 or not len(logits):
        raise ValueError(f"logits must be (N, K) with N of 1 or more, not {tuple(logits.shape)}")
    rows = logits.detach().cpu().double()
    if generator is not None:
        rows = rows[torch.randperm(len(rows), generator=generator)]
    splits = min(splits, len(rows))
    scores = torch.stack([_score(part) for part in rows.tensor_split(splits)])
    return InceptionScore(float(scores.mean()), float(scores.std(correction=0)), splits)


def _score(logits: Tensor) -> Tensor:
    log_p = logits.log_softmax(1)
    log_mean = torch.logsumexp(log_p, 0) - torch.log(torch.tensor(float(len(log_p))))
    return (log_p.exp() * (log_p - log_mean)).sum(1).mean().exp()
