"""Codecs by name: every class from a saved folder, and what is said of folders that are broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fbridge.codecs.pixel import PixelCodec
from fbridge.codecs.scene_codec import SceneCodec
from fbridge.codecs.vae import VAE_KINDS, VAECodec
from fbridge.errors import CheckpointError
from fbridge.loaders.codec import fingerprint, load_codec
from tests import bases
from tests.codecs.vaes import tiny_vae

WEIGHTS = "diffusion_pytorch_model.safetensors"


def saved(folder: Path, kind: str = "AutoencoderKLWan", **options: Any) -> Path:
    tiny_vae(kind, **options).save_pretrained(folder)
    return folder


def latents(codec: Any) -> torch.Tensor:
    nothing = torch.zeros(1, 0, 8)
    clip = torch.rand(9, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    view = codec.view([clip[0]], nothing, nothing[..., 0].bool())
    mean: torch.Tensor = codec.encode([clip], view).mean
    return mean


@pytest.mark.parametrize("kind", list(VAE_KINDS))
def test_every_class_loads_from_its_folder(kind: str, tmp_path: Path) -> None:
    loaded = load_codec(str(saved(tmp_path, kind)), device="cpu")
    assert isinstance(loaded.codec, VAECodec)
    assert (loaded.kind, loaded.name, loaded.folder) == (kind, str(tmp_path), tmp_path)
    torch.testing.assert_close(latents(loaded.codec), latents(VAECodec(tiny_vae(kind))))
    assert not any(p.requires_grad for p in loaded.codec.vae.parameters())


def test_the_hash_is_of_weights_and_configuration(tmp_path: Path) -> None:
    one, two = (load_codec(str(saved(tmp_path / name)), device="cpu") for name in "ab")
    assert one.hash == two.hash
    assert len(one.hash) == 64
    data = bytearray((tmp_path / "b" / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (tmp_path / "b" / WEIGHTS).write_bytes(data)
    assert load_codec(str(tmp_path / "b"), device="cpu").hash != one.hash


def test_a_pipeline_folder_has_its_vae(tmp_path: Path) -> None:
    saved(tmp_path / "vae")
    (tmp_path / "model_index.json").write_text('{"_class_name": "WanPipeline"}')
    loaded = load_codec(str(tmp_path), device="cpu")
    assert (loaded.kind, loaded.folder) == ("AutoencoderKLWan", tmp_path / "vae")
    PixelCodec(8, 12).save_pretrained(tmp_path / "codec")
    own = load_codec(str(tmp_path), device="cpu")
    assert (own.kind, own.folder) == ("PixelCodec", tmp_path / "codec")
    assert not own.codec.reads_text


def test_the_embedded_codec() -> None:
    loaded = load_codec("embedded", device="cpu")
    assert isinstance(loaded.codec, SceneCodec)
    assert loaded.codec.reads_text
    assert loaded.codec.needs_picture
    assert len(loaded.hash) == 64


def test_precisions(tmp_path: Path) -> None:
    saved(tmp_path / "wan")
    half = load_codec(str(tmp_path / "wan"), device="cpu", dtype=torch.bfloat16).codec
    assert isinstance(half, VAECodec)
    assert half.vae.dtype == torch.bfloat16
    assert latents(half).dtype == torch.float32
    for upcast, dtype in ((True, torch.float32), (False, torch.float16)):
        saved(tmp_path / f"{upcast}", "AutoencoderKL", force_upcast=upcast)
        image = load_codec(str(tmp_path / f"{upcast}"), device="cpu", dtype=torch.float16).codec
        assert isinstance(image, VAECodec)
        assert image.vae.dtype == dtype


def test_a_hub_id_fetches_the_codec_and_the_index_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

    saved(tmp_path / "vae")
    files = ["model_index.json", "vae/config.json", f"vae/{WEIGHTS}", f"transformer/{WEIGHTS}",
             "vae/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.bin",
             "transformer/config.json", "code.py"]  # fmt: skip

    def snapshot(name: str, *, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        assert name == "owner/name"
        chosen = filter_repo_objects(
            files, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns
        )
        assert list(chosen) == ["model_index.json", "vae/config.json", f"vae/{WEIGHTS}"]
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert load_codec("owner/name", device="cpu").kind == "AutoencoderKLWan"


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot(*_: object, **__: object) -> str:
        raise OSError("no such repository\nmore words")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    with pytest.raises(
        CheckpointError, match=r"'owner/name' cannot be had .*no such repository; nor is"
    ):
        load_codec("owner/name", device="cpu")


@pytest.mark.parametrize("name", ["nowhere", "./missing/folder", "a/b/c"])
def test_a_codec_that_is_not_there(name: str) -> None:
    with pytest.raises(CheckpointError, match=f"{name}' is neither"):
        load_codec(name, device="cpu")


def refused(folder: Path, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        load_codec(str(folder), device="cpu")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_codec(tmp_path: Path) -> None:
    refused(tmp_path, r"holds no config\.json")
    (tmp_path / "config.json").write_text("{ not json")
    refused(tmp_path, "is no configuration")
    (tmp_path / "config.json").write_text("[1]")
    refused(tmp_path, "is no configuration")
    (tmp_path / "config.json").write_text('{"_class_name": "AutoencoderOobleck"}')
    refused(tmp_path, "'AutoencoderOobleck' .*known: MotionCodec.*AutoencoderKLWan")


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / WEIGHTS).rename(tmp_path / "diffusion_pytorch_model.bin")
    refused(tmp_path, r"\.bin only.*save_pretrained")
    (tmp_path / "diffusion_pytorch_model.bin").unlink()
    refused(tmp_path, f"{WEIGHTS} is missing")


def test_weights_that_are_broken(tmp_path: Path) -> None:
    saved(tmp_path)
    whole = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    refused(tmp_path, "is broken or cut off")
    (tmp_path / WEIGHTS).write_bytes(whole)
    tensors = load_file(tmp_path / WEIGHTS)
    tensors.pop("quant_conv.bias")
    save_file(tensors, tmp_path / WEIGHTS, {"format": "pt"})
    refused(tmp_path, r"incomplete: 1 missing, such as quant_conv\.bias")
    (tmp_path / WEIGHTS).write_bytes(whole)
    tensors = load_file(tmp_path / WEIGHTS)
    tensors["quant_conv.bias"][1] = torch.nan
    save_file(tensors, tmp_path / WEIGHTS, {"format": "pt"})
    refused(tmp_path, r"hold NaN or infinity \(quant_conv\.bias\); the file is damaged")


def test_a_configuration_of_another_network(tmp_path: Path) -> None:
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "base_dim": 8}))
    refused(tmp_path, "AutoencoderKLWan does not load")


def test_the_codec_of_a_base_in_one_file(tmp_path: Path) -> None:
    path = bases.tiny_base(tmp_path / "t2v.safetensors")
    loaded = load_codec(str(path), device="cpu")
    assert (loaded.kind, loaded.folder) == ("AutoencoderTiny", path)
    assert not any(p.requires_grad for p in loaded.codec.vae.parameters())  # type: ignore[attr-defined]
    video = torch.rand(2, 3, 16, 16)
    view = loaded.codec.view([video[0]], torch.zeros(1, 1, 384), torch.ones(1, 1).bool())
    own = VAECodec(bases.tiny_vae())
    assert torch.equal(loaded.codec.encode([video], view).mean, own.encode([video], view).mean)


def test_copies_of_a_codec_have_one_fingerprint(tmp_path: Path) -> None:
    path = bases.tiny_base(tmp_path / "t2v.safetensors")
    bases.tiny_vae().save_pretrained(tmp_path / "vae")
    file, folder = (load_codec(str(p), device="cpu") for p in (path, tmp_path / "vae"))
    half = load_codec(str(path), device="cpu", dtype=torch.float16)
    assert file.hash != folder.hash
    assert file.fingerprint == folder.fingerprint == half.fingerprint
    other = bases.tiny_vae()
    with torch.no_grad():
        next(other.parameters())[0] += 0.1
    assert fingerprint(VAECodec(other)) != file.fingerprint
    scaled = bases.tiny_vae()
    scaled.register_to_config(scaling_factor=0.5)
    assert fingerprint(VAECodec(scaled)) != file.fingerprint
