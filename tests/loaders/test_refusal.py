"""Models that cannot be used are refused by `info`, `doctor` and loading alike, by their names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from accelerate import init_empty_weights
from PIL import Image
from safetensors.torch import load_file, save_file

from fbridge.backbones.wan import FAMILY as WAN
from fbridge.errors import CheckpointError
from fbridge.loaders.detect import detect
from fbridge.loaders.inspect import inspect_model
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.resolve import resolve
from fbridge.memory.model_sizes import model_sizes
from fbridge.pipeline import FrameBridgePipeline
from tests import single_parts as parts
from tests.pipelines import publish

_DEEP = ("Wan", "LTX2", "Hunyuan", "Mochi", "Allegro", "AnyFlow", "MiniMax", "Consis")
"""Classes with the argument num_layers, whose default makes many."""
DIFFUSERS: list[tuple[str, str, dict[str, Any]]] = [
    ("WanVACETransformer3DModel", "is Wan VACE", {"vace_layers": [0]}),
    ("WanAnimateTransformer3DModel", "is Wan Animate", {}),
    ("WanTransformer3DModel", "is Wan's image-to-video", {"image_dim": 1280}),
    ("LTX2VideoTransformer3DModel", "is LTX-2", {}),
    ("HunyuanVideo15Transformer3DModel", "is HunyuanVideo-1.5", {}),
    ("HunyuanVideoFramepackTransformer3DModel", "is FramePack", {"has_clean_x_embedder": True}),
    ("HeliosTransformer3DModel", "is Helios", {}),
    ("Kandinsky5Transformer3DModel", "is Kandinsky 5", {}),
    ("SanaVideoTransformer3DModel", "is Sana", {}),
    ("MochiTransformer3DModel", "is Mochi", {}),
    ("AllegroTransformer3DModel", "is Allegro", {}),
    ("MotifVideoTransformer3DModel", "is Motif-Video", {}),
    ("AnyFlowTransformer3DModel", "is AnyFlow", {}),
    ("MiniMaxH3Transformer3DModel", "is MiniMax-H3", {}),
    ("Kandinsky6Transformer3DModel", "is Kandinsky 6", {}),
    ("Kandinsky6SRTransformer3DModel", "is Kandinsky 6", {}),
    ("Cosmos3OmniTransformer", "is Cosmos 3", {"num_hidden_layers": 2}),
    ("ConsisIDTransformer3DModel", "is ConsisID", {"is_train_face": True}),
    ("CosmosTransformer3DModel", "is Cosmos", {}),
    ("UNetSpatioTemporalConditionModel", "is Stable Video Diffusion", {}),
    ("I2VGenXLUNet", "is I2VGen-XL", {}),
    ("FluxTransformer2DModel", "is Flux", {}),
    ("UNet2DConditionModel", "is Stable Diffusion", {}),
    ("MotionAdapter", "is a motion module of AnimateDiff alone", {}),
]


PARTS: list[tuple[str, Callable[[], Mapping[str, torch.Tensor]]]] = [
    ("Wan's autoencoder", lambda: parts.wan_vae_names(parts.wan_vae().state_dict())),
    ("an autoencoder", lambda: parts.wan_vae().state_dict()),
    ("a T5 text encoder", lambda: parts.held_once(parts.text_encoder("t5"))),
    ("Wan's autoencoder", lambda: parts.wan22_vae_names(parts.wan22_vae().state_dict())),
]


@pytest.mark.parametrize(("name", "held"), PARTS)
def test_a_part_is_told_from_a_network_and_where_it_belongs(
    name: str, held: Callable[[], Mapping[str, torch.Tensor]]
) -> None:
    told = f"^is {name}, which is a part of a model and no network; name the network's file"
    with pytest.raises(CheckpointError, match=told):
        detect({key: tuple(tensor.shape) for key, tensor in held().items()})


@pytest.mark.parametrize(("kind", "told", "options"), DIFFUSERS, ids=[k for k, *_ in DIFFUSERS])
def test_models_that_are_not_supported_are_known_by_their_tensors(
    kind: str, told: str, options: dict[str, Any]
) -> None:
    layers = {"num_layers": 1} if kind.startswith(_DEEP) else {}
    with init_empty_weights():
        net = getattr(diffusers, kind)(**layers, **options)
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    for prefix in ("", "model.diffusion_model."):
        with pytest.raises(CheckpointError, match=told) as caught:
            detect({prefix + name: shape for name, shape in shapes.items()})
        assert "not supported; " in str(caught.value)


@pytest.mark.parametrize("channels", [36, 52])
def test_a_published_network_with_another_input(channels: int) -> None:
    with init_empty_weights():
        net = WAN.load_class().from_config({**WAN.variants[0].config, "in_channels": channels})
    found = detect({name: tuple(tensor.shape) for name, tensor in net.state_dict().items()})
    assert found.refused.startswith("is Wan 2.1 1.3B with another input (patch_embedding.weight is")
    assert "image-to-video and control models" in found.refused


def refusals(model: Path, components: Path | None = None) -> list[str]:
    """What each view says; `info` tells it, doctor and loading raise it."""
    parts = None if components is None else str(components)
    try:
        told = inspect_model(str(model), components=parts)
        found = [told.refused or told.unknown_bridge]
    except CheckpointError as error:
        found = [str(error)]
    for view in (load_pretrained, model_sizes):
        with pytest.raises(CheckpointError) as caught:
            view(str(model), components=parts)
        found.append(str(caught.value))
    return found


def image_to_video(name: str, folder: Path, kind: str, **change: Any) -> Path:
    """A pipeline of a class that is not text-to-video, with a network of that kind."""
    base = publish(name, folder / "base")
    pipe = diffusers.DiffusionPipeline.from_pretrained(base)
    config = {key: value for key, value in pipe.transformer.config.items() if key[0] != "_"}
    parts = {**pipe.components, "transformer": type(pipe.transformer)(**{**config, **change})}
    getattr(diffusers, kind)(**parts).save_pretrained(folder / "i2v")
    return folder / "i2v"


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("cogvideox", {"in_channels": 8, "use_learned_positional_embeddings": True,
                       "use_rotary_positional_embeddings": True}, "is CogVideoX-5b-I2V or like it"),
        ("cogvideox-1.5", {"in_channels": 8}, "is CogVideoX1.5-5B-I2V or like it"),
    ],
)  # fmt: skip
def test_cogvideox_image_to_video_is_no_bridge(
    name: str, change: dict[str, Any], told: str, tmp_path: Path
) -> None:
    folder = image_to_video(name, tmp_path, "CogVideoXImageToVideoPipeline", **change)
    for text in refusals(folder):
        assert "is an image-to-video model already (a CogVideoXImageToVideoPipeline)" in text
        assert text.endswith("take one of CogVideoXPipeline")
    inside = folder / "transformer"
    assert all("image-to-video model already" in text for text in refusals(inside, folder))
    shutil.move(inside, tmp_path / "alone")
    assert all(told in text for text in refusals(tmp_path / "alone", tmp_path / "base"))


def test_a_widened_cogvideox_of_another_shape_is_not_the_released_bridge(tmp_path: Path) -> None:
    folder = image_to_video("cogvideox", tmp_path, "CogVideoXPipeline", in_channels=8)
    told = inspect_model(str(folder))
    assert (told.refused, told.unknown_bridge[:12]) == ("", "is a cogvide")
    with pytest.raises(CheckpointError, match="image-to-video model of unknown kind"):
        FrameBridgePipeline.from_pretrained(folder)


@pytest.mark.parametrize(
    ("kind", "tokens"), [("LTXImageToVideoPipeline", 128), ("LTXConditionPipeline", 256)]
)
def test_ltx_image_to_video_has_the_text_to_video_network(
    kind: str, tokens: int, tmp_path: Path
) -> None:
    folder = image_to_video("ltx", tmp_path, kind)
    told = inspect_model(str(folder))
    assert (told.refused, told.tokens) == ("", tokens)
    alone = inspect_model(str(folder / "transformer"), components=str(folder))
    assert (alone.refused, alone.tokens) == ("", tokens)
    pipe = FrameBridgePipeline.from_pretrained(folder)
    assert pipe.config.reading[0] == tokens
    made = pipe(Image.new("RGB", (64, 64)), "a cat", num_frames=9, size=(64, 64),
                num_inference_steps=1)  # fmt: skip
    assert len(made.frames[0]) == 9


def test_the_configuration_beside_the_weights_decides(tmp_path: Path) -> None:
    folder = publish("wan", tmp_path / "wan")
    config = folder / "transformer/config.json"
    held = json.loads(config.read_text())
    config.write_text(json.dumps({**held, "_class_name": "LongVideoTransformer3DModel"}))
    told = refusals(folder / "transformer/diffusion_pytorch_model.safetensors", folder)
    assert all("is a LongVideoTransformer3DModel, as its config.json says" in text for text in told)
    config.write_text(json.dumps({**held, "num_layers": 3}))
    for model in (folder, folder / "transformer"):
        told = refusals(model, folder)
        assert all("tensors are missing (such as blocks.2.attn1" in text for text in told)


def test_a_folder_with_weights_that_its_class_lacks_is_another_network(tmp_path: Path) -> None:
    """FastWan's gates of sparse attention: diffusers would leave them out without a word."""
    folder = publish("wan", tmp_path / "wan")
    weights = folder / "transformer/diffusion_pytorch_model.safetensors"
    held = load_file(weights)
    save_file({**held, "rope.freqs": torch.ones(2)}, weights)  # a table, as older versions stored
    assert inspect_model(str(folder)).refused == ""
    gate = "blocks.0.attn1.to_gate_compress"
    save_file({**held, f"{gate}.weight": torch.ones(2, 2), f"{gate}.bias": torch.ones(2)}, weights)
    words = f"2 weights that a WanTransformer3DModel does not have (such as {gate}.bias)"
    assert all(words in text for text in refusals(folder))


def test_nothing_of_a_foreign_pipeline_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "WanImageToVideoPipeline"}')
    asked: list[list[str]] = []

    def snapshot(_: str, *, allow_patterns: list[str], **__: Any) -> str:
        asked.append(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    with pytest.raises(CheckpointError, match=r"take one of WanPipeline$"):
        resolve("owner/wan-i2v")
    assert len(asked) == 1
    assert "*.safetensors" not in asked[0]
