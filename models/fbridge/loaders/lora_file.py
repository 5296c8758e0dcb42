"""LoRA files of trainers and other programs, read as differences of a network's tensors.

Known are diffusers and peft (`lora_A`, `lora_B`, with or without the adapter's name), kohya and
musubi (`lora_down`, `lora_up`, `alpha`), old diffusers (`to_q_lora.down`), and whole differences
(`diff`, `diff_b`, `diff_m`; `w_norm`, `b_norm`). A difference is `scale * up @ down`, whose scale
is alpha / rank: by the file's `alpha`, by the settings of peft in the metadata or beside the file,
or 1. What is not understood is an error and never left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fbridge.errors import CheckpointError
from fbridge.files.configs import read_json
from fbridge.files.tensors import Header, read_header, read_weights

_FORMS = (
    (r"\.lora_A(?:\.(?!weight$|bias$)\w+)?\.weight", "down"),
    (r"\.lora_B(?:\.(?!weight$|bias$)\w+)?\.weight", "up"),
    (r"\.lora_B(?:\.(?!weight$|bias$)\w+)?\.bias", "up_bias"),
    (r"\.lora_down\.weight|\.lora\.down\.weight|_lora\.down\.weight", "down"),
    (r"\.lora_up\.weight|\.lora\.up\.weight|_lora\.up\.weight", "up"),
    (r"\.alpha", "alpha"),
    (r"\.diff|\.w_norm", "weight"),
    (r"\.diff_b|\.b_norm", "bias"),
    (r"\.diff_m", "modulation"),
    (r"\.dora_scale|\.lora_magnitude_vector(?:\.\w+)*", "magnitude"),
)
"""Endings of names, and what such a tensor is to its layer."""
_ENDINGS = [(re.compile(f"(.+?)(?:{form})"), role) for form, role in _FORMS]
_WHOLE = ("weight", "bias", "modulation")
_OTHERS = {
    ".hada_": "LoHa", ".lokr_": "LoKr", ".oft_": "OFT", "lora_mid": "a LoRA with a core tensor",
    "reshape_weight": "a control LoRA, which widens the network's input",
    "set_weight": "replaced weights", "matrix_A": "a LoRA of SAT",
    "lora_embedding": "updates of embeddings", ".ia3_": "IA3",
}  # fmt: skip
"""Parts of names of other kinds of updates."""
_SETTINGS = "lora_adapter_metadata"
_BESIDE = "adapter_config.json"
_PEFT = "base_model.model."
_SHOWN = 3
_LEAST = 1e-12
"""Norm of a row that is zero, which a magnitude leaves zero."""


@dataclass(frozen=True)
class Update:
    """A difference of one tensor of a network.

    Attributes:
        layer: as the file names it.
        kind: the tensor of that layer: "weight", "bias" or "modulation".
        down: (rank, inputs, ...), or the whole difference where there is no `up`.
        up: (outputs, rank, ...).
        scale: that the product is multiplied by.
        magnitude: (outputs,) of the changed rows, of a DoRA (arXiv 2402.09353).
    """

    layer: str
    kind: str
    down: Tensor
    up: Tensor | None = None
    scale: float = 1.0
    magnitude: Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the difference."""
        if self.up is None:
            return tuple(self.down.shape)
        return (len(self.up), *self.down.shape[1:])

    def difference(self) -> Tensor:
        """The difference in float32, without the magnitude."""
        if self.up is None:
            return self.scale * self.down.float()
        product = self.up.float().flatten(1) @ self.down.float().flatten(1)
        return self.scale * product.unflatten(1, self.down.shape[1:])


@dataclass(frozen=True)
class LoraFile:
    """What a LoRA file holds.

    Attributes:
        path: of the file.
        updates: all of them.
        tensors: how many the file has.
        steps: sampling steps that it was distilled to, as its name says; None where it says none.
        whole: whether it has whole differences too, as most distilled ones have.
    """

    path: Path
    updates: list[Update]
    tensors: int
    steps: int | None
    whole: bool


def read_lora(path: Path) -> LoraFile:
    """Read a LoRA file.

    Raises:
        CheckpointError: it is broken, holds something else, or a tensor whose name is not known.
    """
    header = read_header(path)
    held = _by_layer(path, read_weights(path))
    settings = _settings(path, header, held)
    updates = [
        update
        for layer, tensors in held.items()
        for update in _updates(path, layer, tensors, settings)
    ]
    whole = any(role in _WHOLE for tensors in held.values() for role in tensors)
    steps = distilled_steps(f"{path.stem} {header.metadata.get('modelspec.title', '')}")
    return LoraFile(path, updates, len(header.shapes), steps, whole)


def distilled_steps(name: str) -> int | None:
    """The few sampling steps that a LoRA was distilled to, as its name says; else None."""
    if found := re.search(r"(?<!\d)(\d{1,2})[ _-]?steps?(?![a-z])", name, re.IGNORECASE):
        count = int(found[1])
        if 1 <= count <= 16:
            return count
    known = r"lightx2v|causvid|acc-?vid|distill|self[ _-]?forcing|fast(?:wan|hunyuan)|fusionx"
    short = r"(?<![a-z])(?:lcm|rcm|dmd2?)(?![a-z])|animatelcm"
    return 4 if re.search(f"{known}|{short}", name, re.IGNORECASE) else None


