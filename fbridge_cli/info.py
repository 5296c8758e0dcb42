"""`fbridge info`: describe a model from its configurations and headers."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import typer

from fbridge.checks import home_expanded
from fbridge.errors import CheckpointError, ConfigError
from fbridge.generate.request import names_store
from fbridge_cli import runtime
from fbridge_cli.options import MODEL, ExpertOrBoth, Json, option
from fbridge_cli.ui import Ui
from fbridge_cli.urls import place, renaming

if TYPE_CHECKING:
    from fbridge.loaders.inspect import InspectedModel
    from fbridge.loaders.inspect_lora import InspectedLora

Told: TypeAlias = Callable[[str], str]
_KINDS = {
    "weights": "weights of a network alone",
    "whole": "a whole model in one file",
    "base": "a text-to-video base in one file",
    "pipeline": "a text-to-video pipeline",
    "bridge": "an image-to-video bridge",
    "adapter": "an adapter (LoRA) of a bridge",
}
_EXPERTS = {
    "": "",
    "low": "for little noise, of a pair",
    "high": "for much noise, of a pair",
    "unknown": "cannot be told",
}


def info(
    model: str = typer.Argument(
        metavar="MODEL",
        help="A file of weights or a LoRA, a pipeline's, bridge's or run's folder, also in a "
        "bucket (s3://...), or a hub id.",
        show_default=False,
    ),
    components: str | None = option(
        None, MODEL, "Folder or hub id with what bare weights lack.", metavar="DIR"
    ),
    expert: ExpertOrBoth = None,
    json: Json = False,
) -> None:
    """Show which model a file or folder is and what it lacks, without reading weights.

    Example:
        fbridge info wan2.1_t2v_1.3B.safetensors

        fbridge info style.safetensors
    """
    ui = Ui(machine=json)
    with runtime.quiet():
        from fbridge.loaders.inspect import inspect_model
        from fbridge.loaders.inspect_lora import is_lora

        beside = None if components is None else str(home_expanded(components))
        folder, told = _near(model)
        with renaming(told):
            if is_lora(folder):
                _show_lora(folder, told, ui, {"--components": components, "--expert": expert})
                return
            name = str(folder) if folder.exists() else model
            found = _told(inspect_model(name, components=beside, expert=expert), told)
    if json:
        ui.json(asdict(found))
    else:
        ui.facts([(name, value) for name, value in _facts(found) if value])
    if found.refused:
        raise CheckpointError(f"{found.path}: {found.refused}")
    if not json:
        for text in _advice(found):
            ui.note(text)


def _near(model: str) -> tuple[Path, Told]:
    """A model's place on this machine, and how texts about it name what the user has named."""
    if not names_store(model):
        return home_expanded(model), str
    from fbridge.data.stores.kept import keep, kept_told

    url = place("MODEL", model)
    assert not isinstance(url, Path), "names_store said so"
    return keep(url), partial(kept_told, url=url)


_Found = TypeVar("_Found", "InspectedModel", "InspectedLora")


def _told(found: _Found, told: Told) -> _Found:
    """What was found, with all texts by `told`."""
    texts: dict[str, Any] = {
        name: told(value) for name, value in vars(found).items() if isinstance(value, str)
    }
    return replace(found, **texts)


def _show_lora(path: Path, told: Told, ui: Ui, options: Mapping[str, str | None]) -> None:
    from fbridge.loaders.inspect_lora import inspect_lora

    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"{name} {value}: is about a model, and {path} is a LoRA; drop it")
    found = _told(inspect_lora(path), told)
    if ui.machine:
        ui.json({"kind": "lora", **asdict(found)})
        return
    ui.facts([(name, value) for name, value in _lora_facts(found) if value])
    network = f"@{found.expert}" if found.expert else ""
    ui.note(
        "to use it: fbridge generate PICTURE -p PROMPT --model MODEL --lora "
        f"{shlex.quote(found.path + network)}"
    )


