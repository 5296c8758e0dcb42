"""PSNR and SSIM against closed forms and published constants."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fbridge.evaluation.metrics.catalogue import METRICS
from fbridge.evaluation.metrics.metric import ClipMetric
from fbridge.evaluation.metrics.pixels import clip_psnr, difference, first_psnr, psnr, ssim


def flat(level: int, frames: int = 2, side: int = 16) -> Tensor:
    return torch.full((frames, side, side, 3), level, dtype=torch.uint8)


def test_psnr_closed_forms() -> None:
    assert psnr(flat(7), flat(8)).tolist() == [pytest.approx(48.1308036, abs=1e-6)] * 2
    assert psnr(flat(0), flat(255)).tolist() == [pytest.approx(0.0)] * 2
    assert psnr(flat(9), flat(9)).tolist() == [math.inf] * 2
    assert clip_psnr(psnr(flat(9), flat(9))) == math.inf
    one = flat(9)
    one[1] += 1
    assert psnr(one, flat(9))[0] == math.inf
    assert clip_psnr(psnr(one, flat(9))) == pytest.approx(48.1308036 + 10 * math.log10(2), abs=1e-6)
    assert float(first_psnr(one, flat(10, 1))) == pytest.approx(48.1308036, abs=1e-6)


def test_an_equal_frame_never_lowers_a_score() -> None:
    """open-mmlab/mmagic #490: infinite PSNR must neither count as infinite nor be left out."""
    real = flat(40, frames=16)
    once, always = real.clone(), real + 9
    once[7] += 10
    assert clip_psnr(psnr(once, real)) == pytest.approx(10 * math.log10(255**2 / 6.25), abs=1e-6)
    assert clip_psnr(psnr(always, real)) == pytest.approx(10 * math.log10(255**2 / 81), abs=1e-6)
    for metric in (METRICS["psnr"], METRICS["first-frame"]):
        assert isinstance(metric, ClipMetric)
        scores = torch.tensor([40.0, 30.0])
        assert metric.pool(scores) == 35
        assert metric.pool(torch.tensor([math.inf, 30.0])) == 65
        assert metric.pool(torch.tensor([math.inf, math.inf])) == math.inf


def test_ssim_published_constants() -> None:
    """Zeros against ones is C1 / (1 + C1), as common_metrics_on_video_quality prints it."""
    assert ssim(flat(0), flat(255)).tolist() == [pytest.approx(9.999000099990664e-05)] * 2
    assert ssim(flat(50), flat(50)).tolist() == [pytest.approx(1.0)] * 2


def test_ssim_equals_scikit_image() -> None:
    """structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randint(0, 256, (2, 24, 31, 3), generator=generator, dtype=torch.uint8)
    b = (a.int() + torch.randint(-40, 41, a.shape, generator=generator)).clamp(0, 255).byte()
    skimage = pytest.importorskip("skimage.metrics")
    for ours, one, other in zip(ssim(a, b), a.numpy(), b.numpy(), strict=True):
        theirs = skimage.structural_similarity(
            one, other, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
            channel_axis=-1, data_range=255,
        )  # fmt: skip
        assert float(ours) == pytest.approx(float(theirs), abs=1e-9)


def test_ssim_of_noise_stays() -> None:
    """The value that scikit-image 0.26 gives for these two frames."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randint(0, 256, (1, 24, 31, 3), generator=generator, dtype=torch.uint8)
    b = (a.int() + torch.randint(-40, 41, a.shape, generator=generator)).clamp(0, 255).byte()
    assert float(ssim(a, b)) == pytest.approx(0.9501800785434651, abs=1e-9)


def test_difference_to_a_single_frame() -> None:
    clip = torch.cat([flat(10, 1), flat(20, 1)])
    assert difference(clip, flat(10, 1)).tolist() == [0.0, pytest.approx(10 / 255)]


def test_shapes_must_be_equal() -> None:
    for measure in (psnr, ssim):
        with pytest.raises(ValueError, match="must be"):
            measure(flat(0), flat(0, 3))
    with pytest.raises(ValueError, match="11 pixels a side"):
        ssim(flat(0, side=10), flat(0, side=10))
