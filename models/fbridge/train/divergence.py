"""Stop a run whose loss is not finite or spikes, before the weights are updated."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from statistics import median

from fbridge.errors import FBridgeError

WINDOW = 100
FEWEST = 20
"""Number of losses needed before one can count as a spike."""


class TrainingError(FBridgeError):
    """Training cannot go on: a loss that is not finite, or a spike (exit code 1)."""


class DivergenceGuard:
    """Checks every loss against the last ones.

    Args:
        factor: a loss above this multiple of the median of the last `WINDOW` is a spike; 0: none
            is.
        losses: the last ones of the resumed run.
    """

    def __init__(self, factor: float, losses: Iterable[float] = ()) -> None:
        self.factor = factor
        self.losses = deque(losses, maxlen=WINDOW)

    def check(self, loss: float, blame: Callable[[str], TrainingError]) -> None:
        """Check and record a loss.

        Args:
            loss: mean of a step.
            blame: makes the error from a description.

        Raises:
            TrainingError: it is not finite, or a spike.
        """
        if not math.isfinite(loss):
            raise blame(f"the loss is {loss}")
        if self.factor > 0 and len(self.losses) >= FEWEST:
            usual = median(self.losses)
            if loss > self.factor * usual > 0:
                raise blame(f"the loss is {loss:.4g}, {loss / usual:.3g} times the usual")
        self.losses.append(loss)
