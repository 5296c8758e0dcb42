"""SNR alignment: a bridge state as a pretrained diffusion or flow model knows its own states.

FrameBridge's SNR-aligned fine-tuning (arXiv 2410.15371). The pretrained (base) model was trained at
its times k on states

    x_k = signal_k x_0 + noise_k eps

A bridge state without its prior has the same form:

    x - prior x_1 = data x_0 + noise eps

So it is scaled to the base's length and given the time k of equal signal-to-noise ratio,

    latent = sqrt(signal_k^2 + noise_k^2) / sqrt(data^2 + noise^2) (x - prior x_1)
    signal_k / noise_k = data / noise

and has exactly the distribution the network was trained on. `SNRAlignment` computes both. Of the
base it needs a `NoiseSchedule`: the alphas_cumprod of a diffusers DDPM scheduler, or flow matching.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor

from fbridge.process import Process, over

_LOWEST_RATIO = math.exp(-10.0)
"""Zero-terminal-SNR tables end at ratio 0: cut here (log-SNR -20), their logarithm stays finite."""

_FIRST_TIME = 1.0 / 1001.0
"""First of FrameBridge's 1000 training times (i + 1) / 1001: the anchor of its rule's clean end."""


class NoiseSchedule(Protocol):
    """The noise levels of a pretrained model, by the amplitude ratio signal / noise."""

    def time(self, ratio: Tensor, *, cleanest: float) -> Tensor:
        """Network time at which the base has this ratio.

        Args:
            ratio: float64 signal / noise of any shape, infinite for clean.
            cleanest: largest ratio on the bridge's training grid; only FrameBridge's own rule reads
                it.
        """

    def length(self, ratio: Tensor) -> Tensor:
        """sqrt(signal^2 + noise^2) of the base at this ratio: 1 where variance is preserved."""

    def covers(self, ratio: Tensor) -> Tensor:
        """True where the base was trained at this ratio."""


@dataclass(frozen=True, eq=False)
class DDPMSchedule:
    """A discrete-time base x_k = signal_k x_0 + noise_k eps for k = 0 ... K-1.

    Attributes:
        alphas_cumprod: (K,) squared signal of a variance-preserving model, decreasing; may end at
            0.
        interpolation: "official" is FrameBridge's rule, linear in the amplitude ratio, anchored at
            the clean end at the sum of table's and bridge's largest ratios and running on to K
            below the table's noisiest entry; "log" is linear in the log-ratio and stops at 0 and
            K-1.
        signal_scale: (K,) further factor on the signal of a base that does not preserve variance.
    """

    alphas_cumprod: Tensor
    interpolation: Literal["official", "log"] = "official"
    signal_scale: Tensor | None = None

    def __post_init__(self) -> None:
        table = self.alphas_cumprod
        if table.ndim != 1 or len(table) < 2:
            raise ValueError(
                f"alphas_cumprod has shape {tuple(table.shape)} but must be (K,), K > 1"
            )
        if self.interpolation not in ("official", "log"):
            raise ValueError(f"interpolation is {self.interpolation!r}, not 'official' or 'log'")
        if self.signal_scale is not None and self.signal_scale.shape != table.shape:
            raise ValueError(
                f"signal_scale {tuple(self.signal_scale.shape)} does not fit {len(table)} steps"
            )
        inside = bool(((table >= 0) & (table < 1)).all())
        if not inside or not bool((self._signal_noise[0].diff() < 0).all()):
            raise ValueError("alphas_cumprod must decrease strictly within [0, 1)")

    def time(self, ratio: Tensor, *, cleanest: float) -> Tensor:
        """Fractional step k, float64: a real number between the steps the base was trained at."""
        if self.interpolation == "log":
            return len(self._logs) - 1 - _rank(ratio.log(), self._logs)
        if cleanest not in self._anchored:
            ratios = self._ratios
            nodes = torch.cat([ratios[:1] + cleanest, ratios[1:], ratios.new_zeros(1)])
            self._anchored[cleanest] = nodes.flip(0)
        return len(self._ratios) - _rank(ratio, self._anchored[cleanest])

    def length(self, ratio: Tensor) -> Tensor:
        """One, or with a `signal_scale` the table's length between its steps."""
        if self.signal_scale is None:
            return torch.ones_like(ratio)
        lengths = torch.hypot(*self._signal_noise).flip(0).to(ratio.device)
        rank = _rank(ratio.log(), self._logs)
        left = rank.floor().long().clamp_max(len(lengths) - 2)
        return torch.lerp(lengths[left], lengths[left + 1], rank - left)

    def covers(self, ratio: Tensor) -> Tensor:
        """True between the cleanest and the noisiest step of the table."""
        return (ratio <= float(self._ratios[0])) & (ratio >= float(self._ratios[-1]))

    @cached_property
    def _signal_noise(self) -> tuple[Tensor, Tensor]:
        table = self.alphas_cumprod.detach().to("cpu", torch.float64)
        signal = table.sqrt()
        if self.signal_scale is not None:
            signal = signal * self.signal_scale.detach().to("cpu", torch.float64)
        return signal, (1 - table).sqrt()

    @cached_property
    def _ratios(self) -> Tensor:
        signal, noise = self._signal_noise
        return (signal / noise).clamp_min(_LOWEST_RATIO)

    @cached_property
    def _logs(self) -> Tensor:
        return self._ratios.log().flip(0)

    @cached_property
    def _anchored(self) -> dict[float, Tensor]:
        return {}


