"""Random access to a prepared data set, from any number of worker processes."""

from __future__ import annotations

import copy
import hashlib
import json
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.utils.data import Dataset

from fbridge.data.latents.format import FORMAT as FORMAT
from fbridge.data.latents.format import INDEX, file_fault, read_index, source_number
from fbridge.data.latents.samples import Draw as Draw
from fbridge.data.latents.samples import LatentBatch as LatentBatch
from fbridge.data.latents.samples import LatentSample as LatentSample
from fbridge.data.latents.samples import ShardSource
from fbridge.data.latents.samples import collate as collate
from fbridge.errors import DataError
from fbridge.files.atomic import shown

_TABLES = ("columns", "shards", "captions", "manifest")
OPEN_SHARDS = 32
"""Maximum number of shards that a worker keeps mapped."""

_SOURCE = b'"source_sha256":"'


class LatentDataset(Dataset[LatentSample]):
    """A data set that `fbridge prepare` wrote, read-only.

    Rows are in the order of the manifest. Files are memory-mapped; an instance can be pickled for
    worker processes. Tables are compared with their hashes here, shards when a process first opens
    them.

    Args:
        folder: the data set.
        split: only rows with this tag ("train", "test01", ...).
        seed: of the choice among several captions.
        shards: what brings shards to the folder, of a data set in a store.

    Raises:
        DataError: the folder has no finished data set, a table is damaged, or no row has the tag.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        split: str | None = None,
        seed: int = 0,
        shards: ShardSource | None = None,
    ) -> None:
        self.folder = Path(folder)
        self._source = shards
        self.index = read_index(self.folder)
        # Now: in the cache of a data set in a store, a later run may put a newer index here.
        self._hash = hashlib.sha256((self.folder / INDEX).read_bytes()).hexdigest()
        self.seed = seed
        for name in _TABLES:
            self._check(self.index["files"][name])
        self._shards = _records(self.folder / self.index["files"]["shards"]["path"])
        self._whole: set[str] = set()
        self._open: OrderedDict[str, Any] = OrderedDict()
        self._columns = self._map_columns()
        self._rows = self._select(split)

    def __len__(self) -> int:
        return len(self._rows)

    def only(self, rows: Tensor) -> LatentDataset:
        """A view of the given rows (N,), in their order."""
        view = copy.copy(self)
        view._rows = self._rows[rows]
        view._open = OrderedDict()
        return view

    def tagged(self, split: str) -> Tensor:
        """(N,) bool: which rows have a tag."""
        tags: list[str] = self.index["splits"]
        if split not in tags:
            return torch.zeros(len(self), dtype=torch.bool)
        return (self._columns["split"][self._rows] >> tags.index(split) & 1).bool()

    @property
    def labels(self) -> Tensor:
        """(N,) class number of each row, -1 without."""
        return self._columns["label"][self._rows]

    @property
    def hash(self) -> str:
        """sha256 of the index, which has the hashes of all files: identifies the data set."""
        return self._hash

    @property
    def shard_bytes(self) -> int:
        """Bytes of all shards."""
        return sum(record["bytes"] for record in self._shards)

    @property
    def bucket(self) -> Tensor:
        """(N,) index of each row's bucket in `index["buckets"]`."""
        return self._columns["bucket"][self._rows]

    def captions(self, row: int) -> list[str]:
        """The captions of a row."""
        return self._read_captions(self._caption_rows(int(self._rows[row])))

    def _read_captions(self, numbers: Sequence[int]) -> list[str]:
        path = self.folder / self.index["files"]["captions"]["path"]
        found = []
        with path.open("rb") as file:
            for caption in numbers:
                file.seek(int(self._columns["caption_offset"][caption]))
                found.append(json.loads(file.readline())["text"])
        return found

    def record(self, row: int) -> dict[str, Any]:
        """A row's record in the manifest: source, timestamps, crop, hashes."""
        with (self.folder / self.index["files"]["manifest"]["path"]).open("rb") as file:
            file.seek(int(self._columns["offset"][int(self._rows[row])]))
            found: dict[str, Any] = json.loads(file.readline())
            return found

    @property
    def sources(self) -> Tensor:
        """(N,) int64: `source_number` of each row's video, equal for clips of one video."""
        if "source" not in self._columns:  # older data sets have it in the manifest alone
            self._columns["source"] = self._read_sources()
        return self._columns["source"][self._rows]

    def empty_text(self) -> Tensor:
        """(L, D) the empty caption's embeddings, for guidance."""
        return self._text(0)

    def prefetch(self, rows: Sequence[int]) -> None:
        """Bring the shards of these rows to this machine, of a data set in a store."""
        if self._source is not None:
            shards = self._columns["shard"][self._rows[torch.tensor(rows)]].unique()
            self._source.fetch([self._shards[number] for number in shards.tolist()])

    def __getitem__(self, draw: int | Draw) -> LatentSample:
        row, epoch = draw if isinstance(draw, tuple) else (draw, 0)
        at = int(self._rows[row])
        shard, place = int(self._columns["shard"][at]), int(self._columns["row"][at])
        file = self._shard(self._shards[shard])
        tensors = {name: file.get_slice(name)[place : place + 1][0] for name in file.keys()}  # noqa: SIM118
        captions = self._caption_rows(at)
        caption = captions[self._pick(at, epoch, len(captions))] if captions else 0
        return LatentSample(
            row=row,
            clip=tensors["clip"],
            still=tensors["still"],
            condition=tensors["condition"],
            text=self._text(caption),
            caption=self._read_captions([caption])[0],
            spreads={
                name.removesuffix("_log_variance"): tensor
                for name, tensor in tensors.items()
                if name.endswith("_log_variance")
            },
            picture=tensors.get("picture"),
            label=int(self._columns["label"][at]),
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict(), "_columns": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._columns = self._map_columns()

    def _pick(self, row: int, epoch: int, among: int) -> int:
        """Index of the caption: uniform over the epochs, and the same in every worker."""
        drawn = hashlib.sha256(f"{self.seed} {epoch} {row}".encode()).digest()
        return int.from_bytes(drawn[:8], "big") % among

    def _caption_rows(self, at: int) -> list[int]:
        start = self._columns["caption_start"]
        rows: list[int] = self._columns["caption"][int(start[at]) : int(start[at + 1])].tolist()
        return rows

    def _text(self, caption: int) -> Tensor:
        file = self._shard(self._shards[int(self._columns["caption_shard"][caption])])
        place = int(self._columns["caption_row"][caption])
        start, end = file.get_slice("start")[place : place + 2].tolist()
        tokens: Tensor = file.get_slice("tokens")[start:end]
        return tokens

    def _shard(self, record: dict[str, Any]) -> Any:
        name = record["path"]
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        while len(self._open) >= (self._source.most_open if self._source else OPEN_SHARDS):
            self._open.popitem(last=False)
        self._open[name] = self._source.open(record) if self._source else self._open_local(record)
        return self._open[name]

    def _open_local(self, record: dict[str, Any]) -> Any:
        name = record["path"]
        if name not in self._whole:
            self._check(record)
            self._whole.add(name)
        return safe_open(self.folder / name, "pt")

    def _check(self, record: dict[str, Any]) -> None:
        if fault := file_fault(self.folder, record):
            raise DataError(
                f"{shown(self.folder / record['path'])}: {fault}; fbridge prepare --verify "
                f"{shown(self.folder)} lists the damage and the way out"
            )

    def _map_columns(self) -> dict[str, Tensor]:
        path = self.folder / self.index["files"]["columns"]["path"]
        try:
            with safe_open(path, "pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except Exception as error:
            raise DataError(f"{shown(path)}: is missing or damaged; restore it") from error

    def _read_sources(self) -> Tensor:
        """`sources` of all rows, from the manifest."""
        numbers: dict[bytes, int] = {}
        found = array("q")
        path = self.folder / self.index["files"]["manifest"]["path"]
        with path.open("rb") as file:
            for line in file:
                # A quarter of the time of json.loads; quotes inside a JSON text are escaped.
                start = line.index(_SOURCE) + len(_SOURCE)
                sha256 = line[start : line.index(b'"', start)]
                if sha256 not in numbers:
                    numbers[sha256] = source_number(sha256.decode())
                found.append(numbers[sha256])
        return torch.tensor(found, dtype=torch.int64)

    def _select(self, split: str | None) -> Tensor:
        if split is None:
            return torch.arange(len(self._columns["row"]))
        tags: list[str] = self.index["splits"]
        if split not in tags:
            raise DataError(
                f"{shown(self.folder)}: has no split {split!r}; it has {', '.join(tags) or 'none'}"
            )
        return (self._columns["split"] >> tags.index(split) & 1).nonzero()[:, 0]


def _records(path: Path) -> list[dict[str, Any]]:
    """Path, size and sha256 of each shard."""
    with path.open("rb") as file:
        records = [json.loads(line) for line in file]
    return [{name: record[name] for name in ("path", "bytes", "sha256")} for record in records]
