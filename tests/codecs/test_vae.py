"""VAE codecs against the plain calls of diffusers, on small random networks of every class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from fbridge.codecs import Gaussian, View
from fbridge.codecs.vae import VAE_KINDS, VAECodec
from fbridge.errors import CheckpointError, ConfigError, DataError
from tests.codecs.vaes import CAUSAL, CONFIGS, IMAGE, VIDEO, tiny_vae

LTX_MEAN, LTX_STD = torch.linspace(-0.4, 0.6, 6), torch.linspace(0.5, 2, 6)
WAN_MEAN, WAN_STD = torch.tensor([0.3, -0.2, 0.1]), torch.tensor([2.0, 0.5, 1.5])
SHIFT_SCALE: dict[str, tuple[Any, Any]] = {
    "AutoencoderKL": (0.12, 0.36),
    "AutoencoderTiny": (0.2, 1.7),
    "AutoencoderKLCogVideoX": (0.0, 0.7),
    "AutoencoderKLWan": (WAN_MEAN, 1 / WAN_STD),
    "AutoencoderKLLTXVideo": (LTX_MEAN, 1.3 / LTX_STD),
    "AutoencoderKLHunyuanVideo": (0.0, 0.48),
}
"""How the pipelines of diffusers normalise: (latent - shift) * scale."""


@pytest.fixture(params=list(VAE_KINDS))
def codec(request: pytest.FixtureRequest) -> VAECodec:
    return VAECodec(tiny_vae(request.param))


def kind_of(codec: VAECodec) -> str:
    return type(codec.vae).__name__


def videos(batch: int = 2, frames: int = 9) -> Tensor:
    return torch.rand(batch, frames, 3, 32, 48)


def look(codec: VAECodec, pictures: Sequence[Tensor] | Tensor) -> View:
    nothing = torch.zeros(len(pictures), 0, 8)
    return codec.view(list(pictures), nothing, nothing[..., 0].bool())


def normalised(kind: str, raw: Tensor) -> Tensor:
    """Latents (B, C, F, H, W) of diffusers as the family's denoiser sees them, (B, F, C, H, W)."""
    shift, scale = (torch.as_tensor(part).view(-1, 1, 1) for part in SHIFT_SCALE[kind])
    return (raw.transpose(1, 2) - shift) * scale


def raw_latents(codec: VAECodec, clips: Tensor) -> tuple[Tensor, Tensor | None]:
    """Mean and standard deviation (B, C, F, H, W) by the plain calls."""
    pixels = (2 * clips - 1).transpose(1, 2)
    with torch.no_grad():
        if kind_of(codec) == "AutoencoderTiny":
            frames = [codec.vae.encode(frame).latents for frame in pixels.unbind(2)]
            return torch.stack(frames, 2), None
        if kind_of(codec) == "AutoencoderKL":
            each = [codec.vae.encode(frame).latent_dist for frame in pixels.unbind(2)]
            return torch.stack([d.mean for d in each], 2), torch.stack([d.std for d in each], 2)
        told = codec.vae.encode(pixels).latent_dist
        return told.mean, told.std


def test_every_known_class_is_tested() -> None:
    assert set(CONFIGS) == set(VAE_KINDS) == {*IMAGE, *VIDEO}


def test_encoding_is_that_of_diffusers_normalised(codec: VAECodec) -> None:
    clips = videos()
    found = codec.encode(list(clips), look(codec, clips[:, 0]))
    mean, deviation = raw_latents(codec, clips)
    torch.testing.assert_close(found.mean, normalised(kind_of(codec), mean), rtol=1e-4, atol=1e-5)
    assert found.mean.shape[:2] == (2, 9 if codec.repeats else 3)
    noise = torch.randn_like(found.mean)
    if deviation is None:
        assert found.log_variance is None
        assert found.sample(noise) is found.mean
        return
    drawn = normalised(kind_of(codec), mean + deviation * noise.transpose(1, 2))
    torch.testing.assert_close(found.sample(noise), drawn, rtol=1e-4, atol=1e-4)
    assert (drawn - found.mean).abs().mean() > 0.1


