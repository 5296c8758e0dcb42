"""Which files are videos by their names, and that no other file is left out without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from fbridge.data.sources import find_layout

FORGOTTEN = "m2ts mts m2t vob asf 3g2 divx mpe m1v m2v f4v ogm"


@pytest.mark.parametrize("suffix", FORGOTTEN.split())
def test_suffixes_of_cameras_and_discs(tmp_path: Path, suffix: str) -> None:
    """photoprism/photoprism#2899: .mts and .m2ts beside .mp4."""
    for name in ("a.mp4", f"b.{suffix.upper()}"):
        (tmp_path / name).write_bytes(b"x")
    layout = find_layout(tmp_path)
    assert [entry.key for entry in layout.entries()] == ["a.mp4", f"b.{suffix.upper()}"]
    assert "not videos" not in layout.summary


def test_files_of_unknown_suffix_are_counted(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".hidden").mkdir()
    names = ["a.mp4", "a.txt", "b.xyz", "deep/c.XYZ", "deep/README", ".d.xyz", ".hidden/e.xyz"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    layout = find_layout(tmp_path)
    assert layout.summary.endswith("; not videos by their names: 2 .xyz, 1 without suffix")
