"""The claims' domain of motions: its truth, its trainings and its draws, in miniature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from examples.claims.motion import held_out, networks, sample, train
from examples.embedded import train_motion
from fbridge.types import Condition

TRAINED = {"network": "unet", "objective": "bridge", "prior": True, "seed": 1, "steps": 1}
SAMPLED = {
    "options": {"sampler": "sde", "grid": "trailing", "num_inference_steps": 2},
    "seed": 1, "draws": 2,
}  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_motion, "TOKENS", 32)
    monkeypatch.setattr(train_motion, "FRAMES", (16,))


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("truth")
    held_out.write_truth({"scenes": 40, "seed": 1, "draws": 2}, folder)
    return folder


def test_other_motions_score_best_and_the_prior_better_than_none(truth: Path) -> None:
    told = json.loads((truth / "truth.json").read_text("utf-8"))
    take, prior, still = (sum(told[name]) / 40 for name in ("take", "prior", "still"))
    assert take < prior < still
    held = held_out.read_truth(truth)
    assert held["true"].shape == (40, 32, 26, 3, 1)
    assert held["told"].shape == (40, 48, 3, 1)


def test_the_scenes_are_the_seeds_own(truth: Path, tmp_path: Path) -> None:
    held_out.write_truth({"scenes": 40, "seed": 1, "draws": 2}, tmp_path / "again")
    held_out.write_truth({"scenes": 40, "seed": 2, "draws": 2}, tmp_path / "other")
    true = held_out.read_truth(truth)["told"]
    assert torch.equal(true, held_out.read_truth(tmp_path / "again")["told"])
    assert not torch.equal(true, held_out.read_truth(tmp_path / "other")["told"])


@pytest.mark.parametrize("name", ["transformer", "unet"])
def test_networks_answer_for_any_multiple_of_four_frames(name: str) -> None:
    net = networks.build(name)
    given = held_out.condition(torch.randn(2, 48, 3, 1))
    for frames in (16, 20):
        still = held_out.no_motion(given, frames)
        assert net(still, torch.tensor([0.0, 999.0]), given, still).shape == still.shape


def test_both_networks_have_about_as_many_weights() -> None:
    sizes = [
        sum(p.numel() for p in networks.build(n).parameters()) for n in ("transformer", "unet")
    ]
    assert max(sizes) < 1.02 * min(sizes)


@pytest.mark.parametrize("objective", ["bridge", "diffusion"])
def test_the_loss_is_nothing_for_who_knows_the_motion(objective: str) -> None:
    loss = train.Loss(TRAINED | {"objective": objective})
    clean, _, _ = loss.batches(3)

    class Knowing(nn.Module):
        def forward(self, _x: Tensor, _t: Tensor, _c: Condition, _p: Tensor) -> Tensor:
            return clean

    assert loss(Knowing(), 3).max() < 1e-9
    assert loss(Knowing(), 4).min() > 1e-3


def test_both_start_at_the_prior_or_at_no_motion() -> None:
    given = held_out.condition(torch.zeros(1, 48, 3, 1))
    assert not train.start_of(TRAINED | {"prior": False}, given, 16).any()
    assert torch.equal(train.start_of(TRAINED, given, 16), held_out.regressed(given, 16))


def test_a_training_is_drawn_from_and_scored(truth: Path, tmp_path: Path) -> None:
    train.train(TRAINED, tmp_path / "run")
    weights = load_file(tmp_path / "run/model/network.safetensors")
    torch.manual_seed(TRAINED["seed"])
    first = networks.build("unet").state_dict()
    assert any(not torch.equal(weights[name], first[name]) for name in first)
    told: dict[str, Any] = sample.scored_draws(TRAINED, tmp_path / "run", SAMPLED, truth)
    again = sample.scored_draws(TRAINED, tmp_path / "run", SAMPLED, truth)
    assert told["energy"] == again["energy"]
    assert all(len(told[name]) == 40 for name in ("energy", "spread", "motion"))
    assert min(told["spread"]) > 0
