"""The form of a run's `run.json`, as far as it is read again."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, FiniteFloat, PositiveInt

from fbridge.files.model_forms import LoraForm
from fbridge.files.schema import ClosedForm, Form, Text


class _Codec(Form):
    name: Text


class _Data(Form):
    codec: _Codec


class _Base(Form):
    name: Text
    sha256: str
    loras: list[LoraForm] = Field([])


class _Shape(ClosedForm):
    channels: PositiveInt
    height: PositiveInt
    width: PositiveInt
    condition_channels: PositiveInt
    condition_height: PositiveInt
    condition_width: PositiveInt
    text_width: PositiveInt
    classes: list[Text]
    frames: PositiveInt
    step: PositiveInt
    fps: FiniteFloat
    sizes: list[list[PositiveInt]]
    text_encoder: Text = ""


class RunForm(Form):
    """What is needed to export a run."""

    format: int
    command: Literal["train-prior", "finetune"]
    base: _Base | None
    data: _Data
    shape: _Shape
