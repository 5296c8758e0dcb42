"""Which of a pair's two networks each LoRA is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fbridge.backbones.family import Family
from fbridge.choices import EXPERTS, NOISE
from fbridge.errors import ConfigError
from fbridge.files.atomic import shown
from fbridge.loaders.experts import Expert, told_expert
from fbridge.loaders.lora_choice import LoraChoice


def check_loras(
    choices: Sequence[LoraChoice],
    family: Family,
    name: str,
    *,
    expert: Expert = "",
    pair: bool = False,
) -> None:
    """Raise ConfigError where LoRAs are given for a model that there are none of.

    Args:
        choices: of the LoRAs.
        family: of the model's network.
        name: of that model.
        expert: which network of a pair it is.
        pair: whether it is both.
    """
    if choices and not family.takes_loras:
        raise ConfigError(
            f"--lora: is about a text-to-video model such as Wan, and {name} is none; leave "
            "it out, or name the model that it was made for"
        )
    if pair:
        loras_of_pair(choices)
    else:
        _check_loras_of_one(choices, expert, name)


def loras_of_pair(choices: Sequence[LoraChoice]) -> dict[str, list[LoraChoice]]:
    """The LoRAs of each network of a pair, "high" and "low", as named or as their files' names say.

    Raises:
        ConfigError: neither tells which network one is for.
    """
    found: dict[str, list[LoraChoice]] = {"high": [], "low": []}
    for choice in choices:
        network = choice.network or told_expert(choice.file, {})
        if network not in EXPERTS:
            one = shown(choice.file)
            raise ConfigError(
                f"--lora {one}: is for one of two networks, and its name does not tell for which; "
                f"write {one}@low (little noise) or {one}@high, or give it twice for both"
            )
        found[network].append(replace(choice, network=network))
    return found


def _check_loras_of_one(choices: Sequence[LoraChoice], expert: Expert, name: str) -> None:
    """Raise ConfigError where a LoRA is for the other network of a pair, or there is no pair."""
    for choice in choices:
        one = shown(choice.file)
        if expert not in EXPERTS:
            if choice.network:
                raise ConfigError(
                    f"--lora {one}@{choice.network}: is about a pair of networks such as Wan 2.2 "
                    f"A14B, and {name} is none; leave @{choice.network} out"
                )
            continue
        told = choice.network or told_expert(choice.file, {})
        if told in EXPERTS and told != expert:
            way = "leave it out" if choice.network else f"or write {one}@{expert} to use it anyway"
            raise ConfigError(
                f"--lora {one}: is for the network {NOISE[told]}, and {name} is that "
                f"{NOISE[expert]}; take the one for it, {way}"
            )
