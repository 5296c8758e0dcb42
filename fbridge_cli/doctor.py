"""`fbridge doctor`: the machine, and what a model needs of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fbridge_cli.ui import Ui

if TYPE_CHECKING:
    from fbridge.config import Config
    from fbridge.memory.estimator import Estimator
    from fbridge.memory.plans import ClipShape, Requirements

PACKAGES = (
    "torch", "diffusers", "transformers", "accelerate", "peft", "safetensors", "av", "decord",
    "torchao", "bitsandbytes", "gguf",
)  # fmt: skip
ENCODERS, DECODERS = ("libx264", "gif", "libwebp_anim"), ("h264", "hevc", "vp9", "av1")


def doctor(
    config: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CONFIG]", help="Of fbridge finetune: its model and data.", show_default=False
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="MODEL", help="As --base has it; else the configuration's."
        ),
    ] = None,
    components: Annotated[
        str | None, typer.Option(metavar="DIR", help="What bare weights lack.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(metavar="N", help="Of a clip; else the data's or the model's.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Of a clip; else the data's or the model's.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...: where it would run.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Tell what this machine has and, of a model, what it would need: memory, time, switches.

    Example:
        fbridge doctor

        fbridge doctor bridge.toml

        fbridge doctor --model Wan-AI/Wan2.1-T2V-1.3B-Diffusers
    """
    from fbridge_cli.checks import check_device
    from fbridge_cli.runtime import present_device, quiet

    ui = Ui(machine=json)
    check_device(device)
    with quiet():
        place = present_device(device)
        told: dict[str, Any] = {"machine": _machine(place)}
        if config is not None or model is not None:
            settings = _settings(config, model, components)
            told["model"] = _judged(settings, place, frames, size, ui)
    if json:
        ui.json(told)
        return
    ui.facts([(name, value) for name, value in _lines(told["machine"]) if value])
    if "model" in told:
        _show(told["model"], ui)


def _machine(device: str) -> dict[str, Any]:
    import platform
    import shutil
    from importlib import metadata

    import psutil
    import torch

    from fbridge.errors import CheckpointError
    from fbridge.loaders.locate import EMBEDDED, hash_model, locate_model
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
        "embedded": hash_model(locate_model(EMBEDDED, {}))[:12],
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
        ("metric networks", ", ".join(machine["metric_weights"]) or "none; fbridge weights list"),
        ("cache", f"{machine['cache']} ({_size(machine['free_disk'])} free)"),
    ]  # fmt: skip


def _settings(config: Path | None, model: str | None, components: str | None) -> Config:
    from fbridge.config import load_config
    from fbridge.errors import ConfigError

    typed = {"base": model, "components": components}
    options = {key: value for key, value in typed.items() if value is not None}
    found = load_config(file=config, environment=os.environ, options=options).config
    if found.base is None:
        raise ConfigError("no model to judge; name one: base in the configuration, or --model")
    return found


