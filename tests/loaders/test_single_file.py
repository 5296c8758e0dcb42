"""A whole model's one file, taken apart: each part computes what its makers' own does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextModel, CLIPVisionModel

from fbridge.conditioning.clip_tokenizer import TOKENS
from fbridge.conditioning.image import MEAN, STD, encode_images
from fbridge.errors import CheckpointError
from fbridge.loaders.codec import load_codec
from fbridge.loaders.inspect import inspect_model
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.single_file import unpack
from fbridge.loaders.text_encoder import load_text_encoder
from tests.nine_words import t5_tokenizer
from tests.whole import Sight, Words, autoencoder, bridge_table, bridge_unet, save_whole, unet


@pytest.fixture
def bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(1)
    tables = {"bridge_coef_x0": bridge_table()}
    return save_whole(tmp_path / "whole", bridge_unet(), tables=tables)


def parts_of(file: Path) -> dict[str, Any]:
    """Theirs, with the file's weights."""
    held = torch.load(file, weights_only=True)["state_dict"]
    words, sight = Words().eval(), Sight().eval()
    for part, place in ((words, "cond_stage_model.model."), (sight, "embedder.model.visual.")):
        part.load_state_dict({k[len(place) :]: v for k, v in held.items() if k.startswith(place)})
    return {"words": words, "sight": sight}


@torch.no_grad()
def test_every_part_is_what_it_was(bridge: Path) -> None:
    home = unpack(bridge)
    theirs = parts_of(bridge)
    numbers = torch.randint(0, 9, (2, TOKENS), generator=torch.Generator().manual_seed(2))
    words = CLIPTextModel.from_pretrained(home / "text_encoder").eval()
    found = words(input_ids=numbers).last_hidden_state
    assert torch.allclose(found, theirs["words"](numbers), atol=1e-5)

    sight = CLIPVisionModel.from_pretrained(home / "image_encoder").eval()
    picture = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    sized = torch.nn.functional.interpolate(picture, (56, 56), mode="bicubic", align_corners=True)
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (MEAN, STD))
    assert torch.allclose(
        encode_images(sight, picture), theirs["sight"]((sized - mean) / std), atol=1e-4
    )

    torch.manual_seed(5)
    vae, again = autoencoder(), AutoencoderKL.from_pretrained(home / "vae").eval()
    assert torch.equal(
        vae.encode(picture).latent_dist.mode(), again.encode(picture).latent_dist.mode()
    )
    latents = torch.randn(1, 4, 8, 8)
    assert torch.equal(vae.decode(latents).sample, again.decode(latents).sample)
    assert again.config["scaling_factor"] == 0.18215


@torch.no_grad()
def test_prompts_are_read_as_its_makers_read_them(bridge: Path) -> None:
    """77 tokens, filled, and the fillers are words like all others."""
    encoder = load_text_encoder(str(unpack(bridge)))
    text, mask = encoder(["a cat"])
    assert mask.shape == (1, 77)
    assert mask.all()
    numbers = torch.tensor([[3, 4, 1] + [0] * 74])
    assert torch.allclose(text, parts_of(bridge)["words"](numbers), atol=1e-5)


@torch.no_grad()
def test_fillers_are_number_nought_whatever_a_tokenizer_says(bridge: Path) -> None:
    tokenizer = t5_tokenizer(77)
    tokenizer.pad_token = "dog"
    tokenizer.save_pretrained(bridge.parent / "tokenizer")
    text, _ = load_text_encoder(str(unpack(bridge)))(["a cat"])
    numbers = torch.tensor([[3, 4, 1] + [0] * 74])
    assert torch.allclose(text, parts_of(bridge)["words"](numbers), atol=1e-5)


def test_it_is_unpacked_once_and_survives_what_comes_between(bridge: Path) -> None:
    home = unpack(bridge)
    first = {path: path.stat().st_mtime_ns for path in home.rglob("*.safetensors")}
    assert len(first) == 3
    (home / "vae.1234abcd").mkdir()  # of a process that was killed
    shutil.rmtree(home / "text_encoder")
    assert unpack(bridge) == home
    later = {path: path.stat().st_mtime_ns for path in home.rglob("*.safetensors")}
    assert later.keys() == first.keys()
    changed = [path.parent.name for path in first if first[path] != later[path]]
    assert changed == ["text_encoder"]


def test_the_vocabulary_is_all_that_is_missing(bridge: Path) -> None:
    assert inspect_model(str(bridge)).missing == []
    shutil.rmtree(bridge.parent / "tokenizer")
    assert inspect_model(str(bridge)).missing == ["tokenizer/tokenizer_config.json"]
    with pytest.raises(CheckpointError, match="fbridge weights fetch clip-merges"):
        load_pretrained(str(bridge))


