"""One video of a source: its bytes, its key and captions, or why it is refused."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


@dataclass(frozen=True)
class Media:
    """The bytes of one video: a file, or part of one (a member of a tar).

    Attributes:
        file: without symbolic links; a text, since of millions of rows each is named once or twice,
            and `pathlib` keeps tables of the names that it has seen.
        offset: where the video starts in it, in bytes.
        size: bytes of the video; None is up to the end of the file.
        url: where the bytes are, if a list names a URL; the file then has their size alone.
    """

    file: str
    offset: int = 0
    size: int | None = None
    url: str = ""

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.file)

    def open(self) -> BinaryIO:
        """A seekable stream of the video's bytes."""
        if self.offset == 0 and self.size is None:
            return self.path.open("rb")
        return cast(BinaryIO, io.BufferedReader(_Window(self.path, self.offset, self.size)))

    def stat(self) -> tuple[int, int]:
        """Bytes of the video, and modification time of the file in nanoseconds.

        Raises:
            OSError: the file cannot be read.
        """
        facts = os.stat(self.file)  # noqa: PTH116 - see `file`
        size = max(0, facts.st_size - self.offset) if self.size is None else self.size
        return size, facts.st_mtime_ns


@dataclass(frozen=True)
class Entry:
    """One video of a source, or the reason why it cannot be used.

    Attributes:
        key: name inside the source: the path relative to its root with "/", "shard.tar/000.mp4" of
            a member of a tar, "clips.csv:12" of a line without a usable path. A list that names a
            video twice gives the same key twice; `fbridge.prepare.plan` refuses the second.
        media: None if refused.
        captions: without surrounding whitespace and without empty ones.
        split: tags, such as ("train",), or ("train01", "test02", "test03") of UCF-101.
        label: class number, if the source has one.
        refused: why it cannot be used; empty if it can.
        missing: whether it is refused because the source names a video that was never there, as
            after a failed download; no damage.
        url: of the video, where a list names a URL: it is refused by who reads files alone, and
            looked up by `fbridge.prepare.source`.
    """

    key: str
    media: Media | None
    captions: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    label: int | None = None
    refused: str = ""
    missing: bool = False
    url: str = ""

    def at(self, media: Media) -> Entry:
        """The same video where it can be read, in a third of the time of `dataclasses.replace`."""
        return Entry(self.key, media, self.captions, self.split, self.label, url=self.url)


class _Window(io.RawIOBase):
    """Part of a file as a stream."""

    def __init__(self, path: Path, start: int, size: int | None) -> None:
        super().__init__()
        self._file = io.FileIO(path)
        end = os.fstat(self._file.fileno()).st_size
        self._start = start
        self._size = max(0, end - start) if size is None else size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}
        if whence not in bases:
            raise ValueError(f"whence {whence}: use 0, 1 or 2")
        at = bases[whence] + offset
        if at < 0:
            raise ValueError(f"position {at}: lies before the start of the video")
        self._at = at
        return at

    def readinto(self, buffer: WriteableBuffer) -> int:
        room = memoryview(buffer).cast("B")[: max(0, self._size - self._at)]
        self._file.seek(self._start + self._at)
        got = self._file.readinto(room) or 0
        self._at += got
        return got

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
