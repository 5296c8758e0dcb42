from __future__ import annotations

import pytest
import torch
from hypothesis import given
from torch import Tensor

from fbridge.alignment import (
    DDPMSchedule,
    FlowSchedule,
    SNRAlignment,
    cogvideox_alphas_cumprod,
    linear_alphas_cumprod,
    scaled_linear_alphas_cumprod,
    snr_shifted,
    zero_terminal_snr,
)
from fbridge.process import BridgeProcess
from tests.oracles import BRIDGES
from tests.strategies import bridges, times, videos

TABLES = {
    "sd": scaled_linear_alphas_cumprod(0.00085, 0.012),
    "adm": linear_alphas_cumprod(1e-4, 2e-2),
    "cogvideox-2b": cogvideox_alphas_cumprod(3.0),
    "cogvideox-5b": cogvideox_alphas_cumprod(1.0),
}
GMAX_STEPS = torch.arange(1, 1001, dtype=torch.float64) / 1001

REFERENCE = [  # bridge step i, data / noise, then the network's time for each base
    (0, 169.188, 0.1913, 0.4956, 0.1130, 0.1908, 0.005876),
    (10, 17.8781, 2.6940, 12.7673, 0.9769, 2.5218, 0.052971),
    (50, 3.90544, 62.1989, 74.4386, 21.9988, 58.4573, 0.203855),
    (100, 1.96833, 172.8161, 146.3055, 74.9534, 163.8006, 0.336890),
    (200, 0.974828, 361.5581, 262.9522, 200.4611, 344.0519, 0.506373),
    (300, 0.633947, 492.3272, 348.2709, 312.0624, 467.3681, 0.612015),
    (500, 0.345822, 663.6096, 467.6351, 482.8087, 623.6389, 0.743040),
    (700, 0.203815, 790.9945, 562.1708, 616.8911, 732.1810, 0.830692),
    (900, 0.096787, 939.3933, 678.3989, 763.0281, 842.7150, 0.911754),
    (950, 0.065688, 999.0400, 732.3985, 820.0002, 883.6754, 0.938361),
    (999, 0.008945, 999.8693, 964.5524, 965.7162, 979.6582, 0.991135),
]


@pytest.mark.parametrize("row", REFERENCE, ids=lambda row: f"i={row[0]}")
def test_framebridge_times(row: tuple[float, ...]) -> None:
    i, ratio, *discrete, flow = row
    t = torch.tensor([(i + 1) / 1001], dtype=torch.float64)
    process = BRIDGES["gmax"]
    assert float(process.signal_to_noise(t)) == pytest.approx(ratio, rel=5e-5)
    for table, expected in zip(TABLES.values(), discrete, strict=True):
        found = SNRAlignment(process, DDPMSchedule(table)).time(t)
        assert float(found) == pytest.approx(expected, abs=5.1e-5)
    assert float(SNRAlignment(process, FlowSchedule(1.0)).time(t)) == pytest.approx(
        flow, abs=5.1e-7
    )


def test_log_interpolation_agrees_where_the_table_is_dense_and_stops_at_its_ends() -> None:
    process = BRIDGES["gmax"]
    for name, table in TABLES.items():
        official = SNRAlignment(process, DDPMSchedule(table))
        smooth = SNRAlignment(process, DDPMSchedule(table, "log"))
        inside = smooth.covered(GMAX_STEPS) & (GMAX_STEPS > 0.05)
        gap = (official.time(GMAX_STEPS) - smooth.time(GMAX_STEPS)).abs()[inside].max()
        assert gap < 0.01, name
        assert smooth.time(GMAX_STEPS[:1]) == 0
    t = torch.tensor([11 / 1001], dtype=torch.float64)
    sparse = SNRAlignment(process, DDPMSchedule(TABLES["cogvideox-2b"], "log")).time(t)
    assert float(sparse) == pytest.approx(0.2841, abs=5.1e-5)
    assert SNRAlignment(process, DDPMSchedule(TABLES["sd"], "log")).time(GMAX_STEPS[-1:]) == 999


@pytest.mark.parametrize(
    ("name", "too_clean", "too_noisy"),
    [("sd", 5, 53), ("adm", 1, 0), ("cogvideox-2b", 9, 0), ("cogvideox-5b", 5, 0)],
)
def test_how_many_bridge_steps_leave_the_base(name: str, too_clean: int, too_noisy: int) -> None:
    outside = ~SNRAlignment(BRIDGES["gmax"], DDPMSchedule(TABLES[name])).covered(GMAX_STEPS)
    assert int(outside[:500].sum()) == too_clean
    assert int(outside[500:].sum()) == too_noisy


