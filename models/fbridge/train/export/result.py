"""Write a checkpoint's averaged weights as a model, an adapter or a prior."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from fbridge.codecs import Codec
from fbridge.config.read import load_config
from fbridge.config.tree import Config
from fbridge.data.latents.shape import Shape
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.atomic import shown
from fbridge.loaders.adapter_card import absolute
from fbridge.loaders.codec import load_codec
from fbridge.loaders.load import PretrainedModel
from fbridge.loaders.lora import AdapterCard, merge_lora
from fbridge.train.checkpoints.reading import Checkpoint, checkpoints, newest, open_group
from fbridge.train.checkpoints.state import copy_weights, fitting_weights, trained
from fbridge.train.ema.snapshots import reconstruct
from fbridge.train.export.lora import save_lora
from fbridge.train.export.model_folder import assemble, replacing_model, save_model
from fbridge.train.places import with_places
from fbridge.train.run_files import CONFIG, read_facts
from fbridge.train.setup.base import load_base
from fbridge.train.setup.networks import (
    BuiltNetwork,
    build_generator,
    build_prior_network,
)

if TYPE_CHECKING:
    from fbridge.train.setup.session import Session


class Exported(NamedTuple):
    """What was written.

    Attributes:
        step: of the checkpoint.
        not_stock: why stock diffusers cannot run it, with the way out; "" where it can. None of an
            adapter or a prior, which is no whole model.
    """

    step: int
    not_stock: str | None


_FOLDERS = {"merged": "model", "lora": "lora", "prior": "prior"}
"""Kind of result -> its folder in the run's."""


def result_folder(command: str, config: Config) -> str:
    """Name of the folder in the run's folder with the result."""
    return _FOLDERS[_usual_kind(command, config)]


def usual_kind(run: Path) -> str:
    """The kind of result that a run writes at its end: "merged", "lora" or "prior"."""
    return _usual_kind(read_facts(run)["command"], load_config(file=run / CONFIG).config)


