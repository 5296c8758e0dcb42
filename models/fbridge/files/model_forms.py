"""The form of what a model says of itself: in a single file's header, an index, an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, FiniteFloat, PositiveInt

from fbridge.choices import EXPERTS, GRIDS, IMAGE_INPUTS, SAMPLERS, STARTS
from fbridge.files.schema import ClosedForm, Form, Text

_MOST_FPS = 1000


def _frames(numbers: list[int]) -> list[int]:
    default, least, most, _ = numbers
    if not least <= default <= most:
        raise ValueError("default, minimum, maximum and step are needed")
    return numbers


_Frames = Annotated[list[PositiveInt], Field(min_length=4, max_length=4), AfterValidator(_frames)]
_Fps = Annotated[FiniteFloat, Field(gt=0, le=_MOST_FPS)]
_Size = Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]


def _reading(held: list[Any]) -> list[Any]:
    if not (isinstance(held[0], int) and held[0] > 0):
        raise ValueError("a number of tokens is needed first")
    return held


_Class = Annotated[list[Text | None], Field(min_length=2, max_length=2)]
"""Module or library, and class, of a part; two nulls where there is none."""


class _Start(Form):
    kind: str
    mix: FiniteFloat = 0.5


class _Network(Form):
    class_name: Text = Field(alias="_class_name")


class _Video(Form):
    """Facts of a pipeline that may be absent."""

    frames: _Frames | None = None
    fps: _Fps | None = None
    sizes: list[_Size] | None = None
    classes: list[Text] | None = None
    start_from: _Start | None = None
    world: Text | None = None


class SingleFileForm(Form):
    """The header of a text-to-video base in one file; see `files.modules.save_single_file`."""

    format: int
    kind: str
    transformer: _Network
    vae: _Network
    noise: dict[str, Any]
    prediction: Literal["v", "flow", "noise", "clean"]
    text_encoder: Text
    frames: _Frames
    fps: _Fps
    sizes: list[_Size]
    world: Text = ""


class BridgeForm(_Video):
    """`model_index.json` of a `FrameBridgePipeline`."""

    frames: _Frames
    fps: _Fps
    reading: (
        Annotated[
            list[int | bool | None], Field(min_length=1, max_length=5), AfterValidator(_reading)
        ]
        | None
    ) = None
    class_name: Text = Field("", alias="_class_name")
    transformer: _Class | None = None
    transformer_2: _Class | None = None
    scheduler: _Class | None = None
    codec: _Class | None = None
    vae: _Class | None = None
    prior: _Class | None = None
    text_encoder: _Class | None = None
    tokenizer: _Class | None = None
    text_encoder_2: _Class | None = None
    tokenizer_2: _Class | None = None
    image_encoder: _Class | None = None


def _one_of(known: Sequence[str]) -> AfterValidator:
    def check(word: str) -> str:
        if word not in known:
            raise ValueError(f"one of {', '.join(known)} is needed")
        return word

    return AfterValidator(check)


_Share = Annotated[FiniteFloat, Field(ge=0, le=1)]


class _DistilledForm(Form):
    steps: PositiveInt
    guidance_scale: FiniteFloat
    sha256: str = ""


class SchedulerForm(Form):
    """`scheduler_config.json` of a bridge: what it predicts, and the defaults of sampling."""

    prediction: str = "clean"
    base: dict[str, Any] | None = None
    sampler: Annotated[str, _one_of(SAMPLERS)] = "sde"
    grid: Annotated[str, _one_of(GRIDS)] = "trailing"
    time_shift: Annotated[FiniteFloat, Field(gt=0)] = 1.0
    start: Annotated[str, _one_of(STARTS)] = "noised"
    steps: PositiveInt = 50
    strength: Annotated[FiniteFloat, Field(gt=0, le=1)] = 1.0
    guidance_scale: FiniteFloat = 1.0
    image_input: Annotated[str, _one_of(IMAGE_INPUTS)] = "bridge"
    guidance_scale_2: FiniteFloat | None = None
    boundary: Annotated[FiniteFloat, Field(gt=0)] | None = None
    times: Annotated[list[_Share], Field(min_length=2, max_length=2)] | None = None
    distilled: _DistilledForm | None = None


class LoraForm(ClosedForm):
    """A `fbridge.files.lora_record.LoraRecord` as JSON."""

    name: Text
    sha256: str
    weight: FiniteFloat
    path: Text | None = None
    network: Annotated[str, _one_of(EXPERTS)] = ""


class AdapterForm(Form):
    """`adapter.json`; see `loaders.adapter_card.AdapterCard`."""

    base: Text
    base_sha256: str
    parts: int
    scheduler: dict[str, Any]
    pipeline: _Video = _Video()
    components: Text | None = None
    expert: Annotated[str, _one_of(EXPERTS)] | None = None
    second: Annotated[str, _one_of(("transformer_2",))] | None = None
    base_path: Text | None = None
    components_path: Text | None = None
    loras: list[LoraForm] = Field([])
    format: int = 1
