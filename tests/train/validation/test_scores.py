"""Held-out scores: always of the same clips and noise, and telling whether the picture is used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fbridge.backbones.families import as_backbone, family_of
from fbridge.config.tree import RegressionConfig, TimesConfig, WeightConfig
from fbridge.data.latents import LatentDataset
from fbridge.denoiser import BridgeDenoiser
from fbridge.loaders.load import load_pretrained
from fbridge.prior import ReplicatePrior
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.losses import BridgeTraining, PriorStart, PriorTraining
from fbridge.train.timesteps import FIRST, LAST
from fbridge.train.validation.scores import HeldOut, score_generation, score_regression
from fbridge.types import Condition
from tests.train.sets import Row, pixel_codec, rows, write_set

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> LatentDataset:
    folder = tmp_path_factory.mktemp("validate")
    return write_set(folder / "set", rows(11), pixel_codec(folder / "codec"), spreads=True)


def generation(prediction: str = "clean", **about: Any) -> BridgeTraining:
    made = FrameBridgeScheduler(prediction=prediction, **about)
    return BridgeTraining(
        made.process,
        made.parameterization,
        PriorStart(ReplicatePrior()),
        TimesConfig(),
        WeightConfig(kind="min-snr"),
    )


class Toy(nn.Module):
    """Answers a mix of what it is shown."""

    def __init__(self, prior: float = 0.0, picture: float = 0.0) -> None:
        super().__init__()
        self.prior, self.picture = prior, picture
        self.times: list[Tensor] = []

    def forward(
        self, latents: Tensor, time: Tensor | None, condition: Condition, prior: Any = None
    ) -> Tensor:
        if time is not None:
            self.times.append(time)
        given = latents if prior is None else prior
        return self.prior * given + self.picture * condition.image_latents[:, None]


def test_clips_are_spread_over_the_set_and_none_is_alone(data: LatentDataset) -> None:
    assert HeldOut.choose(data, 3, 8).batches == ((0, 5, 10),)
    assert [len(batch) for batch in HeldOut.choose(data, 64, 4).batches] == [4, 4, 3]
    assert [len(batch) for batch in HeldOut.choose(data, 9, 4).batches] == [3, 3, 3]
    assert [len(batch) for batch in HeldOut.choose(data, 5, 2).batches] == [3, 2]
    assert [len(batch) for batch in HeldOut.choose(data, 5, 1).batches] == [3, 2]
    assert len(HeldOut.choose(data, 1, 4)) == 1
    assert sorted(row for b in HeldOut.choose(data, 64, 4).batches for row in b) == [*range(11)]


def test_buckets_do_not_mix(tmp_path: Path) -> None:
    clips = [Row(f"video {n}", frames=2 + n % 2) for n in range(8)]
    held = HeldOut.choose(write_set(tmp_path / "s", clips, pixel_codec(tmp_path / "c")), 8, 3)
    assert sorted(held.batches) == [(0, 2), (1, 3), (4, 6), (5, 7)]
    assert all(batch.clean.shape[1] in (2, 3) for batch in held.read(0, CPU))


@pytest.mark.parametrize("objective", ["bridge", "diffusion"])
def test_a_score_can_be_had_again(data: LatentDataset, objective: str) -> None:
    task = generation("psi-noise", objective=objective)
    torch.manual_seed(1)
    first = score_generation(task, Toy(0.5, 0.5), HeldOut.choose(data, 5, 4), 3, CPU)
    torch.manual_seed(2)
    assert score_generation(task, Toy(0.5, 0.5), HeldOut.choose(data, 5, 4), 3, CPU) == first


def test_bands_cover_all_times_and_average_to_the_whole(data: LatentDataset) -> None:
    toy = Toy(0.5)
    scores = score_generation(generation(), toy, HeldOut.choose(data, 6, 3), 4, CPU)
    bands = [value for name, value in scores.items() if name.startswith("held_out_")]
    whole = ["held_out", "another_picture", "clean_error", "held_out_0.00_0.25"]
    assert list(scores)[:4] == whole
    assert len(bands) == 4
    assert scores["held_out"] == pytest.approx(sum(bands) / 4)
    t = torch.cat(toy.times).double().reshape(4, -1) / 1000  # a band after the other
    shares = (t - FIRST) / (LAST - FIRST) * 4
    for band, held in enumerate(shares):
        assert band <= float(held.min()) < float(held.max()) <= band + 1
        assert held.unique().numel() == 6
    assert not torch.allclose(shares[0], shares[1] - 1, atol=1e-3)  # other draws in each


def test_bands_divide_the_range_that_is_trained(data: LatentDataset) -> None:
    task = replace(generation(), times=TimesConfig(min=0.2, max=0.8))
    toy = Toy(0.5)
    scores = score_generation(task, toy, HeldOut.choose(data, 6, 3), 2, CPU)
    assert [name for name in scores if "_0" in name] == ["held_out_0.20_0.50", "held_out_0.50_0.80"]
    t = torch.cat(toy.times) / 1000
    assert 0.2 <= float(t.min()) < float(t.max()) <= 0.8


def test_nothing_is_dropped_and_no_weight_of_the_training_enters(data: LatentDataset) -> None:
    held = HeldOut.choose(data, 4, 4)
    batch = next(held.read(0, CPU))
    assert batch.prior_noise is None
    assert torch.equal(batch.condition.prompt_embeds, batch.full_condition.prompt_embeds)
    assert batch.condition.image_latents.flatten(1).any(1).all()
    scores = score_generation(generation(), Toy(), held, 1, CPU)  # the toy answers nothing
    assert scores["held_out"] == pytest.approx(float(batch.clean.square().mean()), rel=1e-5)


@pytest.mark.parametrize("prediction", ["clean", "psi-noise", "preconditioned"])
def test_the_clean_error_is_of_the_video_that_an_output_means(
    data: LatentDataset, prediction: str
) -> None:
    task, held, toy = generation(prediction), HeldOut.choose(data, 6, 3), Toy(0.3, 0.2)
    denoiser = BridgeDenoiser(toy, task.parameterization)
    errors = []
    for band in range(2):
        for batch in held.read(band, CPU):
            t = FIRST + (LAST - FIRST) * (band / 2 + batch.uniform / 2)
            prior = task.start(batch)
            x = task.process.sample(batch.clean, prior, t, batch.noise)
            estimate = denoiser(x, t, prior, batch.condition)
            errors.append((estimate - batch.clean).square().flatten(1).mean(1))
    found = score_generation(task, toy, held, 2, CPU)
    assert found["clean_error"] == pytest.approx(float(torch.cat(errors).mean()), rel=1e-4)
    assert (found["clean_error"] == pytest.approx(found["held_out"])) == (prediction == "clean")


@pytest.mark.parametrize("objective", ["bridge", "diffusion"])
@pytest.mark.parametrize("parts", [1, 2])
def test_an_untrained_widened_base_does_not_look_at_the_picture(
    base: Path, clips: LatentDataset, objective: str, parts: int
) -> None:
    network = load_pretrained(str(base)).transformer
    family_of(network).expand_inputs(network, parts)
    levels = {"kind": "cogvideox", "snr_shift": 1.0}
    task = generation("aligned-v", base=levels, objective=objective)
    held = HeldOut.choose(clips, 4, 4)
    scores = score_generation(task, as_backbone(network), held, 2, CPU)
    assert scores["another_picture"] == scores["held_out"] > 0


@pytest.mark.parametrize("toy", [Toy(prior=1.0), Toy(picture=1.0)], ids=["prior", "picture"])
@pytest.mark.parametrize("objective", ["bridge", "diffusion"])
def test_a_network_that_looks_does_worse_with_another_picture(
    data: LatentDataset, objective: str, toy: Toy
) -> None:
    task, held = generation(objective=objective), HeldOut.choose(data, 4, 4)
    scores = score_generation(task, toy, held, 2, CPU)
    assert scores["another_picture"] > 1.05 * scores["held_out"]


def test_a_clip_alone_in_its_bucket_is_not_compared_with_itself(tmp_path: Path) -> None:
    clips = [*rows(4), Row("alone", frames=2)]
    data = write_set(tmp_path / "set", clips, pixel_codec(tmp_path / "codec"))
    whole, toy = HeldOut.choose(data, 5, 4), Toy(prior=1.0)
    assert sorted(map(len, whole.batches)) == [1, 4]
    without = HeldOut(whole.clips, tuple(rows for rows in whole.batches if len(rows) > 1))
    alone = HeldOut(whole.clips, tuple(rows for rows in whole.batches if len(rows) == 1))
    scores = [score_generation(generation(), toy, held, 2, CPU) for held in (whole, without, alone)]
    priors = [
        score_regression(PriorTraining(RegressionConfig()), toy, held, CPU)
        for held in (whole, without, alone)
    ]
    for every, several, one in (scores, priors):
        assert every["another_picture"] == several["another_picture"]
        assert every["held_out"] != several["held_out"]
        assert "another_picture" not in one


def test_the_gain_over_the_repeated_picture(data: LatentDataset) -> None:
    held, task = HeldOut.choose(data, 4, 4), PriorTraining(RegressionConfig(loss="l1"))
    batch = next(held.read(0, CPU))
    scores = score_regression(task, Toy(prior=0.5), held, CPU)
    mse, still = (
        float((guess - batch.clean).square().mean()) for guess in (batch.still / 2, batch.still)
    )
    assert scores["latent_mse"] == pytest.approx(mse, rel=1e-5)
    assert scores["repeated_mse"] == pytest.approx(still, rel=1e-5)
    assert scores["gain"] == pytest.approx(1 - mse / still, rel=1e-4)
    off = (batch.still / 2 - batch.clean).abs().mean()
    assert scores["held_out"] == pytest.approx(float(off), rel=1e-5)
    assert score_regression(task, Toy(prior=1.0), held, CPU)["gain"] == 0


@pytest.mark.parametrize("toy", [Toy(prior=1.0), Toy(picture=1.0)], ids=["still", "picture"])
def test_a_prior_that_looks_does_worse_with_another_picture(data: LatentDataset, toy: Toy) -> None:
    task, held = PriorTraining(RegressionConfig()), HeldOut.choose(data, 4, 4)
    scores = score_regression(task, toy, held, CPU)
    assert scores["another_picture"] > 1.05 * scores["held_out"]
    blind = score_regression(task, Toy(), held, CPU)
    assert blind["another_picture"] == blind["held_out"]
