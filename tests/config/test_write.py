from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbridge.config import Config, known_keys, load_config, to_schema, to_toml
from fbridge.config.tree import EmaConfig, PriorConfig, Section
from fbridge.config.values import as_toml
from tests.config.trees import configs


@given(configs, st.booleans())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, config: Config, comments: bool
) -> None:
    file = tmp_path_factory.mktemp("config") / "config.toml"
    file.write_text(to_toml(config, comments=comments), encoding="utf-8", newline="")
    assert load_config(file=file).config == config


def test_sections_in_order_and_none_left_out() -> None:
    text = to_toml(Config(data="latents"), comments=False)
    assert text.startswith(
        'download = false\ndata = "latents"\ncache_size = "10GB"\n\n[model]\npreset = "tiny"\n'
    )
    assert "#" not in text
    assert "alpha" not in text
    names = [line.strip("[]") for line in text.splitlines() if line.startswith("[")]
    assert names == [name for name, value in Config() if isinstance(value, Section)]


def test_comments_explain_every_key_and_show_unset_ones() -> None:
    text = to_toml(Config(), comments=True)
    lines = text.splitlines()
    for key in known_keys():
        name = key.rpartition(".")[2]
        there = [
            n for n, line in enumerate(lines) if line.removeprefix("# ").startswith(f"{name} =")
        ]
        assert there, key
        assert all(lines[n - 1].startswith("# ") for n in there), key
    assert "# alpha = 16.0" in lines
    assert '# schedule = { kind = "gmax", beta_0 = 0.01, beta_1 = 50.0 }' in lines
    assert "# One of: bridge, diffusion, distill." in lines
    assert max(map(len, lines)) <= 100


def test_every_commented_example_may_stand(tmp_path: Path) -> None:
    text = re.sub(r"^# (?=[a-z_]+ = )", "", to_toml(Config(), comments=True), flags=re.MULTILINE)
    (tmp_path / "c.toml").write_text(text)
    config = load_config(file=tmp_path / "c.toml").config
    assert None not in config.flat().values()
    assert config.lora.alpha == 16


def test_unsetting_what_the_recipe_sets_is_written_down(tmp_path: Path) -> None:
    config = Config(recipe="ucf101", prior=PriorConfig(kind="repeat"), ema=EmaConfig(decay=0.5))
    text = to_toml(config, comments=False)
    assert 'path = ""' in text
    assert 'base = ""' in text
    assert "data" not in text.split("[model]")[0]
    (tmp_path / "c.toml").write_text(text)
    assert load_config(file=tmp_path / "c.toml").config == config


def test_numbers_that_the_recipe_sets_are_unset_too(tmp_path: Path) -> None:
    """Else a run of the demo's recipe without its guidance could not be resumed."""
    config = Config(recipe="demo")
    assert config.sampling.guidance_scale is None
    text = to_toml(config, comments=False)
    assert 'guidance_scale = ""' in text
    (tmp_path / "c.toml").write_text(text)
    assert load_config(file=tmp_path / "c.toml").config == config
    told = load_config(options={"recipe": "demo", "sampling.steps": ""}).config.sampling
    assert (told.steps, told.guidance_scale) == (None, 2)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\n\"b\"", '"a\\n\\"b\\""'),
        (1e-5, "1e-05"),
        (True, "true"),
        ((0.9, 1), "[0.9, 1]"),
        ({"a b": ["x"]}, '{ "a b" = ["x"] }'),
        ({}, "{}"),
        (None, "None"),
    ],
)  # fmt: skip
def test_values(value: object, text: str) -> None:
    assert as_toml(value) == text


def test_schema_is_json() -> None:
    schema = json.loads(json.dumps(to_schema()))
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert list(schema["properties"])[:2] == ["base", "components"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["train"] == {
        "$ref": "#/$defs/TrainConfig",
        "description": "Optimisation.",
    }
