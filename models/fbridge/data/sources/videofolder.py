"""The videofolder of Hugging Face: `metadata.csv`, `.jsonl` or `.parquet` beside the videos.

The table has a column `file_name`, relative to the folder of the table. There may be one table in
the folder itself and one in each folder of a split (`train/`, `test/`, `validation/`, ...), whose
name becomes the tag of its videos.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from fbridge.data.sources.entry import Entry
from fbridge.data.sources.layout import Layout, Sought, listed, look
from fbridge.data.sources.rows import columns
from fbridge.data.sources.table import Index, has_video
from fbridge.errors import ConfigError
from fbridge.files.atomic import shown

COLUMN = ("file_name",)
TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
SPLITS = ("train", "training", "test", "testing", "validation", "valid", "val", "dev", "eval")


def find(sought: Sought) -> Layout | None:
    """The layout of a folder with metadata; None without a table that has a `file_name`.

    Raises:
        ConfigError: a folder has two tables, or a table two columns that differ.
    """
    found = [_index(sought, "")]
    found += [_index(sought, folder) for folder in sought.names.folders if folder.lower() in SPLITS]
    indices = tuple(index for index in found if index)
    if not indices:
        return None
    chosen = dict.fromkeys(index.check() for index in indices)
    names = listed(index.name for index in indices)
    summary = f"videofolder: {names}, {'; or '.join(chosen)}"
    read = tuple(index.name for index in indices)
    return Layout("videofolder", summary, sought.folder, partial(_entries, indices), read)


def _index(sought: Sought, part: str) -> Index | None:
    folder = sought.folder / part
    names = look(folder) if part else sought.names
    tables = [name for name in names.files if name in TABLES]
    if len(tables) > 1:
        raise ConfigError(f"{shown(folder)}: holds {' and '.join(tables)}; keep one of them")
    if not tables:
        return None
    path = folder / tables[0]
    there = columns(path)
    if not has_video(there, COLUMN):
        if sought.forced:
            raise ConfigError(
                f"{shown(path)}: no column 'file_name' among {ascii(', '.join(there))[:200]}; "
                "rename the one with the path"
            )
        return None
    name = f"{part}/{tables[0]}" if part else tables[0]
    root = str(sought.folder)
    return Index(path, name, root, str(folder), COLUMN, (part,) if part else ())


def _entries(indices: tuple[Index, ...]) -> Iterator[Entry]:
    for index in indices:
        yield from index.entries()
