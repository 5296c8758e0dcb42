"""How `fbridge prepare` grows: with workers on Ray, with lost nodes, with the length of the list.

    python benchmarks/scale.py throughput [--work decode] [--workers 2] [--clips N] [--repeats 3]
    python benchmarks/scale.py kill [--work even] [--clips N]
    python benchmarks/scale.py rows [--urls] [--rows 10000 100000 1000000]

throughput: clips a second from the plan to the finished data set, with encoders already up (from
the first encoded clip on): Ray with W workers against W workers of this machine, and two workers
on Ray against one. Runs alternate, so that other load affects all; printed are ratios of medians.
`--work` says what a clip takes: nearly all of its time to decode (large videos, small clips and
codec), nearly all to encode (small videos, a larger codec), or about as much of each (even). A
worker decodes and encodes at a time, so on two cores only work that is bound by one of them
leaves a second worker anything to use. Threads of torch are those of OMP_NUM_THREADS: with one, a
worker on Ray is an encoder of one thread, else all of two workers' threads are one encoder's.

kill: one of two nodes of a cluster on this machine is killed in the middle. The time lost is that
of the run beyond an undisturbed one whose second half has one node's speed; the goal is the work
in flight and 15 s.

rows: reading the journals of, planning and merging lists of so many clips, whose surveys and
shards' records are made up, each clip with a caption of its own. Printed are processor seconds,
which other load on the machine changes least, and the peak memory of the process against that of
the shortest list; then what ten million clips would take by the slope of the two longest lists.
To make the list up is work of this file and no part of a plan: it is timed alone, once, and what
it takes ("list") is taken off the time of the plan, in which the list is made up again. With
`--urls` the clips are the rows of a Parquet list that names a URL in each, and "list" is the
reading of it. What a store is asked for in the first pass is answered at once, and not timed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from diffusers import AutoencoderKL

from fbridge.data.latents.format import JOURNAL, digest, dump, shard_path
from fbridge.data.sources import Layout
from fbridge.data.sources.entry import Entry, Media
from fbridge.data.stores import StoreUrl, linked
from fbridge.data.stores.store import Item
from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.data.video.survey import Survey
from fbridge.data.video_files import write_video
from fbridge.prepare import PrepareRequest, RayOptions, prepare
from fbridge.prepare.encode import Moments
from fbridge.prepare.finalize import Records, TableWriter
from fbridge.prepare.journal import JournalLookup
from fbridge.prepare.plan import Planner, caption_hash
from fbridge.prepare.run import Progress
from fbridge.prepare.scan import cutting_digest
from fbridge.prepare.source import Source
from fbridge.prepare.stored_plan import StoredPlan
from fbridge.prepare.summary import Tally


@dataclass(frozen=True)
class Work:
    """What a clip takes.

    Attributes:
        scale: of the videos, which are 40 times this wide and 30 times this high.
        size: of the clips, in pixels.
        channels: of the codec's levels.
    """

    scale: int
    size: int
    channels: tuple[int, int, int]


WORK = {
    "decode": Work(scale=48, size=32, channels=(8, 8, 8)),
    "encode": Work(scale=4, size=128, channels=(32, 32, 64)),
    "even": Work(scale=8, size=128, channels=(16, 16, 32)),
}
STEPS = ("list", "read", "plan", "merge")
SUMS = ("clip", "clip_square", "still", "still_square", "product")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("throughput", "kill", "rows"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", choices=WORK, default="even")
    parser.add_argument("--clips", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--urls", action="store_true", help="rows of a Parquet list of URLs")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(long_list(options.one, options.urls)))
    elif options.what == "rows":
        long_lists(options.rows, options.urls)
    else:
        with tempfile.TemporaryDirectory() as folder:
            measure, rows = (kill, 8) if options.what == "kill" else (throughput, 32)
            set_of = small_set(Path(folder), options.clips, WORK[options.work], rows=rows)
            measure(set_of, options)


def throughput(request: PrepareRequest, options: argparse.Namespace) -> None:
    """Ray against local workers, and two workers against one."""
    many = options.workers
    kinds: dict[str, tuple[int, RayOptions | None]] = {
        "local": (many, None),
        f"Ray, {many} workers": (many, RayOptions(workers=many)),
        "Ray, 1 worker": (1, RayOptions(workers=1)),
        "Ray, 2 workers": (2, RayOptions(workers=2)),
    }
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(options.repeats):
        for name, (workers, ray) in kinds.items():
            with ExitStack() as stack:
                if ray is not None:
                    stack.enter_context(nodes(workers))
                out = request.out / f"{turn}-{name}".replace(" ", "")
                run = timed(replace(request, out=out, workers=workers, ray=ray))
            rates[name].append(run.rate)
            print(f"{name:16s} {run.rate:7.2f} clips/s", flush=True)
    middle = {name: median(found) for name, found in rates.items()}
    print(f"Ray / local, {many} workers: {middle[f'Ray, {many} workers'] / middle['local']:.2f}")
    print(f"two workers / one on Ray: {middle['Ray, 2 workers'] / middle['Ray, 1 worker']:.2f}")


def kill(request: PrepareRequest, options: argparse.Namespace) -> None:
    """The time lost by killing one of two nodes."""
    request = replace(request, ray=RayOptions(workers=2))
    with nodes(1, 1):
        whole = timed(replace(request, out=request.out / "whole"))
    with nodes(1, 1) as cluster:
        cut = timed(replace(request, out=request.out / "cut"), cluster)
    left = options.clips - cut.killed_at
    expected = cut.killed_at / whole.rate + left / (whole.rate / 2)
    print(f"undisturbed: {whole.seconds:.1f} s; one of two nodes killed after {cut.killed_at} "
          f"clips: {cut.seconds:.1f} s, {cut.again} clips done again")  # fmt: skip
    again = cut.again / (whole.rate / 2)
    print(f"lost: {cut.seconds - expected:.1f} s, of them {again:.1f} s of work in flight")


@dataclass
class Run:
    """One run, from the first encoded clip on.

    Attributes:
        seconds: that it took.
        rate: clips a second.
        killed_at: clips that were done when a node was killed.
        again: clips that were encoded once more.
    """

    seconds: float
    rate: float
    killed_at: int = 0
    again: int = 0


def timed(request: PrepareRequest, cluster: Any = None) -> Run:
    """Run it; a node of `cluster` is killed in the middle."""
    started, first, done, run = 0.0, 0, 0, Run(0.0, 0.0)
    for event in prepare(request):
        if not isinstance(event, Progress) or event.what != "encoding":
            continue
        assert event.total is not None
        if not started:
            started, first = time.perf_counter(), event.done
        run.again += max(0, done - event.done)
        done = event.done
        if cluster is not None and not run.killed_at and done >= event.total // 2:
            run.killed_at = done
            cluster.remove_node(busiest(cluster), allow_graceful=False)
    run.seconds = time.perf_counter() - started
    run.rate = (done - first) / run.seconds
    return run


def nodes(*cpus: int) -> Any:
    """A cluster of nodes with so many CPUs on this machine, joined."""
    from tests.cluster.clusters import running

    return running(*cpus)


def busiest(cluster: Any) -> Any:
    """The node with the most encoders."""
    from ray.util import placement_group_table

    groups = placement_group_table().values()
    places = [group["bundles_to_node_id"][0] for group in groups if group["state"] == "CREATED"]
    return max(cluster.worker_nodes, key=lambda node: places.count(node.node_id))


def small_set(folder: Path, clips: int, work: Work, *, rows: int) -> PrepareRequest:
    """Videos of noise and 3 s, a small VAE with random weights, and `rows` clips a shard."""
    torch.manual_seed(0)
    kinds = ("DownEncoderBlock2D",) * 3, ("UpDecoderBlock2D",) * 3
    codec = AutoencoderKL(3, 3, *kinds, work.channels, norm_num_groups=8)
    codec.save_pretrained(folder / "codec")
    rng = np.random.default_rng(0)
    (folder / "videos").mkdir()
    for number in range(clips):
        path = folder / "videos" / f"{number:05d}.mp4"
        if number < 8:
            noise = rng.integers(0, 255, (60, 30, 40, 3), np.uint8)
            write_video(noise.repeat(work.scale, 1).repeat(work.scale, 2), path, 20)
        else:
            copied = (folder / "videos" / f"{number % 8:05d}.mp4").read_bytes()
            path.write_bytes(copied + b"\0\0\0\x10free" + number.to_bytes(8, "big"))
    cutting = ClipSampling((Bucket(work.size, work.size, 16),))
    return PrepareRequest(
        folder / "videos", folder / "out", cutting, codec=str(folder / "codec"), shard_rows=rows
    )


def long_lists(lengths: list[int], urls: bool) -> None:
    """Plan and merge lists of these lengths, each in a process of its own."""
    runs: list[dict[str, float]] = []
    for length in sorted(lengths):
        line = [sys.executable, __file__, "rows", "--one", str(length), *["--urls"] * urls]
        done = subprocess.run(line, check=True, capture_output=True, text=True, env=os.environ)
        found = json.loads(done.stdout.splitlines()[-1])
        runs.append({**found, "length": length})
        ratio = found["memory"] / runs[0]["memory"]
        steps = ", ".join(f"{step} {found[step]:.1f}" for step in STEPS)
        print(
            f"{length:9d} clips: processor seconds: {steps}, plan and merge "
            f"{found['plan'] + found['merge']:.1f} ({found['wall']:.0f} s passed with making up); "
            f"peak memory {found['memory']:.0f} MB, {ratio:.3f} of the first",
            flush=True,
        )
    if len(runs) > 1:
        few, many = runs[-2:]
        more = many["length"] - few["length"]
        slopes = {name: (many[name] - few[name]) / more for name in ("plan", "merge", "memory")}
        ahead = {name: many[name] + (10**7 - many["length"]) * slopes[name] for name in slopes}
        print(
            f"10000000 clips by this slope: plan and merge {ahead['plan'] + ahead['merge']:.0f} "
            f"processor seconds, peak memory {ahead['memory']:.0f} MB"
        )


def long_list(length: int, urls: bool) -> dict[str, float]:
    """Plan and merge a made-up list, all of whose clips are encoded."""
    taken = dict.fromkeys(STEPS, 0.0)
    passed = time.perf_counter()

    @contextmanager
    def step(name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        taken[name] += time.process_time() - started

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        request = PrepareRequest(
            folder / "videos", folder / "out", ClipSampling((Bucket(64, 64, 16),))
        )
        out = request.out
        (out / JOURNAL).mkdir(parents=True)
        layout = Layout("made up", "", folder / "videos", lambda: entries(folder, length))
        if urls:
            layout = list_of_urls(stack, folder, length)
        write_surveys(request, layout)
        with step("list"):
            for _ in layout.entries():
                pass
        with step("read"):
            surveys = JournalLookup(out, "survey", lambda record: record["key"])
        planner = Planner(request, layout, surveys, recipe="made up", reads_text=False)
        with step("plan"):
            plan = StoredPlan(planner.walk(), out / JOURNAL, request.shard_rows)
            assert sum(len(unit.clips) for unit in plan.units((), Tally())) == length
        taken["plan"] -= taken["list"]
        write_records(request, plan)
        with step("read"):
            found = JournalLookup(out, "rows", lambda record: record.get("unit") or record["id"])
            captions = JournalLookup(
                out, "captions", lambda record: record.get("unit") or record["caption"]
            )
        with step("merge"), plan:
            index = TableWriter(request, plan, Records(found.line, captions.line)).write({})
        assert index["counts"]["clips"] == length
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**taken, "memory": memory, "wall": time.perf_counter() - passed}


def entries(folder: Path, length: int) -> Iterator[Entry]:
    """Videos that do not exist, each with a caption of its own."""
    for number in range(length):
        key = f"{number:07d}.mp4"
        media = Media(f"{folder}/videos/{key}")
        yield Entry(key, media, (f"a long caption of a few words, number {number}",))


class Answering:
    """In place of a store: it knows every object, and at once."""

    def __init__(self, url: StoreUrl) -> None:
        self.url = url

    def item(self, name: str) -> Item:
        """An object of a size and time."""
        return Item(name, 10**6, 1764000000 * 10**9)


def list_of_urls(stack: ExitStack, folder: Path, length: int) -> Layout:
    """The rows of a Parquet list that names a URL in each, with the captions of `entries`."""
    os.environ["FBRIDGE_CACHE"] = str(folder / "cache")
    stack.enter_context(patch.object(linked, "Store", Answering))
    # In a process of its own, since pyarrow's memory for writing is no part of the plan's.
    writer = get_context("fork").Process(target=write_list, args=(folder, length))
    writer.start()
    writer.join()
    source = stack.enter_context(Source(folder / "list.parquet", None, 10**9))
    for _ in source.look():
        pass
    return source.find_layout(None)


def write_list(folder: Path, length: int) -> None:
    """One group of rows, as pyarrow writes them."""
    import pyarrow
    from pyarrow import parquet

    rows = [(f"s3://films/videos/{row.key}", row.captions[0]) for row in entries(folder, length)]
    videos, captions = zip(*rows, strict=True)
    table = pyarrow.table({"video": videos, "caption": captions})
    parquet.write_table(table, folder / "list.parquet")


def write_surveys(request: PrepareRequest, layout: Layout) -> None:
    """The journal of a survey in which every video has one clip, of other frames each."""
    cutting = cutting_digest(request)
    found = Survey(
        sha256="", size=10**6, codec="h264", width=320, height=240, frames=300, seconds=12.5,
        fps=24.0, variable=False, bucket=request.cutting.buckets[0], cuts=(),
        decoder="pyav 18.1.0, libavcodec 62.11.100",
    ).to_json()  # fmt: skip
    with (request.out / JOURNAL / "survey-00000.jsonl").open("w") as file:
        for number, entry in enumerate(layout.entries()):
            frames = [number % 211 + 4 * place for place in range(16)]
            pts, times = [512 * f for f in frames], [round(f / 24, 6) for f in frames]
            cut = {"pts": pts, "times": times, "dropped": "", "look": ""}
            file.write(
                dump(
                    {
                        "key": entry.key,
                        "size": 10**6,
                        "mtime_ns": 1764000000123456789 + number,
                        "cutting": cutting,
                        "found": {**found, "sha256": digest(entry.key), "cuts": [cut]},
                    }
                )
                + "\n"
            )


def write_records(request: PrepareRequest, plan: StoredPlan) -> None:
    """The journals of a finished encoding."""
    sums = Moments(1, {name: torch.zeros(4) for name in SUMS}).to_json()
    whole = {"sha256": "0" * 64, "bytes": 1, "bucket": "64x64x16", "latent": [4, 4, 8, 8]}
    with (request.out / JOURNAL / "rows-00000.jsonl").open("w") as file:
        for unit in plan.units(()):
            place = shard_path("shards", unit.name)
            for row, clip in enumerate(unit.clips):
                line = {"id": clip.id, "shard": place, "row": row, "sha256": clip.id}
                file.write(dump(line) + "\n")
            shard = {"unit": unit.name, "path": place, "rows": len(unit.clips), "moments": sums}
            file.write(dump({**whole, **shard}) + "\n")
    with (request.out / JOURNAL / "captions-00000.jsonl").open("w") as file:
        for group in plan.captions(()):
            hashes = [caption_hash(caption) for caption in group]
            name = digest(hashes)[:20]
            place = shard_path("text", name)
            for row, (key, caption) in enumerate(zip(hashes, group, strict=True)):
                line = {"caption": key, "text": caption, "shard": place}
                file.write(dump({**line, "row": row, "tokens": 3, "truncated": False}) + "\n")
            shard = {"unit": name, "path": place, "sha256": "0" * 64, "bytes": 1}
            file.write(dump({**shard, "rows": len(group)}) + "\n")


if __name__ == "__main__":
    main()
