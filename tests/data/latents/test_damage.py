"""What has changed in a data set is noticed before anything is trained on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fbridge.data.latents import LatentDataset
from fbridge.data.latents.format import INDEX, hash_file, read_index, write_index
from fbridge.errors import DataError
from fbridge.prepare.verification import verify
from fbridge.train.batches import Augmentation, TrainingClips, plain_errors, training_loader
from fbridge.train.shares import BatchShare
from tests.train.sets import pixel_codec, rows, write_set

Tree = dict[str, Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("whole")
    return write_set(
        place / "set", rows(4), pixel_codec(place / "codec", 4), latent=(3, 4, 4)
    ).folder


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "set"))


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def changed(folder: Path, change: Callable[[Tree], object], *, sealed: bool) -> None:
    """Change the index, as another program may; without its hash it is one of an older fbridge."""
    index = read_index(folder)
    change(index)
    if sealed:
        write_index(folder, index)
    else:
        (folder / INDEX).write_text(json.dumps(index))


def test_an_index_of_before_it_had_a_hash_is_read(copied: Path) -> None:
    sealed = read_index(copied)
    changed(copied, dict.copy, sealed=False)
    assert read_index(copied) == sealed
    assert len(LatentDataset(copied)) == 4


def test_every_bit_of_the_index_counts(copied: Path) -> None:
    text = (copied / INDEX).read_bytes()
    assert b'"sha256": "' in text
    for place in range(0, len(text), 7):
        flip(copied / INDEX, place)
        with pytest.raises(DataError, match=r"index.json: (is damaged \(|has format)"):
            LatentDataset(copied)
        with pytest.raises(DataError, match=r"index\.json"):
            next(verify(copied))
        (copied / INDEX).write_bytes(text)
    (copied / INDEX).write_bytes(text.replace(b"\n", b" ", 1))
    with pytest.raises(DataError, match="does not fit the hash in it"):
        read_index(copied)


@pytest.mark.parametrize("table", ["columns", "shards", "captions", "manifest"])
def test_every_bit_of_the_tables_counts(copied: Path, table: str) -> None:
    path = next(copied.glob(f"{table}-*"))
    flip(path, path.stat().st_size // 2)
    with pytest.raises(DataError, match=f"{table}-.*: is not as it was written; fbridge prepare"):
        LatentDataset(copied)
    path.unlink()
    with pytest.raises(DataError, match=f"{table}-.*: is missing"):
        LatentDataset(copied)


@pytest.mark.parametrize(("kind", "place"), [("shards", -9), ("shards", 30), ("text", -9)])
def test_a_shard_is_compared_when_it_is_opened(copied: Path, kind: str, place: int) -> None:
    path = next((copied / kind).glob("*/*"))
    flip(path, place)
    with pytest.raises(DataError, match=f"{path.name}: is not as it was written; fbridge prepare"):
        _ = LatentDataset(copied)[0]


def test_a_shard_is_compared_once(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = LatentDataset(copied)
    monkeypatch.setattr("fbridge.data.latents.dataset.OPEN_SHARDS", 1)
    hashed: list[str] = []
    monkeypatch.setattr(
        "fbridge.data.latents.dataset.file_fault", lambda _, record: hashed.append(record["path"])
    )
    for row in (0, 1, 2, 3, 0):
        _ = data.only(data.labels.nonzero()[:, 0])[row]
    assert sorted(hashed) == ["shards/bb/0.safetensors", "text/aa/words.safetensors"]


def test_a_worker_process_tells_it_in_one_line(copied: Path) -> None:
    flip(next((copied / "shards").glob("*/*")), -9)
    clips = TrainingClips(LatentDataset(copied), Augmentation(), seed=0)
    batches = plain_errors(training_loader(clips, BatchShare(2, 2), workers=1))
    with pytest.raises(DataError) as caught:
        next(batches)
    assert str(caught.value).startswith(f"{copied}/shards/")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("name", ["../set/columns", "/etc/passwd", "..", "a/../b", "a\\b", ""])
def test_files_outside_the_folder_are_refused(copied: Path, name: str, sealed: bool) -> None:
    changed(copied, lambda index: index["files"]["columns"].update(path=name), sealed=sealed)
    with pytest.raises(DataError, match=r"'files.columns.path' is .* where a file in this folder"):
        LatentDataset(copied)


def test_shards_outside_the_folder_are_refused(copied: Path) -> None:
    outside = copied.parent / "outside.safetensors"
    shutil.copy(next((copied / "shards").glob("*/*")), outside)
    index = read_index(copied)
    path = copied / index["files"]["shards"]["path"]
    path.write_text(path.read_text().replace("shards/bb/0.safetensors", "../outside.safetensors"))
    sizes = {"bytes": path.stat().st_size, "sha256": hash_file(path)}
    changed(copied, lambda tree: tree["files"]["shards"].update(sizes), sealed=True)
    with pytest.raises(DataError, match=r"outside.safetensors: lies outside the data set"):
        _ = LatentDataset(copied)[0]


def test_wrong_values_are_named(copied: Path) -> None:
    text = (copied / INDEX).read_text()
    for change, told in (
        (lambda index: index.pop("codec"), r"is damaged \(lacks 'codec'\)"),
        (lambda index: index["files"].pop("columns"), "lacks 'files.columns'"),
        (lambda index: index.update(splits=None), "'splits' is None where a valid list is needed"),
        (lambda index: index["buckets"][0].update(number="x"), "'buckets.0.number' is 'x' where a"),
        (lambda index: index["buckets"][0].update(number=True), "is True where a valid integer"),
        (lambda index: index.update(more=1), "has an unknown key 'more'"),
        (lambda index: index.update(format="x"), "'format' is 'x' where a valid integer"),
        (lambda index: index.update(moments={"clip_mean": [float("nan")]}), "a finite number"),
    ):
        changed(copied, change, sealed=False)
        with pytest.raises(DataError, match=told):
            LatentDataset(copied)
        (copied / INDEX).write_text(text)
    for odd in ("", "[]", "5", "[" * 100_000, '"x"'):
        (copied / INDEX).write_text(odd)
        with pytest.raises(DataError, match="is damaged"):
            LatentDataset(copied)


def test_a_name_that_is_no_unicode_is_no_damage(copied: Path) -> None:
    changed(copied, lambda index: index["codec"].update(name="caf\udce9"), sealed=True)
    assert read_index(copied)["codec"]["name"] == "caf\udce9"
