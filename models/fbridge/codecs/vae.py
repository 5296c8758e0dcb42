"""The codec over diffusers' autoencoders, of images (per frame) or of videos (causal in time).

Latents are normalised as the VAE's denoisers expect them:

    (latent - latents_mean - shift_factor) * scaling_factor / latents_std

with those of these numbers that the VAE's configuration has. Pixels are in [0, 1] here and in
[-1, 1] for the autoencoders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fbridge.codecs import Gaussian, View
from fbridge.errors import CheckpointError, ConfigError, DataError
from fbridge.types import Latents

FRAMES_AT_ONCE = {"cpu": 4}
"""Frames per batch of an image VAE, by device, which limits the memory. On a CPU, batches of 4 are
1.4 times as fast as of 8."""
MOST_FRAMES_AT_ONCE = 16

USUAL_SIDE = 512
"""Maximum of the longer side if no size is requested."""


class VAEKind(NamedTuple):
    """The compression of a class of autoencoders, each a function of the VAE.

    Attributes:
        spatial: pixels per latent pixel and axis.
        temporal: frames per latent frame after the first; None of an image VAE.
        together: latent frames after the first come in multiples of this.
        alone: the first latent frame depends on the first frame alone. Normalisation over time
            (CogVideoX, HunyuanVideo) lets it depend on all.
    """

    spatial: Callable[[Any], int]
    temporal: Callable[[Any], int] | None = None
    together: int = 1
    alone: bool = True


def _halvings(config_name: str) -> Callable[[Any], int]:
    return lambda vae: int(2 ** (len(vae.config[config_name]) - 1))


def _fact(name: str) -> Callable[[Any], int]:
    return lambda vae: int(getattr(vae, name))


def _setting(name: str) -> Callable[[Any], int]:
    def read(vae: Any) -> int:
        value = vae.config[name]
        if not isinstance(value, (int, float)) or value < 1:
            raise CheckpointError(
                f"{name} of its {type(vae).__name__} is {value!r} where a positive number is "
                "needed; get it again"
            )
        return int(value)

    return read


_OWN = VAEKind(_fact("spatial_compression_ratio"), _fact("temporal_compression_ratio"))

VAE_KINDS = {
    "AutoencoderKL": VAEKind(_halvings("block_out_channels")),
    "AutoencoderTiny": VAEKind(_halvings("encoder_block_out_channels")),
    "AutoencoderKLCogVideoX": VAEKind(
        # diffusers decodes latent frames in pairs after an odd first batch. Of an even number (5 or
        # 13 frames) it makes four frames of the first one too: 8 or 16, all three too late.
        _halvings("block_out_channels"),
        _setting("temporal_compression_ratio"),
        together=2,
        alone=False,
    ),
    "AutoencoderKLWan": VAEKind(
        _setting("scale_factor_spatial"), _setting("scale_factor_temporal")
    ),
    "AutoencoderKLLTXVideo": _OWN,
    "AutoencoderKLHunyuanVideo": _OWN._replace(alone=False),
}
"""The supported classes of diffusers, by name."""


class VAECodec:
    """A frozen autoencoder of a class in `VAE_KINDS` as a codec.

    The image latent is that of the picture alone. It equals the first latent frame of a clip that
    starts with the picture where `first_frame_alone`, else only approximately.

    Attributes:
        vae: the autoencoder.
        spatial: pixels per latent pixel and axis.
        temporal: frames per latent frame after the first; None of an image VAE.
        step: frames between possible lengths of a clip, which are multiples of it plus one.
        first_frame_alone: of an image VAE, and of one that is causal in every layer (Wan, LTX).
    """

    reads_text = False
    needs_picture = False

    def __init__(self, vae: Any) -> None:
        family = VAE_KINDS[type(vae).__name__]
        self.vae = vae.eval().requires_grad_(False)
        self.spatial = family.spatial(vae)
        self.temporal = None if family.temporal is None else family.temporal(vae)
        self.step = (self.temporal or 1) * family.together
        self.first_frame_alone = family.alone
        if self.temporal is None:
            self.vae = self.vae.to(memory_format=torch.channels_last)

    @property
    def repeats(self) -> bool:
        """True of an image VAE."""
        return self.temporal is None

    def output_size(
        self, picture: tuple[int, int], requested: tuple[int, int] | None
    ) -> tuple[int, int]:
        """The requested size, else near the picture's with a longer side of at most 512."""
        if requested is not None:
            self.check_shape(*requested, 1)
            return requested
        shrink = min(1.0, USUAL_SIDE / max(picture))
        width, height = (
            max(1, round(side * shrink / self.spatial)) * self.spatial for side in picture
        )
        return width, height

    def check_shape(self, width: int, height: int, frames: int) -> None:
        """Sides must be multiples of `spatial`, frames a multiple of `step` plus one."""
        kind = type(self.vae).__name__
        sides = [_nearest(side, self.spatial, self.spatial) for side in (width, height)]
        if [width, height] != [below for below, _ in sides]:
            ways = dict.fromkeys(f"{w}x{h}" for w, h in zip(*sides, strict=True))
            raise ConfigError(
                f"size {width}x{height} is not possible with {kind}; use {' or '.join(ways)}"
            )
        below, above = _nearest(frames, self.step, 1)
        if frames != below:
            ways = dict.fromkeys((str(below), str(above)))
            raise ConfigError(
                f"{frames} frames are not possible with {kind}; use {' or '.join(ways)}"
            )

    @torch.no_grad()
    def view(
        self,
        pictures: Sequence[Tensor],
        text: Tensor,
        prompt_mask: Tensor,
        prompts: Sequence[str] | None = None,
    ) -> View:
        """Encode the pictures, all of one size."""
        scale = 1.0
        if self.vae.config.get("invert_scale_latents"):  # CogVideoX 1.5: of pictures, not videos
            scale = self.vae.config["scaling_factor"] ** -2
        latents = _scaled(self._encode(_stack(pictures)[:, None]), scale)
        return View(*latents.map(lambda part: part[:, 0]), tuple(pictures))

    @torch.no_grad()
    def encode(self, videos: Sequence[Tensor], view: View) -> Gaussian:
        """Normalised latents, float32."""
        return self._encode(_stack(videos))

    @torch.no_grad()
    def still(self, view: View, num_frames: int) -> Gaussian:
        """The image latent repeated, or of a video VAE the encoding of the repeated picture."""
        if self.temporal is not None:
            pixels = _stack(view.scenes)[:, None].expand(-1, num_frames, -1, -1, -1)
            return self._encode(pixels)
        picture = Gaussian(view.image_latents, view.image_log_variance)
        return picture.map(lambda part: part[:, None].expand(-1, num_frames, -1, -1, -1))

    @torch.no_grad()
    def decode(self, latents: Latents, view: View) -> list[Tensor]:
        """Normalised latents to pixels in [0, 1]."""
        shift, scale = self._normalisation()
        raw = (latents.to(scale) / scale + shift).to(self.vae.dtype)
        if self.temporal is None:
            videos = [
                torch.cat(
                    [self.vae.decode(part).sample for part in row.split(self._frames_at_once)]
                )
                for row in raw
            ]
        else:
            self.check_shape(
                self.spatial * latents.shape[4],
                self.spatial * latents.shape[3],
                (latents.shape[1] - 1) * self.temporal + 1,
            )
            timed = {}
            if self.vae.config.get("timestep_conditioning"):  # LTX: the latents are clean
                timed["temb"] = raw.new_zeros(len(raw))
            videos = list(self.vae.decode(raw.transpose(1, 2), **timed).sample.transpose(1, 2))
        return [_pixels(video.float()) for video in videos]

    def tile(self) -> bool:
        """Encode and decode large frames in overlapping tiles of diffusers."""
        kind = type(self.vae).__name__
        latents = self.vae.config.get("latent_channels")
        if kind == "AutoencoderTiny" and (self.spatial, latents) != (8, 4):
            return False  # diffusers' tiling of it supports no other shape
        if self.vae.use_tiling:
            return False
        self.vae.enable_tiling()
        return True

    @property
    def _frames_at_once(self) -> int:
        return FRAMES_AT_ONCE.get(self.vae.device.type, MOST_FRAMES_AT_ONCE)

    def _encode(self, pixels: Tensor) -> Gaussian:
        """Normalised latents of (B, F, 3, H, W) in [0, 1]."""
        self.check_shape(pixels.shape[4], pixels.shape[3], pixels.shape[1])
        if self.temporal is None:  # only so many frames are copied at a time, to save memory
            coded = [_joined(map(self._code_frames, row.split(self._frames_at_once)), torch.cat)
                     for row in pixels]  # fmt: skip
            raw = _joined(coded, torch.stack)
        else:
            signed = self._signed(pixels).transpose(1, 2)
            raw = self._code(signed).map(lambda part: part.transpose(1, 2))
        shift, scale = self._normalisation()
        return _scaled(Gaussian(raw.mean - shift, raw.log_variance), scale)

    def _signed(self, pixels: Tensor) -> Tensor:
        return (pixels * 2 - 1).to(self.vae.device, self.vae.dtype)

    def _code_frames(self, pixels: Tensor) -> Gaussian:
        return self._code(_channels_last(self._signed(pixels)))

    def _code(self, signed: Tensor) -> Gaussian:
        """The VAE's latents of pixels in [-1, 1], in its axis order, float32."""
        out = self.vae.encode(signed)
        if hasattr(out, "latents"):  # AutoencoderTiny
            return Gaussian(out.latents.float())
        return Gaussian(out.latent_dist.mean.float(), out.latent_dist.logvar.float())

    def _normalisation(self) -> tuple[Tensor, Tensor]:
        """(shift, scale), each (C, 1, 1) or (1, 1, 1): normalised = (latent - shift) * scale."""
        config, buffers = self.vae.config, dict(self.vae.named_buffers(recurse=False))

        def number(name: str, without: float) -> Tensor:
            held = config.get(name)
            held = buffers.get(name) if held is None else held  # LTX
            held = without if held is None else held
            return torch.as_tensor(held, dtype=torch.float32, device=self.vae.device).view(-1, 1, 1)

        shift = number("latents_mean", 0.0) + number("shift_factor", 0.0)
        return shift, number("scaling_factor", 1.0) / number("latents_std", 1.0)


