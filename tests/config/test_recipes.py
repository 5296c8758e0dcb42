from __future__ import annotations

import math
from pathlib import Path

import pytest

import fbridge.config
from fbridge.config import Config, load_config, recipes
from fbridge.errors import FBridgeError
from fbridge.train.request import Command, resolve_request

FOLDER = Path(fbridge.config.__file__).parent / "recipes"
NAMES = ["demo", "demo-distill", "demo-prior", "framebridge", "lora", "ucf101"]


def test_recipes_are_listed_with_their_first_line() -> None:
    assert list(recipes()) == NAMES
    for name, told in recipes().items():
        assert (FOLDER / f"{name}.toml").read_text().startswith(f"# {told}\n")
        assert told.endswith(".")
        assert len(told) < 100


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_loads(name: str) -> None:
    resolved = load_config(recipe=name)
    assert resolved.config.recipe == name
    changed = {key for key, origin in resolved.origin.items() if origin == f"recipe {name}"}
    assert changed
    assert "recipe" not in changed


def test_figures() -> None:
    """Section 2.9 of the released configurations, as far as they are told."""
    paper = load_config(recipe="framebridge").config
    assert (paper.train.lr, paper.train.betas, paper.train.weight_decay) == (
        1e-5,
        (0.9, 0.95),
        1e-4,
    )
    assert (paper.train.max_grad_norm, paper.train.warmup) == (1.0, 200)
    assert paper.train.lr_schedule == "cosine"
    assert paper.condition.text_dropout == 0.1
    assert paper.prior.noise == pytest.approx(math.exp(-3))
    assert paper.prior.noise_spread == 0.5
    scratch = load_config(recipe="ucf101").config
    assert (scratch.base, scratch.model.preset) == ("scratch:latte-s2", "latte-s2")
    assert (scratch.prior.kind, scratch.model.condition) == ("neural", "class")
    assert (scratch.ema.decay, scratch.train.max_grad_norm) == (0.9999, 0.1)
    assert load_config(recipe="lora").config.lora.rank == 16
    demo = load_config(recipe="demo").config
    assert (demo.base, demo.data) == ("t2v.safetensors", "demo")
    assert demo.train.steps % demo.validation.every == 0
    assert Config().recipe is None


@pytest.mark.parametrize(
    ("command", "recipe", "options"),
    [
        ("finetune", "demo", {}),
        ("train-prior", "demo-prior", {}),
        ("train-prior", "lora", {"recipe": "lora"}),
    ],
)
def test_a_bare_line_begins_with_its_own_recipe(
    command: Command,
    recipe: str,
    options: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    found = resolve_request(command, {"base": "t2v.safetensors", **options}).config
    assert (found.recipe, found.data) == (recipe, "demo")
    assert found.train.steps == load_config(recipe=recipe).config.train.steps


def test_a_student_begins_as_its_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "bridge").mkdir(parents=True)
    found = resolve_request("finetune", {}, teacher="runs/bridge").config
    assert (found.base, found.bridge.objective) == ("runs/bridge", "distill")
    assert (found.recipe, found.data) == ("demo-distill", "demo")
    typed = {"bridge.objective": "distill", "base": "runs/bridge"}
    assert resolve_request("finetune", typed).config == found
    assert resolve_request("finetune", {**typed, "recipe": "lora"}).config.recipe == "lora"


@pytest.mark.parametrize(
    ("options", "teacher", "message"),
    [
        ({"bridge.objective": "diffusion"}, "runs/bridge",
         "--teacher runs/bridge: is for --objective distill, not diffusion"),
        ({"base": "t2v.safetensors"}, "runs/bridge",
         "--base t2v.safetensors: a student begins as its teacher, --teacher runs/bridge; leave"),
        ({"bridge.objective": "distill"}, None, "no teacher given; name a bridge.*--teacher RUN"),
        ({}, "./gone", "--teacher ./gone: "),
    ],
)  # fmt: skip
def test_teachers_that_cannot_be(
    options: dict[str, str],
    teacher: str | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FBridgeError, match=message):
        resolve_request("finetune", options, teacher=teacher)
