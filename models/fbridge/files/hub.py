"""The model hub: names of repositories, and the one call that fetches files from it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from fbridge.errors import CheckpointError, reason

NOT_READ = ("*.fp16*", "*.bf16*", "*.non_ema*", "*.bin", "*.py", "*.msgpack", "*.onnx")
"""Copies in other precisions and formats, and code."""
OFFLINE = ("FBRIDGE_OFFLINE", "HF_HUB_OFFLINE")
"""Environment variables that forbid downloads; the second one is the hub client's own."""


class HubName(NamedTuple):
    """`owner/name` or `owner/name@revision`, where a revision is a branch, tag or commit."""

    repository: str
    revision: str | None


def offline_variable() -> str:
    """The variable of `OFFLINE` that is set (1, true, yes or on); empty where none is."""
    yes = ("1", "true", "yes", "on")
    return next((name for name in OFFLINE if os.environ.get(name, "").lower() in yes), "")


def parse_hub_name(name: str) -> HubName | None:
    """The repository that a name means; None of a name that has not the form of one."""
    repository, mark, revision = name.partition("@")
    if repository.count("/") != 1 or name.startswith((".", "/", "~")) or (mark and not revision):
        return None
    return HubName(repository, revision or None)


def name_in_address(text: str) -> str | None:
    """`owner/name` of a model's web page; None of a text that is no web address."""
    found = re.match(r"https?://[^/]+/([\w-][\w.-]*/[\w.-]+)", text)
    return None if found is None else found[1]


def cached_snapshot(name: str, files: Iterable[str]) -> Path | None:
    """The folder of a repository in the hub's local cache; None where it is not there."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return _snapshot(name, files, local_files_only=True)
    except (LocalEntryNotFoundError, OSError):
        return None


def fetch_snapshot(
    name: str, files: Iterable[str], *, what: str, ignore: Iterable[str] = (), **options: Any
) -> Path:
    """The folder of a repository's files, downloaded where the local cache lacks them.

    Args:
        name: as `parse_hub_name` takes it.
        files: patterns of their names.
        what: the subject of the error, such as "codec 'owner/name'".
        ignore: patterns of files that are left out.
        options: of `huggingface_hub.snapshot_download`; a `revision` goes before the name's own,
            `local_files_only` downloads nothing: for names that stand in a file and were not typed.

    Raises:
        CheckpointError: the name is none of a repository, or the hub does not give the files.
    """
    own = {"ignore_patterns": list(ignore)} if ignore else {}
    try:
        return _snapshot(name, files, **own, **options)
    except Exception as error:  # what the hub's client raises is of many kinds
        if options.get("local_files_only"):
            raise CheckpointError(
                f"{what} is not in the hub's local cache; to fetch it, add --download"
            ) from error
        raise CheckpointError(f"{what} cannot be had from the hub: {reason(error)}") from error


def _snapshot(name: str, files: Iterable[str], **options: Any) -> Path:
    from huggingface_hub import snapshot_download

    found = parse_hub_name(name)
    if found is None:
        raise CheckpointError("it has not the form owner/name or owner/name@revision")
    if found.revision is not None:
        options = {"revision": found.revision, **options}
    return Path(snapshot_download(found.repository, allow_patterns=list(files), **options))
