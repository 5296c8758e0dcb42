"""The configuration of a training run: every key with its type, bounds, default and description."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from fbridge.config.model import (
    BridgeConfig,
    ConditionConfig,
    DistillConfig,
    LoraConfig,
    ModelConfig,
    PriorConfig,
    RegressionConfig,
    SamplingConfig,
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
    "DistillConfig",
    "EmaConfig",
    "LogConfig",
    "LoraConfig",
    "ModelConfig",
    "PriorConfig",
    "RegressionConfig",
    "SamplingConfig",
    "Section",
    "TimesConfig",
    "TrainConfig",
    "ValidationConfig",
    "WeightConfig",
]


class Config(Section):
    """Configuration of fbridge train-prior and finetune; both read the same file.

    Paths are relative to the current folder, not to this file.
    """

    base: Text = Field(
        default=None,
        description="Model that finetune starts from: a .safetensors file, a pipeline's folder or "
        "hub id, or a new network such as scratch:tiny; relative to the current folder.",
        examples=["t2v.safetensors"],
    )
    components: Text = Field(
        default=None,
        description="Pipeline folder or hub id with the other components, for a base that is a "
        "single file; relative to the current folder.",
        examples=["models/cogvideox-2b"],
    )
    expert: Literal["low", "high"] | None = Field(
        default=None,
        description="Which network of a pair (Wan 2.2 A14B) the base is: low, for little noise, or "
        "high, for much; unset: as its file or folder is named.",
        examples=["low"],
    )
    download: bool = Field(
        default=False, description="Download the components that a single file lacks from the hub."
    )
    data: Text = Field(
        default=None,
        description="Folder written by fbridge prepare, relative to the current folder, or its "
        "URL; demo: the built-in data.",
        examples=["latents"],
    )
    cache_size: str = Field(
        default="10GB",
        description="Room on this machine for the shards of a data set behind a URL; where they "
        "do not fit, they are fetched again and again.",
        examples=["200GB"],
    )
    split: Text = Field(
        default=None,
        description="Train on the clips of this split of the data only.",
        examples=["train"],
    )
    output: Text = Field(
        default=None,
        description="Folder of the run, relative to the current folder; unset: the next free one "
        "in runs.",
        examples=["runs/finetune"],
    )
    recipe: Text = Field(
        default=None,
        description="Recipe whose values replace the defaults; fbridge config --recipes lists "
        "them.",
        examples=["demo"],
    )
    model: ModelConfig = Field(default=ModelConfig(), description="A network from scratch.")
    bridge: BridgeConfig = Field(default=BridgeConfig(), description="The process.")
    distill: DistillConfig = Field(
        default=DistillConfig(), description="Few steps learnt from a teacher."
    )
    prior: PriorConfig = Field(default=PriorConfig(), description="The prior.")
    condition: ConditionConfig = Field(
        default=ConditionConfig(), description="The picture; dropout of conditions."
    )
    lora: LoraConfig = Field(default=LoraConfig(), description="Low-rank adaptation.")
    regression: RegressionConfig = Field(
        default=RegressionConfig(), description="The loss of train-prior."
    )
    train: TrainConfig = Field(default=TrainConfig(), description="Optimisation.")
    times: TimesConfig = Field(default=TimesConfig(), description="Distribution of times.")
    weight: WeightConfig = Field(default=WeightConfig(), description="Loss weight of each time.")
    ema: EmaConfig = Field(default=EmaConfig(), description="Average of the weights.")
    sampling: SamplingConfig = Field(
        default=SamplingConfig(), description="How the result is sampled by default."
    )
    validation: ValidationConfig = Field(default=ValidationConfig(), description="Held-out clips.")
    log: LogConfig = Field(default=LogConfig(), description="Reports and trackers.")

    def flat(self) -> dict[str, Any]:
        """Values by dotted key."""
        found: dict[str, Any] = {}
        for name, value in self:
            if isinstance(value, Section):
                found |= {f"{name}.{key}": inner for key, inner in value}
            else:
                found[name] = value
        return found
