from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fbridge.data.stores import (
    MissingError,
    ObjectError,
    Store,
    StoreError,
    StoreUrl,
    faults,
    parse_url,
    store,
)
from fbridge.data.stores.copies import Copies
from fbridge.data.stores.scratch import scratch_folder, stores_folder
from fbridge.data.stores.snapshot import Snapshot
from fbridge.errors import ConfigError, DependencyError
from tests.data.sources.trees import plant
from tests.data.stores.conftest import Fill
from tests.data.stores.servers import Faults


def test_urls_are_told_from_paths() -> None:
    assert parse_url("videos/a", "SOURCE") is None
    assert parse_url("C:/videos", "SOURCE") is None
    assert parse_url("./s3:/x", "SOURCE") is None
    url = parse_url("S3://bucket/videos/", "SOURCE")
    assert str(url) == "s3://bucket/videos"
    assert url is not None
    assert (url.name, str(url.parent), str(url.parent.parent)) == (
        "videos",
        "s3://bucket",
        "s3://bucket",
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ftp://host/videos", "use one of s3://"),
        ("hff://bucket/videos", "did you mean hf?"),
        ("simplecache::s3://bucket/videos", "use one of s3://"),
        ("s3://KEY:SECRET@bucket/videos", "holds credentials"),
        ("https://me:pass@host/videos.tar", "holds credentials"),
        ("https://host/a.tar?X-Amz-Signature=SECRET", "such as a signature"),
        ("hf://datasets/owner/name", "FBRIDGE_OFFLINE is set"),
        ("s3://", "names no folder"),
        ("s3://bucket/../other", "names no folder"),
    ],
)
def test_impossible_urls_are_refused_without_their_secrets(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told.replace("?", r"\?")) as caught:
        parse_url(text, "SOURCE")
    assert "SECRET" not in str(caught.value)
    assert "pass" not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(DependencyError, match=r"pip install 'fbridge\[gcs\]'"):
        Store(StoreUrl("gs://bucket/videos"))


def test_ranges_uploads_and_removal(fill: Fill, tmp_path: Path) -> None:
    there = Store(fill(plant(tmp_path / "v", {"a.mp4": b"0123456789", "deep/b.mp4": b"b"})))
    names = [item.name for item in there.items()]
    assert sorted(names) == ["a.mp4", "deep/b.mp4"]
    assert there.read("a.mp4", 3, 6) == b"345"
    there.upload(tmp_path / "v" / "a.mp4", "new/c.mp4")
    there.download(there.item("new/c.mp4"), tmp_path / "c", start=2, size=3)
    assert (tmp_path / "c").read_bytes() == b"234"
    there.remove(["new/c.mp4", "never/there"])
    assert not there.exists("new/c.mp4")


def test_what_another_process_wrote_is_seen(fill: Fill, tmp_path: Path) -> None:
    url = fill(plant(tmp_path / "v", {"a.mp4": b"a"}))
    first, second = Store(url), Store(url)
    assert len(list(first.items())) == 1
    second.upload(tmp_path / "v" / "a.mp4", "b.mp4")
    assert len(list(first.items())) == 2


@pytest.mark.parametrize("kind", ["503", "cut", "slow"])
def test_faults_are_tried_again(kind: str, fill: Fill, tmp_path: Path, proxy: Faults) -> None:
    there = Store(fill(plant(tmp_path / "v", {"a.mp4": b"0123456789" * 1000})))
    there._fs.read_timeout = 0.5
    proxy.rule = lambda _, path, n: kind if path.endswith("a.mp4") and n <= 2 else ""
    assert there.read("a.mp4", 0, 10000) == b"0123456789" * 1000
    asked = [path for _, path, _ in proxy.asked if path.endswith("a.mp4")]
    assert len(asked) == 3


def test_faults_that_stay_are_named(fill: Fill, tmp_path: Path, proxy: Faults) -> None:
    there = Store(fill(plant(tmp_path / "v", {"a.mp4": b"0123456789"})))
    proxy.rule = lambda *_: "503"
    with pytest.raises(StoreError, match=rf"a.mp4: .*in {faults.TRIES} tries; when the store"):
        there.read("a.mp4", 0, 10)
    assert len(proxy.asked) == faults.TRIES
    proxy.rule = lambda *_: "403"
    with pytest.raises(ObjectError, match="access is denied"):
        there.read("a.mp4", 0, 10)
    assert len(proxy.asked) == faults.TRIES + 1


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("expired", r"the credentials have expired; renew them \(ExpiredToken\)"),
        ("key", r"does not know the credentials; check key and secret \(InvalidAccessKeyId\)"),
        ("signature", r"does not know the credentials; .* \(SignatureDoesNotMatch\)"),
    ],
)
def test_credentials_that_are_not_taken_are_named(
    kind: str, told: str, fill: Fill, tmp_path: Path, proxy: Faults
) -> None:
    """Also of what HEAD is asked, and never as the fault of one object."""
    there = Store(fill(plant(tmp_path / "v", {"a.mp4": b"0123456789"})))
    item = there.item("a.mp4")
    proxy.rule = lambda *_: kind
    calls: list[Callable[[], object]] = [
        lambda: there.item("a.mp4"),
        lambda: there.exists("b.mp4"),
        lambda: list(there.items()),
        lambda: there.download(item, tmp_path / "a"),
        lambda: there.upload(tmp_path / "v" / "a.mp4", "b.mp4"),
        lambda: there.check_writable("-o"),
        there.is_file,
    ]
    for call in calls:
        with pytest.raises(StoreError, match=f"{there.url}.*: .*{told}$") as caught:
            call()
        assert not isinstance(caught.value, ObjectError)


