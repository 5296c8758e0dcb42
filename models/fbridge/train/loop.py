"""One training loop for every network of the project; it yields reports and prints nothing."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from fbridge.errors import FBridgeError

Losses = dict[str, Tensor]
"""Scalars by name; `total` is what is minimised."""


@dataclass(frozen=True)
class FitConfig:
    """How long and how fast.

    Attributes:
        steps: optimiser steps.
        lr: peak learning rate of AdamW, reached after `warmup` steps and decayed by a cosine.
        clip: largest gradient norm.
        ema: decay of the moving average of the weights, which is what is kept at the end.
        precision: "no" (float32) or "bf16" autocast.
        checkpoint_every, report_every: in steps.
        seed: of everything random.
        device: "auto" is an accelerator where there is one; "cpu" never.
    """

    steps: int
    lr: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    precision: str = "bf16"
    checkpoint_every: int = 500
    report_every: int = 25
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class Report:
    """Means over the steps since the last report."""

    step: int
    losses: dict[str, float]
    seconds_per_step: float


def fit(
    model: nn.Module, loss: Callable[[nn.Module, int], Losses], config: FitConfig, run: Path
) -> Iterator[Report]:
    """Train `model` and leave the averaged weights in it.

    `loss(model, step)` draws its own batch from `step` alone, so that a run that is cut anywhere
    and called again continues from the newest whole checkpoint in `run` as if nothing had happened.

    Raises:
        FBridgeError: a loss is not finite; names the step.
    """
    accelerator = Accelerator(mixed_precision=config.precision, cpu=config.device == "cpu")
    optimizer: Any = torch.optim.AdamW(
        model.parameters(),
        lr=config.lr,
        betas=(0.9, 0.99),
        weight_decay=config.weight_decay,
        fused=True,
    )
    schedule = get_scheduler(
        "cosine", optimizer, num_warmup_steps=config.warmup, num_training_steps=config.steps
    )
    wrapped, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)
    average = EMAModel(model.parameters(), decay=config.ema, use_ema_warmup=True, power=0.75)
    accelerator.register_for_checkpointing(average)
    first = _resume(accelerator, run)
    sums: dict[str, float] = {}
    since, started = 0, time.monotonic()
    for step in range(first, config.steps):
        torch.manual_seed(config.seed * 1_000_003 + step)
        with accelerator.autocast():
            losses = loss(wrapped, step)
        if not bool(torch.isfinite(losses["total"])):
            raise FBridgeError(f"step {step}: the loss is {losses['total'].item()}; lower the lr")
        accelerator.backward(losses["total"])
        accelerator.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        average.step(model.parameters())
        since += 1
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if (step + 1) % config.checkpoint_every == 0 or step + 1 == config.steps:
            _save(accelerator, run, step + 1)
        if (step + 1) % config.report_every == 0 or step + 1 == config.steps:
            seconds = (time.monotonic() - started) / since
            yield Report(step + 1, {k: v / since for k, v in sums.items()}, seconds)
            sums, since, started = {}, 0, time.monotonic()
    average.copy_to(model.parameters())


def checkpoints(run: Path) -> list[tuple[int, Path]]:
    """The whole checkpoints of a run by step, oldest first."""
    found = ((re.fullmatch(r"checkpoint-(\d+)", p.name), p) for p in run.glob("checkpoint-*"))
    return sorted((int(match[1]), path) for match, path in found if match)


def _resume(accelerator: Accelerator, run: Path) -> int:
    kept = checkpoints(run)
    if not kept:
        return 0
    step, path = kept[-1]
    accelerator.load_state(str(path))
    return step


def _save(accelerator: Accelerator, run: Path, step: int) -> None:
    """Write checkpoint-<step> whole or not at all, and keep the newest two."""
    partial = run / f"checkpoint-{step}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    accelerator.save_state(str(partial))
    partial.replace(run / f"checkpoint-{step}")
    for _, path in checkpoints(run)[:-2]:
        shutil.rmtree(path)
