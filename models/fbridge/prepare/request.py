"""What is to be prepared, and which of it decides the bytes that come out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fbridge.data.latents.format import INDEX, JOURNAL, read_index
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.errors import ConfigError, DataError
from fbridge.files.atomic import shown, write_text

DTYPES = ("float32", "float16", "bfloat16")
CAPTIONLESS = ("keep", "drop")


@dataclass(frozen=True)
class Rank:
    """Which of several processes this is."""

    number: int = 0
    world: int = 1

    def mine(self, place: int) -> bool:
        """Whether the work at a place of the common order is this process's."""
        return place % self.world == self.number


@dataclass(frozen=True)
class Options:
    """An order of `fbridge prepare`.

    Attributes:
        source, out: what is read, and the data set's folder.
        cutting: how clips are cut.
        layout, media_root: as `fbridge.data.sources.find_layout` takes them.
        codec, text_encoder: names of models; None is the codec's own text encoder, else MiniLM.
        captionless: "keep" videos without a caption as unconditional ones, or "drop" them.
        prefix: put before every caption.
        dtype: of everything stored.
        shard_rows: clips a shard; a killed run repeats at most one shard a process.
        batch_size: clips encoded at a time.
        workers, time_limit: decoding processes, and the seconds after which a file is given up.
        max_bad: the largest share of files that may be rejected.
        device: where the codec runs.
    """

    source: Path
    out: Path
    cutting: ClipSampling
    layout: str | None = None
    media_root: Path | None = None
    codec: str = "embedded"
    text_encoder: str | None = None
    captionless: str = "keep"
    prefix: str = ""
    dtype: str = "float16"
    shard_rows: int = 64
    batch_size: int = 4
    workers: int = 2
    time_limit: float = 120.0
    max_bad: float = 0.01
    device: str = "cpu"
    rank: Rank = field(default_factory=Rank)

    def content(self, hashes: dict[str, str]) -> dict[str, Any]:
        """All that decides the bytes; `hashes` are those of the models."""
        return {
            "cutting": json.loads(json.dumps(asdict(self.cutting))),
            "captionless": self.captionless,
            "prefix": self.prefix,
            "dtype": self.dtype,
            "shard_rows": self.shard_rows,
            "batch_size": self.batch_size,
            **hashes,
        }

    def origin(self, layout: str) -> dict[str, str]:
        """Where the videos came from, to be found again."""
        root = self.media_root
        return {
            "path": str(self.source.resolve()),
            "layout": layout,
            "media_root": str(root.resolve()) if root else "",
        }

    def check_pinned(self, content: dict[str, Any]) -> None:
        """See that the folder is free, or was begun with the same options.

        Raises:
            ConfigError: it was begun with other ones; names them.
            DataError: the folder holds other things.
        """
        pinned = self._pinned()
        if pinned is None:
            self._check_empty()
            return
        changed = [
            f"{name} was {old} and is {new}" for name, old, new in _differences(pinned, content)
        ]
        if changed:
            raise ConfigError(
                f"{shown(self.out)}: was begun with other options: {'; '.join(changed)}; "
                "name another folder, or take the same options"
            )

    def pin(self, content: dict[str, Any]) -> None:
        """Hold the folder to these options in every later run."""
        if self._pinned() is None:
            write_text(self.out / JOURNAL / "options.json", json.dumps(content, indent=1) + "\n")

    def _pinned(self) -> dict[str, Any] | None:
        if (self.out / INDEX).is_file():
            pinned: dict[str, Any] = read_index(self.out)["options"]
            return pinned
        path = self.out / JOURNAL / "options.json"
        if not path.is_file():
            return None
        try:
            begun: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise DataError(f"{shown(path)}: is damaged; delete {shown(self.out)}") from None
        return begun

    def _check_empty(self) -> None:
        if self.out.is_dir() and any(self.out.iterdir()) and not (self.out / JOURNAL).is_dir():
            raise DataError(
                f"{shown(self.out)}: holds other things than a data set; name a new folder"
            )


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after)
        elif before != after:
            found.append((name.replace("_", " "), before, after))
    return found
