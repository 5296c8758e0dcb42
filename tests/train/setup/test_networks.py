"""From a configuration to what is trained: schedulers, networks, priors, and errors by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors import safe_open
from safetensors.torch import save_file

from fbridge.backbones.families import FAMILIES, family_of
from fbridge.backbones.scratch import build_scratch
from fbridge.codecs import Codec
from fbridge.codecs.vae import VAECodec
from fbridge.config.tree import BridgeConfig, Config, SamplingConfig
from fbridge.data.latents import LatentDataset
from fbridge.data.latents.shape import Shape
from fbridge.errors import CheckpointError, ConfigError, DataError
from fbridge.files.model_forms import AdapterForm
from fbridge.loaders.codec import load_codec
from fbridge.loaders.load import PretrainedModel, load_pretrained
from fbridge.loaders.prior import MotionPrior
from fbridge.prior import MixPrior, NeuralPrior, ReplicatePrior
from fbridge.process import BridgeProcess, DiffusionProcess
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.export.model_folder import assemble, save_model
from fbridge.train.losses import BridgeTraining, PriorTraining
from fbridge.train.setup.dataset import measure
from fbridge.train.setup.networks import (
    BuiltNetwork,
    build_generator,
    build_prior_network,
    build_scheduler,
    prior_folder,
)
from fbridge.train.validation.scores import HeldOut
from tests.bases import tiny_base
from tests.train.sets import short_run

NOISE = {"kind": "cogvideox", "snr_shift": 1.0}
PRETRAINED = PretrainedModel(
    "b", "", FAMILIES["CogVideoXTransformer3DModel"], noise_schedule=NOISE, prediction="v"
)
SCRATCH = PretrainedModel(
    "s", "", FAMILIES["SpaceTimeTransformer"], preset="tiny", prediction="clean"
)
BRIDGE = replace(
    PRETRAINED,
    prediction="aligned-v",
    scheduler=FrameBridgeScheduler(
        schedule={"kind": "brownian"}, prediction="aligned-v", base=NOISE, steps=7, sampler="dbim"
    ),
)


@pytest.fixture(scope="module")
def codec(base: Path) -> Codec:
    return load_codec(str(base), device="cpu").codec


@pytest.fixture(scope="module")
def shape(clips: LatentDataset, base: Path) -> Shape:
    return measure(clips, load_codec(str(base), device="cpu"))


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory, shape: Shape) -> Path:
    """The folder of a finished run of train-prior."""
    run = tmp_path_factory.mktemp("prior-run")
    network = build_prior_network(Config(), shape).transformer
    torch.nn.init.normal_(network.head.weight, std=0.1)
    network.save_pretrained(run / "prior")
    return run


@pytest.mark.parametrize(
    ("base", "config", "expected"),
    [
        (PRETRAINED, {}, {"prediction": "aligned-v", "base": NOISE, "schedule": None}),
        (replace(PRETRAINED, noise_schedule={"kind": "flow"}, prediction="flow"), {},
         {"prediction": "aligned-flow", "base": {"kind": "flow"}}),
        (replace(PRETRAINED, prediction="noise"), {}, {"prediction": "aligned-noise"}),
        (PRETRAINED, {"align": False}, {"prediction": "psi-noise", "base": None}),
        (PRETRAINED, {"align": False, "prediction": "clean"}, {"prediction": "clean"}),
        (PRETRAINED, {"prediction": "clean"}, {"prediction": "clean"}),
        (PRETRAINED, {"schedule": {"kind": "brownian"}},
         {"schedule": {"kind": "brownian"}, "prediction": "aligned-v"}),
        (SCRATCH, {}, {"prediction": "psi-noise", "base": None}),
        (SCRATCH, {"prediction": "preconditioned"}, {"prediction": "preconditioned"}),
        (BRIDGE, {}, {"schedule": {"kind": "brownian"}, "prediction": "aligned-v", "steps": 7,
                      "sampler": "dbim", "base": NOISE}),
        (BRIDGE, {"schedule": {"kind": "gmax"}}, {"schedule": {"kind": "gmax"}, "steps": 7}),
        (BRIDGE, {"objective": "diffusion"}, {"schedule": None, "prediction": "aligned-v"}),
        (PRETRAINED, {"objective": "diffusion"}, {"prediction": "aligned-v", "schedule": None}),
    ],
)  # fmt: skip
def test_the_scheduler_of_every_case(
    base: PretrainedModel, config: dict[str, Any], expected: dict[str, Any]
) -> None:
    made = build_scheduler(BridgeConfig.model_validate(config), base)
    assert {name: made.config[name] for name in expected} == expected
    objective = config.get("objective", "bridge")
    assert made.config.objective == objective
    kind = DiffusionProcess if objective == "diffusion" else BridgeProcess
    assert isinstance(made.process, kind)


def test_the_result_is_sampled_as_configured() -> None:
    """What is not configured is the base's, if it is a bridge."""
    given = SamplingConfig(sampler="dbim2", guidance_scale=2.5)
    assert given.given() == {"sampler": "dbim2", "guidance_scale": 2.5}
    for base, steps in ((PRETRAINED, 50), (BRIDGE, 7)):
        made = build_scheduler(BridgeConfig(), base, sampling=given).config
        assert (made.sampler, made.guidance_scale, made.steps) == ("dbim2", 2.5, steps)
    made = build_scheduler(BridgeConfig(), BRIDGE, sampling=SamplingConfig()).config
    assert (made.sampler, made.steps) == ("dbim", 7)


