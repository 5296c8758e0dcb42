from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fbridge.backbones.scratch import PRESETS
from fbridge.config import Config, known_keys, to_schema
from fbridge.config.keys import schema_of
from fbridge.config.model import SCHEDULES, BridgeConfig, LoraConfig, PriorConfig
from fbridge.config.tree import Section, TimesConfig, TrainConfig
from fbridge.errors import ConfigError
from fbridge.scheduler import schedule_from_config

ROOT = Path(__file__).parents[2]


def tables() -> list[type[Section]]:
    return [Config, *(type(value) for _, value in Config() if isinstance(value, Section))]


@pytest.mark.parametrize("table", tables())
def test_every_key_is_described_and_bounded(table: type[Section]) -> None:
    for name, field in table.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert not field.is_required()
    assert table.__doc__
    assert table.__doc__.strip().endswith(".")


def test_every_unset_key_shows_an_example_that_would_do() -> None:
    for key, value in Config().flat().items():
        if value is None:
            section, _, name = key.rpartition(".")
            example = schema_of(key)["examples"][0]
            given: dict[str, Any] = {section: {name: example}} if section else {name: example}
            assert Config.model_validate(given).flat()[key] == example


def test_a_tree_does_not_change() -> None:
    config = Config()
    with pytest.raises(ValidationError):
        config.train.lr = 1.0
    with pytest.raises(ValidationError):
        Config.model_validate({"train": {"step": 3}})


def test_names_repeated_here_are_those_of_their_homes() -> None:
    assert tuple(schema_of("model.preset")["enum"]) == tuple(PRESETS)
    for kind in SCHEDULES:
        schedule_from_config(kind)
    with pytest.raises(ConfigError, match=f"known are {', '.join(SCHEDULES)}"):
        schedule_from_config("qqqq")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PriorConfig(kind="neural"), "kind: needs .prior. path"),
        (lambda: LoraConfig(dora=True), "dora: needs .lora. rank above 0"),
        (lambda: BridgeConfig(schedule={"kind": "gmix"}), "a table of kind"),
        (lambda: BridgeConfig(schedule={"beta_0": 0.1}), "a table of kind"),
        (lambda: BridgeConfig(schedule={"kind": "vp", "beta_d": "x"}), "a table of kind"),
        (lambda: BridgeConfig(schedule={"kind": "vp", "beta_d": float("inf")}), "finite"),
        (lambda: TimesConfig(std=0.0), "greater than 0"),
        (lambda: TimesConfig(min=0.6, max=0.5), "min: needs .times. max above it"),
        (lambda: TimesConfig(max=0.0), "min: needs .times. max above it"),
        (lambda: TimesConfig(max=1.1), "less than or equal to 1"),
        (lambda: TrainConfig(betas=(0.9, 1.0)), "less than 1"),
        (lambda: TrainConfig(lr=float("inf")), "finite"),
    ],
)
def test_what_does_not_go_together(make: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        make()
    PriorConfig(kind="neural", path="runs/prior")
    LoraConfig(dora=True, rank=4)
    BridgeConfig(schedule={"kind": "vp", "beta_d": 3.0})


def test_empty_text_is_none_and_whole_floats_are_counts() -> None:
    assert Config(base="").base is None
    steps: Any = 1e4
    assert TrainConfig(steps=steps).steps == 10_000
    assert type(TrainConfig(steps=steps).steps) is int


def test_schema_knows_every_key_and_no_null() -> None:
    schema = to_schema()
    for key in known_keys():
        assert schema_of(key)["description"]
    text = str(schema)
    assert "null" not in text
    assert "None" not in text
    assert schema_of("train.nothing") == schema_of("nothing.train") == {}
    assert schema_of("lora.alpha")["type"] == "number"
    assert "title" not in schema_of("lora.alpha")


def test_torch_stays_away() -> None:
    code = (
        "import sys; import fbridge.config as c; c.to_toml(c.load_config(recipe='demo').config,"
        "comments=True); c.to_schema(); print({'torch', 'diffusers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT / "models")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"
