from __future__ import annotations

import gzip
import json
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from fbridge.data.sources import find_layout
from fbridge.errors import ConfigError, DataError
from tests.data.sources.trees import by_key, facts, pack, plant


def _special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_members_of_a_key_are_a_sample(tmp_path: Path) -> None:
    note = json.dumps({"caption": "from json", "key": "2"}).encode()
    pack(
        tmp_path / "b.tar",
        [
            _special("d", tarfile.DIRTYPE),
            ("./d/1.txt", b" one\n"),
            ("./d/1.mp4", b"video one"),
            ("README", b""),
            ("d/2.mp4", b"video two"),
            ("d/2.json", note),
            ("d/3.json", note),
            ("d/3.txt", b"from txt"),
            ("d/3.orig.MP4", b"video three"),
            ("d/3.mp4", b"again"),
            ("4.jpg", b""),
            ("5.mp4", b"no words"),
        ],
    )
    pack(tmp_path / "a.tar", [("1.mp4", b"first shard")])
    layout = find_layout(tmp_path)
    assert (
        layout.summary == "webdataset: a.tar, b.tar, caption from the .txt or .json of the same key"
    )
    assert facts(layout) == [
        ("a.tar/1.mp4", (), ""),
        ("b.tar/d/1.mp4", ("one",), ""),
        ("b.tar/d/2.mp4", ("from json",), ""),
        ("b.tar/d/3.orig.MP4", ("from txt",), ""),
        ("b.tar/d/3.mp4", ("from txt",), ""),
        ("b.tar/5.mp4", (), ""),
    ]
    contents = []
    for entry in layout.entries():
        assert entry.media
        with entry.media.open() as file:
            contents.append(file.read())
    assert contents[:3] == [b"first shard", b"video one", b"video two"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "b.tar"]


def test_a_caption_apart_from_its_video_is_reported(tmp_path: Path) -> None:
    pack(tmp_path / "s.tar", [("1.txt", b"one"), ("2.mp4", b""), ("2.txt", b"two"), ("1.mp4", b"")])
    found = by_key(tmp_path / "s.tar")
    assert found["s.tar/1.txt"].refused.startswith("no video stands beside this caption")
    assert not found["s.tar/1.txt"].missing
    assert found["s.tar/1.mp4"].captions == ()
    assert found["s.tar/2.mp4"].captions == ("two",)


def test_a_failed_download_is_missing_once_and_no_damage(tmp_path: Path) -> None:
    """iejMac/video2dataset #255: .json and .txt stay where the download of the .mp4 failed."""
    note = b'{"status": "failed_to_download", "caption": "x"}'
    pack(tmp_path / "00000.tar", [("1.json", note), ("1.txt", b"x"), ("2.mp4", b""), ("3.mp4", b""),
                                  ("3.json", b'{"Caption": "z"}')])  # fmt: skip
    plant(tmp_path, {"00000.parquet": b"log", "00000_stats.json": "{}", "more.csv": "id\n1\n"})
    found = by_key(tmp_path)
    assert list(found) == ["00000.tar/2.mp4", "00000.tar/3.mp4", "00000.tar/1"]
    assert found["00000.tar/3.mp4"].captions == ("z",)
    lost = found["00000.tar/1"]
    assert (lost.missing, lost.refused) == (True, "missing: the tar has no video of this sample")
    assert find_layout(tmp_path).summary.endswith("same key; not read: more.csv")


def test_captions_may_have_other_names(tmp_path: Path) -> None:
    """yhZhai/mcm #7 (.caption and .text), mlfoundations/open_clip #480 (sample.outputs.txt)."""
    pack(tmp_path / "s.tar", [
        ("1.mp4", b""), ("1.caption", b"one"), ("2.mp4", b""), ("2.text", b"two"),
        ("3.input.mp4", b""), ("3.outputs.txt", b"three"), ("4.mp4", b""), ("4.a.txt", b"not"),
        ("4.txt", b"four"), ("5.mp4", b""), ("5.a.txt", b"x"), ("5.b.txt", b"y"),
    ])  # fmt: skip
    found = list(by_key(tmp_path).values())
    assert [entry.captions for entry in found] == [("one",), ("two",), ("three",), ("four",), ()]
    assert found[-1].refused == "5.a.txt and 5.b.txt may be its caption; keep one"


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("1.txt", b"gr\xfcn", "1.txt: is not UTF-8"),
        ("1.json", b"{", "1.json: is no JSON"),
        ("1.json", b'{"text": "a", "prompt": "b"}', "1.json: columns 'text' and 'prompt' differ"),
        ("1.json", b'{"text": 5}', "1.json: the caption is 5, not text"),
    ],
)
def test_a_damaged_caption_refuses_its_video_only(
    tmp_path: Path, name: str, content: bytes, match: str
) -> None:
    pack(tmp_path / "s.tar", [("1.mp4", b""), (name, content), ("2.mp4", b"")])
    found = by_key(tmp_path)
    assert found["s.tar/1.mp4"].refused.startswith(match)
    assert found["s.tar/2.mp4"].media


def test_members_that_leave_are_refused_unopened(tmp_path: Path) -> None:
    plant(tmp_path, {"out.mp4": "secret"})
    pack(
        tmp_path / "s/s.tar",
        [
            ("../out.mp4", b"x"),
            ("a/../../out.mp4", b"x"),
            ("/etc/x.mp4", b"x"),
            _special("1.mp4", tarfile.SYMTYPE, "../../out.mp4"),
            _special("2.mp4", tarfile.LNKTYPE, "5.mp4"),
            _special("3.mp4", tarfile.CHRTYPE),
            _special("4.mp4", tarfile.FIFOTYPE),
            ("5.mp4", b"good"),
            _special("5.txt", tarfile.SYMTYPE, "/etc/passwd"),
        ],
    )
    (tmp_path / "s/t.tar").symlink_to(tmp_path / "s/s.tar")
    found = by_key(tmp_path / "s/s.tar")
    assert [key for key, entry in found.items() if entry.media] == ["s.tar/5.mp4"]
    assert found["s.tar/5.mp4"].captions == ()
    words = [entry.refused.split(" ")[:3] for entry in found.values() if entry.refused]
    assert words == [
        *[["leaves", "the", "tar"]] * 3,
        *[["is", "a", "link"]] * 2,
        *[["is", "a", "device"]] * 2,
        ["is", "a", "link"],
    ]


