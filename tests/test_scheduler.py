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


@pytest.mark.parametrize(("kind", "time"), [("gmax", 0.814), ("vp", 0.987), ("brownian", 0.980)])
def test_an_expert_knows_the_bridge_up_to_its_network_time(kind: str, time: float) -> None:
    known: dict[str, Any] = {"schedule": {"kind": kind}, "prediction": "aligned-flow"}
    low = FrameBridgeScheduler(**known, base={"kind": "flow", "highest": 875.0})
    high = FrameBridgeScheduler(**known, base={"kind": "flow", "lowest": 875.0})
    assert low.time_range == (0.0, pytest.approx(time, abs=1e-3))
    assert high.time_range == (low.time_range[1], 1.0)
    alignment = low.parameterization.alignment
    assert alignment is not None
    border = ONE * low.time_range[1]
    assert float(alignment.time(border)) == pytest.approx(875, abs=1e-6)
    near = torch.cat([border - 1e-4, border + 1e-4])
    assert alignment.covered(near).tolist() == [True, False]
    assert [low.covers(t) for t in near[:, None]] == [True, False]
    assert [high.covers(t) for t in near[:, None]] == [False, True]


def test_trained_times_go_before_those_of_the_base(tmp_path: Path) -> None:
    flow = {"kind": "flow", "highest": 875.0}
    made = FrameBridgeScheduler(prediction="aligned-flow", base=flow, times=[0.1, 0.9])
    made.save_pretrained(tmp_path)
    assert FrameBridgeScheduler.from_pretrained(tmp_path).time_range == (0.1, 0.9)
    assert FrameBridgeScheduler().time_range == (0.0, 1.0)


def test_a_strange_base_is_refused() -> None:
    with pytest.raises(ConfigError, match="base kind 'wan' is unknown"):
        build_noise_schedule({"kind": "wan"})
