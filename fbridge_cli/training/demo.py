"""The built-in data: drawn and prepared once, by the same road as anybody's videos."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fbridge.errors import DependencyError
from fbridge_cli.processes import Process
from fbridge_cli.ui import Ui

if TYPE_CHECKING:
    from fbridge.prepare.run import Event

BASE = "t2v.safetensors"
"""Whose codec and words the demo clips are prepared with."""
_PATIENCE = 600


def demo_data(ui: Ui, process: Process) -> Path:
    """The folder of the demo's latents, in the user's cache; another base file has another one.

    Raises:
        DependencyError: the cache cannot be written.
    """
    from fbridge.data.latents.format import INDEX, hash_file
    from fbridge.data.synthetic.shapes import DEMO_NAME
    from fbridge.loaders.locate import packaged_file
    from fbridge.weights import cache_folder

    base = packaged_file(BASE)
    assert base is not None, "it is part of the package"
    which = hashlib.sha256(f"{base} {hash_file(base)}".encode()).hexdigest()[:12]
    folder = cache_folder() / DEMO_NAME / f"latents-{which}"
    if process.first:
        if not (folder / INDEX).is_file():
            _make(folder, base, ui)
        return folder
    waited = time.monotonic() + _PATIENCE
    while not (folder / INDEX).is_file():
        if time.monotonic() > waited:
            raise DependencyError(f"{folder}: process 0 has not finished the demo data")
        time.sleep(0.5)
    return folder


def _make(folder: Path, base: Path, ui: Ui) -> None:
    from fbridge import prepare as core
    from fbridge.data.synthetic.shapes import FRAMES, SIZE, demo_videos
    from fbridge.data.video.buckets import Bucket
    from fbridge.data.video.clip_sampling import ClipSampling
    from fbridge.prepare import Options
    from fbridge.prepare.run import Progress

    with ui.waiting("drawing the demo clips"):
        videos = demo_videos()
    ui.note(f"demo clips: {videos}, to be looked at")
    cutting = ClipSampling((Bucket(SIZE, SIZE, FRAMES),))
    options = Options(videos, folder, cutting, codec=str(base), batch_size=16)
    work = cast("Generator[Event]", core.prepare(options))
    with ui.progress(None, "clips") as bar, closing(work) as events:
        for event in events:
            if isinstance(event, Progress):
                bar.show(f"demo data: {event.what}", event.done)
