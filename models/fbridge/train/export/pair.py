"""Write a model of both networks of a pair (Wan 2.2 A14B), which were trained one by one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file

from fbridge.choices import NOISE
from fbridge.errors import ConfigError
from fbridge.files.atomic import shown
from fbridge.files.configs import read_json
from fbridge.files.hashing import hash_model
from fbridge.files.tensors import read_header, sort_metadata
from fbridge.loaders.experts import SECOND
from fbridge.loaders.locate import ADAPTER, ADAPTER_WEIGHTS
from fbridge.loaders.lora import EXTRA, PRIOR, read_card
from fbridge.pipeline import FrameBridgePipeline
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.export.model_folder import replacing_model, save_model
from fbridge.train.export.of_model import is_model
from fbridge.train.export.result import export_run, usual_kind

_LIMITS = {"high": "lowest", "low": "highest"}
"""Keys of a base's flow, by the network whose times they limit."""
_SHARED = ("objective", "schedule", "prediction", "numbers", "image_input")


class _Trained(NamedTuple):
    """One network: what it was named as, the folder of its model, and its bridge's numbers."""

    named: Path
    folder: Path
    scheduler: dict[str, Any]

    @property
    def is_adapter(self) -> bool:
        return (self.folder / ADAPTER).is_file()


def export_pair(
    one: Path,
    other: Path,
    folder: Path,
    *,
    kind: str | None = None,
    dtype: torch.dtype | None = None,
    base: str | None = None,
) -> str | None:
    """Write a model of two networks.

    Args:
        one: run, model or adapter of either network.
        other: of the other one.
        folder: to write.
        kind: "merged", a whole pipeline; "lora", an adapter with that of the second network in
            its folder `transformer_2`; None: "lora" of two LoRAs, else "merged".
        dtype: of the stored weights; None: float32.
        base: where the base of LoRAs lies, if not where it was.

    Returns:
        Why stock diffusers cannot run it, with the way out; "" where it can; None of an adapter.

    Raises:
        CheckpointError: one of them does not load.
        ConfigError: they are not the two networks of one bridge.
    """
    with tempfile.TemporaryDirectory() as scratch:
        found = [
            _model_of(path, Path(scratch) / name, base)
            for path, name in ((one, "one"), (other, "other"))
        ]
        high, low = _sides(*found)
        scheduler = _join(high, low)
        adapters = high.is_adapter and low.is_adapter
        if kind == "lora" and not adapters:
            whole = low if high.is_adapter else high
            raise ConfigError(f"{shown(whole.named)}: was trained in full; use --merged")
        if not adapters:
            return save_model(_pipeline(high, low, scheduler, base), folder, dtype=dtype)
        if kind != "merged":
            _write_adapter(high, low, scheduler, folder, dtype)
            return None
        both = Path(scratch) / "both"
        _write_adapter(high, low, scheduler, both)
        pipeline = FrameBridgePipeline.from_pretrained(both, base=base)
        return save_model(pipeline, folder, dtype=dtype)


def _model_of(path: Path, scratch: Path, base: str | None) -> _Trained:
    """A run's result, unrounded, or a model as it is."""
    folder = path
    if not is_model(path):
        kind, folder = usual_kind(path), scratch
        if kind == "prior":
            raise ConfigError(f"{shown(path)}: is a prior, and --with joins two bridges")
        export_run(path, folder, kind=kind, base=base)
    if (folder / ADAPTER).is_file():
        return _Trained(path, folder, read_card(folder).scheduler)
    return _Trained(path, folder, read_json(folder / "scheduler/scheduler_config.json"))


def _sides(one: _Trained, other: _Trained) -> tuple[_Trained, _Trained]:
    """The network for much noise, and that for little."""
    sides = {_side(each): each for each in (one, other)}
    if len(sides) < 2:
        raise ConfigError(
            f"{shown(one.named)} and {shown(other.named)}: both are of the network "
            f"{NOISE[_side(one)]}; name a run of each: finetune --expert high, and --expert low"
        )
    return sides["high"], sides["low"]


def _side(trained: _Trained) -> str:
    known = trained.scheduler.get("base") or {}
    for side, key in _LIMITS.items():
        if key in known and trained.scheduler.get("boundary") is None:
            return side
    raise ConfigError(
        f"{shown(trained.named)}: is of no single network of a pair such as Wan 2.2 A14B, and "
        "--with joins two of them; leave it out"
    )


