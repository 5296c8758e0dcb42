"""Chance in training: a clip's draws are its own, whatever the batch, the processes, the resume."""

from __future__ import annotations

import math
from dataclasses import fields
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fbridge.config.tree import ConditionConfig, PriorConfig
from fbridge.data.latents import LatentDataset
from fbridge.train.batches import (
    Augmentation,
    ClipIndex,
    TrainingBatch,
    TrainingClips,
    collate_training,
    training_loader,
)
from fbridge.train.shares import BatchShare
from fbridge.types import Condition
from tests.train.sets import pixel_codec, rows, write_set

EVERYTHING = Augmentation(text_dropout=0.3, picture_dropout=0.3, noise=0.1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> LatentDataset:
    folder = tmp_path_factory.mktemp("draws")
    return write_set(folder / "set", rows(19, label=2), pixel_codec(folder / "codec"), spreads=True)


def test_no_draw_comes_back(data: LatentDataset) -> None:
    clips = TrainingClips(data, Augmentation(), seed=0)
    drawn = [
        clips[ClipIndex(0, 0, step, place)]["uniform"].item()
        for step in (0, 1, 2, 65_535, 65_536, 65_537, 131_072)
        for place in range(4)
    ]
    assert len(set(drawn)) == len(drawn)


def tensors(batch: TrainingBatch) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for field in fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Condition):
            told = {own.name: getattr(value, own.name) for own in fields(value)}
            found |= {f"{field.name}.{k}": v for k, v in told.items() if isinstance(v, Tensor)}
        elif value is not None:
            found[field.name] = value
    return found


