"""A bridge's numbers as a component: objectives, their schedules, and errors by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fbridge.errors import ConfigError
from fbridge.process import BridgeProcess, DiffusionProcess
from fbridge.scheduler import FrameBridgeScheduler, build_noise_schedule

ONE = torch.ones(1, dtype=torch.float64)


def test_objectives_have_their_processes_and_usual_schedules() -> None:
    bridge, twin = FrameBridgeScheduler(), FrameBridgeScheduler(objective="diffusion")
    assert isinstance(bridge.process, BridgeProcess)
    assert isinstance(twin.process, DiffusionProcess)
    assert float(bridge.process.coefficients(ONE).noise) == 0
    assert float(twin.process.coefficients(ONE).prior) == 0
    assert float(twin.process.schedule.rho(ONE)) == pytest.approx(152, abs=1)
    kept = FrameBridgeScheduler(objective="diffusion", schedule={"kind": "gmax"})
    assert torch.equal(kept.process.schedule.rho(ONE), bridge.process.schedule.rho(ONE))


@pytest.mark.parametrize("objective", ["bridge", "diffusion"])
def test_a_parameterization_is_over_its_own_process(objective: str) -> None:
    for prediction in ("psi-noise", "preconditioned"):
        made: Any = FrameBridgeScheduler(prediction=prediction, objective=objective)
        assert made.parameterization.process is made.process
    base = {"kind": "cogvideox", "snr_shift": 1.0}
    aligned: Any = FrameBridgeScheduler(prediction="aligned-v", objective=objective, base=base)
    assert aligned.parameterization.alignment.process is aligned.process


def test_it_comes_back_from_its_folder(tmp_path: Path) -> None:
    numbers: dict[str, Any] = {"objective": "diffusion", "prediction": "psi-noise", "steps": 7}
    FrameBridgeScheduler(**numbers).save_pretrained(tmp_path)
    again = FrameBridgeScheduler.from_pretrained(tmp_path)
    assert {name: again.config[name] for name in numbers} == numbers
    assert isinstance(again.process, DiffusionProcess)


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ({"objective": "flow"}, "objective 'flow' is unknown; known: bridge, diffusion"),
        ({"prediction": "v"}, "prediction 'v' is unknown; known: clean, psi-noise"),
        ({"prediction": "aligned-v"}, "base kind None is unknown; known: flow, cogvideox"),
    ],
)
def test_mistakes_have_names(numbers: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        FrameBridgeScheduler(**numbers)


def test_a_strange_base_is_refused() -> None:
    with pytest.raises(ConfigError, match="base kind 'wan' is unknown"):
        build_noise_schedule({"kind": "wan"})
