"""Save a run's state in a checkpoint, restore it, and check that the configuration fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor, nn

from fbridge.errors import CheckpointError
from fbridge.files.atomic import shown
from fbridge.train.checkpoints import zero
from fbridge.train.checkpoints.checkpoint import save_checkpoint
from fbridge.train.checkpoints.optimizer_state import load_optimizer_state, optimizer_state
from fbridge.train.checkpoints.reading import Checkpoint, load_group, open_group
from fbridge.train.checkpoints.shards import Processes, ShardedTensors, local, local_shard
from fbridge.train.ema.averages import PostHocEma
from fbridge.train.events import Validated
from fbridge.train.training import Training

_FIXED = (
    "command", "data", "base", "prior", "prior.kind", "prior.mix", "ema.kind", "train.optimizer",
)  # fmt: skip
_FIXED_SECTIONS = ("model", "bridge", "lora")
"""Keys that decide a checkpoint's tensors and their meaning: they must not change within a run."""

_WRAPPERS = ("module", "_orig_mod", "_checkpoint_wrapped_module")
"""Parts of parameter names added by DDP, `torch.compile` and activation checkpointing."""


def trained(network: nn.Module) -> dict[str, nn.Parameter]:
    """The trained parameters, by their names without wrappers."""
    found = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            parts = (part for part in name.split(".") if part not in _WRAPPERS)
            found[".".join(parts)] = parameter
    return found


class State:
    """Saves and restores a training run.

    Attributes:
        losses: the last ones, for the divergence guard.
        best_step, best_score: of the checkpoint with the lowest held-out loss.
        owed: whether the validation of the current step is still due.
    """

    def __init__(self, training: Training) -> None:
        self._training = training
        self._parameters = trained(training.network)
        self._score: tuple[int, float] | None = None
        self.losses: tuple[float, ...] = ()
        self.best_step: int | None = None
        self.best_score = float("inf")
        self.owed = False

    def scored(self, validated: Validated) -> Validated:
        """Record the held-out loss of a validation, and return the validation."""
        score = validated.scores.get("held_out")
        self._score = None if score is None else (validated.step, score)
        self.owed = False
        return validated

    def is_best(self, step: int) -> bool:
        """Whether this step has the lowest held-out loss so far, not yet saved as the best."""
        return self._score is not None and self._score[0] == step and (
            self._score[1] < self.best_score
        )  # fmt: skip

    def save(self, step: int) -> Path:
        """Write a checkpoint of this step."""
        if self._score is not None and self.is_best(step):
            self.best_step, self.best_score = self._score
        training = self._training
        accelerator = training.accelerator
        weights: Mapping[str, Tensor] = self._parameters
        optimizer = _bare(training.optimizer)
        if zero.is_zero(optimizer):
            weights, optimizer = zero.gather(optimizer, self._parameters)
        moments, numbers = optimizer_state(optimizer, self._parameters)
        groups = {"network": weights, "optimizer": moments}
        if average := training.average.tensors():
            groups["ema"] = average
        facts = {
            "identity": training.identity,
            "share": training.share.to_json(),
            "optimizer": numbers,
            "losses": list(self.losses),
            "best": None if self.best_step is None else [self.best_step, self.best_score],
            "owed": self.owed,
        }
        scaler = accelerator.scaler
        if scaler is not None:
            facts["scaler"] = scaler.state_dict()
        if isinstance(training.average, PostHocEma):
            training.average.snapshot(training.run, step, processes=_processes(training))
        return save_checkpoint(
            training.run,
            step,
            groups,
            facts,
            keep=training.config.keep,
            best=self.best_step,
            processes=_processes(training),
        )

    def restore(self, checkpoint: Checkpoint, *, accept_changes: bool = False) -> int:
        """Restore a checkpoint; returns its step.

        Raises:
            CheckpointError: its data set, network or configuration differs; names the difference.
        """
        facts = checkpoint.facts
        check_identity(checkpoint, self._training.identity, accept_changes=accept_changes)
        copy_weights(open_group(checkpoint, "network"), self._parameters, checkpoint)
        training = self._training
        moments = load_group(checkpoint, "optimizer")
        bare = _bare(training.optimizer)
        optimizer = zero.empty(bare, self._parameters) if zero.is_zero(bare) else bare
        load_optimizer_state(optimizer, self._parameters, moments, facts["optimizer"])
        if zero.is_zero(bare):
            weights = open_group(checkpoint, "network")
            zero.scatter(bare, self._parameters, weights, optimizer)
        own = {"betas": training.config.betas, "weight_decay": training.config.weight_decay}
        for group in training.optimizer.param_groups:  # not as saved: they may have been changed
            group.update({name: value for name, value in own.items() if name in group})
        training.average.load(load_group(checkpoint, "ema") if training.average.tensors() else {})
        if "scaler" in facts and training.accelerator.scaler is not None:
            training.accelerator.scaler.load_state_dict(facts["scaler"])
        self.losses = tuple(facts["losses"])
        if facts["best"] is not None:
            self.best_step, self.best_score = facts["best"]
        self.owed = facts.get("owed", False)
        return checkpoint.step


