"""LoRA files of a base, as a user or a record names them; needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fbridge.checks import home_expanded
from fbridge.choices import EXPERTS
from fbridge.errors import CheckpointError, ConfigError, FBridgeError
from fbridge.files.atomic import shown
from fbridge.files.hashing import hash_files
from fbridge.files.lora_record import LoraRecord
from fbridge.loaders.locate import ADAPTER, ADAPTER_WEIGHTS

_IN_FOLDERS = (ADAPTER_WEIGHTS, "adapter_model.safetensors")
"""As diffusers and peft name a LoRA's file in a folder of its own."""


@dataclass(frozen=True)
class LoraChoice:
    """A LoRA that a base is to be changed by.

    Attributes:
        file: its path.
        weight: that its differences are multiplied by; None where none was given, which is 1.
        network: "low" or "high": that of a pair which it is for; "" where none was named.
        sha256: that the file must have; "" allows any.
        wanted_by: what was made with that file, for messages.
        remedy: what to do where it is not there, likewise.
    """

    file: Path
    weight: float | None = None
    network: str = ""
    sha256: str = ""
    wanted_by: str = ""
    remedy: str = ""

    def __post_init__(self) -> None:
        """Refuse a weight that is none."""
        if self.weight is not None and (not math.isfinite(self.weight) or self.weight == 0):
            raise ConfigError(
                f"LoRA {shown(self.file)}: weight {self.weight:g} has no use; give a number such "
                "as 0.8, or none"
            )

    def check(self) -> str:
        """The file's sha256.

        Raises:
            CheckpointError: there is no such file, or another one is wanted.
        """
        way = ""
        if self.sha256:
            way = (
                f"; {self.wanted_by} was made with it (sha256 {self.sha256[:12]}...); {self.remedy}"
            )
        if not self.file.is_file():
            raise CheckpointError(
                f"LoRA {shown(self.file)}: no such file{way or '; check the path'}"
            )
        try:
            found = hash_files([self.file])
        except OSError as error:
            raise CheckpointError(
                f"LoRA {shown(self.file)}: cannot be read ({error.strerror}); check the file"
            ) from error
        if self.sha256 not in ("", found):
            raise CheckpointError(
                f"LoRA {shown(self.file)}: is another file, of sha256 {found[:12]}...{way}"
            )
        return found


def parse_lora(text: str, option: str = "--lora") -> LoraChoice:
    """FILE[:WEIGHT][@NETWORK]; a folder stands for the LoRA in it.

    Raises:
        ConfigError: the weight is none, or the folder holds a bridge's adapter.
        CheckpointError: there is no such file.
    """
    name, weight, network = text, None, ""
    before, at, last = name.rpartition("@")
    if at and before and last in EXPERTS and not home_expanded(name).exists():
        name, network = before, last
    before, colon, number = name.rpartition(":")
    if colon and before and not home_expanded(name).exists():
        with suppress(ValueError):
            name, weight = before, float(number)
    path = home_expanded(name)
    if path.is_dir():
        path = next((path / inner for inner in _IN_FOLDERS if (path / inner).is_file()), path)
    if (path.parent / ADAPTER).is_file() or (path / ADAPTER).is_file():
        raise ConfigError(
            f"{option} {text}: is a bridge of fbridge finetune and no LoRA of a base; use it as "
            "--model"
        )
    if not path.is_file():
        raise CheckpointError(
            f"{option} {text}: no such LoRA file; write FILE or FILE:WEIGHT, such as "
            "style.safetensors:0.8, and of a pair of networks @high or @low behind it"
        )
    return LoraChoice(path, weight, network)


def absolute_lora(text: str) -> str | None:
    """What `parse_lora` takes, with an absolute path; None where there is no such file."""
    try:
        choice = parse_lora(text)
    except FBridgeError:
        return None
    weight = "" if choice.weight is None else f":{choice.weight!r}"
    return f"{choice.file.absolute()}{weight}{choice.network and f'@{choice.network}'}"


def recorded_choices(
    records: Sequence[Mapping[str, Any]],
    given: Sequence[LoraChoice],
    wanted_by: str,
    remedy: str = "put it back, or name its place with --lora (loras= in Python)",
) -> tuple[list[LoraChoice], list[LoraChoice]]:
    """The LoRAs of a record where they are now, and those of `given` that are none of them.

    A given file stands in for a recorded one that is not in its place any more, if it is that one
    by its sha256. What is nowhere stays as it was recorded: `LoraChoice.check` raises for it.

    Raises:
        ConfigError: a weight is given for such a file, and another one is recorded.
    """
    used: list[LoraChoice] = []
    wanted = []
    for record in (LoraRecord(**one) for one in records):
        place = Path(record.path or record.name)
        choice = LoraChoice(place, record.weight, record.network, record.sha256, wanted_by, remedy)
        if given and not (place.is_file() and hash_files([place]) == record.sha256):
            for other in given:  # one file may have changed both networks of a pair
                if other.file.is_file() and hash_files([other.file]) == record.sha256:
                    _check_weight(other, record, wanted_by)
                    choice = replace(choice, file=other.file)
                    used.append(other)
                    break
        wanted.append(choice)
    return wanted, [other for other in given if other not in used]


def _check_weight(given: LoraChoice, record: LoraRecord, wanted_by: str) -> None:
    if given.weight not in (None, record.weight):
        raise ConfigError(
            f"--lora {given.file}:{given.weight:g}: {wanted_by} was made with this file at weight "
            f"{record.weight:g}; leave the weight out"
        )
