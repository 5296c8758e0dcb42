"""What the laws are tried on."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from fbridge.process import BridgeProcess
from fbridge.schedule import BrownianSchedule, GmaxSchedule, Schedule, VPSchedule


def schedules() -> st.SearchStrategy[Schedule]:
    """Schedules of all kinds with numbers of every sensible size."""
    return st.one_of(
        st.builds(GmaxSchedule, st.floats(0.0, 5.0), st.floats(0.1, 100.0)),
        st.builds(VPSchedule, st.floats(0.01, 5.0), st.floats(0.0, 10.0)),
        st.builds(BrownianSchedule, st.floats(0.05, 20.0)),
    )


def bridges() -> st.SearchStrategy[BridgeProcess]:
    """Bridges over `schedules`."""
    return st.builds(BridgeProcess, schedules())


def times(low: float = 0.01, high: float = 0.99) -> st.SearchStrategy[Tensor]:
    """One to four times, (B,) float64."""
    numbers = st.lists(st.floats(low, high), min_size=1, max_size=4)
    return numbers.map(lambda values: torch.tensor(values, dtype=torch.float64))


def videos(count: int, seed: int) -> Tensor:
    """(B, 2, 3, 2, 2) float64 normal numbers."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, 3, 2, 2, generator=generator, dtype=torch.float64)
