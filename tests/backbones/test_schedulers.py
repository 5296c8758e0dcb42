"""A base's noise against the scheduler that its own pipeline comes with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from fbridge.alignment import FlowSchedule, SNRAlignment
from fbridge.backbones.families import FAMILIES
from fbridge.denoiser import BridgeDenoiser
from fbridge.errors import CheckpointError
from fbridge.parameterization import PREDICTIONS, Parameterization
from fbridge.sampling import Step, sample_dbim, seeded_noise, time_grid
from fbridge.scheduler import build_noise_schedule
from tests.oracles import BRIDGES, blank_condition
from tests.pipelines import PUBLISHED, network_of
from tests.strategies import videos
from tests.test_equivalence import STEPS, Network

FLOWS = ("wan", "wan-2.2", "ltx", "hunyuan")
TABLES = ("cogvideox", "cogvideox-1.5", "latte", "animatediff")


def published(name: str, folder: Path) -> tuple[Any, Any]:
    """A pipeline's scheduler, and the noise that is read from what it saves."""
    pipe = PUBLISHED[name].make()
    pipe.scheduler.save_pretrained(folder)
    family = FAMILIES[type(network_of(pipe)).__name__]
    assert family.noise_schedule is not None
    config = json.loads((folder / "scheduler_config.json").read_text())
    noise, prediction = family.noise_schedule(config)
    assert prediction == family.prediction
    return pipe.scheduler, build_noise_schedule(noise)


@pytest.mark.parametrize("name", FLOWS)
def test_a_flows_states_and_times_are_its_schedulers_whatever_its_shift(
    name: str, tmp_path: Path
) -> None:
    """The scheduler's shift says which levels are visited, not what the network is told of one."""
    scheduler, base = published(name, tmp_path)
    shift = {"mu": 1.7} if scheduler.config.get("use_dynamic_shifting") else {}
    scheduler.set_timesteps(7, **shift)
    even = torch.linspace(1, 0, 8)[:-1]
    assert (scheduler.sigmas[:7] - even).abs().max() > 0.05, "this scheduler does shift"
    x_0, noise = torch.randn(2, 1, 3, 2, 4, 4)
    for sigma, time in zip(scheduler.sigmas[:7].double(), scheduler.timesteps, strict=True):
        ratio = ((1 - sigma) / sigma)[None]
        # UniPC tells its network whole steps
        assert float(base.time(ratio, cleanest=1e3)) == pytest.approx(float(time), abs=1)
        add = getattr(scheduler, "scale_noise", None)
        state = (
            scheduler.add_noise(x_0, noise, time[None])
            if add is None
            else add(x_0, time[None], noise)
        )
        own = (1 - sigma) * x_0 + sigma * noise
        assert (state - own).abs().max() < 1e-5
        assert float(base.length(ratio)) == pytest.approx(float(torch.hypot(1 - sigma, sigma)))


@pytest.mark.parametrize("name", TABLES)
def test_a_diffusions_table_is_its_schedulers(name: str, tmp_path: Path) -> None:
    scheduler, base = published(name, tmp_path)
    theirs = scheduler.alphas_cumprod.double()
    ratios = (theirs / (1 - theirs)).sqrt()
    for step in (1, 37, 500, 998):  # FrameBridge's rule puts more than the table's at its first
        found = float(base.time(ratios[step][None], cleanest=1e3))
        assert found == pytest.approx(step, abs=0.01), step
        assert base.covers(ratios[step][None] * 0.9999)


@pytest.mark.parametrize("name", list(BRIDGES))
def test_an_aligned_flow_bridge_without_noise_walks_the_schedulers_own_path(name: str) -> None:
    """With y the aligned state, every step is Euler's of the flow, as diffusers takes it."""
    process, network, prior = BRIDGES[name], Network(), videos(2, 0)
    alignment = SNRAlignment(process, FlowSchedule())
    times = time_grid(STEPS, kind="trailing")
    reports: list[Step] = []
    sample_dbim(
        BridgeDenoiser(network, Parameterization(process, PREDICTIONS["aligned-flow"], alignment)),
        process,
        prior,
        times,
        blank_condition(2),
        noise=seeded_noise([5, 6], dtype=torch.float64),
        eta=0.0,
        on_step=reports.append,
    )
    levels = [both(float(t)) for t in times[:-1]]
    sigmas = torch.stack([alignment.time(t)[0] / 1000 for t in levels] + [torch.zeros(()).double()])
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0)
    scheduler.set_timesteps(sigmas=sigmas[:-1].tolist())
    scheduler.sigmas = sigmas
    noise = seeded_noise([5, 6], dtype=torch.float64)
    start = process.sample(prior, prior, levels[0], noise(prior.shape))
    y = alignment.latent(start, prior, levels[0])
    for n, report in enumerate(reports):
        told = torch.stack([1000 * sigmas[n]] * 2)
        y = scheduler.step(network.answer(y, told), scheduler.timesteps[n], y, return_dict=False)[0]
        last = n == STEPS - 1
        mine = report.state if last else alignment.latent(report.state, prior, both(report.time))
        assert (mine - y).abs().max() < 1e-5, n


@pytest.mark.parametrize(
    ("family", "change", "complaint"),
    [
        ("WanTransformer3DModel", {"prediction_type": "epsilon"}, "no flow-matching scheduler"),
        ("WanTransformer3DModel", {"use_flow_sigmas": False}, "no flow-matching scheduler"),
        ("LatteTransformer3DModel", {"beta_schedule": "scaled_linear"}, "where Latte has 'linear'"),
        ("CogVideoXTransformer3DModel", {"rescale_betas_zero_snr": False}, "CogVideoX has True"),
    ],
)
def test_another_noise_is_refused(family: str, change: dict[str, Any], complaint: str) -> None:
    read = FAMILIES[family].noise_schedule
    assert read is not None
    with pytest.raises(CheckpointError, match=complaint):
        read({"_class_name": "UniPCMultistepScheduler", **change})


def both(t: float) -> torch.Tensor:
    return torch.full((2,), t, dtype=torch.float64)
