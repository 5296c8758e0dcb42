"""One network of a pair (Wan 2.2 A14B): told by its place, by its name, or by --expert alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fbridge.backbones.wan import FAMILY as WAN
from fbridge.config.tree import BridgeConfig, TimesConfig
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.tensors import Header
from fbridge.loaders.detect import Detected
from fbridge.loaders.inspect import inspect_model
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.resolve import ResolvedModel, resolve
from fbridge.loaders.training_free import training_free_components
from fbridge.train.setup.networks import build_scheduler
from fbridge.train.timesteps import limit_times
from tests.pipelines import publish


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of two small networks, as diffusers saves it."""
    return publish("wan-a14b", tmp_path_factory.mktemp("pair") / "pair")


def fourteen(path: Path, asked: str | None = None, **metadata: str) -> ResolvedModel:
    """A file of Wan 14B's names and shapes."""
    (variant,) = (one for one in WAN.variants if "14B" in one.name)
    found = Detected(WAN, WAN.layouts[0], "", variant, dict(variant.config), 0, {})
    header = Header({}, {}, metadata)
    return ResolvedModel(
        str(path), "weights", path, detected=found, file_header=header, asked_expert=asked
    )


@pytest.mark.parametrize(
    ("place", "expert"),
    [
        ("wan2.2_t2v_high_noise_14B.safetensors", "high"),
        ("Wan2_2-T2V-A14B-LOW_bf16.safetensors", "low"),
        ("Wan2.2-T2V-A14B-LowNoise-Q8_0.gguf", "low"),
        ("low_noise_model/model.safetensors", "low"),
        ("pair/transformer/model.safetensors", "high"),
        ("pair/transformer_2/model.safetensors", "low"),
        ("wan2.1_t2v_14B_lowvram.safetensors", ""),
        ("mine.safetensors", "unknown"),
        ("wan2.1_14B_low_noise.safetensors", "unknown"),
        ("high_noise/wan_low_noise.safetensors", "unknown"),
    ],
)
def test_it_is_told_by_names_and_never_guessed(place: str, expert: str, tmp_path: Path) -> None:
    path = tmp_path / place
    if "pair" in place:
        (tmp_path / "pair/transformer_2").mkdir(parents=True)
    model = fourteen(path)
    assert model.expert == expert
    told = {"high": "is the expert for much noise", "low": "is the expert for little noise"}
    told |= {"unknown": "say which with --expert low or --expert high", "": ""}
    assert told[expert] in model.remark
    assert bool(model.remark) == bool(expert)


def test_metadata_and_the_option_tell_it_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    assert fourteen(path, **{"modelspec.title": "Wan 2.2 T2V Low Noise 14B"}).expert == "low"
    assert fourteen(path, "high").expert == "high"
    assert fourteen(tmp_path / "wan2.2_low_noise.safetensors", "high").expert == "high"


def test_a_pairs_folder_gives_one_of_its_networks(pair: Path) -> None:
    low, high = (resolve(str(pair), expert=expert) for expert in ("low", "high"))
    assert (low.path.parent.name, high.path.parent.name) == ("transformer_2", "transformer")
    assert (low.missing, low.components) == ([], pair)
    assert low.noise_and_prediction(low.config)[0]["highest"] == 875
    assert high.noise_and_prediction(high.config)[0]["lowest"] == 875
    told = inspect_model(str(pair / "transformer_2"))
    assert (told.expert, told.refused) == ("low", "")
    assert told.remark.endswith("of the flow: untrained, it starts at --strength 0.81 or less")


def test_the_boundary_is_the_pairs_own(pair: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(pair, tmp_path / "other")
    index = folder / "model_index.json"
    held = json.loads(index.read_text())
    index.write_text(json.dumps({**held, "boundary_ratio": 0.9}))
    assert load_pretrained(str(folder), expert="low").noise_schedule == {
        "kind": "flow", "time_scale": 1000.0, "highest": 900.0,
    }  # fmt: skip
    index.write_text(json.dumps({**held, "boundary_ratio": None}))
    with pytest.raises(CheckpointError, match=r"boundary_ratio is None where a share"):
        load_pretrained(str(folder), expert="low")


def test_untrained_it_starts_where_it_knows_the_noise(pair: Path) -> None:
    low = training_free_components(load_pretrained(str(pair), expert="low"))["scheduler"]
    assert low.config.strength == 0.7 < low.time_range[1] < 0.82
    with pytest.raises(CheckpointError, match=r"expert for much noise.*0\.814 on"):
        training_free_components(load_pretrained(str(pair), expert="high"))


@pytest.mark.parametrize("expert", ["low", "high"])
def test_it_is_trained_on_its_own_times(pair: Path, expert: str) -> None:
    base = load_pretrained(str(pair), expert=expert)
    made, times = limit_times(build_scheduler(BridgeConfig(), base), TimesConfig())
    known = {"low": (0.0, made.time_range[1]), "high": (made.time_range[0], 1.0)}[expert]
    assert made.time_range == (times.min, times.max) == known
    vp = BridgeConfig(schedule={"kind": "vp"})
    assert limit_times(build_scheduler(vp, base), TimesConfig())[0].time_range != known


@pytest.mark.parametrize("name", ["scratch:tiny", "t2v.safetensors", "wan"])
def test_what_is_no_expert_is_not_called_one(name: str, tmp_path: Path) -> None:
    where = str(publish("wan", tmp_path / "wan")) if name == "wan" else name
    with pytest.raises(ConfigError, match="--expert low: is about one network of a pair"):
        load_pretrained(where, expert="low")
