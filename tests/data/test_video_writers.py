"""What `write_video` refuses, and that nothing half-written remains."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import av
import numpy as np
import pytest

from fbridge.data import video_writers
from fbridge.data.metadata import read_comment
from fbridge.data.video_files import write_video
from fbridge.data.video_writers import WRITERS, Frames
from fbridge.errors import ConfigError, DependencyError

NAMES = ["clip.mp4", "clip.gif", "clip.webp", "clip"]


def moving(number: int = 6) -> Frames:
    """A bar that crosses the ground."""
    frames = np.zeros((number, 48, 80, 3), np.uint8)
    for k in range(number):
        frames[k, :, 9 * k : 9 * k + 9] = 200
    return frames


def test_refused_requests(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.avi is not written; use \.mp4, \.gif, \.webp"):
        write_video(moving(), tmp_path / "a.avi", 8)
    with pytest.raises(ConfigError, match=r"\.png is not written; .* a folder's name"):
        write_video(moving(), tmp_path / "a.png", 8)
    with pytest.raises(ConfigError, match="a GIF shows up to 50 frames a second, not 60"):
        write_video(moving(), tmp_path / "a.gif", 60)
    for fps in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="a positive number is needed"):
            write_video(moving(), tmp_path / "a.mp4", fps)
    for frames in (moving()[0], moving().astype(np.float32), moving()[:0], moving()[..., :2]):
        with pytest.raises(ValueError, match=r"uint8 \(F, H, W, 3\) is needed"):
            write_video(frames, tmp_path / "a.mp4", 8)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_nothing_half_written_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException
) -> None:
    write_video(moving(), tmp_path / name, 8, comment="old")
    kind = Path(name).suffix.removeprefix(".") or "png"
    write = WRITERS[kind]

    def stumble(frames: Frames, path: Path, fps: float, comment: str | None) -> None:
        write(frames, path, fps, comment)
        raise error

    monkeypatch.setitem(video_writers.WRITERS, kind, stumble)
    expected = DependencyError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        write_video(moving()[::-1], tmp_path / name, 8, comment="new")
    if expected is DependencyError:
        assert f"{name}: cannot be written: no room is left on the device" in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert read_comment(tmp_path / name) == "old"


def test_full_device(tmp_path: Path) -> None:
    """The system itself refuses to write, at every point of every format."""
    code = """
        import resource, signal, sys
        import numpy as np
        from fbridge.data.video_files import write_video
        from fbridge.errors import DependencyError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        frames = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
        for limit in (0, 1000, 5000, 9000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            for name in ("a.mp4", "a.gif", "a.webp", "a"):
                try:
                    write_video(frames, name, 8, comment="x" * 100)
                except DependencyError as error:
                    sys.stdout.write(f"{error}\\n")
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert len(lines) == 16
    assert all("cannot be written: the file would be larger than this system" in x for x in lines)
    assert not done.stderr
    assert not list(tmp_path.iterdir())


def test_folder_of_frames_replaces_only_its_like(tmp_path: Path) -> None:
    write_video(moving(6), tmp_path / "clip", 8)
    write_video(moving(4), tmp_path / "clip", 8)
    assert len(list((tmp_path / "clip").iterdir())) == 4
    (tmp_path / "clip" / "notes.txt").write_text("mine")
    with pytest.raises(DependencyError, match="holds other things than frames, so it stays"):
        write_video(moving(3), tmp_path / "clip", 8)
    assert (tmp_path / "clip" / "notes.txt").read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip"]


def test_encoder_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise av.error.EncoderNotFoundError(1, "Encoder not found")

    monkeypatch.setitem(video_writers.WRITERS, "mp4", fail)
    with pytest.raises(DependencyError, match=r"ffmpeg cannot write it .* reinstall"):
        write_video(moving(), tmp_path / "a.mp4", 8)
