"""The same data set from a bucket as from a folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from tarfile import TarInfo

import pytest

from fbridge.data.stores import StoreError, StoreUrl, faults
from fbridge.errors import DataError
from fbridge.prepare import PrepareRequest, verify
from fbridge.prepare.preview import write_preview
from fbridge.prepare.run import Finished, Planned, SourceFound
from fbridge.prepare.verification import VerifyResult
from tests.data.sources.trees import pack
from tests.data.stores.conftest import Fill
from tests.data.stores.servers import Faults
from tests.prepare.sets import Inline, Order, run, tree


def same_but_source(first: Path, second: Path) -> bool:
    """Whether two data sets differ in nothing but where they came from and when files were made."""
    one, other = tree(first), tree(second)
    kept = [
        {name: sha for name, sha in files.items() if not name.startswith(("index", "survey-"))}
        for files in (one, other)
    ]
    return kept[0] == kept[1]


def from_bucket(order: Order, fill: Fill, folder: Path, name: str = "", **other: object) -> Path:
    """A data set of a folder in a bucket; checks that it is that of the folder."""
    local = order(source=folder / name, out=folder.parent / "local", **other)
    run(local)
    url = fill(folder)
    url = url / name if name else url
    remote = order(source=url, out=folder.parent / "remote", **other)
    run(remote)
    assert same_but_source(local.out, remote.out)
    index = json.loads((remote.out / "index.json").read_text())
    assert index["source"]["path"] == str(url)
    assert "very-secret" not in "".join(
        path.read_text(errors="replace") for path in remote.out.rglob("*") if path.is_file()
    )
    return remote.out


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fbridge.prepare.engine.Workers", Inline)


@pytest.fixture
def videos(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "videos"))


def test_a_folder(order: Order, fill: Fill, videos: Path, proxy: Faults) -> None:
    out = from_bucket(order, fill, videos)
    whole = [path for method, path, _ in proxy.asked if method == "GET" and ".mp4" in path]
    assert len(whole) == len(set(whole)) == 10  # surveyed and decoded from one copy
    assert not list((videos.parent / "cache" / "stores").glob("run-*"))
    assert result(out).ok


def result(out: Path) -> VerifyResult:
    *_, verdict = verify(out)
    assert isinstance(verdict, VerifyResult)
    return verdict


@pytest.mark.usefixtures("inline")
def test_sources_that_changed_in_the_bucket_are_named(
    order: Order, fill: Fill, videos: Path, s3_port: int
) -> None:
    import boto3

    request = order(source=fill(videos))
    run(request)
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{s3_port}")
    bucket = str(request.source).split("/")[2]
    client.put_object(Bucket=bucket, Key="set/videos/part0/2.mp4", Body=b"other")
    client.delete_object(Bucket=bucket, Key="set/videos/part0/4.mp4")
    verdict = result(request.out)
    assert verdict.ok
    assert verdict.sources_changed == ("part0/2.mp4",)
    assert verdict.sources_missing == ("part0/4.mp4",)


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_list(order: Order, fill: Fill, videos: Path, kind: str) -> None:
    rows = [{"video": f"part{n % 2}/{n}.mp4", "caption": f"square, {n}"} for n in (5, 2, 9, 77)]
    path = videos / f"list.{kind}"
    if kind == "csv":
        path.write_text(
            "video,caption\n" + "".join(f'{r["video"]},"{r["caption"]}"\n' for r in rows)
        )
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    from_bucket(order, fill, videos, path.name, max_bad=1.0)


@pytest.mark.usefixtures("inline")
def test_a_local_list_of_videos_in_a_bucket(order: Order, fill: Fill, videos: Path) -> None:
    path = videos.parent / "list.csv"
    path.write_text("video,caption\n0.mp4,a square\n4.mp4,a square\n")
    url = fill(videos / "part0")
    first = order(source=path, media_root=videos / "part0", out=videos.parent / "local")
    second = order(source=path, media_root=url, out=videos.parent / "remote")
    run(first)
    run(second)
    assert same_but_source(first.out, second.out)
    assert result(second.out).sources_checked == 2


@pytest.mark.usefixtures("inline")
def test_tars_are_read_in_ranges(order: Order, fill: Fill, videos: Path, proxy: Faults) -> None:
    tars = videos.parent / "tars"
    films = sorted(videos.rglob("*.mp4"))
    for number in range(2):
        members: list[tuple[str, bytes] | TarInfo] = []
        for film in films[number::2]:
            members.append((f"{film.stem}.mp4", film.read_bytes()))
            members.append((f"{film.stem}.txt", f"square {film.stem}".encode()))
            members.append((f"{film.stem}.bin", b"\0" * 200_000))
        pack(tars / f"{number:05d}.tar", members)
    from_bucket(order, fill, tars)
    size = sum(path.stat().st_size for path in tars.glob("*.tar"))
    assert proxy.sent < size / 2


@pytest.mark.usefixtures("inline")
def test_one_tar_and_a_preview(order: Order, fill: Fill, videos: Path) -> None:
    tars = videos.parent / "tars"
    members: list[tuple[str, bytes] | TarInfo] = [
        (f"{path.stem}.mp4", path.read_bytes()) for path in sorted(videos.rglob("*.mp4"))
    ]
    pack(tars / "a.tar", members)
    out = from_bucket(order, fill, tars, "a.tar")
    url = json.loads((out / "index.json").read_text())["source"]["path"]
    written = write_preview(order(source=StoreUrl(url), out=out))
    assert written[0].name == "sheet.png"


@pytest.mark.usefixtures("inline")
def test_a_tar_of_a_web_server(
    order: Order, fill: Fill, videos: Path, proxy: Faults, s3_port: int
) -> None:
    import boto3

    members: list[tuple[str, bytes] | TarInfo] = [
        (f"{path.stem}.mp4", path.read_bytes()) for path in sorted(videos.rglob("*.mp4"))[:3]
    ]
    tar = pack(videos.parent / "tars" / "a.tar", members)
    bucket = str(fill(tar.parent)).split("/")[2]
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{s3_port}")
    client.put_object_acl(Bucket=bucket, Key="set/videos/a.tar", ACL="public-read")
    url = StoreUrl(f"http://127.0.0.1:{proxy.port}/{bucket}/set/videos/a.tar")
    local, remote = order(source=tar), order(source=url, out=videos.parent / "remote")
    run(local)
    run(remote)
    assert same_but_source(local.out, remote.out)


@pytest.mark.usefixtures("inline")
def test_faults_change_nothing(order: Order, fill: Fill, videos: Path, proxy: Faults) -> None:
    kinds = {1: "503", 2: "cut"}
    proxy.rule = lambda method, _, n: kinds.get(n, "") if method == "GET" else ""
    from_bucket(order, fill, videos)


@pytest.mark.usefixtures("inline")
def test_a_store_that_stays_away_ends_the_run_and_the_same_line_goes_on(
    order: Order, fill: Fill, videos: Path, proxy: Faults
) -> None:
    request = order(source=fill(videos), out=videos.parent / "remote")
    proxy.rule = lambda _, path, __: "503" if path.endswith("/6.mp4") else ""
    with pytest.raises(StoreError, match=rf"part0/6.mp4: answered .* in {faults.TRIES} tries"):
        run(request)
    proxy.rule = lambda *_: ""
    run(request)
    local = order(source=videos, out=videos.parent / "local")
    run(local)
    assert same_but_source(local.out, request.out)


def test_one_forbidden_video_is_rejected(
    order: Order, fill: Fill, videos: Path, proxy: Faults
) -> None:
    request = order(source=fill(videos), max_bad=0.2)
    proxy.rule = lambda _, path, __: "403" if path.endswith("/6.mp4") else ""
    tally = next(event.tally for event in run(request) if isinstance(event, Planned))
    assert [(out.key, "access is denied" in out.reason) for out in tally.examples] == [
        ("part0/6.mp4", True)
    ]
    proxy.rule = lambda *_: ""  # it is tried again when rights are there
    tally = next(event.tally for event in run(request) if isinstance(event, Planned))
    assert not tally.rejected


@pytest.mark.usefixtures("inline")
def test_a_small_cache_is_enough(order: Order, fill: Fill, videos: Path) -> None:
    from_bucket(order, fill, videos, cache_size=1)


@pytest.mark.usefixtures("inline")
def test_errors_name_the_url(order: Order, fill: Fill, videos: Path) -> None:
    shutil.rmtree(videos / "part0")
    shutil.rmtree(videos / "part1")
    (videos / "notes.txt").write_text("nothing")
    url = fill(videos)
    with pytest.raises(DataError, match=f"^{url}: holds no video"):
        run(order(source=url))
    with pytest.raises(StoreError, match="there is no such object"):
        run(order(source=url / "no"))


@pytest.mark.usefixtures("inline")
def test_reasons_have_no_local_names(order: Order, fill: Fill, videos: Path) -> None:
    (videos / "list.csv").write_text("video\npart0/0.mp4\n../part1/1.mp4\n")
    request = order(source=fill(videos) / "list.csv", max_bad=1.0)
    events = run(request)
    assert isinstance(events[0], SourceFound)
    tally = next(event.tally for event in events if isinstance(event, Planned))
    assert str(request.source.parent) in tally.examples[0].reason
    assert isinstance(events[-1], Finished)


@pytest.mark.usefixtures("inline")
def test_nothing_new_is_fetched_again(
    order: Order, fill: Fill, videos: Path, proxy: Faults
) -> None:
    request: PrepareRequest = order(source=fill(videos))
    run(request)
    before = tree(request.out)
    proxy.asked.clear()
    run(replace(request))
    assert tree(request.out) == before
    assert not [path for method, path, _ in proxy.asked if method == "GET" and ".mp4" in path]
