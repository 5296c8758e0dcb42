"""Which clips a side has, which frames they take, and that both kinds of source read alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

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
