"""Which of several processes this is, as torchrun and `accelerate launch` tell it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from fbridge.errors import ConfigError

_MOST_WORKERS = 8


@dataclass(frozen=True)
class Process:
    """One process of a launch.

    Attributes:
        number, world: which one of how many.
        local, neighbours: which one of how many on this machine.
    """

    number: int = 0
    world: int = 1
    local: int = 0
    neighbours: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that speaks."""
        return self.number == 0

    @property
    def name(self) -> str:
        """What stands before its lines, where there are several."""
        return "" if self.world == 1 else f"process {self.number}: "

    def workers(self) -> int:
        """Decoding processes where the user does not say: its share of the cores."""
        able = getattr(os, "sched_getaffinity", None)
        cores = len(able(0)) if able else os.cpu_count() or 1
        return max(1, min(_MOST_WORKERS, cores // self.neighbours))


def this_process(environment: Mapping[str, str] = os.environ) -> Process:
    """The process that a launcher describes; the only one without a launcher.

    Raises:
        ConfigError: when RANK and its kin are no numbers, or contradict each other.
    """
    world = _number(environment, "WORLD_SIZE", 1)
    number = _number(environment, "RANK", 0)
    if number >= max(1, world):
        raise ConfigError(
            f"RANK {number}: must be below WORLD_SIZE, which is {world}; unset both, or start "
            "with accelerate launch"
        )
    if world <= 1:
        return Process()
    local = _number(environment, "LOCAL_RANK", number)
    return Process(number, world, local, max(1, _number(environment, "LOCAL_WORLD_SIZE", 1)))


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"{name} {text}: is no number; unset it, or start with accelerate launch")
    return int(text)
