"""Texts that are written to a file or behind a URL, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from fbridge.data.stores.store import Store
from fbridge.data.stores.url import StoreUrl
from fbridge.files.atomic import check_writable, write_text


def write_text_to(place: Path | StoreUrl, text: str) -> None:
    """Write a text as UTF-8.

    Raises:
        DependencyError: the file cannot be written.
        StoreError: the store does not take it.
    """
    if isinstance(place, Path):
        write_text(place, text)
        return
    with TemporaryDirectory() as folder:
        path = Path(folder, "text")
        path.write_text(text, encoding="utf-8")
        Store(place.parent).upload(path, place.name)


def check_place(place: Path | StoreUrl, option: str) -> None:
    """Raise FBridgeError unless a file can be written there; see what is tried in either."""
    if isinstance(place, Path):
        check_writable(place.parent)
    else:
        Store(place.parent).check_writable(option)
