"""Experts: one network of a pair that share a flow, one for much noise and one for little.

Wan 2.2 A14B is such a pair. `high` answers flow times from the boundary on, `low` those below it.
The tensors of both are named and shaped as Wan 2.1 14B's, so that only what lies around a file can
tell them apart: the pipeline's folder that it is in, and names of files, folders and metadata.
Published as single files, the names of a pair differ in one word, `high` or `low`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from fbridge.choices import BOTH, EXPERTS
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.configs import has_component, named_library, read_json
from fbridge.files.weight_files import find_weight_file
from fbridge.scheduler import FrameBridgeScheduler

if TYPE_CHECKING:
    from fbridge.loaders.resolve import ResolvedModel

Expert: TypeAlias = Literal["", "low", "high", "unknown"]
"""None, for little noise, for much noise, or it may be one."""
SECOND = "transformer_2"
"""The network for little noise, in a pipeline of diffusers; "transformer" is that for much."""
BRIDGE_OF_BOTH = (
    "is a bridge of both networks of a pair, and one of them alone is asked for; name the folder "
    "of the text-to-video pair, and add --expert low or --expert high"
)
_PAIR = "A14B"
_SIGNS = {
    "high": re.compile("high[_ .-]?noise|[_.-]high([_.-]|$)", re.I),
    "low": re.compile("low[_ .-]?noise|[_.-]low([_.-]|$)", re.I),
    "": re.compile(r"wan[_ .-]?2[._]1", re.I),
}
_SIDE = re.compile(r"(?<![a-z])(high|low)(?=[ _.-]|noise|$)", re.I)
_TITLES = ("modelspec.title", "general.name", "general.basename", "title", "name")
"""Keys of the metadata that name a model."""


def find_expert(model: ResolvedModel) -> Expert:
    """Which expert a model's network is, as `--expert` says or as far as its place tells.

    Raises:
        ConfigError: `--expert` is given for what cannot be one.
    """
    found = model.detected
    known = "" if found is None or found.variant is None else found.variant.name
    if model.asked_expert:
        if found is None or not found.family.boundary or (known and _PAIR not in known):
            raise _no_pair(model.asked_expert, model.name, known)
        if model.asked_expert == BOTH:
            return ""
        return "low" if model.asked_expert == EXPERTS[0] else "high"
    if found is None:
        return ""
    folder = model.path.parent
    if (folder.parent / SECOND).is_dir() and folder.name in ("transformer", SECOND):
        return "low" if folder.name == SECOND else "high"
    if _PAIR not in known or (folder.parent / "model_index.json").is_file():
        return ""
    return told_expert(model.path, model.header.metadata)


def told_expert(path: Path, metadata: Mapping[str, str]) -> Expert:
    """Which network a file is or is for, by its name, its folder's and its metadata."""
    signs = set(_signs(path, metadata))
    return next(iter(signs)) if len(signs) == 1 else "unknown"


def other_file(path: Path) -> tuple[Expert, Path]:
    """Which network of a pair a file is by its name, and the file of the other one.

    Raises:
        CheckpointError: its name does not tell, or there is no such file.
    """
    sides = {found[1].lower() for found in _SIDE.finditer(path.name)}
    if len(sides) != 1:
        raise CheckpointError(
            f"{path}: --expert both takes the file of the other network whose name has high for "
            "low, or low for high, and this name does not tell which it is; name the two files so, "
            "such as wan_high_noise.gguf and wan_low_noise.gguf"
        )
    name, folder = (_SIDE.sub(_flip, part) for part in (path.name, path.parent.name))
    places = [path.with_name(name), path.parent.parent / folder / name]
    for place in places:
        if place.is_file():
            return ("high" if sides == {"high"} else "low"), place
    raise CheckpointError(
        f"{path}: the other network of the pair is not beside it; put {name} there, or take one "
        "network alone: --expert low for that for little noise"
    )


def _flip(found: re.Match[str]) -> str:
    """`high` for `low` and the other way round, in the same letters' case."""
    other = "low" if found[1].lower() == "high" else "high"
    if found[1].isupper():
        return other.upper()
    return other.capitalize() if found[1][0].isupper() else other


