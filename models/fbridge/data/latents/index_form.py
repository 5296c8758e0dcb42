"""The form of a data set's `index.json`, and which names in it are files of the data set."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, FiniteFloat

from fbridge.files.schema import ClosedForm, Form, Text

_INSIDE = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")


def is_inside(name: object) -> bool:
    """Whether a name means a file in the data set's folder, and none elsewhere."""
    return isinstance(name, str) and _INSIDE.fullmatch(name) is not None


def _inside(name: str) -> str:
    if not is_inside(name):
        raise ValueError("a file in this folder is needed")
    return name


class _Part(ClosedForm):
    path: Annotated[Text, AfterValidator(_inside)]
    sha256: str
    bytes: int
    rows: int


class _Parts(Form):
    captions: _Part
    columns: _Part
    manifest: _Part
    shards: _Part
    rejected: _Part | None = None
    survey: _Part | None = None


class _Bucket(Form):
    bucket: str
    number: int
    clips: int = 0
    latent: list[int] | None = None


class _Codec(Form):
    name: Text
    hash: str
    kind: str = ""
    fingerprint: str = ""


class _TextEncoder(Form):
    name: Text
    hash: str = ""


class _Source(Form):
    path: Text
    layout: str
    media_root: Text


class IndexForm(ClosedForm):
    """What `index.json` holds; what has a default may be absent."""

    format: int
    fbridge: str = ""
    source: _Source | None = None
    options: dict[str, Any] | None = None
    codec: _Codec
    text_encoder: _TextEncoder
    counts: dict[str, int] | None = None
    buckets: list[_Bucket]
    splits: list[str]
    moments: dict[str, list[FiniteFloat]] | None = None
    files: _Parts
