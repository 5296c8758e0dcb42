"""From picture and prompt to video, by any model's parts."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fbridge.codecs import Rewords, View
from fbridge.codecs.frames import OnFrames, decode_frames
from fbridge.data.pictures import fit_picture, upright_rgb
from fbridge.denoiser import (
    Backbone,
    BridgeDenoiser,
    Denoiser,
    ExactFirstFrame,
    GuidedDenoiser,
    PairDenoiser,
)
from fbridge.errors import ConfigError
from fbridge.parameterization import Parameterization
from fbridge.pipeline.bridge import Bridge
from fbridge.pipeline.inputs import broadcast_inputs, picture_tensor
from fbridge.pipeline.remedy import overflow_remedy
from fbridge.pipeline.step_cache import RatioStore, fresh_step_caches, prepare_step_caches
from fbridge.sampling import GridKind, Start, Step, build_sampler, seeded_noise
from fbridge.scheduler_plain import with_image_input
from fbridge.types import Condition


@dataclass
class BridgeOutput:
    """Videos, uint8 (F, H, W, 3), and the latents (B, F, C, H, W) they were decoded from."""

    frames: list[NDArray[np.uint8]]
    latents: Tensor


class BridgeSampling(Bridge):
    """A model that is called with pictures and prompts, and gives videos."""

    output_class: ClassVar[type[BridgeOutput]] = BridgeOutput

    @cached_property
    def step_ratios(self) -> RatioStore:
        """What MagCaches of its networks have measured; another store may be put in its place."""
        return {}

    @torch.no_grad()
    def __call__(  # noqa: PLR0913 - the options of the command line
        self,
        image: Image.Image | Sequence[Image.Image],
        prompt: str | Sequence[str],
        *,
        negative_prompt: str | Sequence[str] = "",
        seed: int | Sequence[int] = 0,
        num_frames: int | None = None,
        size: tuple[int, int] | None = None,
        num_inference_steps: int | None = None,
        sampler: str | None = None,
        eta: float | None = None,
        grid: GridKind | None = None,
        time_shift: float | None = None,
        start: Start | None = None,
        strength: float | None = None,
        image_input: str | None = None,
        first_frame: str | None = None,
        guidance_scale: float | None = None,
        guidance_scale_2: float | None = None,
        image_guidance_scale: float = 1.0,
        callback: Callable[[int, int], None] | None = None,
        on_frames: OnFrames | None = None,
        on_note: Callable[[int, str], None] | None = None,
    ) -> BridgeOutput:
        """Make one video for each picture, prompt and seed; single ones are used for all videos.

        Args:
            image: of any size and mode; rotated upright and fitted to the video's size.
            prompt: text, or the class name for a class-conditional model.
            negative_prompt: text for the unconditional branch of guidance.
            seed: each video depends on its own picture, prompt and seed only, not on the batch,
                except for rounding.
            num_frames: see `frame_limits`.
            size: (width, height) of all videos; None: `output_size` of each picture.
            num_inference_steps: steps of the sampler.
            sampler: key of `fbridge.sampling.SAMPLERS`.
            eta: share of the posterior's noise in sampler "dbim", from 0 (ODE) to 1 (SDE).
            grid: kind of `fbridge.sampling.time_grid`.
            time_shift: its `shift`; above 1 more steps lie near the prior.
            start: "noised", "exact" or "booted".
            strength: time at which the bridge starts, from the prior with the noise of that time;
                1 is the whole bridge, less stays nearer to the prior.
            image_input: one of `fbridge.choices.IMAGE_INPUTS`: whether the network is given the
                picture as first latent frame, of an untrained base that takes it so.
            first_frame: one of `fbridge.choices.FIRST_FRAMES`; None: "exact" where the codec allows
                it. A native picture is exact always.
            guidance_scale: guidance by the prompt; 1: none.
            guidance_scale_2: the same for the network for little noise of a model of two; None:
                `guidance_scale` where that is given.
            image_guidance_scale: guidance by the picture; 1: none.
            callback: called with (step, total) after each step, those of a measurement included.
            on_frames: called with the number of a video and its next frames, uint8 (f, H, W, 3),
                as soon as they are decoded.
            on_note: called with the number of a video and a line on what its picture does not
                hold; without it the lines are warnings.

        Raises:
            ConfigError: an argument is not possible with this model.
            CheckpointError: a video's latents or pixels are not finite.
        """
        images, prompts, negatives, seeds = broadcast_inputs(image, prompt, negative_prompt, seed)
        if self.config.classes and any(negatives):
            raise ConfigError("negative_prompt: a class-conditional model has none; leave it out")
        if told := self.describe_unread([*prompts, *negatives]):
            warnings.warn(told, stacklevel=3)  # of the caller, behind the decorator no_grad
        for note in self.describe_intent(list(dict.fromkeys(prompts))):
            warnings.warn(note, stacklevel=3)
        defaults = self.defaults_with(image_input)
        means = with_image_input(self.scheduler.parameterization, defaults["image_input"])
        exact = means.picture_first or self._exact_first(first_frame or defaults["first_frame"])
        count = self.frame_count(num_frames)
        scales = self.guidance_scales(guidance_scale, guidance_scale_2)
        for scale in (*scales, image_guidance_scale):
            if not math.isfinite(scale):
                raise ConfigError(f"guidance {scale}: must be finite")
        own = {} if eta is None else {"eta": eta}
        chosen = build_sampler(sampler or defaults["sampler"], **own)
        steps = defaults["num_inference_steps"]
        share = defaults["strength"] if strength is None else strength
        start = start or defaults["start"]
        _check_strength(share, start)
        times = self.sampling_times(
            steps if num_inference_steps is None else num_inference_steps,
            grid or defaults["grid"],
            share,
            defaults["time_shift"] if time_shift is None else time_shift,
        )
        view, condition = self.encode_inputs(images, prompts, size)
        _tell(view, on_note or (lambda _, line: warnings.warn(line, stacklevel=5)))

        def sample(
            view: View,
            condition: Condition,
            negatives: Sequence[str],
            seeds: Sequence[int],
            on_step: Callable[[Step], None] | None = None,
        ) -> Tensor:
            start_at = self.start(self.latent_codec.still(view, count).mean, condition, view)
            denoiser = self._denoiser(
                means, view, condition, negatives, scales, image_guidance_scale
            )
            return chosen.sample(
                ExactFirstFrame(denoiser) if exact else denoiser,
                self.scheduler.process,
                start_at,
                times,
                condition,
                noise=seeded_noise(seeds, device=start_at.device, dtype=start_at.dtype),
                start=start,
                on_step=on_step,
            )

        shape = self.output_size(upright_rgb(images[0]).size, size)

        def probe() -> None:
            words = list(self.config.classes or ())[:1] or [""]
            grey = Image.new("RGB", shape, (128, 128, 128))
            sample(*self.encode_inputs([grey], words, shape), [""], [0], _reporter(callback))

        networks = (self.transformer, getattr(self, "transformer_2", None))
        way = (
            sampler or defaults["sampler"], eta, times.tolist(), scales, image_guidance_scale,
            start, defaults["image_input"], exact, count, shape, self.transformer.dtype,
            self.execution_device, self.loras,
        )  # fmt: skip
        prepare_step_caches(networks, self.step_ratios, str(way), probe)
        with fresh_step_caches(*networks):
            latents = sample(view, condition, negatives, seeds, _reporter(callback))
        if exact:  # the last step may leave noise, or round
            latents[:, 0] = condition.image_latents.to(latents)
        self.free_memory()
        parts = () if on_frames is None else (on_frames,)
        frames = self.frames(latents, view, *parts)
        return self.output_class(frames, latents)

    def _exact_first(self, first_frame: str) -> bool:
        if first_frame == "exact" and not self.latent_codec.first_frame_alone:
            raise ConfigError(
                "first_frame 'exact': this model's first latent frame is not the picture's alone; "
                'use "free"'
            )
        return first_frame == "exact"

    def guidance_scales(self, first: float | None, second: float | None) -> tuple[float, float]:
        """Weights of the prompt of both networks, where given, else the model's; as diffusers does.

        Raises:
            ConfigError: the second is given for a model of one network.
        """
        if second is not None and self.second_backbone is None:
            raise ConfigError(
                f"guidance_scale_2 {second:g}: is about the second of two networks, and this model "
                "has one; leave it out"
            )
        usual = self.defaults
        own = usual["guidance_scale"] if first is None else first
        other = usual["guidance_scale_2"] if first is None else None
        return own, next(scale for scale in (second, other, own) if scale is not None)

    def encode_inputs(
        self,
        images: Sequence[Image.Image],
        prompts: Sequence[str],
        size: tuple[int, int] | None = None,
    ) -> tuple[View, Condition]:
        """The codec's view of the pictures, and the condition of pictures and prompts."""
        upright = [upright_rgb(image) for image in images]
        fitted = [fit_picture(p, self.output_size(p.size, size)).pixels for p in upright]
        pictures = [picture_tensor(picture).to(self.execution_device) for picture in fitted]
        labels = self.labels(prompts)
        text, prompt_mask = self.encode_prompts(self.words_of(labels) if labels else prompts)
        view = self.latent_codec.view(pictures, text, prompt_mask, prompts)
        label = torch.tensor(labels, device=text.device) if labels else None
        embeds = self.embed_pictures(pictures)
        return view, Condition(text, prompt_mask, view.image_latents, label, embeds, tuple(prompts))

    def frames(
        self, latents: Tensor, view: View, on_frames: OnFrames | None = None
    ) -> list[NDArray[np.uint8]]:
        """Decode latents (B, F, C, H, W) to videos, uint8 (F, H, W, 3).

        Raises:
            CheckpointError: a video's latents or pixels are not finite.
        """
        return decode_frames(
            self.latent_codec, latents, view, remedy=self._remedy, on_frames=on_frames
        )

    def _remedy(self) -> str:
        return overflow_remedy(self.components, self.transformer.dtype)

    def _denoiser(
        self,
        means: Parameterization,
        view: View,
        condition: Condition,
        negatives: Sequence[str],
        text: tuple[float, float],
        picture: float,
    ) -> Denoiser:
        other: Condition | None = None
        if (*text, picture) != (1, 1, 1):
            other = condition.with_prompt(*self.encode_prompts(negatives))
            if isinstance(self.latent_codec, Rewords):
                other = replace(other, image_latents=self.latent_codec.reworded(view, negatives))

        def guided(network: Backbone, scale: float) -> Denoiser:
            denoiser = BridgeDenoiser(network, means)
            if other is None or (scale == 1 and picture == 1):
                return denoiser
            return GuidedDenoiser(denoiser, other, scale, picture)

        first, second = guided(self.backbone, text[0]), self.second_backbone
        if second is None:
            return first
        assert self.scheduler.boundary is not None, "a model of two networks has one"
        return PairDenoiser(first, guided(second, text[1]), self.scheduler.boundary)


def _tell(view: View, on_note: Callable[[int, str], None]) -> None:
    for number, lines in enumerate(view.notes):
        for line in lines:
            on_note(number, line)


def _check_strength(strength: float, start: Start) -> None:
    if not 0 < strength <= 1:
        raise ConfigError(f"strength {strength:g}: must be above 0 and at most 1")
    if strength < 1 and start != "noised":
        raise ConfigError(
            f'strength {strength:g}: below 1 only start "noised" is possible, not {start!r}'
        )


def _reporter(callback: Callable[[int, int], None] | None) -> Callable[[Step], None] | None:
    if callback is None:
        return None
    return lambda step: callback(step.number, step.total)
