"""The training loop for prior, bridge and diffusion baseline; it yields events, prints nothing.

Random numbers depend on the micro-step (`fbridge.train.batches`) and the learning rate on the step,
so the state is weights, optimiser, average and a few values: a run that is interrupted anywhere and
resumed equals an uninterrupted one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from accelerate import Accelerator
from torch import Tensor

from fbridge.errors import CheckpointError
from fbridge.files.atomic import shown
from fbridge.train.batches import plain_errors
from fbridge.train.checkpoints.reading import Checkpoint
from fbridge.train.checkpoints.state import State
from fbridge.train.divergence import DivergenceGuard, TrainingError
from fbridge.train.events import Begun, Ended, Event, Saved, Stepped
from fbridge.train.optimizer import learning_rate
from fbridge.train.training import Batch, StopAsked, Training


@dataclass
class _Sums:
    """Sums since the last report."""

    steps: int = 0
    loss: float = 0.0
    norm: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0

    def report(self, training: Training, step: int) -> Stepped:
        config = training.config
        seconds = self.seconds / self.steps
        clips = training.share.clips * config.gradient_accumulation
        return Stepped(
            step,
            self.loss / self.steps,
            self.norm / self.steps,
            learning_rate(step - 1, config),
            seconds,
            self.waited / max(1e-9, self.seconds),
            clips / seconds,
            _memory(training.accelerator.device),
        )


def fit(
    training: Training,
    *,
    resume: Checkpoint | None = None,
    accept_changes: bool = False,
    stop: Callable[[], bool] = bool,
) -> Iterator[Event]:
    """Train to the last step, or until `stop()` is true: then save and end.

    The first event is `Begun`, the last `Ended`. Saves every `checkpoint_every` steps, at the best
    validation so far, and at the end; validates before the first step, every `validate_every` steps
    and at the end. A validation prevented by a stop is done on resuming.

    Args:
        training: network, data and settings.
        resume: the checkpoint to resume from.
        accept_changes: accept a checkpoint of another configuration, where that is possible.
        stop: called after every step and within validations; true on one process stops all.

    Raises:
        TrainingError: a loss or gradient is not finite, or a loss spikes; names the step, the clips
            and the last good checkpoint. The weights are those before that step.
        CheckpointError: the checkpoint does not fit, or a validation's videos are not finite.
    """
    config = training.config
    state = State(training)
    first = 0
    if resume is not None:
        first = state.restore(resume, accept_changes=accept_changes)
    yield Begun(first, config.steps, None if resume is None else resume.path)
    stopped = False
    if first == 0 or state.owed:
        stopped = yield from _validation(training, state, first, stop)
        if first and not stopped:  # no longer owed, and perhaps the best
            yield Saved(first, state.save(first), best=state.best_step == first)
        if stopped:
            yield Ended(first, stopped=True)
            return
    watch = DivergenceGuard(config.spike, state.losses)
    batches = plain_errors(training.loader(first * config.gradient_accumulation))
    sums, step = _Sums(), first
    for step in range(first + 1, config.steps + 1):
        done = _Step(training, step, watch)
        stopped = done.take(batches, sums, stop)
        last = stopped or step == config.steps
        if step % training.report_every == 0 or last:
            yield sums.report(training, step)
            sums = _Sums()
        due = step % training.validate_every == 0 or step == config.steps
        state.owed = due and training.validate is not None
        if due and not stopped:
            stopped = yield from _validation(training, state, step, stop)
            last = stopped or step == config.steps
        if step % config.checkpoint_every == 0 or last or state.is_best(step):
            state.losses = tuple(watch.losses)
            path = state.save(step)
            yield Saved(step, path, best=state.best_step == step)
        if stopped:
            break
    yield Ended(step, stopped=stopped)


def _validation(
    training: Training, state: State, step: int, stop: Callable[[], bool]
) -> Generator[Event, None, bool]:
    """Validate, if there are held-out clips; returns whether it was asked to stop instead."""
    if training.validate is None:
        return False

    def pause() -> None:
        if _asked(training.accelerator, stop):
            raise StopAsked

    try:
        yield state.scored(training.validate(step, pause))
    except StopAsked:
        return True
    except CheckpointError:  # what it sampled is not finite, but the weights are
        if step:
            state.save(step)
        raise
    return False


def _asked(accelerator: Accelerator, stop: Callable[[], bool]) -> bool:
    """Whether any process was asked to stop; the same on every process."""
    if accelerator.num_processes == 1:
        return stop()
    asked = torch.tensor([float(stop())], device=accelerator.device)
    return bool(accelerator.reduce(asked, "sum").item() > 0)


class _Step:
    """One optimiser step: micro-steps, check, update."""

    def __init__(self, training: Training, step: int, watch: DivergenceGuard) -> None:
        self.training = training
        self.step = step
        self.watch = watch
        self._rows: list[Tensor] = []
        self._losses: list[Tensor] = []

    def take(self, batches: Iterator[Batch], sums: _Sums, stop: Callable[[], bool]) -> bool:
        """Take the step; returns whether any process was asked to stop."""
        began = time.perf_counter()
        training = self.training
        optimizer, config = training.optimizer, training.config
        rate = learning_rate(self.step - 1, config)
        for group in optimizer.param_groups:  # first: DeepSpeed's step is part of the backward pass
            group["lr"] = rate
        sums.waited += self._backward(batches)
        norm = training.accelerator.clip_grad_norm_(
            training.network.parameters(), config.max_grad_norm
        )
        stopped = self._check(norm, sums, stop)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        training.average.update(self.step)
        sums.steps += 1
        sums.seconds += time.perf_counter() - began
        return stopped

    def _backward(self, batches: Iterator[Batch]) -> float:
        """Gradients of all micro-steps; returns the seconds spent waiting for data."""
        training, waited = self.training, 0.0
        accelerator, share = training.accelerator, training.share
        parts = training.config.gradient_accumulation * share.parts
        for number in range(parts):
            began = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - began
            self._seed(number)
            apart, part = number + 1 < parts, number % share.parts
            with accelerator.no_sync(training.network) if apart else nullcontext():
                with accelerator.autocast(), training.keeping():
                    losses = training.task(training.network, batch.to(accelerator.device))
                accelerator.backward(losses.mean() * share.weight(part) / parts)
            counted = len(share.positions(part))  # 0: the clip only stands in for none
            self._rows.append(batch.rows[:counted])
            self._losses.append(losses.detach().float()[:counted])
        return waited

    def _seed(self, number: int) -> None:
        """Seed dropout within the network, differently for every piece of every batch."""
        config, share = self.training.config, self.training.share
        batch, part = divmod(number, share.parts)
        batch += (self.step - 1) * config.gradient_accumulation
        piece = part * share.world + share.rank
        torch.manual_seed(config.seed * 1_000_003 + batch * 64 + piece)

    def _check(self, norm: Any, sums: _Sums, stop: Callable[[], bool]) -> bool:
        """Check loss and gradient of all processes; returns whether any was asked to stop."""
        training = self.training
        accelerator = training.accelerator
        size = torch.as_tensor(0.0 if norm is None else norm, device=accelerator.device)
        losses = torch.cat(self._losses)
        share = training.share
        clips = share.clips * training.config.gradient_accumulation
        loss = losses.mean() * (len(losses) * share.world / clips)
        values = torch.stack([loss, loss.new_tensor(float(stop()))])
        if accelerator.num_processes > 1:
            values = accelerator.reduce(values, "sum")
            values[0] /= accelerator.num_processes
        total, asked = values.tolist()
        self.watch.check(total, self._blame)
        length = float(size)
        if not (length < float("inf")) and accelerator.scaler is None:
            raise self._blame(f"the gradient's norm is {length}")
        sums.loss += total
        sums.norm += length
        return asked > 0

    def _blame(self, what: str) -> TrainingError:
        """The error that names the step, the worst clips of all processes and the way out."""
        losses = torch.cat(self._losses).cpu()
        worst = torch.argsort(torch.nan_to_num(losses, nan=float("inf")), descending=True)[:3]
        rows = torch.cat(self._rows).cpu()
        named = [
            (float(losses[i]), key) for i, key in zip(worst, self._keys(rows[worst]), strict=True)
        ]
        from accelerate.utils import gather_object

        from fbridge.train.checkpoints.reading import newest

        everywhere = gather_object(named)
        everywhere.sort(
            key=lambda pair: pair[0] if pair[0] == pair[0] else float("inf"), reverse=True
        )
        good = newest(self.training.run)
        last = (
            "there is no checkpoint yet: begin again with"
            if good is None
            else f"the last good checkpoint is {shown(good.path)}: go on from it with --resume "
            "--accept-changes and"
        )
        clips = ", ".join(f"{key} ({loss:.4g})" for loss, key in everywhere[:3])
        return TrainingError(
            f"step {self.step}: {what}; the worst clips are {clips}; {last} a lower train.lr, or "
            "look at these clips"
        )

    def _keys(self, rows: Tensor) -> list[str]:
        return self.training.keys(rows)


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return int(psutil.Process().memory_info().rss)
