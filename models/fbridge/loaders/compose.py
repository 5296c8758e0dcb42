"""A pipeline's folder of parts that lie in single files, composed in the cache.

Weights are linked, not copied; configurations are made of their shapes (`fbridge.loaders.parts`).
Parts that lie in folders as diffusers has them are linked too, so that both kinds mix.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from fbridge.backbones.family import Family
from fbridge.backbones.noise_schedules import flow_noise
from fbridge.errors import CheckpointError, DependencyError
from fbridge.files.hashing import ORIGINAL, SAFETENSORS
from fbridge.files.tensors import Header, open_tensors, read_header
from fbridge.files.weight_files import GGUF
from fbridge.loaders.open_clip import load_tokenizer
from fbridge.loaders.parts import CLIP, VOCABULARY, Part, find_part, known_parts, part_config
from fbridge.loaders.single_file import once, stamp
from fbridge.weights import CLIP_MERGES, cache_folder, find_weights

_SHELVES = ("vae", "text_encoders", "clip")
"""Folders of ComfyUI, beside that of the networks, in which a model's other parts lie."""
_SUFFIXES = (*SAFETENSORS, ".pth", ".pt")
_VOCABULARIES = ("google/umt5-xxl", "t5-v1_1-xxl")
"""Where the makers of Wan put their tokenizer, beside the model's files."""
WORDS = ("tokenizer.json", "vocab.*", "*.model", "merges.txt")
"""Files of which a tokenizer has at least one."""
_SCHEDULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000}
_TOKENIZER = {
    "tokenizer_class": "T5Tokenizer",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "extra_ids": 0,
    "model_max_length": 512,
}

Content = Path | bytes | Callable[[Path], object]
"""Of a file or folder to be made: a link's target, bytes, or what writes it."""


class LackingParts(CheckpointError):
    """Some parts are there and others are not.

    Attributes:
        parts: names of the folders of those that are not.
    """

    def __init__(self, message: str, parts: list[str]) -> None:
        super().__init__(message)
        self.parts = parts


def compose(
    places: Sequence[Path],
    family: Family,
    needed: Sequence[str],
    latents: int | None,
    *,
    first: Path | None = None,
) -> Path | None:
    """The folder in the cache with a pipeline's parts; None if no single file holds one of them.

    Args:
        places: files and folders to look in; the earlier goes first.
        family: of the network.
        needed: configurations of the parts.
        latents: channels of the network's latents, where they are known.
        first: a file that has to be one of them.

    Raises:
        LackingParts: some parts are nowhere.
        CheckpointError: several files hold the same part, or one does not fit its kind.
    """
    plan: dict[str, Content] = {}
    singles: list[str] = []
    lacking: list[str] = []
    for config in needed:
        name = config.partition("/")[0]
        single = _single_file(places, family, name, latents)
        if single is not None:
            singles.append(f"{name} ({single[0].name})")
            plan |= _planned(name, *single)
        elif whole := _whole_part(places, config):
            plan = {path: held for path, held in plan.items() if path.partition("/")[0] != name}
            plan |= {f"{name}/{path.name}": path for path in whole.iterdir() if path.is_file()}
        elif name == "scheduler" and family.noise_schedule is flow_noise:
            plan[config] = json.dumps(_SCHEDULER).encode()
        elif not any(path.partition("/")[0] == name for path in plan):
            lacking.append(name)
    if not singles or (first is not None and first.absolute() not in plan.values()):
        return None
    if lacking:
        raise LackingParts(
            f"of the parts that a {family.name} model needs, {', '.join(singles)} lie in single "
            f"files, and {', '.join(f'{part}/' for part in lacking)} lie nowhere; put them into "
            f"{places[0] if places[0].is_dir() else places[0].parent} as diffusers lays them out",
            lacking,
        )
    plan["model_index.json"] = json.dumps({"_class_name": family.pipelines[0]}).encode()
    return _made(plan)


