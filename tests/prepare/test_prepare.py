from __future__ import annotations

import json
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fbridge.data.latents import Draw, LatentDataset
from fbridge.data.latents.format import source_number
from fbridge.data.sources.entry import Media
from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip import decode_clip
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.errors import ConfigError, DataError
from fbridge.loaders.codec import LoadedCodec, load_codec
from fbridge.loaders.text_encoder import load_text_encoder
from fbridge.prepare import PrepareRequest, prepare
from fbridge.prepare.models import load_models
from fbridge.prepare.run import Finished, Planned, Progress, SourceFound
from fbridge.words.encoder import PromptEncoder
from fbridge.words.minilm import MiniLM
from tests.data.sources.trees import pack
from tests.prepare.sets import BUCKET, Order, film, run, tree


def read_lines(options: PrepareRequest, kind: str) -> list[dict[str, object]]:
    index = json.loads((options.out / "index.json").read_text())
    path = options.out / index["files"][kind]["path"]
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_read_is_what_codec_and_encoder_say_of_the_source(order: Order) -> None:
    options = order(dtype="float32")
    events = run(options)
    assert isinstance(events[0], SourceFound)
    assert events[0].layout.name == "folder"
    assert isinstance(events[-1], Finished)
    data = LatentDataset(options.out)
    assert len(data) == 10
    codec = load_codec(options.codec, device="cpu").codec
    text = load_text_encoder()
    for row in range(len(data)):
        record, sample = data.record(row), data[row]
        path, offset, size = record["media"]
        media = Media(str(options.source / path), offset, size)
        frames = decode_clip(media, tuple(record["pts"]), BUCKET, "pyav").frames
        video = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
        words = data.captions(row)
        view = codec.view([video[0]], *text([""]))
        clip, still = codec.encode([video], view), codec.still(view, 4)
        torch.testing.assert_close(sample.clip, clip.mean[0])
        assert clip.log_variance is not None
        torch.testing.assert_close(sample.spreads["clip"], clip.log_variance[0])
        torch.testing.assert_close(sample.condition, view.image_latents[0])
        torch.testing.assert_close(sample.still.expand(4, -1, -1, -1), still.mean[0])
        sidecar = (options.source / path).with_suffix(".txt")
        expected = [sidecar.read_text()] if sidecar.exists() else []
        assert words == expected
        tokens, mask = text(expected or [""])
        torch.testing.assert_close(sample.text, tokens[0][mask[0]], atol=1e-4, rtol=1e-4)
    columns = load_file(options.out / data.index["files"]["columns"]["path"])
    hashes = [data.record(row)["source_sha256"] for row in range(len(data))]
    assert columns["source"].tolist() == [source_number(sha256) for sha256 in hashes]
    torch.testing.assert_close(data.empty_text(), text([""])[0][0], atol=1e-4, rtol=1e-4)


