"""What all samplers share: signature, first state, checks of the grid, report of a step.

A sampler is a function of a `Problem` and of its own numbers; `sampler` gives it the signature of
`SampleFunction`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from fbridge.choices import STARTS, Start
from fbridge.denoiser import Denoiser, PairDenoiser
from fbridge.process import Process
from fbridge.sampling.noise import NoiseSource
from fbridge.types import Condition


class Step(NamedTuple):
    """Report of one step.

    Attributes:
        number: the step, counted from 1.
        total: the number of steps.
        time: the time that the state has reached.
        state: (B, F, C, H, W) the bridge state at that time.
        clean: (B, F, C, H, W) the clean estimate that the step used.
    """

    number: int
    total: int
    time: float
    state: Tensor
    clean: Tensor


OnStep: TypeAlias = Callable[[Step], None]


@dataclass(frozen=True)
class Problem:
    """What is sampled, whatever the sampler; the attributes are `SampleFunction`'s arguments."""

    denoiser: Denoiser
    process: Process
    prior: Tensor
    times: Tensor
    condition: Condition
    noise: NoiseSource
    start: Start
    on_step: OnStep | None

    def __post_init__(self) -> None:
        times = self.times
        if (
            times.ndim != 1
            or len(times) < 2
            or times.dtype != torch.float64
            or times.device.type != "cpu"
        ):
            raise ValueError(
                f"times are {times.dtype} {tuple(times.shape)} on {times.device} "
                "but must be float64 (steps + 1,) on cpu"
            )
        if not (bool((times.diff() < 0).all()) and float(times[0]) <= 1 and float(times[-1]) == 0):
            raise ValueError(f"times {times.tolist()} must decrease from at most 1 to exactly 0")

    def batched(self, times: Tensor) -> list[Tensor]:
        """Each time of (N,) as (B,), ready for the denoiser."""
        return list(times[:, None].expand(-1, len(self.prior)).unbind())

    @property
    def starts(self) -> list[int]:
        """Steps, counted from 0, with which a network begins to answer: 0, and of a pair another.

        What a sampler remembers of earlier steps is another network's there, and is dropped.
        """
        if not isinstance(self.denoiser, PairDenoiser):
            return [0]
        later = int(self.denoiser.takes(self.times[:-1]).sum())
        return [0, later] if 0 < later < len(self.times) - 1 else [0]

    def alike(self, s: Tensor, t: Tensor) -> bool:
        """Whether one network answers at both of two times."""
        pair = self.denoiser
        return not isinstance(pair, PairDenoiser) or bool(pair.takes(s) == pair.takes(t))

    def draw(self) -> Tensor:
        """Fresh noise like the prior."""
        return self.noise(self.prior.shape).to(self.prior)

    def estimate(self, x: Tensor, t: Tensor) -> Tensor:
        """Clean video (B, F, C, H, W) for the state x at times t (B,), in x's dtype."""
        return self.denoiser(x, t, self.prior, self.condition).to(x)

    def first_state(self) -> Tensor:
        """The state (B, F, C, H, W) at times[0]."""
        if self.start not in STARTS:
            raise ValueError(f"start is {self.start!r} but must be one of {', '.join(STARTS)}")
        if self.start == "exact":
            return self.prior
        t = self.times[:1].expand(len(self.prior))
        clean = self.prior if self.start == "noised" else self.estimate(self.prior, t)
        return self.process.sample(clean, self.prior, t, self.draw())

    def report(self, number: int, state: Tensor, clean: Tensor) -> None:
        """Call `on_step` with a step, counted from 1."""
        if self.on_step is not None:
            reached = float(self.times[number])
            self.on_step(Step(number, len(self.times) - 1, reached, state, clean))


class SampleFunction(Protocol):
    """The signature of every sampler."""

    def __call__(
        self,
        denoiser: Denoiser,
        process: Process,
        prior: Tensor,
        times: Tensor,
        condition: Condition,
        *,
        noise: NoiseSource,
        start: Start = "noised",
        on_step: OnStep | None = None,
        **numbers: float,
    ) -> Tensor:
        """The clean video (B, F, C, H, W) at the end of a bridge from the prior.

        Args:
            denoiser: the estimate of the clean video.
            process: the bridge.
            prior: (B, F, C, H, W) where the bridge starts.
            times: (N + 1,) from `time_grid`: float64, decreasing, the last 0.
            condition: words and picture.
            noise: source of standard normal noise.
            start: how to begin, see `Start`.
            on_step: called after each step.
            **numbers: the sampler's own.
        """


def sampler(method: Callable[..., Tensor]) -> SampleFunction:
    """A method (problem, *, its numbers) -> clean video as a function with the common signature."""

    @torch.no_grad()
    def sample(
        denoiser: Denoiser,
        process: Process,
        prior: Tensor,
        times: Tensor,
        condition: Condition,
        *,
        noise: NoiseSource,
        start: Start = "noised",
        on_step: OnStep | None = None,
        **numbers: Any,
    ) -> Tensor:
        given = (denoiser, process, prior, times, condition, noise, start, on_step)
        return method(Problem(*given), **numbers)

    sample.__name__, sample.__qualname__ = method.__name__, method.__qualname__
    sample.__module__, sample.__doc__ = method.__module__, method.__doc__
    return sample