def _by_layer(path: Path, weights: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Tensors by layer and role."""
    held: dict[str, dict[str, Tensor]] = {}
    strange = []
    for name, tensor in weights.items():
        for form, role in _ENDINGS:
            if (found := form.fullmatch(name)) and not any(part in name for part in _OTHERS):
                layer = found[1]
                if name.endswith((".down.weight", ".up.weight")):  # old diffusers' processors
                    layer = re.sub(r"\.processor\.(\w+)$", r".\1", layer)
                    layer = re.sub(r"\.to_out$", ".to_out.0", layer)
                if role in held.setdefault(layer, {}):
                    raise CheckpointError(
                        f"LoRA {path}: holds {name} twice, for two adapters; give a file of one"
                    )
                held[layer][role] = tensor
                break
        else:
            strange.append(name)
    if strange:
        raise CheckpointError(f"LoRA {path}: {_told(strange, len(weights))}")
    return held


def _told(strange: list[str], count: int) -> str:
    kinds = {kind for part, kind in _OTHERS.items() if any(part in name for name in strange)}
    few = ", ".join(sorted(strange)[:_SHOWN])
    if kinds:
        return f"is {' and '.join(sorted(kinds))} ({few}), which cannot be merged; use a plain LoRA"
    what = "is no LoRA" if len(strange) == count else "is not understood in full"
    return (
        f"{what}: {len(strange)} of its {count} tensors have unknown names, such as {few}; known "
        "are those of diffusers, peft, kohya, musubi, DiffSynth and differences (diff, diff_b)"
    )


def _settings(
    path: Path, header: Header, held: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, Any]:
    """Peft's settings: in the metadata, as diffusers writes them, or beside the file."""
    if _SETTINGS in header.metadata:
        try:
            tree = json.loads(header.metadata[_SETTINGS])
            return {re.sub(r"^(transformer|unet)\.", "", key): own for key, own in tree.items()}
        except (ValueError, AttributeError, RecursionError) as error:
            raise CheckpointError(
                f"LoRA {path}: its metadata {_SETTINGS} is broken; get the file again"
            ) from error
    beside = path.parent / _BESIDE
    if path.name == "adapter_model.safetensors" and beside.is_file():
        return read_json(beside)
    if any(layer.startswith(_PEFT) for layer in held):
        raise CheckpointError(
            f"LoRA {path}: is peft's, whose scale is in {_BESIDE}; put that beside it, under the "
            "name adapter_model.safetensors"
        )
    return {}


def _updates(
    path: Path, layer: str, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> list[Update]:
    """Of one layer."""
    done = [Update(layer, kind, tensors[kind]) for kind in _WHOLE if kind in tensors]
    paired = {"down", "up", "up_bias", "alpha", "magnitude"} & tensors.keys()
    if not paired or (paired == {"alpha"} and done):
        return done
    down, up = tensors.get("down"), tensors.get("up")
    if down is None or up is None:
        raise CheckpointError(
            f"LoRA {path}: of {layer} it holds {', '.join(sorted(tensors))} alone; get it again"
        )
    if down.ndim < 2 or up.ndim < 2 or up.shape[1] != len(down) or up[0, 0].numel() != 1:
        raise CheckpointError(
            f"LoRA {path}: {layer} has matrices of {tuple(up.shape)} and {tuple(down.shape)}, "
            "which are none of one rank; get it again"
        )
    scale = _scale(path, layer, tensors.get("alpha"), len(down), settings)
    magnitude = tensors.get("magnitude")
    if magnitude is not None and (
        down.ndim != 2 or magnitude.shape not in {(len(up),), (len(up), 1)} or "weight" in tensors
    ):
        raise CheckpointError(
            f"LoRA {path}: is a DoRA whose magnitudes of {layer} have the shape "
            f"{tuple(magnitude.shape)}; known are those of a linear layer's outputs"
        )
    if magnitude is None and settings.get("use_dora"):
        raise CheckpointError(f"LoRA {path}: is a DoRA that lacks the magnitudes of {layer}")
    flat = None if magnitude is None else magnitude.flatten()
    done.append(Update(layer, "weight", down, up, scale, flat))
    if "up_bias" in tensors:
        done.append(Update(layer, "bias", tensors["up_bias"], scale=scale))
    return done


def _scale(
    path: Path, layer: str, alpha: Tensor | None, rank: int, settings: Mapping[str, Any]
) -> float:
    """Alpha of the file, else of peft's settings, over the rank; 1 where neither says one."""
    if alpha is not None:
        if alpha.numel() != 1:
            raise CheckpointError(f"LoRA {path}: alpha of {layer} is no number; get it again")
        return float(alpha) / rank
    try:
        patterns = dict(settings.get("alpha_pattern") or {})
        fits = (own for form, own in patterns.items() if re.match(rf"(.*\.)?({form})$", layer))
        known = float(next(fits, settings.get("lora_alpha", rank)))
    except (TypeError, ValueError, re.error) as error:
        raise CheckpointError(
            f"LoRA {path}: its settings of peft are broken ({error}); get it again"
        ) from error
    return known / (sqrt(rank) if settings.get("use_rslora") else rank)


def changed_rows(weight: Tensor, difference: Tensor, magnitude: Tensor | None) -> Tensor:
    """The change of a layer's weight (outputs, ...) by a difference, in float32.

    Of a DoRA the rows of their sum get the norms `magnitude` (outputs,) (arXiv 2402.09353, eq. 5).
    """
    if magnitude is None:
        return difference
    rows = (weight + difference).flatten(1)
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_min(_LEAST)
    return (magnitude.float()[:, None] * rows / norms).view_as(weight) - weight
