"""The memory options, without torch; `fbridge.memory.apply` applies them to a pipeline.

Offloading, slicing and attention change only the rounding of sums; overlapping tiles of the
autoencoder differ a little at their seams; quantised weights give another network, and a step
cache leaves out some of its calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from fbridge.checks import check_choice
from fbridge.choices import CASTS, OFFLOADS, QUANTIZES, Cast, Offload, Quantize
from fbridge.errors import ConfigError

USUAL = {"first-block": 0.05, "taylorseer": 3.0, "magcache": 0.06}
"""The step caches with their usual numbers."""


@dataclass(frozen=True)
class StepCache:
    """A choice of step cache; see `fbridge.memory.step_cache`.

    Attributes:
        name: a key of `USUAL`.
        number: threshold of first-block and magcache; interval of taylorseer.
    """

    name: str
    number: float


def parse_step_cache(text: str) -> StepCache | None:
    """NAME or NAME:NUMBER; None of "none".

    Raises:
        ConfigError: the name is unknown, or the number is none that it can have.
    """
    if text == "none":
        return None
    name, colon, given = text.partition(":")
    if name not in USUAL:
        raise ConfigError(f"--cache {text}: unknown; choose none, {', '.join(USUAL)}")
    try:
        number = float(given) if colon else USUAL[name]
    except ValueError:
        number = -1.0
    whole = name == "taylorseer"
    if not (number >= 1 and number.is_integer() if whole else 0 <= number <= 1):
        wanted = "a whole number of steps, 1 or more" if whole else "from 0 to 1"
        raise ConfigError(
            f"--cache {text}: its number must be {wanted}, such as {name}:{USUAL[name]:g}"
        )
    return StepCache(name, number)


@dataclass(frozen=True)
class MemoryOptions:
    """How a model is made to fit into memory and time.

    Attributes:
        offload: "none"; "model": a network is on the device only while it computes; "group": a
            layer is (slowest, and needs the least memory).
        quantize: the linear layers of the transformer's blocks in 8 bits (torchao's "int8") or 4
            (bitsandbytes' "nf4").
        cast: store the linear layers of the transformer's blocks as "float8" with scales, and
            compute in the pipeline's dtype.
        attention: diffusers' name of an attention backend, such as "flash"; None is torch's.
        tiling: encode and decode large frames in overlapping tiles.
        slicing: encode and decode the videos of a batch one after another.
        cache: "none", or NAME or NAME:NUMBER of a step cache.

    Raises:
        ConfigError: offload, quantize, cast or cache is unknown.
    """

    offload: Offload = "none"
    quantize: Quantize = "none"
    cast: Cast = "none"
    attention: str | None = None
    tiling: bool = False
    slicing: bool = False
    cache: str = "none"

    def __post_init__(self) -> None:
        """Check the names; `attention` is checked against diffusers when it is applied."""
        check_choice("--offload", self.offload, OFFLOADS)
        check_choice("--quantize", self.quantize, QUANTIZES)
        check_choice("--cast", self.cast, CASTS)
        parse_step_cache(self.cache)

    def to_record(self) -> dict[str, str]:
        """The options that change a video and are not at their default, as texts.

        Offloading is left out, since it does not change the video.
        """
        return {
            field.name: str(getattr(self, field.name))
            for field in fields(self)
            if field.name != "offload" and getattr(self, field.name) != field.default
        }

    @classmethod
    def from_record(cls, record: Mapping[str, str]) -> MemoryOptions:
        """The options that `to_record` wrote; names that this version does not know are ignored."""
        values: dict[str, Any] = {
            field.name: record[field.name] == "True"
            if isinstance(field.default, bool)
            else record[field.name]
            for field in fields(cls)
            if field.name in record
        }
        return cls(**values)
