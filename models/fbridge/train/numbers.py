"""The numbers of a run on their way to metrics.csv and the trackers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from fbridge.errors import DependencyError, reason
from fbridge.train.events import Stepped, Validated, Warned
from fbridge.train.run_files import Curves
from fbridge.train.trackers import Trackers


class Numbers:
    """Curves and trackers of a run; a failure to write them never ends the training."""

    def __init__(self, curves: Curves | None, trackers: Trackers | None) -> None:
        self._curves = curves
        self._trackers = trackers
        self._failing = False

    def add(self, event: Stepped | Validated) -> Iterator[Warned]:
        """Write the numbers of an event; warns when that begins to fail."""
        try:
            if self._curves is not None:
                self._curves.add(event.step, _numbers(event))
            self._failing = False
        except DependencyError as error:
            if not self._failing:
                yield Warned(f"{error}; training goes on without")
            self._failing = True
        try:
            if self._trackers is not None:
                self._trackers.add(event.step, _numbers(event, grouped=True))
        except Exception as error:  # each tracker's client raises errors of its own
            self._trackers = None
            yield Warned(f"a tracker failed ({reason(error)}); training goes on "
                         "without trackers")  # fmt: skip

    def close(self) -> None:
        """Close the trackers; errors are ignored."""
        if self._trackers is not None:
            with suppress(Exception):
                self._trackers.close()


def _numbers(event: Stepped | Validated, *, grouped: bool = False) -> dict[str, float]:
    """The numbers of an event by name; `grouped` puts a group before each, for trackers."""
    if isinstance(event, Validated):
        return {f"validation/{k}" if grouped else k: v for k, v in event.scores.items()}
    numbers = {
        "loss": event.loss,
        "gradient_norm": event.norm,
        "lr": event.lr,
        "seconds_per_step": event.seconds,
        "data_waiting": event.waited,
        "clips_per_second": event.clips,
        "memory_bytes": float(event.memory),
    }
    return {f"train/{name}" if grouped else name: value for name, value in numbers.items()}
