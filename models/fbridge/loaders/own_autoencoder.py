"""The autoencoder that a network's single file holds too, compared with that of the components.

LTX-Video's releases share a network's shapes but have other autoencoders, and the latents of one
mean nothing to the network of another. The file's own is not read; it has to be the one that the
components have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from fbridge.files.configs import read_json
from fbridge.files.tensors import Header, open_weights, read_header
from fbridge.files.weight_files import find_weight_file

_PREFIX = "vae."
_SMALL = 2**14
"""Numbers of a tensor that is compared: biases, scales and statistics, which training moves."""

Names = dict[str, str]


def other_autoencoder(path: Path, header: Header, components: Path) -> str:
    """Why a file's own autoencoder is another one than a folder's; "" if it is not, or unknown.

    Args:
        path: of the file.
        header: of the file.
        components: the folder.
    """
    names = _own_names(header, components)
    if names == {}:
        return (
            f"holds an autoencoder of its own with other layers than that of {components}; name "
            "the components of the same release"
        )
    weights = find_weight_file(components / "vae")
    if names is None or weights is None:
        return ""
    small = {theirs for theirs, own in names.items() if _count(header.shapes[own]) <= _SMALL}
    held, other = open_weights(path), open_weights(weights)
    for name in sorted(small):
        if not _equal(held[names[name]], other[name]):
            return (
                f"holds an autoencoder of its own, and that of {components} is another one "
                f"({name} differs), whose latents mean nothing to this network; name the "
                "components of the same release"
            )
    return ""


def uncompared_autoencoder(header: Header, components: Path) -> str:
    """A remark on an autoencoder whose names of tensors are not known; "" if they are."""
    if not _tensors(header) or _own_names(header, components) is not None:
        return ""
    return f"holds an autoencoder of its own, which is not read; that of {components} is used"


def _own_names(header: Header, components: Path) -> Names | None:
    """Names of a folder's tensors -> those of the file; {} if it differs, None if that is unknown.

    {} is of an autoencoder whose names are known and whose shapes are others.
    """
    weights = find_weight_file(components / "vae")
    own = _tensors(header)
    if weights is None or not own:
        return None
    theirs = read_header(weights).shapes
    kind = str(read_json(components / "vae/config.json").get("_class_name"))
    known = [_CONVERTED[kind]] if kind in _CONVERTED else []
    for convert in (*known, _plain):
        try:
            places = {id(tensor): name for name, tensor in own.items()}
            names = {name: places[id(tensor)] for name, tensor in convert(dict(own)).items()}
        except KeyError:  # not the names of these makers
            continue
        if all(
            name in names and header.shapes[names[name]] == shape for name, shape in theirs.items()
        ):
            return {name: names[name] for name in theirs}
    return {} if known else None


def _tensors(header: Header) -> dict[str, Tensor]:
    return {
        name: torch.empty(shape, device="meta")
        for name, shape in header.shapes.items()
        if name.startswith(_PREFIX)
    }


def _plain(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(_PREFIX): tensor for name, tensor in own.items()}


def _ltx(own: dict[str, Tensor]) -> dict[str, Tensor]:
    from diffusers.loaders.single_file_utils import convert_ltx_vae_checkpoint_to_diffusers

    converted: dict[str, Tensor] = convert_ltx_vae_checkpoint_to_diffusers(own)
    return converted


def _wan(own: dict[str, Tensor]) -> dict[str, Tensor]:
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    converted: dict[str, Tensor] = convert_wan_vae_to_diffusers(_plain(own))
    return converted


_CONVERTED: dict[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {
    "AutoencoderKLLTXVideo": _ltx,
    "AutoencoderKLWan": _wan,
}


def _count(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


def _equal(one: Tensor, other: Tensor) -> bool:
    """Equal but for the rounding of the coarser of two types."""
    rounding = max(torch.finfo(one.dtype).eps, torch.finfo(other.dtype).eps)
    gap = (one.float() - other.float()).abs().max()
    return bool(gap <= 2 * rounding * other.float().abs().max())
