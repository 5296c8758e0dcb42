from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from fbridge.data.metadata import read_comment
from fbridge.data.video_files import read_video, write_video
from fbridge.data.video_writers import Frames
from fbridge.errors import ConfigError, DataError, DependencyError

NAMES = ["clip.mp4", "clip.gif", "clip.webp", "clip"]
COMMENT = '{"prompt": "a cat"}'


def moving(number: int = 6, width: int = 80, height: int = 48) -> Frames:
    """A disc that crosses a smooth, colourful ground."""
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    frames = []
    for k in range(number):
        ground = np.stack([across * 255 / width, down * 255 / height, 200 - across], -1)
        disc = np.hypot(across - 10 - 9 * k, down - height / 2) < 9
        frames.append(np.where(disc[..., None], (230, 40, 20), ground))
    return np.stack(frames).round().clip(0, 255).astype(np.uint8)


def difference(a: Frames, b: Frames) -> np.ndarray[Any, np.dtype[np.int64]]:
    return a.astype(np.int64) - b.astype(np.int64)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("comment", [COMMENT, "ä 猫 🐈 " + "x" * 3000, None], ids=["a", "u", "no"])
def test_round_trip(tmp_path: Path, name: str, comment: str | None) -> None:
    frames = moving()
    write_video(frames, tmp_path / name, 8, comment=comment)
    back = read_video(tmp_path / name)
    assert back.frames.shape == frames.shape
    assert back.frames.dtype == np.uint8
    mean = {"clip.mp4": 2.5, "clip.gif": 7, "clip.webp": 3, "clip": 0}[name]
    assert np.abs(difference(back.frames, frames)).mean() <= mean
    fps = 1 if name == "clip" else 8
    assert np.abs(back.timestamps - np.arange(6) / fps).max() < 0.0051
    assert back.fps == pytest.approx(fps, rel=0.02)
    assert read_comment(tmp_path / name) == comment
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_equal_frames_make_equal_bytes(tmp_path: Path, name: str) -> None:
    for folder in ("a", "b"):
        write_video(moving(), tmp_path / folder / name, 8, comment=COMMENT)
    files = [tmp_path / folder / name for folder in ("a", "b")]
    if name == "clip":
        files = [file / "frame_0003.png" for file in files]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert b"Lavf" not in files[0].read_bytes()


