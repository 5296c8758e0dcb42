"""Parameterizations (prediction types): the clean video is affine in the network's output.

For the state x = data x_0 + prior x_1 + noise eps at time t (`fbridge.process`)

    clean = skip y + out output

where y is the state x, or free = x - prior x_1, the state without its prior. With alpha and rho of
the reference diffusion, m = data + noise and n = sqrt(data^2 + noise^2), the predictions are

    prediction         output                          y     skip               out
    clean              x_0                             x     0                  1
    psi-noise          (x - alpha x_0) / (alpha rho)   x     1 / alpha          -rho
    preconditioned     (x_0 - skip x) / out            x     best linear guess  its error
    aligned-v          (data eps - noise x_0) / n      free  data / n^2         -noise / n
    aligned-flow       eps - x_0                       free  1 / m              -noise / m
    aligned-noise      eps                             free  1 / data           -noise / data
    aligned-psi-noise  (x - alpha x_0) / (alpha rho)   x     1 / alpha          -rho

"aligned": the network is given the state as `fbridge.alignment` places it for a pretrained network.
The training target is the inverse of the map. The loss is the plain squared error of the output,
so it weighs the squared error of the clean video by 1 / out^2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from fbridge.alignment import SNRAlignment
from fbridge.process import Process, over


class NetworkInput(NamedTuple):
    """What a network is called with: a latent (B, F, C, H, W) and its own time (B,), float64."""

    latent: Tensor
    time: Tensor


class Scalings(NamedTuple):
    """Factors of clean = skip * y + out * output, and of the state as input; each (B,), float64.

    A `gain` of None leaves the input as it is.
    """

    skip: Tensor
    out: Tensor
    gain: Tensor | None = None


def _thousandfold(t: Tensor) -> Tensor:
    return 1000.0 * t


@dataclass(frozen=True)
class Prediction:
    """One row of the table: what a network predicts.

    Attributes:
        scalings: the factors at times (B,) of a process.
        without_prior: y is the state without its prior.
        aligned: the network is a pretrained one and is given the aligned state.
        time: the network's time where the input is not aligned.
    """

    scalings: Callable[[Process, Tensor], Scalings]
    without_prior: bool = False
    aligned: bool = False
    time: Callable[[Tensor], Tensor] = _thousandfold


@dataclass(frozen=True)
class Parameterization:
    """A prediction on a process. Latents are (B, F, C, H, W), times (B,).

    Law: clean(target(x_0, ...), ...) == x_0 at every 0 < t < 1.

    Attributes:
        process: the bridge, or the diffusion baseline.
        prediction: a row of `PREDICTIONS`.
        alignment: for an aligned prediction, of this process.
        picture_first: the first frame is no state but the picture, clean and at the network's time
            0, as bases that take pictures natively were trained. `fbridge.denoiser.BridgeDenoiser`
            puts it there.
    """

    process: Process
    prediction: Prediction
    alignment: SNRAlignment | None = None
    picture_first: bool = False

    def __post_init__(self) -> None:
        if self.prediction.aligned != (self.alignment is not None):
            given = "none is given" if self.alignment is None else "one is given"
            wanted = "needs" if self.prediction.aligned else "has no"
            raise ValueError(f"the prediction {wanted} alignment but {given}")
        if self.picture_first and self.alignment is None:
            raise ValueError("picture_first needs an aligned prediction: the network's own time")

    def scalings(self, t: Tensor) -> Scalings:
        """Factors of the affine map at times t."""
        return self.prediction.scalings(self.process, t)

    def inputs(self, x: Tensor, prior: Tensor, t: Tensor) -> NetworkInput:
        """What the network is given for the state x."""
        if self.alignment is not None:
            return NetworkInput(*self.alignment.place(x, prior, t))
        gain = self.scalings(t).gain
        return NetworkInput(x if gain is None else x * over(gain, x), self.prediction.time(t))

    def clean(self, output: Tensor, x: Tensor, prior: Tensor, t: Tensor) -> Tensor:
        """The clean video that the network's output means."""
        skip, out, _ = self.scalings(t)
        return self._y(x, prior, t) * over(skip, x) + output * over(out, x)

    def target(self, clean: Tensor, prior: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """The output that means the known clean video."""
        skip, out, _ = self.scalings(t)
        return clean * over(1 / out, x) - self._y(x, prior, t) * over(skip / out, x)

    def _y(self, x: Tensor, prior: Tensor, t: Tensor) -> Tensor:
        if not self.prediction.without_prior:
            return x
        return x - over(self.process.coefficients(t).prior, x) * prior


def _clean(_process: Process, t: Tensor) -> Scalings:
    """The clean video itself (Bridge-TTS, arXiv 2312.03491)."""
    return Scalings(torch.zeros_like(t), torch.ones_like(t))


def _psi_noise(process: Process, t: Tensor) -> Scalings:
    """The reference diffusion's noise: FrameBridge from scratch and on VideoCrafter.

    It is a residual to the prior (arXiv 2410.15371): near the data the noise, near the prior the
    way back,

        output = (rho / rho_1^2) (x_1 / alpha_1 - x_0) + sqrt(1 - rho^2 / rho_1^2) eps
    """
    return Scalings(1 / process.schedule.alpha(t), -process.schedule.rho(t))


def _v(process: Process, t: Tensor) -> Scalings:
    """The base's own v at the aligned time: FrameBridge on CogVideoX (arXiv 2410.15371)."""
    c = process.coefficients(t)
    norm = torch.hypot(c.data, c.noise)
    return Scalings(c.data / (norm * norm), -c.noise / norm)


def _flow(process: Process, t: Tensor) -> Scalings:
    """The velocity of a flow-matching base."""
    c = process.coefficients(t)
    scale = 1 / (c.data + c.noise)
    return Scalings(scale, -c.noise * scale)


def _noise(process: Process, t: Tensor) -> Scalings:
    """The noise of a DDPM base, whose untouched network is already a denoiser then.

    FrameBridge's target on such a base, psi-noise, has to be learnt anew near the prior.
    """
    c = process.coefficients(t)
    return Scalings(1 / c.data, -c.noise / c.data)


def preconditioned(
    data_variance: float = 0.25,
    prior_variance: float = 0.25,
    covariance: float = 0.125,
    time_scale: float = 250.0,
) -> Prediction:
    """DDBM's prediction: unit-variance input, unit-variance target.

    From arXiv 2309.16948, after EDM (arXiv 2206.00364). For a Gaussian pair of these variances
    skip * x is the best linear guess and the network answers only what it misses.

    Args:
        data_variance: variance of the clean videos' entries.
        prior_variance: variance of the priors' entries.
        covariance: covariance of the two.
        time_scale: the network's time is time_scale * log t.
    """
    if not (data_variance > 0 and prior_variance > 0):
        raise ValueError(
            f"data_variance {data_variance} and prior_variance {prior_variance} must be positive"
        )
    if covariance**2 > data_variance * prior_variance:
        raise ValueError(
            f"covariance {covariance} exceeds what variances {data_variance} and "
            f"{prior_variance} allow"
        )

    def scalings(process: Process, t: Tensor) -> Scalings:
        data, prior, noise = process.coefficients(t)
        shared = data * data_variance + prior * covariance
        noise_squared, prior_squared = noise * noise, prior * prior
        total = data * (shared + prior * covariance) + prior_squared * prior_variance
        total = total + noise_squared
        missed = prior_squared * (data_variance * prior_variance - covariance**2)
        missed = missed + data_variance * noise_squared
        return Scalings(shared / total, torch.sqrt(missed / total), torch.rsqrt(total))

    return Prediction(scalings, time=lambda t: time_scale * t.log())


PREDICTIONS: dict[str, Prediction] = {
    "clean": Prediction(_clean),
    "psi-noise": Prediction(_psi_noise),
    "preconditioned": preconditioned(),
    "aligned-v": Prediction(_v, without_prior=True, aligned=True),
    "aligned-flow": Prediction(_flow, without_prior=True, aligned=True),
    "aligned-noise": Prediction(_noise, without_prior=True, aligned=True),
    "aligned-psi-noise": Prediction(_psi_noise, aligned=True),
}
"""The predictions that a `fbridge.scheduler.FrameBridgeScheduler` names."""
