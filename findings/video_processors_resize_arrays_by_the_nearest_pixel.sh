#!/usr/bin/env bash
# diffusers 0.42.1 with Pillow 12.1.0: VideoProcessor.preprocess_video of one video as pictures, as an array and as a tensor
#
# Video-to-video and image-to-video pipelines take frames in each of these forms and resize them to the height and width that
# are asked for. The processor has a setting for it, resample, which is Lanczos unless told otherwise. It is for pictures of
# Pillow alone: arrays and tensors are resized by taking the nearest pixel, whatever resample says, and without smoothing.
# Seen: frames of a fine grating, halved: the pictures are the even grey that it averages to, the array and the tensor are
# black, as every second column is left out. A moving edge goes by whole steps of two pixels. Made larger, a ramp becomes
# stairs. The two kinds of frames are up to 0.05 apart on a smooth video and 1 (of a range of 2) on the grating. Also with
# resample="bilinear" or "nearest" the array stays as it is. No pipeline says which form it wants, nothing is warned or
# logged. Frames resized beforehand to the size that is asked for are the same in all forms.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6 pillow==12.1.0
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import warnings

import numpy as np
import torch
from diffusers.video_processor import VideoProcessor
from PIL import Image

warnings.simplefilter("error")


def forms(frames, height, width, **settings):
    """The video (frames, height, width, 3) of bytes, preprocessed from pictures, an array and a tensor."""
    processor = VideoProcessor(vae_scale_factor=8, **settings)
    array = frames.astype(np.float32) / 255
    given = [Image.fromarray(frame) for frame in frames], array[None], torch.from_numpy(array).permute(0, 3, 1, 2)[None]
    return [processor.preprocess_video(video, height=height, width=width) for video in given]


def video(values):
    """Bytes of three equal channels and rows from a function of frame and column."""
    frame, _, column = np.meshgrid(np.arange(4), np.arange(64), np.arange(128), indexing="ij")
    return np.repeat(np.round(values(frame, column))[..., None], 3, axis=-1).astype(np.uint8)


grating = video(lambda frame, column: 255 * (column % 2))
smooth = video(lambda frame, column: 127.5 + 100 * np.sin((column + frame) / 9))
edge = video(lambda frame, column: 255 * (column >= 40 + frame))

pictures, array, tensor = forms(grating, 32, 64)
print("halved grating: pictures", pictures.unique().numpy().round(2)[:5], "array", array.unique().numpy())
assert torch.equal(array, tensor) and float(array.max()) == float(array.min()) == -1
assert float(pictures[..., 4:-4].abs().max()) < 0.2

pictures, array, tensor = forms(smooth, 32, 64)
print("halved smooth video: largest difference", round(float((pictures - array).abs().max()), 3))
assert torch.equal(array, tensor) and 0.02 < float((pictures - array).abs().max()) < 0.06

pictures, array, tensor = forms(edge, 32, 64)
places = [[round(float((1 - one[0, 0, frame, 16]).sum() / 2), 2) for frame in range(4)] for one in (pictures, array)]
print("moving edge: pictures", places[0], "array", places[1])
assert max(abs(place - 20 - 0.5 * frame) for frame, place in enumerate(places[0])) < 0.1
assert places[1] == [20.0, 21.0, 21.0, 22.0]

pictures, array, tensor = forms(smooth, 128, 256)
print("doubled: equal neighbours", float((array[..., ::2] == array[..., 1::2]).float().mean()),
      round(float((pictures[..., ::2] == pictures[..., 1::2]).float().mean()), 2))  # fmt: skip
assert torch.equal(array[..., ::2], array[..., 1::2]) and not torch.equal(pictures[..., ::2], pictures[..., 1::2])

for resample in ("bilinear", "bicubic", "nearest"):
    assert torch.equal(forms(smooth, 32, 64, resample=resample)[1], forms(smooth, 32, 64)[1])
assert not torch.equal(forms(smooth, 32, 64, resample="bilinear")[0], forms(smooth, 32, 64)[0])
pictures, array, tensor = forms(smooth, 64, 128)
assert torch.allclose(pictures, array, atol=1e-6) and torch.equal(array, tensor)
print("as described")
PY
