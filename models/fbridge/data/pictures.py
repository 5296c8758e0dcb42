"""Reads pictures of any format as RGB, and crops and resizes them to a size."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from fbridge.data.picture_colours import is_deep, is_plain, to_rgb, white_of
from fbridge.errors import DataError
from fbridge.files.atomic import shown

SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jp2", ".jpe", ".jpeg", ".jpg"}
    | {".pgm", ".png", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
)
"""Suffixes of the pictures in a folder."""

MAX_PIXELS = 178_956_970
"""Maximum pixels, checked before decoding: half a gigabyte of RGB, Pillow's own limit."""

MIN_SIDE = 16
"""Minimum pixels of a side."""

READING = "upright srgb by profile or gamma, one white a clip"
"""A change of how pictures are read needs another text, or what was kept of them is used again."""

MAX_BYTES = 1 << 30

_ORIENTATION = 0x0112
_XMP = "XML:com.adobe.xmp"

_PROGRAMS = frozenset({"EPS", "WMF"})  # formats that need an external program


@dataclass(frozen=True)
class Picture:
    """A picture and what was done to read it.

    Attributes:
        path: of the file.
        pixels: the upright RGB picture.
        format: of the file, such as "png".
        sha256: of the file's bytes.
        notes: the changes, for the user ("turned upright", ...).
    """

    path: Path
    pixels: Image.Image
    format: str
    sha256: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Fitted:
    """A picture of the wanted size, and a line for the user on how it was fitted."""

    pixels: Image.Image
    words: str


def load_picture(path: Path | str) -> Image.Image:
    """The upright RGB picture in a file.

    Raises:
        DataError: the file is missing, empty, damaged, too large, too small or no picture.
    """
    return open_picture(path).pixels


def load_series(paths: Sequence[Path]) -> list[Image.Image]:
    """The pictures of one clip, each as `load_picture` reads it.

    Grey of more than 8 bits has one white in all of them, so that their brightness is comparable.

    Raises:
        DataError: as in `load_picture`.
    """
    raw = [_upright(_decode(path, _read_bytes(path))) for path in paths]
    white = max((white_of(picture) for picture in raw if is_deep(picture)), default=None)
    return [to_rgb(picture, white) for picture in raw]


def reading_of(path: Path) -> str:
    """How a picture's pixels are read, which is part of the key of what is kept of them.

    "" if reading does no more than Pillow's convert("RGB"), as every version of fbridge does, else
    `READING`. Decodes no pixels.

    Raises:
        DataError: the file is no picture.
    """
    try:
        with Image.open(path) as picture:
            # Pillow decodes a whole PNG to look for EXIF behind its pixels, where none puts it.
            marked = picture.format != "PNG" or bool({"exif", _XMP} & picture.info.keys())
            plain = is_plain(picture) and not (marked and _is_turned(picture))
            return "" if plain else READING
    except Exception as error:  # damaged files make decoders raise anything at all
        raise DataError(f"{shown(path)}: is damaged or no picture; copy it again") from error


def open_picture(path: Path | str) -> Picture:
    """Read a picture file of any mode as upright sRGB, on white where it is transparent.

    Raises:
        DataError: the file is missing, empty, damaged, too large, too small or no picture.
    """
    path = Path(path)
    content = _read_bytes(path)
    raw = _decode(path, content)
    upright = _upright(raw)
    done = {
        "first of its pictures taken": raw.format != "MPO" and _is_animated(raw),
        "turned upright": upright is not raw,
        "laid on white": raw.has_transparency_data,
    }
    notes = tuple(words for words, applies in done.items() if applies)
    kind = (raw.format or "").lower()
    return Picture(path, to_rgb(upright), kind, hashlib.sha256(content).hexdigest(), notes)


def hash_picture(path: Path) -> str:
    """`Picture.sha256` of a file, without decoding it.

    Raises:
        DataError: the file is missing, empty or too large.
    """
    return hashlib.sha256(_read_bytes(path)).hexdigest()


