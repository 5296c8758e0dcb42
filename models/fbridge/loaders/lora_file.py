"""LoRA files of trainers and other programs, read as differences of a network's tensors.

Known are diffusers and peft (`lora_A`, `lora_B`, with or without the adapter's name), kohya and
musubi (`lora_down`, `lora_up`, `alpha`), old diffusers (`to_q_lora.down`), and whole differences
(`diff`, `diff_b`, `diff_m`; `w_norm`, `b_norm`), and LyCORIS's LoHa and LoKr. A difference is a
product (`fbridge.loaders.lora_products`) times a scale, which is alpha / rank: by the file's
`alpha`, by the settings of peft in the metadata or beside the file, or 1. What is not understood is
an error and never left out.
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
from fbridge.loaders.lora_products import Hadamard, Kronecker, Product

_LOHA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
_LOKR = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b")
_LYCORIS = (*_LOHA, *_LOKR)
_FORMS = (
    (r"\.lora_A(?:\.(?!weight$|bias$)\w+)?\.weight", "down"),
    (r"\.lora_B(?:\.(?!weight$|bias$)\w+)?\.weight", "up"),
    (r"\.lora_B(?:\.(?!weight$|bias$)\w+)?\.bias", "up_bias"),
    (r"\.lora_down\.weight|\.lora\.down\.weight|_lora\.down\.weight", "down"),
    (r"\.lora_up\.weight|\.lora\.up\.weight|_lora\.up\.weight", "up"),
    (r"\.alpha", "alpha"),
    (r"\.diff_m|\.modulation\.diff", "modulation"),  # a table, which has no name of its own
    (r"\.diff|\.w_norm", "weight"),
    (r"\.diff_b|\.b_norm", "bias"),
    (r"\.dora_scale|\.lora_magnitude_vector(?:\.\w+)*", "magnitude"),
    *((rf"\.{name}", name) for name in _LYCORIS),
)
"""Endings of names, and what such a tensor is to its layer."""
_ENDINGS = [(re.compile(f"(.+?)(?:{form})"), role) for form, role in _FORMS]
_WHOLE = ("weight", "bias", "modulation")
_OTHERS = {
    "hada_t": "a LoHa with core tensors", "lokr_t": "a LoKr with a core tensor", ".oft_": "OFT",
    "lora_mid": "a LoRA with a core tensor",
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
        product: the difference.
        scale: that the product is multiplied by.
        magnitude: (outputs,) of the changed rows, of a DoRA (arXiv 2402.09353).
    """

    layer: str
    kind: str
    product: Product | Hadamard | Kronecker
    scale: float = 1.0
    magnitude: Tensor | None = None

    @property
    def rank(self) -> int | None:
        """Of its matrices; None where they are whole."""
        return self.product.rank

    @property
    def whole(self) -> bool:
        """Whether the file has the difference itself, and no matrices that it is made of."""
        return isinstance(self.product, Product) and self.product.up is None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the difference."""
        return self.product.shape

    def difference(self) -> Tensor:
        """The difference in float32, without the magnitude."""
        return self.scale * self.product.value()


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
                if not tensor.float().isfinite().all():
                    raise CheckpointError(
                        f"LoRA {path}: {name} holds NaN or infinity; get the file again, or one of "
                        "an earlier step"
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
        "are those of diffusers, peft, kohya, musubi, DiffSynth, LyCORIS and differences (diff, "
        "diff_b)"
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
    of_peft = any(layer.startswith(_PEFT) for layer in held)
    if of_peft and any(role in _LYCORIS for tensors in held.values() for role in tensors):
        raise CheckpointError(
            f"LoRA {path}: is peft's LoHa or LoKr, whose scale is not read; merge it with peft, "
            "and give the whole model"
        )
    if path.name == "adapter_model.safetensors" and beside.is_file():
        return read_json(beside)
    if of_peft:
        raise CheckpointError(
            f"LoRA {path}: is peft's, whose scale is in {_BESIDE}; put that beside it, under the "
            "name adapter_model.safetensors"
        )
    return {}


def _updates(
    path: Path, layer: str, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> list[Update]:
    """Of one layer."""
    done = [Update(layer, kind, Product(tensors[kind])) for kind in _WHOLE if kind in tensors]
    paired = tensors.keys() - set(_WHOLE)
    if not paired or (paired == {"alpha"} and done):
        return done
    product = _product(tensors)
    if product is None:
        raise CheckpointError(
            f"LoRA {path}: of {layer} it holds {', '.join(sorted(tensors))} alone; get it again"
        )
    if not product.fits:
        shapes = " and ".join(
            str(tuple(tensors[role].shape)) for role in ("up", "down", *_LYCORIS) if role in tensors
        )
        raise CheckpointError(
            f"LoRA {path}: {layer} has matrices of {shapes}, which are none of one rank; "
            "get it again"
        )
    scale = _scale(path, layer, tensors.get("alpha"), product.rank, settings)
    magnitude = tensors.get("magnitude")
    if magnitude is not None and (
        len(product.shape) != 2
        or magnitude.shape not in {product.shape[:1], (product.shape[0], 1)}
        or "weight" in tensors
    ):
        raise CheckpointError(
            f"LoRA {path}: is a DoRA whose magnitudes of {layer} have the shape "
            f"{tuple(magnitude.shape)}; known are those of a linear layer's outputs"
        )
    if magnitude is None and settings.get("use_dora"):
        raise CheckpointError(f"LoRA {path}: is a DoRA that lacks the magnitudes of {layer}")
    flat = None if magnitude is None else magnitude.flatten()
    done.append(Update(layer, "weight", product, scale, flat))
    if "up_bias" in tensors:
        done.append(Update(layer, "bias", Product(tensors["up_bias"]), scale))
    return done


def _product(tensors: Mapping[str, Tensor]) -> Product | Hadamard | Kronecker | None:
    """What a layer's tensors are of; None where some of them are missing or too many."""
    own = tensors.keys() - {*_WHOLE, "alpha", "magnitude", "up_bias"}
    if own == {"down", "up"}:
        return Product(tensors["down"], tensors["up"])
    if "up_bias" in tensors:
        return None
    if own == set(_LOHA):
        up, down, other_up, other_down = (tensors[role] for role in _LOHA)
        return Hadamard(Product(down, up), Product(other_down, other_up))
    factors = []
    for name in ("lokr_w1", "lokr_w2"):
        parts = {role for role in own if role.startswith(name)}
        if parts == {name}:
            factors.append(Product(tensors[name]))
        elif parts == {f"{name}_a", f"{name}_b"}:
            factors.append(Product(tensors[f"{name}_b"], tensors[f"{name}_a"]))
    return Kronecker(*factors) if len(factors) == 2 and own <= set(_LOKR) else None


def _scale(
    path: Path, layer: str, alpha: Tensor | None, rank: int | None, settings: Mapping[str, Any]
) -> float:
    """Alpha of the file, else of peft's settings, over the rank; 1 where neither says one.

    A Kronecker product of whole matrices has no rank, and its alpha no meaning.
    """
    if alpha is not None:
        if alpha.numel() != 1:
            raise CheckpointError(f"LoRA {path}: alpha of {layer} is no number; get it again")
        return 1.0 if rank is None else float(alpha) / rank
    if rank is None:
        return 1.0
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
