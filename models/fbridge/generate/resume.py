"""Go on with videos of which some are there: `--resume` keeps those that the same line has made."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fbridge.data.provenance import Provenance, read_provenance, sidecar_path
from fbridge.errors import ConfigError, DataError
from fbridge.files.atomic import shown, write_text
from fbridge.generate.events import Finished, Item

WAY_OUT = "give another name with -o, or --overwrite"


def read_present(videos: Sequence[Path]) -> dict[Path, Provenance]:
    """The records of those videos that are there; a video is whole, or absent.

    Raises:
        ConfigError: one has no record.
    """
    found = {}
    for video in videos:
        if os.path.lexists(video):
            try:
                found[video] = read_provenance(video)
            except DataError as error:
                raise ConfigError(f"{error}; --resume keeps what has a record: {WAY_OUT}") from None
    return found


def keep_present(
    batches: Iterable[Sequence[Item]], present: Mapping[Path, Provenance]
) -> list[Finished]:
    """The videos that stay, each with its sidecar, which is written where it is missing.

    Raises:
        ConfigError: one was made otherwise than it would be made now; names what differs.
    """
    kept = []
    for batch in batches:
        for item in batch:
            if (record := present.get(item.video)) is not None:
                machine = replace(item.record.machine, batch=len(batch))
                now = replace(item.record, machine=machine, notes=record.notes)
                if differences := list(_differences(_plain(record), _plain(now))):
                    raise ConfigError(
                        f"{shown(item.video)}: is there and was made otherwise "
                        f"({'; '.join(differences)}); {WAY_OUT}"
                    )
                sidecar = sidecar_path(item.video)
                kept.append(Finished(item.video, sidecar, item.fitting, 0.0, now, kept=True))
    for video in kept:
        assert video.sidecar is not None
        if not video.sidecar.exists():  # a run was killed between the two
            write_text(video.sidecar, video.record.sidecar(), overwrite=False)
    return kept


def _plain(record: Provenance) -> dict[str, Any]:
    """The record as it is inside of the video, without folders."""
    tree: dict[str, Any] = json.loads(record.comment())
    return tree


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys([*was, *now]):
        old, new = was.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new)
        elif old != new:
            yield f"{name} {json.dumps(old)}, now {json.dumps(new)}"
