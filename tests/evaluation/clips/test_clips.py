"""Which clips a side has, which frames they take, and that both kinds of source read alike."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fbridge.data.latents.format import hash_file
from fbridge.data.pictures import READING
from fbridge.errors import DataError
from fbridge.evaluation.clips import (
    EvalClip,
    FailedClip,
    FrameSampling,
    list_clips,
    read_clip,
    sample_clips,
    vary,
)
from fbridge.evaluation.clips.read import read_picture
from fbridge.evaluation.features.measure import FrameSource
from fbridge.evaluation.features.networks import Setup
from tests.evaluation.sides import FRAMES, SIDE, clips_of, scene, write_side


def test_videos_and_folders_of_frames_have_the_same_keys(tmp_path: Path) -> None:
    write_side(tmp_path / "videos", range(3))
    write_side(tmp_path / "frames", range(3), as_frames=True)
    videos, frames = list_clips(tmp_path / "videos"), list_clips(tmp_path / "frames")
    assert (
        [one.key for one in videos.found] == [one.key for one in frames.found] == ["00", "01", "02"]
    )
    assert "3 folders of frames" in frames.description
    assert [one.key for one in list_clips(tmp_path / "frames/01").found] == ["01"]


def test_frames_are_read_exactly(tmp_path: Path) -> None:
    (clip,) = clips_of(write_side(tmp_path, range(1), as_frames=True))
    assert torch.equal(read_clip(clip, (SIDE, SIDE)), torch.from_numpy(scene(0)))
    assert (clip.width, clip.height, clip.codec, clip.media) == (SIDE, SIDE, "png", None)


def test_both_kinds_are_scaled_alike(tmp_path: Path) -> None:
    write_side(tmp_path / "videos", range(1))
    (video,) = clips_of(tmp_path / "videos")
    own = read_clip(video, (SIDE, SIDE))
    for number, frame in enumerate(own):
        path = tmp_path / f"frames/0/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(frame.numpy()).save(path)
    (framed,) = clips_of(tmp_path / "frames")
    for size in ((24, 24), (30, 20), (64, 50)):
        apart = read_clip(video, size).int() - read_clip(framed, size).int()
        assert apart.abs().float().mean() < 2  # a video's colours are stored at half the size
    picture = read_picture(tmp_path / "frames/0/0.png", (30, 20))
    assert torch.equal(picture, read_clip(framed, (30, 20))[:1])


def test_stride_and_start(tmp_path: Path) -> None:
    write_side(tmp_path, range(1), as_frames=True, frames=10)
    whole = scene(0, 10)

    def taken(cut: FrameSampling) -> torch.Tensor:
        return read_clip(clips_of(tmp_path, cut)[0], (SIDE, SIDE))

    assert torch.equal(taken(FrameSampling(3, 3)), torch.from_numpy(whole[:9:3].copy()))
    starts = set()
    for seed in range(20):
        first = taken(FrameSampling(4, 1, seed))[0]
        starts |= {n for n in range(10) if torch.equal(first, torch.from_numpy(whole[n]))}
        assert torch.equal(first, taken(FrameSampling(4, 1, seed))[0])
    assert len(starts) > 3
    assert max(starts) <= 6


def test_a_video_starts_anywhere_by_its_content(tmp_path: Path) -> None:
    write_side(tmp_path, range(4), frames=12)
    head, drawn = (
        clips_of(tmp_path, FrameSampling(4, 1)),
        clips_of(tmp_path, FrameSampling(4, 1, seed=1)),
    )
    assert [one.pts for one in head] != [one.pts for one in drawn]
    assert all(one.hash != other.hash for one, other in zip(head, drawn, strict=True)
               if one.pts != other.pts)  # fmt: skip


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    write_side(tmp_path, range(2))
    (tmp_path / "02.mp4").write_bytes(b"no video at all")
    write_side(tmp_path / "short", range(1))
    (tmp_path / "short/00.mp4").rename(tmp_path / "03.mp4")
    (tmp_path / "short").rmdir()
    found = list(sample_clips(list_clips(tmp_path).found, FrameSampling(FRAMES + 1, 1), workers=0))
    assert [isinstance(one, FailedClip) for one in found] == [True] * 4
    reasons = [(one.key, one.short, one.reason) for one in found if isinstance(one, FailedClip)]
    assert reasons[0] == ("00", True, "too short: 6 frames, 7 needed for 7")
    assert reasons[2][:2] == ("02", False)
    found = list(sample_clips(list_clips(tmp_path).found, FrameSampling(FRAMES, 1), workers=0))
    assert [type(one) for one in found] == [EvalClip, EvalClip, FailedClip, EvalClip]


def test_a_key_that_comes_twice_is_refused(tmp_path: Path) -> None:
    write_side(tmp_path, range(1))
    (tmp_path / "00.mkv").write_bytes((tmp_path / "00.mp4").read_bytes())
    with pytest.raises(DataError, match="have one key, '00'"):
        list_clips(tmp_path)


def test_variants() -> None:
    frames = torch.from_numpy(scene(1))
    assert torch.equal(vary(frames, "", "x"), frames)
    assert torch.equal(vary(frames, "first", "x"), frames[:1])
    still = vary(frames, "still", "x")
    assert all(torch.equal(frame, frames[0]) for frame in still)
    mixed = vary(frames, "shuffled", "x")
    assert not torch.equal(mixed, frames)
    assert torch.equal(mixed, vary(frames, "shuffled", "x"))
    assert np.array_equal(np.sort(mixed.numpy(), 0), np.sort(frames.numpy(), 0))


def save_frames(folder: Path, names: dict[str, int]) -> Path:
    """Scenes as pictures: by name, which frame of a scene each shows."""
    folder.mkdir(parents=True)
    for name, number in names.items():
        Image.fromarray(scene(0, 12)[number]).save(folder / name)
    return folder


@pytest.mark.parametrize(
    "name",
    ["frame{}.png", "{}.png", "Take2_{}_of_12.PNG", "0.{}5.png", "000{}.png", "{:03d}.jpg.png"],
)
def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path, name: str) -> None:
    """universome/stylegan-v #43: frame1.png ... frame12.png, as its README lays them out.

    jfzhang95/pytorch-video-recognition #30: 0001.png ... 0009.png, 00010.png.
    """
    count = 9 if name.startswith("0.") else 12  # 0.05, 0.15, ...
    save_frames(tmp_path / "c", {name.format(n): n for n in range(count)})
    (clip,) = clips_of(tmp_path, FrameSampling(count, 1))
    assert torch.equal(read_clip(clip, (SIDE, SIDE)), torch.from_numpy(scene(0, 12)[:count]))


def test_times_are_decimal_numbers(tmp_path: Path) -> None:
    save_frames(tmp_path / "c", {"0.png": 0, "0.125.png": 1, "0.25.png": 2, "0.5.png": 3})
    (clip,) = clips_of(tmp_path, FrameSampling(4, 1))
    assert [path.name for path in clip.pictures] == ["0.png", "0.125.png", "0.25.png", "0.5.png"]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["1.png", "2.png", "002.png"], "frames 002.png and 2.png have one number"),
        (["a1.png", "a2.jpg", "a2.png"], "frames a2.jpg and a2.png have one number"),
        (["0.5.png", "0.50.png"], "frames 0.5.png and 0.50.png have one number"),
        (["left_1.png", "left_2.png", "right_1.png"], "have one number"),
        (["frame_1.png", "frame_2.png", "frame_2 (1).png"], "are named differently"),
        (["Credits000.png", "MainFilm000.png"], "have one number"),  # tmeiczin/opendcp #226
        (["cover.png", "frame_1.png", "frame_2.png"], "are named differently"),
    ],
)
def test_names_without_an_order_are_refused(tmp_path: Path, names: list[str], told: str) -> None:
    save_frames(tmp_path / "c", dict(zip(names, range(9), strict=False)))
    (listed,) = list_clips(tmp_path).found
    assert told in listed.refused
    (failed,) = sample_clips([listed], FrameSampling(2, 1), workers=0)
    assert isinstance(failed, FailedClip)


def test_names_without_numbers_are_in_their_own_order(tmp_path: Path) -> None:
    save_frames(tmp_path / "c", {"b.png": 1, "a.png": 0, "c.jpg": 2})
    (clip,) = clips_of(tmp_path, FrameSampling(3, 1))
    assert [path.name for path in clip.pictures] == ["a.png", "b.png", "c.jpg"]


def test_frames_are_read_as_pictures_are(tmp_path: Path) -> None:
    """Pillow #2574 (16-bit grey becomes white), mk-minchul/AdaFace #163 (EXIF ignored)."""
    grey = scene(0)[..., 1]
    turn = Image.Exif()
    turn[0x0112] = 6
    kinds: dict[str, tuple[list[Image.Image], str, dict[str, Any]]] = {
        "deep": ([Image.fromarray(f.astype(np.uint16) * 257) for f in grey], "png", {}),
        "float": ([Image.fromarray(f.astype(np.float32) / 200) for f in grey], "tiff", {}),
        "turned": ([Image.fromarray(f[:20]) for f in scene(0)], "png", {"exif": turn}),
        "see-through": ([Image.new("RGBA", (SIDE, SIDE))] * FRAMES, "png", {}),
    }
    for kind, (pictures, suffix, more) in kinds.items():
        (tmp_path / kind).mkdir()
        for n, picture in enumerate(pictures):
            picture.save(tmp_path / kind / f"{n}.{suffix}", **more)
    clips = {clip.key: clip for clip in clips_of(tmp_path)}
    read = {key: read_clip(clip, (SIDE, SIDE)).numpy() for key, clip in clips.items()}
    assert np.array_equal(read["deep"], np.repeat(grey[..., None], 3, -1))
    # One white (1) in all frames; where none is above 1.275, what is above it is clipped.
    light = np.clip(np.round(grey / 200 * 255), 0, 255)
    assert np.abs(read["float"][..., 0] - light).max() <= 1
    assert (clips["turned"].width, clips["turned"].height) == (20, SIDE)
    assert (read["see-through"] == 255).all()


def test_what_was_kept_of_another_reading_is_not_used(tmp_path: Path) -> None:
    plain, deep = scene(0)[..., 1], scene(0)[..., 1].astype(np.uint16) * 257
    for name, frames in (("plain", plain), ("deep", deep)):
        (tmp_path / name).mkdir()
        for n, frame in enumerate(frames):
            Image.fromarray(frame).save(tmp_path / name / f"{n}.png")
    clips = {clip.key: clip for clip in clips_of(tmp_path)}

    def older(clip: EvalClip) -> str:
        """The hash of before, over the files' alone."""
        hashes = "\n".join(hash_file(path) for path in clip.pictures)
        return hashlib.sha256(hashes.encode()).hexdigest()

    assert clips["plain"].hash == older(clips["plain"])
    assert clips["deep"].hash != older(clips["deep"])
    setup = Setup((SIDE, SIDE))
    for name, more in (("plain", ""), ("deep", f"{READING} ")):
        picture = tmp_path / name / "0.png"
        identity = f"{hash_file(picture)} {more}{SIDE}x{SIDE}"
        assert FrameSource(picture=picture).identity(setup) == identity
