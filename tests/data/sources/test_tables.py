"""One csv or jsonl whose rows name videos and captions."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from fbridge.data.sources import find_layout, rows
from fbridge.errors import ConfigError, DataError
from tests.data.sources.trees import by_key, entries, facts, plant


def test_a_table_tells_its_columns(tmp_path: Path) -> None:
    plant(
        tmp_path, {"clips.csv": "text,file_name,split,label\na cat, a.mp4 ,train,7\n", "a.mp4": ""}
    )
    layout = find_layout(tmp_path)
    assert layout.summary == (
        "table: clips.csv, video from column 'file_name', caption from column 'text', "
        "split from column 'split', label from column 'label'"
    )
    (entry,) = layout.entries()
    assert (entry.key, entry.captions, entry.split, entry.label) == (
        "a.mp4",
        ("a cat",),
        ("train",),
        7,
    )


@pytest.mark.parametrize(
    "video", ["video", "video_path", "file_name", "media_path", "path", "file"]
)
@pytest.mark.parametrize("caption", ["caption", "captions", "text", "prompt"])
def test_every_alias_is_known(tmp_path: Path, video: str, caption: str) -> None:
    plant(tmp_path, {"t.jsonl": json.dumps({video: "v/a.mp4", caption: "hello"}), "v/a.mp4": ""})
    assert facts(find_layout(tmp_path)) == [("v/a.mp4", ("hello",), "")]


def test_a_missing_video_shifts_no_caption(tmp_path: Path) -> None:
    rows = "".join(f"{name}.mp4,caption of {name}\n" for name in "abcd")
    plant(tmp_path, {"t.csv": "video,caption\n" + rows, "a.mp4": "", "c.mp4": "", "d.mp4": ""})
    found = by_key(tmp_path)
    assert all(entry.captions == (f"caption of {key[0]}",) for key, entry in found.items())
    assert [key for key, entry in found.items() if entry.refused] == ["b.mp4"]
    assert found["b.mp4"].refused.startswith("missing")


def test_captions_of_jsonl_may_be_lists_or_absent(tmp_path: Path) -> None:
    lines = [
        {"video": "a.mp4", "caption": ["one ", "", "two"]},
        {"video": "b.mp4", "caption": None},
        {"video": "c.mp4", "text": "\n"},
        {"video": "d.mp4", "captions": []},
        {"video": "e.mp4", "caption": ["x"], "text": "x"},
    ]
    plant(tmp_path, {"t.jsonl": "\n".join(map(json.dumps, lines))})
    plant(tmp_path, dict.fromkeys(["a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4"], ""))
    assert [fact[1] for fact in facts(find_layout(tmp_path))] == [
        ("one", "two"),
        (),
        (),
        (),
        ("x",),
    ]


def test_columns_that_differ_are_named(tmp_path: Path) -> None:
    plant(tmp_path, {"t.csv": "video,path,text\na.mp4,a.mp4,x\na.mp4,b.mp4,y\n", "a.mp4": ""})
    with pytest.raises(ConfigError, match=r"t\.csv:3: columns 'video' and 'path' differ; remove"):
        find_layout(tmp_path)


def test_columns_that_differ_late_refuse_their_row(tmp_path: Path) -> None:
    good = "a.mp4,x,x\n" * 200
    plant(tmp_path, {"t.csv": f"video,text,prompt\n{good}a.mp4,x,y\n", "a.mp4": ""})
    layout = find_layout(tmp_path)
    assert "caption from columns 'text' or 'prompt'" in layout.summary
    *first, last = layout.entries()
    assert not any(entry.refused for entry in first)
    assert (last.key, last.refused) == (
        "t.csv:202",
        "columns 'text' and 'prompt' differ; remove or rename one",
    )


def test_damaged_lines_stop_nothing(tmp_path: Path) -> None:
    lines = [
        '{"video": "a.mp4", "caption": "x"}',
        '{"video": "a.mp4", "capt',
        "",
        '["a.mp4"]',
        '{"caption": "x"}',
        '{"video": 5}',
        '{"video": "a.mp4", "caption": {"en": "x"}}',
        '{"video": "a.mp4", "caption": "\\ud800"}',
        "[" * 100_000,
        '{"video": "b.mp4", "caption": "y"}',
    ]
    plant(tmp_path, {"t.jsonl": "\ufeff" + "\r\n".join(lines), "a.mp4": "", "b.mp4": ""})
    found = by_key(tmp_path)
    assert list(found) == ["a.mp4", *(f"t.jsonl:{line}" for line in (2, 4, 5, 6, 7, 8, 9)), "b.mp4"]
    assert found["t.jsonl:2"].refused.startswith("is no JSON: ")
    assert found["t.jsonl:4"].refused == "is no JSON object in braces"
    assert found["t.jsonl:5"].refused.startswith("has no path")
    assert found["b.mp4"].captions == ("y",)


def test_damaged_csv_rows_stop_nothing(tmp_path: Path) -> None:
    text = (
        "video,caption\n"
        '"a.mp4","one, ""two""\nthree"\n'
        "a.mp4,one, two\n"
        '"a.mp4"x,one\n'
        "\n"
        "a.mp4\n"
        'b.mp4,"never closed\n'
        "c.mp4,lost\n"
    )
    plant(tmp_path, {"t.csv": text, "a.mp4": ""})
    found = entries(tmp_path)
    assert [entry.key for entry in found] == [
        "a.mp4",
        "t.csv:4",
        "t.csv:5",
        "a.mp4",
        "t.csv:8",
        "t.csv:9",
    ]
    assert found[0].captions == ('one, "two"\nthree',)
    assert found[1].refused == "has 3 cells for 2 columns; quote texts with ,"
    assert found[3].captions == ()


def test_a_caption_may_be_longer_than_csv_likes(tmp_path: Path) -> None:
    plant(tmp_path, {"t.csv": f"video,caption\na.mp4,{'x' * 200_000}\n", "a.mp4": ""})
    assert len(entries(tmp_path)[0].captions[0]) == 200_000


def test_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    plant(tmp_path, {"t.csv": b"video,caption\ngr\xfcn.mp4,x\na.mp4,gr\xfcn\n", "a.mp4": ""})
    (tmp_path / os.fsdecode(b"gr\xfcn.mp4")).write_bytes(b"")
    first, second = entries(tmp_path)
    assert os.fsencode(first.key) == b"gr\xfcn.mp4"
    assert first.media
    assert (second.key, second.refused) == (
        "t.csv:3",
        "the caption is not UTF-8; save it as UTF-8",
    )


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_paths_that_leave_or_cannot_be(tmp_path: Path, suffix: str) -> None:
    names = ["../out.mp4", str(tmp_path / "out.mp4"), "link.mp4", "a\0b.mp4", "x" * 9000, "a.mp4"]
    root = tmp_path / "root"
    texts = {
        "csv": "video\n" + "\n".join(names),
        "jsonl": "\n".join(json.dumps({"video": name}) for name in names),
    }
    plant(tmp_path, {"out.mp4": "secret", f"root/t.{suffix}": texts[suffix], "root/a.mp4": ""})
    (root / "link.mp4").symlink_to(tmp_path / "out.mp4")
    found = entries(root)
    assert [bool(entry.media) for entry in found] == [False] * 5 + [True]
    assert [entry.refused.split(";")[0] for entry in found[:3]] == [
        f"leaves the source folder {root.resolve()}"
    ] * 3


def test_the_rest_of_a_huge_table_is_not_read(tmp_path: Path) -> None:
    rows = "a.mp4,x\n" * 200_000
    plant(tmp_path, {"t.csv": f"video,text\n{rows}b.mp4,x,broken\n", "a.mp4": ""})
    layout = find_layout(tmp_path)
    walk = layout.entries()
    assert next(walk).key == "a.mp4"
    (tmp_path / "t.csv").write_text("video,text\n")  # the open file ends at once
    assert sum(1 for _ in walk) < 5_000


def test_a_file_is_a_source_and_its_videos_may_lie_elsewhere(tmp_path: Path) -> None:
    plant(tmp_path, {"lists/t.csv": "path\nv/a.mp4\n../lists/t.csv\n", "media/v/a.mp4": ""})
    source, media = tmp_path / "lists/t.csv", tmp_path / "media"
    layout = find_layout(source, media_root=media)
    assert layout.root == media.resolve()
    assert layout.summary == "table: t.csv, video from column 'path', no captions"
    assert [fact[::2] for fact in facts(layout)] == [
        ("v/a.mp4", ""),
        ("../lists/t.csv", "leaves the"),
    ]
    assert facts(find_layout(source))[0] == ("v/a.mp4", (), "missing: there")


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        (
            "id,words\n1,x\n",
            ConfigError,
            "no column for the video among 'id, words'; call it 'video'",
        ),
        ("video,text,text\na.mp4,x,y\n", ConfigError, "column 'text' is there twice; rename one"),
        ("", DataError, "holds no row"),
        ("video,text\n", DataError, "holds no video as table"),
        ("\ufffevideo", ConfigError, "no column for the video"),
        ('"video,text\n', DataError, r"t\.csv:1: is no csv"),
    ],
)
def test_tables_that_cannot_be_used(
    tmp_path: Path, text: str, error: type[Exception], match: str
) -> None:
    plant(tmp_path, {"t.csv": text})
    with pytest.raises(error, match=match):
        find_layout(tmp_path / "t.csv")


def test_utf16_is_named(tmp_path: Path) -> None:
    plant(tmp_path, {"t.csv": "video,text\n".encode("utf-16")})
    with pytest.raises(DataError, match="is UTF-16; save it as UTF-8"):
        find_layout(tmp_path / "t.csv")


def test_a_jsonl_without_any_object_names_its_first_line(tmp_path: Path) -> None:
    plant(tmp_path, {"t.jsonl": "[1,\n2]\n"})
    with pytest.raises(DataError, match=r"t\.jsonl:1: is no JSON"):
        find_layout(tmp_path / "t.jsonl")


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    plant(tmp_path, {"t.csv": "\ufeffvideo,text\na.mp4,x\n", "a.mp4": ""})
    assert facts(find_layout(tmp_path)) == [("a.mp4", ("x",), "")]


def test_an_absurdly_long_line_is_one_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "LARGEST_TEXT", 1 << 20)
    good = '{"video": "a.mp4"}'
    plant(tmp_path, {"t.jsonl": f"{good}\n{'x' * (5 << 20)}{good}\n{good}", "a.mp4": ""})
    assert facts(find_layout(tmp_path)) == [
        ("a.mp4", (), ""),
        ("t.jsonl:2", (), "is longer"),
        ("a.mp4", (), ""),
    ]


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_other_separators_of_cells(tmp_path: Path, suffix: str, mark: str) -> None:
    lines = [["\ufeffVideo", '"Text"'], ["a.mp4", f'"a cat, sitting; {mark}"'], ["b.mp4", "dog"]]
    plant(tmp_path, {f"t.{suffix}": "\n".join(map(mark.join, lines)), "a.mp4": "", "b.mp4": ""})
    assert facts(find_layout(tmp_path)) == [
        ("a.mp4", (f"a cat, sitting; {mark}".strip(),), ""), ("b.mp4", ("dog",), ""),
    ]  # fmt: skip


def test_separators_of_windows(tmp_path: Path) -> None:
    rows = ["v\\a.mp4", ".\\v\\b.mp4", "..\\out.mp4", "C:\\v\\a.mp4", "odd\\name.mp4"]
    plant(tmp_path, {"out.mp4": "secret", "s/v/a.mp4": "", "s/v/b.mp4": "", "s/odd\\name.mp4": ""})
    plant(tmp_path, {"s/t.csv": "video\n" + "\n".join(rows)})
    assert facts(find_layout(tmp_path / "s")) == [
        ("v/a.mp4", (), ""), ("v/b.mp4", (), ""), ("../out.mp4", (), "leaves the"),
        ("C:\\v\\a.mp4", (), "is a"), ("odd\\name.mp4", (), ""),
    ]  # fmt: skip


def test_names_of_columns_are_known_in_any_case(tmp_path: Path) -> None:
    lines = [{"Video": "a.mp4", "CAPTION ": "x"}, {"video": "b.mp4", "Text": "y", "text": "z"}]
    plant(tmp_path, {"t.jsonl": "\n".join(map(json.dumps, lines)), "a.mp4": "", "b.mp4": ""})
    first, second = entries(tmp_path)
    assert first.captions == ("x",)
    assert second.refused == "column 'text' is there twice with different values; rename one"
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"Path": ["a.mp4"], "Caption": ["q"]}), tmp_path / "t.parquet")
    assert facts(find_layout(tmp_path / "t.parquet")) == [("a.mp4", ("q",), "")]


def test_parquet_of_one_group_of_rows_is_read_in_parts(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = [random.Random(row).randbytes(600).hex() for row in range(8000)]  # noise is not packed
    parquet.write_table(arrow.table({"video": texts, "caption": texts}), tmp_path / "t.parquet")
    assert parquet.ParquetFile(tmp_path / "t.parquet").num_row_groups == 1
    del texts
    before = arrow.total_allocated_bytes()
    most = max(arrow.total_allocated_bytes() for _ in rows.rows(tmp_path / "t.parquet")) - before
    assert most < (tmp_path / "t.parquet").stat().st_size / 2


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        ("['a cat', 'it\\'s \"here\"']", ("a cat", 'it\'s "here"')),
        ('["one"]', ("one",)),
        ("['one' 'two\\n']", ("one", "two")),
        ("['one'\n 'two']", ("one", "two")),
        ("['one', 2]", ("['one', 2]",)),
        ("['cut", ("['cut",)),
        ("[a title] of a film", ("[a title] of a film",)),
        ("['__import__(1)'.x]", ("['__import__(1)'.x]",)),
    ],
)
def test_a_printed_list_of_captions(tmp_path: Path, cell: str, texts: tuple[str, ...]) -> None:
    """snap-research/Panda-70M #10: the column caption is the text of a Python list."""
    quoted = cell.replace('"', '""')
    plant(tmp_path, {"t.csv": f'video,caption\na.mp4,"{quoted}"\n', "a.mp4": ""})
    assert facts(find_layout(tmp_path)) == [("a.mp4", texts, "")]


