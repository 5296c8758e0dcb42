"""From a checkpoint of a run to a model: always by way of the files, whatever trained them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fbridge.config.read import load_config
from fbridge.config.tree import Config
from fbridge.data.latents.shape import Shape
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.atomic import shown
from fbridge.loaders.codec import LoadedCodec, load_codec
from fbridge.loaders.lora import AdapterCard, merge_lora
from fbridge.train.build.networks import BuiltNetwork, build_generator, build_prior_network
from fbridge.train.checkpoints.checkpoint import Checkpoint, checkpoints, newest, open_group
from fbridge.train.checkpoints.state import copy_weights, trained
from fbridge.train.ema.snapshots import reconstruct
from fbridge.train.export.export import assemble, save_model
from fbridge.train.export.lora import save_lora
from fbridge.train.export.model_folder import replacing_model
from fbridge.train.run_files import CONFIG, read_facts

if TYPE_CHECKING:
    from fbridge.train.build.session import Session

KINDS = ("merged", "lora", "prior")


def finished_kind(command: str, config: Config) -> str:
    """Where in a run's folder its result lies."""
    if command == "train-prior":
        return "prior"
    return "lora" if config.lora.rank else "model"


def find_checkpoint(run: Path, step: int | None) -> Checkpoint:
    """A run's checkpoint of a step, else its newest.

    Raises:
        CheckpointError: there is none.
    """
    whole = checkpoints(run)
    chosen = newest(run) if step is None else next((c for c in whole if c.step == step), None)
    if chosen is None:
        read_facts(run)
        there = ", ".join(str(c.step) for c in whole) or "none"
        wanted = "no checkpoint" if step is None else f"no checkpoint of step {step}"
        raise CheckpointError(f"{shown(run)}: has {wanted}; there are: {there}")
    return chosen


def export_run(
    run: Path,
    folder: Path,
    *,
    kind: str | None = None,
    step: int | None = None,
    length: float | None = None,
    dtype: torch.dtype | None = None,
) -> int:
    """Write what a run has learnt as a model; returns the step that it is of.

    Args:
        run: of `fbridge finetune` or `train-prior`.
        folder: to write.
        kind: "merged" is a whole pipeline, "lora" an adapter with what belongs to it, "prior" a
            network; None is what the run itself writes at its end.
        step: of the checkpoint; None is the newest.
        length: of the average, of a run with ema.kind "post-hoc".
        dtype: of the stored weights; None is float32.

    Raises:
        CheckpointError: the run has no such checkpoint, or its base has changed.
        ConfigError: the run cannot be written as this kind.
    """
    checkpoint = find_checkpoint(run, step)
    config = _exact(load_config(file=run / CONFIG).config)
    facts = read_facts(run)
    usual = finished_kind(facts["command"], config).replace("model", "merged")
    kind = kind or usual
    if kind != usual and not (kind == "merged" and usual == "lora"):
        raise ConfigError(
            f"{shown(run)}: was trained {'in full' if usual == 'merged' else f'as a {usual}'} and "
            f"cannot be written as {kind}; "
            + ("drop the option" if usual == "prior" else f"use --{usual}")
        )
    shape = Shape.from_json(facts["shape"])
    codec = _codec_of(facts)
    if facts["command"] == "train-prior":
        model = build_prior_network(config, shape)
    else:
        model = build_generator(config, shape, codec.codec)
        _check_base(run, model, facts)
    if length is None and config.ema.kind == "post-hoc":
        length = config.ema.length
    weights = None if length is None else _posthoc(run, config, length, checkpoint.step)
    write_model(checkpoint, folder, config, model, codec, kind=kind, weights=weights, dtype=dtype)
    return checkpoint.step


def usual_kind(run: Path) -> str:
    """What a run itself writes at its end: "merged", "lora" or "prior"."""
    facts, config = read_facts(run), load_config(file=run / CONFIG).config
    return finished_kind(facts["command"], config).replace("model", "merged")


def write_result(run: Path, checkpoint: Checkpoint, folder: Path, *, session: Session) -> None:
    """Write the result at a run's end, in a network of its own: the trained one may be sharded."""
    config, shape = _exact(session.config), session.material.shape
    codec = session.material.codec
    if session.command == "train-prior":
        model = build_prior_network(config, shape)
    else:
        model = build_generator(config, shape, codec.codec)
    kind = finished_kind(session.command, config).replace("model", "merged")
    weights = None
    if config.ema.kind == "post-hoc":
        weights = _posthoc(run, config, config.ema.length, checkpoint.step)
    write_model(checkpoint, folder, config, model, codec, kind=kind, weights=weights)


def write_model(
    checkpoint: Checkpoint,
    folder: Path,
    config: Config,
    model: BuiltNetwork,
    codec: LoadedCodec,
    *,
    kind: str,
    weights: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Put a checkpoint's averaged weights into a fresh network, and write it."""
    parameters = trained(model.backbone)
    if weights is None:
        group = "ema" if "ema" in checkpoint.groups else "network"
        copy_weights(open_group(checkpoint, group), parameters, checkpoint)
    else:
        _copy_average(weights, parameters)
    if kind == "prior":
        with replacing_model(folder) as part:
            model.transformer.to(dtype or torch.float32).save_pretrained(part)
        return
    assert model.base is not None
    assert model.scheduler is not None
    if kind == "lora":
        save_lora(folder, model.transformer, _card(config, model), prior=model.prior, dtype=dtype)
        return
    if config.lora.rank:
        merge_lora(model.transformer)
    own = model.base.codec is None
    pipeline = assemble(
        model.base,
        model.transformer,
        scheduler=model.scheduler,
        codec=codec.codec if own else None,
        prior=model.prior,
        facts=model.about,
    )
    save_model(pipeline, folder, dtype=dtype)


def _exact(config: Config) -> Config:
    """The same with float32 arithmetic and no quantising: frozen weights are not rounded."""
    train = config.train.model_copy(update={"precision": "fp32"})
    lora = config.lora.model_copy(update={"quantize": "none"})
    return config.model_copy(update={"train": train, "lora": lora})


def _card(config: Config, model: BuiltNetwork) -> AdapterCard:
    base, scheduler = model.base, model.scheduler
    assert base is not None
    assert scheduler is not None
    numbers: dict[str, Any] = {
        name: value for name, value in scheduler.config.items() if not name.startswith("_")
    }
    return AdapterCard(
        base=base.name,
        base_sha256=base.hash,
        parts=base.family.extra_inputs(model.transformer),
        scheduler=numbers,
        pipeline=model.about,
        components=config.components,
    )


def _codec_of(facts: dict[str, Any]) -> LoadedCodec:
    return load_codec(facts["data"]["codec"]["name"], device="cpu")


def _check_base(run: Path, model: BuiltNetwork, facts: dict[str, Any]) -> None:
    was = facts["base"]["sha256"]
    assert model.base is not None
    if model.base.hash != was:
        raise CheckpointError(
            f"{shown(run)}: was trained on a base of sha256 {was[:12]}..., but {model.base.name} "
            f"has {model.base.hash[:12]}...; put the right one in its place"
        )


def _posthoc(run: Path, config: Config, length: float, step: int) -> dict[str, Tensor]:
    if config.ema.kind != "post-hoc":
        raise ConfigError(
            f'{shown(run)}: an average of another length needs ema.kind = "post-hoc" while '
            f"training; this run has {config.ema.kind!r}"
        )
    return reconstruct(run, length, step)


@torch.no_grad()
def _copy_average(weights: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(weights[name])
