"""What is evaluated: as typed, else of fbridge.toml, the latest run, or the embedded model's demo.

Where only a model is known, its videos are made first: one for each held-out clip, from that clip's
first frame and words, kept as frames beside the run (or in the cache) and made only once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fbridge.errors import ConfigError
from fbridge.files.atomic import shown
from fbridge_cli.checks import home_expanded
from fbridge_cli.evaluate.order import Typed
from fbridge_cli.processes import Process
from fbridge_cli.ui import Ui

if TYPE_CHECKING:
    from fbridge.data.video_writers import Frames
    from fbridge.evaluation.metric import Metric
    from fbridge.evaluation.protocol import Protocol
    from fbridge.generate import Loaded

USUAL_FILE = "fbridge.toml"
RUNS = Path("runs")
RUN_FACTS = "run.json"
DEMO_CLIPS, DEMO_SIZE, DEMO_SEED, DEMO_FPS = 32, 128, 1, 16.0
RUN_CLIPS = 64
"""Clips that are made where the user does not say."""
_AT_ONCE = 4


@dataclass(frozen=True)
class Subject:
    """Two sides, found.

    Attributes:
        generated, reference: where they are.
        protocol: fitted to what a model can make.
        title: heading.
        rows: of a prepared data set as reference, these ids only.
        codec: of a round trip, where one belongs to the model.
        notes: what was taken, for the result.
    """

    generated: Path
    reference: Path | None
    protocol: Protocol
    title: str = ""
    rows: frozenset[str] | None = None
    codec: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Wish:
    """One video that a model is to make."""

    key: str
    picture: Frames
    prompt: str
    seed: int


def find_subject(
    typed: Typed,
    metrics: Sequence[Metric],
    protocol: Protocol,
    ui: Ui,
    process: Process,
    *,
    device: str,
) -> Subject:
    """The sides that were typed, or those of a model that is found, whose videos are made.

    Raises:
        FBridgeError: a run cannot be evaluated.
    """
    if typed.side is not None:
        reference = None if typed.reference is None else Path(home_expanded(typed.reference))
        return Subject(Path(home_expanded(typed.side)), reference, protocol)
    if process.world > 1:
        raise ConfigError("several processes evaluate videos that are there; name them: GENERATED")
    run, why = _run_of_file()
    if run is None:
        run, why = _latest_run()
    if run is None:
        ui.note("no videos given, no fbridge.toml, no run: the embedded model on its demo clips")
        return _of_demo(typed, protocol, ui, device)
    ui.note(f"no videos given: {shown(run)}, {why}")
    return _of_run(run, typed, metrics, protocol, ui, device)


def _run_of_file() -> tuple[Path | None, str]:
    """The run that ./fbridge.toml writes to, if it is there."""
    file = Path(USUAL_FILE)
    if not file.is_file():
        return None, ""
    from fbridge.config import load_config

    output = load_config(file=file).config.output
    run = None if output is None else Path(home_expanded(output))
    if run is None or not (run / RUN_FACTS).is_file():
        return None, ""
    return run, f"the run of {USUAL_FILE}"


def _latest_run() -> tuple[Path | None, str]:
    """The youngest run below ./runs, or ./ itself, that ended with a model that makes videos."""
    places = [Path(), *sorted(RUNS.iterdir())] if RUNS.is_dir() else [Path()]
    able = [place for place in places if _results(place)]
    if not able:
        return None, ""
    return max(able, key=lambda place: (place / RUN_FACTS).stat().st_mtime), "the latest run"


def _results(run: Path) -> list[Path]:
    if not (run / RUN_FACTS).is_file():
        return []
    return [run / name for name in ("model", "lora") if (run / name).is_dir()]


def _of_demo(typed: Typed, protocol: Protocol, ui: Ui, device: str) -> Subject:
    from fbridge.data.synthetic.shapes import draw_clip
    from fbridge.data.video_files import write_video
    from fbridge.files.atomic import write_text
    from fbridge.weights import cache_folder

    protocol = protocol.with_(size=protocol.size and (DEMO_SIZE, DEMO_SIZE))
    number = typed.clips or DEMO_CLIPS
    folder = cache_folder() / f"eval-demo-{protocol.frames}"
    clips = [draw_clip(DEMO_SEED, n, count=protocol.frames, size=DEMO_SIZE) for n in range(number)]
    real = folder / f"real-{number}"
    for n, clip in enumerate(clips):
        if not (real / f"{n:04d}").is_dir():
            write_video(clip.frames, real / f"{n:04d}", DEMO_FPS)
            write_text(real / f"{n:04d}.txt", clip.caption + "\n")
    wishes = [_Wish(f"{n:04d}", clip.frames[0], clip.caption, n) for n, clip in enumerate(clips)]
    made = _make("embedded", wishes, protocol.frames, folder, ui, device)
    told = f"embedded model on {number} demo clips that it never saw, drawn with seed {DEMO_SEED}"
    return Subject(made, real, replace(protocol, starts="head"), told, notes=(told,))


def _of_run(
    run: Path,
    typed: Typed,
    metrics: Sequence[Metric],
    protocol: Protocol,
    ui: Ui,
    device: str,
) -> Subject:
    from fbridge.config import load_config
    from fbridge.train.build.dataset import read_data
    from fbridge.train.run_files import read_facts

    facts = read_facts(run)
    results = _results(run)
    if not results:
        raise ConfigError(
            f"{shown(run)}: has no finished model; let it end, fbridge finetune --resume, or name "
            "videos: fbridge eval GENERATED"
        )
    config = load_config(file=run / "config.toml").config
    frames = facts["shape"]["frames"]
    protocol = protocol.with_(frames=min(frames, protocol.frames))
    for metric in metrics:
        if metric.least > protocol.frames:
            raise ConfigError(
                f"--metric {metric.name}: needs clips of {metric.least} frames, {shown(run)} was "
                f"trained on clips of {frames}; take another metric, or other videos"
            )
    folder = Path(facts["data"]["path"])
    _, parts = read_data(folder, split=config.split, share=config.validation.share)
    held = parts.held_out
    rows = list(range(min(len(held), typed.clips or RUN_CLIPS)))
    if not rows:
        raise ConfigError(f"{shown(run)}: {parts.told}; name videos: fbridge eval GENERATED")
    ids = frozenset(held.record(row)["id"] for row in rows)
    wishes = list(_wishes(folder, ids, protocol))
    made = _make(str(run), wishes, protocol.frames, run / "eval", ui, device)
    told = f"{shown(run)} on {len(wishes)} of its held-out clips"
    codec = facts["data"]["codec"]["name"]
    return Subject(made, folder, protocol, told, ids, codec, (told,))


def _wishes(folder: Path, ids: frozenset[str], protocol: Protocol) -> Iterator[_Wish]:
    """First frame and words of held-out clips."""
    from fbridge.evaluation.clips import (
        EvalClip,
        FrameSampling,
        list_clips,
        read_clip,
        sample_clips,
    )

    listing = list_clips(folder, ids)
    cut = FrameSampling(protocol.frames, protocol.stride)
    for number, clip in enumerate(sample_clips(listing.found, cut, workers=0)):
        if isinstance(clip, EvalClip):
            size = protocol.size or (clip.width, clip.height)
            words = clip.captions[0] if clip.captions else ""
            yield _Wish(clip.key, read_clip(clip, size)[0].numpy(), words, protocol.seed + number)


def _make(
    model: str, wishes: Sequence[_Wish], frames: int, folder: Path, ui: Ui, device: str
) -> Path:
    """Make the videos that are missing; the folder they lie in."""
    from fbridge.files.atomic import write_text
    from fbridge.generate import load_pipeline

    with ui.waiting("loading the model"):
        loaded = load_pipeline(model, device=device)
    which = hashlib.sha256(
        f"{loaded.pipeline.model_hash} {frames} "
        f"{[(w.key, w.prompt, w.seed) for w in wishes]}".encode()
    ).hexdigest()[:12]
    made = folder / f"made-{which}"
    left = [wish for wish in wishes if not (made / wish.key).is_dir()]
    done = len(wishes) - len(left)
    with ui.progress(len(wishes), "videos") as bar:
        for start in range(0, len(left), _AT_ONCE):
            bar.show("making videos", done + start)
            _make_some(loaded, left[start : start + _AT_ONCE], frames, made)
    for wish in wishes:
        words = made / f"{wish.key}.txt"
        if not words.exists():
            write_text(words, wish.prompt + "\n")
    return made


def _make_some(loaded: Loaded, wishes: Sequence[_Wish], frames: int, made: Path) -> None:
    """Make videos of the size of the first picture, as folders of frames without records."""
    from PIL import Image

    from fbridge.generate import GenerateRequest, Job, run

    height, width = wishes[0].picture.shape[:2]
    with TemporaryDirectory() as folder:
        jobs = []
        for number, wish in enumerate(wishes):
            picture = Path(folder, f"{number}.png")
            Image.fromarray(wish.picture).save(picture)
            jobs.append(Job(picture, wish.prompt, seed=wish.seed, video=made / wish.key))
        request = GenerateRequest(
            jobs=jobs, frames=frames, size=(width, height), batch_size=len(jobs), metadata=False
        )
        for _ in run(request, loaded=loaded):
            pass
