"""What a model will need, against what it does need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fbridge.backbones.families import as_backbone
from fbridge.errors import CheckpointError
from fbridge.loaders.load import load_pretrained
from fbridge.memory.estimator import Estimator
from fbridge.memory.meter import measure_memory
from fbridge.memory.model_sizes import model_sizes
from fbridge.memory.plans import (
    ClipShape,
    GenerationPlan,
    TrainingPlan,
    cheaper_ways_to_generate,
    cheaper_ways_to_train,
)
from fbridge.train.export.lora import add_lora
from fbridge.types import Condition
from tests.bases import tiny_base
from tests.pipelines import PUBLISHED, publish

every = pytest.mark.parametrize("name", PUBLISHED)


def clip(name: str) -> ClipShape:
    width, height = map(int, PUBLISHED[name].size.split("x"))
    return ClipShape(PUBLISHED[name].frames, width, height)


@every
def test_weights_and_updates_are_counted_right(name: str, tmp_path: Path) -> None:
    folder = publish(name, tmp_path / "base")
    estimator, base = Estimator(model_sizes(str(folder))), load_pretrained(str(folder))
    parts = base.components()
    encoders = [parts[name] for name in ("text_encoder", "text_encoder_2") if name in parts]
    words = sum(p.numel() for encoder in encoders for p in encoder.parameters())
    made = estimator.generate(GenerationPlan(clip(name)))
    assert made.seconds is None
    assert made.parts["VAE"] == 4 * sum(p.numel() for p in base.vae.state_dict().values())
    assert made.parts["text encoder"] == 4 * words
    base.family.expand_inputs(base.transformer, 2)
    numbers = sum(p.numel() for p in base.transformer.parameters())
    assert made.parts["transformer"] == 4 * numbers
    add_lora(base.transformer, rank=3)
    trained = sum(p.numel() for p in base.transformer.parameters() if p.requires_grad)
    told = estimator.train(TrainingPlan(clip(name), rank=3, parts=2)).parts
    assert told["trained weights"] == 20 * trained
    assert told["frozen weights"] == 4 * (numbers - trained + _updates(base.transformer))


def _updates(transformer: torch.nn.Module) -> int:
    return sum(p.numel() for key, p in transformer.named_parameters() if "lora_" in key)


@pytest.mark.parametrize("name", ["wan", "ltx", "cogvideox"])
def test_a_steps_memory_is_that_of_all_its_blocks(name: str, tmp_path: Path) -> None:
    """Two blocks tell what many need: here the model has two, and is counted whole."""
    folder = publish(name, tmp_path / "base")
    base = load_pretrained(str(folder))
    codec: Any = base.codec
    told = Estimator(model_sizes(str(folder))).train(TrainingPlan(clip(name), batch=2, parts=0))
    network = base.transformer.to("meta").train()
    frames = (clip(name).frames - 1) // codec.temporal + 1
    side = 64 // codec.spatial
    x = torch.zeros(2, frames, base.family.latents(network), side, side, device="meta")
    words = torch.zeros(
        2, model_sizes(str(folder)).tokens, base.family.prompt_width(network), device="meta"
    )
    condition = Condition(
        words, torch.ones(words.shape[:2], dtype=torch.bool, device="meta"), x[:, 0]
    )

    def step() -> None:
        as_backbone(network)(x, torch.zeros(2, device="meta"), condition, x).sum().backward()
        network.zero_grad()

    assert told.parts["activations"] == pytest.approx(measure_memory(step).peak, rel=0.03)


def test_switches_need_less_and_less(tmp_path: Path) -> None:
    estimator = Estimator(model_sizes(str(publish("wan", tmp_path / "base"))), speed=1e9)
    wide = ClipShape(9, 512, 512)
    ways = [GenerationPlan(wide, batch=4)]
    ways += [how for _, how in cheaper_ways_to_generate(ways[0], accelerated=True)]
    needs = [estimator.generate(how).memory for how in ways]
    assert needs == sorted(needs, reverse=True)
    assert needs[-1] < needs[0] / 3
    learn = [TrainingPlan(wide, batch=4)]
    learn += [how for _, how in cheaper_ways_to_train(learn[0])]
    needs = [estimator.train(how).memory for how in learn]
    assert needs[:4] == sorted(needs[:4], reverse=True)
    assert needs[-1] < needs[0] / 4
    plain, kept = (estimator.train(TrainingPlan(wide, checkpointing=c)) for c in (False, True))
    assert plain.seconds is not None
    assert kept.seconds == pytest.approx(plain.seconds * 4 / 3)
    names = [name for name, _ in cheaper_ways_to_train(TrainingPlan(wide, rank=2, dora=True))]
    assert names[-1] == "lora.quantize=nf4"
    assert "lora.quantize=float8" not in names
    names = [name for name, _ in cheaper_ways_to_train(learn[0], blocks=2)]
    assert not any("offload" in name for name in names)
    names = [name for name, _ in cheaper_ways_to_generate(ways[0], accelerated=False)]
    assert not any("offload" in name for name in names)


def test_what_is_in_the_hosts_memory_is_not_on_the_device(tmp_path: Path) -> None:
    """Wan of forty blocks: all but two are away, as are the inputs of all but two."""
    folder = publish("wan", tmp_path / "base")
    sizes = model_sizes(str(folder))
    deep = sizes._replace(network={**sizes.network, "num_layers": 40})
    estimator = Estimator(deep)
    plan = TrainingPlan(ClipShape(9, 64, 64), rank=3, checkpointing=True)
    usual = estimator.train(plan).parts
    for count, left in ((40, 2), (20, 22), (1, 40)):
        parts = estimator.train(replace(plan, offloaded_blocks=count)).parts
        assert parts["activations"] == usual["activations"]
        one = (usual["frozen weights"] - _without_blocks(estimator, plan)) / 40
        gone = usual["frozen weights"] - parts["frozen weights"]
        assert gone == pytest.approx((40 - left) * one, rel=0.05)
    away = estimator.train(replace(plan, offloaded_activations=True)).parts
    tokens, width = 3 * 4 * 4, deep.network["num_attention_heads"] * 12
    assert usual["activations"] - away["activations"] == 38 * 4 * tokens * width


def _without_blocks(estimator: Estimator, plan: TrainingPlan) -> float:
    """Bytes of frozen weights outside of the blocks, from networks of one and two."""
    found = []
    for layers in (1, 2):
        sizes = estimator.model._replace(network={**estimator.model.network, "num_layers": layers})
        found.append(Estimator(sizes).train(plan).parts["frozen weights"])
    return 2 * found[0] - found[1]


def test_a_block_is_tried(tmp_path: Path) -> None:
    estimator = Estimator(model_sizes(str(tiny_base(tmp_path / "base.safetensors"))))
    assert estimator.usual_clip() == ClipShape(8, 64, 64)
    assert estimator.probe(ClipShape(8, 64, 64), "cpu") > 1e6
    with pytest.raises(CheckpointError, match="lacks transformer/config"):
        model_sizes(str(_alone(tmp_path)))


def _alone(folder: Path) -> Path:
    from tests.bases import weights_alone

    (folder / "far").mkdir()
    return weights_alone(folder / "far/bare.safetensors")


def test_u_nets_need_less_where_they_compute_twice(tmp_path: Path) -> None:
    """Their blocks are not counted: a whole step is looked at."""
    estimator = Estimator(model_sizes(str(publish("animatediff", tmp_path / "base"))))
    told = [
        estimator.train(TrainingPlan(clip("animatediff"), checkpointing=twice)).parts["activations"]
        for twice in (False, True)
    ]
    assert told[1] < 0.9 * told[0]