def check_identity(
    checkpoint: Checkpoint, identity: dict[str, Any], *, accept_changes: bool = False
) -> list[str]:
    """Changes of the configuration since a checkpoint, one line each.

    Raises:
        CheckpointError: something differs, and was not accepted or cannot be; names it.
    """
    before = checkpoint.facts["identity"]
    changed = [
        name for name in sorted({*before, *identity}) if before.get(name) != identity.get(name)
    ]
    text = {
        name: f"{name} was {_brief(before.get(name))} and is {_brief(identity.get(name))}"
        for name in changed
    }
    fixed = [name for name in changed if _is_fixed(name)]
    if fixed or (changed and not accept_changes):
        way = (
            "begin another run with another -o"
            if fixed
            else "go on all the same with --accept-changes"
        )
        refused = fixed if accept_changes else changed
        raise CheckpointError(
            f"{shown(checkpoint.path)}: does not fit: {'; '.join(text[name] for name in refused)}; "
            f"take what it was begun with, or {way}"
        )
    return list(text.values())


def _is_fixed(name: str) -> bool:
    return name in _FIXED or name.split(".")[0] in _FIXED_SECTIONS


def _brief(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text


@torch.no_grad()
def copy_weights(
    tensors: ShardedTensors, parameters: Mapping[str, nn.Parameter], checkpoint: Checkpoint
) -> None:
    """Copy a checkpoint's weights into parameters, one by one; sharded ones get their shard.

    Raises:
        CheckpointError: a name or a shape differs.
    """
    for name, whole in fitting_weights(tensors, parameters, checkpoint):
        own = parameters[name]
        local(own).copy_(local_shard(whole, own))


def fitting_weights(
    tensors: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter], checkpoint: Checkpoint
) -> Iterator[tuple[str, Tensor]]:
    """A checkpoint's weights and their names, which are those of a network's parameters.

    Raises:
        CheckpointError: a name or a shape differs.
    """
    for name in sorted({*tensors, *parameters}):
        if name not in tensors or name not in parameters:
            where = "only in the network" if name in parameters else "only in the checkpoint"
            raise CheckpointError(f"{shown(checkpoint.path)}: does not fit: {name} is {where}")
        whole, own = tensors[name], parameters[name]
        if tuple(whole.shape) != tuple(own.shape):
            raise CheckpointError(
                f"{shown(checkpoint.path)}: does not fit: {name} is {tuple(whole.shape)} there and "
                f"{tuple(own.shape)} here"
            )
        yield name, whole


def _bare(optimizer: Any) -> Any:
    """The optimiser inside accelerate's wrapper."""
    return getattr(optimizer, "optimizer", optimizer)


def _processes(training: Training) -> Processes:
    accelerator = training.accelerator
    return Processes(
        accelerator.process_index, accelerator.num_processes, gather_object, accelerator.device
    )
