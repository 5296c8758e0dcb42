"""What the network sees and what its output means: the only home of this algebra.

Each parameterization answers four questions about a state x = data x_0 + prior x_1 + noise eps at
time t: what the network is given, what it should have answered, which clean video its answer means,
and how much its error weighs. Law: clean(target(x_0, ...), ...) == x_0 at every 0 < t < 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from fbridge.alignment import SNRAlignment
from fbridge.process import Process, over


class NetworkInput(NamedTuple):
    """What a network is called with: a latent (B, F, C, H, W) and its own time (B,), float64."""

    latent: Tensor
    time: Tensor


class Parameterization(Protocol):
    """The reading of a network's input and output. Latents are (B, F, C, H, W), times (B,)."""

    def inputs(self, x: Tensor, prior: Tensor, t: Tensor) -> NetworkInput:
        """What the network is given for the state x."""
        ...

    def target(self, clean: Tensor, prior: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """What the network should answer where the clean video is known."""
        ...

    def clean(self, output: Tensor, x: Tensor, prior: Tensor, t: Tensor) -> Tensor:
        """The clean video that the network's answer means."""
        ...

    def weight(self, t: Tensor) -> Tensor:
        """Weight (B,) of the squared error of the network's output in the loss."""
        ...


@dataclass(frozen=True)
class CleanPrediction:
    """The network sees the raw state, answers the clean video (arXiv 2312.03491).

    Attributes:
        time_scale: the network's time is time_scale * t.
    """

    time_scale: float = 1000.0

    def inputs(self, x: Tensor, prior: Tensor, t: Tensor) -> NetworkInput:  # noqa: ARG002
        """The state as it is."""
        return NetworkInput(x, self.time_scale * t)

    def target(self, clean: Tensor, prior: Tensor, x: Tensor, t: Tensor) -> Tensor:  # noqa: ARG002
        """The clean video."""
        return clean

    def clean(self, output: Tensor, x: Tensor, prior: Tensor, t: Tensor) -> Tensor:  # noqa: ARG002
        """The output."""
        return output

    def weight(self, t: Tensor) -> Tensor:
        """One."""
        return torch.ones_like(t)


@dataclass(frozen=True)
class PsiNoisePrediction:
    """The network answers the reference noise (x - alpha x_0) / (alpha rho).

    FrameBridge's from-scratch and VideoCrafter models do (arXiv 2410.15371). That is a residual to
    the prior, (rho / rho_1^2) (x_1 / alpha_1 - x_0) + sqrt(1 - rho^2 / rho_1^2) eps: near the data
    the noise, near the prior the way back. An error of the output counts rho-fold in the clean
    video.

    Attributes:
        process: the bridge.
        alignment: with one, the input is aligned to a pretrained noise predictor; without, the
            network sees the raw state and time_scale * t.
        time_scale: the network's time per unit of bridge time where there is no alignment.
    """

    process: Process
    alignment: SNRAlignment | None = None
    time_scale: float = 1000.0

    def inputs(self, x: Tensor, prior: Tensor, t: Tensor) -> NetworkInput:
        """The aligned state, or the state as it is."""
        if self.alignment is None:
            return NetworkInput(x, self.time_scale * t)
        return _aligned(self.alignment, x, prior, t)

    def target(self, clean: Tensor, prior: Tensor, x: Tensor, t: Tensor) -> Tensor:  # noqa: ARG002
        """(x - alpha x_0) / (alpha rho)."""
        alpha, rho = self._alpha_rho(t)
        return x * over(1 / (alpha * rho), x) - clean * over(1 / rho, x)

    def clean(self, output: Tensor, x: Tensor, prior: Tensor, t: Tensor) -> Tensor:  # noqa: ARG002
        """The clean video x / alpha - rho * output."""
        alpha, rho = self._alpha_rho(t)
        return x * over(1 / alpha, x) - output * over(rho, x)

    def weight(self, t: Tensor) -> Tensor:
        """One, which weighs the clean video's squared error by 1 / rho^2."""
        return torch.ones_like(t)

    def _alpha_rho(self, t: Tensor) -> tuple[Tensor, Tensor]:
        schedule = self.process.schedule
        return schedule.alpha(t), schedule.rho(t)


@dataclass(frozen=True)
class AlignedNoisePrediction:
    """The network answers the noise eps of the aligned state, as a pretrained DDPM does.

    So the untouched network is already a denoiser, where FrameBridge's target on such bases
    (`PsiNoisePrediction`) has to be learnt anew near the prior. An error of the output counts
    noise / data times in the clean video.

    Attributes:
        alignment: the bridge and a variance-preserving base.
    """

    alignment: SNRAlignment

    def inputs(self, x: Tensor, prior: Tensor, t: Tensor) -> NetworkInput:
        """The aligned state."""
        return _aligned(self.alignment, x, prior, t)

    def target(self, clean: Tensor, prior: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """(x - prior_weight * prior - data x_0) / noise."""
        c = self.alignment.process.coefficients(t)
        free = x - over(c.prior, x) * prior
        return free * over(1 / c.noise, x) - clean * over(c.data / c.noise, x)

    def clean(self, output: Tensor, x: Tensor, prior: Tensor, t: Tensor) -> Tensor:
        """(x - prior_weight * prior - noise * output) / data."""
        c = self.alignment.process.coefficients(t)
        free = x - over(c.prior, x) * prior
        return free * over(1 / c.data, x) - output * over(c.noise / c.data, x)

    def weight(self, t: Tensor) -> Tensor:
        """One, which weighs the clean video's squared error by data^2 / noise^2."""
        return torch.ones_like(t)


@dataclass(frozen=True)
class AlignedVPrediction:
    """The network answers v = (data eps - noise x_0) / n with n^2 = data^2 + noise^2.

    FrameBridge's choice on CogVideoX (arXiv 2410.15371). This is the pretrained model's own
    v-target at the aligned time, so the untouched network is already a denoiser.

    Attributes:
        alignment: the bridge and a variance-preserving base.
    """

    alignment: SNRAlignment

    def inputs(self, x: Tensor, prior: Tensor, t: Tensor) -> NetworkInput:
        """The aligned state."""
        return _aligned(self.alignment, x, prior, t)

    def target(self, clean: Tensor, prior: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """((data / n) (x - prior_weight * prior) - n x_0) / noise."""
        c = self.alignment.process.coefficients(t)
        norm = torch.hypot(c.data, c.noise)
        free = x - over(c.prior, x) * prior
        return free * over(c.data / (norm * c.noise), x) - clean * over(norm / c.noise, x)

    def clean(self, output: Tensor, x: Tensor, prior: Tensor, t: Tensor) -> Tensor:
        """(data / n^2) (x - prior_weight * prior) - (noise / n) output."""
        c = self.alignment.process.coefficients(t)
        norm = torch.hypot(c.data, c.noise)
        free = x - over(c.prior, x) * prior
        return free * over(c.data / (norm * norm), x) - output * over(c.noise / norm, x)

    def weight(self, t: Tensor) -> Tensor:
        """One, which weighs the clean video's squared error by n^2 / noise^2."""
        return torch.ones_like(t)


@dataclass(frozen=True)
class AlignedFlowPrediction:
    """The network answers the flow velocity eps - x_0 of a flow-matching base.

    Attributes:
        alignment: the bridge and a `FlowBase`.
    """

    alignment: SNRAlignment

    def inputs(self, x: Tensor, prior: Tensor, t: Tensor) -> NetworkInput:
        """The aligned state (x - prior_weight * prior) / (data + noise)."""
        return _aligned(self.alignment, x, prior, t)

    def target(self, clean: Tensor, prior: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """(x - prior_weight * prior) / noise - x_0 (data + noise) / noise."""
        c = self.alignment.process.coefficients(t)
        free = x - over(c.prior, x) * prior
        return free * over(1 / c.noise, x) - clean * over((c.data + c.noise) / c.noise, x)

    def clean(self, output: Tensor, x: Tensor, prior: Tensor, t: Tensor) -> Tensor:
        """(x - prior_weight * prior - noise * output) / (data + noise)."""
        c = self.alignment.process.coefficients(t)
        scale = 1 / (c.data + c.noise)
        free = x - over(c.prior, x) * prior
        return free * over(scale, x) - output * over(c.noise * scale, x)

    def weight(self, t: Tensor) -> Tensor:
        """One."""
        return torch.ones_like(t)


@dataclass(frozen=True)
class PreconditionedPrediction:
    """DDBM's scalings: unit-variance input, unit-variance target.

    From arXiv 2309.16948, after EDM (arXiv 2206.00364). The clean video is skip * x + out * output;
    for a Gaussian pair of these variances the skip is the best linear guess and the network answers
    only what it misses.

    Attributes:
        process: the bridge.
        data_variance: variance of the clean videos' entries.
        prior_variance: variance of the priors' entries.
        covariance: covariance of the two.
        time_scale: the network's time is time_scale * log t.
    """

    process: Process
    data_variance: float = 0.25
    prior_variance: float = 0.25
    covariance: float = 0.125
    time_scale: float = 250.0

    def __post_init__(self) -> None:
        if not (self.data_variance > 0 and self.prior_variance > 0):
            raise ValueError(
                f"data_variance {self.data_variance} and prior_variance {self.prior_variance} "
                "must be positive"
            )
        if self.covariance**2 > self.data_variance * self.prior_variance:
            raise ValueError(
                f"covariance {self.covariance} exceeds what variances {self.data_variance} and "
                f"{self.prior_variance} allow"
            )

    def inputs(self, x: Tensor, prior: Tensor, t: Tensor) -> NetworkInput:  # noqa: ARG002
        """The state at unit variance."""
        gain, _, _ = self._scalings(t)
        return NetworkInput(x * over(gain, x), self.time_scale * t.log())

    def target(self, clean: Tensor, prior: Tensor, x: Tensor, t: Tensor) -> Tensor:  # noqa: ARG002
        """(x_0 - skip * x) / out."""
        _, skip, out = self._scalings(t)
        return clean * over(1 / out, x) - x * over(skip / out, x)

    def clean(self, output: Tensor, x: Tensor, prior: Tensor, t: Tensor) -> Tensor:  # noqa: ARG002
        """The clean video skip * x + out * output."""
        _, skip, out = self._scalings(t)
        return x * over(skip, x) + output * over(out, x)

    def weight(self, t: Tensor) -> Tensor:
        """One, which weighs the clean video's squared error by 1 / out^2."""
        return torch.ones_like(t)

    def _scalings(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gain on the input, skip from the state, gain on the output; each (B,)."""
        data, prior, noise = self.process.coefficients(t)
        both, first, second = self.covariance, self.data_variance, self.prior_variance
        shared = data * first + prior * both
        noise_squared, prior_squared = noise * noise, prior * prior
        total = data * (shared + prior * both) + prior_squared * second + noise_squared
        missed = prior_squared * (first * second - both**2) + first * noise_squared
        return torch.rsqrt(total), shared / total, torch.sqrt(missed / total)


def _aligned(alignment: SNRAlignment, x: Tensor, prior: Tensor, t: Tensor) -> NetworkInput:
    return NetworkInput(*alignment.place(x, prior, t))
