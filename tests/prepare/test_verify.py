from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors import safe_open

from fbridge.data.latents import LatentDataset
from fbridge.errors import DataError
from fbridge.prepare import PrepareRequest, verify
from fbridge.prepare.verification import VerifyResult, way_out
from tests.prepare.sets import Order, film, run, tree


def verdict(options: PrepareRequest) -> VerifyResult:
    *_, last = verify(options.out)
    assert isinstance(last, VerifyResult)
    return last


def a_shard(options: PrepareRequest, kind: str = "shards") -> Path:
    return sorted((options.out / kind).glob("??/*"))[0]


def test_a_whole_data_set_is_green(order: Order) -> None:
    options = order()
    run(options)
    found = verdict(options)
    assert found.ok
    assert (found.rows, found.sources_checked) == (10, 10)
    assert found.shards == len(list(options.out.glob("shards/*/*"))) + 1
    assert (found.sources_changed, found.sources_missing) == ((), ())


def test_a_flipped_byte_is_traced_to_its_row(order: Order) -> None:
    options = order()
    run(options)
    data = LatentDataset(options.out)
    path = a_shard(options)
    with safe_open(path, "pt") as file:
        row_bytes = file.get_tensor("clip")[0].numel() * 2
        rows = file.get_slice("clip").get_shape()[0]
    header = int.from_bytes(path.read_bytes()[:8], "little") + 8
    content = bytearray(path.read_bytes())
    content[header + row_bytes + 5] ^= 1  # of the second row of the first tensor, clip
    assert rows > 1
    path.write_bytes(content)
    (damage,) = verdict(options).damaged
    assert damage.what == path.relative_to(options.out).as_posix()
    assert len(damage.rows) == 1
    record = data.record(damage.rows[0])
    assert (record["shard"], record["row"]) == (damage.what, 1)
    assert damage.keys == (record["key"],)
    assert str(path) in way_out(options.out, damage)


@pytest.mark.parametrize("harm", ["cut", "gone", "header"])
def test_what_cannot_be_read_loses_all_its_rows_and_comes_back(order: Order, harm: str) -> None:
    options = order()
    run(options)
    before = tree(options.out)
    path = a_shard(options)
    content = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 3] if harm == "cut" else b"\xff" * 20)
    (damage,) = verdict(options).damaged
    data = LatentDataset(options.out)
    lost = [row for row in range(10) if data.record(row)["shard"] == damage.what]
    assert list(damage.rows) == lost
    path.unlink(missing_ok=True)
    run(options)
    assert verdict(options).ok
    assert tree(options.out) == before


def test_damaged_words_and_tables_are_named(order: Order) -> None:
    options = order()
    run(options)
    words = a_shard(options, "text")
    words.write_bytes(words.read_bytes()[:-3])
    (damage,) = verdict(options).damaged
    assert damage.what.startswith("text/")
    words.unlink()
    run(options)
    assert verdict(options).ok
    table = next(options.out.glob("columns-*"))
    table.write_bytes(table.read_bytes() + b"\0")
    (damage,) = verdict(options).damaged
    assert damage.what == table.name
    assert "restore" in way_out(options.out, damage)


def test_changed_or_missing_sources_do_no_harm(order: Order, source: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(source, mine)
    options = order(source=mine)
    run(options)
    film(mine / "part0" / "0.mp4", 99)
    (mine / "part0" / "2.mp4").unlink()
    found = verdict(options)
    assert found.ok
    assert found.sources_changed == ("part0/0.mp4",)
    assert found.sources_missing == ("part0/2.mp4",)
    shutil.rmtree(mine)
    found = verdict(options)
    assert found.ok
    assert len(found.sources_missing) == 10


def test_what_is_no_data_set_is_said(tmp_path: Path, order: Order) -> None:
    with pytest.raises(DataError, match="is no prepared data set"):
        list(verify(tmp_path))
    options = order()
    run(options, dry_run=True)
    with pytest.raises(DataError, match="is not finished; run the same fbridge prepare line again"):
        LatentDataset(options.out)
