"""The times of a bridge as a flow or diffusion model knows them, in float64.

fbridge writes this file into the folders of models, beside fbridge_pipeline.py.

Part of fbridge; Apache License 2.0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = Mapping[str, Any]
Array: TypeAlias = NDArray[np.float64]

_TRAINING_TIMES = 1000
_START = 0.999
_LEAST_RATIO = math.exp(-10.0)


def bridge_times(bridge: Numbers, steps: int, strength: float) -> Array:
    """Decreasing times (steps,) at which the network answers; the last step ends at 0.

    Raises:
        ValueError: there are no such times, or the network was not trained on them.
    """
    last = bridge["time_range"][1]
    if not 0 < strength <= 1:
        raise ValueError(f"strength {strength:g}: must be above 0 and at most 1")
    if not 1 <= steps <= _TRAINING_TIMES:
        raise ValueError(f"num_inference_steps {steps}: must be from 1 to {_TRAINING_TIMES}")
    times: Array = strength * _grid(bridge, steps)
    if times[0] > last:
        raise ValueError(
            f"strength {strength:g}: the network was trained on times up to {last:.3f}; use "
            f"{math.floor(100 * last) / 100:g} or less"
        )
    return times


def ratios(bridge: Numbers, times: Array) -> Array:
    """Signal to noise, data / noise, at bridge times (N,) above 0."""
    end = np.ones(1)
    pinned = 0.0 if bridge["objective"] == "diffusion" else 1 / _squared_rho(bridge, end)
    squared: Array = 1 / _squared_rho(bridge, times) - pinned
    return np.sqrt(squared)


def network_times(bridge: Numbers, ratio: Array) -> Array:
    """The network's own times (N,) at ratios: of a flow, or steps of CogVideoX's diffusion."""
    base = bridge["base"]
    if base["kind"] == "flow":
        flow: Array = base.get("time_scale", 1000.0) / (1 + ratio)
        return flow
    table = _cogvideox_ratios(base["snr_shift"])
    cleanest = ratios(bridge, np.array([1 / (_TRAINING_TIMES + 1)]))  # FrameBridge's anchor
    nodes = np.concatenate([table[:1] + cleanest, table[1:], [0.0]])
    return np.interp(-ratio, -nodes, np.arange(len(nodes), dtype=np.float64))


def _squared_rho(bridge: Numbers, t: Array) -> Array:
    """The squared noise-to-signal ratio of the reference diffusion."""
    schedule = bridge["schedule"]
    if schedule["kind"] == "gmax":
        first, last = schedule["beta_0"], schedule["beta_1"]
        return t * (first + (last - first) / 2 * t)
    if schedule["kind"] == "vp":
        return np.expm1(t * (schedule["beta_min"] + schedule["beta_d"] / 2 * t))
    return schedule["scale"] ** 2 * t


def _grid(bridge: Numbers, steps: int) -> Array:
    """Times of a whole bridge; see `fbridge.sampling.time_grid`."""
    times = _even(bridge, steps)
    share, shift = times / times[0], bridge["time_shift"]
    return times if shift == 1 else times[0] * (shift * share / (1 + (shift - 1) * share))


def _even(bridge: Numbers, steps: int) -> Array:
    kind = bridge["grid"]
    if kind == "trailing":
        ranks = [round(_TRAINING_TIMES - i * _TRAINING_TIMES / steps) for i in range(steps)]
        return np.array(ranks, np.float64) / (_TRAINING_TIMES + 1)
    if kind == "uniform":
        return np.linspace(_START, 0, steps + 1)[:-1]
    if kind == "karras":
        return np.linspace(_START ** (1 / 7), 1e-4 ** (1 / 7), steps) ** 7
    low, high = np.log(ratios(bridge, np.array([_START, 1e-3])))
    wanted = np.exp(np.linspace(low, high, steps))
    below, above = np.zeros(steps), np.ones(steps)
    for _ in range(64):
        middle = (below + above) / 2
        later = ratios(bridge, middle) < wanted
        below, above = np.where(later, below, middle), np.where(later, middle, above)
    return (below + above) / 2


def _cogvideox_ratios(shift: float) -> Array:
    """Signal to noise at CogVideoX's 1000 steps; its last is pure noise."""
    betas = np.linspace(math.sqrt(0.00085), math.sqrt(0.012), _TRAINING_TIMES) ** 2
    kept = np.cumprod(1 - betas)
    signal = np.sqrt(kept / (shift + (1 - shift) * kept))
    signal = (signal - signal[-1]) * (signal[0] / (signal[0] - signal[-1]))
    found: Array = np.maximum(signal / np.sqrt(1 - signal**2), _LEAST_RATIO)
    return found
