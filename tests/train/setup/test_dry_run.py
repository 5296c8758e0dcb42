"""What a run will need, found out without a trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fbridge.train.setup.dry_run import measure_step
from fbridge.train.setup.session import Session


@pytest.mark.parametrize("command", ["finetune", "train-prior"])
def test_a_probe_tells_and_writes_nothing(
    session: Callable[..., Session], tmp_path: Path, command: str
) -> None:
    made = session(
        command,
        train={"steps": 50, "gradient_accumulation": 2},
        log={"trackers": ["tensorboard"]},
        ema={"kind": "post-hoc"},
    )
    needs = measure_step(made)
    count = sum(p.numel() for p in made.model.backbone.parameters())
    assert (needs.parameters, needs.trained) == (count, count)
    assert needs.latents == (3, 4, 8, 8)
    assert needs.total == pytest.approx(50 * needs.seconds)
    assert 0 < needs.seconds < 60
    assert needs.memory > 20 * count
    assert list(tmp_path.iterdir()) == []
    assert needs.to_json()["latents"] == (3, 4, 8, 8)


def test_of_lora_a_part_is_trained(session: Callable[..., Session]) -> None:
    needs = measure_step(session(lora={"rank": 2}))
    assert 0 < needs.trained < needs.parameters / 2
