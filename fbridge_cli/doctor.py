"""`fbridge doctor`: the machine, and what a model needs of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fbridge.choices import ENGINES
from fbridge_cli.engines import ask_cluster, chosen_engine, show_cluster
from fbridge_cli.options import INPUT, MEMORY, MODEL, Base, Expert, Json, option
from fbridge_cli.ui import Ui

if TYPE_CHECKING:
    from fbridge.config import Config

PACKAGES = (
    "torch", "diffusers", "transformers", "accelerate", "peft", "safetensors", "av", "decord",
    "torchao", "bitsandbytes", "gguf",
)  # fmt: skip
ENCODERS, DECODERS = ("libx264", "gif", "libwebp_anim"), ("h264", "hevc", "vp9", "av1")


def doctor(
    config: Path | None = typer.Argument(
        None,
        metavar="[CONFIG]",
        help="Configuration of fbridge finetune: its model and data.",
        show_default=False,
    ),
    model: str | None = option(
        None, MODEL, "As --base of finetune; by default the configuration's.", metavar="MODEL"
    ),
    components: str | None = option(
        None, MODEL, "Folder with the parts that bare weights lack.", metavar="DIR"
    ),
    expert: Expert = None,
    base: Base = None,
    frames: int | None = option(
        None, INPUT, "Of a clip; by default the data set's or the model's.", metavar="N"
    ),
    size: str | None = option(
        None, INPUT, "Of a clip; by default the data set's or the model's.", metavar="WxH"
    ),
    device: str = option("auto", MEMORY, "auto, cpu, cuda, ...: where it would run."),
    memory: float | None = option(
        None, MEMORY, "GB of an accelerator that is not here: what would fit on it.", metavar="GB"
    ),
    engine: str = option(
        "local", MEMORY, "ray: also what a Ray cluster has.", metavar="local|ray", known=ENGINES
    ),
    ray_address: str | None = option(
        None, MEMORY, "As that of fbridge prepare.", metavar="ADDRESS"
    ),
    json: Json = False,
) -> None:
    """Print what this machine has and what a model would need: memory, time, memory options.

    Example:
        fbridge doctor

        fbridge doctor bridge.toml

        fbridge doctor --model Wan-AI/Wan2.1-T2V-1.3B-Diffusers --memory 24

        fbridge doctor --engine ray --ray-address 10.0.0.1:6379
    """
    from fbridge.checks import check_device, home_expanded, parse_size
    from fbridge.errors import ConfigError
    from fbridge_cli.runtime import present_device, quiet

    ui = Ui(machine=json)
    check_device(device)
    if memory is not None and not 0 < memory < float("inf"):
        raise ConfigError(f"--memory {memory:g}: GB of an accelerator, such as 24")
    if config is None and model is None:
        _check_no_model(components, expert, base, frames, size, memory)
    on_ray = chosen_engine(engine, ray_address=ray_address)
    with quiet():
        place = present_device(device)
        found: dict[str, Any] = {"machine": _machine(place)}
        if config is not None or model is not None:
            settings = _settings(config, base=model, components=components, expert=expert)
            with ui.waiting("measuring one block"):
                from fbridge.memory.assess import assess

                at = None if base is None else str(home_expanded(base))
                needs = assess(
                    settings, place, frames=frames, size=parse_size(size), base=at, memory=memory
                )
            found["model"] = needs.to_json()
        if on_ray:
            with ui.waiting("asking the cluster"):
                found["cluster"] = ask_cluster(ray_address)
    if json:
        ui.json(found)
        return
    ui.facts([(name, value) for name, value in _lines(found["machine"]) if value])
    if "model" in found:
        _show(found["model"], ui)
    if on_ray:
        show_cluster(found["cluster"], ui)


def _machine(device: str) -> dict[str, Any]:
    import platform
    import shutil
    from importlib import metadata

    import psutil
    import torch

    from fbridge.errors import CheckpointError
    from fbridge.files.hashing import hash_model
    from fbridge.loaders.locate import EMBEDDED, locate_model
    from fbridge.weights import ENTRIES, cache_folder, find_weights

    gpus = [
        {"name": torch.cuda.get_device_name(n), "memory": torch.cuda.mem_get_info(n)[1]}
        for n in range(torch.cuda.device_count())
    ]
    present = []
    for name, entry in ENTRIES.items():
        try:
            find_weights(entry)
            present.append(name)
        except CheckpointError:
            continue
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = ""
    here = cache_folder()
    while not here.exists():
        here = here.parent
    return {
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "free_memory": psutil.virtual_memory().available,
        "gpus": gpus,
        "device": device,
        "packages": versions,
        "codecs": _codecs(),
        "embedded": hash_model(locate_model(EMBEDDED))[:12],
        "metric_weights": present,
        "cache": str(cache_folder()),
        "free_disk": shutil.disk_usage(here).free,
    }


def _codecs() -> dict[str, list[str]]:
    import av

    def has(name: str, mode: str) -> bool:
        try:
            av.codec.Codec(name, mode)  # type: ignore[arg-type]
        except ValueError:
            return False
        return True

    return {
        "encodes": [name for name in ENCODERS if has(name, "w")],
        "decodes": [name for name in DECODERS if has(name, "r")],
    }


def _lines(machine: dict[str, Any]) -> list[tuple[str, str]]:
    have = [f"{name} {number}" for name, number in machine["packages"].items() if number]
    lack = [name for name, number in machine["packages"].items() if not number]
    gpus = [f"{gpu['name']} ({_size(gpu['memory'])})" for gpu in machine["gpus"]]
    codecs = machine["codecs"]
    return [
        ("system", machine["system"]),
        ("processor", f"{machine['cores']} cores, {_size(machine['memory'])} of memory "
                      f"({_size(machine['free_memory'])} free)"),
        ("GPU", ", ".join(gpus) or "none that torch knows"),
        ("packages", ", ".join(have)),
        ("not here", ", ".join(lack)),
        ("video", f"reads {', '.join(codecs['decodes'])}; writes {', '.join(codecs['encodes'])}"),
        ("embedded model", machine["embedded"]),
        ("metric networks", ", ".join(machine["metric_weights"]) or f"none; {_how()}"),
        ("cache", f"{machine['cache']} ({_size(machine['free_disk'])} free)"),
    ]  # fmt: skip


def _how() -> str:
    """How a missing metric network comes here."""
    from fbridge.files.hub import offline_variable

    forbidden = offline_variable()
    if forbidden:
        return f"{forbidden} forbids fetching them"
    return "fbridge eval fetches one on its first use, fbridge weights list names them"


def _settings(config: Path | None, **typed: str | None) -> Config:
    from fbridge.config import load_config
    from fbridge.errors import ConfigError

    options = {key: value for key, value in typed.items() if value is not None}
    found = load_config(file=config, environment=os.environ, options=options).config
    if found.base is None:
        raise ConfigError("no model to judge; name one: base in the configuration, or --model")
    return found


def _check_no_model(*values: Any) -> None:
    """Refuse options that would have no effect."""
    from fbridge.errors import ConfigError

    names = ("components", "expert", "base", "frames", "size", "memory")
    for name, value in zip(names, values, strict=True):
        if value is not None:
            raise ConfigError(
                f"--{name}: is about a model; name one by --model, or a configuration with one"
            )


def _show(needs: dict[str, Any], ui: Ui) -> None:
    clip = needs["clip"]
    ui.result("")
    speed = needs["speed"]
    told = "" if speed is None else f" free; {speed / 1e9:,.0f} GFLOP/s in one block"
    ui.result(
        f"{needs['name']}: {clip['frames']} frames of {clip['width']}x{clip['height']} on "
        f"{needs['device']} ({_size(needs['room'])}{told})"
    )
    rows = [_row("prepare", needs["prepare"], 1)]
    for command, each in (("train", needs["steps"]), ("generate", 1)):
        rows += [_row(command, entry, each) for entry in needs[command][: _shown(needs[command])]]
    columns = ["", "with", "memory", "time", "fits"]
    if speed is None:
        columns.remove("time")
        rows = [[*row[:3], row[4]] for row in rows]
    ui.table(columns, rows)
    for command in ("train", "generate"):
        entries = needs[command]
        fitting = [entry["how"] for entry in entries if entry["fits"]]
        if not fitting:
            ui.result(f"{command}: does not fit with any of these switches")
        elif not entries[0]["fits"]:
            ui.result(f"{command}: fits with all switches up to {fitting[0]}")
    rough = "" if speed is None else ", time of arithmetic alone at one block's speed"
    ui.note(f"rough: memory of fused attention{rough}")


def _shown(entries: list[dict[str, Any]]) -> int:
    """How many entries are shown: up to the first that fits."""
    return next((n + 1 for n, entry in enumerate(entries) if entry["fits"]), len(entries))


def _row(command: str, entry: dict[str, Any], times: int) -> list[str]:
    seconds = entry["seconds"]
    whole = f", {_time(seconds * times)} in all" if times > 1 and seconds is not None else ""
    how = entry["how"] if entry["how"] in {"as it is", "a clip"} else f"and {entry['how']}"
    return [
        command, how, _size(entry["memory"]), _time(seconds) + whole,
        "yes" if entry["fits"] else "no",
    ]  # fmt: skip


def _size(count: int) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count / 1e3:.0f} kB"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for unit, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.2g} s"
