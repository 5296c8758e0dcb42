"""The demo data set of a training without data."""

from __future__ import annotations

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

PATIENCE = 600
"""Seconds for which other processes than the first wait for it."""


def demo_data(ui: Ui, process: Process) -> Path:
    """The folder of the demo data set; the first process makes it, the others wait for it."""
    from fbridge.data.latents.format import INDEX
    from fbridge.prepare.demo import demo_folder, prepare_demo
    from fbridge.prepare.run import Progress, SourceFound

    folder = demo_folder()
    if process.first and not (folder / INDEX).is_file():
        work = cast("Generator[Event]", prepare_demo())
        with ui.progress(None, "clips") as bar, closing(work) as events:
            for event in events:
                if isinstance(event, SourceFound):
                    ui.note(f"demo clips: {event.layout.root}, to be looked at")
                elif isinstance(event, Progress):
                    bar.show(f"demo data: {event.what}", event.done)
    latest = time.monotonic() + PATIENCE
    while not (folder / INDEX).is_file():
        if time.monotonic() > latest:
            raise DependencyError(f"{folder}: process 0 has not finished the demo data")
        time.sleep(0.5)
    return folder
