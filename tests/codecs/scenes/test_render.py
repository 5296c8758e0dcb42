"""The renderer of scenes."""

from __future__ import annotations

import math

import pytest
import torch

from fbridge.codecs.render import ANGLE, CHANNELS, FADE, TX, half_size, shape_of
from fbridge.codecs.scenes.scene import background, own_colours
from tests.codecs.scenes.pictures import HEIGHT, WIDTH, disc, drawn, motion, scene, texture

BYTES = 255


def test_at_rest_the_frame_is_the_picture_bit_for_bit() -> None:
    stage = scene(disc(-0.3, 0), disc(0.5, 0.1))
    frames = drawn(stage, motion(4, TX=0.3))
    assert frames.dtype == torch.uint8
    assert torch.equal(frames[0].float() / BYTES, stage.picture)
    assert not torch.equal(frames[1].float() / BYTES, stage.picture)


def test_what_does_not_move_stays_bit_for_bit() -> None:
    first, second = disc(-0.4, 0, 0.2), disc(0.6, 0.1, 0.2)
    stage = scene(first, second)
    frames = drawn(stage, motion(5, TY=-0.1, ANGLE=0.5))
    still = disc(-0.4, -0.05, 0.42) == 0
    assert torch.equal(
        frames.float()[..., still] / BYTES, stage.picture[:, still].expand(5, -1, -1)
    )


def test_an_object_goes_where_its_motion_says_and_leaves_no_trace() -> None:
    stage = scene(disc(-0.4, 0, 0.25))
    frame = drawn(stage, motion(3, TX=0.8, TY=0.1))[-1].float() / BYTES
    centre, _ = shape_of(((frame.mean(0) - 0.5) / 0.5).clamp(0, 1))
    assert torch.allclose(centre, torch.tensor([0.4, 0.1]), atol=0.01)
    assert float(frame[:, disc(-0.4, 0, 0.3) > 0].max()) < 0.4


def test_what_an_edge_only_grazes_is_rounded_off_as_it_moves_away() -> None:
    alpha = disc(0.1, -half_size(HEIGHT, WIDTH)[1] + 0.4, 0.45)
    frame = drawn(scene(alpha), motion(3, TY=0.4))[-1].float() / BYTES
    whole = disc(0.1, -half_size(HEIGHT, WIDTH)[1] + 0.8, 0.45)
    seen = ((frame.mean(0) - 0.3) / 0.7).clamp(0, 1)
    top = slice(0, int(whole.any(1).nonzero()[0]) + 6)
    assert float((seen - whole)[top].clamp_min(0).sum()) < 0.15 * float(whole[top].sum())
    assert float((whole - seen)[top].clamp_min(0).sum()) < 0.1 * float(whole[top].sum())


def test_small_motions_change_the_frame_little() -> None:
    stage = scene(disc(0, 0))
    frames = drawn(stage, motion(3, TX=0.002))
    assert int((frames[1].int() - frames[0].int()).abs().max()) <= 25


def test_own_colours_are_free_of_the_background() -> None:
    alpha = disc(0, 0)
    red = torch.tensor([0.9, 0.1, 0.1])[:, None, None].expand(3, HEIGHT, WIDTH)
    picture = alpha * red + (1 - alpha) * torch.tensor([0.1, 0.9, 0.2])[:, None, None]
    soft = (alpha > 0.15) & (alpha < 0.95)
    assert soft.any()
    assert (own_colours(picture, alpha) - red)[:, soft].abs().max() < 0.06
    assert (picture - red)[:, soft].abs().max() > 0.4


