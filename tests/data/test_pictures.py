from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin

from fbridge.data import pictures
from fbridge.data.pictures import (
    describe_fit,
    fit_picture,
    load_picture,
    load_series,
    open_picture,
    reading_of,
)
from fbridge.errors import DataError

SIDES = st.integers(16, 400)
Pixels = NDArray[np.uint8]


def colours(width: int = 40, height: int = 30) -> Pixels:
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([across * 6, down * 8, (across + down) * 3], -1).astype(np.uint8)


def seen(path: Path) -> NDArray[np.int64]:
    picture = load_picture(path)
    assert picture.mode == "RGB"
    return np.asarray(picture).astype(np.int64)


def test_plain_rgb_comes_back_as_it_is(tmp_path: Path) -> None:
    Image.fromarray(colours()).save(tmp_path / "a.png")
    assert (seen(tmp_path / "a.png") == colours()).all()


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_exif_orientation_ends_upright(tmp_path: Path, turn: int) -> None:
    undo: dict[int, Callable[[Pixels], Pixels]] = {
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, 1),
        7: lambda x: np.rot90(x, 2).transpose(1, 0, 2),
        8: lambda x: np.rot90(x, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = turn
    stored = Image.fromarray(np.ascontiguousarray(undo[turn](colours())))
    stored.save(tmp_path / "a.png", exif=exif)
    picture = open_picture(tmp_path / "a.png")
    assert (np.asarray(picture.pixels) == colours()).all()
    assert picture.notes == (() if turn == 1 else ("turned upright",))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_shows_white(tmp_path: Path, mode: str) -> None:
    pixels = np.dstack([colours(), np.full((30, 40), 255, np.uint8)])
    pixels[:10, :, 3] = 0
    pixels[10:20, :, 3] = 128
    picture = Image.fromarray(pixels)
    path = tmp_path / ("a.tif" if mode == "PA" else "a.png")
    picture.convert(mode).save(path)
    values = seen(path)
    base = np.asarray(picture.convert(mode).convert("RGBA")).astype(int)[..., :3]
    assert (values[:10] == 255).all()
    assert np.abs(values[10:20] - (base[10:20] * 128 + 255 * 127) / 255).max() <= 1.5
    assert np.abs(values[20:] - base[20:]).max() <= 1
    assert open_picture(path).notes == ("laid on white",)


def test_transparent_colour_of_a_palette_shows_white(tmp_path: Path) -> None:
    indexed = Image.fromarray(colours()).quantize(16)
    first = indexed.getpixel((0, 0))
    indexed.save(tmp_path / "a.gif", transparency=first)
    values = seen(tmp_path / "a.gif")
    assert (values[0, 0] == 255).all()
    assert (values != 255).any()


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LAB", "RGBX", "I", "F"])
def test_every_mode_looks_like_itself(tmp_path: Path, mode: str) -> None:
    rgb = Image.fromarray(colours())
    if mode == "LAB":
        srgb = ImageCms.createProfile("sRGB")
        lab = ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(rgb, srgb, lab, outputMode="LAB")
        assert converted is not None
        picture = converted
    else:
        picture = rgb.convert(mode)
    picture.save(tmp_path / "a.tif")
    grey = mode in {"1", "L", "I", "F"}
    wanted = np.asarray(rgb.convert("L" if grey else "RGB").convert("RGB")).astype(int)
    tolerance = {"1": 140, "P": 40, "LAB": 6, "YCbCr": 4}.get(mode, 1)
    assert np.abs(seen(tmp_path / "a.tif") - wanted).mean() <= tolerance


def test_sixteen_bit_grey_keeps_its_range(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64 * 20).reshape(20, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    assert np.abs(seen(tmp_path / "a.png")[..., 0] - ramp / 257).max() <= 0.5
    Image.fromarray((ramp // 256).astype(np.uint16)).save(tmp_path / "dark.png")
    assert seen(tmp_path / "dark.png").max() == 1


@pytest.mark.parametrize(
    ("top", "white"), [(1.0, 1.0), (200.0, 255.0), (65535.0, 65535.0), (1.02, 1.0), (260.0, 255.0)]
)
def test_floats_find_their_white_and_ignore_what_is_no_number(
    tmp_path: Path, top: float, white: float
) -> None:
    ramp = np.linspace(0, top, 20 * 30).reshape(20, 30).astype(np.float32)
    ramp[0, 0], ramp[0, 1] = np.nan, np.inf
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    values = seen(tmp_path / "a.tif")[..., 0]
    wanted = np.minimum(ramp.ravel()[2:] * 255 / white, 255)  # resampling may overshoot white
    assert np.abs(values.ravel()[2:] - wanted).max() <= 0.51
    assert values[0, 0] == values[0, 1] == 0


def test_pictures_of_one_clip_share_their_white(tmp_path: Path) -> None:
    """A dark frame of a fade must not be taken for a picture of another range."""
    for n, top in enumerate((0.5, 200.0)):
        ramp = np.full((20, 30), top, np.float32)
        Image.fromarray(ramp).save(tmp_path / f"{n}.tif")
    first, second = load_series([tmp_path / "0.tif", tmp_path / "1.tif"])
    assert (np.asarray(first).max(), np.asarray(second).max()) == (0, 200)
    assert seen(tmp_path / "0.tif").max() == 128


def test_sixteen_bit_colour(tmp_path: Path) -> None:
    deep = colours().astype(np.uint16) * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    header = struct.pack(">IIBBBBB", 40, 30, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    (tmp_path / "a.png").write_bytes(png)
    assert np.abs(seen(tmp_path / "a.png") - colours()).max() <= 1


def test_a_colour_profile_is_followed(tmp_path: Path) -> None:
    """A profile with red and blue swapped must swap them back."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"tmpZ", 1).replace(b"bXYZ", b"rXYZ", 1)
    swapped = swapped.replace(b"tmpZ", b"bXYZ", 1).replace(b"sRGB", b"odd!")
    text = "sRGB".encode("utf-16-be")
    swapped = swapped.replace(text, "oddP".encode("utf-16-be"))
    Image.fromarray(colours()).save(tmp_path / "a.png", icc_profile=swapped)
    assert np.abs(seen(tmp_path / "a.png") - colours()[..., ::-1]).mean() < 2
    Image.fromarray(colours()).save(tmp_path / "broken.png", icc_profile=b"nonsense" * 20)
    assert (seen(tmp_path / "broken.png") == colours()).all()


def linear_profile(name: str, space: bytes = b"RGB ") -> bytes:
    """A colour profile of sRGB's primaries, or of grey, whose numbers are light itself."""
    white = (0.9642, 1.0, 0.8249)
    primaries = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)

    def point(numbers: tuple[float, ...]) -> bytes:
        fixed = b"".join(struct.pack(">i", round(65536 * number)) for number in numbers)
        return b"XYZ \0\0\0\0" + fixed

    text = name.encode() + b"\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"wtpt": point(white),
    }
    curve = b"curv" + bytes(8)  # no number stands for the straight line
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        for letter, primary in zip(b"rgb", primaries, strict=True):
            tags |= {bytes([letter]) + b"XYZ": point(primary), bytes([letter]) + b"TRC": curve}
    table, held = struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag, 132 + 12 * len(tags) + len(held), len(content))
        held += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", 128 + len(table) + len(held), b"", 0x02400000, b"mntr", space,
                       b"XYZ ")  # fmt: skip
    head += bytes(12) + b"acsp" + bytes(28) + point(white)[8:]
    return head.ljust(128, b"\0") + table + held


def encoded(light: Pixels) -> NDArray[np.float64]:
    """Linear light as sRGB stores it (IEC 61966-2-1)."""
    share = light / 255.0
    bright = 1.055 * share ** (1 / 2.4) - 0.055
    return 255 * np.where(share <= 0.0031308, 12.92 * share, bright)


@pytest.mark.parametrize("name", ["linear", "GIMP built-in Linear sRGB"])
@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA", "L", "LA", "I;16"])
def test_a_linear_profile_is_followed_whatever_its_name(
    tmp_path: Path, mode: str, name: str
) -> None:
    is_grey = mode[0] in "LI"
    if mode == "I;16":
        grey = np.asarray(Image.fromarray(colours()).convert("L"))
        picture, stored = Image.fromarray(grey.astype(np.uint16) * 257), np.stack([grey] * 3, -1)
    else:
        picture = Image.fromarray(colours()).convert(mode)
        stored = np.asarray(picture.convert("RGB"))
    profile = linear_profile(name, b"GRAY" if is_grey else b"RGB ")
    picture.save(tmp_path / "a.png", icc_profile=profile)
    found = seen(tmp_path / "a.png")
    assert np.abs(found - encoded(stored)).mean() < 1
    assert np.abs(stored - encoded(stored)).mean() > 30
    assert reading_of(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("gamma", "more", "linear"), [(1.0, b"", True), (1 / 2.2, b"", False), (1.0, b"sRGB", False)]
)
def test_the_gamma_of_a_png_is_followed(
    tmp_path: Path, gamma: float, more: bytes, linear: bool
) -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add(b"gAMA", struct.pack(">I", round(100_000 * gamma)))
    if more:
        chunks.add(more, b"\0")
    for mode in ("RGB", "L", "RGBA"):
        picture = Image.fromarray(colours()).convert(mode)
        picture.save(tmp_path / "a.png", pnginfo=chunks)
        stored = np.asarray(picture.convert("RGB"))
        wanted = encoded(stored) if linear else stored
        assert np.abs(seen(tmp_path / "a.png") - wanted).max() <= (0.5 if linear else 0)
    assert bool(reading_of(tmp_path / "a.png")) == (linear or mode == "RGBA")


@pytest.mark.parametrize(("bits", "negative"), [(12, False), (16, False), (16, True)])
def test_grey_tiff_of_more_than_eight_bits(tmp_path: Path, bits: int, negative: bool) -> None:
    """12 bits are packed, two values in three bytes; 0 is white where photometric is 0."""
    side, most = 16, 2**bits - 1
    grey = np.linspace(0, most, side * side).round().astype(int)
    stored = most - grey if negative else grey
    if bits == 16:
        content = stored.astype("<u2").tobytes()
    else:
        pairs = (stored[0::2] << 12 | stored[1::2]).tolist()
        content = b"".join(pair.to_bytes(3, "big") for pair in pairs)
    tags = {256: side, 257: side, 258: bits, 259: 1, 262: int(not negative), 273: 8, 277: 1,
            278: side, 279: len(content)}  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    end = struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 8 + len(content)) + content + end)
    found = seen(tmp_path / "a.tif")[..., 0].ravel()
    assert np.abs(found - 255 * grey / most).max() <= 0.51


