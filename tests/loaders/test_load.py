"""Bases from every kind of storage, and what is said of broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import CogVideoXTransformer3DModel
from safetensors.torch import load_file, save_file

from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.modules import build
from fbridge.files.tensors import read_weights
from fbridge.loaders import locate
from fbridge.loaders.inspect import inspect_model
from fbridge.loaders.load import PretrainedModel, load_pretrained
from fbridge.loaders.text_encoder import MINILM
from fbridge.pipeline import FrameBridgePipeline
from fbridge.pipeline.plain import PlainPipeline
from fbridge.scheduler import build_noise_schedule
from tests.bases import diffusers_folder, tiny_base, tiny_transformer, tiny_vae, weights_alone


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_one_file_holds_a_whole_base(tmp_path: Path) -> None:
    path = tiny_base(tmp_path / "base.safetensors")
    base = load_pretrained(str(path))
    assert same(base.transformer, tiny_transformer())
    assert same(base.vae, tiny_vae())
    assert base.transformer.dtype == torch.float32
    assert (base.family.name, base.prediction, base.text_encoder) == ("cogvideox", "v", MINILM)
    assert (base.frames, base.fps, base.sizes) == ([8, 2, 16, 1], 8.0, [[64, 64]])
    build_noise_schedule(base.noise_schedule)
    assert len(base.hash) == 64
    assert base.name == str(path)


def test_the_header_is_as_documented(tmp_path: Path) -> None:
    path = tiny_base(tmp_path / "base.safetensors")
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + size])
    assert list(header.pop("__metadata__")) == ["fbridge"]
    assert {name.split(".")[0] for name in header} == {"transformer", "vae"}
    assert {entry["dtype"] for entry in header.values()} == {"F16"}
    assert "_name_or_path" not in path.read_bytes()[8 : 8 + size].decode()


def test_a_packaged_file_is_found_by_its_bare_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    tiny_base(tmp_path / "t2v.safetensors")
    monkeypatch.setattr(locate, "_WEIGHTS", tmp_path)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_pretrained("t2v.safetensors").name == "t2v.safetensors"
    with pytest.raises(CheckpointError, match="no such file"):
        load_pretrained("sub/t2v.safetensors")
    with pytest.raises(CheckpointError, match="no such file"):
        load_pretrained("other.safetensors")


def test_a_file_cut_anywhere_is_one_clear_line(tmp_path: Path) -> None:
    whole = tiny_base(tmp_path / "whole.safetensors").read_bytes()
    broken = tmp_path / "broken.safetensors"
    for length in (0, 4, 100, 3000, len(whole) // 2, len(whole) - 1):
        broken.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"broken\.safetensors: is broken or cut off"):
            load_pretrained(str(broken))
    broken.write_bytes(b"\xff" * 4096)
    with pytest.raises(CheckpointError, match=r"broken\.safetensors"):
        load_pretrained(str(broken))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": 2}, "update fbridge"),
        ({"kind": "depth-to-video"}, "depth-to-video"),
        ({"noise": None}, "lacks 'noise'"),
        ({"fps": None}, "lacks 'fps'"),
        ({"fps": -1}, "'fps' is -1 where"),
        ({"fps": float("nan")}, "'fps' is nan where a finite number is needed"),
        ({"frames": "x"}, "'frames' is 'x' where a valid list is needed"),
        ({"frames": [8, 2, 16]}, r"'frames' is \[8, 2, 16\] where"),
        ({"frames": [8, 9, 16, 1]}, "where default, minimum, maximum and step are needed"),
        ({"sizes": [[64, 0]]}, "'sizes.0.1' is 0 where"),
        ({"prediction": "x"}, "'prediction' is 'x' where 'v', 'flow', 'noise' or 'clean' is need"),
        ({"text_encoder": 5}, "'text_encoder' is 5 where text is needed"),
        ({"noise": {"kind": "cogvideox", "snr_shift": "x"}}, "'noise' of its header is no noise"),
        ({"noise": {"kind": "stairs"}}, "'noise' of its header is no noise schedule: .*'stairs'"),
        ({"transformer": 5}, "'transformer' is 5 where"),
        ({"transformer": {}}, "lacks 'transformer._class_name'"),
        ({"vae": {"_class_name": 5}}, "'vae._class_name' is 5 where text is needed"),
        (
            {"transformer": {"_class_name": "CogVideoXTransformer3DModel", "in_channels": "x"}},
            r"base\.safetensors: in_channels is 'x' where a number is needed",
        ),
        ({"transformer": {"_class_name": "UNet"}}, "'UNet' is not supported"),
        ({"vae": {"_class_name": "AutoVAE"}}, "'AutoVAE' is not supported"),
    ],
)
def test_a_header_that_cannot_be_used(
    tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    path = tiny_base(tmp_path / "base.safetensors")
    size = int.from_bytes(path.read_bytes()[:8], "little")
    facts = json.loads(json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]["fbridge"])
    facts.update(change)
    facts = {key: value for key, value in facts.items() if value is not None}
    save_file(load_file(path), path, {"fbridge": json.dumps(facts)})
    with pytest.raises(CheckpointError, match=complaint):
        load_pretrained(str(path))


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    config = dict(tiny_transformer().config)
    weights = tiny_transformer().state_dict()
    weights["proj_in.weight"] = weights.pop("proj_out.weight")
    with pytest.raises(
        CheckpointError, match=r"1 tensors are missing \(such as proj_out\.weight\), 1 unknown"
    ):
        build(CogVideoXTransformer3DModel, config, weights, tmp_path / "x.safetensors")
    weights = tiny_transformer(num_layers=1).state_dict()
    weights["proj_out.bias"] = weights["proj_out.bias"][:3]
    with pytest.raises(CheckpointError, match=r"proj_out\.bias is \(3,\)"):
        build(CogVideoXTransformer3DModel, config, weights, tmp_path / "x.safetensors")


def test_a_pipeline_folder_of_diffusers(tmp_path: Path) -> None:
    base = load_pretrained(str(diffusers_folder(tmp_path / "cog")))
    assert same(base.transformer, tiny_transformer())
    assert base.noise_schedule == {"kind": "cogvideox", "snr_shift": 3.0}
    assert base.prediction == "v"
    assert base.sizes == [[64, 64]]
    assert base.frames == [8, 1, 8, 1]
    assert base.text_encoder == str(tmp_path / "cog")


def test_a_network_that_another_library_has_quantised_says_which(tmp_path: Path) -> None:
    config = diffusers_folder(tmp_path) / "transformer/config.json"
    held = json.loads(config.read_text())
    config.write_text(json.dumps({**held, "quantization_config": {"quant_method": "fourbits"}}))
    with pytest.raises(CheckpointError, match="says that fourbits has quantised its weights: inst"):
        load_pretrained(str(tmp_path))


def test_a_pair_of_networks_is_refused(tmp_path: Path) -> None:
    folder = diffusers_folder(tmp_path / "cog")
    index = {"_class_name": "WanPipeline", "transformer_2": ["diffusers", "WanTransformer3DModel"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(
        CheckpointError, match=r"two networks, which are not supported of cogvideox models"
    ):
        load_pretrained(str(folder))


def test_a_hub_id_is_fetched_and_names_its_words_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = diffusers_folder(tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(folder))
    base = load_pretrained("owner/cog")
    assert (base.name, base.text_encoder) == ("owner/cog", "owner/cog")
    assert base.hash == load_pretrained(str(folder)).hash
    (folder / "vae/config.json").write_text((folder / "vae/config.json").read_text() + " ")
    assert load_pretrained("owner/cog").hash != base.hash


def test_another_pipeline_is_refused(tmp_path: Path) -> None:
    folder = diffusers_folder(tmp_path / "cog")
    (folder / "model_index.json").write_text('{"_class_name": "MochiPipeline"}')
    with pytest.raises(CheckpointError, match=r"MochiPipeline is not supported.*CogVideoXPipeline"):
        load_pretrained(str(folder))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".ckpt"])
@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_weights_alone_with_components(tmp_path: Path, suffix: str, prefix: str) -> None:
    folder = diffusers_folder(tmp_path / "cog")
    for file in (folder / "transformer").glob("*.safetensors"):
        file.unlink()
    path = weights_alone(tmp_path / f"tuned{suffix}", prefix)
    base = load_pretrained(str(path), components=str(folder))
    assert same(base.transformer, tiny_transformer())
    assert base.noise_schedule == {"kind": "cogvideox", "snr_shift": 3.0}


def test_shards_by_their_index(tmp_path: Path) -> None:
    tiny_transformer(num_layers=3).save_pretrained(tmp_path, max_shard_size="40KB")
    (index,) = tmp_path.glob("*.index.json")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    found = read_weights(index)
    expected = tiny_transformer(num_layers=3).state_dict()
    assert found.keys() == expected.keys()
    min(tmp_path.glob("*.safetensors")).unlink()
    with pytest.raises(CheckpointError, match=r"1 of its \d shards are missing, such as diff"):
        read_weights(index)


@pytest.mark.parametrize("shard", ["40KB", "10GB"])
def test_a_transformers_own_folder_with_components(tmp_path: Path, shard: str) -> None:
    folder = diffusers_folder(tmp_path / "cog", num_layers=3)
    tiny_transformer(num_layers=3).save_pretrained(tmp_path / "tuned", max_shard_size=shard)
    base = load_pretrained(str(tmp_path / "tuned"), components=str(folder))
    assert same(base.transformer, tiny_transformer(num_layers=3))
    with pytest.raises(CheckpointError, match="weights only"):
        load_pretrained(str(tmp_path / "tuned"))
    last = max((tmp_path / "tuned").glob("*.safetensors"))
    data = bytearray(last.read_bytes())
    data[-1] ^= 1
    last.write_bytes(data)
    assert load_pretrained(str(tmp_path / "tuned"), components=str(folder)).hash != base.hash


def test_weights_alone_say_what_is_missing(tmp_path: Path) -> None:
    path = weights_alone(tmp_path / "tuned.safetensors")
    with pytest.raises(CheckpointError, match=r"weights only.*vae/.*--components"):
        load_pretrained(str(path))
    (tmp_path / "parts/transformer").mkdir(parents=True)
    (tmp_path / "parts/transformer/config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"lack vae/config\.json, scheduler/"):
        load_pretrained(str(path), components=str(tmp_path / "parts"))


class Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (exec, ("raise SystemExit('ran')",))


def test_pickled_code_is_never_run(tmp_path: Path) -> None:
    folder = diffusers_folder(tmp_path / "cog")
    for legacy in (False, True):
        path = tmp_path / "evil.ckpt"
        torch.save({"state_dict": Bomb()}, path, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(CheckpointError, match=r"evil\.ckpt: holds more than tensors"):
            load_pretrained(str(path), components=str(folder))
    path.write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match=r"evil\.ckpt"):
        load_pretrained(str(path), components=str(folder))
    torch.save({"step": 3}, path)
    with pytest.raises(CheckpointError, match="holds no weights"):
        load_pretrained(str(path), components=str(folder))


def test_the_embedded_model_is_a_base_that_is_a_bridge() -> None:
    base = load_pretrained("embedded")
    assert base.family.name == "space-time"
    assert base.scheduler is not None
    assert base.scheduler.config.prediction == "clean"
    assert base.prior is not None
    assert base.vae is None
    assert base.codec is not None
    assert base.codec.reads_text
    assert base.transformer.dtype == torch.float32


def test_from_scratch_there_is_a_preset_and_no_weights() -> None:
    base = load_pretrained("scratch:tiny")
    assert base.preset == "tiny"
    assert base.transformer is None
    assert base.codec is None
    assert base.hash == ""
    with pytest.raises(ConfigError, match=r"'latte-s'.*did you mean 'latte-s2'\?"):
        load_pretrained("scratch:latte-s")


@pytest.mark.parametrize("name", ["nowhere", "./missing", "no/such/thing/at/all"])
def test_a_base_that_is_not_there(name: str) -> None:
    with pytest.raises(CheckpointError, match=name):
        load_pretrained(name)


def test_a_base_tells_its_pipeline_parts(tmp_path: Path) -> None:
    base = load_pretrained(str(tiny_base(tmp_path / "base.safetensors")))
    assert isinstance(base, PretrainedModel)
    parts = base.components()
    assert parts["vae"] is base.vae
    assert "codec" not in parts
    assert parts["sizes"] == [[64, 64]]
    assert load_pretrained("embedded").components()["codec"] is not None


def test_a_saved_pipeline_is_a_base(tmp_path: Path) -> None:
    held = load_pretrained(str(tiny_base(tmp_path / "base.safetensors")))
    embedded = FrameBridgePipeline.from_pretrained("embedded")
    pipe = FrameBridgePipeline(
        **held.components(), transformer=held.transformer, scheduler=embedded.scheduler
    )
    pipe.save_pretrained(tmp_path / "run/model")
    again = load_pretrained(str(tmp_path / "run"))
    assert same(again.transformer, held.transformer)
    assert same(again.vae, held.vae)
    assert again.sizes == [[64, 64]]
    assert again.prior is None


def test_the_world_that_a_base_knows_passes_to_bridges(tmp_path: Path) -> None:
    world = "drawn shapes"
    path = str(tiny_base(tmp_path / "base.safetensors", world=world))
    base = load_pretrained(path)
    assert base.world == inspect_model(path).world == world
    assert FrameBridgePipeline.from_pretrained(path).world == world
    embedded = FrameBridgePipeline.from_pretrained("embedded")
    pipe = FrameBridgePipeline(
        **base.components(), transformer=base.transformer, scheduler=embedded.scheduler
    )
    pipe.save_pretrained(tmp_path / "model")
    run = str(tmp_path / "model")
    assert load_pretrained(run).world == inspect_model(run).world == world
    assert FrameBridgePipeline.from_pretrained(run).world == world
    assert embedded.world == load_pretrained("embedded").world == inspect_model("embedded").world
    assert embedded.world == PlainPipeline(locate.locate_model("embedded")).world == ""


def test_a_header_nested_too_deeply_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "base.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"fbridge": "[" * 100_000})
    with pytest.raises(CheckpointError, match=r"base\.safetensors: is broken or cut off"):
        load_pretrained(str(path))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"frames": None}, "'frames' is None where"),
        ({"frames": [1, 2, 3]}, "'frames' is"),
        ({"fps": "x"}, "'fps' is 'x' where a valid number is needed"),
        ({"sizes": [[1]]}, "'sizes.0' is"),
        ({"world": 3}, "'world' is 3 where text is needed"),
        ({"classes": [5]}, "'classes.0' is 5 where text is needed"),
        ({"start_from": {"mix": 1}}, "lacks 'start_from.kind'"),
        ({"reading": "x"}, "'reading' is 'x' where a valid list is needed"),
        ({"reading": [None]}, r"'reading' is \[None\] where a number of tokens is needed first"),
        ({"codec": []}, r"'codec' is \[\] where"),
        ({"prior": ["x"]}, r"'prior' is \['x'\] where"),
        ({"vae": [5, "x"]}, "'vae.0' is 5 where text is needed"),
    ],
)
def test_wrong_facts_of_a_bridges_folder_are_named(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    index = {"_class_name": "FrameBridgePipeline", "frames": [8, 2, 16, 1], "fps": 8.0}
    (tmp_path / "model_index.json").write_text(json.dumps({**index, **change}))
    for use in (inspect_model, FrameBridgePipeline.from_pretrained):
        with pytest.raises(CheckpointError, match=rf"model_index\.json: {told}"):
            use(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"start": "x"}, "'start' is 'x' where one of noised, exact, booted is needed"),
        ({"grid": None}, "'grid' is None where"),
        ({"sampler": []}, r"'sampler' is \[\] where"),
        ({"guidance_scale": "x"}, "'guidance_scale' is 'x' where"),
        ({"strength": 0}, "'strength' is 0 where"),
    ],
)
def test_wrong_defaults_of_a_bridge_are_named(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    index = {"_class_name": "FrameBridgePipeline", "frames": [8, 2, 16, 1], "fps": 8.0}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler/scheduler_config.json").write_text(json.dumps(change))
    with pytest.raises(CheckpointError, match=rf"scheduler_config\.json: {told}"):
        FrameBridgePipeline.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"base": 5}, "'base' is 5 where text is needed"),
        ({"parts": "x"}, "'parts' is 'x' where"),
        ({"scheduler": []}, r"'scheduler' is \[\] where a valid dictionary is needed"),
        ({"pipeline": {"fps": "x"}}, "'pipeline.fps' is 'x' where"),
    ],
)
def test_wrong_facts_of_an_adapter_are_named(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    card = {"base": "t2v.safetensors", "base_sha256": "0", "parts": 2, "scheduler": {}}
    (tmp_path / "adapter.json").write_text(json.dumps({**card, **change}))
    for use in (inspect_model, FrameBridgePipeline.from_pretrained):
        with pytest.raises(CheckpointError, match=rf"adapter\.json: {told}"):
            use(str(tmp_path))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """What the hub is asked for, and whether only its local cache; nothing is there."""
    names: list[tuple[str, bool]] = []

    def snapshot(name: str, *, local_files_only: bool = False, **_: Any) -> str:
        names.append((name, local_files_only))
        raise OSError("nothing is there")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    return names


def test_an_adapter_fetches_its_base_only_when_told(
    tmp_path: Path, asked: list[tuple[str, bool]]
) -> None:
    card = {"base": "stranger/base", "base_sha256": "0", "parts": 2, "scheduler": {}}
    (tmp_path / "adapter.json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="'stranger/base' is not in the hub's local cache"):
        FrameBridgePipeline.from_pretrained(tmp_path)
    assert asked == [("stranger/base", True)]
    with pytest.raises(CheckpointError, match="'stranger/base' cannot be had from the hub: noth"):
        FrameBridgePipeline.from_pretrained(tmp_path, download=True)
    with pytest.raises(CheckpointError, match="'mine/base' cannot be had from the hub"):
        FrameBridgePipeline.from_pretrained(tmp_path, base="mine/base")
    assert asked[1:] == [("stranger/base", False), ("mine/base", False)]


def test_a_file_fetches_its_text_encoder_only_when_told(
    tmp_path: Path, asked: list[tuple[str, bool]]
) -> None:
    path = tiny_base(tmp_path / "base.safetensors", text_encoder="stranger/words")
    with pytest.raises(
        CheckpointError, match=r"base\.safetensors: names its text encoder: .*--down"
    ):
        load_pretrained(str(path))
    assert asked == [("stranger/words", True)]
    assert load_pretrained(str(path), download=True).text_encoder == "stranger/words"
