"""The renderer: what each motion channel does to a disc on a gradient."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fbridge.codecs.render import (
    ANGLE,
    BEND_X,
    CHANNELS,
    FADE,
    GAIN,
    LOG_SCALE,
    STRETCH,
    TX,
    TY,
    Stack,
    build_elastic,
    build_stack,
    half_size,
    pixel_grid,
    render,
    shape_of,
)

HEIGHT, WIDTH = 48, 64


def disc(x: float, y: float, radius: float = 0.25) -> Tensor:
    """A soft disc's mask (H, W); place in frame units."""
    grid = pixel_grid(HEIGHT, WIDTH, torch.zeros(()))
    distance = (grid - torch.tensor([x, y])).norm(dim=-1)
    return ((radius - distance) * 20 + 0.5).clamp(0, 1)


def scene(x: float = 0.0, y: float = 0.0) -> tuple[Tensor, Tensor, Stack]:
    """A white disc over a dark ramp: picture, background, stack."""
    background = torch.linspace(0.1, 0.4, WIDTH).expand(3, HEIGHT, WIDTH)
    mask = disc(x, y)
    picture = mask + (1 - mask) * background
    masks = torch.stack([mask, torch.zeros_like(mask)])
    return picture, background, build_stack(picture, masks, background)


def motion(slot: int = 0, **channels: float) -> Tensor:
    out = torch.zeros(1, 3, CHANNELS)
    for name, value in channels.items():
        out[
            0, slot, {"tx": TX, "ty": TY, "s": LOG_SCALE, "angle": ANGLE, "stretch": STRETCH}[name]
        ] = value
    return out


def bright_shape(frame: Tensor) -> tuple[Tensor, Tensor]:
    return shape_of(((frame.mean(0) - 0.45) / 0.55).clamp(0, 1))


