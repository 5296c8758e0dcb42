from __future__ import annotations

import pytest
import torch
from hypothesis import given
from torch import Tensor

from fbridge.process import BridgeProcess, DiffusionProcess
from tests.oracles import BRIDGES
from tests.strategies import bridges, times, videos

# Step i of FrameBridge's 1000, t = (i + 1) / 1001: t, data, prior, noise, data / noise.
GMAX_TABLE = [
    (0, 0.000999, 0.999999, 0.000001, 0.005911, 169.187679),
    (9, 0.009990, 0.999896, 0.000104, 0.050933, 19.631717),
    (99, 0.099900, 0.989984, 0.010016, 0.497937, 1.988171),
    (249, 0.249750, 0.937550, 0.062450, 1.209977, 0.774849),
    (499, 0.499500, 0.750399, 0.249601, 2.164126, 0.346745),
    (749, 0.749251, 0.438548, 0.561452, 2.481295, 0.176742),
    (899, 0.899101, 0.191581, 0.808419, 1.967923, 0.097352),
    (989, 0.989011, 0.021853, 0.978147, 0.731089, 0.029891),
    (999, 0.999001, 0.001997, 0.998003, 0.223216, 0.008945),
]


@pytest.mark.parametrize("row", GMAX_TABLE, ids=lambda row: f"i={row[0]}")
def test_framebridge_coefficients(row: tuple[float, ...]) -> None:
    i, *expected = row
    t = torch.tensor([(i + 1) / 1001], dtype=torch.float64)
    process = BRIDGES["gmax"]
    found = torch.cat([t, *process.coefficients(t), process.signal_to_noise(t)])
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=5.1e-7
    )


@pytest.mark.parametrize(
    ("name", "i", "expected"),
    [
        ("vp", 499, (0.710971, 0.259941, 0.462274)),
        ("vp", 999, (0.001813, 0.997906, 0.045744)),
        ("const", 499, (0.5005, 0.4995, 0.5)),
    ],
)
def test_other_schedules_coefficients(name: str, i: int, expected: tuple[float, ...]) -> None:
    t = torch.tensor([(i + 1) / 1001], dtype=torch.float64)
    found = torch.cat(BRIDGES[name].coefficients(t))
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=5.1e-7
    )


@pytest.mark.parametrize(
    ("name", "peak", "where"),
    [("gmax", 2.50025, 0.70705), ("vp", 0.517949, 0.6933), ("const", 0.5, 0.5)],
)
def test_where_the_noise_peaks(name: str, peak: float, where: float) -> None:
    t = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    noise = BRIDGES[name].coefficients(t).noise
    assert float(noise.max()) == pytest.approx(peak, abs=1e-6)
    assert float(t[noise.argmax()]) == pytest.approx(where, abs=1e-4)


@given(bridges())
def test_endpoints_are_exact(process: BridgeProcess) -> None:
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    c = process.coefficients(ends)
    assert c.data.tolist() == [1, 0]
    assert c.prior.tolist() == [0, 1]
    assert c.noise.tolist() == [0, 0]
    clean, prior, noise = (videos(2, seed) for seed in range(3))
    x = process.sample(clean, prior, ends, noise)
    assert torch.equal(x[0], clean[0])
    assert torch.equal(x[1], prior[1])


@given(bridges(), times(1e-3, 0.999))
def test_signal_to_noise_identity(process: BridgeProcess, t: Tensor) -> None:
    c = process.coefficients(t)
    rho, top = process.schedule.rho(t), process.schedule.rho(torch.ones_like(t))
    expected = rho.pow(-2) - top.pow(-2)
    scale = rho.pow(-2)
    assert bool((((c.data / c.noise).square() - expected).abs() < 1e-12 * scale).all())
    assert bool(((process.signal_to_noise(t).square() - expected).abs() < 1e-12 * scale).all())


@given(bridges(), times(1e-3, 0.999))
def test_time_at_inverts_signal_to_noise(process: BridgeProcess, t: Tensor) -> None:
    torch.testing.assert_close(process.time_at(process.signal_to_noise(t)), t, rtol=0, atol=1e-11)
    twin = DiffusionProcess(process.schedule)
    torch.testing.assert_close(twin.time_at(twin.signal_to_noise(t)), t, rtol=0, atol=1e-11)


