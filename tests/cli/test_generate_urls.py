"""`fbridge generate` from and to URLs: a bucket on the loopback, and the fake pipeline."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from fbridge.data.provenance import read_provenance
from fbridge.data.stores import Store, StoreUrl
from fbridge.data.video_files import read_video
from fbridge.generate import load
from fbridge.loaders.locate import locate_model
from fbridge_cli import main
from tests.cli.conftest import Run, draw_picture
from tests.data.stores.conftest import Fill
from tests.data.stores.servers import ODD, Faults


@pytest.fixture
def bucket(fill: Fill, tmp_path: Path) -> StoreUrl:
    """A folder with two pictures, one below, and a list of both and one more by its URL."""
    folder = tmp_path / "there"
    draw_picture(folder / "dog.png", (64, 48))
    draw_picture(folder / "deep" / "fox.png", (64, 48), 3)
    (folder / "jobs.csv").write_text(
        "image,prompt,seed\ndog.png,zoom in,1\ndeep\\fox.png,zoom out,2\n../videos/dog.png,jump,3\n"
    )
    (folder / "bad.csv").write_text("image,prompt\n../../../x.png,zoom in\n")
    url = fill(folder)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    folder.rmdir()
    return url


def names(url: StoreUrl) -> list[str]:
    return sorted(item.name for item in Store(url).items())


def fetched(url: StoreUrl, name: str) -> Path:
    path = Path(f"fetched-{name}")
    there = Store(url)
    there.download(there.item(name), path)
    return path


def test_a_picture_behind_a_url(fbridge: Run, bucket: StoreUrl, tmp_path: Path) -> None:
    ran = fbridge("generate", bucket / "dog.png", "-p", "zoom in", "--frames", 4)
    assert ran.code == 0, ran.err
    assert "dog.png 64x48" in ran.out.replace("\n", " ")
    record = json.loads(Path("dog.mp4.json").read_text())
    assert record["picture"]["path"] == f"{bucket}/dog.png"
    assert read_provenance("dog.mp4").picture.name == "dog.png"
    assert "very-secret" not in Path("dog.mp4.json").read_text()
    assert not list((tmp_path / "cache" / "stores").glob("run-*"))
    assert not Path("s3:").exists()


def test_odd_names(fbridge: Run, fill: Fill, tmp_path: Path) -> None:
    for number, name in enumerate(ODD):
        draw_picture(tmp_path / "odd" / f"{name}.png", (64, 48), number)
    rows = "".join(f"{name}.png,zoom in\n" for name in ODD)
    (tmp_path / "odd" / "jobs #1?.csv").write_text(f"image,prompt\n{rows}")
    url = fill(tmp_path / "odd")
    made = {f"{Path(name).name}.mp4" for name in ODD}
    ran = fbridge("generate", url / "jobs #1?.csv", "-o", "made", "--frames", 4)
    assert ran.code == 0, ran.err
    assert {path.name for path in Path("made").glob("*.mp4")} == made
    Path("jobs.csv").write_text("image,prompt\n" + "".join(f"{url}/{n}.png,x\n" for n in ODD))
    out = url / "out \u00e4#?%+"
    for more in ((), ("--resume",)):
        ran = fbridge("generate", "jobs.csv", "-o", f"{out}/", "--frames", 4, *more)
        assert ran.code == 0, ran.err
    assert made == {name for name in names(out) if name.endswith(".mp4")}
    assert f"{len(ODD)} of {len(ODD)} videos are there" in ran.out + ran.err


def test_a_picture_of_a_web_server(
    fbridge: Run,
    bucket: StoreUrl,
    s3_port: int,
    proxy: Faults,
) -> None:
    pytest.importorskip("aiohttp")
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{s3_port}")
    where = str(bucket).split("/")[2]
    client.put_object_acl(Bucket=where, Key="set/videos/dog.png", ACL="public-read")
    url = f"http://127.0.0.1:{proxy.port}/{where}/set/videos/dog.png"
    assert fbridge("generate", url, "-p", "zoom in", "--frames", 4).code == 0
    ran = fbridge("generate", f"{url}?X-Amz-Signature=SECRET", "-p", "zoom in")
    assert ran.code == 2
    assert "SECRET" not in ran.err


@pytest.mark.parametrize("where", ["bucket", "folder"])
def test_lists(
    where: str,
    fbridge: Run,
    bucket: StoreUrl,
    draw: Callable[..., Path],
    proxy: Faults,
) -> None:
    path: object = bucket / "jobs.csv"
    if where == "folder":
        path = Path("jobs.jsonl")
        rows = [(f"{bucket}/dog.png", 1), (f"{bucket}/deep/fox.png", 2), ("cat.png", 3)]
        lines = [json.dumps({"image": name, "prompt": "zoom in", "seed": n}) for name, n in rows]
        Path("jobs.jsonl").write_text("\n".join(lines))
    kinds = {1: "503", 2: "cut"}
    proxy.rule = lambda method, _, n: kinds.get(n, "") if method == "GET" else ""
    ran = fbridge("generate", path, "-o", f"{bucket}/takes/", "--frames", 4, "--json")
    assert ran.code == 0, ran.err
    made = json.loads(ran.out)["videos"]
    second = ["dog-1", "fox", "dog-2"] if where == "bucket" else ["dog", "fox", "cat"]
    assert [one["video"] for one in made] == [f"{bucket}/takes/{name}.mp4" for name in second]
    assert [one["seed"] for one in made] == [1, 2, 3]
    assert names(bucket / "takes") == sorted(
        f"{name}.mp4{end}" for name in second for end in ("", ".json")
    )
    record = read_provenance(fetched(bucket / "takes", f"{second[2]}.mp4.json"))
    assert record.picture.path == (f"{bucket}/dog.png" if where == "bucket" else None)
    assert [p.name for p in Path().iterdir() if p.name[:3] in ("s3:", "out", "dog")] == []
    again = fbridge("generate", path, "-o", f"{bucket}/takes/", "--frames", 4)
    assert again.code == 2
    assert f"{bucket}/takes/{second[0]}.mp4: already exists" in again.err.replace("\n", " ")
    del draw


def test_an_interrupted_list_goes_on(fbridge: Run, bucket: StoreUrl) -> None:
    line = ("generate", bucket / "jobs.csv", "-o", f"{bucket}/takes/", "--frames", 4)
    assert fbridge(*line).code == 0
    takes = Store(bucket / "takes")
    whole = {name: fetched(bucket / "takes", name).read_bytes() for name in names(bucket / "takes")}
    takes.remove(["fox.mp4", "fox.mp4.json", "dog-2.mp4"])  # killed between record and video
    ran = fbridge(*line, "--resume", "--json")
    assert ran.code == 0, ran.err
    assert "1 of 3 videos are there and stay" in ran.err.replace("\n", " ")
    made = json.loads(ran.out)["videos"]
    assert [one["video"] for one in made] == [
        f"{bucket}/takes/{name}.mp4" for name in ("dog-1", "fox", "dog-2")
    ]
    again = {name: fetched(bucket / "takes", name).read_bytes() for name in names(bucket / "takes")}
    assert again == whole
    changed = fbridge(*line, "--resume", "--steps", 3)
    assert changed.code == 2
    assert f"{bucket}/takes/dog-1.mp4: is there and was made otherwise" in changed.err.replace(
        "\n", " "
    )
    Path("note").write_text("{}")
    takes.upload(Path("note"), "fox.mp4.json")
    for told in ("is no record of fbridge", "there is no such object"):
        ran = fbridge(*line, "--resume")
        assert ran.code == 2
        assert f"{bucket}/takes/fox.mp4.json: {told}; --resume" in ran.err.replace("\n", " ")
        takes.remove(["fox.mp4.json"])


def test_one_video_with_a_name(fbridge: Run, bucket: StoreUrl) -> None:
    line = ("generate", "cat.png", "-p", "zoom in", "--frames", 4, "-o", f"{bucket}/new/x.mp4")
    planned = fbridge(*line, "--dry-run", "--json")
    assert json.loads(planned.out)["videos"][0]["video"] == f"{bucket}/new/x.mp4"
    assert "new/x.mp4" not in names(bucket)
    assert fbridge(*line).code == 0
    video = fetched(bucket / "new", "x.mp4")
    assert read_provenance(video).picture.path is None
    assert fbridge(*line).code == 2
    assert fbridge(*line, "--overwrite", "--no-metadata").code == 0


def test_mistakes_are_named(fbridge: Run, bucket: StoreUrl, proxy: Faults) -> None:
    for line, told in (
        ((bucket / "none.png",), f"{bucket}/none.png: there is no such object"),
        ((bucket / "nothing",), "there is no such object"),
        ((bucket / "deep" / "..",), "names no folder or file"),
        ((bucket / "bad.csv",), f"{bucket}/bad.csv, line 2: image"),
        ((f"{bucket}/set",), "there is no such object"),
        (("cat.png", "-o", "https://host/x/"), "https:// is only read"),
        (("cat.png", "-o", f"{bucket}/x.png"), "frames does not appear there at once"),
        (("cat.png", "-o", f"{bucket}/x.avi"), ".avi is not written"),
        (("cat.png", "-o", "s3://KEY:SECRET@films/"), "holds credentials"),
    ):
        ran = fbridge("generate", *line, "-p", "zoom in", "--frames", 4)
        assert ran.code in (2, 3), ran
        assert told in ran.err.replace("\n", " ")
        assert "SECRET" not in ran.err
    ran = fbridge("generate", "--from", "cat.png", "-o", f"{bucket}/x.mp4")
    assert "--from: makes a video again from files of this machine" in ran.err.replace("\n", " ")
    proxy.rule = lambda method, *_: "403" if method == "PUT" else ""
    ran = fbridge("generate", "cat.png", "-p", "zoom in", "-o", f"{bucket}/takes/")
    assert "cannot be written (access is denied" in ran.err.replace("\n", " ")
    assert ran.code == 2


def test_a_folder_of_pictures(fbridge: Run, bucket: StoreUrl) -> None:
    ran = fbridge("generate", bucket, "-p", "zoom in", "--frames", 4, "-o", "takes/")
    assert ran.code == 0, ran.err
    assert [path.name for path in Path("takes").glob("*.mp4")] == ["dog.mp4"]


LOAD = load.load_pipeline
"""The one that is replaced by `fbridge`, which makes videos without a model."""


def test_a_model_in_a_bucket(
    fbridge: Run,
    fill: Fill,
    proxy: Faults,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    del fbridge
    monkeypatch.setattr(load, "load_pipeline", LOAD)
    run = tmp_path / "run"
    shutil.copytree(locate_model("embedded"), run / "model")
    (run / "run.json").write_text("{}")
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "big").write_bytes(bytes(1000))
    url = fill(run)
    line = ["generate", "cat.png", "-p", "zoom in", "--frames", "2", "--size", "64x64"]
    assert main.run([*line, "--model", str(url), "-o", "a.mp4"]) == 0, capsys.readouterr().err
    assert not [path for _, path, _ in proxy.asked if path.endswith("big")]
    proxy.asked.clear()
    assert main.run([*line, "--model", str(run), "-o", "b.mp4"]) == 0
    assert main.run([*line, "--model", f"{url}/", "-o", "c.mp4"]) == 0
    assert {path.rpartition("/")[2] for method, path, _ in proxy.asked if method == "GET"} <= {
        "", str(url).split("/")[2],
    }  # fmt: skip
    videos = [read_video(f"{name}.mp4").frames for name in "abc"]
    assert (videos[0] == videos[1]).all()
    assert (videos[0] == videos[2]).all()
    records = [read_provenance(f"{name}.mp4").model for name in "ab"]
    assert records[0].name == str(url)
    assert records[0].hash == records[1].hash
    capsys.readouterr()
    assert main.run(["info", str(url), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["path"] == f"{url}/model"
    assert found["kind"] == "bridge"
    assert str(tmp_path) not in json.dumps(found)
    assert main.run(["info", f"{url}/checkpoints"]) == 4
    assert f"{url}/checkpoints holds no model_index.json" in (
        capsys.readouterr().err.replace("\n", " ")
    )
    assert main.run([*line, "--model", f"{url}/checkpoints", "-o", "d.mp4"]) == 4
    told = capsys.readouterr().err.replace("\n", " ")
    assert f"{url}/checkpoints holds no model_index.json" in told
    assert main.run([*line, "--model", f"{url}/none", "-o", "d.mp4"]) == 3


def test_videos_in_a_folder_that_may_not_be_read_stay(
    fbridge: Run, bucket: StoreUrl, proxy: Faults
) -> None:
    line = ("generate", "cat.png", "-p", "zoom in", "--frames", 4, "-o", bucket / "out" / "a.mp4")
    assert fbridge(*line).code == 0
    before = Store(bucket / "out").item("a.mp4")
    proxy.rule = lambda method, *_: "403" if method in ("GET", "HEAD") else ""
    ran = fbridge(*line)
    assert ran.code == 3
    assert f"{bucket}/out: access is denied" in ran.err.replace("\n", " ")
    proxy.rule = lambda *_: ""
    assert Store(bucket / "out").item("a.mp4") == before
