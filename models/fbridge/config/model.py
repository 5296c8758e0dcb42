"""Sections about the model: network, bridge, prior, conditions, LoRA, loss of the prior."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from fbridge.choices import FrozenWeights, GridKind, Objective, Preset, SamplerName
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

SCHEDULES = ("gmax", "vp", "brownian")
"""Kinds of `fbridge.schedule`, which checks their parameters when the process is built."""


class ModelConfig(Section):
    """A network that is trained from scratch."""

    preset: Preset = Field(
        default="tiny",
        description="Size of a prior from scratch; latte-s2 and latte-b2 as in arXiv 2401.03048. "
        "finetune takes the size from base, such as scratch:latte-s2.",
    )
    condition: Literal["text", "class"] = Field(
        default="text",
        description="Condition of a network from scratch: the data set's captions or class labels.",
    )


class BridgeConfig(Section):
    """The bridge or diffusion process, and its parameterization."""

    objective: Objective = Field(
        default="bridge",
        description="bridge, from the prior to the video; diffusion: the baseline with the same "
        "network, data and condition that starts from noise; or distill: few steps learnt from "
        "the paths of a base that is a bridge already.",
    )
    align: bool = Field(
        default=True,
        description="SNR alignment (arXiv 2410.15371): rescale and retime each state to one of the "
        "pretrained network's own diffusion.",
    )
    prediction: Literal[
        "auto", "clean", "psi-noise", "preconditioned", "aligned-v", "aligned-flow",
        "aligned-noise", "aligned-psi-noise",
    ] = Field(
        default="auto",
        description="What the network predicts. auto: what the base predicts, under alignment; "
        "psi-noise without a base or without alignment.",
    )  # fmt: skip
    schedule: dict[str, str | Finite] | None = Field(
        default=None,
        description="Reference diffusion: kind (gmax, vp or brownian) and its parameters. Unset: "
        "gmax from 0.01 to 50 for a bridge (arXiv 2410.15371), vp for a diffusion.",
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
                "rule", f"a table of kind, one of {kinds}, and that schedule's parameters"
            )
        return value


class DistillConfig(Section):
    """A student that learns in one call where its teacher's path ends: bridge.objective "distill".

    The teacher is the base. What [sampling] leaves unset is then 4 steps without guidance.
    """

    steps: Count = Field(default=8, description="Steps of the teacher's path.")
    guidance_scale: NotNegative | None = Field(
        default=None,
        description="The teacher's guidance by the prompt along its path; unset: its own default.",
        examples=[2.0],
    )


class SamplingConfig(Section):
    """How `fbridge generate` samples the trained model by default.

    What is unset is the base's own where it is a bridge already, else the whole bridge in 50 steps
    of "sde" without guidance.
    """

    sampler: SamplerName | None = Field(
        default=None, description="Sampler; unset: the base's, else sde.", examples=["dbim2"]
    )
    steps: Count | None = Field(
        default=None, description="Steps; unset: the base's, else 50.", examples=[20]
    )
    grid: GridKind | None = Field(
        default=None,
        description="Where the steps lie in time; unset: the base's, else trailing.",
        examples=["uniform"],
    )
    time_shift: Positive | None = Field(
        default=None,
        description="Moves the steps, as flow models shift theirs: above 1 towards the prior, "
        "below 1 towards the video; unset: the base's, else 1, which moves nothing.",
        examples=[3.0],
    )
    guidance_scale: NotNegative | None = Field(
        default=None,
        description="Guidance by the prompt; unset: the base's, else 1, which is none.",
        examples=[2.0],
    )

    def given(self) -> dict[str, Any]:
        """What is set."""
        return {name: value for name, value in self if value is not None}


class PriorConfig(Section):
    """The prior, where bridges start."""

    kind: Literal["auto", "repeat", "neural", "motion", "mix"] = Field(
        default="auto",
        description="repeat: the picture in every frame; neural: a network of fbridge train-prior; "
        "motion: the picture moved by the embedded model; mix: repeat mixed with neural (if path "
        "is set) or motion. auto: neural if path is set, else the prior of a base that is a "
        "bridge, else repeat.",
    )
    path: Text = Field(
        default=None,
        description="Run of fbridge train-prior, or the folder of its network, for neural and mix; "
        "relative to the current folder.",
        examples=["runs/prior"],
    )
    mix: Share = Field(
        default=0.5, description="Share of neural or motion in a mix; the rest is the picture."
    )
    noise: NotNegative = Field(
        default=0.0,
        description="Median standard deviation of the Gaussian noise added to prior and picture in "
        "training, in units of latents; FrameBridge: e^-3 = 0.0498, in pixels.",
    )
    noise_spread: NotNegative = Field(
        default=0.5,
        description="Standard deviation of the logarithm of that noise level, drawn for each clip.",
    )

    @model_validator(mode="after")
    def _neural_has_a_network(self) -> PriorConfig:
        if self.kind == "neural" and self.path is None:
            raise conflict("kind", "[prior] path, a run of fbridge train-prior")
        return self


class ConditionConfig(Section):
    """How the network gets the picture; dropout of conditions, for classifier-free guidance."""

    image_input: Literal["auto", "native", "bridge", "both"] = Field(
        default="auto",
        description="How the network gets the picture. native: as first latent frame, clean and at "
        "time 0, of a base that takes pictures so (Wan 2.2 5B, LTX-Video); bridge: prior, and "
        "picture where it differs, in added input channels; both. auto: as the base if it is a "
        "bridge, else native of a base that takes pictures so, and bridge of any other; both in "
        "place of native where bridges start elsewhere than at the repeated picture.",
    )
    text_dropout: Share = Field(
        default=0.1, description="Share of clips trained with the empty caption and no class."
    )
    picture_dropout: Share = Field(
        default=0.0, description="Share of clips trained with the picture condition set to zero."
    )


class LoraConfig(Section):
    """Low-rank adaptation (arXiv 2106.09685) instead of full fine-tuning; LoRAs of the base."""

    base: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = Field(
        default=(),
        description="LoRA files of the base, FILE or FILE:WEIGHT, merged into it before training; "
        "relative to the current folder.",
        examples=[["style.safetensors:0.8"]],
    )
    rank: Number = Field(default=0, description="Rank of the updates; 0: train all weights.")
    alpha: Positive | None = Field(
        default=None,
        description="The updates are scaled by alpha / rank; unset: alpha = rank.",
        examples=[16.0],
    )
    dora: bool = Field(
        default=False, description="Train magnitudes apart from directions (arXiv 2402.09353)."
    )
    dropout: BelowOne = Field(
        default=0.0, description="Dropout on the inputs of the updates in training."
    )
    targets: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = Field(
        default=(),
        description='Name endings of the adapted layers, such as ["to_q", "to_v"]; empty: the '
        "attention layers of the base's family.",
    )
    quantize: FrozenWeights = Field(
        default="none",
        description="Keep the frozen base's blocks in 8 bits (float8 with scales, or int8, which "
        "needs torchao) or 4 bits (nf4, needs bitsandbytes) while training; exports use the base's "
        "exact weights.",
    )
    offload_blocks: Number = Field(
        default=0,
        description="Keep the frozen weights of so many blocks in the host's memory and copy them "
        "to the accelerator when they compute; needs train.gradient_checkpointing.",
        examples=[40],
    )

    @model_validator(mode="after")
    def _has_a_rank(self) -> LoraConfig:
        given = {
            "dora": self.dora,
            "quantize": self.quantize != "none",
            "offload_blocks": self.offload_blocks > 0,
        }
        for key, used in given.items():
            if used and not self.rank:
                raise conflict(key, "[lora] rank above 0")
        if self.dora and self.quantize == "float8":
            raise conflict("dora", '[lora] quantize "none", "int8" or "nf4"')
        return self


class RegressionConfig(Section):
    """The loss of fbridge train-prior."""

    loss: Literal["mse", "l1"] = Field(
        default="mse", description="Distance to the clean latents; FrameBridge uses mse."
    )
    temporal: NotNegative = Field(
        default=0.0,
        description="Weight of an added term: the same distance between differences of consecutive "
        "frames.",
    )
