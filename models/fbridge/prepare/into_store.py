"""`fbridge prepare` to a folder or into a store: the one entry to both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fbridge.errors import ConfigError, FBridgeError
from fbridge.files.atomic import shown
from fbridge.prepare import run
from fbridge.prepare.request import PrepareRequest
from fbridge.prepare.upload import Upload


def prepare(request: PrepareRequest, *, dry_run: bool = False) -> Iterator[run.Event]:
    """Make the data set; may be stopped anywhere and called again.

    Args:
        request: what is made of which videos; with a `store`, the data set ends up there.
        dry_run: stop after the plan.

    Raises:
        ConfigError, DataError, CheckpointError, DependencyError: with the way out.
    """
    if request.store is None:
        yield from run.prepare(request, dry_run=dry_run)
        return
    if request.rank.world > 1:
        raise ConfigError(
            f"-o {request.store}: is written by one process; start one, or name a folder that all "
            "processes see and copy it afterwards"
        )
    with Upload.held(request.store) as upload:
        try:
            yield from _upload(replace(request, out=upload.folder), upload, dry_run=dry_run)
        except FBridgeError as error:
            text = str(error).replace(shown(upload.folder), str(request.store))
            if text == str(error):
                raise
            raise type(error)(text) from error


def _upload(request: PrepareRequest, upload: Upload, *, dry_run: bool) -> Iterator[run.Event]:
    upload.begin(check=not dry_run)
    finished = False
    try:
        for event in run.prepare(request, dry_run=dry_run):
            if isinstance(event, run.Progress) and event.what in ("captions", "encoding"):
                upload.push()
            if isinstance(event, run.Finished) and event.index is not None:
                yield run.Progress(f"uploading the tables to {request.store}", 0)
                upload.finish(event.index)
                finished = True
            yield event
    finally:
        if finished:
            upload.clean()
