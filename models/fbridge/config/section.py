"""What the tables of the tree are made of: kinds of values, and the table itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def fixed(value: object) -> object:
    """A list as a tuple, which nobody can change."""
    return tuple(value) if isinstance(value, list) else value


def _unset(value: object) -> object:
    return None if value == "" else value


Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
Number = Annotated[int, Field(ge=0), BeforeValidator(_whole)]
Text = Annotated[str | None, BeforeValidator(_unset)]
"""Text or nothing; empty text is nothing, so that it can undo what a recipe or file says."""


class Section(BaseModel):
    """A table of the tree: frozen, of strict types, and without room for unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


def together(key: str, need: str) -> PydanticCustomError:
    """The complaint about a key's value that another key does not go with."""
    return PydanticCustomError("together", "{key}: needs {need}", {"key": key, "need": need})
