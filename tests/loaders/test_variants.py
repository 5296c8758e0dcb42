"""Folders whose weights are a variant or shards, or incomplete: every view says the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel

from fbridge.errors import CheckpointError
from fbridge.files.weight_files import find_variant, find_weight_file
from fbridge.loaders.inspect import inspect_model
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.locate import locate_file
from fbridge.loaders.text_encoder import load_text_encoder
from fbridge.memory.model_sizes import model_sizes
from fbridge.pipeline import FrameBridgePipeline
from tests.pipelines import publish

WEIGHTS = "diffusion_pytorch_model"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish("wan", tmp_path_factory.mktemp("variants") / "wan")


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "wan"))


def lacks(folder: Path, what: str) -> None:
    """Each view names the file."""
    assert inspect_model(str(folder)).missing == [what]
    with pytest.raises(CheckpointError, match=f"lacks {what.split('/')[0]}"):
        model_sizes(str(folder))
    with pytest.raises(CheckpointError):
        FrameBridgePipeline.from_pretrained(folder)


def test_a_variant_that_is_alone_is_used(folder: Path, published: Path) -> None:
    for path in list(folder.rglob("*.safetensors")):
        path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    assert find_variant(folder / "transformer") == "fp16"
    told, usual = inspect_model(str(folder)), inspect_model(str(published))
    assert (told.missing, told.parameters, told.differences) == ([], usual.parameters,
                                                                 usual.differences)  # fmt: skip
    assert model_sizes(str(folder)) == model_sizes(str(published))
    loaded, whole = load_pretrained(str(folder)), load_pretrained(str(published))
    for mine, theirs in ((loaded.transformer, whole.transformer), (loaded.vae, whole.vae)):
        held = mine.state_dict()
        assert all(torch.equal(held[key], value) for key, value in theirs.state_dict().items())
    assert load_text_encoder(str(folder)) is not None


def test_beside_the_usual_weights_a_variant_is_not_used(folder: Path) -> None:
    usual = folder / f"transformer/{WEIGHTS}.safetensors"
    usual.with_name(f"{WEIGHTS}.bf16.safetensors").write_bytes(b"broken")
    assert (find_weight_file(folder / "transformer"), find_variant(usual.parent)) == (usual, None)
    assert inspect_model(str(folder)).missing == []
    load_pretrained(str(folder / "transformer"), components=str(folder))


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_shards_and_what_is_missing_of_them(variant: str | None, folder: Path) -> None:
    place = folder / "transformer"
    net = WanTransformer3DModel.from_pretrained(place)
    shutil.rmtree(place)
    net.save_pretrained(place, variant=variant, max_shard_size="40KB")
    shards = sorted(place.glob("*.safetensors"))
    assert len(shards) > 1
    assert inspect_model(str(folder)).missing == []
    for name in (folder, place, shards[0]):
        held = load_pretrained(str(name), components=str(folder)).transformer.state_dict()
        assert all(torch.equal(held[key], value) for key, value in net.state_dict().items())
    shards[-1].rename(folder / "away")
    for view in (inspect_model, model_sizes, load_pretrained):
        with pytest.raises(CheckpointError, match=f"shards are missing, such as {shards[-1].name}"):
            view(str(folder))
    (index,) = place.glob("*index*")
    index.unlink()
    lacks(folder, "transformer/*.safetensors")
    with pytest.raises(CheckpointError, match=rf"one of {len(shards)} shards.*index.*{index.name}"):
        locate_file(str(shards[0]))


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ("vae/*.safetensors", "vae/*.safetensors"),
        ("text_encoder/*.safetensors", "text_encoder/*.safetensors"),
        ("tokenizer/tokenizer.json", "tokenizer/tokenizer.json"),
        ("scheduler/*.json", "scheduler/scheduler_config.json"),
    ],
)
def test_a_missing_part_is_told_by_every_view(gone: str, told: str, folder: Path) -> None:
    for path in folder.glob(gone):
        path.unlink()
    lacks(folder, told)
    net = folder / "transformer"
    assert inspect_model(str(net), components=str(folder)).missing != []
    with pytest.raises(CheckpointError, match=r"lack .*" + told.split("/")[0]):
        load_pretrained(str(net), components=str(folder))


def test_a_part_that_is_cut_off_is_told_too(folder: Path) -> None:
    path = folder / f"vae/{WEIGHTS}.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    for view in (inspect_model, model_sizes, load_pretrained):
        with pytest.raises(CheckpointError, match=r"vae/.* is broken or cut off"):
            view(str(folder))
