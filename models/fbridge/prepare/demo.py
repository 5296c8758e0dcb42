"""The built-in data set: drawn clips, prepared once into the user's cache like any videos."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from fbridge.data.latents.format import hash_file
from fbridge.data.shapes import DEMO_NAME, FRAMES, SIZE, demo_videos
from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.loaders.locate import packaged_file
from fbridge.prepare.request import PrepareRequest
from fbridge.prepare.run import Event, Progress, prepare
from fbridge.weights import cache_folder

BASE = "t2v.safetensors"
"""The packaged model whose codec and text encoder prepare the demo clips."""


def demo_folder() -> Path:
    """Where the demo's latents are, or will be; another base file has another folder."""
    base = _base()
    which = hashlib.sha256(f"{base} {hash_file(base)}".encode()).hexdigest()[:12]
    return cache_folder() / DEMO_NAME / f"latents-{which}"


def prepare_demo() -> Iterator[Event]:
    """Draw the demo clips and prepare them.

    Raises:
        DependencyError: the cache cannot be written.
    """
    yield Progress("drawing the clips", 0)
    request = PrepareRequest(
        demo_videos(),
        demo_folder(),
        ClipSampling((Bucket(SIZE, SIZE, FRAMES),)),
        codec=str(_base()),
        batch_size=16,
    )
    yield from prepare(request)


def _base() -> Path:
    base = packaged_file(BASE)
    assert base is not None, "it is part of the package"
    return base
