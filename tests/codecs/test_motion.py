"""The motion codec on a random network: its own promises, whatever the weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fbridge.codecs.motion import DESCRIPTION, MAX_SIDE, MIN_SIDE, MotionCodec, working_size
from fbridge.codecs.pixel import PixelCodec
from fbridge.codecs.render import ANGLE, CHANNELS, TX, TY, Stack, build_stack, render
from fbridge.codecs.tracking import track_motions
from fbridge.errors import ConfigError, DataError

UNIT = tuple((0.1 + c / 50, 0.1 + c / 50, 0.2) for c in range(CHANNELS))


@pytest.fixture(scope="module")
def codec() -> MotionCodec:
    torch.manual_seed(3)
    return MotionCodec(widths=(8, 8, 16, 16), side=64, scale=UNIT).eval()


def words(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(batch, 5, 384), torch.ones(batch, 5, dtype=torch.bool)


def test_still_latents_give_the_picture_back(codec: MotionCodec) -> None:
    pictures = [torch.rand(3, 50, 70), torch.rand(3, 90, 64)]
    view = codec.view(pictures, *words(2))
    assert view.image_latents.shape == (2, DESCRIPTION, 3, 1)
    for video, picture in zip(codec.decode(codec.still(view, 3).mean, view), pictures, strict=True):
        assert torch.allclose(video, picture.expand_as(video), atol=1e-4)


def test_latents_and_motions_are_inverse(codec: MotionCodec) -> None:
    motions = torch.randn(2, 4, 3, CHANNELS)
    latents = codec.latents(motions)
    assert latents.shape == (2, 4, CHANNELS, 3, 1)
    assert torch.allclose(codec.motions(latents), motions, atol=1e-6)
    assert latents[0, 0, 7, 2, 0] == pytest.approx(
        float(motions[0, 0, 2, 7]) / UNIT[7][2], rel=1e-5
    )


def test_a_picture_is_seen_alike_in_any_batch(codec: MotionCodec) -> None:
    pictures, (text, mask) = [torch.rand(3, 64, 64) for _ in range(3)], words(3)
    mask[1, 3:] = False
    whole = codec.view(pictures, text, mask).image_latents
    alone = codec.view(pictures[1:2], text[1:2, :3], mask[1:2, :3]).image_latents
    assert torch.equal(whole[1:2], alone)


def patch_on_clouds() -> Stack:
    """A textured square over a smooth background, 48 x 48."""
    torch.manual_seed(0)
    fill = torch.rand(1, 3, 6, 6)
    background = torch.nn.functional.interpolate(fill, (48, 48), mode="bicubic").clamp(0, 1)[0]
    mask = torch.zeros(2, 48, 48)
    mask[0, 14:32, 10:28] = 1
    picture = torch.where(mask[0] > 0, 1 - background.flip(2), background)
    return build_stack(picture, mask, background)


@pytest.mark.parametrize(("slot", "channel", "size"), [(0, TX, 0.6), (0, ANGLE, 0.8), (2, TY, 0.3)])
def test_tracking_finds_a_known_motion(slot: int, channel: int, size: float) -> None:
    stack, truth = patch_on_clouds(), torch.zeros(8, 3, CHANNELS)
    truth[:, slot, channel] = torch.linspace(0, size, 8)
    unit = torch.full((3, CHANNELS), 0.15)
    found = track_motions(stack, render(stack, truth), unit, steps=15, polish=30)
    assert (found - truth)[:, slot, channel].abs().max() < 0.12 * size
    others = (found - truth)[:, 2 - slot, :4].abs().max()
    assert others < 0.2 * size


def test_encoding_what_was_decoded_gives_the_clip_again(codec: MotionCodec) -> None:
    fill = torch.nn.functional.interpolate(torch.rand(1, 3, 5, 5), (64, 64), mode="bicubic")
    view = codec.view([fill.clamp(0, 1)[0]], *words(1))
    motions = torch.zeros(1, 6, 3, CHANNELS)
    motions[:, :, 2, TX] = torch.linspace(0, 0.4, 6)
    video = codec.decode(codec.latents(motions), view)
    again = codec.decode(codec.encode(video, view).mean, view)
    still = codec.decode(codec.still(view, 6).mean, view)
    error, least = ((v[0] - video[0]).abs().mean() for v in (again, still))
    assert error < 0.25 * least


@given(st.integers(1, 6000), st.integers(1, 6000))
def test_output_sizes_are_even_and_bounded(width: int, height: int) -> None:
    size = _CODEC.output_size((width, height), None)
    assert all(side % 2 == 0 and MIN_SIDE <= side <= MAX_SIDE for side in size)
    if 1 / 8 < width / height < 8:
        assert max(size) <= 512
        assert size[0] / size[1] == pytest.approx(width / height, rel=0.04)


_CODEC = MotionCodec(widths=(8, 8, 16, 16))


def test_sizes_asked_for(codec: MotionCodec) -> None:
    assert codec.output_size((100, 100), (640, 360)) == (640, 360)
    for bad in ((641, 360), (20, 20), (4000, 400)):
        with pytest.raises(ConfigError, match=f"{bad[0]}x{bad[1]}"):
            codec.output_size((100, 100), bad)
    with pytest.raises(ConfigError, match="use 640x64"):
        codec.check_shape(641, 20, 16)
    codec.check_shape(640, 360, 17)


@given(st.integers(16, 3000), st.integers(16, 3000))
def test_working_sizes_fit_the_network(height: int, width: int) -> None:
    size = working_size(height, width, 128)
    assert all(side % 16 == 0 and 64 <= side <= 256 for side in size)


def test_pixels_round_trip() -> None:
    codec = PixelCodec(8, 12)
    videos = [torch.rand(3, 3, 8, 12) for _ in range(2)]
    view = codec.view([video[0] for video in videos], *words(2))
    for a, b in zip(codec.decode(codec.encode(videos, view).mean, view), videos, strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert torch.equal(codec.still(view, 2).mean[1, 1], videos[1][0] * 2 - 1)


def test_pixels_of_another_size_are_refused() -> None:
    codec = PixelCodec(8, 12)
    with pytest.raises(DataError, match="12x9"):
        codec.view([torch.rand(3, 9, 12)], *words(1))
    with pytest.raises(ConfigError, match="16x16"):
        codec.output_size((5, 5), (16, 16))
    with pytest.raises(ConfigError, match="12x8"):
        codec.check_shape(16, 16, 4)
    codec.check_shape(12, 8, 4)
