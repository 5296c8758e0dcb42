"""Autoencoders and text encoders in single files are components; each is found by its tensors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fbridge.errors import CheckpointError
from fbridge.files.configs import read_json
from fbridge.loaders.codec import load_codec
from fbridge.loaders.compose import compose
from fbridge.loaders.inspect import inspect_model
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.parts import find_part, known_parts
from fbridge.loaders.resolve import resolve
from fbridge.loaders.text_encoder import hash_text_encoder, load_text_encoder
from fbridge.memory.model_sizes import model_sizes
from tests import single_parts as parts
from tests.nine_words import t5_tokenizer
from tests.pipelines import publish

KEY = "decoder.conv_in.weight"
T5_KEYS = "encoder.block.0.layer.0.SelfAttention.q.weight"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A network with its configuration, in ComfyUI's folders, and the tokenizer beside it."""
    published = publish("wan", tmp_path / "published")
    home = tmp_path / "models"
    for name in ("diffusion_models", "vae", "text_encoders"):
        (home / name).mkdir(parents=True)
    shutil.copy(published / "transformer/config.json", home / "diffusion_models")
    shutil.copy(
        published / "transformer/diffusion_pytorch_model.safetensors",
        home / "diffusion_models/wan.safetensors",
    )
    t5_tokenizer().save_pretrained(home / "text_encoders/tokenizer")
    return home


def put(path: Path, held: dict[str, torch.Tensor]) -> Path:
    held = {name: tensor.clone().contiguous() for name, tensor in held.items()}
    torch.save(held, path) if path.suffix == ".pth" else save_file(held, path)
    return path


def test_files_in_comfyuis_folders_are_the_components(home: Path, cache: Path) -> None:
    vae, words = parts.wan_vae(), parts.text_encoder("umt5")
    put(home / "vae/wan_2.1_vae.safetensors", parts.wan_vae_names(vae.state_dict()))
    put(home / "text_encoders/umt5_fp8_scaled.safetensors", parts.scaled(parts.held_once(words)))
    model = str(home / "diffusion_models/wan.safetensors")
    found = resolve(model)
    folder = found.components
    assert folder is not None
    assert folder.is_relative_to(cache)
    assert (found.refused, found.missing) == ("", [])
    model_sizes(model)
    base = load_pretrained(model)
    codec: Any = base.codec
    held = codec.vae.state_dict()
    assert all(torch.equal(held[name], tensor) for name, tensor in vae.state_dict().items())
    encoder: Any = load_text_encoder(base.text_encoder)
    near, exact = encoder.model.state_dict(), words.state_dict()
    gaps = [float((near[k] - exact[k]).norm() / exact[k].norm()) for k in exact]
    assert 0 < max(gaps) < 0.05
    assert encoder.reading.max_tokens == 512  # as Wan's pipeline reads prompts
    assert encoder(["a cat"])[0].shape == (1, 3, 16)
    assert len(list(folder.rglob("original.*"))) == 2
    assert resolve(model).components == folder
    before = hash_text_encoder(base.text_encoder), load_codec(str(folder), device="cpu").hash
    put(home / "text_encoders/umt5_fp8_scaled.safetensors", parts.held_once(words))
    again = str(resolve(model).components)
    assert hash_text_encoder(again) != before[0]
    assert load_codec(again, device="cpu").hash == before[1]


def test_the_short_ending_of_safetensors_is_as_good(home: Path) -> None:
    vae, words = parts.wan_vae(), parts.text_encoder("umt5")
    held = put(home / "vae/ae.sft", parts.wan_vae_names(vae.state_dict()))
    put(home / "text_encoders/umt5.sft", parts.held_once(words))
    model = (home / "diffusion_models/wan.safetensors").rename(home / "diffusion_models/wan.sft")
    base = load_pretrained(str(model))
    codec: Any = base.codec
    assert torch.equal(codec.vae.state_dict()[KEY], vae.state_dict()[KEY])
    assert load_text_encoder(base.text_encoder)(["a cat"])[0].shape == (1, 3, 16)
    assert load_codec(str(held), device="cpu").hash