def expert_weights(folder: Path, index: Mapping[str, Any], expert: str) -> Path:
    """The weights of one network of a pair's folder.

    Raises:
        ConfigError: it is no pair, or a bridge of both.
        CheckpointError: its weights are not here.
    """
    check_pair_folder(folder, index, expert)
    if index.get("second") or named_library(dict(index), "scheduler") == "fbridge.scheduler":
        raise ConfigError(f"--expert {expert}: {folder} {BRIDGE_OF_BOTH}")
    part = folder / (SECOND if expert == EXPERTS[0] else "transformer")
    weights = find_weight_file(part)
    if weights is None:
        raise CheckpointError(f"{part}: its weights are not here; get the whole folder")
    return weights


def check_pair_folder(folder: Path, index: Mapping[str, Any], expert: str) -> None:
    """Raise ConfigError where a folder that `--expert` is given for holds no pair."""
    if not (has_component(dict(index), SECOND) or index.get("second")):
        raise _no_pair(expert, folder)


def _no_pair(expert: str, name: str | Path, known: str = "") -> ConfigError:
    about = "a pair of networks" if expert == BOTH else "one network of a pair"
    return ConfigError(
        f"--expert {expert}: is about {about} such as Wan 2.2 A14B, and {name} is "
        f"{known or 'none'}; leave it out"
    )


def _signs(path: Path, metadata: Mapping[str, str]) -> Iterator[Expert]:
    titles = [str(metadata[key]) for key in _TITLES if key in metadata]
    for name in (path.stem, path.parent.name, *titles):
        for sign, pattern in _SIGNS.items():
            if pattern.search(name):
                yield sign  # type: ignore[misc]


def find_boundary(model: ResolvedModel) -> float:
    """The share of the flow's time from which on the expert for much noise answers.

    Raises:
        CheckpointError: the pair's index says something else than a share.
    """
    folder = model.path if model.path.is_dir() else model.path.parent.parent
    index = folder / "model_index.json"
    held = read_json(index) if index.is_file() else {}
    if not has_component(held, SECOND):
        return float(model.family.boundary or 0)
    share = held.get("boundary_ratio")
    if not isinstance(share, int | float) or not 0 < share < 1:
        raise CheckpointError(
            f"{index}: boundary_ratio is {share!r} where a share of the flow's time is needed, at "
            "which its two networks change; get the file again"
        )
    return float(share)


def limit_noise(model: ResolvedModel, noise: dict[str, Any]) -> dict[str, Any]:
    """A flow's description, with the times that an expert was trained on."""
    if not noise or model.expert not in EXPERTS:
        return noise
    at = find_boundary(model) * float(noise.get("time_scale", 1000.0))
    return {**noise, "highest" if model.expert == "low" else "lowest": at}


def expert_remark(model: ResolvedModel) -> str:
    """What is to be said of a network that is, or may be, an expert; "" of any other."""
    if not model.expert:
        return ""
    if model.expert == "unknown":
        return (
            "has the names and shapes of Wan 2.1 14B and of both networks of Wan 2.2 A14B, and its "
            "name does not tell which it is; it is taken as Wan 2.1's: if it is one of A14B's, say "
            "which with --expert low or --expert high"
        )
    noise, _ = model.noise_and_prediction(model.config)
    share = find_boundary(model)
    if model.expert == "high":
        return (
            f"is the expert for much noise of Wan 2.2 A14B, which never saw times below {share:g} "
            "of the flow and cannot end a video alone; take the one for little noise, or the pair"
        )
    text = (
        f"is the expert for little noise of Wan 2.2 A14B, which never saw times above {share:g} of "
        "the flow"
    )
    if not noise:
        return text
    last = FrameBridgeScheduler(prediction="aligned-flow", base=noise).time_range[1]
    return f"{text}: untrained, it starts at --strength {shown_limit(last)} or less"


def pair_remark(model: ResolvedModel) -> str:
    """Where on the bridge the two networks of a text-to-video pair's folder change."""
    if model.kind == "bridge":
        return "is a bridge of both networks of a pair"
    noise, _ = model.noise_and_prediction(model.config)
    share = find_boundary(model)
    text = f"is a pair of networks, which change at {share:g} of the flow"
    if not noise:
        return text
    below = {**noise, "highest": share * float(noise["time_scale"])}
    last = FrameBridgeScheduler(prediction="aligned-flow", base=below).time_range[1]
    return (
        f"{text}: untrained, at --strength {shown_limit(last)} or less that for little noise alone "
        "answers (--expert low takes it alone, in half the memory)"
    )


def shown_limit(strength: float) -> str:
    """A largest strength, rounded down."""
    return f"{int(100 * strength) / 100:g}"
