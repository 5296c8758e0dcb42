"""The aesthetic predictor: a line through unit vectors."""

from __future__ import annotations

import pytest
import torch

from fbridge.errors import CheckpointError
from fbridge.evaluation.networks.aesthetic import Aesthetic


def test_rates_directions() -> None:
    weight = torch.zeros(1, 768)
    weight[0, :2] = torch.tensor([3.0, 4.0])
    network = Aesthetic.from_state({"weight": weight, "bias": torch.tensor([5.0])})
    embeddings = torch.zeros(3, 768)
    embeddings[0, 0] = 2.0
    embeddings[1, :2] = torch.tensor([30.0, 40.0])
    embeddings[2, 1] = -0.5
    torch.testing.assert_close(network(embeddings), torch.tensor([8.0, 10.0, 1.0]))


def test_another_state_is_refused() -> None:
    with pytest.raises(CheckpointError, match="size mismatch"):
        Aesthetic.from_state({"weight": torch.zeros(1, 512), "bias": torch.zeros(1)})
