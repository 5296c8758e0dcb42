"""What every test stands on: one thread, also of programs it starts; fixed seeds, no network."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import settings

from tests.warm import WarmPython

settings.register_profile("fbridge", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("fbridge")
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several tests run side by side
os.environ["FBRIDGE_OFFLINE"] = "1"  # also programs that tests start fetch nothing


@pytest.fixture(autouse=True)
def _same_every_time() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise RuntimeError(f"a test reached for the network: {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPython]:
    """Starts processes that have imported what commands of training and evaluation need."""
    modules = ("fbridge_cli.training", "fbridge_cli.training_show", "fbridge.train.run")
    python = WarmPython(tmp_path_factory.mktemp("warm"), modules)
    yield python
    python.close()
