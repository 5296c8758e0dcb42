from __future__ import annotations

import hashlib
import json
import re
import resource
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from fbridge.data.video import decode_clip
from fbridge.data.video.buckets import Bucket, parse_buckets
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.data.video.integrity import Ending, read_ending
from fbridge.data.video.survey import Survey, survey_file
from fbridge.errors import DataError
from tests.data.video.conftest import Shelf
from tests.data.video.films import (
    KINDS,
    UNEVEN,
    Film,
    cut_short,
    encode,
    encode_audio,
    film,
    picture,
    read_numbers,
    rotate,
    window,
)

EIGHT = ClipSampling(parse_buckets("64x64x8"), stride=3)
EVERY = ClipSampling(parse_buckets("64x64x1"), mode="slide:1")

CODECS = {"libx265": "hevc", "libvpx-vp9": "vp9", "libvpx": "vp8", "libx264": "h264"}


@pytest.mark.parametrize("name", KINDS)
def test_what_a_film_holds(shelf: Shelf, name: str) -> None:
    source = shelf(name)
    survey = survey_file(source, EIGHT)
    data = source.path.read_bytes()
    assert survey.sha256 == hashlib.sha256(data).hexdigest()
    assert survey.size == len(data)
    encoder = KINDS[name].get("codec", "libx264")
    assert survey.codec == CODECS.get(encoder, encoder)
    shown = list(range(40)) if name != "edited.mp4" else list(range(5, 40))
    assert survey.frames == len(shown)
    size = (235, 144) if name == "wide-pixels.mp4" else KINDS[name].get("size", (176, 144))
    assert (survey.width, survey.height) == size
    assert survey.variable == (name == "uneven.mp4")
    assert survey.fps == pytest.approx(
        39 / (UNEVEN[-1] / 24) if survey.variable else 25 if "gif" in name else 24, rel=1e-3
    )
    assert survey.dropped == ""
    assert survey.bucket == Bucket(64, 64, 8)
    assert survey.decoder.startswith("pyav ")
    [cut] = survey.cuts
    frames = decode_clip(source, cut.pts, Bucket(96, 96, 8), "pyav").frames
    assert read_numbers(frames, *size) == shown[0:24:3]