def test_bytes_do_not_depend_on_what_memory_held_before(tmp_path: Path) -> None:
    """Wild jumps once brought x264 to read memory that it never wrote."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    scene = np.asarray(Image.fromarray(blocks).resize((900, 600), Image.Resampling.BICUBIC))
    corners = rng.integers(0, 300, (6, 2))
    frames = np.stack([scene[y : y + 300, x : x + 452] for x, y in corners])
    found = set()
    for _ in range(4):
        litter = [rng.integers(0, 256, size, dtype=np.uint8) for size in rng.integers(1, 10**6, 40)]
        del litter[::2]
        write_video(frames, tmp_path / "a.mp4", 8)
        found.add((tmp_path / "a.mp4").read_bytes())
    assert len(found) == 1


@pytest.mark.parametrize(
    "colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (255, 255, 255), (90, 160, 200)]
)
def test_colours_survive_mp4(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    frames = np.broadcast_to(np.array(colour, np.uint8), (3, 32, 48, 3))
    write_video(frames, tmp_path / "a.mp4", 8)
    assert np.abs(difference(read_video(tmp_path / "a.mp4").frames, frames)).max() <= 2


def test_mp4_does_not_darken_and_is_tagged(tmp_path: Path) -> None:
    frames = moving(8) // 2 + 60  # within what video levels can say
    write_video(frames, tmp_path / "a.mp4", 8)
    bias = difference(read_video(tmp_path / "a.mp4").frames, frames).mean((0, 1, 2))
    assert np.abs(bias).max() < 0.8
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        tags = (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
        assert tags == (1, 1, 1, 1)
        assert frame.format.name == "yuv420p"
        assert stream.codec_context.name == "h264"
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize(("width", "height"), [(81, 48), (80, 47), (17, 19)])
@pytest.mark.parametrize("name", NAMES)
def test_odd_sizes(tmp_path: Path, name: str, width: int, height: int) -> None:
    """Only mp4 needs even sides; there the last row and column come twice."""
    frames = moving(3, width, height)
    write_video(frames, tmp_path / name, 8)
    back = read_video(tmp_path / name).frames
    if name == "clip.mp4":
        assert back.shape == (3, height + height % 2, width + width % 2, 3)
    else:
        assert back.shape == frames.shape
    assert np.abs(difference(back[:, :height, :width], frames)).mean() < 9


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif", "clip.webp"])
@pytest.mark.parametrize("fps", [1, 7.5, 12, 29.97, 50])
def test_speed_does_not_drift(tmp_path: Path, name: str, fps: float) -> None:
    write_video(moving(9, 96, 16), tmp_path / name, fps)
    back = read_video(tmp_path / name)
    assert len(back.frames) == 9
    assert np.abs(back.timestamps - np.arange(9) / fps).max() < 0.0051
    assert back.fps == pytest.approx(fps, rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_one_frame_is_a_video(tmp_path: Path, name: str) -> None:
    write_video(moving(1), tmp_path / name, 8)
    assert read_video(tmp_path / name).frames.shape == (1, 48, 80, 3)


def test_still_frames_are_kept(tmp_path: Path) -> None:
    """WebP alone joins equal neighbours to one long frame, which looks the same."""
    frames = np.concatenate([np.repeat(moving(1), 5, axis=0), moving(6)[5:]])
    for name in NAMES:
        write_video(frames, tmp_path / name, 10)
    assert [len(read_video(tmp_path / name).frames) for name in NAMES] == [6, 6, 2, 6]
    for name in NAMES[:3]:
        assert read_video(tmp_path / name).timestamps[-1] == pytest.approx(0.5)


def test_decoders_agree(tmp_path: Path) -> None:
    pytest.importorskip("decord")
    write_video(moving(12), tmp_path / "a.mp4", 8)
    one, two = (read_video(tmp_path / "a.mp4", decoder=name) for name in ("pyav", "decord"))
    assert one.fps == two.fps == 8
    assert np.abs(one.timestamps - two.timestamps).max() < 1e-6
    assert one.frames.shape == two.frames.shape
    assert np.abs(difference(one.frames, two.frames)).mean() < 3
    assert len(read_video(tmp_path / "a.mp4", decoder="decord", limit=5).frames) == 5


@pytest.mark.parametrize("name", NAMES)
def test_limit(tmp_path: Path, name: str) -> None:
    write_video(moving(), tmp_path / name, 8)
    assert (
        read_video(tmp_path / name, limit=4).frames == read_video(tmp_path / name).frames[:4]
    ).all()


def test_missing_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(moving(), tmp_path / "a.mp4", 8)

    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(DependencyError, match=r"decord is not installed .* use the decoder pyav"):
        read_video(tmp_path / "a.mp4", decoder="decord")
    with pytest.raises(ConfigError, match="decoder 'dekord' is unknown; use pyav or decord"):
        read_video(tmp_path / "a.mp4", decoder="dekord")


def damage(content: bytes) -> bytes:
    changed = bytearray(content)
    for at in range(len(changed) // 3, len(changed), 97):
        changed[at] ^= 0x5A
    return bytes(changed)


@pytest.mark.parametrize("name", NAMES[:3])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    write_video(moving(12), tmp_path / name, 8)
    whole = (tmp_path / name).read_bytes()
    cuts = [b"", whole[:10], whole[:200]]
    cuts += [whole[: len(whole) // 2], damage(whole)] if name != "clip.gif" else []
    for content in cuts:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            read_video(tmp_path / name)


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("words")
    for place, line in [
        ("a.mp4", "is no video"),
        ("b.mp4", "no such file"),
        ("", "no fra"),
    ]:
        with pytest.raises(DataError, match=line):
            read_video(tmp_path / place)
    with pytest.raises(DataError, match=r"a\.mp4: is no video"):
        read_video(tmp_path / "a.mp4", decoder="decord")


def test_untagged_video_is_read_by_its_height(tmp_path: Path) -> None:
    """As players do: BT.601 below 720 lines, BT.709 from there on."""
    for height, space in ((64, "itu601"), (720, "itu709")):
        path = str(tmp_path / f"{height}.mp4")
        red = np.zeros((height, 64, 3), np.uint8) + np.array([200, 30, 60], np.uint8)
        with av.open(path, "w") as container:
            stream = container.add_stream("libx264", rate=8, options={"crf": "1"})
            stream.width, stream.height, stream.pix_fmt = 64, height, "yuv420p"
            frame = av.VideoFrame.from_ndarray(red, format="rgb24")
            planes = frame.reformat(format="yuv420p", dst_colorspace=space)
            planes.colorspace = 2
            container.mux(stream.encode(planes))
            container.mux(stream.encode(None))
        assert np.abs(read_video(path).frames[0].astype(int) - red).max() <= 4


def test_a_folder_is_read_in_the_order_of_numbers_as_pictures_are(tmp_path: Path) -> None:
    for number, level in ((9999, 10), (10000, 20), (10001, 30)):
        deep = np.full((16, 24), level * 257, np.uint16)
        Image.fromarray(deep).save(tmp_path / f"frame_{number}.png")
    assert read_video(tmp_path).frames[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert read_video(tmp_path, limit=1).frames.shape == (1, 16, 24, 3)
    Image.fromarray(deep).save(tmp_path / "frame_09999.png")
    with pytest.raises(DataError, match=r"frame_09999\.png and frame_9999\.png have one number"):
        read_video(tmp_path)


def test_transparent_webp_lies_on_white(tmp_path: Path) -> None:
    frames = [Image.new("RGBA", (24, 16), (9, 9, 9, alpha)) for alpha in (0, 255)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert read_video(tmp_path / "a.webp").frames[:, 0, 0, 0].tolist() == [255, 9]
