from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fbridge.alignment import DDPMSchedule, FlowSchedule, cogvideox_alphas_cumprod
from fbridge.denoiser import BridgeDenoiser
from fbridge.objective import bridge_loss, diffusion_loss, prior_loss
from fbridge.parameterization import Parameterization, preconditioned
from fbridge.process import BridgeProcess, DiffusionProcess
from fbridge.schedule import VPSchedule
from fbridge.types import Condition
from tests.oracles import BRIDGES, blank_condition, predicts
from tests.strategies import videos

T = torch.tensor([0.1, 0.5, 0.95], dtype=torch.float64)
VP_BASE = DDPMSchedule(cogvideox_alphas_cumprod(3.0))


def network(latents: Tensor, _time: Tensor, _condition: Condition, prior: Tensor, /) -> Tensor:
    return torch.tanh(latents) + 0.1 * prior


def _clean_weights(process: BridgeProcess) -> dict[str, tuple[Parameterization, Tensor]]:
    """Each parameterization, and how its plain loss weighs the clean video's squared error."""
    c = process.coefficients(T)
    first, second, both = 0.9, 0.7, 0.5
    total = c.prior**2 * second + c.data**2 * first + 2 * c.data * c.prior * both + c.noise**2
    missed = (c.prior**2 * (first * second - both**2) + first * c.noise**2) / total
    return {
        "clean": (predicts("clean", process), torch.ones_like(T)),
        "psi": (predicts("psi-noise", process), process.schedule.rho(T) ** -2),
        "v": (
            predicts("aligned-v", process, VP_BASE),
            (c.data**2 + c.noise**2) / c.noise**2,
        ),
        "flow": (
            predicts("aligned-flow", process, FlowSchedule()),
            ((c.data + c.noise) / c.noise) ** 2,
        ),
        "preconditioned": (
            Parameterization(process, preconditioned(first, second, both)),
            1 / missed,
        ),
    }


@pytest.mark.parametrize("name", ["clean", "psi", "v", "flow", "preconditioned"])
@pytest.mark.parametrize("bridge", ["gmax", "const"])
def test_loss_is_the_clean_error_under_the_known_weight(name: str, bridge: str) -> None:
    process = BRIDGES[bridge]
    parameterization, weight = _clean_weights(process)[name]
    denoiser = BridgeDenoiser(network, parameterization)
    clean, prior, noise = (videos(3, seed) for seed in range(3))
    loss = bridge_loss(denoiser, process, clean, prior, T, noise, blank_condition(3))
    guess = denoiser(process.sample(clean, prior, T, noise), T, prior, blank_condition(3))
    expected = weight * (guess - clean).square().mean((1, 2, 3, 4))
    assert loss.shape == (3,)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-12)


def test_a_perfect_network_has_no_loss() -> None:
    clean, prior, noise = (videos(3, seed) for seed in range(3))
    process = BRIDGES["vp"]
    denoiser = BridgeDenoiser(lambda *_: clean, predicts("clean", process))
    assert torch.equal(
        bridge_loss(denoiser, process, clean, prior, T, noise, blank_condition(3)),
        torch.zeros(3).double(),
    )


def test_each_video_has_its_own_loss() -> None:
    clean, prior, noise = (videos(3, seed) for seed in range(3))
    denoiser, process = (
        BridgeDenoiser(network, predicts("psi-noise", BRIDGES["gmax"])),
        BRIDGES["gmax"],
    )
    together = bridge_loss(denoiser, process, clean, prior, T, noise, blank_condition(3))
    for n in range(3):
        one = slice(n, n + 1)
        alone = bridge_loss(
            denoiser, process, clean[one], prior[one], T[one], noise[one], blank_condition()
        )
        torch.testing.assert_close(alone, together[one])


def test_the_twin_sees_noise_where_the_bridge_sees_its_prior() -> None:
    schedule = VPSchedule(0.1, 19.9)
    seen: list[Tensor] = []

    def spy(latents: Tensor, _time: Tensor, _condition: Condition, prior: Tensor, /) -> Tensor:
        seen.extend((latents, prior))
        return torch.zeros_like(latents)

    twin, bridge = DiffusionProcess(schedule), BridgeProcess(schedule)
    clean, prior, noise = (videos(3, seed) for seed in range(3))
    loss = diffusion_loss(
        BridgeDenoiser(spy, predicts("psi-noise", twin)),
        twin,
        clean,
        prior,
        T,
        noise,
        blank_condition(3),
    )
    # the reference noise of a diffusion is its noise
    torch.testing.assert_close(loss, noise.square().mean((1, 2, 3, 4)), rtol=1e-9, atol=0)
    torch.testing.assert_close(seen[0], twin.sample(clean, 0 * prior, T, noise))
    assert seen[1] is prior
    other = bridge_loss(
        BridgeDenoiser(spy, predicts("psi-noise", bridge)),
        bridge,
        clean,
        prior,
        T,
        noise,
        blank_condition(3),
    )
    assert not torch.allclose(other, loss, rtol=0.01)


def test_prior_loss_is_the_mean_square_of_each_video() -> None:
    clean = videos(2, 0)
    predicted = clean.clone()
    predicted[1] += 0.5
    torch.testing.assert_close(prior_loss(predicted, clean), torch.tensor([0.0, 0.25]).double())


def test_losses_of_half_precision_are_taken_in_float32() -> None:
    clean = torch.full((1, 1, 1, 1, 4), 1.0, dtype=torch.bfloat16)
    loss = prior_loss(clean + torch.tensor(0.0078125, dtype=torch.bfloat16), clean)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(0.0078125**2)
    assert prior_loss(clean, clean.float()).dtype == torch.float32


def test_gradients_reach_the_network() -> None:
    gain = torch.ones((), requires_grad=True)
    clean, prior, noise = (videos(3, seed).float() for seed in range(3))
    for parameterization, _ in _clean_weights(BRIDGES["gmax"]).values():
        denoiser = BridgeDenoiser(lambda x, *_: gain * x, parameterization)
        loss = bridge_loss(denoiser, BRIDGES["gmax"], clean, prior, T, noise, blank_condition(3))
        assert loss.dtype == torch.float32
        (slope,) = torch.autograd.grad(loss.sum(), gain)
        assert bool(slope.isfinite())
        assert float(slope) != 0