def find_checkpoint(run: Path, step: int | None) -> Checkpoint:
    """A run's checkpoint of a step; None: the newest.

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
    base: str | None = None,
) -> Exported:
    """Write a checkpoint of a run as a model.

    Args:
        run: of `fbridge finetune` or `train-prior`.
        folder: to write.
        kind: "merged", a whole pipeline; "lora", an adapter; "prior", a network; None: what the run
            itself writes at its end.
        step: of the checkpoint; None: the newest.
        length: of the average, if ema.kind is "post-hoc"; None: the configured one.
        dtype: of the stored weights; None: float32.
        base: where the run's base lies, if not where it was.

    Raises:
        CheckpointError: the run has no such checkpoint, or its base has changed.
        ConfigError: the run cannot be written as this kind.
    """
    checkpoint = find_checkpoint(run, step)
    config = load_config(file=run / CONFIG).config
    facts = read_facts(run)
    usual = _usual_kind(facts["command"], config)
    kind = kind or usual
    if kind != usual and not (kind == "merged" and usual == "lora"):
        raise ConfigError(
            f"{shown(run)}: was trained {'in full' if usual == 'merged' else f'as a {usual}'} and "
            f"cannot be written as {kind}; "
            + ("drop the option" if usual == "prior" else f"use --{usual}")
        )
    here = with_places(config, facts, base=base)
    model, codec = _rebuild(facts, _plain(here, kind))
    if model.base is not None and model.base.hash != facts["base"]["sha256"]:
        raise CheckpointError(
            f"{shown(run)}: was trained on a base of sha256 {facts['base']['sha256'][:12]}..., but "
            f"{model.base.name} has {model.base.hash[:12]}...; put the right one in its place, "
            "or name it with --base"
        )
    weights = _posthoc_average(run, config, length, checkpoint.step)
    about: dict[str, Any] = {"kind": kind, "weights": weights, "dtype": dtype}
    not_stock = _write(checkpoint, folder, config, model, codec, **about)
    return Exported(checkpoint.step, not_stock)


def write_result(session: Session, checkpoint: Checkpoint, folder: Path) -> None:
    """Write the result of a run at its end.

    An adapter is the checkpoint's tensors; a whole model is written from a new network, since the
    trained one may be sharded.
    """
    config, codec = session.config, session.material.codec.codec
    kind, model = _usual_kind(session.command, config), session.model
    if kind != "lora":
        config = _plain(config, kind)
        before = session.model.base
        loras = [] if before is None else [lora.record.tree() for lora in before.loras]
        base = load_base(config, loras) if session.command == "finetune" else None
        model = _build(session.command, config, session.material.shape, codec, base)
    weights = _posthoc_average(session.run, config, None, checkpoint.step)
    _write(checkpoint, folder, config, model, codec, kind=kind, weights=weights)


def _usual_kind(command: str, config: Config) -> str:
    if command == "train-prior":
        return "prior"
    return "lora" if config.lora.rank else "merged"


def _rebuild(facts: Mapping[str, Any], config: Config) -> tuple[BuiltNetwork, Codec | None]:
    """The network of a run, and its codec: the base's own, else that of the run's data."""
    command, shape = facts["command"], Shape.from_json(facts["shape"])
    try:
        loras = (facts["base"] or {}).get("loras", [])
        base = None if command == "train-prior" else load_base(config, loras)
    except CheckpointError as error:
        way = "" if str(error).startswith("LoRA") else "; name its place with --base"
        raise CheckpointError(f"{error}{way}") from error
    codec = None if base is None else base.codec
    if codec is None and base is not None:
        codec = load_codec(facts["data"]["codec"]["name"], device="cpu").codec
    return _build(command, config, shape, codec, base), codec


def _build(
    command: str,
    config: Config,
    shape: Shape,
    codec: Codec | None,
    base: PretrainedModel | None = None,
) -> BuiltNetwork:
    """The network as at the start of the run."""
    if command == "train-prior":
        return build_prior_network(config, shape)
    assert codec is not None, "a generator's latents have one"
    return build_generator(config, shape, codec, base)


def _plain(config: Config, kind: str) -> Config:
    """For a network that is not quantized, in float32, or in less if it is not written itself."""
    precision = "bf16" if kind == "lora" else "fp32"
    train = config.train.model_copy(update={"precision": precision})
    lora = config.lora.model_copy(update={"quantize": "none"})
    return config.model_copy(update={"train": train, "lora": lora})


def _posthoc_average(
    run: Path, config: Config, length: float | None, step: int
) -> dict[str, Tensor] | None:
    if config.ema.kind == "post-hoc":
        return reconstruct(run, config.ema.length if length is None else length, step)
    if length is not None:
        raise ConfigError(
            f'{shown(run)}: an average of another length needs ema.kind = "post-hoc" while '
            f"training; this run has {config.ema.kind!r}"
        )
    return None


def _write(
    checkpoint: Checkpoint,
    folder: Path,
    config: Config,
    model: BuiltNetwork,
    codec: Codec | None,
    *,
    kind: str,
    weights: Mapping[str, Tensor] | None,
    dtype: torch.dtype | None = None,
) -> str | None:
    """Copy weights, else the checkpoint's average, into the network, and write it.

    Returns:
        `Exported.not_stock`.
    """
    parameters = trained(model.backbone)
    group = "ema" if "ema" in checkpoint.groups else "network"
    if kind == "lora":
        held = open_group(checkpoint, group) if weights is None else weights
        _write_adapter(folder, config, model, fitting_weights(held, parameters, checkpoint), dtype)
        return None
    if weights is None:
        copy_weights(open_group(checkpoint, group), parameters, checkpoint)
    else:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(weights[name])
    if kind == "prior":
        with replacing_model(folder) as part:
            model.transformer.to(dtype or torch.float32).save_pretrained(part)
        return None
    assert model.base is not None
    assert model.scheduler is not None
    if config.lora.rank:
        merge_lora(model.transformer)
    pipeline = assemble(
        model.base,
        model.transformer,
        scheduler=model.scheduler,
        codec=codec if model.base.codec is None else None,
        prior=model.prior,
        facts=model.about,
    )
    return save_model(pipeline, folder, dtype=dtype)


def _write_adapter(
    folder: Path,
    config: Config,
    model: BuiltNetwork,
    held: Iterable[tuple[str, Tensor]],
    dtype: torch.dtype | None,
) -> None:
    """Write trained tensors, by their names in the backbone, as an adapter."""
    assert model.base is not None
    assert model.scheduler is not None
    names = (name for name, part in model.backbone.named_modules() if part is model.transformer)
    prefix = f"{next(names)}.".lstrip(".")  # a backbone may be the network itself
    weights = {name.removeprefix(prefix): tensor.float() for name, tensor in held}
    card = AdapterCard(
        base=str(config.base),
        base_sha256=model.base.hash,
        parts=model.base.family.extra_inputs(model.transformer),
        scheduler=model.scheduler.written(),
        pipeline=model.about,
        components=config.components,
        expert=config.expert,
        base_path=absolute(model.base.name),
        components_path=absolute(config.components),
        loras=[lora.record.tree() for lora in model.base.loras],
    )
    save_lora(folder, model.transformer, card, weights=weights, prior=model.prior, dtype=dtype)
