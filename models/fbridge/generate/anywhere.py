"""`fbridge generate` from and to files or URLs: the one entry to both.

What is behind URLs is fetched before anything else, and videos for a store are made in a folder of
the cache. So the rest of this package knows files alone.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fbridge.checks import is_url
from fbridge.errors import ConfigError, FBridgeError
from fbridge.files.atomic import shown
from fbridge.generate import runner
from fbridge.generate.events import Event, Finished, OnProgress, Planned, Reading
from fbridge.generate.jobs import LISTS, gather_jobs
from fbridge.generate.load import Loaded
from fbridge.generate.plan import check_faults
from fbridge.generate.request import GenerateRequest, Job, names_store

if TYPE_CHECKING:
    from fbridge.data.stores.fetched import FetchedFiles
    from fbridge.data.stores.url import StoreUrl
    from fbridge.generate.uploads import VideoUploads


def run(
    request: GenerateRequest, *, loaded: Loaded | None = None, on_progress: OnProgress | None = None
) -> Generator[Event]:
    """Perform a request; each video is whole where it belongs when its `Finished` is yielded.

    Args:
        request: what to make.
        loaded: the request's model, where it is loaded already.
        on_progress: called after each sampling step.

    Raises:
        FBridgeError: an input, the model or the machine does not allow what the request asks.
    """
    if not _names_urls(request):
        yield from runner.run(request, loaded=loaded, on_progress=on_progress)
        return
    inputs = len(request.files) < len(request.images)
    if request.replay is not None and (inputs or (request.out and is_url(request.out))):
        raise ConfigError(
            "--from: makes a video again from files of this machine; name a local IMAGE and -o"
        )
    from fbridge.data.pictures import MAX_BYTES
    from fbridge.data.stores.fetched import FetchedFiles
    from fbridge.generate.uploads import VideoUploads

    with ExitStack() as stack:
        remote = FetchedFiles(stack, MAX_BYTES)
        uploads = None
        if request.out is not None and is_url(request.out):
            uploads = VideoUploads(
                str(request.out), overwrite=request.overwrite, resume=request.resume
            )
        try:
            yield Reading()
            here = request if request.replay is not None else _local(request, remote, uploads)
            yield from _run(here, uploads, loaded, on_progress)
        except FBridgeError as error:
            text = _with_model(remote.told(str(error)), request.model_name)
            if uploads is not None and isinstance(error, ConfigError):
                text = text.replace(shown(remote.folder() / "out"), str(uploads.url))
            if text == str(error):
                raise
            raise type(error)(text) from error


def _names_urls(request: GenerateRequest) -> bool:
    """Whether a request, or a list that it names, may hold URLs."""
    return (
        len(request.files) < len(request.images)
        or names_store(request.model_name)
        or (request.out is not None and is_url(request.out))
        or any(_lists_urls(path) for path in request.files if path.suffix.lower() in LISTS)
    )


def _lists_urls(path: Path) -> bool:
    try:
        return b"://" in path.read_bytes()
    except OSError:
        return False  # reading it as a list says why


def _with_model(text: str, model: str) -> str:
    """A text with the model's URL for its local copy."""
    if not names_store(model):
        return text
    from fbridge.data.stores.kept import kept_told
    from fbridge.data.stores.url import StoreUrl

    return kept_told(text, StoreUrl(model.rstrip("/")))


def _local(
    request: GenerateRequest, remote: FetchedFiles, uploads: VideoUploads | None
) -> GenerateRequest:
    """The request with local files for what is behind URLs."""
    found = gather_jobs(request, remote)
    urls = remote.urls
    jobs = [_told(job, urls.get(job.picture), uploads) for job in found]
    here = replace(request, images=(), jobs=jobs)
    if uploads is not None:
        here = replace(here, out=f"{remote.folder()}/out/{uploads.name}")
        videos = runner.videos_of(jobs, here)
        uploads.check(videos, metadata=request.metadata, write=not request.dry_run)
    faults = remote.fetch()
    check_faults(list(faults.values()), len({job.picture for job in jobs}))
    return here


def _told(job: Job, url: StoreUrl | None, uploads: VideoUploads | None) -> Job:
    """A job whose record names the picture's URL, and in a store nothing of this machine."""
    if url is not None:
        return replace(job, place=str(url))
    return job if uploads is None else replace(job, place="")


def _run(
    request: GenerateRequest,
    uploads: VideoUploads | None,
    loaded: Loaded | None,
    on_progress: OnProgress | None,
) -> Generator[Event]:
    present = None
    if uploads is not None and request.resume:
        assert request.jobs, "gathered by `_local`"
        present = uploads.present(runner.videos_of(request.jobs, request))
    with closing(
        runner.run(request, loaded=loaded, on_progress=on_progress, present=present)
    ) as events:
        for event in events:
            if isinstance(event, Reading):
                continue  # it was said before anything was fetched
            if uploads is not None and isinstance(event, Planned):
                yield Planned(
                    [replace(one, url=uploads.url / one.video.name) for one in event.items]
                )
            elif uploads is not None and isinstance(event, Finished):
                yield uploads.upload(event)
            else:
                yield event
