"""The pictures of lists and folders behind URLs, by their names."""

from __future__ import annotations

import posixpath
from pathlib import Path

from fbridge.data.pictures import SUFFIXES
from fbridge.data.stores import Store, StoreUrl
from fbridge.errors import DataError


def pictures_behind(url: StoreUrl) -> list[StoreUrl]:
    """The picture itself, or the pictures of a folder, without its subfolders.

    Raises:
        DataError: it holds none, or there is nothing of that name.
        StoreError: the store does not answer.
    """
    store = Store(url)
    if store.is_file():
        return [url]
    names = [item.name for item in store.items(deep=False)]
    found = [name for name in names if Path(name).suffix.lower() in SUFFIXES]
    if not found:
        raise DataError(f"{url}: holds no picture; name a folder of JPEG or PNG files")
    return [url / name for name in found]


def beside(folder: StoreUrl, name: str, where: str) -> StoreUrl:
    """The URL of a row's picture, relative to the folder of its list.

    Raises:
        DataError: it cannot lie in the bucket.
    """
    name = name.replace("\\", "/")
    inner = str(folder).removeprefix(str(folder.root)).lstrip("/")
    path = posixpath.normpath(posixpath.join(inner, name))
    if name.startswith("/") or path.startswith("..") or not path.isprintable():
        raise DataError(
            f"{where}: image {ascii(name)[:80]}: is no name in {folder.root}; write it relative to "
            "the list, or as a URL"
        )
    return folder.root / path