def test_a_json_may_be_a_table(tmp_path: Path) -> None:
    """hao-ai-lab/FastVideo: videos2caption.json beside videos/."""
    whole = [{"path": "a.mp4", "cap": ["one", "two"], "fps": 8}, {"path": "b.mp4", "cap": "x"}, 7]
    plant(tmp_path, {"videos2caption.json": json.dumps(whole), "videos/a.mp4": "", "b.mp4": ""})
    plant(tmp_path, {"config.json": "{}", "broken.json": "{"})
    layout = find_layout(tmp_path)
    assert layout.summary == (
        "table: videos2caption.json, video from column 'path', caption from column 'cap'; "
        "not read: broken.json, config.json"
    )
    assert facts(layout) == [
        ("videos/a.mp4", ("one", "two"), ""), ("b.mp4", ("x",), ""),
        ("videos2caption.json:3", (), "is no"),
    ]  # fmt: skip
    plant(tmp_path, {"videos2caption.json": '{"path": "b.mp4"}\n{"path": "c.mp4"}\n'})
    assert [fact[0] for fact in facts(find_layout(tmp_path))] == ["b.mp4", "c.mp4"]
    plant(tmp_path, {"videos2caption.json": '{"b.mp4": "of b", "videos/a.mp4": ["x", "y"]}'})
    assert facts(find_layout(tmp_path)) == [  # Vchitect/VBench #79: --prompt_file
        ("b.mp4", ("of b",), ""), ("videos/a.mp4", ("x", "y"), ""),
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"broken\.json:1: is no JSON"):
        find_layout(tmp_path / "broken.json")