def equal(one: TrainingBatch, other: TrainingBatch) -> bool:
    ours, theirs = tensors(one), tensors(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def read(
    data: LatentDataset,
    number: int,
    batch_size: int,
    augmentation: Augmentation = EVERYTHING,
    share: BatchShare | None = None,
    **where: int,
) -> list[TrainingBatch]:
    share = share or BatchShare(batch_size, batch_size)
    loader = training_loader(TrainingClips(data, augmentation, seed=7), share, **where)
    return list(islice(loader, number))


def test_two_processes_see_what_one_sees(data: LatentDataset) -> None:
    alone = read(data, 6, 8)
    first, second = (read(data, 6, 4, share=BatchShare(8, 4, rank, 2)) for rank in range(2))
    for whole, *halves in zip(alone, first, second, strict=True):
        assert whole.prior_noise is not None
        parts = [tensors(half) for half in halves]
        for name, value in tensors(whole).items():
            for rank, part in enumerate(parts):
                own = value[rank::2]
                if ".prompt_" in name:  # padded to the longest of its own batch
                    own = own[:, : part[name].shape[1]]
                assert torch.equal(own, part[name]), name


@pytest.mark.parametrize(("world", "most"), [(1, 2), (3, 2), (7, 2), (5, 1)])
def test_any_number_of_processes_sees_every_clip_once(
    data: LatentDataset, world: int, most: int
) -> None:
    """Batches of 8 clips; pieces may be unequal, of 5 processes some are empty."""
    alone = read(data, 2, 8)
    shares = [BatchShare(8, most, rank, world) for rank in range(world)]
    parts = shares[0].parts
    everyone = [read(data, 2 * parts, most, share=share) for share in shares]
    for number, whole in enumerate(alone):
        seen = {}
        for share, pieces in zip(shares, everyone, strict=True):
            for part, piece in enumerate(pieces[number * parts : (number + 1) * parts]):
                for place, position in enumerate(share.positions(part)):
                    assert position not in seen
                    seen[position] = (piece.noise[place], piece.uniform[place], piece.rows[place])
        assert sorted(seen) == list(range(8))
        for position, (noise, uniform, row) in seen.items():
            assert torch.equal(noise, whole.noise[position])
            assert uniform == whole.uniform[position]
            assert row == whole.rows[position]


def test_going_on_equals_never_stopping(data: LatentDataset) -> None:
    straight, resumed = read(data, 9, 4), read(data, 4, 4, first=5)
    assert all(map(equal, straight[5:], resumed))
    assert not equal(straight[4], resumed[0])


def test_reading_ahead_changes_nothing(data: LatentDataset) -> None:
    torch.manual_seed(1)
    ahead = read(data, 4, 4, workers=1)
    torch.manual_seed(2)
    assert all(map(equal, ahead, read(data, 4, 4)))


def test_a_clips_draws_do_not_depend_on_its_neighbours(data: LatentDataset) -> None:
    clips = TrainingClips(data, EVERYTHING, seed=7)
    place = ClipIndex(3, 0, 11, 5)
    alone = collate_training([clips[place]])
    among = collate_training(
        [clips[ClipIndex(8, 0, 11, 4)], clips[place], clips[ClipIndex(3, 0, 11, 6)]]
    )
    for name, value in tensors(alone).items():
        other = tensors(among)[name]
        assert torch.equal(value[0], other[1, : value.shape[1]] if "text" in name else other[1])
        if name in ("noise", "uniform", "clean", "prior_noise"):
            assert not torch.equal(other[1], other[2]), f"{name} ignores the place"


@pytest.mark.parametrize(
    "place", [ClipIndex(3, 0, 12, 5), ClipIndex(3, 0, 11, 6)], ids=["micro-step", "place"]
)
def test_other_numbers_are_other_draws(data: LatentDataset, place: ClipIndex) -> None:
    clips = TrainingClips(data, Augmentation(), seed=7)
    one, other = clips[ClipIndex(3, 0, 11, 5)], clips[place]
    assert not torch.equal(one["noise"], other["noise"])
    seeded = TrainingClips(data, Augmentation(), seed=8)[ClipIndex(3, 0, 11, 5)]
    assert not torch.equal(one["noise"], seeded["noise"])


def test_dropout_has_its_shares(data: LatentDataset) -> None:
    clips = TrainingClips(data, Augmentation(text_dropout=0.3, picture_dropout=0.2), seed=7)
    drawn = [clips[ClipIndex(1, 0, number, 0)] for number in range(1500)]
    empty, words = data.empty_text().float(), data[1].text.float()
    wordless = torch.tensor([len(item["text"]) == len(empty) for item in drawn])
    assert len(empty) != len(words)
    blank = torch.tensor([not item["picture"].any() for item in drawn])
    classless = torch.tensor([int(item["label"]) == -1 for item in drawn])
    assert torch.equal(wordless, classless)
    for found, share in ((wordless, 0.3), (blank, 0.2), (wordless & blank, 0.06)):
        spread = math.sqrt(share * (1 - share) / len(drawn))
        assert abs(found.float().mean() - share) < 4 * spread
    for item in drawn[:50]:
        known = empty if len(item["text"]) == len(empty) else words
        assert torch.equal(item["text"], known)


def test_nothing_is_hidden_from_the_prior(data: LatentDataset) -> None:
    batch = read(data, 1, 4, Augmentation(text_dropout=1.0, picture_dropout=1.0, noise=0.5))[0]
    plain = read(data, 1, 4, Augmentation())[0]
    assert not batch.condition.image_latents.any()
    assert batch.condition.class_labels is not None
    assert batch.condition.class_labels.tolist() == [-1] * 4
    assert torch.equal(batch.full_condition.prompt_embeds, plain.condition.prompt_embeds)
    assert torch.equal(batch.full_condition.prompt_mask, plain.condition.prompt_mask)
    assert torch.equal(batch.full_condition.image_latents, plain.condition.image_latents)
    assert batch.full_condition.class_labels is not None
    assert batch.full_condition.class_labels.tolist() == [2] * 4
    assert torch.equal(batch.clean, plain.clean)


def test_latents_are_drawn_from_what_the_codec_told(data: LatentDataset) -> None:
    clips = TrainingClips(data, Augmentation(), seed=7)
    drawn = [clips[ClipIndex(4, 0, number, 0)] for number in range(300)]
    sample = data[4]
    for name, stored in (("clean", "clip"), ("picture", "condition"), ("still", "still")):
        mean = getattr(sample, stored).float()
        values = torch.stack([item[name] for item in drawn]) - mean
        assert values.std() == pytest.approx(math.exp(-1), rel=0.03)  # log-variance is -2
        assert values.mean().abs() < 0.02
    still = drawn[0]["still"]
    assert still.shape == sample.clip.shape
    assert torch.equal(still[0], still[-1])


def test_without_spreads_latents_are_the_stored_ones(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set", rows(3), pixel_codec(tmp_path / "codec"))
    item = TrainingClips(data, Augmentation(), seed=7)[ClipIndex(2, 0, 1, 1)]
    assert torch.equal(item["clean"], data[2].clip.float())
    assert torch.equal(item["picture"], data[2].condition.float())
    assert "prior_noise" not in item


def test_the_size_of_noise_on_the_prior_is_log_normal(data: LatentDataset) -> None:
    clips = TrainingClips(data, Augmentation(noise=0.2, noise_spread=0.5), seed=7)
    sizes = torch.stack(
        [clips[ClipIndex(0, 0, number, 0)]["prior_noise"].std().log() for number in range(400)]
    )
    assert sizes.mean() == pytest.approx(math.log(0.2), abs=0.1)
    assert sizes.std() == pytest.approx(0.5, abs=0.07)


def test_the_picture_is_as_noisy_as_the_prior_but_otherwise(data: LatentDataset) -> None:
    still, noisy = (
        TrainingClips(data, Augmentation(noise=noise), seed=7)[ClipIndex(0, 0, 3, 0)]
        for noise in (0, 0.2)
    )
    added = noisy["picture"] - still["picture"]
    assert added.std() == pytest.approx(float(noisy["prior_noise"].std()), rel=0.2)
    assert not torch.allclose(added, noisy["prior_noise"][0], atol=1e-3)
    assert torch.equal(still["clean"], noisy["clean"])
    assert torch.equal(still["noise"], noisy["noise"])


def test_chances_are_those_of_the_configuration() -> None:
    condition = ConditionConfig(text_dropout=0.1, picture_dropout=0.2)
    prior = PriorConfig(noise=0.3, noise_spread=0.4)
    assert Augmentation.of(condition, prior) == Augmentation(0.1, 0.2, 0.3, 0.4)


def test_noise_and_times_are_standard(data: LatentDataset) -> None:
    batches = read(data, 40, 8, Augmentation())
    noise = torch.cat([batch.noise.flatten() for batch in batches])
    uniform = torch.cat([batch.uniform for batch in batches]).sort().values
    assert noise.mean().abs() < 0.01
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert uniform.dtype == torch.float64
    even = (torch.arange(len(uniform), dtype=torch.float64) + 0.5) / len(uniform)
    assert (uniform - even).abs().max() < 1.63 / math.sqrt(len(uniform))  # Kolmogorov, 1 %
