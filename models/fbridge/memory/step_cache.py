"""Step caches of diffusers: blocks are left out where a step is nearly what the last ones were.

- first-block: after the first block, the others are left out if its change differs by less than
  NUMBER (relative, mean over the batch) from the last step's; their last change is added again.
- taylorseer: of each NUMBER steps one is computed, and the network's output is extrapolated over
  the others; the first three steps are computed (arXiv 2503.06923, diffusers' lite form).
- magcache: all blocks are left out, for three steps at most, while the sizes that their changes had
  at these steps say that the error adds up to less than NUMBER; their last change is added again
  (arXiv 2506.09045). The sizes are measured before the first video: `fbridge.pipeline.step_cache`.
"""

from __future__ import annotations

from typing import Any

from fbridge.errors import ConfigError, DependencyError
from fbridge.memory.options import StepCache

FIRST_STEPS = 3
"""Steps that taylorseer computes first."""


def enable_step_cache(network: Any, cache: StepCache) -> None:
    """Hook a cache into a network, in place of one that it has.

    Raises:
        ConfigError: diffusers has no cache for this network.
        DependencyError: this version of diffusers has none of that name.
    """
    from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig

    if not hasattr(network, "enable_cache"):
        raise _unfit(network, cache)
    config: Any = FirstBlockCacheConfig(threshold=cache.number)
    if cache.name == "magcache":
        config = _magcache(cache)
    if cache.name == "taylorseer":
        config = TaylorSeerCacheConfig(
            cache_interval=int(cache.number),
            disable_cache_before_step=FIRST_STEPS,
            taylor_factors_dtype=None,
            use_lite_mode=True,
        )
    if cache.name != "taylorseer" and hasattr(network, "temporal_transformer_blocks"):
        raise _unfit(network, cache)  # its first and last block have other shapes (Latte)
    if network.is_cache_enabled:
        network.disable_cache()
    try:
        network.enable_cache(config)
    except (ValueError, IndexError) as error:  # blocks of a class that it does not know; no blocks
        raise _unfit(network, cache) from error
    if len(_hooked(network)) < 2:  # some caches hook nothing in silence
        raise _unfit(network, cache)


def _magcache(cache: StepCache) -> Any:
    try:
        from diffusers import MagCacheConfig
    except ImportError as error:
        raise DependencyError(
            "--cache magcache: this diffusers has none; pip install -U diffusers"
        ) from error
    return MagCacheConfig(threshold=cache.number, calibrate=True)


def _hooked(network: Any) -> list[str]:
    """Names of the layers that a cache has been hooked into."""
    return [
        name
        for name, layer in network.named_modules()
        if name and any("cache" in hook or "fbc" in hook for hook in _hooks(layer))
    ]


def _hooks(layer: Any) -> list[str]:
    registry = getattr(layer, "_diffusers_hook", None)
    return [] if registry is None else list(registry.hooks)


def _unfit(network: Any, cache: StepCache) -> ConfigError:
    return ConfigError(
        f"--cache {cache.name}: diffusers has none for a {type(network).__name__}; leave it out"
    )
