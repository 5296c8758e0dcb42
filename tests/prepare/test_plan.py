from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fbridge.data.latents.format import JOURNAL, digest, dump
from fbridge.data.sources import Layout
from fbridge.data.sources.entry import Entry, Media
from fbridge.data.video.buckets import Bucket, cover
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.prepare import PrepareRequest
from fbridge.prepare.journal import JournalLookup
from fbridge.prepare.plan import Planner, caption_hash
from fbridge.prepare.scan import cutting_digest

BUCKET = Bucket(64, 48, 3)
ODD = 'é \udcff "pts":[1],"times":[2] \\'
"""Half a surrogate pair, as names of files may have, and what looks like a survey's numbers."""
CUTS = [
    {"pts": [0, 512, 1024], "times": [0.0, 1e-06, 5e-05], "dropped": "", "look": "a"},
    {"pts": [-7, 1, 9], "times": [0.1, 2.0, 33.333333], "dropped": "still", "look": ""},
    {"pts": [5, 6, 10**12], "times": [1.5, 2.5, 123456.789], "dropped": "", "look": "b"},
]
FOUND: dict[str, Any] = {
    "sha256": digest("file"),
    "width": 321,
    "height": 200,
    "bucket": list(BUCKET),
    "cuts": CUTS,
    "decoder": "pyav 18.1.0, libavcodec 62",
    "track": 2,
    "notes": [ODD],
    "reading": ["rotated", "track 2"],
}


def loose(value: Any) -> str:
    """JSON with other spaces and order than those of `dump`."""
    return json.dumps(value)


@pytest.mark.parametrize("written", [dump, loose])
@pytest.mark.parametrize("captions", [(), (ODD,), ("one", "two")])
def test_a_line_of_the_manifest_is_as_dump_would_write_it(
    tmp_path: Path, written: Callable[[Any], str], captions: tuple[str, ...]
) -> None:
    request = PrepareRequest(tmp_path, tmp_path / "out", ClipSampling((BUCKET,)))
    media = Media(str(tmp_path / "sub" / f"{ODD}.mp4"), 512, 99)
    entry = Entry(ODD, media, captions, ("train", ODD), 0)
    survey = {"key": ODD, "cutting": cutting_digest(request), "found": FOUND}
    (request.out / JOURNAL).mkdir(parents=True)
    (request.out / JOURNAL / "survey-00000.jsonl").write_text(written(survey) + "\n")
    surveys = JournalLookup(request.out, "survey", lambda record: record["key"])
    layout = Layout("one file", "", tmp_path, lambda: iter([entry]))
    planner = Planner(request, layout, surveys, recipe="recipe", reads_text=True)
    (video,) = planner.walk()
    assert [out.reason for out in video.left_out] == ["still"]
    for clip, cut in zip(video.clips, (CUTS[0], CUTS[2]), strict=True):
        decided = [FOUND["sha256"], cut["pts"], BUCKET, "pyav", "recipe", captions[:1]]
        assert clip.id == digest([*decided, *FOUND["reading"]])
        assert clip.media == media
        assert clip.manifest_row(4, "ab", "shards/ab/ab.safetensors") == dump(
            {
                "bucket": "64x48x3",
                "captions": [caption_hash(caption) for caption in captions],
                "crop": cover(321, 200, BUCKET),
                "decoder": FOUND["decoder"],
                "id": clip.id,
                "key": ODD,
                "label": 0,
                "media": [f"sub/{ODD}.mp4", 512, 99],
                "pts": cut["pts"],
                "row": 4,
                "sha256": "ab",
                "shard": "shards/ab/ab.safetensors",
                "size": [321, 200],
                "source_sha256": FOUND["sha256"],
                "split": ["train", ODD],
                "times": cut["times"],
                "track": 2,
            }
        )
