"""Rows of lists that name videos by URLs, beside rows that name files."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from fbridge.data.latents import LatentDataset
from fbridge.data.stores import Store, StoreError
from fbridge.errors import ConfigError, DependencyError
from fbridge.prepare import verify
from fbridge.prepare.preview import write_preview
from fbridge.prepare.run import Planned
from fbridge.prepare.source import Source
from fbridge.prepare.upload import local_folder
from fbridge.prepare.verification import VerifyResult
from tests.data.stores.conftest import Fill
from tests.data.stores.servers import ODD, Faults
from tests.prepare.sets import Inline, Order, run, tree

SECRET = "X-Amz-Signature=very-secret"


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fbridge.prepare.engine.Workers", Inline)


@pytest.fixture
def videos(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "videos"))


def write_list(path: Path, names: list[str]) -> Path:
    rows = [{"video": name, "caption": f"square, {n % 3}"} for n, name in enumerate(names)]
    if path.suffix == ".csv":
        lines = "".join(f'"{row["video"]}","{row["caption"]}"\n' for row in rows)
        path.write_text(f"video,caption\n{lines}")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def shards(out: Path) -> dict[str, str]:
    return {name: sha for name, sha in tree(out).items() if name.startswith(("shards", "text"))}


def rows_of(out: Path) -> list[dict[str, Any]]:
    data = LatentDataset(out)
    found = [data.record(number) for number in range(len(data))]
    return [{k: v for k, v in row.items() if k not in ("key", "media")} for row in found]


def test_odd_names(order: Order, fill: Fill, videos: Path, tmp_path: Path) -> None:
    """A folder and a list of URLs in a bucket, and a data set there: the same shards."""
    films = sorted(videos.rglob("*.mp4"))[: len(ODD)]
    for number, (film, name) in enumerate(zip(films, ODD, strict=False)):
        place = tmp_path / "odd" / f"{name}.mp4"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(film, place)
        place.with_name(f"{place.stem}.txt").write_text(f"square, {number % 3}")
    taken = ODD[: len(films)]
    url = fill(tmp_path / "odd")
    local = order(source=tmp_path / "odd", out=tmp_path / "local")
    run(local)
    there = url.parent / "latents \u00e4#?%+"
    run(order(source=url, out=local_folder(there), store=there))
    *_, found = verify(there)
    assert isinstance(found, VerifyResult)
    assert (found.damaged, found.sources_checked) == ((), len(taken))
    store, copy = Store(there), tmp_path / "copy"
    for item in store.items():
        store.download(item, copy / item.name)
    assert shards(copy) == shards(local.out)
    linked = write_list(tmp_path / "list.csv", [f"{url}/{name}.mp4" for name in taken])
    listed = order(source=linked, out=tmp_path / "listed")
    run(listed)
    assert len(LatentDataset(listed.out)) == len(LatentDataset(local.out)) == len(taken)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_urls_and_files_in_one_list(
    suffix: str, order: Order, fill: Fill, videos: Path, proxy: Faults
) -> None:
    url = fill(videos)
    names = [f"part{n % 2}/{n}.mp4" for n in (5, 2, 9, 4)]
    local = order(source=write_list(videos / f"a{suffix}", names), out=videos.parent / "local")
    run(local)
    mixed = [f"{url}/{names[0]}", names[1], f"{url}/{names[2]}", f"{url}/{names[3]}"]
    mixed += [f"{url}/none.mp4", "ftp://host/a.mp4", f"https://host/a.mp4?{SECRET}"]
    remote = order(
        source=write_list(videos / f"b{suffix}", mixed), out=videos.parent / "out", max_bad=1.0
    )
    tally = next(event.tally for event in run(remote) if isinstance(event, Planned))
    assert shards(local.out) == shards(remote.out)
    assert rows_of(local.out) == rows_of(remote.out)
    assert LatentDataset(remote.out).record(0)["media"] == [mixed[0], 0, None]
    why = {out.key: out.reason for out in tally.examples}
    assert "there is no such object" in why[f"{url}/none.mp4"]
    assert [reason for key, reason in why.items() if key.startswith(f"b{suffix}:")] == [
        "its URL is no URL that can be read; use one of s3://, gs://, az://, hf://, https://",
        "its URL has a part behind ? or #, such as a signature, which would be written into "
        "records; name a URL without it",
    ]
    texts = [path.read_text(errors="replace") for path in remote.out.rglob("*.json*")]
    assert "very-secret" not in "".join(texts)
    if suffix != ".csv":
        return
    proxy.asked.clear()
    run(remote)
    assert {method for method, path, _ in proxy.asked if ".mp4" in path} == {"HEAD"}
    *_, verdict = verify(remote.out)
    assert isinstance(verdict, VerifyResult)
    assert (verdict.ok, verdict.sources_checked, verdict.sources_missing) == (True, 4, ())
    assert write_preview(remote)[0].name == "sheet.png"
    assert not list((videos.parent / "cache" / "stores").glob("run-*"))


def test_a_list_in_a_bucket_may_name_its_videos_by_url(
    order: Order, fill: Fill, videos: Path, s3_port: int, proxy: Faults
) -> None:
    import boto3

    names = [f"part{n % 2}/{n}.mp4" for n in (5, 2, 9)]
    local = order(source=write_list(videos / "a.csv", names), out=videos.parent / "local")
    run(local)
    url = fill(videos)
    listed = write_list(videos / "a.csv", [f"{url}/{names[0]}", names[1], f"{url}/{names[2]}"])
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{s3_port}")
    client.put_object(
        Bucket=str(url).split("/")[2], Key="set/videos/a.csv", Body=listed.read_bytes()
    )
    remote = order(source=url / "a.csv", out=videos.parent / "remote")
    run(remote)
    same = [
        {name: sha for name, sha in tree(out).items() if not name.startswith(("index", "survey-"))}
        for out in (local.out, remote.out)
    ]
    assert same[0] == same[1]
    assert not [path for method, path, _ in proxy.asked if method == "HEAD" and "0.mp4" in path]


def test_a_store_that_stays_away_ends_the_run(
    order: Order, fill: Fill, videos: Path, proxy: Faults
) -> None:
    url = fill(videos)
    request = order(source=write_list(videos / "a.csv", [f"{url}/part0/2.mp4"]))
    proxy.rule = lambda *_: "503"
    with pytest.raises(StoreError, match=r"part0/2.mp4: answered .* in 6 tries"):
        run(request)
    proxy.rule = lambda *_: ""
    run(request)


def test_what_cannot_be_done_is_said(
    order: Order, videos: Path, proxy: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert proxy.port
    request = order(source=write_list(videos / "a.csv", ["gs://bucket/a.mp4"]))
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(DependencyError, match=r"pip install 'fbridge\[gcs\]'"):
        run(request)
    source = Source(request.source, None, 0, "--engine ray reads files alone; drop it")
    assert list(source.look()) == []
    with pytest.raises(ConfigError, match=r"gs://bucket/a.mp4: .* --engine ray reads files alone"):
        next(source.find_layout(None).entries())
