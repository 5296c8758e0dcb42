"""The Inception Score against closed forms."""

from __future__ import annotations

import pytest
import torch

from fbridge.evaluation.distances.inception_score import inception_score


def test_undecided_rows_score_one() -> None:
    found = inception_score(torch.zeros(50, 7))
    assert found.value == pytest.approx(1.0)
    assert found.std == pytest.approx(0.0)
    assert found.splits == 10


def test_sure_and_balanced_rows_score_the_number_of_classes() -> None:
    logits = 1e4 * torch.eye(5).repeat(20, 1)  # probabilities of exactly 0 and 1
    assert inception_score(logits).value == pytest.approx(5.0)


def test_two_points() -> None:
    p = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    assert inception_score(p.log(), splits=1).value == pytest.approx(1.444935, abs=1e-6)


def test_a_shuffle_mixes_the_splits() -> None:
    logits = 1e4 * torch.eye(4).repeat_interleave(25, 0)
    assert inception_score(logits, splits=4).value == pytest.approx(1.0)  # one class a split
    generator = torch.Generator().manual_seed(0)
    assert inception_score(logits, splits=4, generator=generator).value > 3
    assert inception_score(torch.zeros(3, 2)).splits == 3


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(N, K\)"):
        inception_score(torch.zeros(0, 4))
