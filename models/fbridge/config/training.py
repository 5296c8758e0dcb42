"""Sections about training: optimisation, times, loss weights, EMA, validation, log."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from fbridge.config.section import (
    BelowOne,
    Count,
    Finite,
    NotNegative,
    Number,
    Positive,
    Section,
    Share,
    Text,
    as_tuple,
    conflict,
)


class TrainConfig(Section):
    """Optimisation, precision and checkpoints."""

    steps: Count = Field(default=1000, description="Optimiser steps of the run.")
    batch_size: Count = Field(default=8, description="Clips per process and micro-step.")
    gradient_accumulation: Count = Field(default=1, description="Micro-steps per optimiser step.")
    lr: Positive = Field(default=1e-4, description="Learning rate after the warm-up.")
    new_input_lr_factor: Positive = Field(
        default=1.0,
        description="Learning rate of a base's new input channels, whose weights begin at 0, as a "
        "multiple of `lr`.",
    )
    lr_schedule: Literal["constant", "cosine"] = Field(
        default="constant",
        description="After the warm-up: constant, or a cosine down to 0 at the last step.",
    )
    warmup: Number = Field(default=100, description="Steps of linear warm-up from 0.")
    optimizer: Literal["adamw", "adamw-8bit", "schedule-free"] = Field(
        default="adamw",
        description="AdamW (arXiv 1711.05101), AdamW with 8-bit state, or schedule-free AdamW "
        "(arXiv 2405.15682).",
    )
    betas: Annotated[tuple[BelowOne, BelowOne], BeforeValidator(as_tuple)] = Field(
        default=(0.9, 0.95),
        description="Decay rates of the averages of the gradient and of its square.",
    )
    weight_decay: NotNegative = Field(default=1e-4, description="Weight decay of AdamW.")
    max_grad_norm: Positive = Field(default=1.0, description="Gradients are clipped to this norm.")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="Precision of computation; trained weights stay float32."
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Recompute activations in the backward pass: less memory, more time.",
    )
    offload_activations: bool = Field(
        default=False,
        description="Keep what the backward pass needs in the host's memory; with "
        "gradient_checkpointing that is little more than the inputs of the blocks.",
    )
    attention: Text = Field(
        default=None,
        description="Attention backend, by diffusers' name; unset: torch's own.",
        examples=["flash"],
    )
    compile: bool = Field(
        default=False, description="Use torch.compile on the blocks of the network."
    )
    seed: Number = Field(default=0, description="Seed of all random numbers.")
    checkpoint_every: Count = Field(default=500, description="Steps between checkpoints.")
    keep: Count = Field(
        default=2, description="Number of newest checkpoints kept, besides the best one."
    )
    spike: NotNegative = Field(
        default=20.0,
        description="Stop when a loss exceeds so many medians of the last 100; 0: never.",
    )
    workers: Number | None = Field(
        default=None,
        description="Processes that load data; 0 loads in the training process. Unset: 0 on a CPU, "
        "else 2.",
        examples=[2],
    )


class TimesConfig(Section):
    """Distribution of the times drawn in training."""

    density: Literal["uniform", "lognormal", "snr"] = Field(
        default="uniform",
        description="uniform in time (FrameBridge), lognormal in the noise-to-signal ratio (EDM, "
        "arXiv 2206.00364), or snr: uniform in the logarithm of the signal-to-noise ratio.",
    )
    mean: Finite = Field(default=0.0, description="Mean of the logarithm, for lognormal.")
    std: Positive = Field(
        default=1.0, description="Standard deviation of the logarithm, for lognormal."
    )
    min: Share | None = Field(
        default=None,
        description="First bridge time (0: the video) that is trained; unset: where the base's "
        "knowledge begins, 0 of most models.",
        examples=[0.0],
    )
    max: Share | None = Field(
        default=None,
        description="Last bridge time (1: the prior) that is trained, and the strength that the "
        "result starts from; unset: where the base's knowledge ends, 1 of most models.",
        examples=[0.8],
    )

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> TimesConfig:
        if not (self.min or 0.0) < (1.0 if self.max is None else self.max):
            raise conflict("min", "[times] max above it")
        return self


class WeightConfig(Section):
    """Weight of each time in the loss."""

    kind: Literal["parameterization", "min-snr"] = Field(
        default="parameterization",
        description="parameterization: weight 1 (FrameBridge); min-snr: arXiv 2303.09556.",
    )
    gamma: Positive = Field(
        default=5.0, description="Upper bound on the signal-to-noise ratio in min-snr's weight."
    )


class EmaConfig(Section):
    """Average of the weights, used in validation and in the result."""

    kind: Literal["plain", "post-hoc", "none"] = Field(
        default="plain",
        description="plain: exponential; post-hoc: power-function averages whose length can be "
        "chosen after training (EDM2, arXiv 2312.02696); none: no average.",
    )
    decay: BelowOne = Field(default=0.999, description="Decay of the plain average per step.")
    length: Annotated[float, Field(gt=0, lt=0.28)] = Field(
        default=0.1, description="Length of the result's post-hoc average, relative to the run."
    )


class ValidationConfig(Section):
    """Measurements on held-out clips."""

    every: Count = Field(default=500, description="Steps between validations.")
    share: BelowOne = Field(
        default=0.05,
        description="Share of source videos held out if the data has no validation split.",
    )
    rows: Number = Field(default=64, description="Clips of the held-out loss; 0: no validation.")
    clips: Number = Field(default=4, description="Held-out clips to sample and show.")
    steps: Count | None = Field(
        default=None,
        description="Sampling steps of these clips; unset: the model's default.",
        examples=[10],
    )
    bands: Count = Field(
        default=4, description="Equal intervals of time whose held-out losses are reported."
    )


class LogConfig(Section):
    """Reports and trackers; RUN/metrics.csv is always written."""

    every: Count = Field(default=10, description="Steps between reports.")
    trackers: Annotated[
        tuple[Literal["csv", "tensorboard", "wandb", "trackio"], ...], BeforeValidator(as_tuple)
    ] = Field(default=("tensorboard",), description="Trackers that also log the curves.")
