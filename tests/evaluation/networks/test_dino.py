"""The vision transformer against torch's own encoder, and DINO's two ways to look at frames."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fbridge.errors import CheckpointError
from fbridge.evaluation.networks.dino import Dino, cropped, shrunk
from fbridge.evaluation.networks.pictures import IMAGENET
from fbridge.evaluation.networks.vit import VisionTransformer

WIDTH, DEPTH, PATCH, GRID = 128, 2, 16, 3


def small_state(*, early: bool = False) -> dict[str, Tensor]:
    """Random weights of a small network in the names of DINO's authors."""
    generator = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, 1 + GRID**2, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (WIDTH,),
    }
    norms = ["norm", *(["pos_drop"] if early else [])]
    for number in range(DEPTH):
        block = f"blocks.{number}"
        norms += [f"{block}.norm1", f"{block}.norm2"]
        for name, outputs, inputs in (
            ("attn.qkv", 3 * WIDTH, WIDTH),
            ("attn.proj", WIDTH, WIDTH),
            ("mlp.fc1", 4 * WIDTH, WIDTH),
            ("mlp.fc2", WIDTH, 4 * WIDTH),
        ):
            shapes |= {f"{block}.{name}.weight": (outputs, inputs)}
            shapes |= {f"{block}.{name}.bias": (outputs,)}
    for norm in norms:
        shapes |= {f"{norm}.weight": (WIDTH,), f"{norm}.bias": (WIDTH,)}
    return {
        name: torch.randn(shape, generator=generator) * (1.0 if "norm" in name else 0.08)
        for name, shape in shapes.items()
    }


def encoder(state: dict[str, Tensor], number: int, *, eps: float) -> nn.TransformerEncoderLayer:
    """Torch's layer with the weights of one block."""
    layer = nn.TransformerEncoderLayer(
        WIDTH, WIDTH // 64, 4 * WIDTH, 0.0, "gelu", eps, batch_first=True, norm_first=True
    )
    names = {
        "self_attn.in_proj_": "attn.qkv.",
        "self_attn.out_proj.": "attn.proj.",
        "linear1.": "mlp.fc1.",
        "linear2.": "mlp.fc2.",
        "norm1.": "norm1.",
        "norm2.": "norm2.",
    }
    layer.load_state_dict(
        {
            f"{theirs}{part}": state[f"blocks.{number}.{ours}{part}"]
            for theirs, ours in names.items()
            for part in ("weight", "bias")
        }
    )
    return layer.train()  # no dropout, and not the fused way of evaluation


@pytest.mark.parametrize("early", [False, True])
def test_agrees_with_an_independent_network(early: bool) -> None:
    state, eps = small_state(early=early), 1e-3
    images = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    kernel, bias = (state[f"patch_embed.proj.{part}"] for part in ("weight", "bias"))
    columns = F.unfold(images, PATCH, stride=PATCH).transpose(1, 2) @ kernel.flatten(1).T + bias
    x = torch.cat([state["cls_token"].expand(2, -1, -1), columns], 1) + state["pos_embed"]
    if early:
        x = F.layer_norm(x, (WIDTH,), state["pos_drop.weight"], state["pos_drop.bias"], eps)
    for number in range(DEPTH):
        x = encoder(state, number, eps=eps)(x)
    network = VisionTransformer.from_state(state, eps=eps)
    torch.testing.assert_close(network.tokens(images), x, rtol=1e-4, atol=1e-4)
    normed = F.layer_norm(x[:, 0], (WIDTH,), state["norm.weight"], state["norm.bias"], eps)
    torch.testing.assert_close(network(images), normed, rtol=1e-4, atol=1e-4)


def test_size_of_the_network() -> None:
    with torch.device("meta"):
        network = VisionTransformer(768, 12, 16, 14, eps=1e-6)
    assert sum(parameter.numel() for parameter in network.parameters()) == 85_798_656
    assert network.state_dict()["blocks.11.attn.qkv.weight"].shape == (2304, 768)


def test_positions_of_another_grid_are_read_where_the_authors_read_them() -> None:
    """A ramp shows where: at (i + 1/2) / factor - 1/2 with factor (rows + 0.1) / grid."""
    grid, rows = 14, 25
    with torch.no_grad():
        network = VisionTransformer(64, 0, 2, grid, eps=1e-6)
        ramp = torch.arange(float(grid))[:, None].expand(grid, grid).flatten()
        network.pos_embed[:, 1:] = ramp[:, None]
        for parameter in network.patch_embed.parameters():
            parameter.zero_()
        tokens = network.tokens(torch.zeros(1, 3, 2 * rows + 1, 2 * grid))
    found = tokens[0, 1:, 0].reshape(rows, grid)
    where = (torch.arange(rows) + 0.5) * grid / (rows + 0.1) - 0.5
    t = where - where.floor()
    beyond = (2 * -0.75 + 1) * t * (1 - t) * (1 - 2 * t)  # what a = -3/4 makes of a ramp
    inner = slice(3, rows - 4)
    expected = (where - beyond)[inner]
    torch.testing.assert_close(found[inner, 5], expected, rtol=0, atol=1e-4)


def test_rows_do_not_depend_on_their_neighbours() -> None:
    network = Dino.from_state(small_state())
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (9, 20, 30, 3), generator=generator, dtype=torch.uint8)
    for squeeze in (True, False):
        together = network.features(frames, squeeze=squeeze)
        assert together.shape == (9, WIDTH)
        alone = network.features(frames[8:], squeeze=squeeze)
        torch.testing.assert_close(together[8:], alone, rtol=1e-5, atol=1e-5)


def test_another_state_is_refused() -> None:
    state = small_state()
    with pytest.raises(CheckpointError, match="lack 'pos_embed'"):
        Dino.from_state({k: v for k, v in state.items() if k != "pos_embed"})
    with pytest.raises(CheckpointError, match=r"Missing key.*blocks\.1\.mlp\.fc2\.bias"):
        Dino.from_state({k: v for k, v in state.items() if k != "blocks.1.mlp.fc2.bias"})


def test_shrunk_looks_at_all_and_is_not_antialiased() -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (1, 896, 1600, 3), generator=generator, dtype=torch.uint8)
    found = shrunk(frames)
    assert found.shape == (1, 3, 224, 400)
    pixels = frames.permute(0, 3, 1, 2).float() / 255
    for axis in (2, 3):  # reduced by 4: between the second and the third of four pixels
        four = pixels.unflatten(axis, (-1, 4))
        pixels = (four.select(axis + 1, 1) + four.select(axis + 1, 2)) / 2
    torch.testing.assert_close(found, IMAGENET.standardised(pixels), rtol=0, atol=1e-5)


def test_cropped_is_the_middle_of_256() -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (1, 256, 455, 3), generator=generator, dtype=torch.uint8)
    pixels = frames[:, 16:240, 116:340].permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(cropped(frames), IMAGENET.standardised(pixels), rtol=0, atol=1e-5)


def test_cropped_is_antialiased() -> None:
    stripes = torch.tensor([0, 255, 255, 0], dtype=torch.uint8).repeat(256)
    frames = stripes[None, None, :, None].expand(1, 1024, -1, 3)
    grey = IMAGENET.standardised(torch.full((1, 3, 224, 224), 0.5))
    torch.testing.assert_close(cropped(frames), grey, rtol=0, atol=1e-2)