def _pixels(video: Tensor) -> Tensor:
    """From [-1, 1] to [0, 1]; infinity becomes NaN, since clamping would make it white or black."""
    return torch.where(video.isfinite(), (video + 1) / 2, torch.nan).clamp(0, 1)


def _scaled(latents: Gaussian, scale: Tensor | float) -> Gaussian:
    """Latents times a scale."""
    mean, log_variance = latents
    if log_variance is not None:
        log_variance = log_variance + 2 * torch.as_tensor(scale).abs().log()
    return Gaussian(mean * scale, log_variance)


def _joined(parts: Any, join: Callable[[Any], Tensor]) -> Gaussian:
    means, log_variances = zip(*parts, strict=True)
    return Gaussian(join(means), None if log_variances[0] is None else join(log_variances))


def _stack(clips: Sequence[Tensor]) -> Tensor:
    sizes = dict.fromkeys(tuple(clip.shape) for clip in clips)
    if len(sizes) > 1:
        raise DataError(
            f"pictures or clips of several shapes in one batch ({', '.join(map(str, sizes))}); "
            "pass one size, or one at a time"
        )
    return torch.stack(list(clips))


def _channels_last(frames: Tensor) -> Tensor:
    """In channels-last format, with which a CPU's convolutions take two thirds of the time."""
    return frames.contiguous(memory_format=torch.channels_last)


def _nearest(value: int, step: int, least: int) -> tuple[int, int]:
    """The nearest of least, least + step, ... at or below a value, and at or above it."""
    steps = max(0, value - least) / step
    below = least + int(steps) * step
    return below, below if below == value or value < least else below + step
