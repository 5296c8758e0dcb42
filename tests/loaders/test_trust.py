"""A model's folder names known classes and no code, or is refused before a library reads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fbridge.errors import CheckpointError, ConfigError
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.resolve import resolve
from fbridge.loaders.text_encoder import load_text_encoder
from fbridge.loaders.trust import check_components
from fbridge.pipeline import FrameBridgePipeline
from tests.loaders.test_text_encoder import save_pipeline

EMBEDDED = Path(__file__).parents[2] / "models/fbridge/pretrained/motion"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the embedded bridge."""
    shutil.copytree(EMBEDDED, tmp_path / "model")
    return tmp_path / "model"


def change(path: Path, **keys: Any) -> None:
    held = json.loads(path.read_text()) if path.is_file() else {}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**held, **keys}))


@pytest.mark.parametrize(
    "keys",
    [
        {"codec": ["mine", "MotionCodec"]},
        {"codec": ["fbridge.codecs.render", "MotionCodec"]},
        {"transformer": ["fbridge.backbones.space_time", "Attention"]},
        {"transformer": ["diffusers", "AutoModel"]},
        {"scheduler": ["fbridge.scheduler", "mine"]},
        {"vae": ["diffusers", "SpaceTimeTransformer"]},
        {"vae": [None, "AutoencoderKL"]},
        {"text_encoder": ["json", "JSONDecoder"]},
        {"text_encoder": ["transformers", "AutoModel"]},
        {"tokenizer": ["transformers", "Trainer"]},
        {"tokenizer": ["diffusers", "T5Tokenizer"]},
        {"safety_checker": ["diffusers", "AutoencoderKL"]},
    ],
    ids=str,
)
def test_a_part_of_another_class_is_refused(folder: Path, keys: dict[str, Any]) -> None:
    change(folder / "model_index.json", **keys)
    told = rf"model_index.json: names .* as {next(iter(keys))}, .* code .* is never run"
    for read in (resolve, load_pretrained, FrameBridgePipeline.from_pretrained):
        with pytest.raises(CheckpointError, match=told):
            read(str(folder))


@pytest.mark.parametrize(
    "keys",
    [
        {"transformer": ["diffusers", ["WanTransformer3DModel"]]},
        {"transformer": ["fbridge.backbones.space_time"]},
        {"_class_name": ["mine", "FrameBridgePipeline"]},
    ],
    ids=str,
)
def test_what_is_no_name_of_a_class_is_refused(folder: Path, keys: dict[str, Any]) -> None:
    change(folder / "model_index.json", **keys)
    for read in (resolve, load_pretrained, FrameBridgePipeline.from_pretrained):
        with pytest.raises(CheckpointError, match=rf"'{next(iter(keys))}.* is damaged, get it"):
            read(str(folder))


def test_known_parts_are_taken() -> None:
    words = {
        "vae": ["diffusers", "AutoencoderKLWan"],
        "transformer": ["diffusers", "WanTransformer3DModel"],
        "codec": [None, None],
        "classes": ["one", "two"],
        "sizes": [[64, 64]],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "text_encoder_2": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
        "image_encoder": ["transformers", "CLIPVisionModel"],
    }
    check_components(Path("nowhere"), {"_class_name": "FrameBridgePipeline", **words})


@pytest.mark.parametrize(
    "keys",
    [
        {"auto_map": {"AutoModel": "mine.Mine"}},
        {"text_config": {"layers": [{"auto_map": {"AutoModel": "mine.Mine"}}]}},
        {"trust_remote_code": True},
        {"custom_pipelines": {"mine": {}}},
        {"_attn_implementation_internal": "someone/something"},
    ],
    ids=str,
)
def test_a_configuration_that_points_at_code_is_refused(
    folder: Path, tmp_path: Path, keys: dict[str, Any]
) -> None:
    change(folder / "transformer/config.json", **keys)
    told = "names code by its key '(auto_map|trust_remote_code|custom_pipelines|_attn_impl.*)'"
    with pytest.raises(CheckpointError, match=told):
        FrameBridgePipeline.from_pretrained(folder)
    words = save_pipeline(tmp_path / "words")
    for file in ("text_encoder/config.json", "tokenizer/tokenizer_config.json"):
        before = (words / file).read_text()
        change(words / file, **keys)
        with pytest.raises(CheckpointError, match=told):
            load_text_encoder(str(words))
        (words / file).write_text(before)
    change(words / "text_encoder/config.json", _attn_implementation="eager", auto_map={})
    assert load_text_encoder(str(words)).max_tokens == 6


@pytest.mark.parametrize("option", ["custom_pipeline", "trust_remote_code"])
def test_options_that_ask_for_code_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option}: code of a model's folder is never run"):
        FrameBridgePipeline.from_pretrained("embedded", **{option: "mine"})


def test_a_configuration_nested_without_end_is_broken(folder: Path) -> None:
    (folder / "transformer/config.json").write_text('{"a":' * 100_000)
    with pytest.raises(CheckpointError, match="cannot be read, or is no configuration"):
        load_pretrained(str(folder))
