"""Base class of the configuration's sections, and the types of their values."""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def as_tuple(value: object) -> object:
    """A list as a tuple; any other value as it is."""
    return tuple(value) if isinstance(value, list) else value


Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
Number = Annotated[int, Field(ge=0), BeforeValidator(_whole)]
Text = str | None


class Section(BaseModel):
    """A section: frozen, strictly typed, unknown keys forbidden.

    The empty text is None where None is possible, so that it unsets what a recipe or file sets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_text_unsets(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        fields = cls.model_fields
        unset = {
            key
            for key, value in given.items()
            if value == "" and key in fields and NoneType in get_args(fields[key].annotation)
        }
        return {**given, **dict.fromkeys(unset)}


def conflict(key: str, need: str) -> PydanticCustomError:
    """The error of a key whose value needs another key's."""
    return PydanticCustomError("conflict", "{key}: needs {need}", {"key": key, "need": need})