def test_decoding_is_that_of_diffusers(codec: VAECodec) -> None:
    raw = torch.randn_like(raw_latents(codec, videos())[0])
    kind, view = kind_of(codec), look(codec, videos()[:, 0])
    with torch.no_grad():
        if kind in IMAGE:
            plain = torch.stack([codec.vae.decode(frame).sample for frame in raw.unbind(2)], 2)
        elif kind == "AutoencoderKLLTXVideo":
            plain = codec.vae.decode(raw, torch.zeros(2)).sample
        else:
            plain = codec.vae.decode(raw).sample
    found = codec.decode(normalised(kind, raw), view)
    expected = (plain / 2 + 0.5).clamp(0, 1).transpose(1, 2)
    assert [video.shape for video in found] == [(9, 3, 32, 48)] * 2
    torch.testing.assert_close(torch.stack(found), expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.01


def test_the_condition_is_the_picture_alone(codec: VAECodec) -> None:
    clips = videos()
    view, alone = (
        look(codec, clips[:, 0]),
        codec.encode(list(clips[:, :1]), look(codec, clips[:, 0])),
    )
    assert torch.equal(view.image_latents, alone.mean[:, 0])
    if alone.log_variance is None:
        assert view.image_log_variance is None
    else:
        assert view.image_log_variance is not None
        assert torch.equal(view.image_log_variance, alone.log_variance[:, 0])


def test_a_picture_standing_still(codec: VAECodec) -> None:
    clips = videos()
    view = look(codec, clips[:, 0])
    repeated = codec.encode(list(clips[:, :1].expand(-1, 9, -1, -1, -1)), view)
    found = codec.still(view, 9)
    for a, b in zip(found, repeated, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    assert codec.repeats == (kind_of(codec) in IMAGE)
    differs = (found.mean - view.image_latents[:, None]).abs().max()
    if kind_of(codec) == "AutoencoderKLWan":  # pads time with zeros: stillness has a beginning
        assert differs > 0.1
    else:
        assert differs == 0 if codec.repeats else differs < 1e-5


@pytest.mark.parametrize("kind", [*IMAGE, *CAUSAL])
def test_the_first_latent_knows_the_first_picture_only(kind: str) -> None:
    codec, clips = VAECodec(tiny_vae(kind)), videos()
    other = torch.cat([clips[:, :1], videos()[:, 1:]], 1)
    view = look(codec, clips[:, 0])
    assert codec.first_frame_alone
    a, b = (codec.encode(list(each), view).mean for each in (clips, other))
    torch.testing.assert_close(a[:, 0], b[:, 0], rtol=0, atol=2e-6)
    torch.testing.assert_close(a[:, 0], view.image_latents, rtol=0, atol=2e-6)
    assert (a[:, 1] - b[:, 1]).abs().max() > 1e-3


@pytest.mark.parametrize("kind", sorted({*VAE_KINDS} - {*IMAGE, *CAUSAL}))
def test_normalisation_over_time_lets_it_know_more(kind: str) -> None:
    codec, clips = VAECodec(tiny_vae(kind)), videos()
    view = look(codec, clips[:, 0])
    assert not codec.first_frame_alone
    first = codec.encode(list(clips), view).mean[:, 0]
    assert (first - view.image_latents).abs().max() > 1e-3


def test_a_video_does_not_depend_on_its_batch(codec: VAECodec) -> None:
    clips = videos(3)
    view = look(codec, clips[:, 0])
    whole = codec.encode(list(clips), view).mean
    alone = codec.encode([clips[1]], look(codec, clips[1:2, 0])).mean
    torch.testing.assert_close(whole[1:2], alone, rtol=1e-5, atol=1e-5)


def test_cogvideox_1_5_tells_its_pictures_on_another_scale() -> None:
    usual = VAECodec(tiny_vae("AutoencoderKLCogVideoX"))
    newer = VAECodec(tiny_vae("AutoencoderKLCogVideoX", invert_scale_latents=True))
    clips = videos()
    a, b = (look(codec, clips[:, 0]) for codec in (usual, newer))
    torch.testing.assert_close(b.image_latents, a.image_latents / 0.7**2)
    assert a.image_log_variance is not None
    assert b.image_log_variance is not None
    torch.testing.assert_close(b.image_log_variance, a.image_log_variance - 4 * math.log(0.7))
    assert torch.equal(usual.encode(list(clips), a).mean, newer.encode(list(clips), b).mean)
    assert torch.equal(usual.still(a, 9).mean, newer.still(b, 9).mean)


@pytest.mark.parametrize(
    ("kind", "shape", "way_out"),
    [
        (
            "AutoencoderKLCogVideoX",
            (48, 32, 16),
            "16 frames .* AutoencoderKLCogVideoX; use 9 or 17",
        ),
        ("AutoencoderKLWan", (48, 32, 2), "2 frames .* use 1 or 5"),
        ("AutoencoderKLHunyuanVideo", (48, 32, 0), "0 frames .* use 1$"),
        ("AutoencoderKL", (250, 128, 16), "size 250x128 .* AutoencoderKL; use 248x128 or 252x128"),
        ("AutoencoderKLLTXVideo", (250, 130, 9), "use 248x128 or 256x136"),
        ("AutoencoderTiny", (3, 64, 1), "use 8x64$"),
        ("AutoencoderTiny", (64, 64, 0), "use 1$"),
    ],
)
def test_shapes_that_cannot_be(kind: str, shape: tuple[int, int, int], way_out: str) -> None:
    with pytest.raises(ConfigError, match=way_out):
        VAECodec(tiny_vae(kind)).check_shape(*shape)


@pytest.mark.parametrize("frames", [1, 5, 9, 13, 17])
def test_every_possible_length_comes_back_as_long(codec: VAECodec, frames: int) -> None:
    """diffusers makes 8 frames of CogVideoX's latents of 5, and 16 of those of 13."""
    try:
        codec.check_shape(48, 32, frames)
    except ConfigError:
        even = torch.zeros(1, (frames - 1) // 4 + 1, 4, 4, 6)
        with pytest.raises(ConfigError, match=f"{frames} frames are not possible"):
            codec.decode(even, look(codec, videos(1)[:, 0]))
        return
    clips = videos(1, frames)
    view = look(codec, clips[:, 0])
    assert len(codec.decode(codec.encode(list(clips), view).mean, view)[0]) == frames


def test_shapes_that_can_be(codec: VAECodec) -> None:
    pairs = kind_of(codec) == "AutoencoderKLCogVideoX"
    for frames in (1, 9, 17, *([] if pairs else [5, 13]), *([2, 16] if codec.repeats else [])):
        codec.check_shape(256, 128, frames)
    assert codec.output_size((2000, 1000), None) == (512, 256)
    assert codec.output_size((101, 5), None) in [(104, 8), (100, 4)]
    assert codec.output_size((101, 5), (640, 360)) == (640, 360)
    with pytest.raises(ConfigError, match="641x360"):
        codec.output_size((101, 5), (641, 360))


def test_what_does_not_fit_is_not_cut_in_silence(codec: VAECodec) -> None:
    clips = videos()
    view = look(codec, clips[:, 0])
    if not codec.repeats:
        with pytest.raises(ConfigError, match="8 frames"):
            codec.encode(list(clips[:, :8]), view)
        with pytest.raises(ConfigError, match="8 frames"):
            codec.still(view, 8)
    with pytest.raises(DataError, match="several shapes"):
        codec.encode([clips[0], clips[0, :5]], view)
    with pytest.raises(ConfigError, match="size 30x32"):
        look(codec, [clips[0, 0, :, :, :30]])


def test_tiling_is_asked_for_once(codec: VAECodec) -> None:
    clips = videos()
    view = look(codec, clips[:, 0])
    before = codec.encode(list(clips), view).mean
    assert codec.tile()
    assert codec.vae.use_tiling
    assert not codec.tile()
    after = codec.encode(list(clips), view).mean  # smaller than one tile
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_tiny_autoencoders_of_other_shapes_have_no_tiles() -> None:
    codec = VAECodec(tiny_vae("AutoencoderTiny", latent_channels=6))
    assert not codec.tile()
    assert not codec.vae.use_tiling


def test_half_precision_gives_float32_latents_near(codec: VAECodec) -> None:
    clips = videos()
    view = look(codec, clips[:, 0])
    whole = codec.encode(list(clips), view)
    codec.vae.to(torch.bfloat16)
    half = codec.encode(list(clips), look(codec, clips[:, 0]))
    assert half.mean.dtype == torch.float32
    assert half.log_variance is None or half.log_variance.dtype == torch.float32
    assert 0 < (half.mean - whole.mean).abs().mean() < 0.1 * whole.mean.std() + 0.02
    assert codec.decode(half.mean, view)[0].dtype == torch.float32


def test_a_gaussian_is_drawn_from() -> None:
    latents = Gaussian(torch.full((1, 2, 3, 4, 5), 2.0), torch.full((1, 2, 3, 4, 5), math.log(9)))
    noise = torch.randn(1, 2, 3, 4, 5)
    torch.testing.assert_close(latents.sample(noise), 2 + 3 * noise)


@pytest.mark.parametrize("value", [None, 0, "x"])
def test_a_scale_that_is_no_number_is_named(value: Any) -> None:
    vae = tiny_vae("AutoencoderKLWan")
    vae.register_to_config(scale_factor_temporal=value)
    with pytest.raises(
        CheckpointError, match=f"scale_factor_temporal of its .* is {value!r} where"
    ):
        VAECodec(vae)
