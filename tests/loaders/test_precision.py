"""Layers that their class keeps in float32 stay so, whichever way a network is loaded or stored."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from fbridge.backbones.families import family_of
from fbridge.codecs.vae import VAECodec
from fbridge.conditioning.text import TextEncoder
from fbridge.config.tree import LoraConfig
from fbridge.loaders.codec import load_codec
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.lora import AdapterCard
from fbridge.loaders.text_encoder import load_text_encoder
from fbridge.pipeline import FrameBridgePipeline
from fbridge.train.export.lora import add_lora, save_lora
from fbridge.train.export.model_folder import cast_weights, save_model
from fbridge.train.setup.networks import adapt
from tests.pipelines import publish

HALVES = (torch.float16, torch.bfloat16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish("wan", tmp_path_factory.mktemp("wan"))


@pytest.fixture(scope="module")
def bridge(folder: Path) -> FrameBridgePipeline:
    return FrameBridgePipeline.from_pretrained(folder)


def exact(network: nn.Module) -> set[str]:
    """Names of the weights that are float32."""
    return {name for name, weight in network.named_parameters() if weight.dtype == torch.float32}


@pytest.mark.parametrize("dtype", HALVES)
def test_of_a_base_an_adapter_and_a_merged_model(
    folder: Path, bridge: FrameBridgePipeline, tmp_path: Path, dtype: torch.dtype
) -> None:
    base = load_pretrained(str(folder), dtype=dtype)
    kept = exact(base.transformer)
    assert {"scale_shift_table", "condition_embedder.time_embedder.linear_1.weight"} < kept
    assert not any("attn1" in name for name in kept)

    network = load_pretrained(str(folder)).transformer
    add_lora(network, rank=2)
    parts = family_of(network).extra_inputs(network)
    card = AdapterCard(str(folder), base.hash, parts, {"steps": 2})
    save_lora(tmp_path / "lora", network, card)
    save_model(bridge, tmp_path / "merged", dtype=dtype)
    for name in (tmp_path / "lora", tmp_path / "merged"):
        pipe = FrameBridgePipeline.from_pretrained(name, dtype=dtype)
        assert exact(pipe.transformer) == kept
        assert pipe.transformer.dtype == pipe.vae.dtype == dtype
        words = {"encoder.block.0.layer.1.DenseReluDense.wo.weight"}
        # T5's classes ask for it in float16 alone
        assert exact(pipe.text_encoder) == (words if dtype == torch.float16 else set())


def test_without_a_dtype_every_part_is_float32(
    folder: Path, bridge: FrameBridgePipeline, tmp_path: Path
) -> None:
    """Also a text encoder that is stored in half precision, which transformers would leave so."""
    save_model(bridge, tmp_path, dtype=torch.bfloat16)
    words = load_text_encoder(str(folder), dtype=torch.bfloat16)
    assert isinstance(words, TextEncoder)
    words.model.save_pretrained(tmp_path / "text_encoder")
    pipe = FrameBridgePipeline.from_pretrained(tmp_path)
    for part in (pipe.transformer, pipe.vae, pipe.text_encoder):
        assert len(exact(part)) == len(list(part.parameters()))


@pytest.mark.parametrize("dtype", HALVES)
def test_of_a_stored_model(bridge: FrameBridgePipeline, tmp_path: Path, dtype: torch.dtype) -> None:
    bridge.transformer.save_pretrained(tmp_path)
    cast_weights(tmp_path, dtype, kind=type(bridge.transformer))
    (file,) = tmp_path.glob("*.safetensors")
    held = {name for name, value in load_file(file).items() if value.dtype == torch.float32}
    assert len(held) == 11
    assert "blocks.1.scale_shift_table" in held


def test_of_a_frozen_base_in_training(folder: Path) -> None:
    network = load_pretrained(str(folder)).transformer
    kept = exact(load_pretrained(str(folder), dtype=torch.bfloat16).transformer)
    adapt(network, LoraConfig(rank=2), "bf16")
    frozen = {name.replace(".base_layer", "") for name in exact(network) if "lora_" not in name} - {
        "patch_embedding.weight",
        "patch_embedding.bias",
    }  # trained in full
    assert frozen == kept


def test_of_words_and_codec(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder = load_text_encoder(str(folder), dtype=torch.float16)
    assert isinstance(encoder, TextEncoder)
    assert [name.split(".")[-2] for name in exact(encoder.model)] == ["wo"]
    codec = load_codec(str(folder), device="cpu", dtype=torch.bfloat16).codec
    assert isinstance(codec, VAECodec)
    assert codec.vae.dtype == torch.bfloat16
    assert "inconsistent" not in caplog.text
