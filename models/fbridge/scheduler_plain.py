"""A bridge's numbers: process, prediction and defaults of sampling."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from torch import Tensor

from fbridge.alignment import (
    DDPMSchedule,
    FlowSchedule,
    NoiseSchedule,
    SNRAlignment,
    cogvideox_alphas_cumprod,
    falling_scale,
    linear_alphas_cumprod,
    scaled_linear_alphas_cumprod,
)
from fbridge.choices import IMAGE_INPUTS
from fbridge.errors import ConfigError
from fbridge.parameterization import PREDICTIONS, Parameterization, preconditioned
from fbridge.process import BridgeProcess, DiffusionProcess, Process
from fbridge.schedule import BrownianSchedule, GmaxSchedule, Schedule, VPSchedule

SCHEDULES: dict[str, type[GmaxSchedule] | type[VPSchedule] | type[BrownianSchedule]] = {
    "gmax": GmaxSchedule,
    "vp": VPSchedule,
    "brownian": BrownianSchedule,
}
PROCESSES: dict[str, Callable[[Schedule], Process]] = {
    "bridge": BridgeProcess,
    "diffusion": DiffusionProcess,
}
DEFAULT_SCHEDULES: dict[str, dict[str, Any]] = {
    "bridge": {"kind": "gmax"},
    "diffusion": {"kind": "vp", "beta_min": 0.1, "beta_d": 19.9},
}
"""FrameBridge's bridge, and DDPM's continuous diffusion (arXiv 2011.13456), whose rho(1) is 152."""

LATER = {
    "image_input": "bridge",
    "times": None,
    "boundary": None,
    "guidance_scale_2": None,
    "distilled": None,
    "time_shift": 1.0,
}
"""Keys that version 0.1.0 does not know, by the value that means what it does: then left out."""


class PlainScheduler:
    """Which process a network was trained on, what it predicts, and the defaults of sampling.

    It holds numbers only: the mathematics is in `fbridge.process`, `fbridge.parameterization` and
    `fbridge.sampling`, and no state is kept between steps.

    Args:
        schedule: `{"kind": "gmax" | "vp" | "brownian", ...its numbers}`.
        prediction: a key of `fbridge.parameterization.PREDICTIONS`.
        numbers: of the preconditioned parameterization.
        base: of an aligned one: `{"kind": "flow"}`, `{"kind": "cogvideox", "snr_shift": 3.0}`, or
            `{"kind": "linear" | "scaled-linear", "beta_start": ..., "beta_end": ...}`, the latter
            with `"signal_scale": [last, steps]` where the signal is scaled down to `last`.
        sampler, grid, start, steps, guidance_scale: defaults of sampling.
        time_shift: `shift` of `fbridge.sampling.time_grid`, a default of sampling, too.
        strength: share of the way at which sampling starts by default, see `FrameBridgePipeline`.
        objective: "bridge", or "diffusion" for the diffusion baseline, with the same network, prior
            and picture; it starts from noise, so its schedule should end in a large rho.
        image_input: one of `fbridge.choices.IMAGE_INPUTS`; all but "bridge" need an aligned
            prediction.
        times: first and last bridge time that the network was trained on; None: all that its base
            knows.
        boundary: network time from which on the first of two networks answers, the second below
            (`transformer_2` of `FrameBridgePipeline`); None of a model of one network.
        guidance_scale_2: default of the second; None: `guidance_scale`.
        distilled: of a student, what it was taught: the "steps" and the "guidance_scale" of its
            teacher's paths, and the teacher's "sha256"; None of any other model.
    """

    config: Any

    def __init__(  # noqa: PLR0913 - a bridge's numbers, all in its config
        self,
        schedule: dict[str, Any] | None = None,
        prediction: str = "clean",
        numbers: dict[str, float] | None = None,
        base: dict[str, Any] | None = None,
        sampler: str = "sde",
        grid: str = "trailing",
        start: str = "noised",
        steps: int = 50,
        guidance_scale: float = 1.0,
        strength: float = 1.0,
        objective: str = "bridge",
        image_input: str = "bridge",
        times: list[float] | None = None,
        boundary: float | None = None,
        guidance_scale_2: float | None = None,
        distilled: dict[str, Any] | None = None,
        time_shift: float = 1.0,
    ) -> None:
        if objective not in PROCESSES:
            raise ConfigError(
                f"scheduler: objective {objective!r} is unknown; known: {', '.join(PROCESSES)}"
            )
        reference = schedule_from_config(**(schedule or DEFAULT_SCHEDULES[objective]))
        if image_input not in IMAGE_INPUTS:
            raise ConfigError(
                f"scheduler: image_input {image_input!r} is unknown; known: "
                f"{', '.join(IMAGE_INPUTS)}"
            )
        self.process: Process = PROCESSES[objective](reference)
        found = self._parameterization(prediction, numbers or {}, base)
        self.parameterization = with_image_input(found, image_input)
        alignment = self.parameterization.alignment
        known = (0.0, 1.0) if alignment is None else alignment.time_range
        self.time_range: tuple[float, float] = known if times is None else (times[0], times[1])
        """First and last bridge time at which the network knows the state."""
        if boundary is not None and alignment is None:
            raise ConfigError(
                "scheduler: two networks change at a time of their flow; boundary needs an aligned "
                f"prediction, not {prediction!r}"
            )
        known_at = None if boundary is None or alignment is None else alignment.time_at(boundary)
        self.boundary: float | None = known_at
        """The bridge time at which two networks change."""

    def covers(self, times: Tensor) -> bool:
        """Whether the network knows the states at all of these bridge times."""
        first, last = self.time_range
        return bool(((times >= first) & (times <= last)).all())

    def _parameterization(
        self, prediction: str, numbers: dict[str, float], base: dict[str, Any] | None
    ) -> Parameterization:
        if prediction not in PREDICTIONS:
            raise ConfigError(
                f"scheduler: prediction {prediction!r} is unknown; known: {', '.join(PREDICTIONS)}"
            )
        if prediction == "preconditioned":
            return Parameterization(self.process, preconditioned(**numbers))
        row = PREDICTIONS[prediction]
        alignment = SNRAlignment(self.process, build_noise_schedule(base)) if row.aligned else None
        return Parameterization(self.process, row, alignment)


def with_image_input(found: Parameterization, image_input: str) -> Parameterization:
    """A parameterization for a way to give the network the picture.

    Raises:
        ConfigError: the network cannot be given it so.
    """
    native = image_input != "bridge"
    if native and found.alignment is None:
        raise ConfigError(
            f"image_input {image_input!r} needs SNR alignment: a clean first frame at the time of "
            'clean frames means nothing to a network with a time of its own; use "bridge"'
        )
    return replace(found, picture_first=native)


def build_noise_schedule(base: dict[str, Any] | None) -> NoiseSchedule:
    """A pretrained model's noise levels from their description."""
    given = dict(base or {})
    match given.pop("kind", None):
        case "flow":
            return FlowSchedule(**given)
        case "cogvideox":
            return DDPMSchedule(cogvideox_alphas_cumprod(**given))
        case "linear":
            return DDPMSchedule(linear_alphas_cumprod(**given))
        case "scaled-linear":
            scale = given.pop("signal_scale", None)
            table = scaled_linear_alphas_cumprod(**given)
            return DDPMSchedule(
                table, signal_scale=scale and falling_scale(scale[0], scale[1], len(table))
            )
        case kind:
            raise ConfigError(
                f"scheduler: base kind {kind!r} is unknown; known: flow, cogvideox, linear, "
                "scaled-linear"
            )