@pytest.mark.parametrize("interpolation", ["official", "log"])
@pytest.mark.parametrize("name", list(TABLES))
@given(seed=times(1.0, 998.0))
def test_aligned_state_is_the_bases_own_with_the_same_noise(
    name: str, interpolation: str, seed: Tensor
) -> None:
    """At the bridge time whose SNR is that of base step k, latent and time are x_k and k."""
    table = TABLES[name]
    base = DDPMSchedule(table, "log" if interpolation == "log" else "official")
    k = seed.round().long()
    signal, noisiness = table[k].sqrt(), (1 - table[k]).sqrt()
    process = BRIDGES["vp"]
    t = process.time_at(signal / noisiness)
    clean, prior, noise = (videos(len(t), n) for n in range(3))
    x = process.sample(clean, prior, t, noise)
    alignment = SNRAlignment(process, base)
    own = signal[:, None, None, None, None] * clean + noisiness[:, None, None, None, None] * noise
    torch.testing.assert_close(alignment.latent(x, prior, t), own, rtol=0, atol=1e-9)
    torch.testing.assert_close(alignment.time(t), k.double(), rtol=0, atol=1e-5)
    together = alignment.place(x, prior, t)
    assert torch.equal(together[0], alignment.latent(x, prior, t))
    torch.testing.assert_close(together[1], alignment.time(t), rtol=0, atol=1e-9)


@given(bridges(), times(1e-3, 0.999))
def test_aligned_state_is_a_flows_own_with_the_same_noise(
    process: BridgeProcess, t: Tensor
) -> None:
    clean, prior, noise = (videos(len(t), n) for n in range(3))
    alignment = SNRAlignment(process, FlowSchedule())
    s = (alignment.time(t) / 1000)[:, None, None, None, None]
    latent = alignment.latent(process.sample(clean, prior, t, noise), prior, t)
    torch.testing.assert_close(latent, (1 - s) * clean + s * noise, rtol=0, atol=1e-9)
    assert bool(alignment.covered(t).all())


def test_a_base_that_scales_its_signal_gets_its_own_scale() -> None:
    """Like DynamiCrafter's: the signal falls to 0.7 on the way, so variance is not preserved."""
    table = TABLES["sd"]
    scale = torch.linspace(1.0, 0.7, 1000, dtype=torch.float64)
    base = DDPMSchedule(table, "log", signal_scale=scale)
    k = torch.tensor([3, 400, 990])
    signal, noisiness = scale[k] * table[k].sqrt(), (1 - table[k]).sqrt()
    process = BRIDGES["gmax"]
    t = process.time_at(signal / noisiness)
    clean, prior, noise = (videos(3, n) for n in range(3))
    latent = SNRAlignment(process, base).latent(process.sample(clean, prior, t, noise), prior, t)
    own = signal[:, None, None, None, None] * clean + noisiness[:, None, None, None, None] * noise
    torch.testing.assert_close(latent, own, rtol=0, atol=1e-9)


def test_time_grows_with_the_bridge_and_stays_finite() -> None:
    t = torch.linspace(0, 1, 2001, dtype=torch.float64)
    for table in TABLES.values():
        for base in (DDPMSchedule(table), DDPMSchedule(table, "log"), FlowSchedule()):
            time = SNRAlignment(BRIDGES["gmax"], base).time(t)
            assert bool(time.isfinite().all())
            assert bool((time.diff() >= 0).all())
            assert time[0] == 0


def test_tables_end_where_they_should() -> None:
    assert TABLES["cogvideox-2b"][-1] == 0
    raw = TABLES["sd"]
    shifted = snr_shifted(raw, 3.0)
    torch.testing.assert_close(shifted / (1 - shifted), raw / (1 - raw) / 3)
    torch.testing.assert_close(zero_terminal_snr(raw)[0], raw[0])


def test_tables_agree_with_diffusers() -> None:
    from diffusers import CogVideoXDPMScheduler, DDIMScheduler

    theirs = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    torch.testing.assert_close(TABLES["sd"].float(), theirs.alphas_cumprod, rtol=2e-5, atol=1e-6)
    for name, shift in (("cogvideox-2b", 3.0), ("cogvideox-5b", 1.0)):
        cog = CogVideoXDPMScheduler(snr_shift_scale=shift, rescale_betas_zero_snr=True)
        ours = TABLES[name].to(cog.alphas_cumprod.dtype)
        torch.testing.assert_close(ours, cog.alphas_cumprod, rtol=2e-5, atol=1e-6)


def test_impossible_tables_are_refused() -> None:
    falling = torch.tensor([0.9, 0.5, 0.1])
    for table in (
        falling.flip(0),
        torch.tensor([1.0, 0.5]),
        torch.tensor([[0.9, 0.5]]),
        torch.tensor([0.5]),
    ):
        with pytest.raises(ValueError, match="alphas_cumprod"):
            DDPMSchedule(table)
    with pytest.raises(ValueError, match="signal_scale"):
        DDPMSchedule(falling, signal_scale=torch.ones(2))
    with pytest.raises(ValueError, match="interpolation"):
        DDPMSchedule(falling, "cubic")  # type: ignore[arg-type]
