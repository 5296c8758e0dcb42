"""MSR-VTT: json with "videos" and "sentences", joined by video_id; all sentences are kept.

`train_val_videodatainfo.json` and `test_videodatainfo.json` may be in one folder.

`<video_id>.mp4`, or else another video called so, may be in the folder of the json or below it; of
several, the first in the order of folders is taken. Sentences about a video that is not among
"videos" count if the file exists. The json is held in memory (20 MB for 10000 videos).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fbridge.data.sources.columns import BadRow, clean_caption
from fbridge.data.sources.entry import Entry
from fbridge.data.sources.layout import MANY_JSON, Layout, Sought, listed
from fbridge.data.sources.paths import is_video, locate, videos_below
from fbridge.errors import ConfigError, DataError
from fbridge.files.atomic import shown

_KEYS = (b'"videos"', b'"sentences"')
_CHUNK = 2**20


def find(sought: Sought) -> Layout | None:
    """The layout of such a json, or of a folder with one.

    Raises:
        ConfigError: a folder has several such files that name one video.
        DataError: the json cannot be read.
    """
    paths = sought.files(".json")
    if len(paths) > MANY_JSON:
        return None
    forced = sought.file is not None and sought.forced
    paths = [path for path in paths if forced or _has_keys(path)]
    if not paths:
        return None
    _check_apart(paths)
    names = tuple(path.name for path in paths)
    summary = f"msrvtt: {listed(names)}, all captions of 'sentences' joined by 'video_id'"
    reader = partial(_all_entries, str(sought.root), tuple(paths))
    return Layout("msrvtt", summary, sought.root, reader, names)


def _check_apart(paths: list[Path]) -> None:
    """Raise ConfigError if two lists name one video, as MSRVTT_data.json repeats the others."""
    seen: dict[object, Path] = {}
    for path in paths:
        for item in _read(path)[0]:
            name = item.get("video_id") if isinstance(item, dict) else None
            if isinstance(name, str) and seen.setdefault(name, path) is not path:
                several = listed(one.name for one in paths)
                raise ConfigError(
                    f"{shown(path.parent)}: holds several lists ({several}) of "
                    f"{ascii(name)[:60]}; name one of them as SOURCE"
                )


def _all_entries(root: str, paths: tuple[Path, ...]) -> Iterator[Entry]:
    for path in paths:
        yield from _entries(root, path)


def _has_keys(path: Path) -> bool:
    seen: set[bytes] = set()
    tail = b""
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                text = tail + chunk
                seen |= {key for key in _KEYS if key in text}
                if len(seen) == len(_KEYS):
                    return True
                tail = text[-len(max(_KEYS, key=len)) :]
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror})") from None
    return False


def _read(path: Path) -> tuple[list[Any], list[Any]]:
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            whole = json.load(file)
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror})") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{shown(path)}:{error.lineno}: is no JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown(path)}: is no JSON: {error}") from None
    if isinstance(whole, dict):
        videos, sentences = whole.get("videos"), whole.get("sentences")
        if isinstance(videos, list) and isinstance(sentences, list):
            return videos, sentences
    raise DataError(
        f"{shown(path)}: is no MSR-VTT json; it needs the lists 'videos' and 'sentences'"
    )


def _entries(root: str, path: Path) -> Iterator[Entry]:
    videos, sentences = _read(path)
    captions: dict[str, list[str]] = {}
    faults: list[Entry] = []
    for number, item in enumerate(sentences):
        try:
            name = _text(item, "video_id")
            captions.setdefault(name, []).extend(clean_caption(item.get("caption")))
        except BadRow as fault:
            faults.append(Entry(f"{path.name}:sentences[{number}]", None, refused=str(fault)))
    files = _files(root)
    known = set()
    for number, item in enumerate(videos):
        line = f"{path.name}:videos[{number}]"
        try:
            name = _text(item, "video_id")
        except BadRow as fault:
            yield Entry(line, None, refused=str(fault))
            continue
        known.add(name)
        place = _find(files, name) or locate(root, root, _file(name), line=line)
        missing = place.refused.startswith("missing")
        split = item.get("split")
        tags = (split,) if isinstance(split, str) and split else ()
        texts = tuple(captions.get(name, ()))
        yield replace(place, captions=texts, split=tags, missing=missing)
    for name, texts_of in captions.items():
        if name not in known and (found := _find(files, name)):
            yield replace(found, captions=tuple(texts_of))
    yield from faults


def _files(root: str) -> dict[str, Entry]:
    """The first video of each file name, and of each without suffix."""
    files: dict[str, Entry] = {}
    for place in videos_below(root):
        name = place.key.rpartition("/")[2]
        files.setdefault(name, place)
        files.setdefault(name.rpartition(".")[0], place)
    return files


def _file(name: str) -> str:
    return name if is_video(name) else f"{name}.mp4"


def _find(files: dict[str, Entry], name: str) -> Entry | None:
    """The video of an id; MSVD in MSR-VTT's form has .avi, and ids with or without suffix."""
    return files.get(_file(name)) or files.get(name)


def _text(item: object, key: str) -> str:
    value = item.get(key) if isinstance(item, dict) else None
    if not isinstance(value, str) or not value:
        raise BadRow(f"has no text under {key!r}; mend the list")
    return value
