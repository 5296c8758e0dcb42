"""A call with step caches, which `fbridge.memory.step_cache` hooks into networks.

MagCache has to know how the size of what the blocks change goes from step to step. It is measured
once for each way of sampling, on a grey picture without words, so that a video does not depend on
those before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import torch

from fbridge.errors import ConfigError

Ratios: TypeAlias = list[list[float]]
"""Of each network, the size of its blocks' change at each call, as a share of the last call's."""
RatioStore: TypeAlias = MutableMapping[str, Ratios]
"""What has been measured, by how was sampled."""

_ENDLESS = 10**6  # steps, after which a MagCache would print its ratios and forget them


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


def prepare_step_caches(
    networks: Sequence[Any], store: RatioStore, key: str, probe: Callable[[], object]
) -> None:
    """Give MagCaches of networks the ratios of a way of sampling.

    Args:
        networks: of a pipeline; those without a MagCache are left alone.
        store: what has been measured; the ratios are added to it.
        key: the way of sampling.
        probe: samples once in that way.

    Raises:
        ConfigError: nothing could be measured.
    """
    caches = [_magcache(network) for network in networks]
    held = [(n, cache) for n, cache in zip(networks, caches, strict=True) if cache is not None]
    if held and len(store.get(key, ())) != len(held):
        measured = _measured(held, probe)
        if not any(measured):  # the hooks of a copied network count in the one it was copied from
            raise ConfigError(
                "cache magcache: nothing could be measured, as in a copy of a pipeline with a "
                "cache; load the model anew"
            )
        store[key] = measured
    for (_, cache), ratios in zip(held, store[key] if held else (), strict=True):
        cache.calibrate = False
        cache.mag_ratios = torch.tensor(ratios or [1.0])  # of a network that was not called
        cache.num_inference_steps = len(cache.mag_ratios)


def _magcache(network: Any) -> Any:
    """The configuration that all hooks of a network's MagCache share; None: it has none."""
    config = getattr(network, "_cache_config", None)
    return config if type(config).__name__ == "MagCacheConfig" else None


def _measured(held: list[tuple[Any, Any]], probe: Callable[[], object]) -> Ratios:
    found: Ratios = [[] for _ in held]

    def keep(place: int) -> Callable[..., None]:
        def look(network: Any, *_: object) -> None:
            found[place] = _ratios_so_far(network)

        return look

    with ExitStack() as stack:
        for place, (network, cache) in enumerate(held):
            cache.calibrate, cache.mag_ratios, cache.num_inference_steps = True, None, _ENDLESS
            stack.callback(network.register_forward_hook(keep(place)).remove)
        stack.enter_context(fresh_step_caches(*(network for network, _ in held)))
        probe()
    return found


def _ratios_so_far(network: Any) -> list[float]:
    """Of the calls since its cache was reset."""
    for layer in network.modules():
        for hook in getattr(getattr(layer, "_diffusers_hook", None), "hooks", {}).values():
            if type(hook).__name__ == "MagCacheHeadHook":
                return list(hook.state_manager.get_state().calibration_ratios)
    return []
