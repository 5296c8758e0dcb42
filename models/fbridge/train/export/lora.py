"""Add low-rank adapters to a network, and save them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from peft import LoraConfig, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import Tensor, nn

from fbridge.backbones.families import family_of
from fbridge.errors import ConfigError, reason
from fbridge.files.tensors import sort_metadata
from fbridge.loaders.locate import ADAPTER, ADAPTER_WEIGHTS
from fbridge.loaders.lora import EXTRA, PRIOR, AdapterCard
from fbridge.loaders.lora import merge_lora as merge_lora
from fbridge.train.export.model_folder import replacing_model

_NAME = "default"
_ROUNDED = (torch.bfloat16, torch.float16, torch.float8_e4m3fn)
_UNSEEN = (
    f"A stock loader does not see the picture: it adds the low-rank updates alone, and the network "
    f"stays text-to-video, since the input layer that takes the picture is in {EXTRA}."
)
_README = """# A LoRA of a bridge, trained by fbridge

{unseen} These make videos from pictures:

    fbridge generate cat.jpg -p "a cat jumps" --model .
    fbridge export . --merged -o model/       # for stock diffusers, without fbridge
    fbridge export . --comfy -o comfy/        # for ComfyUI, of Wan

The base is {base}; `adapter.json` has its sha256.
"""


def add_lora(
    transformer: Any,
    *,
    rank: int,
    alpha: float | None = None,
    dora: bool = False,
    dropout: float = 0.0,
    targets: Sequence[str] = (),
) -> None:
    """Freeze a network and add LoRA layers, in place; an expanded input layer is trained in full.

    Args:
        transformer: of a family in `fbridge.backbones.families`.
        rank: of the updates.
        alpha: the updates are scaled by alpha / rank; None: alpha = rank.
        dora: train magnitudes apart from directions (DoRA, arXiv 2402.09353).
        dropout: on the inputs of the updates, in training.
        targets: name endings of the adapted layers; empty: the family's.

    Raises:
        ConfigError: no layer's name ends so.
    """
    family = family_of(transformer)
    ends = list(targets or family.lora_targets)
    in_full = any(f".{family.input_layer}".endswith(f".{end}") for end in ends)
    config = LoraConfig(
        r=rank,
        lora_alpha=rank if alpha is None else alpha,  # peft accepts floats
        use_dora=dora,
        lora_dropout=dropout,
        target_modules=ends,
        exclude_modules=[family.input_layer] if in_full else None,
        init_lora_weights=True,
    )
    transformer.requires_grad_(requires_grad=False)
    try:
        _add_float32(transformer, config)
    except ValueError as error:
        raise ConfigError(
            f"lora.targets {', '.join(ends)}: {reason(error)}; "
            f"this network's usual ones are {', '.join(family.lora_targets)}"
        ) from error
    if family.input_layer and family.extra_inputs(transformer):
        transformer.get_submodule(family.input_layer).requires_grad_(requires_grad=True)


def _add_float32(transformer: Any, config: LoraConfig) -> None:
    """Add layers whose own weights are float32 whatever the frozen ones are.

    peft rounds the initial values to the precision of the frozen weights. So these are put aside
    meanwhile, for a tensor of float32 that takes no memory; the magnitudes of DoRA, which are the
    norms of the frozen rows, are computed afterwards, layer by layer.
    """
    frozen = {
        layer: layer.weight.data
        for layer in transformer.modules()
        if isinstance(layer, nn.Linear) and layer.weight.dtype in _ROUNDED
    }
    try:
        for layer, weight in frozen.items():
            layer.weight.data = torch.zeros((), device=weight.device).expand(weight.shape)
        transformer.add_adapter(config, _NAME)
    finally:
        for layer, weight in frozen.items():
            layer.weight.data = weight
    for layer in transformer.modules():
        own = layer.base_layer if isinstance(layer, LoraLayer) else None
        if own in frozen and _NAME in layer.lora_magnitude_vector:
            whole = nn.Linear(own.in_features, own.out_features, bias=False, device="meta")
            whole.weight = nn.Parameter(own.weight.float(), requires_grad=False)
            layer.lora_magnitude_vector[_NAME].update_layer(
                base_layer=whole,
                lora_A=layer.lora_A[_NAME].weight,
                lora_B=layer.lora_B[_NAME].weight,
                scaling=layer.scaling[_NAME],
            )


def save_lora(
    folder: Path,
    transformer: Any,
    card: AdapterCard,
    *,
    weights: Mapping[str, Tensor] | None = None,
    prior: Any = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write an adapter's folder, in the format of `fbridge.loaders.lora`.

    Args:
        folder: to write.
        transformer: network with LoRA layers.
        card: base and settings of the adapter.
        weights: all that was trained, by the network's names; None: the network's own.
        prior: network of a neural prior.
        dtype: of the weights; None: their own.
    """
    part_name = family_of(transformer).pipeline_part
    if weights is None:
        weights = {name: v for name, v in transformer.named_parameters() if v.requires_grad}
    lora = get_peft_model_state_dict(transformer, state_dict=weights, adapter_name=_NAME)
    extra = {name: value for name, value in weights.items() if "lora_" not in name}
    with replacing_model(folder) as part:
        settings = _metadata(transformer.peft_config[_NAME], part_name)
        metadata = {"format": "pt", LORA_ADAPTER_METADATA_KEY: json.dumps(settings, sort_keys=True)}
        if extra:
            metadata["modelspec.usage_hint"] = _UNSEEN
        updates = {f"{part_name}.{k}": _on_cpu(v, dtype) for k, v in lora.items()}
        save_file(updates, part / ADAPTER_WEIGHTS, metadata)
        sort_metadata(part / ADAPTER_WEIGHTS)  # equal adapters have equal hashes
        if extra:
            save_file({k: _on_cpu(v, dtype) for k, v in extra.items()}, part / EXTRA)
            base = card.base if card.base_path is None else Path(card.base).name
            readme = _README.format(unseen=_UNSEEN, base=base)
            (part / "README.md").write_text(readme, encoding="utf-8")
        if prior is not None:
            prior.save_pretrained(part / PRIOR)
        (part / ADAPTER).write_text(card.text(), encoding="utf-8")


def _metadata(config: LoraConfig, prefix: str) -> dict[str, Any]:
    """A configuration as diffusers stores it: JSON values under prefixed names."""
    plain = {
        key: sorted(value) if isinstance(value, set) else value
        for key, value in config.to_dict().items()
    }
    return {f"{prefix}.{key}": value for key, value in plain.items()}


def _on_cpu(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    return value.detach().to("cpu", dtype, copy=True).contiguous()
