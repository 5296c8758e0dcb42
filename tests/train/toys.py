"""A small network and numbered clips for the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from fbridge.config.tree import EmaConfig, TrainConfig
from fbridge.train.checkpoints.state import trained
from fbridge.train.ema.averages import build_average
from fbridge.train.optimizer import build_optimizer
from fbridge.train.shares import BatchShare
from fbridge.train.training import Training

SHORT = TrainConfig(steps=20, lr=0.02, warmup=3, checkpoint_every=5, batch_size=8, spike=0)


@dataclass(frozen=True)
class Clips:
    """Numbered clips."""

    rows: Tensor

    def to(self, device: torch.device) -> Clips:
        assert device.type == "cpu"
        return self


def model(seed: int = 5) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 1))


def losses(network: nn.Module, batch: Clips) -> Tensor:
    """(B,) each clip's own, learnt from its number."""
    x = torch.stack(
        [torch.randn(4, generator=torch.Generator().manual_seed(int(row))) for row in batch.rows]
    )
    return (network(x) - x.sum(1, keepdim=True)).square().mean(1)


def loader(size: int) -> Callable[[int], Iterator[Clips]]:
    return lambda first: (Clips(torch.arange(n * size, (n + 1) * size)) for n in count(first))


def training(
    run: Path,
    config: TrainConfig = SHORT,
    ema: str = "plain",
    network: nn.Module | None = None,
    **other: Any,
) -> Training:
    net = model() if network is None else network
    accelerator = Accelerator(cpu=True)
    made: Any = build_optimizer((p for p in net.parameters() if p.requires_grad), config)
    net, made = accelerator.prepare(net, made)
    about = EmaConfig.model_validate({"kind": ema, "decay": 0.9})
    usual: dict[str, Any] = {
        "network": net,
        "optimizer": made,
        "average": build_average(about, trained(net), made),
        "task": losses,
        "loader": loader(config.batch_size),
        "share": BatchShare(config.batch_size, config.batch_size),
        "config": config,
        "run": run,
        "accelerator": accelerator,
        "keys": lambda rows: [f"clip {row}" for row in rows.tolist()],
        "report_every": 4,
    }
    return Training(**{**usual, **other})


def weights(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def changed(config: TrainConfig, **keys: Any) -> TrainConfig:
    return TrainConfig.model_validate({**config.model_dump(), **keys})