def _single_file(
    places: Sequence[Path], family: Family, name: str, latents: int | None
) -> tuple[Path, Header, Part, dict[str, Any]] | None:
    """The one file that holds a part, with its configuration."""
    known = known_parts(family.name, name)
    if not known:
        return None
    for place in places:
        found = []
        for path in _files(place):
            # Others are broken, hold code or need a package to be read: not ours to judge.
            with suppress(CheckpointError, DependencyError):
                header = read_header(path)
                if (part := find_part(header.shapes, known)) is not None:
                    found.append((path, header, part))
        fit = []
        for path, header, part in found:
            try:
                config = part_config(part, header.shapes)
            except CheckpointError as error:
                raise CheckpointError(f"{path}: {error}") from error
            if latents is None or config.get("z_dim", latents) == latents:
                fit.append((path, header, part, config))
        if len(fit) > 1:
            names = ", ".join(str(path) for path, *_ in fit)
            raise CheckpointError(
                f"{len(fit)} files hold {fit[0][2].name}: {names}; name a folder that holds one "
                "with --components"
            )
        if fit:
            return fit[0]
    return None


def _files(place: Path) -> Iterator[Path]:
    """Files of weights that a place stands for: itself, or those in a folder and its shelves."""
    if place.is_file():
        yield place
        return
    for folder in (place, *find_shelves(place)):
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                encoder = path.suffix == GGUF and "t5" in path.name.lower()  # headers take long
                if (encoder or path.suffix in _SUFFIXES) and path.is_file():
                    yield path


def find_shelves(place: Path) -> list[Path]:
    """Folders of ComfyUI's kind in a folder."""
    shelves = (place / name for name in _SHELVES)
    return [shelf for shelf in shelves if shelf.is_dir() and not (shelf / "config.json").is_file()]


def _whole_part(places: Sequence[Path], config: str) -> Path | None:
    """A part's folder as diffusers has it; of a tokenizer, also where its makers put it."""
    name = config.partition("/")[0]
    for place in places:
        folders = [place / name]
        if name == "tokenizer":
            folders += [place / path for path in _VOCABULARIES]
        for folder in folders:
            if not (folder / Path(config).name).is_file():
                continue
            if not name.startswith("tokenizer") or any(any(folder.glob(each)) for each in WORDS):
                return folder
    return None


def _planned(
    name: str, path: Path, header: Header, part: Part, config: dict[str, Any]
) -> dict[str, Content]:
    """What a single file gives: its configuration and weights, and its vocabulary if it has one."""
    plan: dict[str, Content] = {
        f"{name}/config.json": json.dumps(config).encode(),
        f"{name}/{ORIGINAL}{path.suffix}": path.absolute(),
    }
    words = name.replace("text_encoder", "tokenizer")
    if VOCABULARY in header.shapes:
        plan[f"{words}/spiece.model"] = partial(_write_vocabulary, path)
        plan[f"{words}/tokenizer_config.json"] = json.dumps(_TOKENIZER).encode()
    elif part is CLIP:
        with suppress(CheckpointError):
            merges = find_weights(CLIP_MERGES)
            rows = config["vocab_size"]
            plan[words] = lambda to: load_tokenizer(merges, rows).save_pretrained(to)
    return plan


def _write_vocabulary(path: Path, to: Path) -> None:
    to.write_bytes(bytes(open_tensors(path)[VOCABULARY].flatten().tolist()))


def _made(plan: dict[str, Content]) -> Path:
    """The folder of a plan, made if it is not there; named by what it is made of."""
    told = [
        f"{name} {stamp(held) if isinstance(held, Path) else held!r}"
        for name, held in plan.items()
        if isinstance(held, (Path, bytes))  # what else is written follows from these
    ]
    key = hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
    place = cache_folder() / "unpacked" / key

    def write(folder: Path) -> None:
        for name, held in plan.items():
            to = folder / name
            to.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(held, Path):
                _link(held, to)
            elif isinstance(held, bytes):
                to.write_bytes(held)
            else:
                held(to)

    once(next(held for held in plan.values() if isinstance(held, Path)), place, write)
    return place


def _link(held: Path, to: Path) -> None:
    try:
        to.symlink_to(held)
    except OSError:  # of a file system, or a user, without symbolic links
        try:
            os.link(held, to)
        except OSError:
            shutil.copyfile(held, to)
