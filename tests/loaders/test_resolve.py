"""One answer to what a name means, of which loading, describing and sizing are views."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fbridge.errors import CheckpointError, ConfigError
from fbridge.loaders.inspect import inspect_model
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.lora import AdapterCard
from fbridge.loaders.resolve import resolve
from fbridge.memory.model_sizes import model_sizes
from fbridge.train.export.lora import add_lora, save_lora
from tests.bases import diffusers_folder, tiny_base, tiny_transformer, weights_alone
from tests.pipelines import publish
from tests.whole import save_whole, unet


def adapter(folder: Path) -> Path:
    net = tiny_transformer()
    add_lora(net, rank=2, alpha=2.0, dora=False, dropout=0.0, targets=("to_q",))
    save_lora(folder, net, AdapterCard("base", "0" * 64, 0, {"prediction": "aligned-v"}))
    return folder


def make(kind: str, folder: Path) -> Path:
    match kind:
        case "base":
            return tiny_base(folder / "base.safetensors")
        case "whole":
            return save_whole(folder / "whole", unet())
        case "weights":
            return weights_alone(diffusers_folder(folder / "cog") / "tuned.safetensors")
        case "shards":
            diffusers_folder(folder / "cog", num_layers=3)
            shutil.rmtree(folder / "cog/transformer")
            net = tiny_transformer(num_layers=3)
            net.save_pretrained(folder / "cog/transformer", max_shard_size="40KB")
            (index,) = (folder / "cog/transformer").glob("*.index.json")
            return index
        case "adapter":
            return adapter(folder / "run/lora").parent
        case "alone":
            tiny_base(folder / "only.safetensors")
            return folder
        case _:
            return publish("wan", folder / "wan")


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("base", "base"),
        ("alone", "base"),
        ("whole", "whole"),
        ("weights", "weights"),
        ("shards", "weights"),
        ("adapter", "adapter"),
        ("pipeline", "pipeline"),
    ],
)
def test_every_form_is_resolved_without_its_weights(
    form: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path / "cache"))
    path = make(form, tmp_path)

    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("weights are read")

    for place in ("fbridge.files.tensors.open_tensors", "fbridge.files.modules.load_folder"):
        monkeypatch.setattr(place, read)
    model = resolve(str(path))
    assert model.kind == kind
    assert model.missing == []
    told = inspect_model(str(path))
    assert (told.kind, told.path) == (kind, str(model.path))
    assert told.tensors > 0
    assert not (tmp_path / "cache").exists()
    if kind == "adapter":
        with pytest.raises(CheckpointError, match="its base: model 'base' is neither"):
            model_sizes(str(path))
        return
    sizes = model_sizes(str(path))
    assert (sizes.family, sizes.network) == (model.family, model.config)
    monkeypatch.undo()
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path / "cache"))
    loaded = load_pretrained(model)
    assert loaded.family is model.family
    assert sum(p.numel() for p in loaded.transformer.parameters()) == told.parameters
    assert (loaded.noise_schedule, loaded.prediction) == (told.noise, told.prediction)


def test_what_has_no_file_of_its_own() -> None:
    embedded = resolve("embedded")
    assert (embedded.kind, embedded.family.name, embedded.revision) == (
        "bridge",
        "space-time",
        None,
    )
    assert resolve("scratch:tiny").kind == "scratch"
    with pytest.raises(ConfigError, match="did you mean"):
        resolve("scratch:tin")
    for view in (inspect_model, model_sizes):
        with pytest.raises(CheckpointError, match="scratch:tiny: has no"):
            view("scratch:tiny")


def test_a_revision_is_asked_of_the_hub_unless_a_folder_has_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = publish("wan", tmp_path / "cache")
    asked = []

    def snapshot(name: str, *, allow_patterns: list[str], **options: Any) -> str:
        asked.append((name, options.get("revision"), "*.safetensors" in allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    monkeypatch.chdir(tmp_path)
    model = resolve("owner/wan@refs/pr/3", configs_only=True)
    assert (model.path, model.revision, model.remote) == (folder, "refs/pr/3", True)
    assert inspect_model("owner/wan@v1").path == "owner/wan@v1"
    base = load_pretrained("owner/wan@v1")
    assert base.text_encoder == "owner/wan@v1"
    assert asked == [
        ("owner/wan", "refs/pr/3", False), ("owner/wan", "v1", False), ("owner/wan", "v1", False),
        ("owner/wan", "v1", True),
    ]  # fmt: skip
    shutil.copytree(folder, tmp_path / "owner/wan@v1")
    here = resolve("owner/wan@v1")
    assert (here.path, here.revision, here.remote) == (Path("owner/wan@v1"), None, False)
    assert len(asked) == 4


def test_a_pair_without_its_second_network_lacks_it(tmp_path: Path) -> None:
    folder = publish("wan", tmp_path / "wan")
    index = folder / "model_index.json"
    held = json.loads(index.read_text())
    held |= {"transformer_2": held["transformer"], "boundary_ratio": 0.875}
    index.write_text(json.dumps(held))
    assert inspect_model(str(folder)).missing == ["transformer_2/config.json"]
    with pytest.raises(CheckpointError, match="transformer_2"):
        load_pretrained(str(folder))


@pytest.mark.parametrize("name", ["nowhere.safetensors", "sub/nowhere.gguf"])
def test_a_file_that_is_not_there_is_not_asked_of_the_hub(name: str) -> None:
    with pytest.raises(CheckpointError, match="there is no such file"):
        resolve(name)
