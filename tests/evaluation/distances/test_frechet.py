"""The Fréchet distance against closed forms and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fbridge.evaluation.distances.frechet import extrapolated_distance, frechet_distance


def rows_with(mean: Tensor, covariance: Tensor, rows: int = 64, seed: int = 0) -> Tensor:
    """Rows whose sample mean and sample covariance (ddof 1) are exactly the given ones."""
    noise = gaussian(rows, len(mean), seed=seed)
    white: Tensor = torch.linalg.qr(noise - noise.mean(dim=0)).Q * math.sqrt(rows - 1)
    root: Tensor = torch.linalg.cholesky(covariance)
    return mean + white @ root.T


def gaussian(rows: int, width: int, *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, width, generator=generator, dtype=torch.float64)


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def skewed(rows: int, width: int, *, seed: int) -> Tensor:
    """Correlated features with a spread of scales and an offset."""
    mix = gaussian(width, width, seed=seed + 100) * torch.logspace(-1, 1, width).double()
    return gaussian(rows, width, seed=seed) @ mix + seed


@pytest.mark.parametrize(
    ("mean", "first", "second", "expected"),
    [
        (vector(1), vector(1), vector(4), 2.0),
        (vector(1, 2, 3), vector(1, 4, 9), vector(4, 1, 9), 16.0),
        (torch.zeros(40).double(), torch.ones(40).double(), 1.21 * torch.ones(40).double(), 0.4),
    ],
)
def test_independent_features(mean: Tensor, first: Tensor, second: Tensor, expected: float) -> None:
    a = rows_with(torch.zeros_like(mean), first.diag())
    b = rows_with(mean, second.diag(), rows=90, seed=1)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_covariances_that_commute() -> None:
    root = gaussian(6, 6, seed=3)
    covariance = root @ root.T + torch.eye(6).double()
    zero = torch.zeros(6).double()
    a, b = rows_with(zero, covariance), rows_with(zero, 4 * covariance, seed=1)
    assert frechet_distance(a, b) == pytest.approx(float(covariance.trace()), rel=1e-12)


def test_covariances_that_do_not_commute() -> None:
    zero = vector(0, 0)
    a = rows_with(zero, torch.tensor([[2.0, 1.0], [1.0, 2.0]]).double())
    b = rows_with(zero, vector(1, 3).diag(), seed=1)
    assert frechet_distance(a, b) == pytest.approx(8 - 2 * math.sqrt(14), rel=1e-12)


@pytest.mark.parametrize("rows", [2, 16, 39, 40, 41, 200])
def test_a_set_is_at_no_distance_from_itself(rows: int) -> None:
    features = 1000 * skewed(rows, 40, seed=1)
    scale = float(features.var(dim=0).sum())
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(features, features) < 1e-12 * scale
    assert frechet_distance(features, features[order]) < 1e-12 * scale


@pytest.mark.parametrize("rows", [16, 200])
def test_translation_costs_the_squared_shift(rows: int) -> None:
    features, shift = skewed(rows, 40, seed=1), gaussian(1, 40, seed=2)
    expected = float(shift.square().sum())
    assert frechet_distance(features, features + shift) == pytest.approx(expected, rel=1e-9)


@given(
    rows=st.tuples(st.integers(2, 60), st.integers(2, 60)),
    scale=st.floats(0.01, 100),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=30)
def test_symmetric_and_blind_to_rotation(rows: tuple[int, int], scale: float, seed: int) -> None:
    a, b = skewed(rows[0], 20, seed=seed), skewed(rows[1], 20, seed=seed + 1)
    rotation = torch.linalg.qr(gaussian(20, 20, seed=seed)).Q
    distance = frechet_distance(a, b)
    assert frechet_distance(b, a) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(a @ rotation, b @ rotation) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(scale * a, scale * b) == pytest.approx(scale**2 * distance, rel=1e-9)


def test_fewer_clips_than_features() -> None:
    """Twelve features turned into 400: the same distance, now with singular covariances."""
    a, b = skewed(16, 12, seed=1), skewed(20, 12, seed=2)
    turn = torch.linalg.qr(gaussian(400, 12, seed=3)).Q.T
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b), rel=1e-12)


def test_covariances_without_a_common_direction_do_not_overlap() -> None:
    a, b = skewed(16, 20, seed=1), skewed(16, 20, seed=2)
    left, right = torch.cat([a, 0 * a], dim=1), torch.cat([0 * b, b], dim=1)
    means = left.mean(dim=0) - right.mean(dim=0)
    expected = float(means.square().sum() + a.var(dim=0).sum() + b.var(dim=0).sum())
    assert frechet_distance(left, right) == pytest.approx(expected, rel=1e-12)


def test_agrees_with_scipy_where_scipy_is_sound() -> None:
    a, b = skewed(500, 16, seed=1), skewed(400, 16, seed=2)
    first, second = np.cov(a.numpy(), rowvar=False), np.cov(b.numpy(), rowvar=False)
    root = np.real(scipy.linalg.sqrtm(first @ second))
    shift = (a.mean(dim=0) - b.mean(dim=0)).square().sum()
    expected = float(shift) + np.trace(first) + np.trace(second) - 2 * np.trace(root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_divisor_scales_the_covariance_part() -> None:
    a, b = skewed(32, 10, seed=1), skewed(32, 10, seed=2)
    a, b = a - a.mean(dim=0), b - b.mean(dim=0)
    expected = frechet_distance(a, b) * 31 / 32
    assert frechet_distance(a, b, ddof=0) == pytest.approx(expected, rel=1e-12)


def test_single_precision_features_far_from_zero() -> None:
    a, b = gaussian(300, 8, seed=1), gaussian(300, 8, seed=2)
    far_a, far_b = (a + 4096).float(), (b + 4096).float()
    expected = frechet_distance(far_a.double() - 4096, far_b.double() - 4096)
    assert frechet_distance(far_a, far_b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "complaint"),
    [
        (torch.zeros(1, 4), torch.zeros(5, 4), "at least 2 clips"),
        (torch.zeros(5, 4), torch.zeros(0, 4), "at least 2 clips"),
        (torch.zeros(5, 4), torch.zeros(5, 3), "differ in features: 4 and 3"),
        (torch.zeros(5, 4), torch.zeros(5), r"must be \(N, D\)"),
        (torch.zeros(5, 4), torch.full((5, 4), math.nan), "not finite"),
    ],
)
def test_what_cannot_be_measured(first: Tensor, second: Tensor, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        frechet_distance(first, second)


def test_extrapolation_removes_the_bias() -> None:
    a, b = gaussian(1200, 20, seed=1), gaussian(1200, 20, seed=2)
    found = extrapolated_distance(a, b, generator=torch.Generator().manual_seed(0))
    biased = frechet_distance(a, b)
    assert biased > 0.1
    assert abs(found.limit) < 0.2 * biased
    assert found.slope > 0
    assert 0 < found.stderr < 0.2 * biased


def test_extrapolation_depends_on_the_generator_only() -> None:
    a, b = skewed(64, 5, seed=1), skewed(80, 5, seed=2)

    def once() -> object:
        generator = torch.Generator().manual_seed(7)
        return extrapolated_distance(a, b, generator=generator, sizes=3, repeats=2)

    assert once() == once()


def test_extrapolation_needs_clips() -> None:
    few = gaussian(7, 3, seed=1)
    with pytest.raises(ValueError, match="8 clips and 3 sizes, not 7 and 8"):
        extrapolated_distance(few, few, generator=torch.Generator())