def test_a_tar_that_is_a_link_out_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    pack(tmp_path / "out.tar", [("1.mp4", b"secret")])
    pack(tmp_path / "s/a.tar", [("1.mp4", b"x")])
    (tmp_path / "s/b.tar").symlink_to(tmp_path / "out.tar")
    assert [entry.key for entry in find_layout(tmp_path / "s").entries() if entry.media] == [
        "a.tar/1.mp4"
    ]


@pytest.mark.parametrize("cut", [100, 512, 700, 1024, 1030, 1500, 1536, 2047])
def test_a_cut_tar_gives_its_good_members_and_says_so(tmp_path: Path, cut: int) -> None:
    path = pack(tmp_path / "s.tar", [("1.mp4", b"a" * 500), ("2.mp4", b"b" * 500)])
    path.write_bytes(path.read_bytes()[:cut])
    *good, last = facts(find_layout(tmp_path))
    assert last[0] == "s.tar"
    assert last[2] in ("is damaged", "is truncated")
    whole = sum(cut >= end for end in (1012, 2036))
    assert [fact[0] for fact in good] == [f"s.tar/{number}.mp4" for number in (1, 2)][:whole]


def test_damage_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = pack(tmp_path / "s.tar", [("1.mp4", b"a"), ("2.mp4", b"b"), ("3.mp4", b"c")])
    content = bytearray(path.read_bytes())
    content[1024:1100] = b"\xff" * 76
    path.write_bytes(content)
    assert facts(find_layout(tmp_path)) == [("s.tar/1.mp4", (), ""), ("s.tar", (), "is damaged")]


@pytest.mark.parametrize("content", [b"", b"nonsense" * 200, b"\x1f\x8b" + b"0" * 600])
def test_what_is_no_tar_is_refused(tmp_path: Path, content: bytes) -> None:
    pack(tmp_path / "a.tar", [("1.mp4", b"a")])
    plant(tmp_path, {"b.tar": content})
    good, bad = facts(find_layout(tmp_path))
    assert good[0] == "a.tar/1.mp4"
    assert bad[0] == "b.tar"
    assert bad[2] == ("is compressed" if content[:1] == b"\x1f" else "is damaged")


def test_compressed_tars_are_named(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", [("1.mp4", b"a")])
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert facts(find_layout(tmp_path))[1] == ("b.tar.gz", (), "is compressed")
    with pytest.raises(DataError, match=r"b\.tar\.gz: is compressed.*decompress it first"):
        find_layout(tmp_path / "b.tar.gz")
    path.unlink()
    with pytest.raises(DataError, match=r"decompress b\.tar\.gz"):
        find_layout(tmp_path)


def test_tars_beside_videos_are_ambiguous(tmp_path: Path) -> None:
    pack(tmp_path / "a.tar", [("1.mp4", b"a")])
    plant(tmp_path, {"2.mp4": ""})
    with pytest.raises(ConfigError, match="say --layout webdataset or --layout folder"):
        find_layout(tmp_path)
    assert [fact[0] for fact in facts(find_layout(tmp_path, "webdataset"))] == ["a.tar/1.mp4"]
    assert [fact[0] for fact in facts(find_layout(tmp_path, "folder"))] == ["2.mp4"]


def test_a_first_member_may_be_called_like_a_compression(tmp_path: Path) -> None:
    pack(tmp_path / "a.tar", [("BZh.mp4", b"a")])
    assert facts(find_layout(tmp_path)) == [("a.tar/BZh.mp4", (), "")]


def test_long_and_odd_names(tmp_path: Path) -> None:
    name = "d" * 150 + "/" + "größe" * 30 + ".mp4"
    pack(tmp_path / "a.tar", [(name, b"a"), ("\udcff.mp4", b"b")])
    assert [fact[0] for fact in facts(find_layout(tmp_path))] == [
        f"a.tar/{name}",
        "a.tar/\udcff.mp4",
    ]


def test_a_size_that_lies_is_damage(tmp_path: Path) -> None:
    path = pack(tmp_path / "s.tar", [("1.mp4", b"a"), ("2.mp4", b"b")])
    header = tarfile.TarInfo("2.mp4")
    header.size = 10**12
    content = bytearray(path.read_bytes())
    content[1024:1536] = header.tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(content)
    assert facts(find_layout(tmp_path)) == [("s.tar/1.mp4", (), ""), ("s.tar", (), "is truncated")]
    for size in (-(10**6), -600, -1):
        header.size = size
        content[1024:1536] = header.tobuf(tarfile.GNU_FORMAT)
        path.write_bytes(content)
        good, bad = find_layout(tmp_path).entries()
        assert good.media
        assert bad.key == "s.tar"
        assert bad.media is None


def test_memory_does_not_grow_with_the_members(tmp_path: Path) -> None:
    pack(tmp_path / "a.tar", [(f"{number:05}.mp4", b"") for number in range(4000)])
    walk = find_layout(tmp_path).entries()
    next(walk)
    tracemalloc.start()
    try:
        number = sum(1 for _ in walk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert number == 3999
    assert peak < 500_000  # four thousand headers are some megabytes