@dataclass(frozen=True)
class FlowSchedule:
    """A flow-matching base x_s = (1 - s) x_0 + s eps whose network time is time_scale * s.

    A timestep *shift* of such a model only says which s were sampled; it is not applied to the
    network's time.

    Attributes:
        time_scale: network time of pure noise.
        lowest, highest: network times between which the base was trained, as one expert of a pair
            is; all by default.
    """

    time_scale: float = 1000.0
    lowest: float = 0.0
    highest: float = math.inf

    def time(self, ratio: Tensor, *, cleanest: float) -> Tensor:  # noqa: ARG002 (an exact inverse has no anchor)
        """time_scale * s with (1 - s) / s = ratio."""
        return self.time_scale / (1 + ratio)

    def length(self, ratio: Tensor) -> Tensor:
        """sqrt((1 - s)^2 + s^2)."""
        s = 1 / (1 + ratio)
        return torch.hypot(1 - s, s)

    def covers(self, ratio: Tensor) -> Tensor:
        """Everywhere, or within the expert's own times: a flow goes from data to pure noise."""
        time = self.time_scale / (1 + ratio)
        return (ratio >= 0) & (time >= self.lowest) & (time <= self.highest)


@dataclass(frozen=True, eq=False)
class SNRAlignment:
    """Time and state of a bridge as a pretrained network expects them, for 0 <= t < 1.

    Attributes:
        process: the bridge, or the diffusion baseline.
        base: the pretrained model's noise levels.
    """

    process: Process
    base: NoiseSchedule

    def time(self, t: Tensor) -> Tensor:
        """Network time (B,) float64: fractional DDPM step, or time_scale * s for a flow model."""
        return self.base.time(self.process.signal_to_noise(t), cleanest=self._cleanest)

    def latent(self, x: Tensor, prior: Tensor, t: Tensor) -> Tensor:
        """The state x (B, F, C, H, W) without its prior, at the base's length."""
        return self.place(x, prior, t)[0]

    def place(self, x: Tensor, prior: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """`latent` and `time` at once, for half the work."""
        c = self.process.coefficients(t)
        ratio = c.data / c.noise
        scale = self.base.length(ratio) / torch.hypot(c.data, c.noise)
        latent = (x - over(c.prior, x) * prior).mul_(over(scale, x))
        return latent, self.base.time(ratio, cleanest=self._cleanest)

    def covered(self, t: Tensor) -> Tensor:
        """False (B,) where the bridge leaves the base's range of SNR, and `time` clamps."""
        return self.base.covers(self.process.signal_to_noise(t))

    @cached_property
    def time_range(self) -> tuple[float, float]:
        """First and last bridge time of the states that the base knows.

        (0, 1) but for one expert of a pair. Where another base clamps at the ends of its range
        (see `covered`) it is still meant to answer.
        """
        base = self.base
        if not isinstance(base, FlowSchedule):
            return 0.0, 1.0
        lowest, highest = max(base.lowest, 0.0), min(base.highest, base.time_scale)
        first = 0.0 if lowest == 0 else self.time_at(lowest)
        return first, 1.0 if highest == base.time_scale else self.time_at(highest)

    def time_at(self, network_time: float) -> float:
        """The bridge time that a flow model knows as `network_time`: the inverse of `time`."""
        assert isinstance(self.base, FlowSchedule), "pairs of networks are flow models"
        ratio = torch.tensor(self.base.time_scale / network_time - 1, dtype=torch.float64)
        return float(self.process.time_at(ratio))

    @cached_property
    def _cleanest(self) -> float:
        return float(self.process.signal_to_noise(torch.tensor(_FIRST_TIME, dtype=torch.float64)))


def linear_alphas_cumprod(beta_start: float, beta_end: float, steps: int = 1000) -> Tensor:
    """Table (K,) of a DDPM whose beta grows linearly (ADM, Latte: 1e-4 to 2e-2)."""
    return (1 - torch.linspace(beta_start, beta_end, steps, dtype=torch.float64)).cumprod(0)


def scaled_linear_alphas_cumprod(beta_start: float, beta_end: float, steps: int = 1000) -> Tensor:
    """Table (K,) of a DDPM whose sqrt(beta) grows linearly (Stable Diffusion: 0.00085 to 0.012)."""
    roots = torch.linspace(math.sqrt(beta_start), math.sqrt(beta_end), steps, dtype=torch.float64)
    return (1 - roots.square()).cumprod(0)


def falling_scale(last: float, steps: int, of: int) -> Tensor:
    """Factors (of,) on the signal of VideoCrafter: in a line from 1 to `last` in so many steps."""
    line = torch.linspace(1, last, steps, dtype=torch.float64)
    return torch.cat([line, line[-1:].expand(of - steps)])


def snr_shifted(alphas_cumprod: Tensor, scale: float) -> Tensor:
    """Table (K,) with every SNR divided by `scale` (CogVideoX: 3 for 2B, 1 for 5B)."""
    return alphas_cumprod / (scale + (1 - scale) * alphas_cumprod)


def zero_terminal_snr(alphas_cumprod: Tensor) -> Tensor:
    """Table (K,) rescaled to end in pure noise, its first entry kept (arXiv 2305.08891)."""
    signal = alphas_cumprod.sqrt()
    return ((signal - signal[-1]) * (signal[0] / (signal[0] - signal[-1]))).square()


def cogvideox_alphas_cumprod(snr_shift: float) -> Tensor:
    """CogVideoX's table (1000,): Stable Diffusion's betas, shifted SNR, then zero terminal SNR."""
    return zero_terminal_snr(snr_shifted(scaled_linear_alphas_cumprod(0.00085, 0.012), snr_shift))


def _rank(x: Tensor, nodes: Tensor) -> Tensor:
    """Fractional position of x among ascending nodes, within [0, len(nodes) - 1]."""
    nodes = nodes.to(x.device)
    left = torch.searchsorted(nodes, x).sub_(1).clamp_(0, len(nodes) - 2)
    low, high = nodes[left], nodes[left + 1]
    return ((x - low) / (high - low)).clamp_(0, 1).add_(left)
