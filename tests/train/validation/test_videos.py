"""Held-out clips made visible, and what a validation does to the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fbridge.codecs.pixel import PixelCodec
from fbridge.data.latents import LatentDataset
from fbridge.data.video_files import read_video
from fbridge.errors import CheckpointError
from fbridge.loaders.codec import load_codec
from fbridge.train.setup.session import Session
from fbridge.train.validation.scores import HeldOut
from fbridge.train.validation.videos import Column, ValidationVideos
from tests.train.sets import pixel_codec, rows, write_set

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> LatentDataset:
    folder = tmp_path_factory.mktemp("gallery")
    return write_set(folder / "set", rows(7), pixel_codec(folder / "codec"))


def gallery(data: LatentDataset, count: int = 3) -> ValidationVideos:
    codec = load_codec(data.index["codec"]["name"], device="cpu").codec
    return ValidationVideos(HeldOut.choose(data, 6, 2), count, codec, 8.0)


COLUMNS = (
    Column("truth again", lambda batch: batch.clean),
    Column("grey", lambda batch: torch.zeros_like(batch.clean)),
)


def test_a_video_for_each_clip_and_a_sheet_of_all(data: LatentDataset, tmp_path: Path) -> None:
    files, captions, columns, psnr = gallery(data).write(COLUMNS, tmp_path / "made/step-4", CPU)
    assert captions == ("words 0", "words 1", "words 2")
    assert columns == ("picture", "truth again", "grey", "truth")
    assert [file.name for file in files] == ["sheet.png", "01.mp4", "02.mp4", "03.mp4"]
    assert all(file.is_file() for file in files)
    video = read_video(files[1])
    assert np.asarray(video.frames).shape == (4, 8, 4 * 8, 3)
    sheet = np.asarray(Image.open(files[0]))
    assert sheet.std() > 10
    assert psnr.keys() == {"psnr_repeated", "psnr_truth again", "psnr_grey"}


def test_psnr_is_over_all_frames_but_the_given_one(data: LatentDataset) -> None:
    shown = gallery(data, 2)
    batch = shown.held_out.batch(shown.held_out.batches[0], 0, CPU)
    first_wrong = Column("first", lambda b: torch.cat([b.clean[:, :1] * 0, b.clean[:, 1:]], 1))
    files, _, _, psnr = shown.write([first_wrong, COLUMNS[1]], None, CPU)
    assert files == ()
    assert psnr["psnr_first"] == pytest.approx(10 * np.log10(255**2 / 1e-9))
    values = ((batch.clean.clamp(-1, 1) + 1) / 2 * 255).round()
    grey = [10 * np.log10(255**2 / float((clip[1:] - 128).square().mean())) for clip in values]
    assert psnr["psnr_grey"] == pytest.approx(np.mean(grey), abs=0.02)
    still = ((batch.still.clamp(-1, 1) + 1) / 2 * 255).round()
    errors = (values - still)[:, 1:].square().flatten(1).mean(1)
    assert psnr["psnr_repeated"] == pytest.approx(
        np.mean(10 * np.log10(255**2 / errors.numpy())), abs=0.02
    )


def test_a_video_that_is_not_finite_is_an_error(data: LatentDataset, tmp_path: Path) -> None:
    broken = Column("generated", lambda batch: batch.clean * torch.nan)
    with pytest.raises(CheckpointError, match=r'latents of video 1, 2 .*train.precision to "bf16"'):
        gallery(data).write([broken], tmp_path, CPU)
    assert not any(tmp_path.iterdir())


def test_as_many_clips_as_asked_for(data: LatentDataset) -> None:
    seen: list[int] = []

    def look(batch: Any) -> Tensor:
        seen.extend(batch.rows.tolist())
        return batch.clean

    for count, expected in ((1, 1), (3, 3), (50, 6)):
        seen.clear()
        gallery(data, count).write([Column("seen", look)], None, CPU)
        assert len(seen) == len(set(seen)) == expected


def test_decoding_keeps_to_float32(data: LatentDataset) -> None:
    """Half precision is not enough for some image codecs."""
    shown = gallery(data, 1)

    class Careful(PixelCodec):
        def decode(self, latents: Tensor, view: Any) -> list[Tensor]:
            assert latents.dtype == torch.float32
            assert not torch.is_autocast_enabled("cpu")
            return super().decode(latents, view)

    careful = replace(shown, codec=Careful(8, 8))
    with torch.autocast("cpu", torch.bfloat16):
        careful.write(COLUMNS, None, CPU)


def test_a_validation_is_of_the_average_and_leaves_no_trace(
    session: Callable[..., Session], tmp_path: Path
) -> None:
    made = session()
    training = made.training
    assert training.validate is not None
    modes: list[bool] = []
    training.network.register_forward_pre_hook(lambda net, _: modes.append(net.training))
    before = [p.clone() for p in training.network.parameters()]
    first = training.validate(0, lambda: None)
    for average in training.average.weights().values():
        average.mul_(0.5)
    other = training.validate(1, lambda: None)
    assert not any(modes)
    assert training.network.training
    assert all(map(torch.equal, before, training.network.parameters()))
    assert first.scores["held_out"] != other.scores["held_out"]
    assert [file.parent.name for file in first.files] == ["step-0"] * 2
    assert {"psnr_prior", "psnr_generated", "held_out_0.50_1.00"} <= first.scores.keys()
    assert first.scores["another_picture"] == first.scores["held_out"]
    for average, own in zip(training.average.weights().values(), before, strict=True):
        average.copy_(own)
    again = training.validate(0, lambda: None)
    assert again.scores == first.scores
    assert (tmp_path / "run/validation/step-1/sheet.png").is_file()


def test_a_validation_samples_with_the_guidance_that_generate_takes(
    session: Callable[..., Session], tmp_path: Path
) -> None:
    sizes: list[set[int]] = []
    for run, scale in (("plain", 1.0), ("guided", 2.0)):
        made, seen = session(run=run, sampling={"guidance_scale": scale}), set[int]()
        assert made.training.validate is not None
        made.training.network.register_forward_pre_hook(
            lambda _net, given, seen=seen: seen.add(len(given[0]))
        )
        made.training.validate(0, lambda: None)
        sizes.append(seen)
    plain, guided = sizes
    assert (plain - guided, guided - plain) == ({1}, {2})  # the clip that is shown
    sheets = [tmp_path / run / "validation/step-0/sheet.png" for run in ("plain", "guided")]
    assert sheets[0].read_bytes() != sheets[1].read_bytes()


def test_without_words_a_codec_is_asked_what_the_empty_prompt_means(data: LatentDataset) -> None:
    shown = gallery(data)
    batch = shown.held_out.batch(shown.held_out.batches[0], 0, CPU)
    plain = shown.without_words(batch)
    assert torch.equal(plain.prompt_embeds[1], data.empty_text().float())
    assert plain.prompt_mask.all()
    assert torch.equal(plain.image_latents, batch.condition.image_latents)
    asked: list[str] = []

    class Telling(PixelCodec):
        def reworded(self, view: Any, prompts: list[str]) -> Tensor:
            asked.extend(prompts)
            return view.image_latents + 1

    other = replace(shown, codec=Telling(8, 8)).without_words(batch)
    assert asked == ["", ""]
    assert torch.equal(other.image_latents, batch.condition.image_latents + 1)


def test_a_validation_that_fails_leaves_no_trace(session: Callable[..., Session]) -> None:
    made = session()
    training = made.training
    assert training.validate is not None
    before = [p.clone() for p in training.network.parameters()]
    for average in training.average.weights().values():
        average.zero_()

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    hook = training.network.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        training.validate(0, lambda: None)
    hook.remove()
    assert training.network.training
    assert all(map(torch.equal, before, training.network.parameters()))
