"""The kernel distance against closed forms."""

from __future__ import annotations

import pytest
import torch

from fbridge.evaluation.distances.kernel import kernel_distance, subset_kernel_distance


def test_a_hand_calculation() -> None:
    """x = {0, 1}, y = {2, 3}, k = (xy + 1)^3: 1 + 7^3 - 2 (1 + 1 + 3^3 + 4^3) / 4."""
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [3.0]])
    assert kernel_distance(x, y) == pytest.approx(1 + 343 - 2 * (1 + 1 + 27 + 64) / 4)


def test_equal_distributions_are_at_zero_on_average() -> None:
    generator = torch.Generator().manual_seed(3)
    values = torch.tensor(
        [
            kernel_distance(*torch.randn(2, 40, 8, generator=generator, dtype=torch.float64))
            for _ in range(60)
        ]
    )
    assert abs(values.mean()) < 3 * values.std() / 60**0.5
    assert (values < 0).any()  # unbiased, so single ones are negative


def test_subsets_average_to_the_whole() -> None:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(300, 6, generator=generator)
    y = torch.randn(200, 6, generator=generator) + 0.5
    whole = kernel_distance(x, y)
    found = subset_kernel_distance(x, y, generator=generator, subsets=200, rows=80)
    assert (found.subsets, found.rows) == (200, 80)
    assert found.value == pytest.approx(whole, abs=4 * found.std / 200**0.5)
    few = subset_kernel_distance(x, y, generator=generator)
    assert (few.value, few.std, few.subsets, few.rows) == (whole, 0.0, 1, 200)


def test_sides_must_fit() -> None:
    with pytest.raises(ValueError, match="must be"):
        kernel_distance(torch.zeros(4, 3), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="at least 2 rows"):
        kernel_distance(torch.zeros(1, 3), torch.zeros(4, 3))
