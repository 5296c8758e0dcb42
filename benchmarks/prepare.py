"""Speed of `fbridge prepare`, compared with a plain loop.

    python benchmarks/prepare.py [FOLDER] [--clips 64] [--repeats 3] [--size 256] [--frames 16]

The plain loop opens each video with PyAV, converts every frame to an array, resizes the chosen ones
with PIL, encodes one clip at a time and saves it. Both use the same small AutoencoderTiny (random
weights: the speed does not depend on them; --vae kl takes an AutoencoderKL, which is slower), the
same frames and float16. Beside the time that passes stand the processor seconds of all processes,
which other load on the machine changes least. Each measurement is a process of its own, start-up
not counted. Without FOLDER, clips of 1280x720, 10 s at 24 frames a second, are made first. Memory
is the main process's peak, also for four times the clips.

With --memory only the command `fbridge prepare` runs, of the package that Python finds first, and
its processes are looked at four times a second: the most of the first one, of the largest below it,
and of all together, where pages that several share count once (proportional set size).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import av
import diffusers
import numpy as np
import psutil
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from PIL import Image
from safetensors.torch import save_file

from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.data.video_files import write_video
from fbridge.prepare import PrepareRequest, prepare
from fbridge.prepare.run import Finished

FILMED = 8
VAES = {
    "tiny": lambda: AutoencoderTiny(
        encoder_block_out_channels=(16,) * 4, decoder_block_out_channels=(16,) * 4
    ),
    "kl": lambda: AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 16, 32, 32),
        norm_num_groups=8,
    ),
}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--vae", choices=tuple(VAES), default="tiny")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--one", choices=("plain", "fbridge"), help=argparse.SUPPRESS)
    parser.add_argument("--codec", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run = plain if options.one == "plain" else ours
        found = run(options.folder, options.codec, options.size, options.frames)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        codec = scratch / "codec"
        make_codec(codec, options.vae)
        folder = options.folder or scratch / "clips"
        if options.folder is None:
            make_clips(folder, options.clips)
        if options.memory:
            watch_memory(folder, codec, options)
            return
        compare(folder, codec, options)
        if options.folder is None:
            make_clips(scratch / "more", 4 * options.clips)
            few, many = (
                measure("fbridge", place, codec, options)["memory"]
                for place in (folder, scratch / "more")
            )
            print(f"peak memory: {few:.0f} MB, with four times the clips {many:.0f} MB")


def compare(folder: Path, codec: Path, options: argparse.Namespace) -> None:
    """Alternate between both, so that other load on the machine affects both."""
    runs: dict[str, list[dict[str, Any]]] = {"plain": [], "fbridge": []}
    for _ in range(options.repeats):
        for name, found in runs.items():
            found.append(measure(name, folder, codec, options))
    seconds = {name: median(run["seconds"] for run in found) for name, found in runs.items()}
    clips = runs["fbridge"][0]["clips"]
    for name, taken in seconds.items():
        print(f"{name:8s} {taken:7.1f} s  {clips / taken:6.2f} clips/s")
    print(f"ratio    {seconds['plain'] / seconds['fbridge']:7.2f}")
    work = {name: median(run["processor"] for run in found) for name, found in runs.items()}
    for name, taken in work.items():
        print(f"{name:8s} {taken:7.1f} s of processor, {taken / clips:.2f} a clip")
    cores = os.cpu_count() or 1
    print(f"ratio    {work['plain'] / work['fbridge']:7.2f} of the work")
    print(f"fbridge on {cores} cores takes {work['fbridge'] / cores:.1f} s at the very least")
    for name, found in runs.items():
        parts = {part: median(run["parts"][part] for run in found) for part in found[0]["parts"]}
        whole = sum(parts[part] for part in ("decode", "resize", "encode", "write"))
        named = ", ".join(f"{part} {100 * parts[part] / whole:.0f} %" for part in parts)
        print(f"{name:8s} share of the work: {named}")


def watch_memory(folder: Path, codec: Path, options: argparse.Namespace) -> None:
    """Print the peaks of the command's processes."""
    size = f"{options.size}x{options.size}"
    with tempfile.TemporaryDirectory() as out:
        line = [sys.executable, "-m", "fbridge_cli", "prepare", str(folder), "-o", f"{out}/set"]
        line += ["--codec", str(codec), "--size", size, "--frames", str(options.frames)]
        run = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        first, largest, whole = 0, 0, 0
        while run.poll() is None:
            with suppress(psutil.Error):
                process = psutil.Process(run.pid)
                others = [one.memory_full_info() for one in process.children(recursive=True)]
                own = process.memory_full_info()
                first = max(first, own.rss)
                # A worker that is just being started is a copy of the first process.
                largest = max([largest, *(one.rss for one in others if one.rss < own.rss / 2)])
                whole = max(whole, sum(one.pss for one in (own, *others)))
            time.sleep(0.25)
    assert run.returncode == 0, " ".join(line)
    peaks = (f"{peak / 2**20:.0f} MB" for peak in (first, largest, whole))
    print("peak of the first process {}, largest worker {}, all {}".format(*peaks))