def test_a_shift_of_the_times_is_kept_where_there_is_one() -> None:
    made = build_scheduler(BridgeConfig(), BRIDGE, sampling=SamplingConfig(time_shift=3.0))
    assert made.config.time_shift == 3
    assert json.loads(made.to_json_string())["time_shift"] == 3
    usual = build_scheduler(BridgeConfig(), BRIDGE, sampling=SamplingConfig())
    assert "time_shift" not in json.loads(usual.to_json_string())  # earlier versions read it


@pytest.mark.parametrize(
    ("base", "config"),
    [
        (SCRATCH, {"prediction": "aligned-v"}),
        (PRETRAINED, {"align": False, "prediction": "aligned-flow"}),
    ],
)
def test_alignment_needs_noise_levels(base: PretrainedModel, config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"bridge.prediction 'aligned-\w+' needs a pretrained"):
        build_scheduler(BridgeConfig.model_validate(config), base)


def generator(
    clips: LatentDataset, name: str | Path, codec: Codec, shape: Shape, **sections: Any
) -> BuiltNetwork:
    return build_generator(short_run(clips.folder, name, **sections), shape, codec)


def answer(model: BuiltNetwork, clips: LatentDataset) -> tuple[torch.Tensor, torch.Tensor]:
    """The start and the loss of a batch."""
    assert isinstance(model.task, BridgeTraining)
    batch = HeldOut.choose(clips, 3, 3).batch((0, 4, 8), 0, torch.device("cpu"))
    return model.task.start(batch), model.task(model.backbone, batch)


@pytest.mark.parametrize("kind", ["repeat", "neural", "motion", "mix", "mix of motion"])
def test_every_prior(
    base: Path, clips: LatentDataset, codec: Codec, shape: Shape, prior: Path, kind: str
) -> None:
    wanted: dict[str, Any] = {"kind": kind.split()[0], "mix": 0.25}
    if kind in ("neural", "mix"):
        wanted["path"] = str(prior)
    model = generator(clips, base, codec, shape, prior=wanted)
    assert isinstance(model.task, BridgeTraining)
    own = model.task.start.prior
    classes = {"repeat": ReplicatePrior, "neural": NeuralPrior, "motion": MotionPrior}
    assert isinstance(own, classes.get(kind, MixPrior))
    if isinstance(own, MixPrior):
        assert isinstance(own.guess, NeuralPrior if kind == "mix" else MotionPrior)
        assert own.share == 0.25
    assert (model.task.start.codec is codec) == (kind in ("motion", "mix of motion"))
    assert (model.prior is not None) == (kind in ("neural", "mix"))
    assert model.about["start_from"] == {"kind": kind.split()[0], "mix": 0.25}
    assert family_of(model.transformer).extra_inputs(model.transformer) == (
        1 if kind == "repeat" else 2
    )
    if model.prior is not None:
        assert not model.prior.training
        assert not any(p.requires_grad for p in model.prior.parameters())
        owned = {id(p) for p in model.backbone.parameters()}
        assert not owned & {id(p) for p in model.prior.parameters()}
    start, loss = answer(model, clips)
    still = torch.stack([clips[row].still.float() for row in (0, 4, 8)]).expand_as(start)
    assert torch.equal(start, still) == (kind == "repeat")
    assert start.shape == (3, 3, 4, 8, 8)
    assert bool(torch.isfinite(start).all() & torch.isfinite(loss).all())


