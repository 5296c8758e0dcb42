"""All metrics by name."""

from __future__ import annotations

from collections.abc import Sequence

from fbridge.evaluation.metrics.clip_metrics import CLIPS, MOTION
from fbridge.evaluation.metrics.metric import Metric
from fbridge.evaluation.metrics.set_metrics import SETS
from fbridge.evaluation.protocol import find_named

METRICS: dict[str, Metric] = {metric.name: metric for metric in (*SETS, *CLIPS)}
"""In the order in which they are listed."""


def find_metrics(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics with these names, each once, and motion as the last.

    A frozen video has the best fidelity, so motion is always reported too.

    Raises:
        ConfigError: one is unknown.
    """
    found = {name: find_named("--metric", name, METRICS) for name in names}
    return tuple({**found, MOTION.name: MOTION}.values())
