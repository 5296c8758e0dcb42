"""Which clips a run never trains on."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from fbridge.data.latents import LatentDataset, hold_out
from fbridge.data.latents.format import hash_file, source_number, write_index
from tests.train.sets import Row, pixel_codec, rows, write_set


def write(folder: Path, clips: list[Row]) -> LatentDataset:
    return write_set(folder / "set", clips, pixel_codec(folder / "codec", 4), latent=(3, 4, 4))


def keys(data: LatentDataset) -> list[str]:
    return [str(data.record(row)["key"]) for row in range(len(data))]


def tagged(*tags: str) -> list[Row]:
    return [Row(f"video {n}", split=(tag,) if tag else ()) for n, tag in enumerate(tags)]


@pytest.mark.parametrize("tag", ["validation", "valid", "val", "dev", "test"])
def test_a_data_sets_own_split_is_taken(tmp_path: Path, tag: str) -> None:
    data = write(tmp_path, tagged("train", tag, "", "train", tag))
    parts = hold_out(data, 0.5)
    assert keys(parts.held_out) == ["clip 1", "clip 4"]
    assert keys(parts.training) == ["clip 0", "clip 2", "clip 3"]
    assert parts.summary == f"the data set's own {tag!r} clips are held out"
    assert keys(hold_out(data, 0.0).held_out) == ["clip 1", "clip 4"]
    assert keys(hold_out(data, 0.5, split="train").training) == ["clip 0", "clip 3"]


def test_validation_goes_before_test(tmp_path: Path) -> None:
    parts = hold_out(write(tmp_path, tagged("train", "test", "validation")), 0.5)
    assert keys(parts.held_out) == ["clip 2"]
    assert keys(parts.training) == ["clip 0", "clip 1"]


def test_ucfs_splits_have_numbers(tmp_path: Path) -> None:
    clips = [
        Row("a", split=("train01", "train02")),
        Row("b", split=("train01", "test02")),
        Row("c", split=("test01", "train02")),
        Row("d", split=("test01", "train02")),
    ]
    data = write(tmp_path, clips)
    first, second = hold_out(data, 0.5, split="train01"), hold_out(data, 0.5, split="train02")
    assert (keys(first.training), keys(first.held_out)) == (
        ["clip 0", "clip 1"], ["clip 2", "clip 3"],
    )  # fmt: skip
    assert (keys(second.training), keys(second.held_out)) == (
        ["clip 0", "clip 2", "clip 3"], ["clip 1"],
    )  # fmt: skip


def test_a_clip_of_both_is_not_trained_on(tmp_path: Path) -> None:
    data = write(tmp_path, [Row("a", split=("train",)), Row("b", split=("train", "test"))])
    parts = hold_out(data, 0.5, split="train")
    assert keys(parts.training) == ["clip 0"]
    assert keys(parts.held_out) == ["clip 1"]


def test_a_share_of_the_videos_is_held_out(tmp_path: Path) -> None:
    data = write(tmp_path, rows(20))
    for share, count in ((0.05, 1), (0.15, 3), (0.16, 4), (0.99, 19)):
        parts = hold_out(data, share)
        assert len(parts.held_out) == count
        assert sorted(keys(parts.training) + keys(parts.held_out)) == sorted(keys(data))
    small, large = (set(keys(hold_out(data, share).held_out)) for share in (0.1, 0.3))
    assert small < large  # the choice is the videos' own, so a larger share adds to a smaller
    assert large != {f"clip {n}" for n in range(6)}


def test_clips_of_one_video_stay_together(tmp_path: Path) -> None:
    data = write(tmp_path, [Row(f"video {n % 5}") for n in range(20)])
    parts = hold_out(data, 0.3)
    sources = [
        {part.record(row)["source_sha256"] for row in range(len(part))}
        for part in (parts.training, parts.held_out)
    ]
    assert len(parts.held_out) == 8
    assert not sources[0] & sources[1]


def test_the_choice_depends_on_the_videos_and_not_on_their_order(tmp_path: Path) -> None:
    forth, back = (
        write_set(
            tmp_path / name, clips, pixel_codec(tmp_path / "codec", 4), latent=(3, 4, 4)
        )
        for name, clips in (("forth", rows(10)), ("back", rows(10)[::-1]))
    )  # fmt: skip

    def sources(data: LatentDataset) -> set[str]:
        held = hold_out(data, 0.3).held_out
        return {str(held.record(row)["source_sha256"]) for row in range(len(held))}

    assert sources(forth) == sources(back)


def test_a_column_of_sources_replaces_the_manifest(tmp_path: Path) -> None:
    data = write(tmp_path, [Row(f"video {n % 7}") for n in range(20)])
    held = keys(hold_out(data, 0.3).held_out)
    hashes = [data.record(row)["source_sha256"] for row in range(20)]
    assert data.sources.tolist() == [source_number(sha256) for sha256 in hashes]
    lowest = sorted(set(hashes), key=source_number)[:3]  # 0.3 of 7 videos, rounded up
    assert held == [f"clip {n}" for n in range(20) if hashes[n] in lowest]
    path = data.folder / data.index["files"]["columns"]["path"]
    save_file({**load_file(path), "source": data.sources}, path)
    columns = {"bytes": path.stat().st_size, "sha256": hash_file(path)}
    data.index["files"]["columns"].update(columns)
    write_index(data.folder, data.index)
    manifest = data.folder / data.index["files"]["manifest"]["path"]
    newer, whole = LatentDataset(data.folder), manifest.read_bytes()
    manifest.unlink()  # a million lines would take seconds
    parts = hold_out(newer, 0.3)
    manifest.write_bytes(whole)
    assert keys(parts.held_out) == held


@pytest.mark.parametrize(("count", "share"), [(1, 0.5), (6, 0.0)])
def test_nothing_is_held_out_of_one_video_or_by_no_share(
    tmp_path: Path, count: int, share: float
) -> None:
    data = write(tmp_path, [Row("alone")] * 3 if count == 1 else rows(count))
    parts = hold_out(data, share)
    assert (len(parts.training), len(parts.held_out)) == (len(data), 0)
    assert parts.summary == "no clip is held out"