def test_a_bridge_brings_its_own_prior(
    base: Path, clips: LatentDataset, codec: Codec, shape: Shape, prior: Path, tmp_path: Path
) -> None:
    first = generator(clips, base, codec, shape, prior={"path": str(prior)})
    assert first.about["start_from"]["kind"] == "neural"  # auto, with a path
    assert first.base is not None
    assert first.scheduler is not None
    pipeline = assemble(
        first.base,
        first.transformer,
        scheduler=first.scheduler,
        prior=first.prior,
        facts=first.about,
    )
    save_model(pipeline, tmp_path / "bridge")
    again = generator(clips, tmp_path / "bridge", codec, shape)
    assert again.about["start_from"] == first.about["start_from"]
    assert again.prior is not None
    assert not any(p.requires_grad for p in again.prior.parameters())
    assert torch.equal(answer(again, clips)[0], answer(first, clips)[0])
    plain = generator(clips, tmp_path / "bridge", codec, shape, prior={"kind": "repeat"})
    assert plain.prior is None


def test_a_run_keeps_the_world_that_its_base_knows(
    clips: LatentDataset, codec: Codec, shape: Shape, tmp_path: Path
) -> None:
    named = tiny_base(tmp_path / "named.safetensors", world="drawn shapes")
    assert generator(clips, named, codec, shape).about["world"] == "drawn shapes"
    model = generator(clips, "scratch:tiny", codec, shape)
    assert "world" not in model.about
    AdapterForm.model_validate(
        {"base": "x", "base_sha256": "", "parts": 1, "scheduler": {}, "pipeline": model.about}
    )


def test_a_mix_is_part_of_the_way(
    base: Path, clips: LatentDataset, codec: Codec, shape: Shape, prior: Path
) -> None:
    guess, part = (
        generator(clips, base, codec, shape, prior={"kind": kind, "mix": 0.25, "path": str(prior)})
        for kind in ("neural", "mix")
    )
    (whole, _), (mixed, _) = answer(guess, clips), answer(part, clips)
    still = torch.stack([clips[row].still.float() for row in (0, 4, 8)])
    torch.testing.assert_close(mixed, still + 0.25 * (whole - still))


def test_a_base_begins_as_it_is(
    base: Path, clips: LatentDataset, codec: Codec, shape: Shape
) -> None:
    model = generator(clips, base, codec, shape)
    bare = load_pretrained(str(base)).transformer
    assert isinstance(model.task, BridgeTraining)
    batch = HeldOut.choose(clips, 3, 3).batch((0, 4, 8), 0, torch.device("cpu"))
    latents, time = batch.noise, torch.full((3,), 500.0)
    with torch.no_grad():
        ours = model.backbone(latents, time, batch.condition, batch.still)
        theirs = family_of(bare).adapt(bare)(latents, time, batch.condition, batch.still)
    assert torch.equal(ours, theirs)
    assert model.about["fps"] == 8.0
    assert model.about["frames"] == [8, 2, 16, 1]
    assert model.about["sizes"] == [[64, 64]]
    assert all(p.requires_grad for p in model.backbone.parameters())