def test_first_picture_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.fromarray(colours()), Image.fromarray(colours()[::-1].copy())]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    picture = open_picture(tmp_path / "a.webp")
    assert (np.asarray(picture.pixels) == colours()).all()
    assert picture.notes == ("first of its pictures taken",)


def jpeg() -> bytes:
    content = io.BytesIO()
    Image.fromarray(colours(200, 160)).save(content, "JPEG")
    return content.getvalue()


def bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + header
        + struct.pack(">I", zlib.crc32(b"IHDR" + header))
        + struct.pack(">I", 0)
        + b"IDAT"
        + struct.pack(">I", zlib.crc32(b"IDAT"))
    )


def tiny() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (1, 1)).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "is empty (0 bytes); copy or download it again"),
        (b"no picture at all", "is not a picture that can be read; give a JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "is not a picture"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC pictures are not read; save it as JPEG"),
        (jpeg()[:700], "is damaged or cut short; copy or download it again"),
        (jpeg()[:-200], "is damaged or cut short; copy or download it again"),
        (bomb(), "million pixels; save it smaller"),
        (tiny(), "1x1 is too small; give a picture of at least 16x16 pixels"),
    ],
    ids=["empty", "text", "eps", "heic", "cut", "cut late", "bomb", "tiny"],
)
def test_unusable_files(tmp_path: Path, content: bytes, line: str) -> None:
    (tmp_path / "cat.jpg").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_picture(tmp_path / "cat.jpg")
    assert line in str(caught.value)
    assert "cat.jpg: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unusable_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no such file; check the name"):
        load_picture(tmp_path / "no.png")
    with pytest.raises(DataError, match="is a folder where a picture is needed"):
        load_picture(tmp_path)
    with pytest.raises(DataError, match="is no ordinary file"):
        load_picture("/dev/zero")
    Image.fromarray(colours()).save(tmp_path / "a.png")
    monkeypatch.setattr(pictures, "MAX_BYTES", 10)
    with pytest.raises(DataError, match="bytes are too many for a picture"):
        load_picture(tmp_path / "a.png")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.undo()
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\); check its perm"):
        load_picture(tmp_path / "a.png")


