"""Sections that say how it is trained: optimisation, times, weights, averages, validation, log."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from fbridge.config.section import (
    BelowOne,
    Count,
    Finite,
    NotNegative,
    Number,
    Positive,
    Section,
    Text,
    fixed,
)


class TrainConfig(Section):
    """How long, how fast and in which precision."""

    steps: Count = Field(default=1000, description="Optimiser steps of the run.")
    batch_size: Count = Field(default=8, description="Clips a process takes in a micro-step.")
    gradient_accumulation: Count = Field(
        default=1, description="Micro-steps whose gradients make one optimiser step."
    )
    lr: Positive = Field(default=1e-4, description="Learning rate after the warm-up.")
    lr_schedule: Literal["constant", "cosine"] = Field(
        default="constant",
        description="The learning rate after the warm-up stays, or falls to 0 at the end.",
    )
    warmup: Number = Field(
        default=100, description="Steps over which the learning rate rises from 0."
    )
    optimizer: Literal["adamw", "adamw-8bit", "schedule-free"] = Field(
        default="adamw",
        description="AdamW (arXiv 1711.05101), the same with a state of 8 bits, or its "
        "schedule-free form (arXiv 2405.15682).",
    )
    betas: Annotated[tuple[BelowOne, BelowOne], BeforeValidator(fixed)] = Field(
        default=(0.9, 0.95),
        description="Decays of the optimiser's averages of the gradient and of its square.",
    )
    weight_decay: NotNegative = Field(default=1e-4, description="AdamW's decay of the weights.")
    max_grad_norm: Positive = Field(
        default=1.0, description="Gradients longer than this norm are shortened to it."
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="Precision of the arithmetic; trained weights stay in float32."
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Whether activations are computed twice instead of kept: less memory.",
    )
    attention: Text = Field(
        default=None,
        description="How attention is computed, as diffusers names it; unset it is torch's way.",
        examples=["flash"],
    )
    compile: bool = Field(
        default=False, description="Whether torch.compile is used on the network."
    )
    seed: Number = Field(default=0, description="Seed of everything that is drawn.")
    checkpoint_every: Count = Field(default=500, description="Steps between two checkpoints.")
    keep: Count = Field(
        default=2, description="Newest checkpoints that stay; the best one stays too."
    )
    spike: NotNegative = Field(
        default=20.0,
        description="The run stops when the loss exceeds the median of the last 100 so many times; "
        "0 is never.",
    )
    workers: Number | None = Field(
        default=None,
        description="Processes that read data ahead; 0 reads in the training loop. Unset, 0 on a "
        "CPU, whose cores reading would take from the network, else 2.",
        examples=[2],
    )


class TimesConfig(Section):
    """Which times of the process are trained."""

    density: Literal["uniform", "lognormal", "snr"] = Field(
        default="uniform",
        description="Even in time (FrameBridge's), log-normal in noise over signal (EDM's, arXiv "
        "2206.00364), or even in the logarithm of the signal-to-noise ratio.",
    )
    mean: Finite = Field(default=0.0, description="Mean of the logarithm, for lognormal.")
    std: Positive = Field(
        default=1.0, description="Standard deviation of the logarithm, for lognormal."
    )


class WeightConfig(Section):
    """How much each time counts in the loss."""

    kind: Literal["parameterization", "min-snr"] = Field(
        default="parameterization",
        description="The weight of the prediction itself (1 for all of FrameBridge's), or min-SNR "
        "(arXiv 2303.09556).",
    )
    gamma: Positive = Field(
        default=5.0, description="Signal-to-noise ratio above which min-SNR weighs all times alike."
    )


class EmaConfig(Section):
    """The average of the weights, which validation and result use."""

    kind: Literal["plain", "post-hoc", "none"] = Field(
        default="plain",
        description="An exponential average, power-function ones whose length is chosen afterwards "
        "(EDM2, arXiv 2312.02696), or the weights as they are.",
    )
    decay: BelowOne = Field(
        default=0.999, description="Share of the plain average that stays at each step."
    )
    length: Annotated[float, Field(gt=0, lt=0.28)] = Field(
        default=0.1,
        description="Length of the post-hoc average of the result, relative to the run.",
    )


class ValidationConfig(Section):
    """What is measured on clips that are never trained on."""

    every: Count = Field(default=500, description="Steps between two validations.")
    share: BelowOne = Field(
        default=0.05,
        description="Share of the source videos held out, where the data has no validation split.",
    )
    rows: Number = Field(default=64, description="Clips of the held-out loss; 0 is no validation.")
    clips: Number = Field(default=4, description="Held-out clips that are generated and shown.")
    steps: Count | None = Field(
        default=None,
        description="Sampling steps of the clips shown; unset they are the model's.",
        examples=[10],
    )
    bands: Count = Field(
        default=4, description="Equal parts of time with a held-out loss of their own."
    )


class LogConfig(Section):
    """Where the curves go; RUN/metrics.csv is always written."""

    every: Count = Field(default=10, description="Steps between two reports.")
    trackers: Annotated[
        tuple[Literal["csv", "tensorboard", "wandb", "trackio"], ...], BeforeValidator(fixed)
    ] = Field(default=("tensorboard",), description="Programs that are told the curves too.")
