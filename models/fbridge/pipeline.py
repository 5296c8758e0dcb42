"""Picture and prompt to video, as a diffusers pipeline."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.codecs import View
from fbridge.codecs.motion import MotionCodec
from fbridge.codecs.pixel import PixelCodec
from fbridge.data.pictures import fit_picture, upright_rgb
from fbridge.denoiser import BridgeDenoiser, Denoiser, GuidedDenoiser
from fbridge.errors import CheckpointError, ConfigError
from fbridge.pretrained import hash_model, locate_model
from fbridge.prior import NeuralPrior, Prior, ReplicatePrior
from fbridge.sampling import GridKind, Start, Step, build_sampler, seeded_noise, time_grid
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.text import TextEncoder, load_text_encoder
from fbridge.types import Condition

KNOWN_COMPONENTS = (SpaceTimeTransformer, MotionCodec, PixelCodec, FrameBridgeScheduler)
"""Classes that a model folder may name: diffusers finds only those of modules already imported."""


class FrameLimits(NamedTuple):
    """How many frames a model makes: from `minimum` in steps of `step` up to `maximum`."""

    default: int
    minimum: int
    maximum: int
    step: int


@dataclass
class FrameBridgeOutput(BaseOutput):  # type: ignore[misc]
    """One video a picture: uint8 (F, H, W, 3), and the latents (B, F, C, H, W) it was made from."""

    frames: list[NDArray[np.uint8]]
    latents: Tensor


class FrameBridgePipeline(DiffusionPipeline):  # type: ignore[misc]
    """A bridge from a picture to a video.

        pipe = FrameBridgePipeline.from_pretrained("embedded")
        frames = pipe(load_picture("cat.jpg"), "cat jumping", seed=7).frames[0]

    Components:
        codec: a `fbridge.codecs.Codec`, between pixels and latents.
        backbone: the network (a `fbridge.denoiser.Backbone`).
        prior: its time-free sister that regresses the start, or None for the repeated picture.
        scheduler: a `FrameBridgeScheduler`, the bridge's numbers.
        text_encoder, tokenizer: transformers', or None for the packaged MiniLM.
        frames: default, minimum, maximum, step: see `FrameLimits`.
        fps: frames per second of the default number of frames.
    """

    model_cpu_offload_seq = "text_encoder->prior->backbone"
    _exclude_from_cpu_offload: ClassVar = ["codec"]
    _optional_components: ClassVar = ["prior", "text_encoder", "tokenizer"]

    def __init__(
        self,
        codec: Any,
        backbone: Any,
        scheduler: Any,
        prior: Any = None,
        text_encoder: Any = None,
        tokenizer: Any = None,
        frames: list[int] | None = None,
        fps: float = 8.0,
    ) -> None:
        super().__init__()
        self.register_modules(
            codec=codec,
            backbone=backbone,
            scheduler=scheduler,
            prior=prior,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
        )
        self.register_to_config(frames=frames or [16, 2, 64, 1], fps=fps)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> FrameBridgePipeline:
        """Load "embedded", a folder, or a hub id.

        Raises:
            CheckpointError: there is no such model, or it is not one of this kind.
        """
        name = str(pretrained_model_name_or_path)
        folder = locate_model(name, kwargs)
        try:
            pipe: FrameBridgePipeline = super().from_pretrained(folder, **kwargs)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            reason = str(error).strip().split("\n")[0]
            raise CheckpointError(f"model {name!r} does not load: {reason}") from error
        pipe._folder = folder
        pipe._align()
        return pipe

    def _align(self) -> None:
        """Copy weights out of the mapped file: sums round by how memory is aligned."""
        for component in self.components.values():
            if isinstance(component, nn.Module):
                for parameter in component.parameters():
                    parameter.data = parameter.data.clone()

    _folder: Path | None = None

    @cached_property
    def model_hash(self) -> str:
        """sha256 over the files that the model was loaded from; "" for one made in memory."""
        return "" if self._folder is None else hash_model(self._folder)

    @property
    def frame_limits(self) -> FrameLimits:
        """How many frames this model makes."""
        return FrameLimits(*self.config.frames)

    @property
    def default_fps(self) -> float:
        """Frames per second at which its motion has the speed it was trained on."""
        return float(self.config.fps)

    @property
    def defaults(self) -> dict[str, Any]:
        """What a call does where it is not told."""
        config = self.scheduler.config
        return {
            "num_inference_steps": config.steps,
            "sampler": config.sampler,
            "grid": config.grid,
            "start": config.start,
            "guidance_scale": config.guidance_scale,
            "num_frames": self.frame_limits.default,
            "fps": self.default_fps,
        }

    def output_size(
        self, picture_size: tuple[int, int], requested: tuple[int, int] | None = None
    ) -> tuple[int, int]:
        """(width, height) of the video for a picture of a size, or for a size asked for.

        Raises:
            ConfigError: the model cannot make the size asked for.
        """
        size: tuple[int, int] = self.codec.output_size(picture_size, requested)
        return size

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
        start: Start | None = None,
        guidance_scale: float | None = None,
        image_guidance_scale: float = 1.0,
        callback: Callable[[int, int], None] | None = None,
    ) -> FrameBridgeOutput:
        """Make one video for each picture, prompt and seed; single ones serve all the others.

        Args:
            image: pictures of any size and mode; they are turned upright and fitted.
            prompt: what shall happen.
            negative_prompt: what guidance steers away from.
            seed: video i depends on its own picture, prompt and seed, never on the batch, but for
                the rounding of sums.
            num_frames: see `frame_limits`.
            size: (width, height) of all videos; else `output_size` of each picture.
            num_inference_steps: steps of the sampler.
            sampler: a key of `fbridge.sampling.SAMPLERS`.
            eta: randomness of sampler "dbim", from 0 to 1.
            grid: kind of `fbridge.sampling.time_grid`.
            start: "noised", "exact" or "booted".
            guidance_scale: weight of the words; 1 is none.
            image_guidance_scale: weight of the picture's description; 1 is none.
            callback: told (step, total) after each step.
        """
        images, prompts, negatives, seeds = _table(image, prompt, negative_prompt, seed)
        defaults = self.defaults
        count = self._count(num_frames)
        scale = defaults["guidance_scale"] if guidance_scale is None else guidance_scale
        if not (math.isfinite(scale) and math.isfinite(image_guidance_scale)):
            raise ConfigError(f"guidance {scale}, {image_guidance_scale}: both must be finite")
        own = {} if eta is None else {"eta": eta}
        chosen = build_sampler(sampler or defaults["sampler"], **own)
        steps = defaults["num_inference_steps"]
        times = time_grid(
            steps if num_inference_steps is None else num_inference_steps,
            kind=grid or defaults["grid"],
            process=self.scheduler.process,
        )
        view, condition = self.look(images, prompts, size)
        start_at = self._prior(self.codec.still(view, count).mean, condition)
        latents = chosen.sample(
            self._denoiser(condition, negatives, scale, image_guidance_scale),
            self.scheduler.process,
            start_at,
            times,
            condition,
            noise=seeded_noise(seeds, device=start_at.device, dtype=start_at.dtype),
            start=start or defaults["start"],
            on_step=_reporter(callback),
        )
        frames = self.frames(latents, view)
        self.maybe_free_model_hooks()
        return FrameBridgeOutput(frames, latents)

    def look(
        self,
        images: Sequence[Image.Image],
        prompts: Sequence[str],
        size: tuple[int, int] | None = None,
    ) -> tuple[View, Condition]:
        """What codec and text encoder make of pictures and words."""
        upright = [upright_rgb(image) for image in images]
        fitted = [fit_picture(p, self.output_size(p.size, size)).pixels for p in upright]
        pictures = [_pixels(picture).to(self._execution_device) for picture in fitted]
        text, text_mask = self._words(prompts)
        view: View = self.codec.look(pictures, text, text_mask)
        return view, Condition(text, text_mask, view.condition)

    def frames(self, latents: Tensor, view: View) -> list[NDArray[np.uint8]]:
        """Latents (B, F, C, H, W) as videos of bytes (F, H, W, 3)."""
        videos = self.codec.decode(latents, view)
        return [
            video.mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
            for video in videos
        ]

    @property
    def _prior(self) -> Prior:
        return ReplicatePrior() if self.prior is None else NeuralPrior(self.prior)

    def _denoiser(
        self, condition: Condition, negatives: Sequence[str], text: float, picture: float
    ) -> Denoiser:
        denoiser = BridgeDenoiser(self.backbone, self.scheduler.parameterization)
        if text == 1 and picture == 1:
            return denoiser
        unconditional = condition.with_text(*self._words(negatives))
        return GuidedDenoiser(denoiser, unconditional, text, picture)

    def _words(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        encode = (
            load_text_encoder()
            if self.text_encoder is None
            else TextEncoder(self.text_encoder, self.tokenizer)
        )
        text, text_mask = encode(prompts)
        device = self._execution_device
        return text.to(device), text_mask.to(device)

    def _count(self, wanted: int | None) -> int:
        limits = self.frame_limits
        count = limits.default if wanted is None else wanted
        if not limits.minimum <= count <= limits.maximum or (count - limits.minimum) % limits.step:
            raise ConfigError(f"num_frames {count} is not possible; this model makes {limits}")
        return count


def _table(
    image: Image.Image | Sequence[Image.Image],
    prompt: str | Sequence[str],
    negative: str | Sequence[str],
    seed: int | Sequence[int],
) -> tuple[list[Image.Image], list[str], list[str], list[int]]:
    """All columns at the length of the longest."""
    columns: list[list[Any]] = [
        [column] if isinstance(column, (str, int, np.integer, Image.Image)) else list(column)
        for column in (image, prompt, negative, seed)
    ]
    rows = max(len(column) for column in columns)
    for name, column in zip(("image", "prompt", "negative_prompt", "seed"), columns, strict=True):
        if len(column) not in (1, rows):
            raise ConfigError(f"{name} has {len(column)} entries where others have {rows}")
    full = [column * rows if len(column) == 1 else column for column in columns]
    return full[0], full[1], full[2], [int(seed) for seed in full[3]]


def _pixels(picture: Image.Image) -> Tensor:
    array = np.asarray(picture, np.float32) / 255
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def _reporter(callback: Callable[[int, int], None] | None) -> Callable[[Step], None] | None:
    if callback is None:
        return None
    report = callback
    return lambda step: report(step.number, step.total)