def test_the_camera_moves_what_is_behind() -> None:
    stage = scene(torch.zeros(HEIGHT, WIDTH))
    nearer = motion(2, slot=2, LOG_SCALE=math.log(2))
    nearer[1, 2, TX] = (
        2 * 20 / (WIDTH * HEIGHT) ** 0.5
    )  # 20 pixels to the right, 10 of the picture's
    frame = drawn(stage, nearer)[-1].float() / BYTES
    seen = stage.picture[:, HEIGHT // 4 : -HEIGHT // 4, WIDTH // 4 - 10 : -WIDTH // 4 - 10]
    wide = torch.nn.functional.interpolate(seen[None], (HEIGHT, WIDTH), mode="bicubic")[0]
    assert (frame - wide)[:, 4:-4, 4:-4].abs().max() < 0.02


def test_objects_move_more_than_the_background_as_the_camera_pans() -> None:
    stage = scene(disc(0, 0))
    frame = drawn(stage, motion(2, slot=2, TX=0.5))[-1].float() / BYTES
    centre, _ = shape_of(((frame.mean(0) - 0.5) / 0.5).clamp(0, 1))
    assert float(centre[0]) == pytest.approx(0.54, abs=0.01)


def test_drawing_back_shrinks_the_middle_and_stretches_the_border() -> None:
    stage = scene(disc(0, 0, 0.2))
    frame = drawn(stage, motion(2, slot=2, LOG_SCALE=-0.14))[-1].float() / BYTES
    inner = torch.nn.functional.interpolate(
        stage.picture[None], scale_factor=0.87, mode="bilinear", antialias=True
    )[0]
    top, left = (HEIGHT - inner.shape[1]) // 2, (WIDTH - inner.shape[2]) // 2
    part = frame[:, top : top + inner.shape[1], left : left + inner.shape[2]]
    middle = (slice(None), slice(15, -15), slice(15, -15))
    assert (part[middle] - inner[middle]).abs().mean() < 0.02
    corners = (slice(None), [0, 0, -1, -1], [0, -1, 0, -1])  # what was there stays there
    assert torch.allclose(frame[corners], stage.picture[corners], atol=0.03)


def test_shrinking_keeps_the_mean_of_fine_detail() -> None:
    stage = scene(disc(0, 0, 0.5))
    stripes = torch.arange(WIDTH).remainder(2).float().expand(HEIGHT, WIDTH)
    striped = stage._replace(colours=stripes.expand(2, 3, -1, -1))
    frame = drawn(striped, motion(2, LOG_SCALE=-0.7))[-1].float() / BYTES
    inside = frame[:, disc(0, 0, 0.18) > 0.9]
    assert inside.std() < 0.12
    assert float(inside.mean()) == pytest.approx(0.5, abs=0.05)


def test_fading_leaves_what_is_behind() -> None:
    stage = scene(disc(0, 0))
    gone = torch.zeros(2, 3, CHANNELS)
    gone[1, 0, FADE] = 1
    frame = drawn(stage, gone)[1].float() / BYTES
    assert torch.allclose(frame, background(stage, (True, False)), atol=0.003)
    assert (frame - texture()).abs().max() < 0.35


def test_control_points_bend_an_object() -> None:
    stage = scene(disc(0, 0))
    bent = motion(2, TX=0.0)
    bent[1, 0, 8:17] = 0.1
    frame = drawn(stage, bent)[-1].float() / BYTES
    centre, _ = shape_of(((frame.mean(0) - 0.5) / 0.5).clamp(0, 1))
    assert float(centre[0]) == pytest.approx(0.1, abs=0.015)


def test_a_video_takes_the_backgrounds_place() -> None:
    stage = scene(disc(-0.4, 0, 0.2), disc(0.5, 0, 0.2))
    video = background(stage).expand(2, -1, -1, -1).clone()
    video[1] = 1 - video[1]
    frames = drawn(stage, motion(2, TX=0.1), video).float() / BYTES
    far = (disc(-0.3, 0, 0.4) + disc(0.5, 0, 0.3)) == 0
    assert torch.allclose(frames[:, :, far], video[:, :, far], atol=0.003)
    assert torch.allclose(frames[:, :, disc(0.5, 0, 0.15) > 0.9], torch.tensor(1.0), atol=0.02)


def test_the_same_frames_come_again() -> None:
    stage, moved = scene(disc(0, 0)), motion(3, TX=0.3)
    moved[:, 2, ANGLE] = torch.linspace(0, 0.2, 3)
    assert torch.equal(drawn(stage, moved), drawn(stage, moved))
