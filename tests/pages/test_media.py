"""Videos and pictures that are embedded in pages."""

from __future__ import annotations

import torch

from fbridge.pages.media import encode_jpeg, encode_webm


def test_videos_are_small_and_the_same() -> None:
    clip = torch.randint(0, 256, (5, 301, 500, 3), dtype=torch.uint8)
    data = encode_webm(clip, 8.0)
    assert data[:4] == b"\x1a\x45\xdf\xa3"  # EBML
    assert data == encode_webm(clip, 8.0)
    assert encode_jpeg(clip[0])[:2] == b"\xff\xd8"
