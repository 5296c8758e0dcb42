"""Load a model onto its device; torch is imported only when it is called."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

import fbridge
from fbridge.checks import home_expanded
from fbridge.choices import EMBEDDED
from fbridge.generate.request import names_store
from fbridge.loaders.locate import locate_model
from fbridge.loaders.lora_choice import LoraChoice
from fbridge.memory.options import MemoryOptions

if TYPE_CHECKING:
    from fbridge.pipeline.sampling import BridgeSampling


@dataclass(frozen=True)
class Loaded:
    """A model on the device where it runs.

    Attributes:
        device: "cpu", "cuda:0", ...: never "auto".
        threads: CPU threads that torch uses.
    """

    pipeline: BridgeSampling
    device: str
    threads: int


def load_pipeline(  # noqa: PLR0913 - a model's name and what decides how it is loaded
    name: str,
    *,
    device: str = "auto",
    dtype: str = "float32",
    threads: int | None = None,
    components: str | None = None,
    expert: str | None = None,
    base: str | None = None,
    download: bool = False,
    memory: MemoryOptions | None = None,
    loras: Sequence[str | LoraChoice] = (),
    local_files_only: bool = False,
) -> Loaded:
    """Load the model `name` and move it to `device`.

    Args:
        name: as `GenerateRequest.model`; a model in a store is fetched, and kept in the cache.
        device: one of `fbridge.choices.DEVICES`.
        dtype: one of `fbridge.choices.DTYPES`.
        threads: of an earlier run on the CPU, to repeat its rounding; None leaves torch's number.
        components: folder with what a model that is weights alone lacks.
        expert: which network of a pair it is.
        base: of an adapter, if it does not lie where it was.
        download: fetch from the hub what is lacking.
        memory: how it is made to fit into memory.
        loras: FILE or FILE:WEIGHT of LoRAs that are merged into its network.
        local_files_only: of a hub id, only what is in the local cache.

    Raises:
        CheckpointError: there is no such model.
        DependencyError: this machine has no such device.
    """
    import torch

    from fbridge.memory.devices import present_device

    device = present_device(device)
    # Set even when it changes nothing: until it is set, MKL now and then chooses another number of
    # threads, and sums over another number of threads round differently.
    torch.set_num_threads(threads if threads and device == "cpu" else torch.get_num_threads())
    memory = memory or MemoryOptions()
    if not expert and is_plain(name, dtype=dtype, components=components, base=base, memory=memory):
        from fbridge.pipeline.plain import PlainPipeline

        plain = PlainPipeline(locate_model(name))
        plain.to(device)
        return Loaded(plain, device, torch.get_num_threads())
    from fbridge.generate.step_ratios import ratios_of
    from fbridge.memory.apply import apply_memory_options, layer_shrinker
    from fbridge.pipeline import FrameBridgePipeline

    pipeline = FrameBridgePipeline.from_pretrained(
        _at_home(name),
        dtype=getattr(torch, dtype),
        components=None if components is None else str(home_expanded(components)),
        base=None if base is None else _at_home(base),
        expert=expert,
        download=download,
        loras=loras,
        finish_layer=layer_shrinker(memory),
        **({"local_files_only": True} if local_files_only else {}),
    )
    apply_memory_options(pipeline, device, memory)
    if memory.cache.startswith("magcache") and pipeline.model_hash:
        facts = {
            "model": pipeline.model_hash, "components": components, "base": base, "expert": expert,
            "memory": {**memory.to_record(), "cache": "magcache"}, "versions": versions(),
            "threads": torch.get_num_threads(), "accelerator": _accelerator(device),
        }  # fmt: skip
        pipeline.step_ratios = ratios_of(facts)
    return Loaded(pipeline, device, torch.get_num_threads())


def is_plain(
    name: str,
    *,
    dtype: str,
    components: str | None,
    base: str | None,
    memory: MemoryOptions,
) -> bool:
    """Whether a model is loaded without diffusers, whose import takes longer than sampling.

    The arguments are those of `load_pipeline`; both ways give the same frames.
    """
    usual = (dtype, components, base, memory) == ("float32", None, None, MemoryOptions())
    return name == EMBEDDED and usual


def _at_home(name: str) -> str:
    """A path with `~` expanded, a URL of a store as its local copy; any other name as it is."""
    if names_store(name):
        from fbridge.data.stores.kept import keep
        from fbridge.data.stores.url import parse_url

        url = parse_url(name, "--model")
        assert url is not None, "names_store said so"
        return str(keep(url))
    path = home_expanded(name)
    return str(path) if path.exists() else name


def _accelerator(device: str) -> str:
    """Its name, not its number; "" of the CPU."""
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def versions() -> dict[str, str]:
    """Versions of the packages that a video depends on, without importing them."""
    found = {"fbridge": fbridge.__version__, "python": platform.python_version()}
    for package in ("torch", "diffusers"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found
