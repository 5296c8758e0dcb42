"""The teacher's masks: which of them are kept."""

from __future__ import annotations

from PIL import Image, ImageDraw

from examples.embedded.teacher import says_something


def test_only_a_mask_of_one_clear_thing_is_kept() -> None:
    clear = Image.new("L", (64, 64))
    ImageDraw.Draw(clear).ellipse((16, 16, 48, 48), fill=255)
    assert says_something(clear)
    assert not says_something(clear.point(lambda value: value // 2))
    assert not says_something(Image.new("L", (64, 64)))
    assert not says_something(Image.new("L", (64, 64), 255))
