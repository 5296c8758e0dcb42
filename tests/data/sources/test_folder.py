from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fbridge.data.sources import Layout, find_layout
from fbridge.data.sources.paths import locate
from fbridge.errors import DataError


def _plant(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    root = tmp_path / "clips"
    _plant(root, "b.mp4", "a/2.MOV", "a/10.webm", "c/d/e.gif", ".hidden/x.mp4", "._b.mp4", "n.md")
    (root / "b.txt").write_text("  a dog\nruns \n", encoding="utf-8-sig")
    (root / "a/10.txt").write_text("")
    return root


def test_captions_stand_beside_their_videos(clips: Path) -> None:
    layout = find_layout(clips)
    assert layout.name == "folder"
    summary = "folder: videos below clips, captions from the .txt beside each"
    assert layout.summary == f"{summary}; not videos by their names: 1 .md"
    assert layout.root == clips.resolve()
    first = list(layout.entries())
    assert [(entry.key, entry.captions) for entry in first] == [
        ("b.mp4", ("a dog\nruns",)),
        ("a/10.webm", ()),
        ("a/2.MOV", ()),
        ("c/d/e.gif", ()),
    ]
    assert list(layout.entries()) == first
    for entry in first:
        assert entry.media
        with entry.media.open() as file:
            assert file.read() == entry.key.encode()


def test_a_missing_video_shifts_no_caption(tmp_path: Path) -> None:
    _plant(tmp_path, "1.mp4", "2.mp4", "3.mp4")
    for name in ("1", "2", "3"):
        (tmp_path / f"{name}.txt").write_text(f"caption {name}")
    (tmp_path / "2.mp4").unlink()
    found = [(entry.key, entry.captions) for entry in find_layout(tmp_path).entries()]
    assert found == [("1.mp4", ("caption 1",)), ("3.mp4", ("caption 3",))]


def test_one_stem_with_two_suffixes_shares_its_caption(tmp_path: Path) -> None:
    _plant(tmp_path, "a.mp4", "a.avi", "a.b.mp4")
    (tmp_path / "a.txt").write_text("both")
    found = {entry.key: entry.captions for entry in find_layout(tmp_path).entries()}
    assert found == {"a.avi": ("both",), "a.mp4": ("both",), "a.b.mp4": ()}


def test_a_caption_in_another_encoding_refuses_its_video_only(tmp_path: Path) -> None:
    _plant(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "a.txt").write_bytes("Größe".encode("latin-1"))
    first, second = find_layout(tmp_path).entries()
    assert first.media is None
    assert first.refused == "a.txt: is not UTF-8; save the caption as UTF-8"
    assert second.media


def test_links_that_leave_are_refused_unopened(clips: Path, tmp_path: Path) -> None:
    _plant(tmp_path, "outside/secret.mp4", "outside/secret.txt")
    outside = tmp_path / "outside"
    (clips / "link.mp4").symlink_to(outside / "secret.mp4")
    (clips / "folder").symlink_to(outside)
    (clips / "b.txt").unlink()
    (clips / "b.txt").symlink_to(outside / "secret.txt")
    (clips / "dead.mp4").symlink_to(clips / "nowhere.mp4")
    (clips / "loop.mp4").symlink_to(clips / "loop.mp4")
    (clips / "inner.mp4").symlink_to(clips / "a/10.webm")
    (clips / "round").symlink_to(clips)
    found = {entry.key: entry for entry in find_layout(clips).entries()}
    root = clips.resolve()
    for key in ("link.mp4", "folder"):
        assert found[key].media is None
        assert found[key].refused.startswith(f"leaves the source folder {root}; ")
    assert found["b.mp4"].media is None
    assert found["b.mp4"].refused.startswith(f"b.txt: leaves the source folder {root}; ")
    assert found["dead.mp4"].refused.startswith("missing")
    assert found["loop.mp4"].media is None
    media = found["inner.mp4"].media
    assert media
    assert media.path == root / "a/10.webm"
    assert not [key for key in found if key.startswith(("folder/", "round"))]
    assert "secret" not in str(found)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    _plant(tmp_path, "a.mp4/b.avi")
    found = {entry.key: entry.refused for entry in find_layout(tmp_path).entries()}
    assert found == {"pipe.mp4": "is not a regular file", "a.mp4/b.avi": ""}


def test_names_that_are_no_utf8_survive(tmp_path: Path) -> None:
    name = os.fsdecode(b"gr\xfc\xdfe.mp4")
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / name).with_suffix(".txt").write_text("hello")
    (entry,) = find_layout(tmp_path).entries()
    assert entry.key == name
    assert entry.captions == ("hello",)
    assert entry.media
    assert entry.media.stat()[0] == 1


def test_only_one_folder_is_listed_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _plant(tmp_path, *(f"{folder:03}/clip.mp4" for folder in range(50)))
    layout = find_layout(tmp_path)
    listed = []
    scandir = os.scandir

    def watch(path: str) -> Iterator[os.DirEntry[str]]:
        listed.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watch)
    assert next(layout.entries()).key == "000/clip.mp4"
    assert len(listed) == 2