def test_the_makers_own_files(home: Path) -> None:
    vae, words = parts.wan_vae(), parts.text_encoder("umt5")
    place = home / "diffusion_models"
    put(place / "Wan2.1_VAE.pth", parts.wan_vae_names(vae.state_dict()))
    put(place / "models_t5_umt5-xxl-enc-bf16.pth", parts.wan_names(parts.held_once(words)))
    (place / "google").mkdir()
    (home / "text_encoders/tokenizer").rename(place / "google/umt5-xxl")
    base = load_pretrained(str(place / "wan.safetensors"))
    encoder: Any = load_text_encoder(base.text_encoder)
    exact = words.state_dict()
    assert all(torch.equal(encoder.model.state_dict()[k], exact[k]) for k in exact)
    codec: Any = base.codec
    assert torch.equal(codec.vae.state_dict()["quant_conv.bias"], vae.quant_conv.bias)


@torch.no_grad()
def test_a_text_encoder_in_gguf(home: Path) -> None:
    gguf = pytest.importorskip("gguf")
    words = parts.text_encoder("umt5")
    put(home / "text_encoders/vae.safetensors", parts.wan_vae_names(parts.wan_vae().state_dict()))
    path = home / "text_encoders/umt5-xxl-encoder-F16.gguf"
    writer = gguf.GGUFWriter(path, "t5encoder")
    for name, tensor in parts.gguf_names(parts.held_once(words)).items():
        writer.add_tensor(name, tensor.half().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model = str(home / "diffusion_models/wan.safetensors")
    for components in (None, str(path)):
        base = load_pretrained(model, components=components)
        encoder: Any = load_text_encoder(base.text_encoder)
        exact = words.state_dict()
        assert encoder.model.state_dict().keys() == exact.keys()
        for key, tensor in encoder.model.state_dict().items():
            assert torch.equal(tensor, exact[key].half().float()), key
    first = hash_text_encoder(base.text_encoder)
    path.rename(path.with_name("model.gguf"))  # in a folder, known by its name alone
    with pytest.raises(CheckpointError, match="text_encoder"):
        load_pretrained(model)
    again = load_pretrained(model, components=str(path.with_name("model.gguf")))
    assert hash_text_encoder(again.text_encoder) == first


def test_wan_22s_autoencoder(tmp_path: Path) -> None:
    from fbridge.backbones.wan import FAMILY

    vae = parts.wan22_vae()
    put(tmp_path / "Wan2.2_VAE.pth", parts.wan22_vae_names(vae.state_dict()))
    put(tmp_path / "Wan2.1_VAE.pth", parts.wan_vae_names(parts.wan_vae().state_dict()))
    folder = compose([tmp_path], FAMILY, ["vae/config.json"], 48)
    assert folder is not None
    codec: Any = load_codec(str(folder), device="cpu").codec
    assert (codec.spatial, len(codec.vae.config.latents_std)) == (16, 48)
    alone = load_codec(str(tmp_path / "Wan2.2_VAE.pth"), device="cpu")
    assert alone.fingerprint == load_codec(str(folder), device="cpu").fingerprint
    clip = torch.rand(1, 3, 5, 32, 32)
    assert torch.equal(
        codec.vae.encode(clip).latent_dist.mode(), vae.encode(clip).latent_dist.mode()
    )
    with pytest.raises(CheckpointError, match="2 files hold Wan"):
        compose([tmp_path], FAMILY, ["vae/config.json"], None)


def test_a_named_file_or_folder(home: Path, tmp_path: Path) -> None:
    model = str(home / "diffusion_models/wan.safetensors")
    away = tmp_path / "away"
    away.mkdir()
    vae = put(away / "vae.safetensors", parts.wan_vae_names(parts.wan_vae().state_dict()))
    with pytest.raises(CheckpointError, match=r"vae \(vae\.safetensors\) lie.*and text_encoder"):
        load_pretrained(model, components=str(vae))
    put(away / "umt5.safetensors", parts.held_once(parts.text_encoder("umt5")))
    (home / "text_encoders/tokenizer").rename(away / "tokenizer")
    folders = {load_pretrained(model, components=str(each)).text_encoder for each in (vae, away)}
    assert len(folders) == 1
    told = inspect_model(model, components=str(away))
    assert (told.missing, told.refused) == ([], "")
    put(away / "other.safetensors", parts.held_once(parts.text_encoder("umt5")))
    with pytest.raises(CheckpointError, match="2 files hold UMT5's encoder: "):
        load_pretrained(model, components=str(away))
    for path in (
        home / "diffusion_models/wan.safetensors",
        tmp_path / "published/model_index.json",
    ):
        with pytest.raises(
            CheckpointError, match="is no single file of an autoencoder or text enc"
        ):
            load_pretrained(model, components=str(path))


def test_a_vocabulary_in_the_file_is_taken_and_a_folders_goes_before_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fbridge.backbones.wan import FAMILY

    words = parts.held_once(parts.text_encoder("umt5"))
    bytes_of_it = torch.tensor(list(b"\x0a\x03abc"), dtype=torch.uint8)
    put(home / "text_encoders/umt5.safetensors", {**words, "spiece_model": bytes_of_it})
    put(home / "vae/vae.safetensors", parts.wan_vae_names(parts.wan_vae().state_dict()))
    folder = compose([home, home / "text_encoders"], FAMILY, FAMILY.required_files, 16)
    assert folder is not None
    assert not (folder / "tokenizer/spiece.model").exists()
    shutil.rmtree(home / "text_encoders/tokenizer")
    folder = compose([home, home / "text_encoders"], FAMILY, FAMILY.required_files, 16)
    assert folder is not None
    assert (folder / "tokenizer/spiece.model").read_bytes() == b"\x0a\x03abc"
    assert read_json(folder / "tokenizer/tokenizer_config.json")["tokenizer_class"] == "T5Tokenizer"
    monkeypatch.setattr("fbridge.loaders.text_encoder.find_spec", lambda _: None)
    with pytest.raises(CheckpointError, match="pip install sentencepiece"):
        load_text_encoder(str(folder))


def test_parts_are_told_by_their_tensors() -> None:
    def name(family: str, folder: str, held: dict[str, torch.Tensor]) -> str:
        shapes = {key: tuple(tensor.shape) for key, tensor in held.items()}
        part = find_part(shapes, known_parts(family, folder))
        return "" if part is None else part.name

    umt5, t5 = (parts.held_once(parts.text_encoder(kind)) for kind in ("umt5", "t5"))
    assert name("wan", "text_encoder", umt5) == "UMT5's encoder"
    assert name("wan", "text_encoder", t5) == ""
    assert name("ltx", "text_encoder", t5) == "T5's encoder"
    assert name("ltx", "text_encoder", umt5) == ""
    for kind, held in (("UMT5", umt5), ("T5", t5)):
        family, other = ("wan", "ltx") if held is umt5 else ("ltx", "wan")
        assert name(family, "text_encoder", parts.gguf_names(held)) == f"{kind}'s encoder in GGUF"
        assert name(other, "text_encoder", parts.gguf_names(held)) == ""
    assert name("wan", "text_encoder", parts.wan_names(umt5)) == "UMT5's encoder under Wan's names"
    assert name("wan", "vae", dict(parts.wan_vae().state_dict())) == ""


def test_t5_beside_a_whole_ltx_pipeline_without_one(tmp_path: Path) -> None:
    published = publish("ltx", tmp_path / "ltx")
    words = parts.text_encoder("t5")
    shutil.rmtree(published / "text_encoder")
    own = put(tmp_path / "t5xxl_fp16.safetensors", parts.held_once(words))
    own.rename(published / own.name)
    file = published / "transformer/diffusion_pytorch_model.safetensors"
    base = load_pretrained(str(file), components=str(published))
    encoder: Any = load_text_encoder(base.text_encoder)
    assert torch.equal(encoder.model.state_dict()[T5_KEYS], words.state_dict()[T5_KEYS])
    assert encoder.reading.padded
    assert load_file(file).keys() == base.transformer.state_dict().keys()


def test_a_file_that_looks_like_a_part_and_is_none(home: Path) -> None:
    held = parts.wan_vae_names(parts.wan_vae().state_dict())
    del held["conv2.weight"]
    put(home / "vae/vae.safetensors", held)
    with pytest.raises(CheckpointError, match=r"vae\.safetensors: looks like Wan 2\.1's autoe"):
        load_pretrained(str(home / "diffusion_models/wan.safetensors"))