def _lora_facts(found: InspectedLora) -> list[tuple[str, str]]:
    low, high = found.ranks
    rank = "" if not high else f", rank {low}" if low == high else f", ranks {low} to {high}"
    whole = f", {found.whole} of them whole" if found.whole else ""
    steps = "" if found.steps is None else f"to {found.steps} steps, as its name says"
    model = found.variant or (f"one of the {found.family} family" if found.family else "")
    return [
        ("what", "a DoRA of a network" if found.dora else "a LoRA of a network"),
        ("made for", model or "a network of no known family"),
        ("expert", _EXPERTS[found.expert]),
        ("tensors", f"{found.tensors} ({', '.join(found.dtypes)})"),
        ("updates", f"{found.updates}{rank}{whole}"),
        ("distilled", steps),
        ("trained on", found.trained_on),
        ("words", found.words),
    ]


def _advice(found: InspectedModel) -> list[str]:
    """What the model can be used for, as command lines; only of what would load."""
    notes = [f"it {text}" for text in (found.unknown_bridge, found.remark) if text]
    if found.missing or found.kind not in {"weights", "whole", "base", "pipeline"}:
        return notes
    model = shlex.quote(found.path)
    parts = f" --components {shlex.quote(found.given)}" if found.given else ""
    expert = f" --expert {found.asked_expert}" if found.asked_expert else ""
    if not found.unknown_bridge and found.expert != "high":
        notes.append(
            f"to use it: fbridge generate PICTURE -p PROMPT --model {model}{parts}{expert}"
        )
    if not found.network.get("parts"):
        if found.pair:  # one of them is trained at a time
            model, expert = shlex.quote(found.second or found.path), " --expert low"
        notes.append(f"to train it: fbridge finetune --base {model}{parts}{expert} --data DIR")
    return notes


def _facts(found: InspectedModel) -> list[tuple[str, str]]:
    model = found.variant or (f"of the {found.family} family" if found.family else "")
    return [
        ("what", _KINDS[found.kind]),
        ("model", model),
        ("expert", _EXPERTS[found.expert]),
        ("other network", found.second),
        ("differs", "; ".join(found.differences)),
        ("base", found.base),
        ("tensors", _tensors(found)),
        ("names", _names(found)),
        (
            "also holds",
            ", ".join(f"{name} ({count} tensors)" for name, count in found.others.items()),
        ),
        ("predicts", _prediction(found)),
        ("distilled", found.distilled),
        ("latents", _latents(found)),
        ("video", _video(found)),
        ("words", _words(found)),
        ("knows", found.world),
        ("parts", found.components),
        ("lacks", ", ".join(found.missing)),
    ]


def _tensors(found: InspectedModel) -> str:
    kinds = ", ".join(found.dtypes)
    return f"{found.tensors} of {_rounded(found.parameters)} numbers ({kinds})"


def _rounded(count: int) -> str:
    for size, name in ((10**9, "billion"), (10**6, "million")):
        if count >= size:
            return f"{count / size:.2f} {name}"
    return f"{count:,}"


def _names(found: InspectedModel) -> str:
    if not found.style:
        return ""
    whose = "diffusers'" if found.style == "diffusers" else "the makers' own"
    return whose + (f", below {found.prefix!r}" if found.prefix else "")


def _prediction(found: InspectedModel) -> str:
    noise = " ".join(str(value) for key, value in found.noise.items() if key == "kind")
    numbers = ", ".join(f"{key} {value:g}" for key, value in found.noise.items() if key != "kind")
    text = f"{found.prediction}, on {noise} noise" if noise else found.prediction
    return f"{text} ({numbers})" if numbers else text


def _latents(found: InspectedModel) -> str:
    if not found.network:
        return ""
    side, parts = found.network["patch"], found.network["parts"]
    room = {0: "no room yet for prior or picture", 1: "room for the prior"}
    text = room.get(parts, "room for prior and picture")
    return f"{found.network['latents']} channels, sides in multiples of {side}; {text}"


def _video(found: InspectedModel) -> str:
    if not found.video:
        return ""
    usual, least, most, step = found.video["frames"]
    text = f"{usual} frames" if least == most else f"{usual} frames ({least} to {most} by {step})"
    text += f" at {found.video['fps']:g} fps"
    grid = found.video.get("grid")
    return text + (f", {grid[0]}x{grid[1]} latent pixels" if grid else "")


def _words(found: InspectedModel) -> str:
    if not found.network or not found.network["words"]:
        return ""
    text = f"{found.network['words']} features"
    return text + (f", {found.tokens} tokens at most" if found.tokens else "")
