"""`fbridge eval` of videos behind URLs, and results that go to them: the numbers of local files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from tarfile import TarInfo
from typing import Any

import boto3
import pytest

from fbridge.data.stores import Store, StoreUrl
from fbridge.data.video_files import read_video, write_video
from fbridge.evaluation.features import networks
from fbridge.evaluation.features.networks import MAKERS, Maker
from fbridge.evaluation.metrics.catalogue import METRICS
from fbridge_cli.main import run
from tests.data.sources.trees import pack
from tests.data.stores.conftest import Fill
from tests.data.stores.servers import ODD, Faults
from tests.evaluation.sides import FRAMES, damaged, scene, write_side
from tests.evaluation.test_run import colours

NUMBERS = range(3)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sides")
    write_side(folder / "real", NUMBERS)
    damaged(folder / "noise", NUMBERS, "noise")
    return folder


@pytest.fixture
def bucket(sides: Path, fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreUrl:
    monkeypatch.chdir(tmp_path)
    return fill(sides)


def measured(capsys: pytest.CaptureFixture[str], *line: object) -> dict[str, Any]:
    options = ["--frames", FRAMES, "--workers", 0, "--no-baselines", "--json"]
    options += [] if "--metric" in line else ["--metric", "psnr"]
    assert run(["eval", *map(str, [*line, *options])]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def told(capsys: pytest.CaptureFixture[str], code: int, *line: object) -> str:
    options = ["--frames", FRAMES, "--workers", 0, "--metric", "psnr", "--no-baselines"]
    assert run(["eval", *map(str, [*line, *options])]) == code
    return capsys.readouterr().err.replace("\n", " ")


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    hashes = [[pair["generated_hash"] for pair in found["pairs"]] for found in (one, other)]
    return one["scores"] == other["scores"] and hashes[0] == hashes[1]


def test_folders_and_targets(
    sides: Path,
    bucket: StoreUrl,
    capsys: pytest.CaptureFixture[str],
    proxy: Faults,
    tmp_path: Path,
) -> None:
    local = measured(capsys, sides / "noise", "--reference", sides / "real")
    kinds = {1: "503", 2: "cut"}
    proxy.rule = lambda method, _, n: kinds.get(n, "") if method == "GET" else ""
    targets = ["--report", bucket / "out/a.html", "-o", bucket / "out/a.json"]
    there = measured(capsys, bucket / "noise", "-r", bucket / "real", *targets)
    assert same(local, there)
    assert there["generated"]["name"] == f"{bucket}/noise"
    assert there["pairs"][0]["generated"].startswith(f"{bucket}/noise/")
    assert there["pairs"][0]["reference"].startswith(f"{bucket}/real/")
    out = Store(bucket / "out")
    for item in (out.item("a.html"), out.item("a.json")):
        out.download(item, tmp_path / f"got-{item.name}")
    assert json.loads((tmp_path / "got-a.json").read_text()) == there
    page = (tmp_path / "got-a.html").read_text()
    assert page.count("<video") >= 2 * len(NUMBERS)
    assert str(tmp_path / "cache") not in page + json.dumps(there)
    assert not list((tmp_path / "cache" / "stores").glob("run-*"))
    assert not Path("s3:").exists()


def test_lists_of_urls(
    sides: Path,
    bucket: StoreUrl,
    capsys: pytest.CaptureFixture[str],
    fill: Fill,
    tmp_path: Path,
) -> None:
    names = sorted(path.name for path in (sides / "real").glob("*.mp4"))
    films = tmp_path / "films"
    for name in names:
        frames = 255 - read_video(sides / "real" / name).frames
        write_video(frames, films / name, 8)
    local = measured(capsys, films, "--reference", sides / "real")
    shutil.copytree(films, tmp_path / "tars" / "films")
    (tmp_path / "tars" / "list.csv").write_text("video\n" + "".join(f"films/{n}\n" for n in names))
    url = fill(tmp_path / "tars")
    Path("real.csv").write_text("video\n" + "".join(f"{bucket}/real/{n}\n" for n in names))
    Path("made.csv").write_text("video\n" + "".join(f"{url}/films/{n}\n" for n in names))
    listed = measured(capsys, "made.csv", "--reference", "real.csv")
    assert same(local, listed)
    assert listed["pairs"][0]["reference"] == f"{bucket}/real/{names[0]}"
    assert "0.mp4" not in listed["pairs"][0]["key"]
    Path("real.csv").write_text(f"video\n{bucket}/real/{names[0]}\n{bucket}/real/none.mp4\n")
    Path("made.csv").write_text(f"video\n{url}/films/{names[0]}\n{url}/films/none.mp4\n")
    error = told(capsys, 3, "made.csv", "--reference", "real.csv")
    assert f"{url}/films/none.mp4: cannot be had" in error
    assert "there is no such object" in error


@pytest.fixture
def films(sides: Path, tmp_path: Path) -> Path:
    """Generated and real videos, each as a folder, a tar, two tars, and below two lists."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "films"
    for path in sorted((sides / "real").glob("*.mp4")):
        write_video(255 - read_video(path).frames, folder / "made" / path.name, 8)
    shutil.copytree(sides / "real", folder / "real")
    for side, cut in (("made", 1), ("real", 2)):
        films = sorted((folder / side).glob("*.mp4"))
        members: list[tuple[str, bytes] | TarInfo] = [(f.name, f.read_bytes()) for f in films]
        pack(folder / f"{side}.tar", members)
        pack(folder / f"{side}-tars" / "0.tar", members[:cut])
        pack(folder / f"{side}-tars" / f"{side}.tar", members[cut:])
        shutil.copytree(folder / side, folder / f"{side}-listed")
        rows = [{"video": film.name, "caption": "a square"} for film in films]
        text = "".join(f"{row['video']},{row['caption']}\n" for row in rows)
        lists = folder / f"{side}-listed"
        (lists / "list.csv").write_text(f"video,caption\n{text}")
        parquet.write_table(arrow.Table.from_pylist(rows), lists / "list.parquet")
    return folder


