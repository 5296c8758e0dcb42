"""What the comparison of arms says of its curves, and the base that its scratch arm begins from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.alignment import ARMS, first_below, write_scratch
from fbridge.loaders.load import load_pretrained

FILE = Path(__file__).parents[2] / "models/fbridge/pretrained/t2v.safetensors"
CURVE = [(0, 1.0), (10, 0.6), (20, 0.5)]


def test_a_level_is_reached_between_two_points() -> None:
    assert first_below(CURVE, 0.8) == pytest.approx(5)
    assert first_below(CURVE, 0.55) == pytest.approx(15)
    assert first_below(CURVE, 2.0) == 0
    assert first_below(CURVE, 0.4) is None


def test_from_scratch_means_the_same_networks_and_other_weights(tmp_path: Path) -> None:
    write_scratch("t2v.safetensors", tmp_path / "scratch.safetensors")
    drawn, known = load_file(tmp_path / "scratch.safetensors"), load_file(FILE)
    assert drawn.keys() == known.keys()
    same = {name: torch.equal(drawn[name], tensor) for name, tensor in known.items()}
    assert all(same[name] for name in same if name.startswith("vae."))
    assert not same["transformer.blocks.0.attn1.to_q.weight"]
    base = load_pretrained(str(tmp_path / "scratch.safetensors"))
    assert base.prediction == load_pretrained("t2v.safetensors").prediction
    assert "scratch" in ARMS