def measure(name: str, folder: Path, codec: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One run in a process of its own; start-up is not counted."""
    line = [sys.executable, __file__, str(folder), "--one", name, "--codec", str(codec)]
    line += ["--size", str(options.size), "--frames", str(options.frames)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # as the command line does; for both
    done = subprocess.run(line, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def ours(folder: Path, codec: Path, size: int, frames: int) -> dict[str, Any]:
    """`fbridge prepare` on all of a folder, with its own text embeddings, hashes and checks."""
    cutting = ClipSampling((Bucket(size, size, frames),), stride=4)
    with tempfile.TemporaryDirectory() as out:
        options = PrepareRequest(folder, Path(out) / "set", cutting, codec=str(codec))
        started, work = time.perf_counter(), processor()
        *_, last = prepare(options)
        seconds, work = time.perf_counter() - started, processor() - work
    assert isinstance(last, Finished)
    assert last.index is not None
    timings = last.timings
    parts = {name: getattr(timings, name) for name in ("decode", "resize", "encode", "write")}
    parts["waiting"] = timings.waiting
    return result(seconds, work, last.index["counts"]["clips"], parts)


def plain(folder: Path, codec: Path, size: int, frames: int) -> dict[str, Any]:
    """Decode everything, resize with PIL, encode clip by clip: clip and first frame, no more."""
    kind = json.loads((codec / "config.json").read_text())["_class_name"]
    vae: Any = getattr(diffusers, kind).from_pretrained(codec).eval()
    parts = dict.fromkeys(("decode", "resize", "encode", "write"), 0.0)
    out = Path(tempfile.mkdtemp())
    started, work = time.perf_counter(), processor()
    files = sorted(folder.glob("*.mp4"))
    for number, path in enumerate(files):
        at = time.perf_counter()
        with av.open(str(path)) as container:
            arrays = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        parts["decode"] += time.perf_counter() - at
        at = time.perf_counter()
        chosen = [cropped(Image.fromarray(array), size) for array in arrays[::4][:frames]]
        video = torch.from_numpy(np.stack(chosen)).permute(0, 3, 1, 2).float() / 127.5 - 1
        parts["resize"] += time.perf_counter() - at
        at = time.perf_counter()
        with torch.no_grad():
            latents, first = vae.encode(video), vae.encode(video[:1])
        parts["encode"] += time.perf_counter() - at
        at = time.perf_counter()
        kept = {"clip": half_latents(latents), "first": half_latents(first)}
        save_file(kept, out / f"{number}.safetensors")
        parts["write"] += time.perf_counter() - at
    seconds, work = time.perf_counter() - started, processor() - work
    shutil.rmtree(out)
    return result(seconds, work, len(files), parts)


def half_latents(encoded: Any) -> torch.Tensor:
    """Mean latents in float16."""
    mean = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mean
    half: torch.Tensor = mean.half().contiguous()
    return half


def cropped(picture: Image.Image, size: int) -> np.ndarray[Any, Any]:
    """Resize to cover a square, then crop its centre, with PIL."""
    scale = size / min(picture.size)
    width, height = round(picture.width * scale), round(picture.height * scale)
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(picture.crop((left, top, left + size, top + size)))


def processor() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def result(seconds: float, work: float, clips: int, parts: dict[str, float]) -> dict[str, Any]:
    """The numbers of one run, with the peak memory of this process in MB."""
    # ru_maxrss is no less than the memory of the process that started this one, which made videos.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    most = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert most is not None
    return {
        "seconds": seconds,
        "processor": work,
        "clips": clips,
        "parts": parts,
        "memory": int(most[1]) / 1024,
    }


def make_codec(folder: Path, kind: str) -> None:
    """A small VAE of the usual shape: eightfold, four channels."""
    torch.manual_seed(0)
    VAES[kind]().save_pretrained(folder)


def make_clips(folder: Path, number: int) -> None:
    """Videos of 10 s that pan over noise of several scales, each with its caption.

    Eight are encoded; the others are copies with appended padding, and so have another sha256.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    picture = np.zeros((1080, 1920, 3))
    for cells in (8, 40, 200):
        small = Image.fromarray(rng.integers(0, 255, (cells, 2 * cells, 3), np.uint8))
        picture += np.asarray(small.resize((1920, 1080), Image.Resampling.BICUBIC)) / 3
    pixels = picture.astype(np.uint8)
    filmed: list[bytes] = []
    for clip in range(number):
        path = folder / f"{clip:04d}.mp4"
        if clip < FILMED:
            down, right = (int(way) for way in rng.integers(1, 6, 2))
            starts = [(down * f // 4, right * f // 4) for f in range(240)]
            frames = np.stack([pixels[y : y + 720, x : x + 1280] for y, x in starts])
            write_video(frames, path, 24)
            filmed.append(path.read_bytes())
        else:
            padding = clip.to_bytes(8, "big")
            path.write_bytes(filmed[clip % FILMED] + b"\0\0\0\x10free" + padding)
        (folder / f"{clip:04d}.txt").write_text(f"a pattern moves {clip % 8}")


if __name__ == "__main__":
    main()