def test_what_may_not_be_seen_is_not_missing(fill: Fill, tmp_path: Path, proxy: Faults) -> None:
    there = Store(fill(plant(tmp_path / "v", {"a.mp4": b"0123456789"})))
    assert not there.exists("b.mp4")
    proxy.rule = lambda *_: "403"
    for call in (lambda: there.exists("a.mp4"), lambda: list(there.items())):
        with pytest.raises(ObjectError, match="access is denied") as caught:
            call()
        assert not isinstance(caught.value, MissingError)


def test_a_cut_answer_costs_its_block_alone(
    fill: Fill, tmp_path: Path, proxy: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BLOCK", 1000)
    data = bytes(range(250)) * 20
    there = Store(fill(plant(tmp_path / "v", {"a.mp4": data})))
    item = there.item("a.mp4")
    proxy.rule = lambda method, _, n: "cut" if method == "GET" and n == 3 else ""
    there.download(item, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == data
    ranges = [where for method, _, where in proxy.asked if method == "GET"]
    assert ranges.count("bytes=2000-2999") == 2
    assert len(ranges) == 6


def test_an_object_that_changed_is_refused(fill: Fill, tmp_path: Path) -> None:
    there = Store(fill(plant(tmp_path / "v", {"a.mp4": b"0123456789"})))
    item = there.item("a.mp4")
    (tmp_path / "other").write_bytes(b"abcdefghij")
    there.upload(tmp_path / "other", "a.mp4")
    with pytest.raises(ObjectError, match="has changed since it was listed"):
        there.download(item, tmp_path / "a", start=2, size=3)
    assert not (tmp_path / "a").exists()


def test_a_snapshot_takes_lists_and_holes(fill: Fill, tmp_path: Path, proxy: Faults) -> None:
    films = {f"{n}.mp4": b"x" * 100_000 for n in range(3)} | {"0.txt": "a cat", ".hidden/x": "x"}
    snapshot = Snapshot(Store(fill(plant(tmp_path / "v", films))), tmp_path / "scratch")
    list(snapshot.take())
    assert (snapshot.folder / "0.txt").read_text() == "a cat"
    assert (snapshot.folder / "1.mp4").stat().st_size == 100_000
    assert (snapshot.folder / "1.mp4").stat().st_blocks == 0
    assert not (snapshot.folder / ".hidden").exists()
    assert not [path for method, path, _ in proxy.asked if path.endswith(".mp4")]


def test_many_folders_are_listed_side_by_side(fill: Fill, tmp_path: Path, proxy: Faults) -> None:
    films = {f"{n // 8}/{n}/a.mp4": str(n) for n in range(40)}
    there = Store(fill(plant(tmp_path / "v", films)))

    def slow(*_: object) -> str:
        time.sleep(0.02)
        return ""

    proxy.rule = slow
    names = [item.name for item in there.items()]
    assert sorted(names) == sorted(films)
    assert proxy.most > 4
    assert [item.name for item in there.items()] == names
    next(there.items())  # one that is not read to its end keeps nobody waiting


@pytest.mark.usefixtures("proxy")
def test_a_bucket_that_is_not_there_is_named() -> None:
    for url in ("s3://no-such-films", "s3://no-such-films/set"):
        with pytest.raises(ObjectError, match=f"^{url}: there is no such bucket; check its name$"):
            Store(StoreUrl(url)).is_file()


def test_names_that_no_folder_can_hold_are_counted(
    s3_port: int, fill: Fill, tmp_path: Path
) -> None:
    import boto3

    url = fill(plant(tmp_path / "v", {"a.mp4": b"a"}))
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{s3_port}")
    bucket = str(url).split("/")[2]
    for key in ("a.mp4/inner.mp4", "x" * 300 + ".mp4", "c\\d.mp4"):
        client.put_object(Bucket=bucket, Key=f"set/videos/{key}", Body=b"x")
    snapshot = Snapshot(Store(url), tmp_path / "scratch")
    list(snapshot.take())
    assert snapshot.lost == 3
    assert [path.name for path in snapshot.folder.rglob("*") if path.is_file()] == ["a.mp4"]


def test_copies_keep_to_their_limit(tmp_path: Path) -> None:
    copies = Copies(tmp_path, 25)
    fetched = []

    def fetch(path: Path) -> None:
        fetched.append(path.name)
        path.write_bytes(b"x" * 10)

    first = copies.take("a", 10, fetch)
    assert copies.take("a", 10, fetch) == first
    copies.give_back("a")
    copies.take("b", 10, fetch)
    copies.take("c", 10, fetch)  # "a" is in use still
    assert first.exists()
    assert copies.full
    copies.give_back("a")
    copies.give_back("b")
    assert not first.exists()  # the longest ago
    assert len(list(tmp_path.iterdir())) == 2
    copies.take("a", 10, fetch)
    assert len(fetched) == 4


def test_scratch_folders_of_killed_processes_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path))
    dead = stores_folder() / "run-dead"
    (dead / "copies").mkdir(parents=True)
    dead.with_suffix(".lock").touch()
    with scratch_folder() as first, scratch_folder() as second:
        assert not dead.exists()
        assert first.is_dir()
        assert second.is_dir()
    assert not list(stores_folder().iterdir())


def test_help_and_urls_import_no_fsspec() -> None:
    code = (
        "import sys; from fbridge_cli.main import run; "
        "run(['--help']); run(['prepare', 'ftp://host/x', '-o', 'x']); "
        "sys.exit('fsspec' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
