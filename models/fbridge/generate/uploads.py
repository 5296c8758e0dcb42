"""Videos on their way into a store: each is uploaded with its record when it is whole."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fbridge.checks import home_expanded
from fbridge.data.provenance import Provenance, read_provenance, sidecar_path
from fbridge.data.stores import MissingError, ObjectError, Store, StoreUrl
from fbridge.data.stores.fetched import THREADS
from fbridge.data.stores.store import Item
from fbridge.data.stores.url import parse_target
from fbridge.errors import ConfigError, DataError
from fbridge.generate.events import Finished
from fbridge.generate.resume import WAY_OUT


class VideoUploads:
    """The folder behind a URL that videos go to.

    Args:
        out: of the request: a folder's URL, or that of one video.
        overwrite: whether videos that are there are replaced.
        resume: whether they stay, and records without videos are replaced.
    """

    def __init__(self, out: str, *, overwrite: bool, resume: bool) -> None:
        url = parse_target(out, "-o")
        assert url is not None, "else the videos are local"
        folder = out.rstrip().endswith("/") or not home_expanded(url.name).suffix
        self.url: StoreUrl = url if folder else url.parent
        self.name = "" if folder else url.name
        self._store = Store(self.url)
        self._overwrite, self._resume = overwrite, resume

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
        there = {} if self._overwrite or self._resume else self._there()
        for video in videos:
            for name in (video.name, *([sidecar_path(video).name] if metadata else [])):
                if name in there:
                    raise self._taken(name)
        if write:
            self._store.check_writable("-o")

    def present(self, videos: Sequence[Path]) -> dict[Path, Provenance]:
        """The records of those videos that are there, which are copied to their local sidecars.

        Args:
            videos: by their local names.

        Raises:
            ConfigError: one has no record beside it.
            StoreError: the store does not answer.
        """
        there = self._there()
        found = [video for video in videos if video.name in there]
        sidecars = [sidecar_path(video) for video in found]
        items = [there.get(sidecar.name) for sidecar in sidecars]
        with ThreadPoolExecutor(THREADS) as threads:
            return dict(zip(found, threads.map(self._record, sidecars, items), strict=True))

    def _there(self) -> dict[str, Item]:
        """All that is in the folder, by name."""
        with suppress(MissingError):  # a folder of a store is there as soon as a file is in it
            return {item.name: item for item in self._store.items(deep=False)}
        return {}

    def _record(self, sidecar: Path, item: Item | None) -> Provenance:
        why = "there is no such object"
        if item is not None:
            try:
                self._store.download(item, sidecar)
                return read_provenance(sidecar)
            except ObjectError as error:
                why = error.why
            except DataError:
                why = "is no record of fbridge"
        raise ConfigError(
            f"{self.url / sidecar.name}: {why}; --resume keeps what has a record: {WAY_OUT}"
        )

    def upload(self, video: Finished) -> Finished:
        """Upload a finished video, its record first; the local files are removed.

        One that stays (`kept`) is there already.

        Raises:
            ConfigError: something has got its name meanwhile.
            StoreError: the store does not take it.
        """
        files = [path for path in (video.sidecar, video.video) if path is not None]
        new = [] if video.kept else files
        for path in new:
            replaced = self._overwrite or (self._resume and path == video.sidecar)
            if not replaced and self._store.exists(path.name):
                raise self._taken(path.name)
        for path in new:
            self._store.upload(path, path.name)
        for path in files:
            path.unlink(missing_ok=True)
        return replace(video, url=self.url / video.video.name)

    def _taken(self, name: str) -> ConfigError:
        return ConfigError(f"{self.url / name}: already exists; {WAY_OUT}")