def test_a_text_encoder_that_the_codec_does_not_read_is_gone_while_it_encodes(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[weakref.ref[torch.nn.Module]] = []
    there: list[bool] = []

    def load(request: PrepareRequest) -> tuple[LoadedCodec, PromptEncoder]:
        codec, text = load_models(request)
        assert isinstance(text, MiniLM)
        loaded.append(weakref.ref(text.network))
        return codec, text

    monkeypatch.setattr("fbridge.prepare.engine.load_models", load)
    for event in prepare(order()):
        if isinstance(event, Progress) and event.what == "encoding" and event.done:
            there.append(loaded[0]() is not None)
    assert there
    assert not any(there)


def test_moments_are_those_of_what_is_stored(order: Order) -> None:
    options = order(dtype="float32")
    run(options)
    data = LatentDataset(options.out)
    samples = [data[row] for row in range(len(data))]
    clip = torch.stack([sample.clip for sample in samples]).double()
    still = torch.stack([sample.still.expand_as(sample.clip) for sample in samples]).double()
    spread = torch.stack([sample.spreads["clip"] for sample in samples]).double().exp()
    moments = data.index["moments"]
    axes = (0, 1, 3, 4)
    torch.testing.assert_close(moments["clip_mean"], clip.mean(axes).tolist())
    std = (clip.var(axes, correction=0) + spread.mean(axes)).sqrt()
    torch.testing.assert_close(moments["clip_std"], std.tolist())
    cross = (clip * still).mean(axes) - clip.mean(axes) * still.mean(axes)
    torch.testing.assert_close(moments["covariance"], cross.tolist())


def test_neither_workers_nor_a_second_run_change_a_byte(order: Order, tmp_path: Path) -> None:
    options = order()
    run(options)
    before = tree(options.out)
    run(options)
    assert tree(options.out) == before
    other = order(out=tmp_path / "other", workers=1)
    run(other)
    assert tree(other.out) == before
    assert not (options.out / "journal").exists()


def test_new_videos_cost_only_themselves_and_gone_ones_vanish(
    order: Order, source: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(source, mine)
    options = order(source=mine)
    run(options)
    before = tree(options.out)
    film(mine / "part0" / "00.mp4", 77)
    (mine / "part1" / "1.mp4").unlink()
    planned = next(event for event in run(options) if isinstance(event, Planned))
    assert (planned.tally.clips, planned.tally.new) == (10, 1)
    after = tree(options.out)
    shards = {path for path in before if path.startswith("shards/")}
    assert {path: after[path] for path in shards} == {path: before[path] for path in shards}
    assert len([path for path in after if path.startswith("shards/")]) == len(shards) + 1
    data = LatentDataset(options.out)
    keys = [data.record(row)["key"] for row in range(len(data))]
    assert "part0/00.mp4" in keys
    assert "part1/1.mp4" not in keys
    assert len(list(options.out.glob("manifest-*.jsonl"))) == 1


def test_another_caption_encodes_no_clip_again(order: Order, source: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(source, mine)
    options = order(source=mine)
    run(options)
    latents = {
        name: sha for name, sha in tree(options.out).items() if "/" in name and "text" not in name
    }
    (mine / "part0" / "4.txt").write_text("quite another thing — ein Würfel 🎲")
    (mine / "part0" / "6.mp4").rename(mine / "part0" / "7.mp4")
    run(options)
    now = {
        name: sha for name, sha in tree(options.out).items() if "/" in name and "text" not in name
    }
    assert now == latents
    data = LatentDataset(options.out)
    words = {str(data.record(row)["key"]): data.captions(row) for row in range(len(data))}
    assert words["part0/4.mp4"] == ["quite another thing — ein Würfel 🎲"]
    assert words["part0/7.mp4"] == []  # 6.txt stayed behind: joined by key


def test_other_options_need_another_folder(order: Order) -> None:
    options = order()
    run(options)
    before = tree(options.out)
    with pytest.raises(ConfigError, match=r"dtype was float16 and is float32.*name another folder"):
        run(replace(options, dtype="float32"))
    with pytest.raises(ConfigError, match="stride was 1 and is 2"):
        run(replace(options, cutting=ClipSampling((BUCKET,), stride=2)))
    assert tree(options.out) == before
    options.out.joinpath("index.json").unlink()
    with pytest.raises(DataError, match="holds other things than a data set"):
        run(options)


def test_a_dry_run_plans_and_binds_to_nothing(order: Order) -> None:
    options = order()
    events = run(options, dry_run=True)
    assert isinstance(events[-1], Planned)
    tally = events[-1].tally
    assert (tally.files, tally.clips, tally.new, tally.captionless) == (10, 10, 10, 1)
    bucket = tally.buckets[BUCKET]
    assert bucket.crop_lost / bucket.clips == pytest.approx(1 - 40 / 48, abs=0.01)
    assert bucket.upscaled == 0
    other = replace(options, cutting=ClipSampling((Bucket(64, 64, 4),)))
    again = run(other, dry_run=True)[-1]
    assert isinstance(again, Planned)
    assert again.tally.buckets[Bucket(64, 64, 4)].upscaled == 10
    run(options)
    assert len(LatentDataset(options.out)) == 10


def test_bad_files_are_named_counted_and_decide(order: Order, source: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(source, mine)
    whole = (mine / "part0" / "0.mp4").read_bytes()
    (mine / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (mine / "empty.mp4").touch()
    (mine / "text.mp4").write_text("I am no video")
    film(mine / "short.mp4", 5, frames=2)
    options = order(source=mine)
    with pytest.raises(DataError, match=r"3 of 14 files \(21.4 %\) are rejected.*cut.mp4"):
        run(options)
    assert not (options.out / "index.json").exists()
    run(replace(options, max_bad=1.0))
    left = {str(line["key"]): line for line in read_lines(options, "rejected")}
    kinds = {key: line["kind"] for key, line in left.items()}
    assert kinds == {
        "cut.mp4": "rejected",
        "empty.mp4": "rejected",
        "text.mp4": "rejected",
        "short.mp4": "dropped",
    }
    assert "too short" in str(left["short.mp4"]["reason"])
    assert len(LatentDataset(options.out)) == 10


def test_captions_can_be_demanded_and_prefixed(order: Order) -> None:
    options = order(captionless="drop", prefix="film: ")
    run(options)
    data = LatentDataset(options.out)
    assert len(data) == 9
    assert all(data.captions(row)[0].startswith("film: a square") for row in range(9))
    left = read_lines(options, "rejected")
    assert [(line["key"], line["reason"]) for line in left] == [("part1/3.mp4", "no caption")]


def test_all_captions_are_kept_and_one_is_drawn_an_epoch(order: Order, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    film(mine / "a.mp4", 1)
    film(mine / "b.mp4", 2)
    rows = [
        {"video": "a.mp4", "caption": ["one", "two", "three"], "split": "train"},
        {"video": "b.mp4", "caption": "four", "split": "test"},
    ]
    (mine / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = order(source=mine, dtype="float32")
    run(options)
    data = LatentDataset(options.out, seed=3)
    assert data.captions(0) == ["one", "two", "three"]
    text = load_text_encoder()
    known = [text([word])[0][0] for word in ("one", "two", "three")]
    drawn = []
    for epoch in range(30):
        tokens = data[Draw(0, epoch)].text
        near = [
            float((tokens - word).abs().max()) if len(tokens) == len(word) else 9 for word in known
        ]
        drawn.append(near.index(min(near)))
        assert torch.equal(tokens, data[Draw(0, epoch)].text)
    assert set(drawn) == {0, 1, 2}
    assert len(LatentDataset(options.out, split="train")) == 1
    assert LatentDataset(options.out, split="test").captions(0) == ["four"]
    with pytest.raises(DataError, match=r"no split 'val'; it has train, test"):
        LatentDataset(options.out, split="val")


def test_what_was_never_there_is_dropped_and_no_damage(order: Order, tmp_path: Path) -> None:
    """iejMac/video2dataset #255: 2 % to 30 % of the samples of a usual run have no video."""
    film(tmp_path / "0.mp4", 1)
    members = [("0.mp4", (tmp_path / "0.mp4").read_bytes()), ("0.txt", b"x"), ("1.txt", b"y")]
    pack(tmp_path / "mine/0.tar", [*members, ("1.json", b"{}")])
    options = order(source=tmp_path / "mine", max_bad=0.0)
    planned = next(one for one in prepare(options, dry_run=True) if isinstance(one, Planned))
    assert (planned.tally.files, planned.tally.clips, planned.tally.rejected) == (2, 1, 0)
    assert planned.tally.dropped == {"missing": 1}


def test_equal_files_are_stored_once_unless_dropped(order: Order, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    film(mine / "a.mp4", 1)
    shutil.copy(mine / "a.mp4", mine / "b.mp4")
    (mine / "b.txt").write_text("a copy")
    options = order(source=mine)
    run(options)
    data = LatentDataset(options.out)
    places = [(data.record(row)["shard"], data.record(row)["row"]) for row in range(2)]
    assert places[0] == places[1]
    assert data.captions(1) == ["a copy"]
    once = order(
        source=mine, out=tmp_path / "once", cutting=ClipSampling((BUCKET,), drop_duplicates=True)
    )
    run(once)
    assert len(LatentDataset(once.out)) == 1
    assert read_lines(once, "rejected")[0]["reason"] == "duplicate"
