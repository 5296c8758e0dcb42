"""The settings that decide a data set's bytes, stored in its folder and compared by later runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fbridge.data.latents.format import INDEX, JOURNAL, read_index
from fbridge.data.sources import Media
from fbridge.data.stores import Store, StoreUrl, parse_url
from fbridge.data.stores.scratch import scratch_folder
from fbridge.errors import ConfigError, DataError
from fbridge.files.atomic import shown, write_text
from fbridge.prepare.request import PrepareRequest


def content(request: PrepareRequest, hashes: dict[str, str]) -> dict[str, Any]:
    """All settings that decide the bytes; `hashes` are those of the models."""
    return {
        "cutting": json.loads(json.dumps(asdict(request.cutting))),
        "captionless": request.captionless,
        "prefix": request.prefix,
        "dtype": request.dtype,
        "shard_rows": request.shard_rows,
        "batch_size": request.batch_size,
        **hashes,
    }


def origin(request: PrepareRequest, layout: str) -> dict[str, str]:
    """Where the videos came from, so that `verify` finds them again."""
    root = request.media_root
    return {
        "path": _absolute(request.source),
        "layout": layout,
        "media_root": _absolute(root) if root else "",
    }


def _absolute(place: Path | StoreUrl) -> str:
    return str(place.resolve() if isinstance(place, Path) else place)


def place_of(text: str) -> Path | StoreUrl:
    """The place that `origin` has recorded."""
    return parse_url(text, "source") or Path(text)


@contextmanager
def recorded_media(source: dict[str, str], media: list[Any]) -> Iterator[Media]:
    """The video of a row of the manifest, by what `origin` has recorded.

    Raises:
        StoreError: it is behind a URL, and cannot be had.
    """
    name, offset, size = media
    root = place_of(name)
    linked = isinstance(root, StoreUrl)
    if isinstance(root, StoreUrl):  # of a list of URLs
        root, name = root.parent, root.name
    else:
        root = place_of(source["media_root"] or source["path"])
    if isinstance(root, Path):
        yield Media(str((root if root.is_dir() else root.parent) / name), offset, size)
        return
    store = Store(root)
    if not linked and not source["media_root"] and store.is_file():
        store = Store(root.parent)
    with scratch_folder() as folder:
        store.download(store.item(name), folder / "video", start=offset, size=size)
        yield Media(str(folder / "video"))


def check_pinned(request: PrepareRequest, content: dict[str, Any]) -> None:
    """Check that the folder is free, or was begun with the same settings.

    Raises:
        ConfigError: it was begun with other settings; names them.
        DataError: the folder holds something else.
    """
    out, pinned = request.out, _pinned(request)
    if pinned is None:
        if out.is_dir() and any(out.iterdir()) and not (out / JOURNAL).is_dir():
            raise DataError(f"{shown(out)}: holds other things than a data set; name a new folder")
        return
    changed = [f"{name} was {old} and is {new}" for name, old, new in _differences(pinned, content)]
    if changed:
        raise ConfigError(
            f"{shown(out)}: was begun with other options: {'; '.join(changed)}; "
            "name another folder, or take the same options"
        )


def pin(request: PrepareRequest, content: dict[str, Any]) -> None:
    """Store the settings for every later run, unless they are stored already."""
    if _pinned(request) is None:
        write_text(request.out / JOURNAL / "options.json", json.dumps(content, indent=1) + "\n")


def _pinned(request: PrepareRequest) -> dict[str, Any] | None:
    if (request.out / INDEX).is_file():
        pinned: dict[str, Any] = read_index(request.out)["options"]
        return pinned
    path = request.out / JOURNAL / "options.json"
    if not path.is_file():
        return None
    try:
        begun: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise DataError(f"{shown(path)}: is damaged; delete {shown(request.out)}") from None
    return begun


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after)
        elif before != after:
            found.append((name.replace("_", " "), before, after))
    return found
