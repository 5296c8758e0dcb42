"""The comment in a video file's metadata, for each format."""

from __future__ import annotations

from pathlib import Path

import av
from PIL import Image, PngImagePlugin

from fbridge.errors import DataError
from fbridge.files.atomic import shown

_EXIF_FOLDER, _USER_COMMENT = 0x8769, 0x9286
_ASCII, _UNICODE = b"ASCII\0\0\0", b"UNICODE\0"
_PNG_KEY = "Comment"
_LARGEST = 1 << 20  # characters; larger comments are ignored


def read_comment(path: Path | str) -> str | None:
    """The comment of a video file, or of the first picture in a folder of frames; None if none.

    Raises:
        DataError: there is no such file, or it is no video.
    """
    path = Path(path)
    name = shown(path)
    if path.is_dir():
        path = path / "frame_0000.png"
        if not path.exists():
            raise DataError(f"{name}: is a folder without frame_0000.png; name a video")
    if not path.exists():
        raise DataError(f"{name}: no such file; check the name and the folder")
    read = _READERS.get(path.suffix.lower(), _read_container)
    try:
        comment = read(path)
    except Exception as error:  # damaged files make decoders raise anything at all
        raise DataError(f"{name}: is damaged or no video; copy or download it again") from error
    return comment if comment is None or len(comment) <= _LARGEST else None


def with_gif_comment(gif: bytes, comment: str) -> bytes:
    """The same GIF with a comment block before its first frame."""
    colours = 3 << ((gif[10] & 7) + 1) if gif[10] & 0x80 else 0
    start = 13 + colours
    text = comment.encode()
    pieces = [text[at : at + 255] for at in range(0, len(text), 255)]
    blocks = b"".join(bytes([len(piece)]) + piece for piece in pieces)
    return gif[:start] + b"\x21\xfe" + blocks + b"\0" + gif[start:]


def exif_with_comment(comment: str) -> bytes:
    """An EXIF record with a UserComment only."""
    exif = Image.Exif()
    if comment.isascii():
        coded = _ASCII + comment.encode("ascii")
    else:
        coded = _UNICODE + comment.encode("utf-16-le")
    exif.get_ifd(_EXIF_FOLDER)[_USER_COMMENT] = coded
    return exif.tobytes()


def png_text(comment: str) -> PngImagePlugin.PngInfo:
    """A PNG text chunk: tEXt for Latin text, iTXt for any other."""
    info = PngImagePlugin.PngInfo()
    info.add_text(_PNG_KEY, comment)
    return info


def _read_container(path: Path) -> str | None:
    with av.open(str(path)) as container:
        return container.metadata.get("comment")


def _read_gif(path: Path) -> str | None:
    with Image.open(path, formats=["GIF"]) as picture:
        comment = picture.info.get("comment")
    return comment.decode("utf-8", errors="replace") if isinstance(comment, bytes) else None


def _read_webp(path: Path) -> str | None:
    with Image.open(path, formats=["WEBP"]) as picture:
        coded = picture.getexif().get_ifd(_EXIF_FOLDER).get(_USER_COMMENT)
    if not isinstance(coded, bytes):
        return None
    if coded.startswith(_UNICODE):
        return coded[8:].decode("utf-16-le", errors="replace")
    return coded[8:].decode("ascii", errors="replace") if coded.startswith(_ASCII) else None


def _read_png(path: Path) -> str | None:
    with Image.open(path, formats=["PNG"]) as picture:
        comment = picture.info.get(_PNG_KEY)
    return comment if isinstance(comment, str) else None


_READERS = {".gif": _read_gif, ".webp": _read_webp, ".png": _read_png}
