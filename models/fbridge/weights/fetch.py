"""Download a third-party file, resuming a partial download; verified before it is kept."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fbridge.errors import CheckpointError, DependencyError
from fbridge.files.hashing import hash_files
from fbridge.weights.entries import WeightsFile
from fbridge.weights.files import cache_folder, wanted

_BLOCK = 1 << 20
_PATIENCE = 30.0  # seconds without a byte
SCHEMES = ("https",)
"""Allowed schemes of an address."""


@dataclass(frozen=True)
class Fetching:
    """Progress of a download: bytes received, bytes in all, and the address."""

    done: int
    total: int
    url: str


def fetch(entry: WeightsFile) -> Iterator[Fetching]:
    """Download a file into the cache folder; a partial download is resumed.

    Its addresses are tried in order. The file gets its final name once its sha256 is verified; one
    with another hash is deleted.

    Raises:
        DependencyError: No address answers, or the file cannot be written.
        CheckpointError: The file has no address, or the downloaded file has another sha256.
    """
    if not entry.urls:
        raise CheckpointError(f"{entry.name}: has no address to fetch it from; {wanted(entry)}")
    target = cache_folder() / entry.file
    part = target.with_name(f"{target.name}.part")
    reasons = []
    for url in entry.urls:
        try:
            yield from _download(entry, url, part)
            _settle(entry, part, target)
            return
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError,
                ConnectionError) as error:  # fmt: skip
            reasons.append(f"{urlsplit(url).hostname}: {_reason(error)}")
        except OSError as error:
            raise DependencyError(f"{part}: cannot be written: {error.strerror}") from None
    raise DependencyError(
        f"{entry.name}: cannot be fetched ({'; '.join(reasons)}); the same line goes on with it, "
        f"or get it yourself: {wanted(entry)}"
    )


def _download(entry: WeightsFile, url: str, part: Path) -> Iterator[Fetching]:
    if urlsplit(url).scheme not in SCHEMES:
        raise CheckpointError(f"{url}: only {', '.join(SCHEMES)} is fetched")
    part.parent.mkdir(parents=True, exist_ok=True)
    there = part.stat().st_size if part.is_file() else 0
    if entry.size and there > entry.size:
        part.unlink()
        there = 0
    if there and there == entry.size:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "fbridge"})
    if there:
        request.add_header("Range", f"bytes={there}-")
    try:
        opened = urllib.request.urlopen(request, timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # the partial file is complete
        raise
    with opened as answer:
        going_on = there and answer.status == http.client.PARTIAL_CONTENT
        done = there if going_on else 0
        size = entry.size or done + int(answer.headers.get("Content-Length", 0))
        with part.open("ab" if going_on else "wb") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
                done += len(block)
                yield Fetching(done, size, url)
                if done > size:
                    break
    if done < size:
        raise ConnectionError(f"ended after {done} of {size} bytes")


def _settle(entry: WeightsFile, part: Path, target: Path) -> None:
    found = hash_files([part])
    if found != entry.sha256:
        part.unlink()
        raise CheckpointError(
            f"{target}: what was fetched is another file, sha256 {found}; "
            f"nothing was kept; {wanted(entry)}"
        )
    part.replace(target)


def _reason(error: Any) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"answers {error.code}"
    return str(getattr(error, "reason", error)) or type(error).__name__
