"""The sides of an evaluation for which no videos are named: a run's model, or the embedded one.

The model makes a video for each held-out clip, from that clip's first frame and caption. The videos
are kept as frames beside the run (or in the cache) and made only once.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from PIL import Image

from fbridge.checks import home_expanded, is_url
from fbridge.choices import SHORTEST_FVD_CLIP
from fbridge.config import load_config
from fbridge.data.latents import LatentDataset, hold_out
from fbridge.data.shapes import draw_clip
from fbridge.data.video_files import write_video
from fbridge.data.video_writers import Frames
from fbridge.errors import ConfigError
from fbridge.evaluation.clips import EvalClip, FrameSampling, list_clips, read_clip, sample_clips
from fbridge.evaluation.metrics.catalogue import find_metrics
from fbridge.evaluation.protocol import Protocol
from fbridge.evaluation.request import EvalRequest
from fbridge.files.atomic import shown, write_text
from fbridge.files.configs import read_json
from fbridge.generate import GenerateRequest, Job, Loaded, load_pipeline, run
from fbridge.prepare.longer import longer_clips
from fbridge.weights import ENTRIES, cache_folder
from fbridge.weights.fetch import Event as FetchEvent
from fbridge.weights.fetch import obtain

USUAL_FILE = "fbridge.toml"
RUNS = Path("runs")
RUN_FACTS = "run.json"
DEMO_CLIPS, DEMO_SIZE, DEMO_SEED, DEMO_FPS = 32, 128, 1, 16.0
RUN_CLIPS = 64
_BATCH = 4


@dataclass(frozen=True)
class Note:
    """A message for the user."""

    text: str


@dataclass(frozen=True)
class Making:
    """How many of the videos are made."""

    done: int
    total: int


@dataclass(frozen=True)
class _Input:
    """What one video is made from: key, first frame (H, W, 3) uint8, prompt and seed."""

    key: str
    picture: Frames
    prompt: str
    seed: int


Finding: TypeAlias = Generator[Note | Making | FetchEvent, None, EvalRequest]


def find_inputs(request: EvalRequest) -> Finding:
    """Make the videos of a request without generated ones; returns it with both sides.

    Raises:
        FBridgeError: a run cannot be evaluated.
    """
    run, why = _run_of_file(), f"the run of {USUAL_FILE}"
    if run is None:
        run, why = _latest_run(), "the latest run"
    if run is None:
        yield Note("no videos given, no fbridge.toml, no run: the embedded model on its demo clips")
        return (yield from _demo(request))
    yield Note(f"no videos given: {shown(run)}, {why}")
    return (yield from _held_out(request, run))


def make_ready(request: EvalRequest) -> Iterator[FetchEvent]:
    """Check clips' length, and download missing networks unless it is offline.

    It comes before any video is made or opened, which takes minutes.

    Raises:
        ConfigError: a metric needs longer clips.
        CheckpointError: a network is missing and cannot be fetched.
        DependencyError: it does not arrive.
    """
    metrics, frames = find_metrics(request.metrics), request.protocol.frames
    for metric in metrics:
        least, exact = metric.min_frames, metric.exact_frames
        if frames < least or (exact and frames != least):
            raise ConfigError(
                f"--metric {metric.name}: needs clips of {least} frames"
                f"{'' if exact else ' or more'}, not {frames}; say --frames {least}"
            )
    names = dict.fromkeys(name for metric in metrics for name in metric.networks)
    yield from obtain([ENTRIES[name] for name in names], offline=request.offline)


def _run_of_file() -> Path | None:
    """The run that ./fbridge.toml writes to, if it is there."""
    file = Path(USUAL_FILE)
    output = load_config(file=file).config.output if file.is_file() else None
    run = None if output is None else home_expanded(output)
    return run if run is not None and (run / RUN_FACTS).is_file() else None


def _latest_run() -> Path | None:
    """The newest run below ./runs, or ./ itself, that ended with a model that makes videos."""
    places = [Path(), *sorted(RUNS.iterdir())] if RUNS.is_dir() else [Path()]
    able = [place for place in places if _has_model(place)]
    return max(able, key=lambda place: (place / RUN_FACTS).stat().st_mtime, default=None)


def _has_model(run: Path) -> bool:
    has = any((run / name).is_dir() for name in ("model", "lora"))
    return has and (run / RUN_FACTS).is_file()


def _demo(request: EvalRequest) -> Finding:
    protocol = request.protocol
    protocol = protocol.with_(size=protocol.size and (DEMO_SIZE, DEMO_SIZE))
    yield from make_ready(request)
    number = request.make or DEMO_CLIPS
    folder = cache_folder() / f"eval-demo-{protocol.frames}"
    clips = [draw_clip(DEMO_SEED, n, count=protocol.frames, size=DEMO_SIZE) for n in range(number)]
    real = folder / f"real-{number}"
    for n, clip in enumerate(clips):
        if not (real / f"{n:04d}").is_dir():
            write_video(clip.frames, real / f"{n:04d}", DEMO_FPS)
            write_text(real / f"{n:04d}.txt", clip.caption + "\n")
    inputs = [_Input(f"{n:04d}", clip.frames[0], clip.caption, n) for n, clip in enumerate(clips)]
    made = yield from _make("embedded", inputs, protocol.frames, folder, request.device)
    title = f"embedded model on {number} demo clips that it never saw, drawn with seed {DEMO_SEED}"
    return replace(
        request,
        generated=made,
        reference=real,
        protocol=replace(protocol, starts="head"),
        title=request.title or title,
        notes=(*request.notes, title),
    )


def _held_out(request: EvalRequest, run: Path) -> Finding:
    facts = read_json(run / RUN_FACTS)
    if not _has_model(run):
        raise ConfigError(
            f"{shown(run)}: has no finished model; let it end, fbridge finetune --resume, or name "
            "videos: fbridge eval GENERATED"
        )
    frames = facts["shape"]["frames"]
    protocol = request.protocol.with_(frames=min(frames, request.protocol.frames))
    for metric in find_metrics(request.metrics):
        if metric.min_frames > frames:
            raise ConfigError(
                f"--metric {metric.name}: needs clips of {metric.min_frames} frames or more, "
                f"{shown(run)} was trained on clips of {frames}; {_way_out(facts, run)}"
            )
    yield from make_ready(replace(request, protocol=protocol))
    config = load_config(file=run / "config.toml").config
    if is_url(facts["data"]["path"]):
        raise ConfigError(
            f"{shown(run)}: was trained on {facts['data']['path']}, and held-out clips are read of "
            "a folder alone; name videos: fbridge eval GENERATED --reference REAL"
        )
    folder = Path(facts["data"]["path"])
    parts = hold_out(LatentDataset(folder), config.validation.share, split=config.split)
    number = min(len(parts.held_out), request.make or RUN_CLIPS)
    ids = frozenset(parts.held_out.record(row)["id"] for row in range(number))
    if not ids:
        raise ConfigError(f"{shown(run)}: {parts.summary}; name videos: fbridge eval GENERATED")
    inputs = list(_first_frames(folder, ids, protocol))
    made = yield from _make(str(run), inputs, protocol.frames, run / "eval", request.device)
    title = f"{shown(run)} on {len(inputs)} of its held-out clips"
    return replace(
        request,
        generated=made,
        reference=folder,
        protocol=protocol,
        title=request.title or title,
        rows=ids,
        codec=request.codec or facts["data"]["codec"]["name"],
        notes=(*request.notes, title),
    )


def _way_out(facts: Mapping[str, Any], run: Path) -> str:
    """What can be done about a run on clips that are too short for a metric."""
    measure = "or measure what needs no more: fbridge eval --metric psnr,ssim"
    most = _most_frames(run)
    if most < SHORTEST_FVD_CLIP:
        return f"its base {facts['base']['name']} makes no more than {most}; {measure}"
    found = longer_clips(Path(facts["data"]["path"]), facts["shape"]["step"])
    if found is None:
        return f"its videos are as short, or gone: prepare longer ones; {measure}"
    prepare, folder = found
    train = shlex.join(
        ["fbridge", "finetune", "--base", facts["base"]["name"], "--data", str(folder)]
    )
    return f"train on longer ones: {prepare} && {train}; {measure}"


def _most_frames(run: Path) -> int:
    """How many frames the model of a run makes at most."""
    for path in (run / "model" / "model_index.json", run / "lora" / "adapter.json"):
        if path.is_file():
            held = read_json(path)
            frames = held.get("pipeline", held).get("frames")
            return int(frames[2]) if frames else SHORTEST_FVD_CLIP
    return SHORTEST_FVD_CLIP


def _first_frames(folder: Path, ids: frozenset[str], protocol: Protocol) -> Iterator[_Input]:
    """First frame and caption of held-out clips."""
    sampling = FrameSampling(protocol.frames, protocol.stride)
    for number, clip in enumerate(sample_clips(list_clips(folder, ids).found, sampling, workers=0)):
        if isinstance(clip, EvalClip):
            size = protocol.size or (clip.width, clip.height)
            caption = clip.captions[0] if clip.captions else ""
            yield _Input(
                clip.key, read_clip(clip, size)[0].numpy(), caption, protocol.seed + number
            )


def _make(
    model: str, inputs: Sequence[_Input], frames: int, folder: Path, device: str
) -> Generator[Making, None, Path]:
    """Make the videos that are missing, of `frames` or a few more; returns their folder."""
    yield Making(0, len(inputs))
    loaded = load_pipeline(model, device=device)
    frames = loaded.pipeline.frame_limits.at_least(frames)
    named = [(one.key, one.prompt, one.seed) for one in inputs]
    key = hashlib.sha256(f"{loaded.pipeline.model_hash} {frames} {named}".encode()).hexdigest()
    made = folder / f"made-{key[:12]}"
    left = [one for one in inputs if not (made / one.key).is_dir()]
    for start in range(0, len(left), _BATCH):
        yield Making(len(inputs) - len(left) + start, len(inputs))
        _make_batch(loaded, left[start : start + _BATCH], frames, made)
    for one in inputs:
        caption = made / f"{one.key}.txt"
        if not caption.exists():
            write_text(caption, one.prompt + "\n")
    return made


def _make_batch(loaded: Loaded, inputs: Sequence[_Input], frames: int, made: Path) -> None:
    """Make videos of the size of the first picture, as folders of frames without records."""
    height, width = inputs[0].picture.shape[:2]
    with TemporaryDirectory() as folder:
        jobs = []
        for number, one in enumerate(inputs):
            picture = Path(folder, f"{number}.png")
            Image.fromarray(one.picture).save(picture)
            jobs.append(Job(picture, one.prompt, seed=one.seed, video=made / one.key))
        request = GenerateRequest(
            jobs=jobs, frames=frames, size=(width, height), batch_size=len(jobs), metadata=False
        )
        for _ in run(request, loaded=loaded):
            pass