@given(bridges(), times(1e-3, 0.999))
def test_reverse_drift_needs_no_prior(process: BridgeProcess, t: Tensor) -> None:
    """Score less Doob's h-transform is -(x - alpha x_0) / (alpha rho)^2, whatever the prior."""
    clean, prior, x = torch.full_like(t, 0.7), torch.full_like(t, -1.3), torch.full_like(t, 0.4)
    c = process.coefficients(t)
    one = torch.ones_like(t)
    alpha, rho = process.schedule.alpha(t), process.schedule.rho(t)
    left = process.schedule.rho(one).square() - rho.square()
    score = -(x - c.data * clean - c.prior * prior) / c.noise.square()
    transform = (alpha / process.schedule.alpha(one) * prior - x) / (alpha.square() * left)
    expected = -(x - alpha * clean) / (alpha * rho).square()
    scale = score.abs() + transform.abs() + 1 / left
    assert bool(((score - transform - expected).abs() < 1e-11 * scale).all())


@given(bridges(), times(0.01, 0.5), times(0.51, 0.99))
def test_a_bridge_cut_in_two_is_the_bridge(process: BridgeProcess, t: Tensor, s: Tensor) -> None:
    """Chapman and Kolmogorov: from the prior to s, then on to t, is from the prior to t."""
    s = s[:1]
    far, step, whole = (
        process.coefficients(s),
        process.coefficients(t, end=s),
        process.coefficients(t),
    )
    torch.testing.assert_close(step.prior * far.data + step.data, whole.data, rtol=0, atol=1e-12)
    torch.testing.assert_close(step.prior * far.prior, whole.prior, rtol=0, atol=1e-12)
    variance = (step.prior * far.noise).square() + step.noise.square()
    torch.testing.assert_close(variance, whole.noise.square(), rtol=1e-12, atol=1e-13)


@given(bridges(), times(0.01, 0.3))
def test_repinning_composes_below_any_cut(process: BridgeProcess, t: Tensor) -> None:
    middle, end = 0.5, 0.8
    far = process.coefficients(torch.full_like(t, middle), end=end)
    step, whole = process.coefficients(t, end=middle), process.coefficients(t, end=end)
    torch.testing.assert_close(step.prior * far.data + step.data, whole.data, rtol=0, atol=1e-12)
    torch.testing.assert_close(step.prior * far.prior, whole.prior, rtol=0, atol=1e-12)


@given(bridges(), times(0.05, 0.5))
def test_the_posterior_is_bayes(process: BridgeProcess, t: Tensor) -> None:
    """x_t given x_0 and x_s from the two factors' densities, not from the bridge's formula."""
    s = torch.full_like(t, 0.8)
    schedule = process.schedule
    clean, later = 0.7, -0.4
    gain = schedule.alpha(s) / schedule.alpha(t)
    spread = schedule.alpha(s).square() * (schedule.rho(s).square() - schedule.rho(t).square())
    before = (schedule.alpha(t) * schedule.rho(t)).square()
    precision = 1 / before + gain.square() / spread
    mean = (schedule.alpha(t) * clean / before + gain * later / spread) / precision
    c = process.coefficients(t, end=s)
    torch.testing.assert_close(c.data * clean + c.prior * later, mean, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(c.noise.square(), 1 / precision, rtol=1e-9, atol=1e-14)


@given(bridges(), times())
def test_the_twin_shares_posterior_and_drops_the_prior(process: BridgeProcess, t: Tensor) -> None:
    twin = DiffusionProcess(process.schedule)
    own, shared = twin.coefficients(t / 2, end=t), process.coefficients(t / 2, end=t)
    for mine, theirs in zip(own, shared, strict=True):
        assert torch.equal(mine, theirs)
    clean, prior, noise = (videos(len(t), seed) for seed in range(3))
    x = twin.sample(clean, prior, t, noise)
    assert torch.equal(x, twin.sample(clean, 5 * prior, t, noise))
    alpha, rho = (f(t)[:, None, None, None, None] for f in (twin.schedule.alpha, twin.schedule.rho))
    torch.testing.assert_close(x, alpha * (clean + rho * noise))
    assert not torch.allclose(x, process.sample(clean, prior, t, noise))


def test_states_keep_the_videos_dtype() -> None:
    t = torch.tensor([0.2, 0.9], dtype=torch.float64)
    clean, prior, noise = (videos(2, seed).float() for seed in range(3))
    assert BRIDGES["gmax"].sample(clean, prior, t, noise).dtype == torch.float32
    assert BRIDGES["gmax"].coefficients(t).over(clean).data.shape == (2, 1, 1, 1, 1)


@pytest.mark.parametrize("end", [0.0, -1.0, 1.5])
def test_impossible_ends_are_refused(end: float) -> None:
    with pytest.raises(ValueError, match="end is"):
        BRIDGES["gmax"].coefficients(torch.tensor([0.1], dtype=torch.float64), end=end)
