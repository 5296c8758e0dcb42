"""The form of JSON values, checked once where they are read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError
from pydantic_core import ErrorDetails

_LONGEST = 60
_EXPECTED = "Input should be "
_OWN = "Value error, "


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text is needed")
    return value


Text = Annotated[str, PlainValidator(_text)]
"""Any text, also a path whose bytes are no valid UTF-8, which pydantic's own refuses."""


class Form(BaseModel):
    """Base of forms: a number is no text, true is no number; keys that are not named may be."""

    model_config = ConfigDict(strict=True)


class ClosedForm(Form):
    """A form in which keys that are not named may not be, such as one with a changed letter."""

    model_config = ConfigDict(strict=True, extra="forbid")


def form_fault(form: type[Form], tree: Any) -> str:
    """What is wrong with a value: its key, the value, and what is expected; "" if nothing is."""
    try:
        form.model_validate(tree)
    except ValidationError as error:
        return _fault(error.errors(include_url=False)[0])
    except RecursionError:
        return "it is nested too deeply"
    return ""


def _fault(error: ErrorDetails) -> str:
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "missing":
        return f"lacks {key!r}"
    if error["type"] == "extra_forbidden":
        return f"has an unknown key {key!r}"
    value = repr(error["input"])
    short = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}..."
    wanted = error["msg"].removeprefix(_OWN)
    if wanted.startswith(_EXPECTED):
        wanted = f"{wanted[len(_EXPECTED) :]} is needed"
    subject = f"{key!r} is {short}" if key else f"it is {short}"
    return f"{subject} where {wanted}"