@pytest.mark.parametrize("name", KINDS)
def test_times_are_those_at_which_frames_were_put_in(shelf: Shelf, name: str) -> None:
    survey = survey_file(shelf(name), EVERY)
    first = 5 if name == "edited.mp4" else 0
    ticks = UNEVEN if name == "uneven.mp4" else range(40 - first)
    fps = KINDS[name].get("fps", 24)
    times = [time for cut in survey.cuts for time in cut.times]
    np.testing.assert_allclose(times, np.array(ticks) / fps, atol=6e-4)
    assert times[0] == 0
    assert all(time == round(time, 6) for time in times)
    assert survey.seconds == pytest.approx(times[-1] + 1 / fps, abs=0.05)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation(tmp_path: Path, degrees: int) -> None:
    upright = film(9, 176, 144)
    stored = np.ascontiguousarray(np.rot90(upright, -degrees // 90, (1, 2)))
    source = rotate(encode(tmp_path / "turned.mp4", stored), degrees)
    survey = survey_file(source, EIGHT)
    assert (survey.width, survey.height) == (176, 144)
    survey = survey_file(source, ClipSampling(parse_buckets("96x48x8,48x96x8")))
    assert survey.bucket == Bucket(96, 48, 8)
    frames = decode_clip(source, survey.cuts[0].pts, Bucket(112, 88, 8), "pyav").frames
    assert read_numbers(frames, 176, 144) == list(range(8))


def test_a_window_into_an_archive_is_the_file(shelf: Shelf) -> None:
    for name in ("plain.mp4", "film.mkv", "h264-b.avi", "film.gif"):
        source = shelf(name)
        assert survey_file(window(source), EIGHT) == survey_file(source, EIGHT)


@pytest.mark.parametrize("name", ["plain.mp4", "uneven.mp4", "film.gif"])
def test_a_survey_survives_json(shelf: Shelf, name: str) -> None:
    cutting = ClipSampling(parse_buckets("64x64x8"), mode="uniform:3", drop_duplicates=True)
    survey = survey_file(shelf(name), cutting)
    assert len(survey.cuts) == 3
    assert Survey.from_json(json.loads(json.dumps(survey.to_json()))) == survey
    short = survey_file(shelf(name), ClipSampling(parse_buckets("64x64x99")))
    assert Survey.from_json(json.loads(json.dumps(short.to_json()))) == short


@pytest.mark.parametrize(
    ("cutting", "reason"),
    [
        (
            ClipSampling(parse_buckets("64x64x16,64x64x21"), stride=3),
            "14 frames at stride 3, 16 needed",
        ),
        (ClipSampling(parse_buckets("64x64x16"), fps=8), "too short: 14 frames at 8 a second, 16"),
        (ClipSampling(parse_buckets("64x64x8"), min_seconds=2), "too short: 1.67 s, 2 s needed"),
        (ClipSampling(parse_buckets("64x64x8"), fps=1e9), "too long: 2 s"),
        (ClipSampling(parse_buckets("9000x9000x8")), "cannot be enlarged"),
    ],
)
def test_why_a_whole_file_is_dropped(shelf: Shelf, cutting: ClipSampling, reason: str) -> None:
    survey = survey_file(shelf("plain.mp4"), cutting)
    assert reason in survey.dropped
    assert survey.cuts == ()
    assert survey.bucket is None


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    "name", ["plain.mp4", "front.mp4", "fragments.mp4", "film.mkv", "vp9.webm", "mpeg4-b.avi"]
)
def test_a_file_cut_short(shelf: Shelf, name: str, share: float) -> None:
    with pytest.raises(DataError, match="cut short") as error:
        survey_file(cut_short(shelf(name), share), EIGHT)
    if name == "front.mp4":
        assert "of 40 frames are left; copy or download it again" in str(error.value)


@pytest.mark.parametrize("box", [b"moof", b"mdat"])
def test_fragments_cut_in_any_box_and_part_of_it(shelf: Shelf, box: bytes) -> None:
    source = shelf("fragments.mp4")
    data = source.path.read_bytes()
    starts = [found.start() - 4 for found in re.finditer(box, data)]
    assert len(starts) > 2
    for place in (start + more for start in starts[1:] for more in (4, 8, 10, 40, 100)):
        with pytest.raises(DataError, match="cut short"):
            survey_file(cut_short(source, (place + 0.5) / len(data)), EIGHT)


def test_whole_fragments_without_those_after_them_are_a_file(shelf: Shelf) -> None:
    source = shelf("fragments.mp4")
    data = source.path.read_bytes()
    second = [found.start() - 4 for found in re.finditer(b"moof", data)][1]
    assert survey_file(cut_short(source, (second + 0.5) / len(data)), EIGHT).frames < 40


@pytest.mark.parametrize("name", ["plain.mp4", "front.mp4", "fragments.mp4"])
def test_an_index_cut_short(shelf: Shelf, name: str) -> None:
    source = shelf(name)
    data = source.path.read_bytes()
    start = data.index(b"moov") - 4
    length = int.from_bytes(data[start : start + 4], "big")
    for place in (start + 8, start + length // 2, start + length - 1):
        with pytest.raises(DataError, match="cut short in its index"):
            survey_file(cut_short(source, (place + 0.5) / len(data)), EIGHT)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_gif_cut_short(shelf: Shelf, share: float) -> None:
    with pytest.raises(DataError, match="cut short"):
        survey_file(cut_short(shelf("film.gif"), share), EIGHT)


@pytest.mark.parametrize("name", ["mpeg4.avi", "film.mkv", "vp9.webm", "film.gif"])
def test_one_missing_byte_shows_in_the_structure(shelf: Shelf, name: str) -> None:
    data = shelf(name).path.read_bytes()
    assert read_ending(BytesIO(data), len(data)) is Ending.WHOLE
    whole = name in ("film.gif", "mpeg4.avi")  # the end mark, or the end of the index, is missing
    ending = Ending.UNMARKED if whole else Ending.CUT
    assert read_ending(BytesIO(data[:-1]), len(data) - 1) is ending


def test_bytes_after_the_end_do_no_harm(shelf: Shelf, tmp_path: Path) -> None:
    for name in ("plain.mp4", "film.mkv", "mpeg4.avi", "film.gif"):
        padded = tmp_path / name
        padded.write_bytes(shelf(name).path.read_bytes() + bytes(999))
        assert survey_file(Film(padded), EIGHT).frames == 40


def _picture_of(kind: str, path: Path) -> None:
    with path.open("wb") as file:
        Image.fromarray(picture(3, 64, 64)).save(file, format=kind)


def test_files_that_are_no_videos(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"

    def reason() -> str:
        with pytest.raises(DataError) as error:
            survey_file(Film(path), EIGHT)
        text = str(error.value)
        assert "\n" not in text
        assert "; " in text, "the way out is missing"
        assert "film.mp4" not in text
        return text

    assert "cannot be read" in reason()
    path.write_bytes(b"")
    assert "is empty" in reason()
    path.write_text("some words\n" * 300)
    assert "is no video" in reason()
    path.write_bytes(b"YUV4MPEG2 W16 H16 F8:1 C420\n" + 8 * (b"FRAME\n" + bytes(384)))
    assert reason().endswith("or convert it: ffmpeg -i IN OUT.mkv")
    for kind in ("PNG", "JPEG", "WEBP"):
        _picture_of(kind, path)
        assert "is no video" in reason()
    _picture_of("GIF", path)
    assert "single picture" in reason()
    encode_audio(path)
    assert "holds sound and no video" in reason()
    encode_audio(path, cover=True)
    assert "holds sound and no video" in reason()
    encode(path, film(1))
    assert "single picture" in reason()


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile '{0}'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{0}\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    ],
)
def test_a_playlist_opens_nothing_else(shelf: Shelf, tmp_path: Path, text: str) -> None:
    lure = tmp_path / "film.mp4"
    lure.write_text(text.format(shelf("film.ts").path))
    with pytest.raises(DataError, match="is no video"):
        survey_file(Film(lure), EIGHT)


def test_absurd_sizes_are_refused_before_decoding(shelf: Shelf, tmp_path: Path) -> None:
    data = bytearray(shelf("film.gif").path.read_bytes())
    data[6:10] = b"\xff\xff\xff\xff"
    (tmp_path / "huge.gif").write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="no frames of up to 67108864 pixels"):
        survey_file(Film(tmp_path / "huge.gif"), EIGHT)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB
    assert grown < 1 << 20, "65535 x 65535 pixels are 16 GiB"


