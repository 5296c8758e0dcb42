"""Whether a file is truncated, by its container's structure; ffmpeg does not report this."""

from __future__ import annotations

import os
import re
from enum import Enum
from typing import BinaryIO

_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_FLV_START = re.compile(rb"FLV\x01[\0-\5]\0\0\0\t\0\0\0\0")
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""What writers leave in a RIFF chunk's size where they cannot seek back."""

_ENDS = (b"RIFF", b"\0\0\0\0")
"""Names of chunks that end one without a size: the next RIFF chunk, or padding."""


class Ending(Enum):
    """How a file ends.

    Values:
        WHOLE: as its structure says.
        CUT: bytes are missing.
        INDEX_CUT: bytes are missing without which no frame is found.
        UNMARKED: whole as far as can be seen, without the mark or size that says so.
        FOLLOWED: another file begins behind it, which ffmpeg does not read.
    """

    WHOLE = "whole"
    CUT = "cut"
    INDEX_CUT = "index cut"
    UNMARKED = "no end mark"
    FOLLOWED = "followed"


def read_ending(file: BinaryIO, size: int) -> Ending:
    """How a file ends, by its container's structure.

    Args:
        file: at its start.
        size: of the file, in bytes.

    Returns:
        CUT not of MP4 without fragments, whose missing frames are found by its index.
    """
    head = file.read(13)
    if head[:4] == b"RIFF":
        return _avi_ending(file, size)
    if head[:4] == _EBML:
        return Ending.CUT if _matroska_end(file) > size else Ending.WHOLE
    if head[:4] == b"GIF8":
        return _gif_ending(file, head)
    if head[4:8] == b"ftyp":
        return _mp4_ending(file, size)
    if _FLV_START.match(head) and _finds_again(file, _FLV_START):
        return Ending.FOLLOWED
    return Ending.WHOLE


def _mp4_ending(file: BinaryIO, size: int) -> Ending:
    """By its boxes, which in a file in fragments may have many indices."""
    names, place = [], 0
    while place + 8 <= size:
        file.seek(place)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        names.append(head[4:8])
        length = int.from_bytes(head[8:], "big") if length == 1 else length
        place = size if length < 8 else place + length  # 0: up to the end
    if place > size and names[-1] == b"moov":
        return Ending.INDEX_CUT
    if b"moof" in names:
        file.seek(min(place, size))
        missing = names[-1] == b"moof" or (place > size and names[-1] == b"mdat")
        return Ending.CUT if missing or file.read().strip(b"\0") else Ending.WHOLE
    return Ending.FOLLOWED if names.count(b"moov") > 1 else Ending.WHOLE


def _finds_again(file: BinaryIO, mark: re.Pattern[bytes]) -> bool:
    """Whether a mark occurs after the first byte of the file."""
    file.seek(1)
    kept = b""
    while chunk := file.read(1 << 20):
        if mark.search(kept + chunk):
            return True
        kept = chunk[-16:]
    return False


def _avi_ending(file: BinaryIO, size: int) -> Ending:
    """By the sizes of the RIFF chunks, and where those are wrong, by the chunks inside."""
    ending, place = Ending.WHOLE, 0
    while place + 12 <= size:
        name, length = _chunk(file, place)
        if name != b"RIFF":
            break  # what follows the last RIFF chunk is none of the video
        end = place + 8 + length
        if length in _UNKNOWN_SIZES or end > size:
            ending = Ending.UNMARKED
            end = _riff_end(file, place + 12, size)
            if end > size:
                return Ending.CUT
        place = end + end % 2
    return ending


def _riff_end(file: BinaryIO, place: int, size: int) -> int:
    """The end of the chunks of a RIFF chunk without a usable size; more than `size` if cut."""
    complete = False
    while place < size:
        name, length = _chunk(file, place)
        if name in _ENDS:
            break
        end = place + 8 + length
        if name == b"LIST" and file.read(4) == b"movi":
            complete = length not in _UNKNOWN_SIZES and end <= size
            if not complete:
                end = _movi_end(file, place + 12, size)
                if length not in _UNKNOWN_SIZES and _chunk(file, end)[0] != b"idx1":
                    return size + 1  # cut between two frames
        elif complete and end > size:
            break  # an index that is cut
        place = end + end % 2
    return place


def _movi_end(file: BinaryIO, place: int, size: int) -> int:
    """The end of the frames that start at `place`; more than `size` if the last one is cut."""
    while place < size:
        name, length = _chunk(file, place)
        if name in (*_ENDS, b"idx1"):
            break
        if name == b"LIST":  # a group of frames
            place += 12
            continue
        end = place + 8 + length
        if end > size:
            return end
        place = end + end % 2
    return place


def _chunk(file: BinaryIO, place: int) -> tuple[bytes, int]:
    """Name and length of the RIFF chunk at `place`; the file is then at its contents.

    Zeros are padding; where the file ends within the eight bytes, the length is more than any file.
    """
    file.seek(place)
    head = file.read(8)
    if len(head) < 8 and head.strip(b"\0"):
        return b"", 1 << 62
    return head[:4].ljust(4, b"\0"), int.from_bytes(head[4:], "little")


def _matroska_end(file: BinaryIO) -> int:
    """End of the segment in bytes; 0 if its size was unknown when it was written."""
    file.seek(4)
    length = _variable_integer(file) or 0
    file.seek(length, 1)
    if file.read(4) != _SEGMENT:
        return 0
    segment = _variable_integer(file)
    return 0 if segment is None else file.tell() + segment


def _variable_integer(file: BinaryIO) -> int | None:
    """An EBML integer; its leading zeros count the bytes, all ones are None (RFC 8794, 4)."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    follow = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (1 << 7 - follow) - 1]) + file.read(follow), "big")
    return None if value == (1 << 7 * (follow + 1)) - 1 else value


def _gif_ending(file: BinaryIO, head: bytes) -> Ending:
    """By the blocks that lead to the trailer (GIF89a, appendix A), which some writers forget."""
    file.seek(13 + _palette(head[10]) if len(head) == 13 else 0)
    while kind := file.read(1):
        if kind == b";":
            return Ending.WHOLE
        if kind == b"\0" and not file.read().strip(b"\0"):
            return Ending.UNMARKED
        if kind == b"!":
            file.seek(1, os.SEEK_CUR)
        elif kind == b",":
            place = file.read(9)
            file.seek(1 + (_palette(place[8]) if len(place) == 9 else 0), os.SEEK_CUR)
        else:
            return Ending.CUT
        if not _skip_blocks(file):
            return Ending.CUT
    return Ending.UNMARKED


def _skip_blocks(file: BinaryIO) -> bool:
    """Whether the data blocks at the file's position are whole; it is then behind them."""
    while length := file.read(1):
        if not length[0]:
            return True
        file.seek(length[0], os.SEEK_CUR)
    return False


def _palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
