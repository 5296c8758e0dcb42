"""Large networks in little memory, by what diffusers, torchao and bitsandbytes have.

Offloading, slicing and attention change nothing but the rounding of sums; tiles of the autoencoder
overlap and differ a little at their seams; a network in eight or four bits is another one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from fbridge.backbones.families import family_of
from fbridge.codecs.vae import VAECodec
from fbridge.errors import ConfigError, DependencyError

Offload = Literal["none", "model", "group"]
Quantize = Literal["none", "int8", "nf4"]
Cast = Literal["none", "float8"]


@dataclass(frozen=True)
class MemoryOptions:
    """How a model is made to fit.

    Attributes:
        offload: "none"; "model": a network is on the device only while it works; "group": a layer
            is (slowest, and needs the least).
        quantize: the linear layers of the transformer's blocks in 8 bits (torchao's "int8") or 4
            (bitsandbytes' "nf4").
        cast: keep the transformer's weights in "float8", and compute in its own precision.
        attention: diffusers' name of a way to compute attention, such as "flash"; None is torch's.
        tiling: encode and decode large frames in overlapping tiles.
        slicing: encode and decode the videos of a batch one after another.
    """

    offload: Offload = "none"
    quantize: Quantize = "none"
    cast: Cast = "none"
    attention: str | None = None
    tiling: bool = False
    slicing: bool = False


def apply_memory_options(pipeline: Any, device: str, memory: MemoryOptions) -> None:
    """Make a pipeline small as told, and put it where it runs.

    Args:
        pipeline: a `fbridge.pipeline.FrameBridgePipeline`, on the CPU.
        device: where it runs.
        memory: how it is made to fit.

    Raises:
        ConfigError: the model has nothing that this could be done to.
        DependencyError: a package or an accelerator is missing.
    """
    shrink(pipeline.transformer, memory)
    if memory.attention is not None and device.startswith("cuda"):
        _check_precision(pipeline.transformer, memory.attention)
    if memory.tiling or memory.slicing:
        _part(pipeline.latent_codec, memory)
    if memory.offload == "model":
        _need_accelerator(device)
        pipeline.enable_model_cpu_offload(device=device)
    elif memory.offload == "group":
        _by_groups(pipeline, torch.device(device))
    else:
        pipeline.to(device)


def shrink(transformer: Any, memory: MemoryOptions) -> None:
    """Quantise, cast and choose the attention of a network, in place.

    Raises:
        ConfigError: it has no such attention, or two ways to keep weights are asked for.
        DependencyError: a package is missing.
    """
    if memory.quantize != "none" and memory.cast != "none":
        raise ConfigError(
            f"quantize {memory.quantize} and cast {memory.cast}: weights are kept in one way; "
            "choose one"
        )
    if memory.quantize == "int8":
        _in_eight_bits(transformer)
    elif memory.quantize == "nf4":
        _in_four_bits(transformer)
    elif memory.cast == "float8":
        dtype = transformer.dtype
        transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)
    if memory.attention is not None:
        _attend(transformer, memory.attention)


def _in_eight_bits(transformer: Any) -> None:
    try:
        from torchao.quantization import Int8WeightOnlyConfig, quantize_
    except ImportError as error:
        raise DependencyError("quantize int8 needs torchao: pip install torchao") from error
    chosen = {name for name, _ in family_of(transformer).quantizable_layers(transformer)}
    quantize_(transformer, Int8WeightOnlyConfig(), filter_fn=lambda _, name: name in chosen)


def _in_four_bits(transformer: Any) -> None:
    try:
        from bitsandbytes.nn import Linear4bit, Params4bit
    except ImportError as error:
        raise DependencyError(
            "quantize nf4 needs bitsandbytes: pip install bitsandbytes"
        ) from error
    for name, layer in family_of(transformer).quantizable_layers(transformer):
        dtype = layer.weight.dtype
        small = Linear4bit(
            layer.in_features, layer.out_features, bias=layer.bias is not None,
            compute_dtype=dtype, quant_type="nf4", device="meta",
        )  # fmt: skip
        small.weight = Params4bit(layer.weight.detach(), requires_grad=False, quant_type="nf4")
        small.bias = layer.bias
        home, _, last = name.rpartition(".")
        setattr(transformer.get_submodule(home), last, small.to(layer.weight.device))


def _attend(transformer: Any, name: str) -> None:
    from diffusers.models.attention_dispatch import AttentionBackendName, attention_backend

    known = [backend.value for backend in AttentionBackendName]
    if name not in known:
        raise ConfigError(f"attention {name!r} is unknown; known: {', '.join(known)}")
    if not any(hasattr(getattr(part, "processor", None), "_attention_backend")
               for part in transformer.modules()):  # fmt: skip
        raise ConfigError(
            f"attention {name}: a {type(transformer).__name__} computes its own way and no "
            "other; leave it out"
        )
    if family_of(transformer).attention_mask and _knows_no_masks(name):
        raise ConfigError(
            f"attention {name}: takes no masks, which the words of a {type(transformer).__name__} "
            "need; leave it out"
        )
    try:
        with attention_backend("native"):  # diffusers would choose it for all other networks too
            transformer.set_attention_backend(name)
    except (RuntimeError, ImportError, ValueError, AttributeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise DependencyError(f"attention {name}: cannot be used here: {reason}") from error


def _check_precision(transformer: Any, name: str) -> None:
    if _knows_no_masks(name) and transformer.dtype == torch.float32:
        raise ConfigError(
            f"attention {name}: computes in half precision only; add --dtype bfloat16, or leave it "
            "out"
        )


_knows_no_masks = re.compile(r"_?(native_)?(flash|sage)(?!.*varlen)").match


def _part(codec: Any, memory: MemoryOptions) -> None:
    if not isinstance(codec, VAECodec):
        raise ConfigError(
            f"tiling and slicing are of autoencoders; this model has a {type(codec).__name__}"
        )
    if memory.tiling and not codec.tile() and not codec.vae.use_tiling:
        raise ConfigError(f"tiling: diffusers has no tiles for this {type(codec.vae).__name__}")
    if memory.slicing:
        codec.vae.enable_slicing()


_OFFLOADED = ("transformer", "text_encoder", "text_encoder_2", "image_encoder")


def _by_groups(pipeline: Any, device: torch.device) -> None:
    """The large networks layer by layer, the others where they run."""
    for name, component in pipeline.components.items():
        if not isinstance(component, nn.Module):
            continue
        if name in _OFFLOADED:
            from diffusers.hooks import apply_group_offloading

            apply_group_offloading(
                component,
                onload_device=device,
                offload_device=torch.device("cpu"),
                offload_type="leaf_level",
                use_stream=device.type == "cuda",
            )
        else:
            component.to(device)


def _need_accelerator(device: str) -> None:
    if device == "cpu":
        raise DependencyError(
            "offload model moves networks between memory and an accelerator; on the CPU leave it "
            "out"
        )
