"""The embedded model's recipe in miniature, from materials to a model that makes a video."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.embedded import assemble, mask_samples, train_masks, train_motion
from fbridge.codecs.render import CHANNELS
from fbridge.codecs.scenes.describe import SLOTS
from fbridge.pipeline.plain import PlainPipeline
from tests.examples.materials import draw_materials


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Runs a script in the folder of the materials, as its line of the recipe does, but small."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mask_samples, "SAMPLES", 4)
    monkeypatch.setattr(mask_samples, "SIZES", ((96, 96), (64, 96)))
    monkeypatch.setattr(train_masks, "BATCH", 2)
    monkeypatch.setattr(train_motion, "TOKENS", 16)
    monkeypatch.setattr(train_motion, "FRAMES", (4,))
    sizes = np.full((CHANNELS, SLOTS), 0.2).tolist()
    monkeypatch.setattr(train_motion, "usual_sizes", lambda: sizes)

    def run(main: Callable[[], None], *words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["script", *words])
        main()

    return run


def test_the_lines_make_a_model_and_can_be_run_again(
    line: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_materials(tmp_path / "materials")
    photos = ("--photos", "materials/natural")
    for _ in range(2):
        line(mask_samples.main, "materials/", "samples/", "--shards", "2")
        line(mask_samples.main, "materials/", "samples/", "--shards", "1", *photos)
    assert len(capsys.readouterr().out.split()) == 3  # what exists is not made again
    for steps in ("1", "2", "2"):  # a longer run goes on, one that has ended ends
        line(train_masks.main, "samples/", "runs/masks", "--steps", steps, "--precision", "fp32")
        line(train_motion.main, "runs/motion", "--stage", "prior", "--steps", steps)
    line(train_motion.main, "runs/motion", "--stage", "bridge", "--steps", "1")
    line(assemble.main, "runs/", "model")
    picture = Image.open(next((tmp_path / "materials/photos").iterdir()))
    video = PlainPipeline(tmp_path / "model")(picture, "the egg jumps", num_frames=3).frames[0]
    assert np.array_equal(video[0], np.asarray(picture))
