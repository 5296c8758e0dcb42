"""A student and its teacher: the path, the loss along it, and who is changed by a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fbridge.data.latents import LatentDataset
from fbridge.denoiser import BridgeDenoiser, ExactFirstFrame
from fbridge.errors import ConfigError
from fbridge.objective import distillation_loss
from fbridge.sampling import build_sampler
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.distillation import DistillTraining
from fbridge.train.run import train
from fbridge.train.setup.session import Session, build_session
from fbridge.types import Condition
from tests.train.sets import fresh_accelerate, short_run

MakeSession = Callable[..., Session]
STUDENT = {"bridge": {"objective": "distill"}, "distill": {"steps": 4}}


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory, clips: LatentDataset, base: Path) -> Path:
    """The folder of a bridge that was trained for two steps, with a guidance of its own."""
    run = tmp_path_factory.mktemp("bridge") / "run"
    config = short_run(
        clips.folder, base, train={"steps": 2, "lr": 1e-2},
        sampling={"guidance_scale": 1.5, "steps": 3},
    )  # fmt: skip
    with fresh_accelerate():
        list(train(build_session("finetune", config, run, device="cpu")))
    return run


@pytest.fixture
def student(clips: LatentDataset, bridge: Path, tmp_path: Path) -> Any:
    def make(**sections: Any) -> Session:
        config = short_run(clips.folder, bridge, **{**STUDENT, **sections})
        return build_session("finetune", config, tmp_path / "student", device="cpu")

    with fresh_accelerate():
        yield make


def task_of(session: Session) -> DistillTraining:
    task = session.training.task
    assert isinstance(task, DistillTraining)
    return task


def test_the_loss_by_hand() -> None:
    """A student that adds its time to the state is wrong by what is left of the way."""
    generator = torch.Generator().manual_seed(3)
    states = [torch.randn(2, 3, 1, 2, 2, generator=generator) for _ in range(3)]
    end = torch.randn(2, 3, 1, 2, 2, generator=generator)
    times = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
    told = Condition(
        torch.randn(2, 4, 5, generator=generator),
        torch.ones(2, 4, dtype=torch.bool),
        torch.randn(2, 1, 2, 2, generator=generator),
    )
    seen: list[tuple[Tensor, Condition]] = []

    def answer(x: Tensor, t: Tensor, prior: Tensor, condition: Condition) -> Tensor:
        seen.append((prior, condition))
        return x + t[:, None, None, None, None].float()

    loss = distillation_loss(answer, states, end, times, end + 1, told)
    expected = torch.stack([
        (state + float(t) - end).square().flatten(1).mean(1)
        for state, t in zip(states, times, strict=True)
    ])  # fmt: skip
    torch.testing.assert_close(loss, expected)
    prior, condition = seen[0]
    assert torch.equal(prior, torch.cat([end + 1] * 3))
    assert torch.equal(condition.image_latents, torch.cat([told.image_latents] * 3))
    assert torch.equal(condition.prompt_embeds, torch.cat([told.prompt_embeds] * 3))


def test_the_path_is_what_its_teacher_samples(student: Callable[..., Session]) -> None:
    session = student()
    task = task_of(session)
    batch = next(iter(session.training.loader(0)))
    prior = task.bridge.start(batch)
    states, end = task.path(batch, prior)
    assert len(states) == 4
    assert not end.requires_grad
    alone = build_sampler("dbim2").sample(
        task.guided(batch, 1.5),
        task.bridge.process,
        prior,
        task.times,
        batch.condition,
        noise=lambda _: batch.noise,
    )
    assert torch.equal(end, alone)
    unguided = build_sampler("dbim2").sample(
        task.guided(batch, 1.0), task.bridge.process, prior, task.times, batch.condition,
        noise=lambda _: batch.noise,
    )  # fmt: skip
    assert not torch.equal(end, unguided)
    first = batch.condition.image_latents
    assert torch.equal(end[:, 0], first) is task.exact_first


def test_without_guidance_a_student_begins_right_at_the_last_state(
    student: Callable[..., Session],
) -> None:
    """There the path's end is the teacher's own answer; farther back it is not."""
    session = student(distill={"steps": 4, "guidance_scale": 1.0})
    batch = next(iter(session.training.loader(0)))
    session.training.network.eval()
    errors = task_of(session).errors(session.training.network, batch)
    assert errors.shape == (4, 2)
    assert errors[-1].max() < 1e-10
    assert (errors[:-1] > 1e-7).all()


@pytest.mark.parametrize("lora", [{}, {"rank": 2}], ids=["all weights", "lora"])
def test_training_changes_the_student_alone(
    student: Callable[..., Session], lora: dict[str, int]
) -> None:
    session = student(lora=lora, train={"lr": 1e-2})
    task, network = task_of(session), session.training.network
    batch = next(iter(session.training.loader(0)))
    prior = task.bridge.start(batch)
    before = task.path(batch, prior)[1]
    weights = [p for p in network.parameters() if p.requires_grad]
    assert (sum(p.numel() for p in weights) < sum(p.numel() for p in network.parameters())) is bool(
        lora
    )
    with torch.no_grad():
        for weight in weights:
            weight.add_(torch.randn(weight.shape) * 0.1)
    assert torch.equal(task.path(batch, prior)[1], before)
    x, t = prior + batch.noise, task.times[:1].expand(2)
    own = BridgeDenoiser(network, task.bridge.parameterization)(x, t, prior, batch.condition)
    teachers = BridgeDenoiser(task.teacher, task.bridge.parameterization)
    assert not torch.allclose(own, teachers(x, t, prior, batch.condition))
    task(network, batch).mean().backward()
    assert all(p.grad is not None for p in weights if p.ndim > 1)


def test_a_run_ends_in_an_ordinary_model_that_says_what_it_is(
    student: Callable[..., Session], tmp_path: Path, bridge: Path
) -> None:
    session = student(train={"lr": 1e-2})
    events = list(train(session))
    scores = [event.scores for event in events if hasattr(event, "scores")]
    assert {"held_out", "first_state", "psnr_teacher", "psnr_generated"} <= scores[-1].keys()
    assert all("another_picture" not in row for row in scores)
    folder = tmp_path / "student" / "model"
    made = FrameBridgeScheduler.from_pretrained(folder / "scheduler")
    assert session.model.base is not None
    assert made.config.distilled == {
        "sha256": session.model.base.hash, "steps": 4, "guidance_scale": 1.5,
    }  # fmt: skip
    assert (made.config.steps, made.config.guidance_scale) == (4, 1.0)
    old = load_file(bridge / "model" / "transformer" / "diffusion_pytorch_model.safetensors")
    new = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    assert old.keys() == new.keys()
    assert any(not torch.equal(old[name], new[name]) for name in old)
    sheet = tmp_path / "student" / "validation" / "step-4" / "sheet.png"
    assert sheet.is_file()


def test_other_bridges_know_nothing_of_it(bridge: Path) -> None:
    text = (bridge / "model" / "scheduler" / "scheduler_config.json").read_text()
    assert "distilled" not in text


def test_a_student_of_a_student_has_its_own_teacher(
    clips: LatentDataset, bridge: Path, tmp_path: Path
) -> None:
    config = short_run(clips.folder, bridge, train={"steps": 1}, validation={"rows": 0}, **STUDENT)
    with fresh_accelerate():
        list(train(build_session("finetune", config, tmp_path / "one", device="cpu")))
        config = config.model_copy(update={"base": str(tmp_path / "one")})
        second = build_session("finetune", config, tmp_path / "two", device="cpu")
        assert second.model.scheduler is not None
        assert second.model.scheduler.config.distilled["guidance_scale"] == 1.0
        plain = short_run(clips.folder, tmp_path / "one")
        third = build_session("finetune", plain, tmp_path / "three", device="cpu")
        assert third.model.scheduler is not None
        assert third.model.scheduler.config.distilled is None


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"bridge": {"objective": "distill", "schedule": {"kind": "vp"}}},
         "bridge.schedule: a student has its teacher's bridge"),
        ({"bridge": {"objective": "distill", "prediction": "clean"}},
         "bridge.prediction: a student has"),
        ({"bridge": {"objective": "distill", "align": False}}, "bridge.align: a student has"),
    ],
)  # fmt: skip
def test_a_student_is_refused_another_bridge(
    student: Callable[..., Session], sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        student(**sections)


def test_a_base_that_is_no_bridge_teaches_nobody(session: MakeSession) -> None:
    with pytest.raises(ConfigError, match=r"is no bridge yet.*fbridge finetune --base"):
        session(**STUDENT)


def test_the_first_frame_is_the_pictures(student: Callable[..., Session]) -> None:
    task = task_of(student())
    for exact in (True, False):
        made = replace(task, exact_first=exact).denoiser(task.teacher)
        assert isinstance(made, ExactFirstFrame) is exact


def test_runs_of_older_versions_go_on(session: MakeSession) -> None:
    """Their identity has no keys of a teacher."""
    assert not any(name.startswith("distill.") for name in session().training.identity)
