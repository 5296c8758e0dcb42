"""The one typed tree of a training run's configuration: every key, its meaning and its bounds."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from fbridge.config.model import (
    BridgeConfig,
    ConditionConfig,
    LoraConfig,
    ModelConfig,
    PriorConfig,
    RegressionConfig,
)
from fbridge.config.section import Section, Text
from fbridge.config.training import (
    EmaConfig,
    LogConfig,
    TimesConfig,
    TrainConfig,
    ValidationConfig,
    WeightConfig,
)

__all__ = [
    "BridgeConfig",
    "ConditionConfig",
    "Config",
    "EmaConfig",
    "LogConfig",
    "LoraConfig",
    "ModelConfig",
    "PriorConfig",
    "RegressionConfig",
    "Section",
    "TimesConfig",
    "TrainConfig",
    "ValidationConfig",
    "WeightConfig",
]


class Config(Section):
    """A training run of fbridge train-prior or finetune; both read the same file.

    Paths are relative to the folder that the command runs in, not to this file.
    """

    base: Text = Field(
        default=None,
        description="What finetune goes on from: a .safetensors file, a pipeline's folder or hub "
        "id, or scratch:tiny for a fresh network; relative to the current folder.",
        examples=["t2v.safetensors"],
    )
    components: Text = Field(
        default=None,
        description="Pipeline folder or hub id with the other parts, for a base of bare weights; "
        "relative to the current folder.",
        examples=["models/cogvideox-2b"],
    )
    download: bool = Field(
        default=False,
        description="Fetch from the hub what a base of bare weights lacks, where it is known.",
    )
    data: Text = Field(
        default=None,
        description="Folder written by fbridge prepare, relative to the current folder; demo is "
        "the built-in data.",
        examples=["latents"],
    )
    split: Text = Field(
        default=None,
        description="Train only on the clips of this split of the data.",
        examples=["train"],
    )
    output: Text = Field(
        default=None,
        description="Folder of the run, relative to the current folder; unset it is the next free "
        "one below runs.",
        examples=["runs/finetune"],
    )
    recipe: Text = Field(
        default=None,
        description="Recipe whose values stand where none are given; fbridge config --recipes "
        "lists them.",
        examples=["demo"],
    )
    model: ModelConfig = Field(default=ModelConfig(), description="A network from scratch.")
    bridge: BridgeConfig = Field(default=BridgeConfig(), description="The process that is learnt.")
    prior: PriorConfig = Field(default=PriorConfig(), description="Where bridges start.")
    condition: ConditionConfig = Field(
        default=ConditionConfig(), description="Dropout of conditions."
    )
    lora: LoraConfig = Field(default=LoraConfig(), description="Low-rank adaptation.")
    regression: RegressionConfig = Field(
        default=RegressionConfig(), description="The loss of a prior."
    )
    train: TrainConfig = Field(default=TrainConfig(), description="How long and how fast.")
    times: TimesConfig = Field(default=TimesConfig(), description="Which times are trained.")
    weight: WeightConfig = Field(default=WeightConfig(), description="How much each time counts.")
    ema: EmaConfig = Field(default=EmaConfig(), description="The average of the weights.")
    validation: ValidationConfig = Field(default=ValidationConfig(), description="Held-out clips.")
    log: LogConfig = Field(default=LogConfig(), description="Where the curves go.")

    def flat(self) -> dict[str, Any]:
        """Values by dotted key."""
        found: dict[str, Any] = {}
        for name, value in self:
            if isinstance(value, Section):
                found |= {f"{name}.{key}": inner for key, inner in value}
            else:
                found[name] = value
        return found