def schedule_from_config(kind: str, **numbers: float) -> Schedule:
    """Schedule from its name and numbers, as they stand in a configuration file.

    Args:
        kind: "gmax", "vp" or "brownian".
        **numbers: fields of that schedule; those left out keep their defaults.

    Raises:
        ConfigError: if the kind or a field is unknown, or a number cannot be.
    """
    if kind not in SCHEDULES:
        raise ConfigError(f"schedule {kind!r} is unknown; {_nearest(kind, list(SCHEDULES))}")
    fields = list(SCHEDULES[kind].__dataclass_fields__)
    for name in numbers:
        if name not in fields:
            raise ConfigError(f"schedule {kind!r} has no field {name!r}; {_nearest(name, fields)}")
    try:
        return SCHEDULES[kind](**numbers)
    except ValueError as error:
        raise ConfigError(f"schedule {kind!r}: {error}") from error


def schedule_to_config(schedule: Schedule) -> dict[str, str | float]:
    """Name and numbers of a schedule: schedule_from_config(**schedule_to_config(s)) == s."""
    for kind, cls in SCHEDULES.items():
        if isinstance(schedule, cls):
            return {"kind": kind, **asdict(schedule)}
    raise ConfigError(
        f"{schedule!r} has no name in a configuration; known are {', '.join(SCHEDULES)}"
    )


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