def _join(high: _Trained, low: _Trained) -> FrameBridgeScheduler:
    """The bridge of both; its defaults of sampling are those of the network for much noise.

    Raises:
        ConfigError: the two were trained as different bridges, or leave times between them out.
    """
    both = f"{shown(high.named)} and {shown(low.named)}"
    bases = [_without_limits(each.scheduler["base"]) for each in (high, low)]
    first, second = (_numbers(each) for each in (high, low))
    differing = [key for key in _SHARED if first.config[key] != second.config[key]]
    if bases[0] != bases[1]:
        differing.append("base")
    if differing:
        raise ConfigError(
            f"{both}: were trained as different bridges ({', '.join(differing)}); train both with "
            "the same [bridge], [prior] and [condition]"
        )
    (start, end), (begin, last) = second.time_range, first.time_range
    if start > 0 or last < 1 or end < begin:
        raise ConfigError(
            f"{both}: know bridge times from {start:.3f} to {end:.3f} and from {begin:.3f} to "
            f"{last:.3f}, which leaves some out; train them without [times]"
        )
    numbers = {key: value for key, value in first.config.items() if key[0] != "_"}
    numbers |= {
        "base": bases[0],
        "times": None,
        "boundary": high.scheduler["base"]["lowest"],
        "guidance_scale_2": second.config["guidance_scale"],
    }
    return FrameBridgeScheduler(**numbers)


def _numbers(trained: _Trained) -> Any:
    return FrameBridgeScheduler(**{k: v for k, v in trained.scheduler.items() if k[0] != "_"})


def _without_limits(base: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in base.items() if key not in _LIMITS.values()}


def _write_adapter(
    high: _Trained,
    low: _Trained,
    scheduler: FrameBridgeScheduler,
    folder: Path,
    dtype: torch.dtype | None = None,
) -> None:
    """Both adapters in one folder; what a card says of the bridge is of both."""
    cards = [read_card(each.folder) for each in (high, low)]
    both = f"{shown(high.named)} and {shown(low.named)}"
    for what in ("parts", "pipeline"):
        if getattr(cards[0], what) != getattr(cards[1], what):
            raise ConfigError(
                f"{both}: were trained as different bridges ({what}); train both with the same "
                "data, [prior] and [condition]"
            )
    priors = [_hash_of_prior(each) for each in (high, low)]
    if priors[0] != priors[1]:
        raise ConfigError(f"{both}: have different priors; train both over the same one")
    with replacing_model(folder) as part:
        shutil.copytree(high.folder, part, dirs_exist_ok=True)
        shutil.copytree(low.folder, part / SECOND, ignore=shutil.ignore_patterns(PRIOR))
        for place in (part, part / SECOND) if dtype is not None else ():
            _cast(place / ADAPTER_WEIGHTS, dtype)
            _cast(place / EXTRA, dtype)
        card = replace(cards[0], scheduler=scheduler.written(), second=SECOND)
        _drop_comfy(part / "README.md")
        (part / ADAPTER).write_text(card.text(), encoding="utf-8")


def _drop_comfy(readme: Path) -> None:
    """Leave out what ComfyUI cannot take of both networks at once."""
    if readme.is_file():
        lines = readme.read_text("utf-8").splitlines(keepends=True)
        kept = [line for line in lines if "--comfy" not in line]
        readme.write_text("".join(kept), encoding="utf-8")


def _cast(file: Path, dtype: torch.dtype | None) -> None:
    if file.is_file():
        metadata = read_header(file).metadata
        tensors = {name: value.to(dtype) for name, value in load_file(file).items()}
        file.unlink()
        save_file(tensors, file, dict(metadata))
        sort_metadata(file)


def _hash_of_prior(trained: _Trained) -> str:
    place = trained.folder / PRIOR
    return hash_model(place) if place.is_dir() else ""


def _pipeline(
    high: _Trained, low: _Trained, scheduler: FrameBridgeScheduler, base: str | None
) -> FrameBridgePipeline:
    """Of two models, at least one of which is whole."""
    pipelines = [
        FrameBridgePipeline.from_pretrained(each.folder, base=base if each.is_adapter else None)
        for each in (high, low)
    ]
    facts = [_facts(pipeline) for pipeline in pipelines]
    if facts[0] != facts[1] or not _same_network(*(each.prior for each in pipelines)):
        raise ConfigError(
            f"{shown(high.named)} and {shown(low.named)}: were trained as different bridges; train "
            "both with the same data, [prior] and [condition]"
        )
    for part in ("vae", "text_encoder"):
        if not _same_network(*(getattr(each, part) for each in pipelines)):
            raise ConfigError(
                f"{shown(high.named)} and {shown(low.named)}: are over different bases ({part}); "
                "train both networks of one base"
            )
    parts = {**pipelines[0].components, SECOND: pipelines[1].transformer, "scheduler": scheduler}
    return FrameBridgePipeline(**parts, **facts[0])


def _same_network(one: Any, other: Any) -> bool:
    """Whether two networks, or none, are the same but for a rounding to bfloat16."""
    if one is None or other is None:
        return one is other
    held, others = one.state_dict(), other.state_dict()
    return held.keys() == others.keys() and all(
        held[key].shape == value.shape
        and torch.allclose(held[key].float(), value.float(), rtol=2**-7, atol=1e-6)
        for key, value in others.items()
    )


def _facts(pipeline: FrameBridgePipeline) -> dict[str, Any]:
    names = ("frames", "fps", "sizes", "classes", "start_from", "reading", "world")
    return {name: pipeline.config[name] for name in names}
