"""Sections that say what is learnt: network, bridge, prior, conditions, adaptation, regression."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from fbridge.choices import Objective, Preset, Quantize
from fbridge.config.section import (
    BelowOne,
    Finite,
    NotNegative,
    Number,
    Positive,
    Section,
    Share,
    Text,
    fixed,
    together,
)

SCHEDULES = ("gmax", "vp", "brownian")
"""Kinds of `fbridge.schedule`; their numbers are checked there, when the process is built."""


class ModelConfig(Section):
    """The size and kind of a network that is made from scratch."""

    preset: Preset = Field(
        default="tiny",
        description="Size of a network from scratch; the Latte ones are those of arXiv 2401.03048. "
        "For finetune the base names it, as scratch:latte-s2.",
    )
    condition: Literal["text", "class"] = Field(
        default="text",
        description="What tells a network from scratch what happens: the captions of the data, or "
        "its class labels.",
    )


class BridgeConfig(Section):
    """The process that is learnt, and what the network sees of it."""

    objective: Objective = Field(
        default="bridge",
        description="A bridge from the prior image to the video, or its diffusion twin: same "
        "network, data and condition, but from noise alone.",
    )
    align: bool = Field(
        default=True,
        description="Whether a pretrained network sees each state as one of its own diffusion "
        "(SNR alignment, arXiv 2410.15371).",
    )
    prediction: Literal[
        "auto", "clean", "psi-noise", "preconditioned", "aligned-v", "aligned-flow",
        "aligned-noise", "aligned-psi-noise",
    ] = Field(
        default="auto",
        description="What the network answers; auto is what the base answers already, and "
        "psi-noise where there is no base or no alignment.",
    )  # fmt: skip
    schedule: dict[str, str | Finite] | None = Field(
        default=None,
        description="Reference diffusion: a kind (gmax, vp or brownian) and its numbers; unset it "
        "is gmax from 0.01 to 50 for a bridge (arXiv 2410.15371) and vp for its twin.",
        examples=[{"kind": "gmax", "beta_0": 0.01, "beta_1": 50.0}],
    )

    @field_validator("schedule")
    @classmethod
    def _schedule_has_a_kind(
        cls, value: dict[str, str | float] | None
    ) -> dict[str, str | float] | None:
        others = [] if value is None else [own for key, own in value.items() if key != "kind"]
        if value is not None and (
            value.get("kind") not in SCHEDULES or any(isinstance(own, str) for own in others)
        ):
            kinds = ", ".join(f'"{kind}"' for kind in SCHEDULES)
            raise PydanticCustomError(
                "rule", f"a table of kind, one of {kinds}, and that schedule's numbers"
            )
        return value


class PriorConfig(Section):
    """Where bridges start: the prior image."""

    kind: Literal["auto", "repeat", "neural", "motion", "mix"] = Field(
        default="auto",
        description="The picture in every frame, a network of fbridge train-prior, the picture "
        "moved by the embedded model, or a mix of the first with one of the others (the network "
        "where path is given); auto is the base's own where it is a bridge already, the network "
        "where path is given, else the picture.",
    )
    path: Text = Field(
        default=None,
        description="Run of fbridge train-prior, or its network's folder, for neural and mix; "
        "relative to the current folder.",
        examples=["runs/prior"],
    )
    mix: Share = Field(
        default=0.5,
        description="Share of the network or the motion in a mix; the rest is the picture.",
    )
    noise: NotNegative = Field(
        default=0.0,
        description="Median standard deviation of noise on the prior image, in units of latents; "
        "FrameBridge has e^-3 = 0.0498, in pixels.",
    )
    noise_spread: NotNegative = Field(
        default=0.5,
        description="Standard deviation of the logarithm of that noise, which is drawn anew for "
        "each clip.",
    )

    @model_validator(mode="after")
    def _neural_has_a_network(self) -> PriorConfig:
        if self.kind == "neural" and self.path is None:
            raise together("kind", "[prior] path, a run of fbridge train-prior")
        return self


class ConditionConfig(Section):
    """What the network is sometimes not told, for guidance."""

    text_dropout: Share = Field(
        default=0.1, description="Share of clips that are told the empty caption, and no class."
    )
    picture_dropout: Share = Field(
        default=0.0,
        description="Share of clips whose picture is blanked in what the network is told.",
    )


class LoraConfig(Section):
    """Low-rank adaptation (arXiv 2106.09685) instead of full fine-tuning."""

    rank: Number = Field(default=0, description="Rank of the updates; 0 trains all weights.")
    alpha: Positive | None = Field(
        default=None,
        description="Updates count alpha / rank fold; unset it is the rank, so once.",
        examples=[16.0],
    )
    dora: bool = Field(
        default=False,
        description="Whether lengths are trained apart from directions (DoRA, arXiv 2402.09353).",
    )
    dropout: BelowOne = Field(
        default=0.0,
        description="Share of the numbers entering an update that is dropped in training.",
    )
    targets: Annotated[tuple[str, ...], BeforeValidator(fixed)] = Field(
        default=(),
        description='Adapted layers by the ends of their names, such as ["to_q", "to_v"]; none '
        "are the attention layers of the base's family.",
    )
    quantize: Quantize = Field(
        default="none",
        description="Keep the frozen base's blocks in 8 bits (needs torchao) or 4 (needs "
        "bitsandbytes) while training; what is exported is the exact base's.",
    )

    @model_validator(mode="after")
    def _dora_has_a_rank(self) -> LoraConfig:
        if self.dora and not self.rank:
            raise together("dora", "[lora] rank above 0")
        return self

    @model_validator(mode="after")
    def _only_what_is_frozen_is_quantised(self) -> LoraConfig:
        if self.quantize != "none" and not self.rank:
            raise together("quantize", "[lora] rank above 0")
        return self


class RegressionConfig(Section):
    """The loss of fbridge train-prior."""

    loss: Literal["mse", "l1"] = Field(
        default="mse", description="Distance to the clean latents; mse is FrameBridge's."
    )
    temporal: NotNegative = Field(
        default=0.0,
        description="Weight of the same distance between differences of neighbouring frames, added "
        "to it.",
    )