@given(x=st.floats(-0.8, 0.8), y=st.floats(-0.6, 0.6), seed=st.integers(0, 999))
def test_at_rest_the_frame_is_the_picture(x: float, y: float, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    picture = torch.rand(3, HEIGHT, WIDTH, generator=draw)
    first, second = disc(x, y), disc(-x, 0.1) * (1 - disc(x, y))
    fill = torch.rand(3, HEIGHT, WIDTH, generator=draw)
    stack = build_stack(picture, torch.stack([first, second]), fill)
    frames = render(stack, torch.zeros(2, 3, CHANNELS))
    assert torch.allclose(frames, picture.expand_as(frames), atol=2e-5)


@pytest.mark.parametrize(("tx", "ty"), [(0.3, 0.0), (-0.3, 0.0), (0.0, 0.2), (0.1, -0.2)])
def test_an_object_moves_by_frame_units(tx: float, ty: float) -> None:
    picture, background, stack = scene()
    frame = render(stack, motion(tx=tx, ty=ty))[0]
    centre, _ = bright_shape(frame)
    assert torch.allclose(centre, torch.tensor([tx, ty]), atol=0.01)
    away = disc(0, 0, 0.2) * (1 - disc(tx, ty, 0.32))
    assert torch.allclose(frame * away, background * away, atol=0.02)
    assert not torch.allclose(frame, picture, atol=0.2)


def test_scale_grows_by_its_exponential() -> None:
    _, _, stack = scene()
    _, before = bright_shape(render(stack, motion())[0])
    _, after = bright_shape(render(stack, motion(s=0.5))[0])
    assert torch.allclose(after / before, torch.full((2,), math.exp(0.5)), rtol=0.05)


def test_stretch_keeps_the_area() -> None:
    _, _, stack = scene()
    _, before = bright_shape(render(stack, motion())[0])
    _, after = bright_shape(render(stack, motion(stretch=0.6))[0])
    assert torch.allclose(after / before, torch.tensor([math.exp(-0.3), math.exp(0.3)]), rtol=0.06)


def test_positive_angles_turn_clockwise_as_seen() -> None:
    background = torch.zeros(3, HEIGHT, WIDTH)
    bar = disc(0.3, 0.0, 0.15) + disc(0, 0, 0.1)
    masks = torch.stack([bar.clamp(0, 1), torch.zeros(HEIGHT, WIDTH)])
    stack = build_stack(masks[:1].expand(3, -1, -1).clone(), masks, background)
    frame = render(stack, motion(angle=math.pi / 2))[0]
    offset = bright_shape(frame)[0] - stack.centre[0]
    rest = render(stack, motion())[0]
    heavy = (rest.mean(0) * disc(0.3, 0, 0.2)).sum()
    pivot = stack.centre[0]
    below = frame.mean(0) * disc(float(pivot[0]), float(pivot[1]) + 0.3 - float(pivot[0]), 0.2)
    assert offset.norm() < 0.1
    assert below.sum() > 0.8 * heavy


def test_fade_reveals_the_background() -> None:
    _, background, stack = scene()
    gone = torch.zeros(1, 3, CHANNELS)
    gone[:, 0, FADE] = 1
    left = (render(stack, gone)[0] - background).abs()
    assert left.max() < 0.1  # the outermost rim, where the mask is nearly empty
    assert left.mean() < 0.003


def test_gain_is_a_logarithm() -> None:
    picture, _, stack = scene()
    dim = torch.zeros(1, 3, CHANNELS)
    dim[:, 2, GAIN] = math.log(0.5)
    assert torch.allclose(render(stack, dim)[0], picture / 2, atol=1e-4)


def test_the_camera_moves_everything_alike() -> None:
    _, _, stack = scene(0.3, 0.1)
    frame = render(stack, motion(slot=2, tx=0.2))[0]
    assert torch.allclose(bright_shape(frame)[0], torch.tensor([0.5, 0.1]), atol=0.02)


def test_control_points_bend_as_a_quadratic() -> None:
    _, _, stack = scene()
    bent = torch.zeros(1, 3, CHANNELS)
    rows = torch.tensor([1.0, 0.25, 0.0])
    bent[0, 0, BEND_X] = 0.2 * rows.repeat_interleave(3)
    frame = render(stack, bent)[0].mean(0)
    grid = pixel_grid(HEIGHT, WIDTH, frame)
    weight = (frame - 0.45).clamp_min(0)
    middle = (weight * grid[..., 0]).sum(1) / weight.sum(1).clamp_min(1e-6)
    height = float(stack.extent[0, 1])
    row = int((grid[:, 0, 1] + 0.8 * height).abs().argmin())
    y = float(grid[row, 0, 1]) / height
    assert float(middle[row]) == pytest.approx(0.2 * ((1 - y) / 2) ** 2, abs=0.02)


def test_the_near_object_hides_the_far_one() -> None:
    background = torch.zeros(3, HEIGHT, WIDTH)
    near, far = disc(-0.5, 0), disc(0.5, 0)
    picture = torch.stack([near, far, torch.zeros_like(near)])
    stack = build_stack(picture, torch.stack([near, far]), background)
    frame = render(stack, motion(tx=1.0))[0]
    assert torch.allclose(frame[0] * disc(0.5, 0, 0.2), disc(0.5, 0, 0.2), atol=0.02)
    assert (frame[1] * disc(0.5, 0, 0.2)).max() < 0.02


def test_motion_has_a_gradient() -> None:
    _, _, stack = scene()
    target = render(stack, motion(tx=0.1))
    guess = motion().requires_grad_()
    torch.autograd.backward((render(stack, guess) - target).square().mean())
    assert guess.grad is not None
    assert float(guess.grad[0, 0, TX]) < 0


def test_frame_units_have_area_four() -> None:
    half_w, half_h = half_size(30, 120)
    assert half_w * half_h == pytest.approx(1)
    assert half_w / half_h == pytest.approx(4)


def test_an_elastic_object_pulls_its_surroundings_and_hides_nothing() -> None:
    picture = pixel_grid(HEIGHT, WIDTH, torch.zeros(())).permute(2, 0, 1).div(4).add(0.5)
    picture = torch.cat([picture, picture[:1]])
    stack = build_elastic(picture, torch.stack([disc(0, 0), torch.zeros(HEIGHT, WIDTH)]))
    assert torch.allclose(render(stack, motion())[0], picture, atol=1e-5)
    frame = render(stack, motion(ty=-0.3))[0]
    moved = (frame[1] - picture[1]) * 4  # the ramp tells the height that each pixel came from
    assert moved[HEIGHT // 2, WIDTH // 2] > 0.1
    assert moved[[0, -1]].abs().max() < 0.02
    assert (frame[1].diff(dim=0) > -1e-4).all()  # it never folds
