"""What a bridge model makes, and with which defaults, however its parts were loaded."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fbridge.codecs import Codec
from fbridge.errors import ConfigError
from fbridge.files.lora_record import LoraRecord
from fbridge.pipeline.inputs import class_of, fitting_size, nearest_shape
from fbridge.prior import Prior
from fbridge.sampling import GridKind, time_grid
from fbridge.scheduler_plain import PlainScheduler
from fbridge.words.encoder import PromptEncoder


class FrameLimits(NamedTuple):
    """How many frames a model makes: from `minimum` in steps of `step` up to `maximum`."""

    default: int
    minimum: int
    maximum: int
    step: int

    def at_least(self, wanted: int) -> int:
        """The smallest possible number that is not below `wanted`, or the largest one there is."""
        steps = max(0, -(-(wanted - self.minimum) // self.step))
        most = (self.maximum - self.minimum) // self.step
        return self.minimum + min(steps, most) * self.step


class Bridge(ABC):
    """A model's facts, from its parts; needs no diffusers.

    Attributes:
        config: `frames`, `fps`, `sizes`, `classes` and `world`; see
            `fbridge.pipeline.model.BridgeModel`.
        transformer: the network.
        scheduler: what it was trained on, and the defaults of sampling.
        components: all parts by name, for messages.
        notice: a remark for the user on how this model is used; may be empty.
    """

    config: Any
    transformer: Any
    scheduler: PlainScheduler
    components: Mapping[str, Any]
    notice: str = ""

    @property
    def loras(self) -> tuple[LoraRecord, ...]:
        """Those that were merged into its network when it was loaded, or later."""
        return ()

    @property
    def lora_notes(self) -> tuple[str, ...]:
        """What to know about LoRAs that were merged, a line each."""
        return ()

    @property
    @abstractmethod
    def latent_codec(self) -> Codec:
        """The codec of its latents."""

    @property
    @abstractmethod
    def start(self) -> Prior:
        """The prior of its bridges."""

    @property
    @abstractmethod
    def backbone(self) -> nn.Module:
        """The network as a `fbridge.denoiser.Backbone`."""

    @property
    def second_backbone(self) -> nn.Module | None:
        """The network that answers below `scheduler.boundary`, of a model of two; else None."""
        return None

    @property
    @abstractmethod
    def patch(self) -> int:
        """Side of the network's patches, in latent pixels."""

    @property
    @abstractmethod
    def prompt_encoder(self) -> PromptEncoder:
        """Reads its prompts."""

    @property
    @abstractmethod
    def execution_device(self) -> torch.device:
        """Where it computes."""

    @property
    @abstractmethod
    def model_hash(self) -> str:
        """sha256 over the files that the model was loaded from; "" for one made in memory."""

    @property
    def untrained(self) -> bool:
        """Whether this is a text-to-video model without bridge training."""
        return False

    def embed_pictures(self, pictures: Sequence[Tensor]) -> Tensor | None:  # noqa: ARG002
        """(B, S, D) of pictures (3, H, W) by an image encoder; None of a model without one."""
        return None

    def words_of(self, labels: Sequence[int]) -> list[str]:
        """What the text encoder reads for classes: their names."""
        return [self.config.classes[label] for label in labels]

    def free_memory(self) -> None:  # noqa: B027 - most models have nothing to do
        """Called when sampling is over, before decoding."""

    @property
    def frame_limits(self) -> FrameLimits:
        """How many frames this model makes."""
        return FrameLimits(*self.config.frames)

    @property
    def world(self) -> str:
        """The only things that it, or the base it was trained from, knows; "" if none are said."""
        return str(self.config.get("world") or "")

    @property
    def taught_guidance(self) -> float | None:
        """Of a student, the guidance by words that its teacher had; None of any other model."""
        taught = self.scheduler.config.get("distilled")
        return None if taught is None else float(taught["guidance_scale"])

    @property
    def default_fps(self) -> float:
        """Frames per second of its training videos."""
        return float(self.config.fps)

    @property
    def image_inputs(self) -> tuple[str, ...]:
        """How the picture can be given to its network, of `IMAGE_INPUTS`; the default first."""
        return (self.scheduler.config.image_input,)

    @property
    def defaults(self) -> dict[str, Any]:
        """Default arguments of a call."""
        return self.defaults_with(None)

    def defaults_with(self, image_input: str | None) -> dict[str, Any]:
        """Default arguments of a call with this `image_input`; None: with the default one.

        Raises:
            ConfigError: its network cannot be given the picture so.
        """
        config = self.scheduler.config
        own, *others = self.image_inputs
        if image_input is not None and image_input not in (own, *others):
            raise ConfigError(f"image_input {image_input!r}: {self.why_no_other_input(own)}")
        return {
            "image_input": own if image_input is None else image_input,
            "first_frame": "exact" if self.latent_codec.first_frame_alone else "free",
            "num_inference_steps": config.steps,
            "sampler": config.sampler,
            "grid": config.grid,
            "time_shift": config.time_shift,
            "start": config.start,
            "strength": config.strength,
            "guidance_scale": config.guidance_scale,
            "guidance_scale_2": config.guidance_scale_2,
            "num_frames": self.frame_limits.default,
            "fps": self.default_fps,
        }

    def why_no_other_input(self, own: str) -> str:
        """Why the picture is given to its network in its own way alone, and the way out."""
        return f"this model was trained with {own!r}; leave the option out"

    def sampling_times(
        self, steps: int, kind: GridKind, strength: float, shift: float = 1.0
    ) -> Tensor:
        """The times (steps + 1,) of `fbridge.sampling.time_grid`, from `strength` down to 0.

        Raises:
            ConfigError: the network was not trained for all of them.
        """
        process = self.scheduler.process
        times = strength * time_grid(steps, kind=kind, process=process, shift=shift)
        if self.scheduler.covers(times[:-1]):
            return times
        first, last = self.scheduler.time_range
        known = f"this network was trained on bridge times from {first:.3f} to {last:.3f}"
        if float(times[0]) > last:
            most = math.floor(100 * last) / 100
            raise ConfigError(f"strength {strength:g}: {known}; use --strength {most:g} or less")
        raise ConfigError(
            f"{known} alone, and a video ends at 0; take a model that knows the rest too"
        )

    def output_size(
        self, picture_size: tuple[int, int], requested: tuple[int, int] | None = None
    ) -> tuple[int, int]:
        """(width, height) of the video for a picture of a size, or for a size asked for.

        Raises:
            ConfigError: the model cannot make the size asked for.
        """
        if requested is None and self.config.sizes:
            requested = nearest_shape(picture_size, self.config.sizes)
        step = self.patch * getattr(self.latent_codec, "spatial", 1)
        if requested is not None:
            requested = fitting_size(requested, step, asked=True)
        size = self.latent_codec.output_size(picture_size, requested)
        return fitting_size(size, step, asked=requested is not None)

    def labels(self, prompts: Sequence[str]) -> list[int]:
        """Labels of the classes that the prompts name; empty for a model without classes."""
        return [class_of(prompt, self.config.classes) for prompt in prompts if self.config.classes]

    def describe_unread(self, prompts: Sequence[str]) -> str:
        """See `PromptEncoder.describe_unread`; "" of a model whose prompts name classes."""
        return "" if self.config.classes else self.prompt_encoder.describe_unread(prompts)

    def describe_intent(self, prompts: Sequence[str]) -> list[str]:
        """What is shown otherwise than the prompts say, a line each; [] where nothing is known."""
        notes = getattr(self.latent_codec, "notes", None)
        return [] if notes is None else list(notes(prompts))

    def encode_prompts(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token embeddings (B, L, D) and mask (B, L) of prompts."""
        text, prompt_mask = self.prompt_encoder(prompts)
        return text.to(self.execution_device), prompt_mask.to(self.execution_device)

    def frame_count(self, wanted: int | None) -> int:
        """The requested number of frames, or the default.

        Raises:
            ConfigError: the model cannot make so many.
        """
        limits = self.frame_limits
        count = limits.default if wanted is None else wanted
        if not limits.minimum <= count <= limits.maximum or (count - limits.minimum) % limits.step:
            raise ConfigError(f"num_frames {count} is not possible; this model makes {limits}")
        return count
