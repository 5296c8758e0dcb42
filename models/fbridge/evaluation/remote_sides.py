"""Videos behind URLs, copied to this machine for as long as an evaluation lasts."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from fbridge.data.latents.format import INDEX
from fbridge.data.sources import Entry, Media
from fbridge.data.stores import ObjectError, StoreUrl, parse_url
from fbridge.data.stores.fetched import THREADS, FetchedFiles
from fbridge.data.stores.snapshot import Snapshot, take_url
from fbridge.errors import ConfigError
from fbridge.evaluation.clips.listing import ListedVideo, Listing, list_clips
from fbridge.files.atomic import shown

Place = Path | StoreUrl
"""Where the videos of a side are."""


class RemoteSides:
    """Local places of what is behind URLs.

    Args:
        stack: removes the copies when it is closed.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._files = FetchedFiles(stack)
        self._snapshots: list[Snapshot] = []

    @property
    def any(self) -> bool:
        """Whether something was behind URLs."""
        return bool(self._snapshots or self._files.urls)

    def list(
        self, place: Place, rows: frozenset[str] | None = None
    ) -> Generator[tuple[int, str], None, Listing]:
        """As `list_clips`, also of a side behind a URL; yields numbers of names and the side.

        Raises:
            ConfigError: it is a prepared data set behind a URL.
            FBridgeError: as `list_clips`.
        """
        if isinstance(place, Path):
            return list_clips(place, rows, self._place_of)
        scratch = self._files.folder() / f"side-{len(self._snapshots)}"
        taking = take_url(place, scratch)
        while True:
            try:
                yield next(taking), str(place)
            except StopIteration as taken:
                snapshot, path = taken.value
                break
        self._snapshots.append(snapshot)
        if (path / INDEX).is_file():
            raise ConfigError(
                f"{place}: is a prepared data set, which is measured from a folder alone; name its "
                "videos, or copy it to a folder"
            )
        listing = list_clips(path, rows, self._place_of)
        told = self.told(listing.description)
        return replace(listing, source=place, description=told)

    def fetch(self, listing: Listing) -> Generator[int, None, Listing]:
        """The side with its videos on this machine; yields numbers of videos.

        Raises:
            StoreError: a store does not answer.
        """
        if not self.any:
            return listing
        linked = self._files.fetch()
        found = []
        with ThreadPoolExecutor(THREADS) as threads:
            videos = zip(listing.found, threads.map(self._try, listing.found), strict=True)
            for number, (video, fault) in enumerate(videos, start=1):
                fault = fault or linked.get(video.path, "")
                refused = f"cannot be had ({fault})" if fault else video.refused
                found.append(replace(video, refused=refused))
                if isinstance(listing.source, StoreUrl) and number % THREADS == 0:
                    yield number
        return replace(listing, found=tuple(found))

    def told(self, text: str) -> str:
        """A text with URLs for local names."""
        for snapshot in self._snapshots:
            text = text.replace(shown(snapshot.folder), str(snapshot.store.url))
        return self._files.told(text)

    def here(self, text: str) -> Path:
        """The local place of a text that `told` has made."""
        for snapshot in self._snapshots:
            url = str(snapshot.store.url)
            if text == url or text.startswith(f"{url}/"):
                return Path(f"{snapshot.folder}{text.removeprefix(url)}")
        linked = parse_url(text, "video") if "://" in text else None
        return Path(text) if linked is None else self._files.path(linked)

    def _place_of(self, entry: Entry) -> Media:
        """The local file of a row that names a URL."""
        for snapshot in self._snapshots:
            name = entry.url.removeprefix(f"{snapshot.store.url}/")
            if name != entry.url and (snapshot.folder / name).is_file():
                return Media(str(snapshot.folder / name))
        return Media(str(self._files.path(StoreUrl(entry.url))))

    def _try(self, video: ListedVideo) -> str:
        """Fetch what a listed folder has of a video; why that cannot be had."""
        snapshot = next((one for one in self._snapshots if one.name_of(video.path)), None)
        if snapshot is None or video.refused:
            return ""
        try:
            for media in _files_of(video):
                snapshot.fill(media)
        except ObjectError as error:
            return error.why
        return ""


def _files_of(video: ListedVideo) -> Iterator[Media]:
    if video.media is not None:
        yield video.media
    yield from (Media(str(frame)) for frame in video.frames)
