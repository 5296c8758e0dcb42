"""A call with step caches, which `fbridge.memory.step_cache` hooks into networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any


@contextmanager
def fresh_step_caches(*networks: Any) -> Iterator[None]:
    """Within it caches of networks are used; they begin empty, also after an interrupted call."""
    with ExitStack() as stack:
        for network in networks:
            if getattr(network, "is_cache_enabled", False):
                network._reset_stateful_cache()
                stack.enter_context(network.cache_context("bridge"))
                stack.callback(network._reset_stateful_cache)
        yield
