"""A run, set up: from a configuration to all that the loop needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from fbridge.backbones.families import family_of
from fbridge.codecs import Codec
from fbridge.config.tree import Config, TrainConfig
from fbridge.data.stores.url import StoreUrl
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.hashing import hash_model
from fbridge.loaders.codec import LoadedCodec, load_codec
from fbridge.loaders.load import PretrainedModel
from fbridge.memory.offload_blocks import offload_blocks
from fbridge.train.batches import Augmentation, TrainingClips, training_loader
from fbridge.train.checkpoints.reading import Checkpoint
from fbridge.train.checkpoints.state import trained
from fbridge.train.distillation import DistillTraining
from fbridge.train.ema.averages import build_average
from fbridge.train.losses import BridgeTraining
from fbridge.train.optimizer import build_optimizer, hasten
from fbridge.train.place import RunPlace
from fbridge.train.request import Command
from fbridge.train.setup.accelerate import (
    adapt_launch,
    check_share,
    check_world,
    has_accelerator,
    launched_world,
    shard_blocks,
)
from fbridge.train.setup.base import load_base
from fbridge.train.setup.dataset import TrainingData, check_words, measure, open_data
from fbridge.train.setup.networks import (
    BuiltNetwork,
    build_generator,
    build_prior_network,
    prior_folder,
    teacher_times,
)
from fbridge.train.shares import BATCH, BatchShare, share_batches
from fbridge.train.trackers import check_trackers
from fbridge.train.training import Training, Validate
from fbridge.train.validation.scores import HeldOut
from fbridge.train.validation.validate import validate
from fbridge.train.validation.videos import ValidationVideos
from fbridge.train.wordless import without_words

_FREE = {
    "recipe", "output", "train.checkpoint_every", "train.keep", "train.workers", "train.spike",
    "train.compile", "train.attention", "train.gradient_checkpointing",
    "train.offload_activations", "lora.offload_blocks", "validation.every",
    "validation.rows", "validation.clips", "validation.steps", "validation.bands", "log",
    "sampling", "ema.length", "data", "train.steps", "base", "components", "download", "prior.path",
    "lora.base", "cache_size",
}  # fmt: skip
"""Keys that may change when a run resumes; of data, base, LoRAs and prior the content counts."""


@dataclass(frozen=True)
class Session:
    """A run that can begin.

    Attributes:
        command: which of the two.
        config: resolved.
        run: its folder.
        material: the data.
        model: the network and what stays fixed.
        training: what the loop works on.
        file: the configuration's file, if any.
        store: where the run goes, if it is behind a URL.
    """

    command: Command
    config: Config
    run: Path
    material: TrainingData
    model: BuiltNetwork
    training: Training
    file: Path | None = None
    store: StoreUrl | None = None

    @property
    def place(self) -> RunPlace:
        """Where the run is."""
        return RunPlace(self.run, self.store)

    @property
    def first(self) -> bool:
        """Whether this is the main process, which writes files and prints."""
        return bool(self.training.accelerator.is_main_process)


def build_session(
    command: Command,
    config: Config,
    run: Path,
    *,
    device: str,
    file: Path | None = None,
    resume: Checkpoint | None = None,
    store: StoreUrl | None = None,
) -> Session:
    """Set up a run; nothing is written.

    Args:
        command: "train-prior" or "finetune".
        config: with base and data filled in.
        run: the run's folder.
        device: "auto", "cuda" or "cpu"; "auto" takes an accelerator if there is one.
        file: the configuration's file, if any.
        resume: the checkpoint that the run will go on from; its batches stay, whatever the number
            of processes.
        store: where the run goes, if it is behind a URL.

    Raises:
        FBridgeError: a part is missing or does not fit.
    """
    facts = None if resume is None else resume.facts
    # Before they connect: a process that is late would wait for those that have ended already.
    share_batches(config.train.batch_size, 0, launched_world(), facts)
    accelerator = _accelerator(config, run, device)
    share = share_batches(
        config.train.batch_size, accelerator.process_index, accelerator.num_processes, facts
    )
    check_share(accelerator, share)
    dataset, parts = open_data(config)
    base = load_base(config) if command == "finetune" else None
    codec = _codec(dataset.index["codec"], base, download=bool(config.download))
    material = TrainingData(dataset, parts, codec, measure(dataset, codec))
    if base is None:
        model = build_prior_network(config, material.shape)
    else:
        model = build_generator(config, material.shape, codec.codec, base)
        if config.model.condition == "text":
            check_words(base, dataset)
    training = _training(command, config, run, material, model, accelerator, share)
    return Session(command, config, run, material, model, training, file, store)


def identity(
    command: Command,
    config: Config,
    material: TrainingData,
    base: PretrainedModel | None,
    *,
    clips: int,
    image_input: str = "bridge",
) -> dict[str, Any]:
    """What two parts of one run must have in common; batches are of `clips`, of all processes.

    How the network gets the picture is kept as it was chosen, `image_input`, and where it is not
    kept, as in runs of older versions, it was "bridge".
    """
    flat = flatten(config)
    kept = {
        name: value
        for name, value in flat.items()
        if name not in _FREE and name.split(".")[0] not in _FREE
        if config.bridge.objective == "distill" or not name.startswith("distill.")
    }
    kept.pop("condition.image_input", None)
    if config.train.new_input_lr_factor == 1:  # older versions had no other
        kept.pop("train.new_input_lr_factor")
    if image_input != "bridge":
        kept["condition.image_input"] = image_input
    kept[BATCH] = clips
    if config.train.lr_schedule == "cosine":
        kept["train.steps"] = config.train.steps
    prior = prior_folder(config) if command == "finetune" else None
    return {
        "command": command,
        "data": material.dataset.hash,
        "base": "" if base is None else base.hash,
        "prior": "" if prior is None else hash_model(prior),
        **({} if base is None or not base.loras else {"loras of the base": _content(base)}),
        **kept,
    }


def _content(base: PretrainedModel) -> list[list[Any]]:
    """Of its LoRAs: sha256 and weight."""
    return [[lora.record.sha256, lora.record.weight] for lora in base.loras]


def _workers(config: Config, accelerator: Accelerator) -> int:
    """Reading processes, where the configuration does not say."""
    if config.train.workers is not None:
        return config.train.workers
    return 0 if accelerator.device.type == "cpu" else 2


def flatten(config: Config) -> dict[str, Any]:
    """Dotted keys and JSON values of a configuration."""
    found: dict[str, Any] = {}
    for name, value in config.model_dump(mode="json").items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            found[name] = value
    return found


def _accelerator(config: Config, run: Path, device: str) -> Accelerator:
    precision = {"fp32": "no"}.get(config.train.precision, config.train.precision)
    try:
        accelerator = Accelerator(
            mixed_precision=precision,
            cpu=device == "cpu" or (device == "auto" and not has_accelerator()),
            log_with=check_trackers(config.log.trackers) or None,
            project_dir=run / "tracker",
            step_scheduler_with_optimizer=False,
        )
    except ValueError as error:
        raise ConfigError(f"train.precision {config.train.precision}: {error}") from error
    check_world(accelerator)
    adapt_launch(accelerator, config.train)
    return accelerator


def _training(
    command: Command,
    config: Config,
    run: Path,
    material: TrainingData,
    model: BuiltNetwork,
    accelerator: Accelerator,
    share: BatchShare,
) -> Training:
    _place(model, material.codec, accelerator)
    network = model.backbone.train()
    blocks = family_of(model.transformer).blocks(model.transformer)
    shard_blocks(accelerator, blocks)
    if config.train.compile:
        for block in blocks:
            block.forward = torch.compile(block.forward)  # not what offloading does around it
    offloaded = model.base is not None and config.lora.offload_blocks > 0
    if offloaded:
        _offload_blocks(model, config, accelerator)
    optimizer = build_optimizer((p for p in network.parameters() if p.requires_grad), config.train)
    _hasten_new_inputs(optimizer, model, config.train)
    network, optimizer = accelerator.prepare(
        network, optimizer, device_placement=[False, True] if offloaded else None
    )
    chances = Augmentation.of(config.condition, config.prior)
    clips = TrainingClips(material.parts.training, chances, seed=config.train.seed)
    if model.teacher is not None:
        model = replace(model, task=_distillation(model, clips, material.codec.codec))
    average = build_average(config.ema, trained(network), optimizer)
    training = Training(
        network=network,
        optimizer=optimizer,
        average=average,
        task=model.task,
        loader=lambda first: training_loader(
            clips,
            share,
            first=first,
            workers=_workers(config, accelerator),
        ),
        share=share,
        config=config.train,
        run=run,
        accelerator=accelerator,
        keys=material.keys,
        report_every=config.log.every,
        validate_every=config.validation.every,
        identity=identity(
            command,
            config,
            material,
            model.base,
            clips=share.clips,
            image_input="bridge" if model.scheduler is None else model.scheduler.config.image_input,
        ),
    )
    training.validate = _validation(config, run, material, model, training)
    return training


def _distillation(model: BuiltNetwork, clips: TrainingClips, codec: Codec) -> DistillTraining:
    """The task of a student, who learns on these clips."""
    base, scheduler = model.base, model.scheduler
    assert base is not None, "a student has a teacher"
    assert base.scheduler is not None, "a teacher is a bridge"
    assert scheduler is not None, "a student is a bridge"
    assert isinstance(model.task, BridgeTraining)
    assert model.teacher is not None
    return DistillTraining(
        model.task,
        model.teacher,
        scheduler.config.distilled["guidance_scale"],
        teacher_times(scheduler),
        partial(without_words, clips=clips, codec=codec),
        codec.first_frame_alone,
        base.scheduler.config,
    )


def _hasten_new_inputs(optimizer: Any, model: BuiltNetwork, config: TrainConfig) -> None:
    factor, first = config.new_input_lr_factor, model.old_inputs
    if factor == 1 or first is None:
        return
    if config.optimizer == "schedule-free":
        raise ConfigError(
            f"train.new_input_lr_factor {factor:g}: is not possible with train.optimizer "
            f'"{config.optimizer}", whose state follows from the weights; set it to 1'
        )
    weight = model.transformer.get_submodule(family_of(model.transformer).input_layer).weight
    hasten(optimizer, weight, first, factor)


def _validation(
    config: Config, run: Path, material: TrainingData, model: BuiltNetwork, training: Training
) -> Validate | None:
    if not len(material.parts.held_out) or not config.validation.rows:
        return None
    held_out = HeldOut.choose(
        material.parts.held_out, config.validation.rows, config.train.batch_size
    )
    fps = model.about.get("fps", material.shape.fps)
    gallery = ValidationVideos(held_out, config.validation.clips, material.codec.codec, fps)
    folder = run / "validation" if training.accelerator.is_main_process else None
    return lambda step, pause: validate(
        step, training, model, gallery, config.validation, folder, pause
    )


def _offload_blocks(model: BuiltNetwork, config: Config, accelerator: Accelerator) -> None:
    """Move the network to the device, but for the frozen weights of some blocks.

    Raises:
        ConfigError: activations are kept, and with them the copies; or there are more processes.
    """
    key = f"lora.offload_blocks {config.lora.offload_blocks}"
    if not config.train.gradient_checkpointing:
        raise ConfigError(f"{key} needs train.gradient_checkpointing=true; add it")
    if accelerator.num_processes > 1:
        raise ConfigError(
            f"{key} is for one process; leave it out, or shard the network over the processes with "
            "FSDP2, as examples/accelerate/fsdp2.yaml does"
        )
    offload_blocks(model.transformer, config.lora.offload_blocks, accelerator.device)


def _place(model: BuiltNetwork, codec: LoadedCodec, accelerator: Accelerator) -> None:
    """All that is not trained goes where the network goes."""
    network = getattr(codec.codec, "vae", codec.codec)
    for part in (model.prior, network, model.teacher):
        if isinstance(part, nn.Module):
            part.to(accelerator.device)


def _codec(record: dict[str, str], base: PretrainedModel | None, *, download: bool) -> LoadedCodec:
    """The data set's codec: the base's own where that is the same, else loaded by its name.

    Args:
        record: of the data set's index.
        base: which may have the codec.
        download: fetch it from the hub; else it must be in the local cache, since a data set may be
            anybody's.

    Raises:
        CheckpointError: it is no longer the one that the data set was prepared with.
    """
    if base is not None and base.codec_hash == record["hash"]:
        assert base.codec is not None, "it has a hash"
        assert base.codec_path is not None, "it has a hash"
        kind = type(base.codec if base.vae is None else base.vae).__name__
        return LoadedCodec(base.codec, record["name"], kind, base.codec_path)
    codec = load_codec(record["name"], device="cpu", local_files_only=not download)
    if record["hash"] != codec.hash and record.get("fingerprint") != codec.fingerprint:
        raise CheckpointError(
            f"codec {codec.name}: is not the one that the data set was prepared with; put the "
            "right one in its place, or prepare the data set again"
        )
    return codec
