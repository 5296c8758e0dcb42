"""Memory and time of a run, measured on two steps; nothing is written."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import torch

from fbridge.train.setup.session import Session


@dataclass(frozen=True)
class StepCost:
    """Needs of a run.

    Attributes:
        parameters, trained: number of all and of trained parameters.
        memory: peak bytes of a step, with gradients, optimiser and average: of a CUDA device, else
            resident.
        seconds: per step.
        total: seconds of the whole run without validation and saving.
        latents: (F, C, H, W) of the batch.
    """

    parameters: int
    trained: int
    memory: int
    seconds: float
    total: float
    latents: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def measure_step(session: Session) -> StepCost:
    """Take two steps, the second one timed; the session cannot be used for training afterwards."""
    training = session.training
    device = training.accelerator.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    batch = next(iter(training.loader(0))).to(device)
    parts = training.config.gradient_accumulation
    seconds = 0.0
    with _Peak(device) as peak:
        for step in (1, 2):
            began = time.perf_counter()
            for _ in range(parts):
                with training.accelerator.autocast(), training.keeping():
                    loss = training.task(training.network, batch).mean() / parts
                training.accelerator.backward(loss)
            training.accelerator.clip_grad_norm_(
                training.network.parameters(), training.config.max_grad_norm
            )
            training.optimizer.step()
            training.optimizer.zero_grad(set_to_none=True)
            training.average.update(step)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds = time.perf_counter() - began
    parameters = list(training.network.parameters())
    return StepCost(
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
        peak.bytes,
        seconds,
        seconds * training.config.steps,
        tuple(batch.clean.shape[1:]),
    )


class _Peak:
    """Peak memory within the context; resident memory is sampled every 10 ms."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._over = threading.Event()
        self.bytes = 0

    def __enter__(self) -> _Peak:
        self._thread = threading.Thread(target=self._sample, daemon=True)
        if self._device.type != "cuda":
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._device.type == "cuda":
            self.bytes = int(torch.cuda.max_memory_allocated(self._device))
        else:
            self._thread.join()

    def _sample(self) -> None:
        process = psutil.Process()
        while True:
            self.bytes = max(self.bytes, process.memory_info().rss)
            if self._over.wait(0.01):
                return
