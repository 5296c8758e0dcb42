from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbridge.errors import DependencyError
from fbridge.prepare.journal import (
    AGAIN,
    FIRST,
    LINES_AHEAD,
    ONCE,
    Journal,
    KeyNumbers,
    Lookup,
    Repeats,
    ShardRows,
)


def open_lookup(*paths: Path) -> Lookup:
    lookup = Lookup(lambda record: record.get("key"))
    lookup.read(*paths)
    return lookup


def test_a_lookup_gives_the_newest_line_of_all_files(tmp_path: Path) -> None:
    first, second = Journal(tmp_path / "a.jsonl"), Journal(tmp_path / "b.jsonl")
    first.append([{"key": "x", "n": 1}, {"key": "y", "n": 2}, {"other": 3}])
    second.append([{"key": "x", "n": 4}])
    lookup = open_lookup(first.path, second.path)
    assert lookup.get("x") == {"key": "x", "n": 4}
    assert lookup.get("y") == {"key": "y", "n": 2}
    assert lookup.get("z") is None
    assert "y" in lookup
    assert "z" not in lookup
    assert len(lookup) == 2
    first.append([{"key": "z", "n": 5}])
    lookup.read(first.path, second.path, tmp_path / "missing.jsonl")
    assert lookup.get("z") == {"key": "z", "n": 5}


@pytest.mark.parametrize("cut", range(1, 24))
def test_a_torn_line_is_as_if_never_written_and_harms_no_later_one(
    tmp_path: Path, cut: int
) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    journal.append([{"key": "x", "n": 1}, {"key": "y", "n": 2}])
    whole = journal.path.read_bytes()
    line = len(whole) // 2
    journal.path.write_bytes(whole[: len(whole) - min(cut, line)])
    lookup = open_lookup(journal.path)
    assert lookup.get("x") == {"key": "x", "n": 1}
    assert lookup.get("y") is None
    journal.append([{"key": "z", "n": 3}])
    lookup.read(journal.path)
    assert lookup.get("z") == {"key": "z", "n": 3}
    assert lookup.get("y") is None or cut == 1  # only its end of line was lost


@given(st.lists(st.text(), max_size=30))
def test_numbers_count_in_the_order_of_first_mention(keys: list[str]) -> None:
    numbers = KeyNumbers()
    new = [numbers.add(key) for key in keys]
    order = list(dict.fromkeys(keys))
    assert [key for key, fresh in zip(keys, new, strict=True) if fresh] == order
    assert [numbers[key] for key in order] == list(range(len(order)))
    assert len(numbers) == len(order)
    assert "\0not there" not in numbers
    with pytest.raises(KeyError):
        numbers["\0not there"]


def test_rows_come_back_by_shard_in_the_order_of_the_table() -> None:
    rows = ShardRows()
    rows.add("b", 0, 2, "clip \udce4", "h2")
    rows.add("a", 1, 1, "one", "h1")
    rows.add("a", 0, 0, "null", "h0")
    assert list(rows.of("a")) == [(0, 0, "null", "h0"), (1, 1, "one", "h1")]
    assert list(rows.of("b")) == [(0, 2, "clip \udce4", "h2")]
    assert list(rows.of("c")) == []


def test_names_that_are_no_text_survive_a_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    journal.append([{"key": "caf\udce9.mp4"}])
    assert open_lookup(journal.path).get("caf\udce9.mp4") == {"key": "caf\udce9.mp4"}
    assert json.loads(journal.path.read_text(encoding="ascii")) == {"key": "caf\udce9.mp4"}


def test_a_full_disk_is_told_in_one_line() -> None:
    journal = Journal(Path("/dev/full"))
    with pytest.raises(DependencyError, match=r"/dev/full: cannot be written: no room is left"):
        journal.append([{"key": "x"}])


@given(st.data())
def test_any_order_of_questions_gives_the_newest_lines(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journals")
    journals = [Journal(folder / f"{n}.jsonl") for n in range(2)]
    lookup = Lookup(lambda record: record.get("key"))
    newest: dict[str, int] = {}
    keys = st.integers(0, 9)
    for step in range(data.draw(st.integers(1, 3))):
        for number, journal in enumerate(journals):
            asked = data.draw(st.lists(keys, max_size=8))
            lines = [{"key": f"k{key}", "n": [step, number, n]} for n, key in enumerate(asked)]
            journal.append([*lines, {"other": step}])
            newest |= {str(line["key"]): line["n"] for line in lines}  # type: ignore[misc]
            lookup.read(journal.path)
        rows: dict[int, str] = {}
        for key in [*sorted(newest), *(f"k{n}" for n in data.draw(st.lists(keys)))]:
            line = lookup.line(key)
            assert (None if line is None else line.record["n"]) == newest.get(key)
            if line is not None:
                assert json.loads(line.data) == line.record
                assert rows.setdefault(line.row, key) == key  # a row is of one line
                assert line.row < lookup.rows
        assert len(lookup) == len(newest)


def test_no_more_lines_wait_than_said(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    journal.append({"key": f"{n}"} for n in range(10 * LINES_AHEAD))
    lookup = open_lookup(journal.path)
    for n in range(0, 10 * LINES_AHEAD, 2):  # the line behind each is read in vain
        assert lookup.get(f"{n}") == {"key": f"{n}"}
    assert len(lookup._coming) == LINES_AHEAD


@given(st.lists(st.integers(0, 20), max_size=60))
def test_repeats_are_told_from_what_is_mentioned_once(mentions: list[int]) -> None:
    repeats = Repeats()
    for mention in mentions:
        repeats.add(f"{mention:064x}"[::-1])
    kinds = [
        ONCE if mentions.count(key) == 1 else AGAIN if key in mentions[:n] else FIRST
        for n, key in enumerate(mentions)
    ]
    assert list(repeats.found()) == kinds


def test_numbers_beyond_those_that_are_remembered_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fbridge.prepare.journal._RECENT", 3)
    numbers = KeyNumbers()
    assert all(numbers.add(f"{n}") for n in range(10))
    assert not any(numbers.add(f"{n}") for n in range(10))
    assert [numbers[f"{n}"] for n in range(10)] == list(range(10))
    assert numbers.add("given", 77)
    assert numbers["given"] == 77