def fit_picture(picture: Image.Image, size: tuple[int, int], *, name: str = "picture") -> Fitted:
    """Resize a picture to cover `size` (width, height), and crop it from the centre."""
    scale, kept_width, kept_height = _cover(picture.size, size)
    left, top = (picture.width - kept_width) / 2, (picture.height - kept_height) / 2
    if scale == 1:  # cropping alone must not blur, so whole pixels
        corner = (int(left), int(top))
        pixels = picture.crop((*corner, corner[0] + size[0], corner[1] + size[1]))
    else:
        box = (left, top, left + kept_width, top + kept_height)
        pixels = picture.resize(size, Image.Resampling.LANCZOS, box=box)
    return Fitted(pixels, describe_fit(picture.size, size, name=name))


def upright_rgb(picture: Image.Image) -> Image.Image:
    """A Pillow picture as RGB: rotated by its EXIF orientation, on white where transparent."""
    return to_rgb(_upright(picture))


def describe_fit(
    before: tuple[int, int], after: tuple[int, int], *, name: str, notes: Sequence[str] = ()
) -> str:
    """A line for the user on what `fit_picture` does to a picture, after its `notes`."""
    scale, kept_width, kept_height = _cover(before, after)
    done = list(notes)
    if scale != 1:
        done.append(f"scaled to {round(100 * scale, 1):g} %")
    for cut, side in ((before[0] - kept_width, "width"), (before[1] - kept_height, "height")):
        if cut >= 0.5:
            done.append(f"cropped {round(cut)} px of the {side}")
    words = f"{name} {before[0]}x{before[1]} -> {after[0]}x{after[1]}"
    return f"{words} ({', '.join(done)})" if done else words


def _cover(before: tuple[int, int], after: tuple[int, int]) -> tuple[float, float, float]:
    """The scale, and the width and height of the original that are kept."""
    scale = max(after[0] / before[0], after[1] / before[1])
    return scale, min(after[0] / scale, float(before[0])), min(after[1] / scale, float(before[1]))


def _read_bytes(path: Path) -> bytes:
    name = shown(path)
    try:
        if path.is_dir():
            raise DataError(f"{name}: is a folder where a picture is needed; name a file in it")
        if not path.exists():
            raise DataError(f"{name}: no such file; check the name and the folder")
        if not path.is_file():
            raise DataError(f"{name}: is no ordinary file; save the picture to a file first")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{name}: {size:,} bytes are too many for a picture; save it smaller")
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{name}: cannot be read ({reason}); check its permissions") from None
    if not content:
        raise DataError(f"{name}: is empty (0 bytes); copy or download it again")
    return content


def _decode(path: Path, content: bytes) -> Image.Image:
    name = shown(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is checked here
        try:
            picture = Image.open(io.BytesIO(content))
        except Image.DecompressionBombError:
            raise DataError(
                f"{name}: more than {MAX_PIXELS // 10**6} million pixels; save it smaller"
            ) from None
        except Exception as error:
            raise DataError(_unknown(name, content)) from error
        if picture.format in _PROGRAMS:
            raise DataError(_unknown(name, content))
        _check_size(name, picture.size)
        try:
            picture.load()
        except Exception as error:  # damaged files make decoders raise anything at all
            raise DataError(
                f"{name}: is damaged or cut short; copy or download it again"
            ) from error
    return picture


def _unknown(name: str, content: bytes) -> str:
    if content[4:12] in {b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"}:
        return f"{name}: HEIC pictures are not read; save it as JPEG or PNG"
    return f"{name}: is not a picture that can be read; give a JPEG, PNG, WebP, TIFF or GIF"


def _check_size(name: str, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{name}: {width}x{height} is more than {MAX_PIXELS // 10**6} million pixels; "
            "save it smaller"
        )
    if min(size) < MIN_SIDE:
        raise DataError(
            f"{name}: {width}x{height} is too small; "
            f"give a picture of at least {MIN_SIDE}x{MIN_SIDE} pixels"
        )


def _upright(picture: Image.Image) -> Image.Image:
    """Rotated by its EXIF orientation; the same object if there is nothing to rotate."""
    return ImageOps.exif_transpose(picture) if _is_turned(picture) else picture


def _is_turned(picture: Image.Image) -> bool:
    try:
        return picture.getexif().get(_ORIENTATION) in range(2, 9)
    except Exception:  # a broken tag is ignored
        return False


def _is_animated(picture: Image.Image) -> bool:
    try:
        return bool(getattr(picture, "is_animated", False))
    except Exception:  # only the first picture is used
        return True
