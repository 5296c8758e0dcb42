"""`fbridge prepare` around a core that only says what it would do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fbridge import prepare as core
from fbridge.checks import SIDES
from fbridge.choices import CLIP_MODES
from fbridge.data.sources import Layout
from fbridge.data.video.buckets import MULTIPLE, Bucket
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.errors import CheckpointError, DataError, DependencyError
from fbridge.prepare.request import PrepareRequest, Rank
from fbridge.prepare.run import Event, Finished, Note, Planned, Progress, SourceFound
from fbridge.prepare.shards import Timings
from fbridge.prepare.summary import LeftOut, Tally, check_bad
from fbridge.prepare.verification import Damage, VerifyProgress, VerifyResult
from fbridge_cli import main
from fbridge_cli.processes import Process, this_process

ROOT = Path(__file__).parents[2]


class Ran(NamedTuple):
    code: int
    out: str
    err: str


class Core:
    """Stands where `fbridge.prepare` does; told what to find and when to break."""

    def __init__(self) -> None:
        self.orders: list[PrepareRequest] = []
        self.dry: list[bool] = []
        self.closed = 0
        self.rejected: list[LeftOut] = []
        self.late: list[LeftOut] = []
        self.files = 20
        self.clips = 640
        self.breaks: BaseException | None = None
        self.events: list[Event] = []
        self.verdict = VerifyResult(123, 4, (), 20, (), ())
        self.dropped: dict[str, int] = {}
        self.captionless = 0
        self.timings = Timings(decode=1.0, resize=1.0, encode=5.0, write=3.0, total=12.34)

    def prepare(self, options: PrepareRequest, *, dry_run: bool = False) -> Iterator[Event]:
        self.orders.append(options)
        self.dry.append(dry_run)
        try:
            yield SourceFound(Layout("folder", "folder: videos below videos", options.source, iter))  # type: ignore[arg-type]
            yield Progress("looking at a.mp4", 1)
            tally = self._tally(options)
            yield Planned(tally)
            check_bad(tally, options.max_bad)
            if dry_run:
                return
            yield from self.events
            yield Progress("encoding", 128, self.clips)
            if self.breaks is not None:
                raise self.breaks
            yield Progress("merging", 0)
            yield Finished(None if options.rank.number else self._index(options), self.timings)
        finally:
            self.closed += 1

    def verify(self, folder: Path) -> Iterator[VerifyProgress | VerifyResult]:
        assert folder == Path("latents")
        yield VerifyProgress("shards/ab/x.safetensors", 1, 4)
        yield VerifyProgress("a.mp4", 1, None)
        yield self.verdict

    def _tally(self, options: PrepareRequest) -> Tally:
        tally = Tally(captionless=self.captionless, dropped=dict(self.dropped))
        for number in range(self.files):
            tally.add([self.rejected[number]] if number < len(self.rejected) else [])
        for bucket in options.cutting.buckets if self.clips else ():
            tally.keep(bucket, self.clips, (512, 256), captionless=False)
            tally.buckets[bucket].new = self.clips
        return tally

    def _index(self, options: PrepareRequest) -> dict[str, Any]:
        left_out = [*self.rejected, *self.late, LeftOut("d.mp4", "still", False)]
        lines = [json.dumps(out.to_json()) + "\n" for out in left_out]
        options.out.mkdir(exist_ok=True)
        (options.out / "rejected-0.jsonl").write_text("".join(lines))
        counts = {"clips": self.clips, "captions": 7, "without_caption": 0, "shards": 10}
        counts |= {"rejected": len(left_out) - 1, "dropped": 1}
        return {
            "counts": counts,
            "buckets": [{"bucket": "256x256x16", "clips": 640, "latent": [4, 4, 32, 32]}],
            "files": {"rejected": {"path": "rejected-0.jsonl"}},
        }


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Core:
    """The stand-in, where a folder videos/ lies and no launcher is about."""
    fake = Core()
    monkeypatch.setattr(core, "prepare", fake.prepare)
    monkeypatch.setattr(core, "verify", fake.verify)
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "videos").mkdir()
    return fake


Run = Callable[..., Ran]


@pytest.fixture
def prepare(fake: Core, capsys: pytest.CaptureFixture[str]) -> Run:
    """`prepare("--size", ...)`: `fbridge prepare videos -o latents --size ...`."""
    assert fake.closed == 0

    def run(*args: str, words: tuple[str, ...] = ("videos", "-o", "latents")) -> Ran:
        code = main.run(["prepare", *words, *args])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


def square(*frames: int) -> tuple[Bucket, ...]:
    return tuple(Bucket(256, 256, number) for number in frames)


def test_silence_is_the_usual(prepare: Run, fake: Core) -> None:
    assert prepare("--device", "cpu", "--workers", "2").code == 0
    assert fake.orders == [
        PrepareRequest(
            Path("videos"), Path("latents"), ClipSampling(square(16)), device="cpu", workers=2
        )
    ]
    assert fake.dry == [False]


OPTIONS: list[tuple[list[str], str, object]] = [
    (["--layout", "webvid"], "layout", "webvid"),
    (["--media-root", "videos"], "media_root", Path("videos")),
    (["--codec", "videos"], "codec", "videos"),
    (["--codec", "some/vae"], "codec", "some/vae"),
    (["--text-encoder", "words"], "text_encoder", "words"),
    (["--no-caption", "drop"], "captionless", "drop"),
    (["--caption-prefix", "film: "], "prefix", "film: "),
    (["--dtype", "float32"], "dtype", "float32"),
    (["--dtype", "fp32"], "dtype", "float32"),
    (["--dtype", "bf16"], "dtype", "bfloat16"),
    (["--dtype", "fp16"], "dtype", "float16"),
    (["--shard-size", "3"], "shard_rows", 3),
    (["--batch-size", "7"], "batch_size", 7),
    (["--workers", "5"], "workers", 5),
    (["--time-limit", "9.5"], "time_limit", 9.5),
    (["--max-bad", "0.5%"], "max_bad", 0.005),
    (["--max-bad", "100 %"], "max_bad", 1.0),
    (["--device", "cpu"], "device", "cpu"),
    (["--frames", "4"], "cutting", ClipSampling(square(4))),
    (["--frames", "16, 32"], "cutting", ClipSampling(square(16, 32))),
    (["--size", "64x32"], "cutting", ClipSampling((Bucket(64, 32, 16),))),
    (
        ["--buckets", "64x32x8,32x64X8"],
        "cutting",
        ClipSampling((Bucket(64, 32, 8), Bucket(32, 64, 8))),
    ),
    (["--stride", "3"], "cutting", ClipSampling(square(16), stride=3)),
    (["--fps", "7.5"], "cutting", ClipSampling(square(16), fps=7.5)),
    (["--clips", "uniform:4"], "cutting", ClipSampling(square(16), mode="uniform:4")),
    (["--clips", "Middle"], "cutting", ClipSampling(square(16), mode="middle")),
    (["--min-seconds", "2"], "cutting", ClipSampling(square(16), min_seconds=2.0)),
    (["--drop-still"], "cutting", ClipSampling(square(16), drop_still=True)),
    (["--drop-cuts"], "cutting", ClipSampling(square(16), drop_cuts=True)),
    (["--drop-duplicates"], "cutting", ClipSampling(square(16), drop_duplicates=True)),
    (["--decoder", "decord"], "cutting", ClipSampling(square(16), decoder="decord")),
]


@pytest.mark.parametrize(("typed", "name", "value"), OPTIONS, ids=lambda value: str(value)[:30])
def test_options_arrive(
    prepare: Run, fake: Core, typed: list[str], name: str, value: object
) -> None:
    assert prepare(*typed).code == 0
    assert getattr(fake.orders[0], name) == value


def test_automatic_buckets(prepare: Run, fake: Core) -> None:
    assert prepare("--buckets", "auto", "--size", "512x512", "--frames", "8,16").code == 0
    buckets = fake.orders[0].cutting.buckets
    assert {Bucket(512, 512, 8), Bucket(512, 512, 16)} < set(buckets)
    assert {bucket.frames for bucket in buckets} == {8, 16}
    assert any(bucket.width > bucket.height for bucket in buckets)
    assert not any(bucket.width % 16 or bucket.height % 16 for bucket in buckets)


MISTAKES = [
    (["--clips", "hed"], "--clips 'hed': use head, middle, uniform:K or slide:STEP"),
    (["--clips", "uniform:0"], "--clips 'uniform:0': use head, middle, uniform:K or slide:STEP"),
    (["--size", "12x"], "--size 12x: is not WIDTHxHEIGHT; write it like 512x320"),
    (["--size", "8x8"], "--size 8x8: each side must be from 16 to 8192 pixels"),
    (["--size", "8192x8192"], "16 frames of 8192x8192: are 1074 million pixels, a video may"),
    (["--fps", "8", "--stride", "2"], "--fps 8 and --stride 2 contradict; drop one of them"),
    (["--fps", "0"], "--fps 0: must be above 0 and at most 240"),
    (["--stride", "0"], "--stride 0: must be from 1 to 100000"),
    (["--min-seconds", "-1"], "--min-seconds -1: must be from 0 to 86400"),
    (["--frames", "0"], "--frames 0: must be 1 or more"),
    (["--frames", "16;32"], "--frames 16;32: is no number; write 16, or several like 16,32"),
    (["--buckets", "512x320"], "--buckets '512x320': '512x320' is no bucket; write WIDTHxHEIGHTx"),
    (
        ["--buckets", "64x64x8", "--size", "64x64"],
        "--buckets 64x64x8: says width, height and frames; drop --size, or use --buckets auto",
    ),
    (["--buckets", "64x64x8", "--frames", "4"], "drop --frames, or use --buckets auto"),
    (["--max-bad", "0.01"], "--max-bad 0.01: is no percentage; write it like 1% or 0.5%"),
    (["--max-bad", "101%"], "--max-bad 101%: must be from 0% to 100%"),
    (["--dtype", "float61"], "--dtype float61: unknown, did you mean float16?; use float32, f"),
    (["--codec", "embeded"], "--codec embeded: unknown, did you mean embedded?; use embedded, a"),
    (["--decoder", "pyva"], "--decoder pyva: unknown, did you mean pyav?; use pyav, decord"),
    (["--no-caption", "kep"], "--no-caption kep: unknown, did you mean keep?; use keep, drop"),
    (["--caption-prefix", "\udcff"], "--caption-prefix: is not valid UTF-8; check the terminal"),
    (["--device", "cpuu"], "--device cpuu: unknown, did you mean cpu?"),
    (["--batch-size", "0"], "--batch-size 0: must be from 1 to 1024"),
    (["--shard-size", "0"], "--shard-size 0: must be from 1 to 100000"),
    (["--workers", "0"], "--workers 0: must be from 1 to 256"),
    (["--time-limit", "nan"], "--time-limit nan: must be from 1 to 86400"),
    (["--preview", "--dry-run"], "--preview shows what --dry-run does not make; drop one of them"),
    (["--verify", "latents"], "--verify checks what was prepared; drop SOURCE, or drop --verify"),
    (["-o", " "], "-o: is empty; name a folder"),
    (["-o", "videos/latents"], "-o videos/latents: lies in videos, which is only read; name a fol"),
    (["-o", "videos"], "-o videos: lies in videos, which is only read; name a folder beside it"),
]


@pytest.mark.parametrize(("typed", "line"), MISTAKES, ids=lambda value: str(value)[:30])
def test_mistakes(prepare: Run, fake: Core, tmp_path: Path, typed: list[str], line: str) -> None:
    ran = prepare(*typed)
    assert line in ran.err
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert (ran.code, ran.out) == (2, "")
    assert not fake.orders
    assert [entry.name for entry in tmp_path.iterdir()] == ["videos"]


def test_nothing_to_do(prepare: Run) -> None:
    ran = prepare(words=())
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: no SOURCE given; name a folder of videos, a list or a .tar\n"
    ran = prepare(words=("videos",))
    assert ran.err == "error: no -o given; name the data set's folder: -o latents/\n"
    ran = prepare(words=("gone", "-o", "latents"))
    assert ran.err == "error: gone: no such file or folder; check the name and the folder\n"
    assert ran.code == 3
    ran = prepare("--codec", "./nowhere")
    assert (ran.code, "--codec ./nowhere: no such folder; use emb" in ran.err) == (4, True)
    for flag in (["-o", "x"], ["--size", "64x64"], ["--preview"], ["--workers", "2"]):
        ran = prepare("--verify", "latents", *flag, words=())
        assert "--verify checks what was prepared; drop --" in ran.err
        assert ran.code == 2
    Path("taken").touch()
    assert prepare("-o", "taken").err == "error: taken: is a file, not a folder; name a folder\n"


def test_the_table_comes_first(prepare: Run, fake: Core) -> None:
    fake.rejected = [LeftOut("bad\x1b[31m.mp4", "is empty", True)]
    fake.dropped = {"still": 3, "duplicate": 2}
    fake.captionless = 4
    ran = prepare("--frames", "4,8", "--max-bad", "5%", "--dry-run")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "bucket  files  clips  new  crop lost  upscaled",
        "256x256x4  1  640  640  50.0 %  0",
        "256x256x8  1  640  640  50.0 %  0",
        "all  2  1280  1280  50.0 %  0",
        "dropped: 2 duplicate, 3 still",
        "without caption: 4, kept as unconditional",
        "rejected: 1 of 20 files",
        "  bad\N{REPLACEMENT CHARACTER}[31m.mp4: is empty",
    ]
    assert ran.err == "folder: videos below videos\n"
    assert (fake.dry, fake.closed) == ([True], 1)
    fake.dropped = {"no caption": 6}
    fake.captionless = 0
    fake.rejected *= 12
    lines = prepare("--max-bad", "100%", "--dry-run").out.splitlines()
    assert "without caption: 6, dropped" in lines
    assert lines[-1] == "  ... and 2 more"
    assert len(lines) == 15


def test_the_end(prepare: Run, fake: Core) -> None:
    fake.events = [Note("out of memory while encoding: going on with 2 at a time")]
    ran = prepare()
    assert ran.code == 0
    assert ran.out.splitlines()[-2:] == [
        "latents: 640 clips and 7 captions in 10 shards; 1 dropped, listed in "
        "latents/rejected-0.jsonl",
        "took 12.3 s; of the work: decode 10 %, resize 10 %, encode 50 %, write 30 %",
    ]
    assert ran.err.splitlines() == [
        "folder: videos below videos",
        "out of memory while encoding: going on with 2 at a time",
        "to check it: fbridge prepare --verify latents",
    ]
    fake.timings = Timings(total=1.0)
    assert prepare().out.splitlines()[-1] == "took 1.0 s; nothing was left to encode"


def test_preview(prepare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from fbridge.prepare import preview

    monkeypatch.setattr(preview, "write_preview", lambda options: [options.out / "sheet.png"])
    ran = prepare("--preview")
    assert ran.out.splitlines()[-1] == "preview: latents/sheet.png"
    told = json.loads(prepare("--preview", "--json").out)
    assert told["preview"] == ["latents/sheet.png"]


def test_json(prepare: Run, fake: Core) -> None:
    fake.rejected = [LeftOut("a.mp4", "is empty", True)]
    fake.late = [LeftOut("b.mp4", "breaks off", True, 2.0)]
    told = json.loads(prepare("--json", "--max-bad", "100%").out)
    assert told["dataset"] == "latents"
    assert told["finished"] is True
    assert told["counts"]["clips"] == 640
    assert told["counts"]["files"] == 20
    (bucket,) = told["buckets"]
    assert bucket["bucket"] == "256x256x16"
    assert (bucket["crop_lost"], bucket["new"], bucket["latent"]) == (0.5, 640, [4, 4, 32, 32])
    assert [line["key"] for line in told["rejected"]] == ["a.mp4", "b.mp4"]
    assert told["left_out"] == "latents/rejected-0.jsonl"
    assert told["seconds"]["encode"] == 5.0
    told = json.loads(prepare("--json", "--max-bad", "100%", "--dry-run").out)
    assert told["finished"] is False
    assert told["counts"]["rejected"] == 1
    assert told["rejected"] == [{"key": "a.mp4", "reason": "is empty", "kind": "rejected"}]


def test_too_many_rejected(prepare: Run, fake: Core) -> None:
    fake.rejected = [LeftOut("a.mp4", "is empty", True)]
    ran = prepare()
    assert ran.code == 3
    assert "error: 1 of 20 files (5 %) are rejected, more than --max-bad 1% allows" in ran.err
    assert "rejected: 1 of 20 files" in ran.out
    ran = prepare("--json")
    assert (ran.code, json.loads(ran.out)["finished"]) == (3, False)
    assert prepare("--max-bad", "5%").code == 0


def test_too_many_rejected_while_encoding(prepare: Run, fake: Core) -> None:
    fake.late = [LeftOut("b.mp4", "breaks off", True, float(k)) for k in range(30)]
    ran = prepare()
    assert ran.code == 3
    assert ran.err.splitlines()[-1] == (
        "error: latents: is finished and can be used, but 30 were rejected of 20 files (100 %), "
        "more than --max-bad 1% allows; latents/rejected-0.jsonl lists them: mend them and run "
        "the same line again, or accept them with --max-bad 100%"
    )
    ran = prepare("--json")
    assert (ran.code, json.loads(ran.out)["finished"]) == (3, True)
    assert prepare("--max-bad", "100%").code == 0


def test_nothing_left(prepare: Run, fake: Core) -> None:
    fake.clips, fake.dropped = 0, {"too short": 20}
    ran = prepare()
    assert (ran.code, fake.closed) == (3, 1)
    assert "error: videos: no clip is left of 20 files; see above why" in ran.err
    assert "dropped: 20 too short" in ran.out
    assert prepare("--dry-run").code == 0


def test_interruption(prepare: Run, fake: Core) -> None:
    fake.breaks = KeyboardInterrupt()
    ran = prepare()
    assert (ran.code, fake.closed) == (130, 1)
    assert ran.err.splitlines()[-1] == (
        "interrupted; 128 of 640 clips are encoded; the same line goes on from there"
    )
    ran = prepare("--json")
    assert (ran.code, json.loads(ran.out)["finished"]) == (130, False)


def test_what_earlier_runs_encoded_counts(
    prepare: Run, fake: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(options: PrepareRequest, *, dry_run: bool) -> Iterator[Event]:
        assert not dry_run
        yield Planned(fake._tally(options))
        yield Progress("encoding", 28, 40)
        raise KeyboardInterrupt

    monkeypatch.setattr(core, "prepare", again)
    assert "interrupted; 628 of 640 clips are encoded;" in prepare().err

    def early(options: PrepareRequest, *, dry_run: bool) -> Iterator[Event]:
        assert not dry_run
        yield Progress(f"looking at {options.source}", 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(core, "prepare", early)
    ran = prepare()
    assert ran.err == "interrupted; the same line goes on from there\n"


def test_a_failure_halfway(prepare: Run, fake: Core) -> None:
    fake.breaks = DependencyError("latents: cannot be written: no room is left")
    ran = prepare()
    assert ran.code == 4
    assert ran.err.splitlines()[-2:] == [
        "128 of 640 clips are encoded; the same line goes on from there",
        "error: latents: cannot be written: no room is left",
    ]


def launched(monkeypatch: pytest.MonkeyPatch, **variables: object) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))


def test_one_of_several(prepare: Run, fake: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    launched(monkeypatch, RANK=1, WORLD_SIZE=3, LOCAL_RANK=1, LOCAL_WORLD_SIZE=1000)
    fake.events = [Note("going on in tiles")]
    ran = prepare("--json")
    assert (ran.code, ran.out, ran.err) == (0, "", "process 1: going on in tiles\n")
    assert fake.orders[0].rank == Rank(1, 3)
    assert fake.orders[0].workers == 1
    fake.breaks = CheckpointError("no codec")
    ran = prepare()
    assert ran.err.splitlines()[-1] == "error: process 1: no codec"
    assert (ran.code, ran.out) == (4, "")
    fake.breaks = KeyboardInterrupt()
    assert prepare().err.splitlines()[-1].startswith("process 1: interrupted; 128 of 640 clips")
    assert prepare("--verify", "latents", words=()) == Ran(0, "", "")
    launched(monkeypatch, RANK=0)
    fake.breaks = None
    assert "bucket  files" in prepare().out
    assert fake.orders[-1].rank == Rank(0, 3)


def test_each_process_has_its_gpu(
    prepare: Run, fake: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    launched(monkeypatch, RANK=5, WORLD_SIZE=6, LOCAL_RANK=1)
    for device, found in (("auto", "cuda:1"), ("cuda", "cuda:1"), ("cuda:0", "cuda:0")):
        prepare("--device", device)
        assert fake.orders[-1].device == found
    launched(monkeypatch, WORLD_SIZE=1, RANK=0)
    prepare()
    assert fake.orders[-1].device == "cuda"


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"RANK": "one", "WORLD_SIZE": "2"}, "RANK one: is no number; unset it, or start with"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK 2: must be below WORLD_SIZE, which is 2; unset"),
    ],
)
def test_a_launcher_that_lies(
    prepare: Run, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], line: str
) -> None:
    launched(monkeypatch, **variables)
    ran = prepare()
    assert (ran.code, line in ran.err) == (2, True)


def test_processes() -> None:
    assert this_process({}) == Process(0, 1, 0, 1)
    assert this_process({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}) == Process()
    several = {"RANK": "9", "WORLD_SIZE": "16", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "8"}
    assert this_process(several) == Process(9, 16, 1, 8)
    assert 1 <= Process().workers() <= 8


def test_verify(prepare: Run, fake: Core) -> None:
    def verify(*args: str) -> Ran:
        return prepare("--verify", "latents", *args, words=())

    assert verify() == Ran(
        0, "latents: 123 clips in 4 shards are whole; 20 sources unchanged\n", ""
    )
    keys = tuple(f"{k}.mp4" for k in range(5))
    fake.verdict = VerifyResult(123, 4, (), 20, keys, ("gone.mp4",))
    ran = verify()
    assert (ran.code, "; 14 sources unchanged" in ran.out) == (0, True)
    assert ran.err.splitlines() == [
        "warning: 5 sources were changed since: 0.mp4, 1.mp4, 2.mp4 and 2 more; "
        "the latents made of them are as they were",
        "warning: 1 sources are gone: gone.mp4; the latents made of them are as they were",
    ]


def test_verify_names_the_damage(prepare: Run, fake: Core) -> None:
    shard = Damage("shards/ab/x.safetensors", "is not as it was written", (3, 4, 5, 9), ("a.mp4",))
    fake.verdict = VerifyResult(123, 4, (shard,), 20, (), ())
    ran = prepare("--verify", "latents", words=())
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == (
        "error: latents: shards/ab/x.safetensors: is not as it was written; lost with it: rows "
        "3-5, 9 (a.mp4); delete latents/shards/ab/x.safetensors and run the same fbridge prepare "
        "line again: only what was in it is encoded anew\n"
    )
    fake.verdict = VerifyResult(
        123, 4, (shard, Damage("text/ab/y.safetensors", "is missing")), 20, (), ()
    )
    ran = prepare("--verify", "latents", "--json", words=())
    assert "error: latents: 2 of its files are damaged:\n  shards/ab/x" in ran.err
    told = json.loads(ran.out)
    assert (ran.code, told["whole"], told["sources"]["checked"]) == (3, False, 20)
    assert told["damaged"][0]["rows"] == [3, 4, 5, 9]


def test_verify_stopped_or_impossible(
    prepare: Run, fake: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(folder: Path) -> Iterator[VerifyProgress]:
        yield VerifyProgress(str(folder), 1, 4)
        raise KeyboardInterrupt

    def unfinished(folder: Path) -> Iterator[VerifyProgress]:
        raise DataError(f"{folder}: is not finished")
        yield

    assert fake.verdict.ok
    monkeypatch.setattr(core, "verify", stopped)
    ran = prepare("--verify", "latents", words=())
    assert (ran.code, ran.err) == (130, "interrupted; nothing was found out\n")
    monkeypatch.setattr(core, "verify", unfinished)
    ran = prepare("--verify", "latents", words=())
    assert (ran.code, ran.err) == (3, "error: latents: is not finished\n")


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--help",), 0),
        (("videos",), 2),
        (("videos", "-o", "latents", "--max-bad", "1"), 2),
        (("gone", "-o", "latents"), 3),
    ],
)
def test_torch_stays_away(args: tuple[str, ...], code: int) -> None:
    program = (
        "import sys; from fbridge_cli.main import run; code = run(['prepare', *sys.argv[1:]]); "
        "sys.stderr.write(str('torch' in sys.modules)); sys.exit(code)"
    )
    paths = os.pathsep.join([str(ROOT / "models"), str(ROOT)])
    ended = subprocess.run(
        [sys.executable, "-c", program, *args],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr[-5:]) == (code, "False")


def test_help(prepare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    words = prepare("--help", words=()).out
    for expected in ("Example:", "fbridge prepare videos/ -o latents/", "webdataset", "--max-bad"):
        assert expected in words


def test_every_mode_that_is_completed_is_one() -> None:
    for mode in CLIP_MODES:
        ClipSampling(square(16), mode=mode)
    assert SIDES[0] <= MULTIPLE
