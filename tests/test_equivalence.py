"""An aligned bridge whose network sees the aligned state only is a diffusion, step by step.

With y = (x - prior_weight * prior) / sqrt(data^2 + noise^2) every DBIM step is the DDIM step of a
variance-preserving diffusion whose alphas_cumprod are data^2 / (data^2 + noise^2), whatever the
network. Diffusers' own scheduler, fed those numbers, must therefore walk the same path.
"""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from fbridge.alignment import DDPMSchedule, SNRAlignment, cogvideox_alphas_cumprod
from fbridge.denoiser import BridgeDenoiser
from fbridge.parameterization import PREDICTIONS, Parameterization
from fbridge.process import BridgeProcess
from fbridge.sampling import Step, sample_dbim, seeded_noise, time_grid
from fbridge.types import Condition
from tests.oracles import BRIDGES, blank_condition
from tests.strategies import videos

STEPS = 12


class Network:
    """A nonlinear function of latents and time that has never heard of bridges."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(4)
        self.mix = torch.randn(3, 3, generator=generator, dtype=torch.float64)

    def __call__(
        self, latents: Tensor, time: Tensor, _condition: Condition, _prior: Tensor, /
    ) -> Tensor:
        return self.answer(latents, time)

    def answer(self, latents: Tensor, time: Tensor) -> Tensor:
        told = torch.cos(time / 100)[:, None, None, None, None]
        mixed = torch.einsum("bfchw,dc->bfdhw", latents, self.mix)
        return torch.tanh(mixed + told) + 0.3 * latents.roll(1, dims=1)


@pytest.mark.parametrize("name", list(BRIDGES))
@pytest.mark.parametrize("eta", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("kind", ["trailing", "karras"])
def test_aligned_dbim_is_ddim(name: str, eta: float, kind: str) -> None:
    process = BRIDGES[name]
    times = time_grid(STEPS, kind="trailing" if kind == "trailing" else "karras")
    alignment = SNRAlignment(process, DDPMSchedule(cogvideox_alphas_cumprod(3.0)))
    network, prior = Network(), videos(2, 0)
    reports: list[Step] = []
    sample_dbim(
        BridgeDenoiser(network, Parameterization(process, PREDICTIONS["aligned-v"], alignment)),
        process,
        prior,
        times,
        blank_condition(2),
        noise=seeded_noise([5, 6], dtype=torch.float64),
        eta=eta,
        on_step=reports.append,
    )
    ours = [alignment.latent(report.state, prior, _both(report.time)) for report in reports[:-1]]
    theirs = _ddim_path(process, alignment, network, times, prior, eta)
    for step, (mine, other) in enumerate(zip([*ours, reports[-1].state], theirs, strict=True)):
        gap = float((mine - other).abs().max())
        # y divides by the bridge's noise, the scheduler forms 1 - alphas_cumprod: either
        # costs a digit or two at one end, hence 1e-12 and not 1e-15
        assert gap < 1e-12, f"step {step}: {gap}"


def _both(t: float) -> Tensor:
    return torch.full((2,), t, dtype=torch.float64)


def _ddim_path(
    process: BridgeProcess,
    alignment: SNRAlignment,
    network: Network,
    times: Tensor,
    prior: Tensor,
    eta: float,
) -> list[Tensor]:
    """The states of diffusers' DDIM on the remapped alphas, with the sampler's noises."""
    c = process.coefficients(times[:-1])
    scheduler = DDIMScheduler(
        num_train_timesteps=STEPS,
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=True,
    )
    scheduler.set_timesteps(STEPS)
    scheduler.alphas_cumprod = (c.data**2 / (c.data**2 + c.noise**2)).flip(0)
    scheduler.final_alpha_cumprod = torch.ones((), dtype=torch.float64)
    noise = seeded_noise([5, 6], dtype=torch.float64)
    first = _both(float(times[0]))
    start = process.sample(prior, prior, first, noise(prior.shape))
    y = alignment.latent(start, prior, first)
    path = []
    for n in range(STEPS):
        output = network.answer(y, alignment.time(_both(float(times[n]))))
        last = n == STEPS - 1
        fresh = noise(prior.shape) if eta > 0 and not last else torch.zeros_like(y)
        y = scheduler.step(output, STEPS - 1 - n, y, eta=eta, variance_noise=fresh).prev_sample
        path.append(y)
    return path
