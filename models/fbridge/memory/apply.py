"""Apply `MemoryOptions` to a pipeline, with diffusers, torchao and bitsandbytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from fbridge.backbones.families import family_of
from fbridge.codecs.vae import VAECodec
from fbridge.errors import ConfigError, DependencyError, reason
from fbridge.memory.float8 import ScaledLinear
from fbridge.memory.options import MemoryOptions, parse_step_cache
from fbridge.memory.step_cache import enable_step_cache


def apply_memory_options(pipeline: Any, device: str, memory: MemoryOptions) -> None:
    """Apply the options to a `fbridge.pipeline.FrameBridgePipeline` and move it to its device.

    Args:
        pipeline: on the CPU.
        device: where it will run, such as "cpu" or "cuda:0".
        memory: the options.

    Raises:
        ConfigError: the model does not support an option.
        DependencyError: a package or an accelerator is missing.
    """
    for network in filter(None, (pipeline.transformer, pipeline.transformer_2)):
        shrink(network, memory)
        if cache := parse_step_cache(memory.cache):
            enable_step_cache(network, cache)
    if memory.attention is not None and device.startswith("cuda"):
        _check_precision(pipeline.transformer, memory.attention)
    if memory.tiling or memory.slicing:
        _tile_and_slice(pipeline.latent_codec, memory)
    if memory.offload == "model":
        _check_accelerator(device)
        pipeline.enable_model_cpu_offload(device=device)
    elif memory.offload == "group":
        _offload_groups(pipeline, torch.device(device))
    else:
        pipeline.to(device)


def shrink(transformer: Any, memory: MemoryOptions) -> None:
    """Quantise, cast and set the attention backend of a network, in place.

    Layers that have been quantised or cast while they were loaded stay as they are.

    Raises:
        ConfigError: the network cannot use that attention, its weights are not finite, or both
            quantize and cast are set.
        DependencyError: a package is missing.
    """
    shrink_layer = layer_shrinker(memory)
    if shrink_layer is not None:
        for name, _ in family_of(transformer).quantizable_layers(transformer):
            shrink_layer(transformer, name)
    if memory.attention is not None:
        _set_attention(transformer, memory.attention)


def layer_shrinker(memory: MemoryOptions) -> Callable[[Any, str], None] | None:
    """What quantises or casts one layer of a network in place, by its name; None: nothing does.

    It leaves alone what is none of the family's `quantizable_layers`.

    Raises:
        ConfigError: both quantize and cast are set; when it is called, weights are not finite.
        DependencyError: a package is missing.
    """
    if memory.quantize != "none" and memory.cast != "none":
        raise ConfigError(
            f"quantize {memory.quantize} and cast {memory.cast}: weights are kept in one way; "
            "choose one"
        )
    if memory.quantize == "int8":
        shrink_layer = _int8_layer()
    elif memory.quantize == "nf4":
        shrink_layer = _nf4_layer()
    elif memory.cast == "float8":
        shrink_layer = _float8_layer
    else:
        return None

    def shrink_quantizable(transformer: Any, name: str) -> None:
        if family_of(transformer).is_quantizable(transformer, name):
            small = shrink_layer(name, transformer.get_submodule(name))
            _replace(transformer, name, small)

    return shrink_quantizable


_ShrinkLayer = Callable[[str, nn.Linear], nn.Module]
"""Of the name and a layer: what takes its place."""


def _int8_layer() -> _ShrinkLayer:
    try:
        from torchao.quantization import Int8WeightOnlyConfig, quantize_
    except ImportError as error:
        raise DependencyError("quantize int8 needs torchao: pip install torchao") from error

    def shrink_layer(_: str, layer: nn.Linear) -> nn.Module:
        quantize_(layer, Int8WeightOnlyConfig())
        return layer

    return shrink_layer


def _nf4_layer() -> _ShrinkLayer:
    try:
        from bitsandbytes.nn import Linear4bit, Params4bit
    except ImportError as error:
        raise DependencyError(
            "quantize nf4 needs bitsandbytes: pip install bitsandbytes"
        ) from error

    def shrink_layer(_: str, layer: nn.Linear) -> nn.Module:
        dtype = layer.weight.dtype
        small = Linear4bit(
            layer.in_features, layer.out_features, bias=layer.bias is not None,
            compute_dtype=dtype, quant_type="nf4", device="meta",
        )  # fmt: skip
        small.weight = Params4bit(layer.weight.detach(), requires_grad=False, quant_type="nf4")
        small.bias = layer.bias
        done: nn.Module = small.to(layer.weight.device)
        return done

    return shrink_layer


def _float8_layer(name: str, layer: nn.Linear) -> nn.Module:
    if not bool(layer.weight.detach().isfinite().all()):
        raise ConfigError(f"cast float8: {name}.weight is not finite; leave it out")
    return ScaledLinear(layer)


def _replace(transformer: Any, name: str, layer: nn.Module) -> None:
    home, _, last = name.rpartition(".")
    setattr(transformer.get_submodule(home), last, layer)


def _set_attention(transformer: Any, name: str) -> None:
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
    if family_of(transformer).attention_mask and _takes_no_mask(name):
        raise ConfigError(
            f"attention {name}: takes no masks, which the words of a {type(transformer).__name__} "
            "need; leave it out"
        )
    try:
        with attention_backend("native"):  # diffusers would choose it for all other networks too
            transformer.set_attention_backend(name)
    except (RuntimeError, ImportError, ValueError, AttributeError) as error:
        raise DependencyError(f"attention {name}: cannot be used here: {reason(error)}") from error


def _check_precision(transformer: Any, name: str) -> None:
    if _takes_no_mask(name) and transformer.dtype == torch.float32:
        raise ConfigError(
            f"attention {name}: computes in half precision only; add --dtype bfloat16, or leave it "
            "out"
        )


_takes_no_mask = re.compile(r"_?(native_)?(flash|sage)(?!.*varlen)").match


def _tile_and_slice(codec: Any, memory: MemoryOptions) -> None:
    if not isinstance(codec, VAECodec):
        raise ConfigError(
            f"tiling and slicing are of autoencoders; this model has a {type(codec).__name__}"
        )
    if memory.tiling and not codec.tile() and not codec.vae.use_tiling:
        raise ConfigError(f"tiling: diffusers has no tiles for this {type(codec.vae).__name__}")
    if memory.slicing:
        codec.vae.enable_slicing()


_OFFLOADED = ("transformer", "transformer_2", "text_encoder", "text_encoder_2", "image_encoder")


def _offload_groups(pipeline: Any, device: torch.device) -> None:
    """Offload the large networks layer by layer; the others stay on the device."""
    for name, component in pipeline.components.items():
        if not isinstance(component, nn.Module):
            continue
        if name in _OFFLOADED:
            from diffusers.hooks import apply_group_offloading

            try:
                apply_group_offloading(
                    component,
                    onload_device=device,
                    offload_device=torch.device("cpu"),
                    offload_type="leaf_level",
                    use_stream=device.type == "cuda",
                )
            except AttributeError as error:  # diffusers before 0.41 without an accelerator
                raise DependencyError(
                    "offload group: on the CPU alone it needs diffusers 0.41 or newer; leave it out"
                ) from error
        else:
            component.to(device)


def _check_accelerator(device: str) -> None:
    if device == "cpu":
        raise DependencyError(
            "offload model moves networks between memory and an accelerator; on the CPU leave it "
            "out"
        )
