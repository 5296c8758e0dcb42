from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fbridge.codecs import Gaussian, View
from fbridge.errors import DependencyError
from fbridge.prepare.encode import Encoder, finite_rows


class Narrow:
    """A codec that has room for so many clips, and for more when it works in tiles."""

    reads_text = False
    needs_picture = False

    def __init__(
        self, room: int, room_in_tiles: int, error: Exception, *, repeats: bool = False
    ) -> None:
        self.room, self.room_in_tiles, self.error = room, room_in_tiles, error
        self.repeats = repeats
        self.most = 0

    def view(
        self, pictures: Sequence[Tensor], text: Tensor, mask: Tensor, prompts: Sequence[str]
    ) -> View:
        del text, mask, prompts
        return View(torch.stack(list(pictures)), None, ())

    def encode(self, videos: Sequence[Tensor], view: View) -> Gaussian:
        assert len(view.image_latents) == len(videos)
        self.most = max(self.most, len(videos))
        if len(videos) > self.room:
            raise self.error
        return Gaussian(torch.stack(list(videos)))

    def still(self, view: View, num_frames: int) -> Gaussian:
        return Gaussian(view.image_latents[:, None].expand(-1, num_frames, -1, -1, -1))

    def tile(self) -> bool:
        more = self.room < self.room_in_tiles
        self.room = self.room_in_tiles
        return more


def words(prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
    return torch.zeros(len(prompts), 1, 2), torch.ones(len(prompts), 1, dtype=torch.bool)


def encoder(codec: Any, notes: list[str], batch_size: int = 8) -> Encoder:
    text: Any = words
    return Encoder(
        codec, text, device="cpu", dtype=torch.float16, batch_size=batch_size, note=notes.append
    )


CLIPS = [np.full((2, 4, 4, 3), 10 * number, np.uint8) for number in range(7)]
SHORT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", SHORT, ids=["cuda", "cpu", "python"])
def test_short_memory_takes_smaller_batches_and_then_tiles(error: Exception) -> None:
    notes: list[str] = []
    narrow = encoder(Narrow(2, 2, error), notes)
    tensors = narrow(CLIPS, [""] * 7)
    roomy = encoder(Narrow(99, 99, error), [])(CLIPS, [""] * 7)
    assert all(torch.equal(tensors[name], roomy[name]) for name in roomy)
    assert tensors["clip"].shape == (7, 2, 3, 4, 4)
    assert tensors["still"].shape == (7, 2, 3, 4, 4)
    assert narrow.batch_size == 2
    assert ["4 at a time" in notes[0], "2 at a time" in notes[1]] == [True, True]
    notes.clear()
    tiled = encoder(Narrow(0, 5, error), notes, batch_size=2)
    assert torch.equal(tiled(CLIPS, [""] * 7)["clip"], roomy["clip"])
    assert "1 at a time" in notes[0]
    assert "tiles" in notes[1]


def test_an_image_vae_gets_one_clip_at_a_time() -> None:
    notes: list[str] = []
    frames = Narrow(7, 7, SHORT[0], repeats=True)
    tensors = encoder(frames, notes)(CLIPS, [""] * 7)
    assert frames.most == 1
    assert tensors["clip"].shape == (7, 2, 3, 4, 4)
    assert tensors["still"].shape == (7, 1, 3, 4, 4)
    tiled = encoder(Narrow(0, 1, SHORT[0], repeats=True), notes)(CLIPS, [""] * 7)
    assert all(torch.equal(tiled[name], tensors[name]) for name in tensors)
    assert len(notes) == 1
    assert "tiles" in notes[0]


def test_a_text_encoder_that_no_latent_depends_on_is_let_go_of() -> None:
    class Words:
        def __call__(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
            return words(prompts)

    text: Any = Words()
    still_there = weakref.ref(text)
    made = Encoder(Narrow(9, 9, SHORT[0]), text, device="cpu", dtype=torch.float16,  # type: ignore[arg-type]
                   batch_size=4, note=print)  # fmt: skip
    del text
    assert still_there() is None
    assert made(CLIPS, [""] * 7)["clip"].shape == (7, 2, 3, 4, 4)


def test_a_clip_that_never_fits_is_an_error_with_a_way_out() -> None:
    with pytest.raises(DependencyError, match="not even in tiles; take a smaller --size"):
        encoder(Narrow(0, 0, SHORT[0]), [])(CLIPS, [""] * 7)


def test_other_errors_are_not_taken_for_short_memory() -> None:
    notes: list[str] = []
    with pytest.raises(RuntimeError, match="shapes differ"):
        encoder(Narrow(0, 9, RuntimeError("shapes differ")), notes)(CLIPS, [""] * 7)
    assert notes == []


def test_rows_with_a_number_that_is_none_are_found() -> None:
    clip = torch.zeros(4, 1, 2, 2, 2)
    clip[1, 0, 1, 1, 0] = float("nan")
    condition = torch.zeros(4, 2, 2, 2)
    condition[3, 0, 0, 0] = float("inf")
    picture = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    good = finite_rows({"clip": clip, "condition": condition, "picture": picture})
    assert good.tolist() == [True, False, True, False]
