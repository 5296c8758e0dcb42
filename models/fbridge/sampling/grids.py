"""Time grids: the times at which a sampler evaluates the denoiser."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from fbridge.choices import GRIDS, GridKind
from fbridge.process import Process

_TRAINING_TIMES = 1000
_LAST_OF_LOGSNR = 1e-3
_LAST_OF_KARRAS = 1e-4
_KARRAS_RHO = 7.0


def time_grid(
    steps: int,
    *,
    kind: GridKind = "trailing",
    start: float = 0.999,
    process: Process | None = None,
    shift: float = 1.0,
) -> Tensor:
    """Decreasing float64 times (steps + 1,) whose last is exactly 0.

    The step to 0 returns the clean estimate.

    Args:
        steps: number of steps; the denoiser is evaluated at all times but the last.
        kind: "trailing" is FrameBridge's grid (arXiv 2410.15371): every (1000 / steps)-th of its
            training times (i + 1) / 1001 counted from the noisiest, which fixes its start at
            1000/1001; "uniform" has equal steps of time; "logsnr" equal steps of the logarithm of
            `process.signal_to_noise` down to 1e-3 and is the choice for high orders; "karras"
            is dense at the clean end as EDM's (arXiv 2206.00364), down to 1e-4.
        start: the first time, in (0, 1); "trailing" has its own.
        process: the bridge; "logsnr" needs it.
        shift: moves the times between the first and 0, as flow models shift theirs (arXiv
            2403.03206): t becomes shift t / (1 + (shift - 1) t), with t in units of the first.
            Above 1 more steps lie near the prior, below 1 near the video; 1 moves nothing.

    Raises:
        ValueError: if such a grid does not exist.
    """
    if kind not in GRIDS:
        raise ValueError(f"kind is {kind!r} but must be one of {', '.join(GRIDS)}")
    if steps < 1:
        raise ValueError(f"steps is {steps} but must be at least 1")
    if not 0 < start < 1:
        raise ValueError(f"start is {start} but must lie between 0 and 1")
    if not 0 < shift < math.inf:
        raise ValueError(f"shift is {shift} but must be positive and finite")
    if kind == "trailing":
        return _shifted(_trailing(steps), shift)
    if kind == "uniform":
        times = torch.linspace(start, 0, steps + 1, dtype=torch.float64)[:-1]
    elif kind == "karras":
        root = 1 / _KARRAS_RHO
        times = (
            torch.linspace(start**root, _LAST_OF_KARRAS**root, steps, dtype=torch.float64)
            ** _KARRAS_RHO
        )
    else:
        if process is None:
            raise ValueError(
                "kind 'logsnr' needs the process whose signal-to-noise ratio it steps through"
            )
        ends = torch.tensor([start, _LAST_OF_LOGSNR], dtype=torch.float64)
        low, high = process.signal_to_noise(ends).log().tolist()
        times = process.time_at(torch.linspace(low, high, steps, dtype=torch.float64).exp())
    times[0] = start  # powers and inverses return it only to the last digit
    grid = _shifted(torch.cat([times, times.new_zeros(1)]), shift)
    if not bool((grid.diff() < 0).all()):
        raise ValueError(f"start is {start}: too small for {steps} steps of kind {kind!r}")
    return grid


def default_times(config: Any, process: Process, steps: int | None = None) -> Tensor:
    """Times (steps + 1,) at which a model samples unless told otherwise.

    Args:
        config: of its scheduler, or any with "steps", "grid", "time_shift" and "strength".
        process: its process.
        steps: in place of the model's.
    """
    grid = time_grid(
        steps or config.steps, kind=config.grid, process=process, shift=config.time_shift
    )
    times: Tensor = config.strength * grid
    return times


def _shifted(times: Tensor, shift: float) -> Tensor:
    if shift == 1:
        return times
    share = times[1:] / times[0]
    return torch.cat([times[:1], times[0] * (shift * share / (1 + (shift - 1) * share))])


def _trailing(steps: int) -> Tensor:
    if steps > _TRAINING_TIMES:
        raise ValueError(f"steps is {steps} but kind 'trailing' has at most {_TRAINING_TIMES}")
    ranks = [round(_TRAINING_TIMES - i * _TRAINING_TIMES / steps) for i in range(steps)]
    return torch.tensor([*ranks, 0], dtype=torch.float64) / (_TRAINING_TIMES + 1)