def test_tars_and_lists_in_a_bucket(
    films: Path, fill: Fill, capsys: pytest.CaptureFixture[str]
) -> None:
    local = measured(capsys, films / "made", "--reference", films / "real")
    url = fill(films)
    for generated, reference in (
        ("made.tar", "real.tar"),
        ("made-tars", "real-tars"),
        ("made-listed/list.csv", "real-listed/list.parquet"),
        ("made-tars", "real-listed/list.csv"),
    ):
        there = measured(capsys, url / generated, "--reference", url / reference)
        assert same(local, there), generated
        assert there["generated"]["name"] == str(url / generated)


def test_distances_of_tars_in_a_bucket_and_odd_names(
    fill: Fill,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """FVD and report, both sides as tars whose own names and members' are odd."""
    monkeypatch.setitem(MAKERS, "i3d-tf1", Maker((), "stand-in", lambda _: colours))
    monkeypatch.setitem(METRICS, "fvd", replace(METRICS["fvd"], min_frames=2, networks=()))
    networks.build.cache_clear()
    films = tmp_path / "films"
    for side in ("real", "made"):
        for number, name in enumerate(ODD):
            frames = scene(number)
            write_video(255 - frames if side == "made" else frames, films / side / f"{name}.mp4", 8)
        members = [(f"{name}.mp4", (films / side / f"{name}.mp4").read_bytes()) for name in ODD]
        pack(films / "\u00e4 #1?" / f"{side} 50%+.tar", [*members])
    url = fill(films)
    tars = url / "\u00e4 #1?"
    fvd = ("--metric", "fvd,psnr", "--protocol", "tf")
    local = measured(capsys, films / "made", "--reference", films / "real", *fvd)
    assert local["pairs"]
    assert {score["metric"] for score in local["scores"]} >= {"fvd", "psnr"}
    page, out = tars / "r\u00e9p #1?.html", tars / "a b+%.json"
    targets = ("--report", page, "-o", out)
    sides_of = (tars / "made 50%+.tar", "--reference", tars / "real 50%+.tar")
    assert same(local, there := measured(capsys, *sides_of, *fvd, *targets))
    assert same(local, measured(capsys, url / "made", "--reference", url / "real", *fvd))
    store = Store(tars)
    store.download(store.item(out.name), tmp_path / "out")
    assert json.loads((tmp_path / "out").read_text()) == there
    store.download(store.item(page.name), tmp_path / "page")
    assert "FVD" in (tmp_path / "page").read_text()
    networks.build.cache_clear()

    cut = films / "cut" / "made 1.tar"
    cut.parent.mkdir()
    cut.write_bytes((films / "\u00e4 #1?" / "made 50%+.tar").read_bytes()[:2000])
    url = fill(cut.parent)
    error = told(capsys, 3, url / cut.name, "--reference", films / "real")
    assert f" {url}/{cut.name}: is truncated within 'a b.mp4'" in error


def test_names_that_tars_share_are_told_apart(
    films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = ("00.mp4", (films / "real" / "01.mp4").read_bytes())
    pack(films / "made-tars" / "1.tar", [twice])
    error = told(capsys, 3, films / "made-tars", "--reference", films / "real")
    assert "such as '0.tar/00' or '00'" in error


def test_a_tar_that_changed_is_named(
    films: Path, fill: Fill, capsys: pytest.CaptureFixture[str], proxy: Faults, s3_port: int
) -> None:
    url = fill(films)
    other = (films / "made.tar").read_bytes().replace(b"mdat", b"MDAT")
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{s3_port}")
    bucket = url.text.split("/")[2]

    def replaced(_: str, path: str, number: int) -> str:
        if path.endswith("/real.tar") and number == 1:  # the other side is listed by now
            client.put_object(Bucket=bucket, Key="set/videos/made.tar", Body=other)
        return ""

    proxy.rule = replaced
    error = told(capsys, 3, url / "made.tar", "--reference", url / "real.tar")
    assert f"{url}/made.tar: cannot be had (has changed since it was listed; try again)" in error


def test_what_is_not_measured(
    bucket: StoreUrl,
    capsys: pytest.CaptureFixture[str],
    fill: Fill,
    tmp_path: Path,
) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "index.json").write_text("{}")
    prepared = fill(tmp_path / "set")
    assert "is a prepared data set" in told(capsys, 2, prepared, "-r", prepared)
    assert "there is no such object" in told(capsys, 3, bucket / "none", "-r", bucket / "real")
    assert "is only read" in told(capsys, 2, bucket / "noise", "-o", "https://host/a.json")
    assert "is a URL, which is not taken here" in told(
        capsys, 2, bucket / "noise", bucket / "real", "--study", "x"
    )
