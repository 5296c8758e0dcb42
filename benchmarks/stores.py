"""What reading from an object store costs, against a server of S3's interface on the loopback.

    python -m benchmarks.stores

It starts moto's server, puts drawn clips into a bucket, and prints: the requests and bytes that
reading a source takes, the memory of a list of many rows, and what has been fetched when the first
training batch is there. The loopback has no latency: times tell nothing of a real store.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tarfile import TarFile, TarInfo
from typing import Any

import numpy as np

from fbridge.data.latents import BucketBatches
from fbridge.data.stores import StoreUrl
from fbridge.data.stores.shard_cache import open_stored
from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.data.video_files import write_video
from fbridge.prepare import PrepareRequest, prepare
from fbridge.prepare.source import Source
from tests.data.stores.servers import Faults, put, s3_server

GB = 10**9


def main() -> None:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--tars", type=int, default=200)
    parser.add_argument("--look", help="only go through this source, and print time and memory")
    given = parser.parse_args()
    if given.look:
        start = time.perf_counter()
        entries(StoreUrl(given.look))
        # getrusage would give the peak of the process that started this one, if it is larger.
        peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
        assert peak is not None
        print(f"{time.perf_counter() - start:.0f} s, peak {int(peak[1]) / 1e3:.0f} MB")
        return
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as (port, proxy):
        measure(Path(folder), port, proxy, given)


@contextmanager
def server(folder: Path) -> Iterator[tuple[int, Faults]]:
    """A server and a proxy that counts what is asked of it, set up by environment."""
    with s3_server() as port:
        proxy = Faults(port)
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "FBRIDGE_CACHE": str(folder / "cache"),
        }
        yield port, proxy
        proxy.close()


def measure(folder: Path, port: int, proxy: Faults, given: argparse.Namespace) -> None:
    """All figures, in turns."""
    films = folder / "films"
    draw(films, given.videos)
    size = sum(path.stat().st_size for path in films.rglob("*.mp4"))
    put(port, "films", films, "videos")
    url = StoreUrl("s3://films/videos")
    for place in (films, url, films, url):
        shutil.rmtree(folder / "set", ignore_errors=True)
        seconds, asked, sent = counted(proxy, lambda place=place: run(place, folder / "set"))
        print(
            f"prepare {given.videos} videos ({size / 1e6:.1f} MB) from {type(place).__name__}: "
            f"{seconds:.1f} s, {asked} requests, {sent / 1e6:.1f} MB"
        )
    put(port, "sets", folder / "set", "latents")
    train(proxy, StoreUrl("s3://sets/latents"))
    pack(films, folder / "tars", given.tars)
    size = sum(path.stat().st_size for path in (folder / "tars").iterdir())
    put(port, "tars", folder / "tars", "videos")
    seconds, asked, sent = counted(proxy, lambda: entries(StoreUrl("s3://tars/videos")))
    print(
        f"listing {given.tars} tars ({size / 1e6:.0f} MB): {seconds:.1f} s, {asked} requests, "
        f"{sent / 1e6:.1f} MB"
    )
    for rows in (given.rows // 10, given.rows):
        table(films, folder / f"list-{rows}" / "list.parquet", rows)
        put(port, f"list-{rows}", folder / f"list-{rows}", "videos")
        shutil.rmtree(folder / f"list-{rows}")
        print(f"{rows} rows of parquet: ", end="", flush=True)
        look = f"s3://list-{rows}/videos/list.parquet"
        subprocess.run([sys.executable, "-m", "benchmarks.stores", "--look", look], check=True)


def counted(proxy: Faults, call: Any) -> tuple[float, int, int]:
    """Seconds, requests and bytes of a call."""
    proxy.asked.clear()
    proxy.sent, start = 0, time.perf_counter()
    call()
    return time.perf_counter() - start, len(proxy.asked), proxy.sent


def run(place: Path | StoreUrl, out: Path) -> None:
    """Prepare a source."""
    cutting = ClipSampling((Bucket(64, 64, 5),))
    for _ in prepare(PrepareRequest(place, out, cutting, codec="t2v.safetensors", shard_rows=2)):
        pass


def entries(place: StoreUrl) -> None:
    """Look at a source and go through its videos once."""
    with Source(place, None, GB) as source:
        for _ in source.look():
            pass
        found = sum(1 for _ in source.find_layout(None).entries())
        assert found, place


def train(proxy: Faults, url: StoreUrl) -> None:
    """What has come when the first batch, and when the first epoch is there."""
    proxy.asked.clear()
    data = open_stored(url, GB)
    batches = BucketBatches(data, 2)
    for number, draws in enumerate(batches):
        for draw in draws:
            data[draw]
        if number in (0, batches.per_epoch - 1):
            got = [p for method, p, _ in proxy.asked if method == "GET" and "/shards/" in p]
            print(f"training, after batch {number + 1}: {len(set(got))} shards fetched")
        if number == batches.per_epoch - 1:
            return


def draw(folder: Path, number: int) -> None:
    """Films of noise that moves, so that they are of some size."""
    for name in range(number):
        rng = np.random.default_rng(name)
        ground = rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)
        video = np.stack([np.roll(ground, 4 * shift, 1) for shift in range(24)])
        (folder / f"{name}.mp4").parent.mkdir(parents=True, exist_ok=True)
        write_video(video, folder / f"{name}.mp4", 12)
        (folder / f"{name}.txt").write_text(f"noise number {name}")


def pack(films: Path, folder: Path, number: int) -> None:
    """Tars of all films each."""
    folder.mkdir()
    for name in range(number):
        with TarFile(folder / f"{name:05d}.tar", "w") as tar:
            for path in sorted(films.iterdir()):
                info = TarInfo(f"{name}-{path.name}")
                info.size = path.stat().st_size
                with path.open("rb") as file:
                    tar.addfile(info, file)


def table(films: Path, path: Path, rows: int) -> None:
    """A parquet list whose rows name the films in turn, and the films."""
    import pyarrow
    from pyarrow import parquet

    path.parent.mkdir()
    names = sorted(film.name for film in films.glob("*.mp4"))
    for name in names:
        shutil.copy(films / name, path.parent / name)
    schema = pyarrow.schema([("video", pyarrow.string()), ("caption", pyarrow.string())])
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 10_000):
            lines = range(start, min(start + 10_000, rows))
            video = [names[line % len(names)] for line in lines]
            caption = [f"caption number {line}" for line in lines]
            writer.write_table(pyarrow.table({"video": video, "caption": caption}, schema=schema))


if __name__ == "__main__":
    main()