def _judged(
    settings: Config, device: str, frames: int | None, size: str | None, ui: Ui
) -> dict[str, Any]:
    """What preparing, training and generating would need, and what makes it less."""
    from fbridge.memory.estimator import Estimator
    from fbridge.memory.model_sizes import model_sizes
    from fbridge.memory.plans import (
        GenerationPlan,
        TrainingPlan,
        cheaper_ways_to_generate,
        cheaper_ways_to_train,
    )

    assert settings.base is not None
    parts = model_sizes(settings.base, components=settings.components)
    estimator = Estimator(parts)
    clip = _clip(settings, estimator, frames, size)
    train = settings.train
    dtype = {"bf16": "bfloat16", "fp16": "float16"}.get(train.precision, "float32")
    with ui.waiting("trying one block"):
        estimator.speed = estimator.probe(clip, device, dtype)
    room = _room(device)
    accelerated = device != "cpu"
    make = GenerationPlan(clip, guided=parts.family.guidance != 1)
    learn = TrainingPlan(
        clip,
        batch=train.batch_size,
        steps=train.steps * train.gradient_accumulation,
        precision=dtype,
        rank=settings.lora.rank,
        kept="" if settings.lora.quantize == "none" else settings.lora.quantize,
        checkpointing=train.gradient_checkpointing,
        optimizer=train.optimizer,
        averaged=settings.ema.kind != "none",
        parts=1 if settings.prior.kind in {"auto", "repeat"} else 2,
    )
    with ui.waiting("counting"):
        ways = cheaper_ways_to_generate(make, accelerated=accelerated)
        generating = [("as it is", estimator.generate(make))]
        generating += [(name, estimator.generate(how)) for name, how in ways]
        training = [("as it is", estimator.train(learn))]
        training += [(n, estimator.train(how)) for n, how in cheaper_ways_to_train(learn)]
        preparing = estimator.prepare(clip)
    return {
        "name": settings.base,
        "clip": clip._asdict(),
        "device": device,
        "room": room,
        "speed": estimator.speed,
        "steps": learn.steps,
        "prepare": _entry("a clip", preparing, room),
        "train": [_entry(name, needs, room) for name, needs in training],
        "generate": [_entry(name, needs, room) for name, needs in generating],
    }


def _clip(
    settings: Config, estimator: Estimator, frames: int | None, size: str | None
) -> ClipShape:
    from fbridge.data.latents import LatentDataset
    from fbridge.memory.plans import ClipShape
    from fbridge_cli.checks import parse_size

    if settings.data and Path(settings.data).is_dir():
        data = LatentDataset(settings.data)
        most = int(data.bucket.mode().values)
        width, height, count = map(int, str(data.index["buckets"][most]["bucket"]).split("x"))
        usual = ClipShape(count, width, height)
    else:
        usual = estimator.usual_clip()
    asked = parse_size(size) or (usual.width, usual.height)
    return ClipShape(frames or usual.frames, *asked)


def _room(device: str) -> int:
    import psutil
    import torch

    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _entry(name: str, needs: Requirements, room: int) -> dict[str, Any]:
    return {"how": name, **needs._asdict(), "fits": needs.memory <= room}


def _show(told: dict[str, Any], ui: Ui) -> None:
    clip = told["clip"]
    ui.result("")
    ui.result(
        f"{told['name']}: {clip['frames']} frames of {clip['width']}x{clip['height']} on "
        f"{told['device']} ({_size(told['room'])} free; {told['speed'] / 1e9:,.0f} GFLOP/s in one "
        "block)"
    )
    rows = [_row("prepare", told["prepare"], 1)]
    for command, each in (("train", told["steps"]), ("generate", 1)):
        rows += [_row(command, entry, each) for entry in told[command][: _shown(told[command])]]
    ui.table(["", "with", "memory", "time", "fits"], rows)
    for command in ("train", "generate"):
        entries = told[command]
        fitting = [entry["how"] for entry in entries if entry["fits"]]
        if not fitting:
            ui.result(f"{command}: does not fit here with any of these switches")
        elif not entries[0]["fits"]:
            ui.result(f"{command}: fits with all switches up to {fitting[0]}")
    ui.note("rough: memory of fused attention, time of arithmetic alone at one block's speed")


def _shown(entries: list[dict[str, Any]]) -> int:
    """As it is, and as many switches as it takes to fit."""
    return next((n + 1 for n, entry in enumerate(entries) if entry["fits"]), len(entries))


def _row(command: str, entry: dict[str, Any], times: int) -> list[str]:
    whole = f", {_time(entry['seconds'] * times)} in all" if times > 1 else ""
    how = entry["how"] if entry["how"] in {"as it is", "a clip"} else f"and {entry['how']}"
    return [
        command, how, _size(entry["memory"]), _time(entry["seconds"]) + whole,
        "yes" if entry["fits"] else "no",
    ]  # fmt: skip


def _size(count: int) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count / 1e3:.0f} kB"


def _time(seconds: float) -> str:
    for unit, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.2g} s"
