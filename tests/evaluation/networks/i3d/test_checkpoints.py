"""I3D's weights under four projects' names: one network, and only the genuine values are FVD's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from fbridge.errors import CheckpointError
from fbridge.evaluation.networks.i3d.checkpoints import canonical_state, is_genuine
from fbridge.evaluation.networks.i3d.network import load_i3d
from fbridge.weights import I3D_KINETICS, digest_of, load_weights, read_tensors
from fbridge.weights.entries import I3D_SCRIPT

BLOCKS = ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")
STEM = ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3")
UNITS = {
    "b0": ("Branch_0/Conv3d_0a_1x1", "branch_0"),
    "b1a": ("Branch_1/Conv3d_0a_1x1", "branch_1.0"),
    "b1b": ("Branch_1/Conv3d_0b_3x3", "branch_1.1"),
    "b2a": ("Branch_2/Conv3d_0a_1x1", "branch_2.0"),
    "b2b": ("Branch_2/Conv3d_0b_3x3", "branch_2.1"),
    "b3b": ("Branch_3/Conv3d_0b_1x1", "branch_3.1"),
}
PATHS = [(path, path, path.lower()) for path in STEM] + [
    (f"Mixed_{block}/{own}", f"Mixed_{block}.{unit}", f"mixed_{block}.{theirs}")
    for block in BLOCKS
    for unit, (own, theirs) in UNITS.items()
]
"""Of each unit: its path, and its names in piergiaj's and hassony2's networks."""


@pytest.fixture(scope="module")
def canonical() -> dict[str, Tensor]:
    """Small random tensors under canonical names; shapes say which axis is which."""
    made = {}
    for number, (path, _, _) in enumerate(PATHS):
        made[f"params/{path}/Conv_0/kernel"] = torch.randn(1, 2, 3, 4, 5)
        for name in ("params/{}/BatchNorm_0/bias", "batch_stats/{}/BatchNorm_0/mean"):
            made[name.format(path)] = torch.randn(5) + number
        made[f"batch_stats/{path}/BatchNorm_0/var"] = torch.rand(5)
    made["params/Logits/Conv3d_0c_1x1/Conv_0/kernel"] = torch.randn(1, 1, 1, 4, 5)
    made["params/Logits/Conv3d_0c_1x1/Conv_0/bias"] = torch.randn(5)
    return dict(sorted(made.items()))


def tensorflow(state: dict[str, Tensor]) -> dict[str, Tensor]:
    made = {}
    for path, _, _ in PATHS:
        theirs = path.replace("Mixed_5b/Branch_2/Conv3d_0b_3x3", "Mixed_5b/Branch_2/Conv3d_0a_3x3")
        front = f"RGB/inception_i3d/{theirs}"
        made[f"{front}/conv_3d/w"] = state[f"params/{path}/Conv_0/kernel"]
        norm = {
            "beta": f"params/{path}/BatchNorm_0/bias",
            "moving_mean": f"batch_stats/{path}/BatchNorm_0/mean",
            "moving_variance": f"batch_stats/{path}/BatchNorm_0/var",
        }
        made |= {
            f"{front}/batch_norm/{k}": state[v].reshape(1, 1, 1, 1, -1) for k, v in norm.items()
        }
    head = "RGB/inception_i3d/Logits/Conv3d_0c_1x1/conv_3d"
    made[f"{head}/w"] = state["params/Logits/Conv3d_0c_1x1/Conv_0/kernel"]
    made[f"{head}/b"] = state["params/Logits/Conv3d_0c_1x1/Conv_0/bias"]
    return made


def torch_like(
    state: dict[str, Tensor], column: int, norm: str, head: str, prefix: str
) -> dict[str, Tensor]:
    made = {}
    for names in PATHS:
        front, path = f"{prefix}{names[column]}", names[0]
        kernel = state[f"params/{path}/Conv_0/kernel"]
        made[f"{front}.conv3d.weight"] = kernel.permute(4, 3, 0, 1, 2)
        made[f"{front}.{norm}.weight"] = torch.ones(5)
        made[f"{front}.{norm}.bias"] = state[f"params/{path}/BatchNorm_0/bias"]
        made[f"{front}.{norm}.running_mean"] = state[f"batch_stats/{path}/BatchNorm_0/mean"]
        made[f"{front}.{norm}.running_var"] = state[f"batch_stats/{path}/BatchNorm_0/var"]
        made[f"{front}.{norm}.num_batches_tracked"] = torch.tensor(0)
    kernel = state["params/Logits/Conv3d_0c_1x1/Conv_0/kernel"]
    made[f"{prefix}{head}.conv3d.weight"] = kernel.permute(4, 3, 0, 1, 2)
    made[f"{prefix}{head}.conv3d.bias"] = state["params/Logits/Conv3d_0c_1x1/Conv_0/bias"]
    return made


def piergiaj(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return torch_like(state, 1, "bn", "logits", "module.")


def hassony(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return torch_like(state, 2, "batch3d", "conv3d_0c_1x1", "")


@pytest.mark.parametrize("layout", [dict, tensorflow, piergiaj, hassony])
def test_all_layouts_are_one(
    canonical: dict[str, Tensor], layout: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> None:
    found = canonical_state(layout(canonical))
    assert found.keys() == canonical.keys()
    assert all(torch.equal(found[name], canonical[name]) for name in canonical)
    assert digest_of(found) == digest_of(canonical)
    assert not is_genuine(found)


def test_scales_are_folded_in(canonical: dict[str, Tensor]) -> None:
    state = piergiaj(canonical)
    state["module.Mixed_4c.b1b.bn.weight"] = torch.full((5,), 3.0)
    path = "Mixed_4c/Branch_1/Conv3d_0b_3x3"
    found = canonical_state(state)
    for name in (f"params/{path}/Conv_0/kernel", f"batch_stats/{path}/BatchNorm_0/mean"):
        torch.testing.assert_close(found[name], 3 * canonical[name])
    same = f"params/{path}/BatchNorm_0/bias"
    assert torch.equal(found[same], canonical[same])


def test_what_is_no_i3d_is_refused(canonical: dict[str, Tensor]) -> None:
    state = hassony(canonical)
    del state["mixed_5c.branch_2.1.batch3d.running_var"]
    with pytest.raises(CheckpointError, match="Mixed_5c/Branch_2/Conv3d_0b_3x3 lacks its 'var'"):
        canonical_state(state)
    with pytest.raises(CheckpointError, match="no I3D: 0 of its 58 convolutions"):
        canonical_state({"layer.weight": torch.ones(1)})


def test_other_values_are_not_fvd(canonical: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "rgb_imagenet.pt"
    torch.save({"state_dict": piergiaj(canonical)}, path)
    with pytest.raises(CheckpointError, match="is an I3D, but not the network of FVD"):
        load_i3d(path)


def test_the_genuine_values_are_known_in_another_layout(tmp_path: Path) -> None:
    try:
        state = canonical_state(load_weights(I3D_KINETICS))
    except CheckpointError as error:
        pytest.skip(str(error))
    assert is_genuine(state)
    clip = torch.randint(0, 256, (1, 9, 32, 32, 3), dtype=torch.uint8)
    wanted = load_i3d().features(clip)
    path = tmp_path / "i3d_pretrained_400.safetensors"
    theirs = {name: tensor.contiguous() for name, tensor in genuine_piergiaj(state).items()}
    safetensors.torch.save_file(theirs, path)
    assert torch.equal(load_i3d(path).features(clip), wanted)
    theirs["module.Mixed_3b.b0.conv3d.weight"][0, 0] += 1e-3
    safetensors.torch.save_file(theirs, path)
    with pytest.raises(CheckpointError, match="not the network of FVD"):
        load_i3d(path)


def genuine_piergiaj(state: dict[str, Tensor]) -> dict[str, Tensor]:
    made = piergiaj(state)
    for name in [name for name in made if name.endswith("bn.weight")]:
        made[name] = torch.ones(len(made[name.replace("weight", "bias")]))
    return made


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(2, 3, 1)
        self.batch3d = nn.BatchNorm3d(3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.batch3d(self.conv3d(x))
        return out


def test_the_verified_script_gives_its_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "i3d_torchscript.pt"
    torch.jit.script(nn.Sequential(Inner(), nn.ReLU(), Inner())).save(path)
    with pytest.raises(CheckpointError, match=r"i3d_torchscript\.pt: is a TorchScript archive"):
        read_tensors(path)
    own = replace(I3D_SCRIPT, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr("fbridge.weights.tensor_files.I3D_SCRIPT", own)
    found = read_tensors(path)
    wanted = torch.jit.load(str(path)).state_dict()
    assert found.keys() >= wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