@pytest.mark.parametrize("condition", ["text", "class"])
def test_from_scratch(classed: LatentDataset, base: Path, codec: Codec, condition: str) -> None:
    shape = measure(classed, load_codec(str(base), device="cpu"))
    own = {"condition": condition}
    model, again, other = (
        generator(classed, "scratch:tiny", codec, shape, model=own, train={"seed": seed})
        for seed in (4, 4, 5)
    )
    numbers = model.transformer.config
    assert (numbers["channels"], numbers["height"], numbers["width"]) == (4, 8, 8)
    assert numbers["text_width"] == (384 if condition == "text" else 0)
    assert numbers["classes"] == (0 if condition == "text" else 3)
    names = None if condition == "text" else ["class 0", "class 1", "class 2"]
    assert model.about["classes"] == names
    assert model.about["frames"] == [3, 2, 12, 1]
    weights = [m.transformer.blocks[0].space.query.weight for m in (model, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    batch = HeldOut.choose(classed, 3, 3).batch((0, 1, 2), 0, torch.device("cpu"))
    assert isinstance(model.task, BridgeTraining)
    assert torch.isfinite(model.task(model.backbone, batch)).all()


def test_the_priors_network_has_no_time(shape: Shape, clips: LatentDataset) -> None:
    config = short_run(clips.folder, None, regression={"loss": "l1"}, train={"seed": 3})
    model = build_prior_network(config, shape)
    assert isinstance(model.task, PriorTraining)
    assert model.task.config.loss == "l1"
    assert (model.scheduler, model.prior, model.base) == (None, None, None)
    batch = HeldOut.choose(clips, 3, 3).batch((0, 4, 8), 0, torch.device("cpu"))
    guess = model.backbone(batch.still, None, batch.condition)
    assert torch.equal(guess, batch.still)  # it begins as the repeated picture


def test_lora_keeps_the_base_in_the_precision_of_the_arithmetic(
    base: Path, clips: LatentDataset, codec: Codec, shape: Shape
) -> None:
    for precision, kept in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        model = generator(
            clips, base, codec, shape, lora={"rank": 2}, train={"precision": precision}
        )
        kinds = {(p.requires_grad, p.dtype) for p in model.transformer.parameters()}
        assert kinds == {(True, torch.float32), (False, kept)}


def test_the_seed_alone_decides_where_lora_begins(
    base: Path, clips: LatentDataset, codec: Codec, shape: Shape
) -> None:
    def begin(drawn: int, seed: int) -> list[torch.Tensor]:
        torch.rand(drawn)  # whatever was drawn before, such as by loading another model
        model = generator(clips, base, codec, shape, lora={"rank": 2}, train={"seed": seed})
        return [p.detach() for n, p in model.transformer.named_parameters() if "lora_A" in n]

    one, again, other = begin(0, 3), begin(7, 3), begin(0, 4)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_checkpointing_is_switched_on(
    base: Path, clips: LatentDataset, codec: Codec, shape: Shape
) -> None:
    for wanted in (False, True):
        own = {"gradient_checkpointing": wanted}
        model = generator(clips, base, codec, shape, train=own)
        assert model.transformer.is_gradient_checkpointing == wanted


def test_a_priors_folder_is_found_in_its_run(prior: Path, clips: LatentDataset) -> None:
    def of(**own: Any) -> Path | None:
        return prior_folder(short_run(clips.folder, None, prior=own))

    assert of(kind="neural", path=str(prior)) == prior / "prior"
    assert of(kind="mix", path=str(prior / "prior")) == prior / "prior"
    assert of(kind="repeat", path=str(prior)) is None
    assert of(kind="mix") is None


def test_a_base_whose_weights_are_no_numbers_is_refused_before_the_work(
    base: Path, clips: LatentDataset, codec: Codec, shape: Shape, tmp_path: Path
) -> None:
    with safe_open(base, "pt") as file:
        facts, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    broken = next(name for name in tensors if name.startswith("transformer."))
    tensors[broken].view(-1)[-1] = torch.inf
    save_file(tensors, tmp_path / "broken.safetensors", facts)
    told = rf"base .*broken.*: weights hold NaN or infinity \({broken[12:]}\); the file is damaged"
    with pytest.raises(CheckpointError, match=told):
        generator(clips, tmp_path / "broken.safetensors", codec, shape)


def test_mistakes_have_names(
    base: Path, clips: LatentDataset, codec: Codec, shape: Shape, prior: Path, tmp_path: Path
) -> None:
    def refused(kind: type[Exception], told: str, name: Any = base, **sections: Any) -> None:
        own = sections.pop("shape", shape)
        with pytest.raises(kind, match=told):
            generator(clips, name, sections.pop("codec", codec), own, **sections)

    torch.manual_seed(9)
    other = VAECodec(AutoencoderTiny(latent_channels=4))
    refused(CheckpointError, "its codec is another one than the data set's", codec=other)
    refused(CheckpointError, "its latents have 4 channels, the data set's 5",
            shape=replace(shape, channels=5))  # fmt: skip
    refused(CheckpointError, "its words have 384 features, the data set's 512",
            shape=replace(shape, text_width=512))  # fmt: skip
    refused(ConfigError, 'model.condition is "class", but base .* is conditioned on captions',
            model={"condition": "class"}, shape=replace(shape, classes=("a",)))  # fmt: skip
    refused(DataError, 'model.condition is "class", but the data set has no labels',
            "scratch:tiny", model={"condition": "class"})  # fmt: skip
    refused(DataError, "needs one grid", "scratch:tiny", shape=replace(shape, condition_width=16))
    neural = {"kind": "neural", "path": str(tmp_path)}
    refused(CheckpointError, "fbridge train-prior makes one", prior=neural)
    (tmp_path / "checkpoint-2").mkdir()
    refused(CheckpointError, "let that run end first", prior=neural)
    refused(CheckpointError, "is no prior for latents of 5 channels", "scratch:tiny",
            prior={**neural, "path": str(prior)}, shape=replace(shape, channels=5))  # fmt: skip
    timed = build_scratch("tiny", channels=4, height=8, width=8, condition_channels=4)
    timed.save_pretrained(tmp_path / "prior")
    refused(CheckpointError, "is no prior for latents", prior=neural)
    (tmp_path / "prior/config.json").write_text("{")
    refused(CheckpointError, "does not load", prior=neural)
