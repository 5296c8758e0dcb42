"""The jobs of a request: its pictures, folders and lists, times prompts, times seeds."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fbridge.checks import did_you_mean, is_url
from fbridge.data.pictures import SUFFIXES
from fbridge.errors import ConfigError, DataError
from fbridge.files.atomic import shown
from fbridge.generate.request import LARGEST_SEED, GenerateRequest, Job

if TYPE_CHECKING:
    from fbridge.data.stores.fetched import FetchedFiles
    from fbridge.data.stores.url import StoreUrl

COLUMNS = ("image", "prompt", "negative", "seed")
LISTS = (".csv", ".jsonl")
_MARKS = (",", ";", "\t")


def gather_jobs(request: GenerateRequest, remote: FetchedFiles | None = None) -> list[Job]:
    """All videos of a request, in its order.

    Args:
        request: its pictures, folders and lists are read, its prompts and seeds taken.
        remote: gives local names to what is behind URLs; None if nothing is.

    Raises:
        ConfigError: a picture has no prompt.
        DataError: a folder or list cannot be used.
    """
    jobs = list(request.jobs)
    for image in request.images:
        if not isinstance(image, Path):
            assert remote is not None, "else there are files alone"
            jobs += _jobs_behind(image, request, remote)
        elif image.suffix.lower() in LISTS:
            jobs += _jobs_of_list(image, request, image.parent, remote)
        else:
            pictures = pictures_in(image) if image.is_dir() else [image]
            jobs += [job for picture in pictures for job in _jobs_of_picture(picture, request)]
    return jobs


def _jobs_behind(url: StoreUrl, request: GenerateRequest, remote: FetchedFiles) -> Iterator[Job]:
    """The jobs of a picture, list or folder behind a URL."""
    suffix = Path(url.name).suffix.lower()
    if suffix in LISTS:
        yield from _jobs_of_list(remote.now(url), request, url.parent, remote)
        return
    from fbridge.generate.remote_pictures import pictures_behind

    found = [url] if suffix in SUFFIXES else pictures_behind(url)
    for picture in sorted(map(remote.path, found), key=_natural):
        yield from _jobs_of_picture(picture, request)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, without its subfolders, sorted with 2 before 10.

    Raises:
        DataError: it holds none or cannot be read.
    """
    try:
        found = [
            entry
            for entry in folder.iterdir()
            if entry.suffix.lower() in SUFFIXES and not entry.name.startswith(".")
        ]
    except OSError as error:
        raise DataError(f"{shown(folder)}: cannot be read ({error.strerror})") from None
    if not found:
        raise DataError(f"{shown(folder)}: holds no picture; name a folder of JPEG or PNG files")
    return sorted(found, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", path.name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _jobs_of_picture(picture: Path, request: GenerateRequest) -> Iterator[Job]:
    if not request.prompts:
        raise ConfigError(
            f'no prompt for {shown(picture)}; say what shall happen: -p "cat jumping"'
        )
    for prompt in request.prompts:
        for seed in _seeds(request):
            yield Job(picture, prompt, request.negative, seed)


def _jobs_of_list(
    path: Path,
    request: GenerateRequest,
    folder: Path | StoreUrl,
    remote: FetchedFiles | None,
) -> Iterator[Job]:
    """The jobs of a list's rows; relative names start from `folder`."""
    rows = list(_rows(path))
    if not rows:
        raise DataError(f"{shown(path)}: lists nothing; give rows of image, prompt, seed")
    for where, row in rows:
        if not row.get("image"):
            raise DataError(f"{where}: names no image; fill the column image")
        prompts = [row["prompt"]] if row.get("prompt") else request.prompts
        if not prompts:
            raise DataError(f"{where}: has no prompt; fill the column prompt, or give -p")
        negative = row.get("negative") or request.negative
        seed = _first_seed(row["seed"], request.num, where) if row.get("seed") else None
        for prompt in prompts:
            for each in _seeds(request, seed):
                yield Job(_file(folder, row["image"], where, remote), prompt, negative, each)


def _seeds(request: GenerateRequest, first: int | None = None) -> Sequence[int]:
    """The seeds of one picture: the request's, or `num` in a row from `first`."""
    if first is None and len(request.seeds) > 1:
        return request.seeds
    start = request.seeds[0] if first is None else first
    return range(start, start + request.num)


def _first_seed(text: str, number: int, where: str) -> int:
    """The seed in a list's row, from which `number` seeds count up."""
    if not re.fullmatch(r"\s*\d{1,19}\s*", text) or int(text) > LARGEST_SEED:
        raise DataError(
            f"{where}: seed {text[:40]!r} is no whole number from 0 to 2^63 - 1; "
            "write it in digits, or leave it empty"
        )
    if int(text) + number - 1 > LARGEST_SEED:
        raise DataError(
            f"{where}: seed {int(text)} leaves no room to count up --num {number}; "
            "give a smaller one"
        )
    return int(text)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row of a list as texts, after its place for errors."""
    name = shown(path)
    read = _csv_rows if path.suffix.lower() == ".csv" else _jsonl_rows
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            for line, row in read(lines, name):
                where = f"{name}, line {line}"
                _check_columns(row, where)
                yield where, {key: _text(row[key], key, where) for key in COLUMNS if key in row}
    except FileNotFoundError:
        raise DataError(f"{name}: no such file; check the name and the folder") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{name}: is no UTF-8 text of rows ({error}); save it as UTF-8") from None


def _csv_rows(lines: Any, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    first = lines.readline()
    lines.seek(0)
    mark = max(_MARKS, key=lambda mark: len(set(COLUMNS) & set(_columns(first.split(mark)))))
    reader = csv.DictReader(lines, skipinitialspace=True, strict=True, delimiter=mark)
    header = reader.fieldnames = _columns(reader.fieldnames or [])
    for column in COLUMNS:
        if header.count(column) > 1:
            raise DataError(f"{name}: has two columns {column}; rename or remove one")
    if "image" not in header:
        raise DataError(
            f"{name}: has no column image; its first line must be like image,prompt,seed"
        )
    for row in reader:
        if None in row:
            raise DataError(
                f"{name}, line {reader.line_num}: more values than columns; "
                'put texts with commas into "quotes"'
            )
        yield reader.line_num, row


def _columns(names: Sequence[str]) -> list[str]:
    return [name.strip().strip('"').lower() for name in names]


def _jsonl_rows(lines: Any, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    # Only here: it is of the package that reads video collections, which takes time to import.
    from fbridge.data.sources.columns import Clash, plain_names

    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataError(
                f"{name}, line {line}: is no JSON object; "
                'write {"image": "cat.jpg", "prompt": "cat jumping"}'
            )
        try:
            cells = dict(plain_names(row))
        except Clash as clash:
            raise DataError(f"{name}, line {line}: {clash}") from None
        yield line, cells


def _file(folder: Path | StoreUrl, name: str, where: str, remote: FetchedFiles | None) -> Path:
    """The file of a list's row, which may be written with the separators of Windows."""
    if remote is not None and (is_url(name) or not isinstance(folder, Path)):
        from fbridge.data.stores.url import parse_url
        from fbridge.generate.remote_pictures import beside

        url = parse_url(name, f"{where}: image")
        return remote.path(url or beside(cast("StoreUrl", folder), name, where))
    assert isinstance(folder, Path)
    path = folder / name
    return path if "\\" not in name or path.exists() else folder / name.replace("\\", "/")


def _text(value: Any, column: str, where: str) -> str:
    """One value as text; a missing one is the empty text."""
    if value is None or value == "":
        return ""
    if isinstance(value, (bool, list, dict)):
        raise DataError(f"{where}: {column} is {json.dumps(value)[:40]}; write a single text")
    text = str(value)
    if not text.strip():
        raise DataError(f"{where}: {column} is blank; fill it, or leave it empty")
    if re.search("[\\0\ud800-\udfff]", text):
        raise DataError(f"{where}: {column} holds characters that no text has; remove them")
    return text


def _check_columns(row: dict[str, Any], where: str) -> None:
    """Refuse an unknown column that looks like a mistyped one of `COLUMNS`; ignore others."""
    for key in row:
        if key not in COLUMNS and (hint := did_you_mean(key, set(COLUMNS) - row.keys())):
            raise DataError(f"{where}: column {key!r} is unknown{hint}")
