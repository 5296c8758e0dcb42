#!/usr/bin/env bash
# datasets 5.2.0 with Pillow 12.1.0: opened pictures, changed in place or at a later frame, as values of an Image column
#
# A row takes Pillow pictures. One would think that what is kept is what the picture shows. But a picture that Image.open made
# knows its file, and datasets keeps that file, whatever was done since. Pillow's methods that return another picture lose the
# name; those that work in place keep it: thumbnail, paste, seek and all of ImageDraw. Seen: the frames of an animated GIF, as
# ImageSequence yields them, are eight rows of the first frame, while a column of numbers that was computed from the same
# object in the same row is each frame's own; a picture of 128 x 128 made smaller by thumbnail((32, 32)) is 128 x 128 in the
# dataset; a face painted over with ImageDraw is there again, in from_dict, from_generator and map. The
# row holds a path, and no bytes. Nothing is raised or logged. A copy() of each picture has no file, and is kept as it is.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pillow==12.1.0 numpy==2.2.6
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
cat > "$work/see.py" <<'PY'
import sys
from pathlib import Path

import numpy as np
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pillow
from PIL import ImageDraw, ImageSequence

work = Path(sys.argv[1])
greys = [Pillow.fromarray(np.full((32, 48, 3), 20 * number, np.uint8)) for number in range(8)]
greys[0].save(work / "film.gif", save_all=True, append_images=greys[1:], duration=100)
noise = np.random.default_rng(0).integers(1, 256, (128, 128, 3), dtype=np.uint8)
Pillow.fromarray(noise).save(work / "picture.png")


def brightness(picture):
    return round(float(np.asarray(picture.convert("RGB")).mean()))


def frames(copied):
    with Pillow.open(work / "film.gif") as film:
        for frame in ImageSequence.Iterator(film):
            yield {"frame": frame.copy() if copied else frame, "brightness": brightness(frame)}


features = Features({"frame": Image(), "brightness": Value("int64")})
for copied in (False, True):
    rows = Dataset.from_generator(frames, features=features, gen_kwargs={"copied": copied})
    assert rows["brightness"][:] == [20 * number for number in range(8)]
    kept = [brightness(row["frame"]) for row in rows]
    print("frames as copies:" if copied else "frames as ImageSequence yields them:", kept)
    assert kept == ([20 * number for number in range(8)] if copied else [0] * 8)


def smaller():
    picture = Pillow.open(work / "picture.png")
    picture.thumbnail((32, 32))
    return picture


def covered():
    picture = Pillow.open(work / "picture.png")
    ImageDraw.Draw(picture).rectangle((0, 0, 63, 63), fill="black")
    assert not np.asarray(picture)[:64, :64].any()
    return picture


assert smaller().size == (32, 32)
one = Features({"picture": Image()})
for make in (
    lambda picture: Dataset.from_dict({"picture": [picture]}, features=one),
    lambda picture: Dataset.from_generator(lambda: iter([{"picture": picture}]), features=one),
    lambda picture: Dataset.from_dict({"number": [0]}).map(lambda row: {"picture": picture}, new_fingerprint="a"),
):
    rows = make(smaller())
    assert rows[0]["picture"].size == (128, 128)
    encoded = rows.cast_column("picture", Image(decode=False))[0]["picture"]
    assert encoded == {"path": str(work / "picture.png"), "bytes": None}, encoded
    assert np.array_equal(np.asarray(make(covered())[0]["picture"]), noise)
copy = Dataset.from_dict({"picture": [smaller().copy(), covered().copy()]}, features=one)
assert copy[0]["picture"].size == (32, 32) and not np.asarray(copy[1]["picture"])[:64, :64].any()
print("as described")
PY
"$work/venv/bin/python" "$work/see.py" "$work" 2> "$work/log" || { cat "$work/log"; exit 1; }
