"""Shards that come as bytes are the files that are written here."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from fbridge.data.video.buckets import Bucket
from fbridge.errors import CheckpointError, DataError
from fbridge.loaders.text_encoder import load_text_encoder
from fbridge.prepare.plan import Unit
from fbridge.prepare.shards import EncodedCaptions, EncodedUnit, encode_captions
from fbridge.prepare.store import Store, is_complete, pack
from tests.prepare.sets import Order, tree


class Rows:
    """What a unit names; only the ids are read."""

    def __init__(self, name: str) -> None:
        self.id = name


def unit(dtype: torch.dtype) -> EncodedUnit:
    tensors = {name: torch.randn(2, 3, 4, 2, 2).to(dtype) for name in ("still", "clip")}
    rows = (Rows("a"), Rows("b"))
    plan = Unit("00ff", Bucket(16, 16, 3), rows)  # type: ignore[arg-type]
    return EncodedUnit(plan, plan.clips, tensors, ({"id": "c", "reason": "is damaged"},))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_bytes_from_elsewhere_are_those_written_here(order: Order, dtype: torch.dtype) -> None:
    made = unit(dtype)
    here, there = order(), order(out=order().out.parent / "there")
    Store(here).write(made)
    shard = pickle.loads(pickle.dumps(pack(made)))  # noqa: S301 (our own)
    for _ in range(2):  # writing it twice changes nothing
        Store(there).write_packed(shard)
    assert (there.out / made.path).read_bytes() == (here.out / made.path).read_bytes()
    lines = (here.out / "journal" / "rows-00000.jsonl").read_text()
    assert (there.out / "journal" / "rows-00000.jsonl").read_text() == 2 * lines


def test_a_unit_without_a_row_is_entered_without_a_file(order: Order) -> None:
    made = replace(unit(torch.float32), rows=(), tensors={})
    Store(order()).write_packed(pack(made))
    assert list(tree(order().out)) == ["journal/rows-00000.jsonl"]
    assert is_complete(made.unit, {"00ff": pack(made).lines[-1]}, order().out)  # type: ignore[arg-type]


def test_bytes_that_came_damaged_are_refused(order: Order) -> None:
    shard = pack(unit(torch.float32))
    data = shard.data.copy()
    data[-1] ^= np.uint8(1)
    with pytest.raises(DataError, match=r"shards/00/00ff.safetensors: came damaged"):
        Store(order()).write_packed(replace(shard, data=data))
    assert tree(order().out) == {}


def test_embeddings_do_not_depend_on_what_was_embedded_before() -> None:
    text = load_text_encoder()
    captions = [f"a cat {'very ' * number}slowly moves" for number in range(20)]

    def embed() -> EncodedCaptions:
        return encode_captions(text, "00", captions, torch.float32)

    first = embed().tensors["tokens"]
    text.forget()
    alone = [text.one_by_one([caption])[0] for caption in captions]
    text(captions[:3])
    text(captions[7:8])
    assert torch.equal(embed().tensors["tokens"], first)
    for caption, embedding in zip(captions, alone, strict=True):
        beside, _ = text.one_by_one(["a dog", caption])
        assert torch.equal(beside[1, : embedding.shape[1]], embedding[0])


@pytest.mark.parametrize(
    ("number", "told"), [(7e4, "use --dtype float32"), (math.nan, "is damaged, get it again")]
)
def test_embeddings_that_are_no_numbers_are_not_stored(
    monkeypatch: pytest.MonkeyPatch, number: float, told: str
) -> None:
    text = load_text_encoder()
    monkeypatch.setattr(
        text,
        "_embed",
        lambda prompts: [torch.full((2, 4), number if "b" in one else 1.0) for one in prompts],
    )
    assert encode_captions(text, "00", ["a"], torch.float16).tensors["tokens"].shape == (2, 4)
    with pytest.raises(CheckpointError, match=f"{text.name}: .* the caption 'b' .*{told}"):
        encode_captions(text, "00", ["a", "b"], torch.float16)
    text.forget()