def test_pictures_that_are_only_referred_to_are_not_counted(shelf: Shelf, tmp_path: Path) -> None:
    source = shelf("vp8.webm")
    with av.open(str(source.path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data = source.path.read_bytes()
    start = data.index(packets[7])
    hidden = tmp_path / "hidden.webm"
    hidden.write_bytes(data[:start] + bytes([data[start] & ~0x10]) + data[start + 1 :])
    survey = survey_file(Film(hidden), EVERY)
    assert survey.frames == 39
    stamps = [cut.pts[0] for cut in survey.cuts]
    frames = [
        decode_clip(Film(hidden), (stamp,), Bucket(176, 144, 1), "pyav").frames[0]
        for stamp in stamps[5:9]
    ]
    assert read_numbers(np.stack(frames)) == [5, 6, 8, 9]


def test_filters(tmp_path: Path) -> None:
    still = encode(tmp_path / "still.mp4", film([7] * 20))
    moving = encode(tmp_path / "moving.mp4", film(20))
    dark = np.where(np.arange(20)[:, None, None, None] < 12, film(20), 255 - film(20))
    scenes = encode(tmp_path / "scenes.mp4", dark.astype(np.uint8))
    cutting = ClipSampling(
        parse_buckets("64x64x16"), drop_still=True, drop_cuts=True, drop_duplicates=True
    )
    looks = []
    for source, reason in ((still, "still"), (moving, ""), (scenes, "scene cut")):
        [cut] = survey_file(source, cutting).cuts
        assert cut.dropped == reason
        assert len(bytes.fromhex(cut.look)) == 24
        looks.append(int(cut.look, 16))
        [plain] = survey_file(source, ClipSampling(parse_buckets("64x64x16"))).cuts
        assert (plain.dropped, plain.look) == ("", "")
    again = encode(tmp_path / "again.mkv", film(20), options={"crf": "28"})
    [cut] = survey_file(again, cutting).cuts
    assert (int(cut.look, 16) ^ looks[1]).bit_count() <= 8
    assert (looks[0] ^ looks[1]).bit_count() > 8
