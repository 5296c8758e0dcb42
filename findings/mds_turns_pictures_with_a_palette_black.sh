#!/usr/bin/env bash
# mosaicml-streaming 0.13.0 with Pillow 12.1.0: the columns "pil" and "list[pil]" of MDS for pictures of mode P
#
# MDS, the format of shards of mosaicml-streaming, stores pictures of Pillow as "pil" without loss: size, mode and raw values.
# The values of a picture with a palette are places in it, and the palette is not stored. What comes back still is of mode P
# and of the right size, but all its colours are black. The first frame of a GIF is such a picture, and so are frames that were
# quantized and PNGs of 256 colours or less. Seen: a GIF of three frames stored as "list[pil]": convert("RGB"), as a transform
# does it, makes the first one wholly black, with the other two right, since Pillow hands out the later frames of a GIF as RGB.
# A PNG with a palette is black, too, in "pil", and exact in "png". The writer, which checks the type of each sample, says
# nothing, and neither does the reader. Pictures converted to RGB before they are written come back whole.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
# Without the clients of clouds and torchvision, which a store on this disk has no use for.
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==4.57.6 pillow==12.1.0 \
    numpy==2.1.3 brotli==1.2.0 catalogue==2.0.10 python-snappy==0.7.3 xxhash==3.6.0 zstd==1.5.7.2
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps mosaicml-streaming==0.13.0
OMP_NUM_THREADS=1 "$work/venv/bin/python" - "$work" <<'PY'
import sys
import types
from pathlib import Path

import numpy as np
import transformers.feature_extraction_utils
from PIL import Image, ImageSequence

# The package's data sets of pictures, which are not used here, name torchvision as they are imported.
for name, items in (("datasets", {"VisionDataset": object}), ("transforms.functional", {"to_tensor": None})):
    sys.modules[f"torchvision.{name}"] = types.ModuleType(name)
    vars(sys.modules[f"torchvision.{name}"]).update(items)
for name in ("torchvision", "torchvision.transforms"):
    sys.modules[name] = types.ModuleType(name)

from streaming import MDSWriter, StreamingDataset

work = Path(sys.argv[1])


def frame(shift):
    """A red and a blue half, the edge a little further in each frame."""
    picture = np.full((32, 32, 3), (20, 60, 220), np.uint8)
    picture[:, : 12 + 4 * shift] = (200, 30, 30)
    return Image.fromarray(picture)


def colours(picture):
    return np.asarray(picture.convert("RGB")).astype(int)


frames = [frame(shift) for shift in range(3)]
frames[0].save(work / "video.gif", save_all=True, append_images=frames[1:], duration=40)
frames[0].quantize(16).save(work / "picture.png")
video = [one.copy() for one in ImageSequence.Iterator(Image.open(work / "video.gif"))]
picture = Image.open(work / "picture.png")
rgb = [one.convert("RGB") for one in video]
print("modes of the GIF's frames:", [one.mode for one in video], "and of the PNG:", picture.mode)

columns = {"video": "list[pil]", "picture": "pil", "png": "png", "rgb": "list[pil]"}
sample = {"video": video, "picture": picture, "png": picture, "rgb": rgb}
with MDSWriter(out=str(work / "shards"), columns=columns) as writer:
    writer.write(sample)
read = StreamingDataset(local=str(work / "shards"), batch_size=1)[0]

for name in columns:
    before, after = ([one] if isinstance(one, Image.Image) else list(one) for one in (sample[name], read[name]))
    errors = [int(abs(colours(old) - colours(new)).max()) for old, new in zip(before, after, strict=True)]
    brightest = [int(colours(new).max()) for new in after]
    print(f"{columns[name]:9} {name}: modes {[one.mode for one in after]}, off by {errors}, brightest value {brightest}")
    assert [one.mode for one in after] == [one.mode for one in before]
    assert all(np.array_equal(np.asarray(old), np.asarray(new)) for old, new in zip(before, after, strict=True))
    for old, error, bright in zip(before, errors, brightest, strict=True):
        lost = old.mode == "P" and columns[name] != "png"
        assert (error > 150 and bright == 0) if lost else error == 0
assert video[0].mode == picture.mode == "P" and video[1].mode == "RGB"
print("as described")
PY
