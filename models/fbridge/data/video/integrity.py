"""Whether a file is truncated, by its container's structure; ffmpeg does not report this."""

from __future__ import annotations

from typing import BinaryIO

_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"


def is_cut(file: BinaryIO, size: int) -> bool:
    """Whether bytes are missing at the end of an AVI, Matroska, WebM or GIF file.

    Args:
        file: at its start.
        size: of the file, in bytes.

    Returns:
        False for other formats: missing frames of MP4 are found by its index.
    """
    head = file.read(13)
    if head[:4] == b"RIFF":
        return int.from_bytes(head[4:8], "little") + 8 > size
    if head[:4] == _EBML:
        return _matroska_end(file) > size
    if head[:4] == b"GIF8":
        return not _gif_ends(file, head)
    return False


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


def _gif_ends(file: BinaryIO, head: bytes) -> bool:
    """Whether the blocks lead to the trailer (GIF89a, appendix A)."""
    file.seek(13 + _palette(head[10]) if len(head) == 13 else 0)
    while kind := file.read(1):
        if kind == b";":
            return True
        if kind == b"!":
            file.seek(1, 1)
        elif kind == b",":
            place = file.read(9)
            file.seek(1 + (_palette(place[8]) if len(place) == 9 else 0), 1)
        else:
            return False
        while length := file.read(1):
            if not length[0]:
                break
            file.seek(length[0], 1)
    return False


def _palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