def test_size_limit_is_checked_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(colours()).save(tmp_path / "a.png")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1000)
    with pytest.raises(DataError, match="40x30 is more than 0 million pixels"):
        load_picture(tmp_path / "a.png")


@given(width=SIDES, height=SIDES, to=st.tuples(SIDES, SIDES))
@settings(max_examples=40, deadline=None)
def test_fitting_keeps_circles_round(width: int, height: int, to: tuple[int, int]) -> None:
    """Coordinates painted as colours show the map: even scale, centred, nothing beyond."""
    across, down = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    painted = np.stack([across, down, 0 * down], -1) * 255
    fitted = np.asarray(fit_picture(Image.fromarray(painted.astype(np.uint8)), to).pixels) / 255
    assert fitted.shape == (to[1], to[0], 3)
    middle = fitted[to[1] // 2, to[0] // 2, :2]
    assert np.abs(middle - 0.5).max() < 0.5 / min(to) + 0.5 / min(width, height) + 0.02
    scale = max(to[0] / width, to[1] / height)
    inner = fitted[to[1] // 4 : to[1] - to[1] // 4, to[0] // 4 : to[0] - to[0] // 4]
    if min(to) >= 64 and min(width, height) >= 64:
        step_x = np.diff(inner[:, :, 0].mean(0)).mean() * width
        step_y = np.diff(inner[:, :, 1].mean(1)).mean() * height
        assert step_x == pytest.approx(1 / scale, rel=0.1)
        assert step_y == pytest.approx(1 / scale, rel=0.1)


@given(width=SIDES, height=SIDES, less=st.integers(0, 15))
@settings(max_examples=40, deadline=None)
def test_cutting_alone_changes_no_pixel(width: int, height: int, less: int) -> None:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    to = (width - min(less, width - 1), height)
    fitted = np.asarray(fit_picture(Image.fromarray(pixels), to).pixels)
    left = (width - to[0]) // 2
    assert (fitted == pixels[:, left : left + to[0]]).all()


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ((451, 300), (450, 300), "cat.jpg 451x300 -> 450x300 (cropped 1 px of the width)"),
        ((900, 600), (450, 300), "cat.jpg 900x600 -> 450x300 (scaled to 50 %)"),
        ((300, 300), (300, 300), "cat.jpg 300x300 -> 300x300"),
        ((300, 700), (150, 300), "scaled to 50 %, cropped 100 px of the height)"),
    ],
)
def test_words(before: tuple[int, int], after: tuple[int, int], words: str) -> None:
    assert words in describe_fit(before, after, name="cat.jpg")
    assert describe_fit(before, after, name="cat.jpg") == (
        fit_picture(Image.new("RGB", before), after, name="cat.jpg").words
    )


def test_notes_come_first() -> None:
    words = describe_fit((9, 9), (9, 9), name="a", notes=("turned upright",))
    assert words == "a 9x9 -> 9x9 (turned upright)"


def test_downscaling_does_not_alias() -> None:
    stripes: Any = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    fitted = np.asarray(fit_picture(Image.fromarray(stripes), (130, 130)).pixels).astype(int)
    assert np.abs(fitted - 127).max() < 20
