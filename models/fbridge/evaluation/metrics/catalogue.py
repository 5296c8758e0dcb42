"""All metrics by name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from fbridge.errors import ConfigError
from fbridge.evaluation.metrics.clip_metrics import CLIPS, MOTION
from fbridge.evaluation.metrics.metric import Metric
from fbridge.evaluation.metrics.set_metrics import SETS

METRICS: dict[str, Metric] = {metric.name: metric for metric in (*SETS, *CLIPS)}
"""In the order in which they are listed."""


def find_metrics(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics called so, each once, and motion behind them.

    A frozen video has the best fidelity there is, so how much moves is always told beside it.

    Raises:
        ConfigError: one is unknown.
    """
    found: dict[str, Metric] = {}
    for name in names:
        if name not in METRICS:
            near = difflib.get_close_matches(name, METRICS, n=1)
            guess = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(f"--metric {name}: unknown; {guess}there are {', '.join(METRICS)}")
        found[name] = METRICS[name]
    return tuple({**found, MOTION.name: MOTION}.values())
