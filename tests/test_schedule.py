from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given

from fbridge.errors import ConfigError
from fbridge.schedule import (
    BrownianSchedule,
    GmaxSchedule,
    Schedule,
    VPSchedule,
    time_at,
)
from fbridge.scheduler import schedule_from_config, schedule_to_config
from tests.strategies import schedules

ONE = torch.ones((), dtype=torch.float64)


def test_published_values_at_the_prior() -> None:
    assert float(GmaxSchedule().rho(ONE)) ** 2 == pytest.approx(25.005, abs=1e-12)
    assert float(VPSchedule().rho(ONE)) ** 2 == pytest.approx(2.004166, abs=5e-7)
    assert float(VPSchedule().alpha(ONE)) == pytest.approx(0.576950, abs=5e-7)
    assert float(BrownianSchedule(3.0).rho(ONE)) == 3.0


@given(schedules())
def test_begins_clean_and_only_gets_noisier(schedule: Schedule) -> None:
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    rho, alpha = schedule.rho(t), schedule.alpha(t)
    assert rho[0] == 0
    assert alpha[0] == 1
    assert bool((rho.diff() > 0).all())
    assert rho.dtype == alpha.dtype == torch.float64


@given(schedules())
def test_reference_diffusion_has_the_drift_and_diffusion_of_its_name(schedule: Schedule) -> None:
    """d(alpha^2 rho^2)/dt = 2 f alpha^2 rho^2 + g^2 with f, g^2 from the definitions."""
    t = torch.linspace(0.05, 0.95, 7, dtype=torch.float64, requires_grad=True)
    variance = (schedule.alpha(t) * schedule.rho(t)).square()
    (growth,) = torch.autograd.grad(variance.sum(), t)
    now = t.detach()
    if isinstance(schedule, VPSchedule):
        rate = schedule.beta_min + schedule.beta_d * now
        expected = -rate * variance.detach() + rate
    elif isinstance(schedule, GmaxSchedule):
        expected = schedule.beta_0 + (schedule.beta_1 - schedule.beta_0) * now
    else:
        assert isinstance(schedule, BrownianSchedule)
        expected = torch.full_like(now, schedule.scale**2)
    torch.testing.assert_close(growth, expected, rtol=1e-9, atol=1e-12)


@given(schedules())
def test_time_at_inverts_rho(schedule: Schedule) -> None:
    t = torch.tensor([0.0, 1e-4, 0.01, 0.3, 0.77, 0.9999, 1.0], dtype=torch.float64)
    torch.testing.assert_close(time_at(schedule, schedule.rho(t)), t, rtol=0, atol=1e-12)
    outside = torch.tensor([2 * float(schedule.rho(ONE))], dtype=torch.float64)
    assert float(time_at(schedule, outside)) == 1


@given(schedules())
def test_config_round_trip(schedule: Schedule) -> None:
    config = json.loads(json.dumps(schedule_to_config(schedule)))
    kind = config.pop("kind")
    assert schedule_from_config(kind, **config) == schedule


@pytest.mark.parametrize(
    ("kind", "numbers", "message"),
    [
        ("gmx", {}, "did you mean 'gmax'"),
        ("gmax", {"beta1": 3.0}, "did you mean 'beta_1'"),
        ("gmax", {"beta_1": -3.0}, "beta_1 is -3.0"),
        ("brownian", {"scale": 0.0}, "scale is 0.0"),
    ],
)
def test_config_mistakes_are_named(kind: str, numbers: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        schedule_from_config(kind, **numbers)


def test_unknown_schedules_have_no_config() -> None:
    class Odd:
        def alpha(self, t: torch.Tensor) -> torch.Tensor:
            return t

        rho = alpha

    with pytest.raises(ConfigError, match="no name"):
        schedule_to_config(Odd())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_constructors_refuse(bad: float) -> None:
    with pytest.raises(ValueError, match="beta_0"):
        GmaxSchedule(beta_0=bad)
    with pytest.raises(ValueError, match="beta_1"):
        GmaxSchedule(beta_1=bad)
    with pytest.raises(ValueError, match="beta_min"):
        VPSchedule(beta_min=bad)
    with pytest.raises(ValueError, match="beta_"):
        VPSchedule(beta_d=bad)
    with pytest.raises(ValueError, match="scale"):
        BrownianSchedule(bad)


def test_a_vp_schedule_without_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="beta_d"):
        VPSchedule(0.0, 0.0)
