"""The table of motions in docs/generate.md: its wordings are understood, and it is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from fbridge.words.intent import read_prompt
from fbridge.words.lexicon import CAMERA_VERBS, FLOWS, OBJECT_VERBS

PAGE = (Path(__file__).parents[2] / "docs/generate.md").read_text(encoding="utf-8")
TABLE = PAGE.split("| what | motions | wordings, for example |\n|---|---|---|\n")[1].split("\n\n")[
    0
]
ROWS = [line.strip("| ").split(" | ") for line in TABLE.splitlines()]


@pytest.mark.parametrize(("what", "wordings"), [(row[0], row[2]) for row in ROWS])
def test_wordings_of_the_manual_are_understood(what: str, wordings: str) -> None:
    for wording in wordings.split(", "):
        intent = read_prompt(f"the cat {wording}" if what.startswith("a thing") else wording)
        assert not intent.notes(), wording
        if what.startswith("a thing"):
            assert intent.acts, wording
        elif what.startswith(("the camera", "the whole picture")):
            assert intent.camera.verb != "static", wording
            assert not intent.acts, wording
        else:
            assert intent.flows, wording


def test_the_manual_names_every_motion() -> None:
    named = " ".join(row[1] for row in ROWS)
    for motion in (*OBJECT_VERBS, *CAMERA_VERBS, *FLOWS):
        assert motion.split()[0] in named, motion
