"""Batches are the same, and so are losses, however many processes share them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fbridge.errors import ConfigError
from fbridge.train.events import Stepped
from fbridge.train.loop import fit
from fbridge.train.shares import BatchShare, share_batches
from tests.train.toys import SHORT, Clips, changed, model, training, weights


def shares(clips: int, most: int, world: int) -> list[BatchShare]:
    return [BatchShare(clips, most, rank, world) for rank in range(world)]


@given(st.integers(1, 70), st.integers(1, 9), st.integers(1, 9))
def test_every_clip_is_in_one_piece(clips: int, most: int, world: int) -> None:
    if clips < world:
        with pytest.raises(ConfigError, match=rf"{clips} clips cannot be shared by {world} proc"):
            shares(clips, most, world)
        return
    taken: list[int] = []
    total = 0.0
    for share in shares(clips, most, world):
        own = [share.positions(part) for part in range(share.parts)]
        assert len(own[0]) >= 1
        assert max(map(len, own)) <= most
        taken += [position for piece in own for position in piece]
        total += sum(share.weight(part) for part in range(share.parts))
    assert sorted(taken) == list(range(clips))
    assert total == pytest.approx(share.pieces)


@pytest.mark.parametrize(("most", "world"), [(4, 1), (2, 2), (1, 4), (2, 1), (1, 2), (1, 1)])
def test_equal_pieces_count_exactly_one(most: int, world: int) -> None:
    for share in shares(4, most, world):
        assert {share.weight(part) for part in range(share.parts)} == {1.0}


def test_what_a_run_was_begun_with_stays() -> None:
    begun = share_batches(2, 0, 2)
    assert (begun.clips, begun.parts, begun.note) == (4, 1, "")
    facts = {"identity": {"train.batch_size": 4}, "share": begun.to_json()}
    assert share_batches(2, 1, 2, facts) == BatchShare(4, 2, 1, 2)
    fewer = share_batches(2, 0, 1, facts)
    assert (fewer.clips, fewer.parts) == (4, 2)
    assert fewer.note == (
        "1 process instead of 2: a batch stays the same 4 clips, and each process takes 2 "
        "at a time, in 2 parts"
    )
    assert share_batches(2, 0, 3, facts).note == (
        "3 processes instead of 2: a batch stays the same 4 clips, and each process takes "
        "1 or 2 at a time, in 1 part"
    )
    asked = share_batches(4, 0, 1, facts)  # another batch size, which makes the same batches
    assert (asked.clips, asked.parts) == (4, 1)
    assert share_batches(3, 0, 1, facts).clips == 3  # is refused as another configuration
    older = {"identity": {"train.batch_size": 4}}
    assert share_batches(2, 0, 1, older).clips == 2
    with pytest.raises(ConfigError, match="at most 4"):
        share_batches(2, 0, 5, facts)


def test_losses_do_not_depend_on_the_parts(tmp_path: Path) -> None:
    """Eight clips at once, and in pieces of 3, 3 and 2; with accumulation on top."""
    found = []
    for number, share in enumerate((BatchShare(8, 8), BatchShare(8, 3))):

        def load(first: int, share: BatchShare = share) -> object:
            rows = (torch.arange(n * 8, (n + 1) * 8) for n in range(first, 99))
            return (
                Clips(each[list(share.positions(p))]) for each in rows for p in range(share.parts)
            )

        net = model()
        dropout = net.get_submodule("2")
        assert isinstance(dropout, nn.Dropout)
        dropout.p = 0.0  # it differs between pieces
        config = changed(SHORT, gradient_accumulation=2, steps=6)
        made = training(
            tmp_path / str(number), config, network=net, loader=load, share=share, report_every=1
        )
        losses = [event.loss for event in fit(made) if isinstance(event, Stepped)]
        found.append((torch.tensor(losses), weights(net)))
    torch.testing.assert_close(found[1][0], found[0][0], rtol=0, atol=1e-6)
    torch.testing.assert_close(found[1][1], found[0][1], rtol=0, atol=1e-6)