def test_deep_folders_are_walked(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(300):
        folder = folder / "d"
    _plant(folder, "a.mp4")
    assert [entry.key for entry in find_layout(tmp_path).entries()] == ["d/" * 300 + "a.mp4"]


@pytest.mark.parametrize("files", [[], ["a.txt", "b/c.json"], [".hidden.mp4"]])
def test_a_folder_without_video_is_an_error(tmp_path: Path, files: list[str]) -> None:
    _plant(tmp_path, *files)
    with pytest.raises(DataError, match="holds no video as folder"):
        find_layout(tmp_path)


@pytest.mark.parametrize(
    ("name", "key", "refused"),
    [
        ("a.mp4", "a.mp4", ""),
        ("./sub/../a.mp4", "a.mp4", ""),
        ("{root}/a.mp4", "a.mp4", ""),
        ("../clips/a.mp4", "a.mp4", ""),
        ("../out.mp4", "../out.mp4", "leaves"),
        ("../clips2/a.mp4", "../clips2/a.mp4", "leaves"),
        ("/etc/passwd", "/etc/passwd", "leaves"),
        ("sub/../../out.mp4", "sub/../../out.mp4", "leaves"),
        ("b.mp4", "b.mp4", "missing"),
        ("a.mp4/b", "a.mp4/b", "missing"),
        (".", ".", "is not a regular file"),
        ("", "list:1", "has no path"),
        ("a\0.mp4", "list:1", "path 'a\\x00.mp4' holds a NUL"),
        ("a" * 5000, "list:1", "path"),
        ("a" * 300, "a" * 300, "cannot be read"),
        ("\ud800.mp4", "list:1", "path '\\ud800.mp4' cannot be"),
        ("https://example.org/a.mp4", "https://example.org/a.mp4", "is behind a URL"),
        ("https://me:secret@example.org/a.mp4", "list:1", "its URL holds credentials"),
        ("https://example.org/a.mp4?sig=x", "list:1", "its URL has a part behind ?"),
        ("az://films/a.mp4?sv=1&sig=x", "list:1", "its URL has a part behind ?"),
    ],
)
def test_names_lead_inside_or_nowhere(tmp_path: Path, name: str, key: str, refused: str) -> None:
    _plant(tmp_path, "clips/a.mp4", "clips/sub/c.mp4", "out.mp4", "clips2/a.mp4")
    root = str((tmp_path / "clips").resolve())
    place = locate(root, root, name.replace("{root}", root), line="list:1")
    assert place.key == key
    assert place.refused.startswith(refused)
    assert (place.media is None) == bool(refused) == bool(place.refused)


def test_a_source_that_is_a_link_is_its_target(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(clips)
    layout: Layout = find_layout(tmp_path / "alias")
    assert layout.root == clips.resolve()
    assert [entry.refused for entry in layout.entries()] == [""] * 4


def test_a_caption_may_have_another_case_of_suffix(tmp_path: Path) -> None:
    """tdrussell/diffusion-pipe #373: cameras and Windows write 0.MP4 and 0.TXT."""
    _plant(tmp_path, "0.MP4", "1.mp4", "2.mp4", "A.mp4")
    for name, text in {
        "0.TXT": "cat",
        "1.txt": "dog",
        "1.TXT": "x",
        "2.Txt": "",
        "2.TXT": "",
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "a.txt").write_text("of another stem")
    layout = find_layout(tmp_path)
    assert [(entry.captions, entry.refused) for entry in layout.entries()] == [
        (("cat",), ""),
        (("dog",), ""),
        ((), "2.TXT and 2.Txt may be its caption; keep one"),
        ((), ""),
    ]
    assert layout.summary.endswith("; not read: a.txt")


def test_captions_as_other_trainers_have_them(tmp_path: Path) -> None:
    """bmaltais/kohya_ss #1370 (.caption), ueoo/FluidNexus #7 (CogVideoX's labels/)."""
    _plant(tmp_path, "0.mp4", "1.mp4", "videos/2.mp4", "videos/a/3.mp4", "videos/4.mp4")
    texts = {"0.caption": "c0", "1.caption": "tags", "1.txt": "c1", "labels/2.txt": "c2"}
    texts |= {"labels/a/3.txt": "c3", "labels/4.txt": "x", "videos/4.txt": "c4"}
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    found = {entry.key[-5]: entry.captions for entry in find_layout(tmp_path).entries()}
    assert found == {str(n): (f"c{n}",) for n in range(5)}


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"videos.txt": "", "README.md": "", "readme.txt": ""}, "videos.txt"),
        ({"captions.tsv": "id\tcaption\n", "notes.json": "{}"}, "captions.tsv, notes.json"),
        ({"clips.XLSX": "", "requirements.txt": ""}, "clips.XLSX"),
        ({"texts/0.txt": "cat", "texts/1.caption": "dog"}, "texts/0.txt, texts/1.caption"),
        ({"labels/0.txt": "cat", "videos/1.caption": "dog"}, ""),
        ({f"{n}.json": "{}" for n in range(20)}, "*.json"),
        ({"videos/0.mp4.json": "{}", "0.mp4.json": "{}"}, ""),
    ],
)
def test_lists_that_are_not_read_are_told(tmp_path: Path, files: dict[str, str], told: str) -> None:
    """huggingface/finetrainers #277: captions must not be lost without a word."""
    _plant(tmp_path, "videos/0.mp4", "videos/1.mp4", *files)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    _, _, unread = find_layout(tmp_path).summary.partition("; not read: ")
    assert unread == told
