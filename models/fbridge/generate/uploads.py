"""Videos on their way into a store: each is uploaded with its record when it is whole."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fbridge.checks import home_expanded
from fbridge.data.provenance import sidecar_path
from fbridge.data.stores import ObjectError, Store, StoreUrl
from fbridge.data.stores.url import parse_target
from fbridge.errors import ConfigError
from fbridge.generate.events import Finished


class VideoUploads:
    """The folder behind a URL that videos go to.

    Args:
        out: of the request: a folder's URL, or that of one video.
        overwrite: whether videos that are there are replaced.
    """

    def __init__(self, out: str, *, overwrite: bool) -> None:
        url = parse_target(out, "-o")
        assert url is not None, "else the videos are local"
        folder = out.rstrip().endswith("/") or not home_expanded(url.name).suffix
        self.url: StoreUrl = url if folder else url.parent
        self.name = "" if folder else url.name
        self._store = Store(self.url)
        self._overwrite = overwrite

    def check(self, videos: Sequence[Path], *, metadata: bool, write: bool) -> None:
        """Before the work: that the videos may be written.

        Args:
            videos: by their local names.
            metadata: whether records are written, too.
            write: try whether the store takes files.

        Raises:
            ConfigError: it does not, or has one of these names.
            StoreError: it does not answer.
        """
        there: set[str] = set()
        with suppress(ObjectError):  # a folder of a store is there as soon as a file is in it
            there = {item.name for item in self._store.items(deep=False)}
        for video in videos:
            for name in (video.name, *([sidecar_path(video).name] if metadata else [])):
                if name in there and not self._overwrite:
                    raise self._taken(name)
        if write:
            self._store.check_writable("-o")

    def upload(self, video: Finished) -> Finished:
        """Upload a finished video, its record first; the local files are removed.

        Raises:
            ConfigError: something has got its name meanwhile.
            StoreError: the store does not take it.
        """
        files = [path for path in (video.sidecar, video.video) if path is not None]
        for path in files:
            if not self._overwrite and self._store.exists(path.name):
                raise self._taken(path.name)
        for path in files:
            self._store.upload(path, path.name)
            path.unlink()
        return replace(video, url=self.url / video.video.name)

    def _taken(self, name: str) -> ConfigError:
        return ConfigError(
            f"{self.url / name}: already exists; give another name with -o, or --overwrite"
        )
