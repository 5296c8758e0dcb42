"""Films are encoded once a session, and only those that a test asks for."""

from __future__ import annotations

from collections.abc import Callable

import av
import pytest

from tests.data.video.films import KINDS, Film, make

Shelf = Callable[[str], Film]


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    folder = tmp_path_factory.mktemp("films")
    films: dict[str, Film] = {}

    def take(name: str) -> Film:
        codec = KINDS[name].get("codec", "libx264")
        if codec not in av.codecs_available:
            pytest.skip(f"this build of PyAV has no {codec}")
        if name not in films:
            films[name] = make(name, folder)
        return films[name]

    return take
