"""examples/gallery.py: what its list names exists and may be shown; the sheet keeps its size."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.photographs import PACKAGES, TABLE
from examples.contact_sheet import stack
from examples.gallery import WIDTH, from_packages, read_rows, to_jpeg
from fbridge.words.intent import read_prompt


def test_the_gallery_has_twelve_videos_of_free_pictures_and_two_failures() -> None:
    rows, boxes = read_rows(), json.loads(TABLE.read_text(encoding="utf-8"))
    assert len(rows) >= 12
    assert sum(row.caption.startswith("failure: ") for row in rows) >= 2
    taken = from_packages(rows)
    assert taken
    assert all(PACKAGES[boxes[name]["package"]].licence.startswith("CC0") for name in taken)


def test_only_failures_of_the_gallery_ask_for_motions_that_are_not_known() -> None:
    for row in read_rows():
        assert not read_prompt(row.prompt).unknown or row.caption.startswith("failure"), row


def test_a_sheet_is_packed_as_well_as_its_size_allows() -> None:
    rng = np.random.default_rng(0)
    part = Image.fromarray(rng.integers(0, 255, (24, WIDTH, 3), np.uint8))
    sheet = stack([part, part])
    assert sheet.size == (WIDTH, 48)
    best = to_jpeg(sheet)
    smaller = to_jpeg(sheet, len(best) - 1)
    assert len(smaller) < len(best)
    assert Image.open(io.BytesIO(smaller)).size == sheet.size
    with pytest.raises(ValueError, match="list fewer videos"):
        to_jpeg(sheet, 1000)
