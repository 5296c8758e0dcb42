"""Walk the lines about object stores against a real server, and print what they say.

    python -m examples.stores.walk

starts OpenStack Swift (see `examples.stores.swift`), puts three small videos and a list into a
bucket, and runs: the lines of docs/prepare.md, a prior into the bucket, those of docs/finetune.md,
a list of URLs, and generate and eval from and to the bucket. What is in the bucket afterwards is
compared with what the same lines make of a folder.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import boto3

from examples.stores.swift import swift
from fbridge.data.shapes import draw_clip
from fbridge.data.video_files import write_video
from fbridge_cli.main import run

DOCS = Path(__file__).parents[2] / "docs"
PRIOR = "fbridge train-prior --data s3://films/latents -o s3://films/runs/prior"
SMALL = {"FBRIDGE_TRAIN_STEPS": "1"}
ENCODE = "--codec t2v.safetensors --frames 17 --size 64x64 --workers 1"
MORE = (
    "fbridge finetune -o s3://films/runs/bridge --resume --steps 2",
    f"fbridge prepare list.csv -o mixed/ {ENCODE}",
    f"fbridge prepare films/ -o local/ {ENCODE}",
    f"fbridge prepare s3://films/set/list.csv -o s3://films/listed {ENCODE}",
    f"fbridge prepare s3://films/set/list.csv -o s3://films/listed {ENCODE}",
    "fbridge prepare --verify s3://films/listed",
    "fbridge generate s3://films/set/jobs.csv -o s3://films/takes/ --frames 9 --size 64x64",
    "fbridge eval s3://films/takes -r s3://films/takes --metric psnr --no-baselines --frames 9 "
    "--workers 0 -o s3://films/psnr.json",
)


def main() -> None:
    """Walk; exit with 1 where a line fails or two data sets differ."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, swift() as variables:
        print(f"Swift serves at {variables['AWS_ENDPOINT_URL']} ({_seconds(begun)})")
        os.chdir(folder)
        os.environ.update({**variables, **SMALL, "FBRIDGE_CACHE": f"{folder}/cache"})
        _fill()
        lines = *_documented("prepare.md"), PRIOR, *_documented("finetune.md"), *MORE
        results = [_run(line) for line in lines]
        ok = _same(Path("local"), Path("mixed")) and all(results)
    print(f"{'all is well' if ok else 'something is wrong'} ({_seconds(begun)})")
    sys.exit(not ok)


def _documented(page: str) -> list[str]:
    """The lines of the blocks of a page that name the bucket."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    return [line for block in blocks if "s3://films" in block for line in block.splitlines()]


def _fill() -> None:
    """Three videos, a list of them by URLs, a picture and a list of jobs."""
    for number in range(3):
        clip = draw_clip(1, number, count=20, size=64)
        write_video(clip.frames, Path("films") / f"{number}.mp4", 8)
    names = sorted(path.name for path in Path("films").glob("*.mp4"))
    urls = [f"s3://films/set/videos/{name}" for name in names]
    Path("list.csv").write_text("video,caption\n" + "".join(f"{url},a shape\n" for url in urls))
    picture = Path(__file__).parents[1] / "t2v" / "star.png"
    Path("jobs.csv").write_text("image,prompt,seed\nstar.png,zoom in,1\nstar.png,zoom out,2\n")
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="films")
    for path in [*Path("films").iterdir(), Path("list.csv"), Path("jobs.csv"), picture]:
        below = "set/videos" if path.parent.name == "films" else "set"
        s3.put_object(Bucket="films", Key=f"{below}/{path.name}", Body=path.read_bytes())


def _run(line: str) -> bool:
    """Whether a line succeeds and keeps the secret for itself."""
    begun = time.monotonic()
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = run(shlex.split(line)[1:])
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    told = said.getvalue().replace(secret, "[SECRET]").strip()
    print(f"\n$ {line}\n{told}\n[exit {code}, {_seconds(begun)}]", flush=True)
    return code == 0 and secret not in said.getvalue()


def _same(one: Path, other: Path) -> bool:
    """Whether two data sets hold the same shards of latents, byte for byte."""
    found = [
        {path.name: path.read_bytes() for path in where.glob("shards/*/*.safetensors")}
        for where in (one, other)
    ]
    print(f"\nshards of a folder and of URLs: {json.dumps([sorted(shards) for shards in found])}")
    return bool(found[0]) and found[0] == found[1]


def _seconds(begun: float) -> str:
    return f"{time.monotonic() - begun:.0f} s"


if __name__ == "__main__":
    main()
