"""A watch on the loss: a run that goes astray is stopped before it spoils its weights."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from statistics import median

from fbridge.errors import FBridgeError

WINDOW = 100
FEWEST = 20
"""Losses that must be known before a larger one is called a spike."""


class TrainingError(FBridgeError):
    """Training cannot go on: a loss that is not finite, or a spike (exit code 1)."""


class LossWatch:
    """Knows the last losses, and what is far above them.

    Args:
        factor: a loss above so many medians of the last `WINDOW` is a spike; 0 lets everything by.
        losses: of an earlier part of the run.
    """

    def __init__(self, factor: float, losses: Iterable[float] = ()) -> None:
        self.factor = factor
        self.losses = deque(losses, maxlen=WINDOW)

    def check(self, loss: float, blame: Callable[[str], TrainingError]) -> None:
        """Take note of a loss.

        Raises:
            TrainingError: it is not finite, or a spike; made by `blame` from what is wrong.
        """
        if not math.isfinite(loss):
            raise blame(f"the loss is {loss}")
        if self.factor > 0 and len(self.losses) >= FEWEST:
            usual = median(self.losses)
            if loss > self.factor * usual > 0:
                raise blame(f"the loss is {loss:.4g}, {loss / usual:.3g} times the usual")
        self.losses.append(loss)