def test_another_vocabulary_takes_the_place_of_what_was_unpacked(bridge: Path) -> None:
    home = unpack(bridge)
    before = (home / "tokenizer/tokenizer.json").read_text()
    shutil.rmtree(bridge.parent / "tokenizer")
    assert unpack(bridge) == home  # what was unpacked will do
    tokenizer = t5_tokenizer(5)
    tokenizer.save_pretrained(bridge.parent / "other/tokenizer")
    assert unpack(bridge, str(bridge.parent / "other")) == home
    assert "5" in (home / "tokenizer/tokenizer_config.json").read_text()
    assert (home / "tokenizer/tokenizer.json").read_text() == before


def test_components_that_are_of_no_use_are_not_passed_over(bridge: Path, tmp_path: Path) -> None:
    for given in ("nowhere", str(tmp_path)):
        with pytest.raises(CheckpointError, match=r"lack vae/.*leave --components out"):
            load_pretrained(str(bridge), components=given)


def test_another_models_vocabulary_is_refused(bridge: Path) -> None:
    shutil.rmtree(bridge.parent / "tokenizer")
    tokenizer = t5_tokenizer(77)
    tokenizer.add_tokens(["one", "more"])
    tokenizer.save_pretrained(bridge.parent / "tokenizer")
    with pytest.raises(CheckpointError, match="knows 11 words, and the text encoder 9"):
        unpack(bridge)


def test_clips_own_vocabulary_is_made_of_its_merges(
    bridge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(bridge.parent / "tokenizer")
    merges = tmp_path / "merges.txt"
    merges.write_text("#version: 0.2\nc a\nca t</w>\n")
    monkeypatch.setenv("FBRIDGE_CLIP_MERGES", str(merges))
    with pytest.raises(CheckpointError, match="merges"):  # not the genuine ones
        unpack(bridge)
    monkeypatch.setattr("fbridge.loaders.open_clip.read_file", lambda _, path: path.read_bytes())
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(unpack(bridge) / "tokenizer")
    told = tokenizer("A  CAT", padding="max_length", truncation=True)["input_ids"]
    start, end = 514, 515
    assert told[:4] == [start, 64 + 256, 513, end]
    assert told[4:] == [end] * 73  # and read as 0, see `Reading.filler`
    loud = tokenizer("!!")["input_ids"]
    assert loud == [start, 0, 256, end]  # "!" is a letter like others
    long = tokenizer("cat " * 100, padding="max_length", truncation=True)["input_ids"]
    assert (len(long), long[0], long[-1]) == (77, start, end)


def test_a_full_disk_leaves_nothing_half_written(
    bridge: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transformers.CLIPTextModel.save_pretrained", full)
    with pytest.raises(CheckpointError, match=r"No space left.*FBRIDGE_CACHE"):
        unpack(bridge)
    home = next((tmp_path / "cache/unpacked").iterdir())
    assert sorted(path.name for path in home.iterdir()) == ["vae"]


@pytest.mark.parametrize("deepspeed", [False, True])
def test_it_is_a_base_and_a_codec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, deepspeed: bool
) -> None:
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path / "cache"))
    line = torch.cat([torch.linspace(1, 0.6, 400), torch.full((600,), 0.6)])
    file = save_whole(
        tmp_path / "t2v", unet(rate=28), deepspeed=deepspeed, tables={"scale_arr": line}
    )
    base = load_pretrained(str(file))
    assert base.noise_schedule is not None
    assert base.noise_schedule["signal_scale"] == pytest.approx([0.6, 400])
    assert (base.prediction, base.fps, base.image_encoder) == ("noise", 10.0, None)
    assert (
        load_codec(str(file), device="cpu").fingerprint
        == load_codec(base.text_encoder, device="cpu").fingerprint
    )


def test_a_file_of_a_network_alone_is_no_codec(tmp_path: Path) -> None:
    torch.save(unet().state_dict(), tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="holds no autoencoder"):
        load_codec(str(tmp_path / "net.pt"), device="cpu")


def test_what_a_cut_file_lacks_is_named_before_much_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path / "cache"))
    file = save_whole(tmp_path, unet())
    held = torch.load(file, weights_only=True)["state_dict"]
    for lost, told in (
        (
            "first_stage_model.decoder.conv_out.weight",
            r"cut\.ckpt: its autoencoder lacks 'decoder.conv_out.weight'",
        ),
        ("model.diffusion_model.middle_block.1.norm.weight", "middle_block.1.norm.weight is miss"),
    ):
        torch.save({k: v for k, v in held.items() if k != lost}, tmp_path / "cut.ckpt")
        with pytest.raises(CheckpointError, match=told):
            load_pretrained(str(tmp_path / "cut.ckpt"))
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
