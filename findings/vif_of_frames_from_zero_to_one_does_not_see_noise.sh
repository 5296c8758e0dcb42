#!/usr/bin/env bash
# torchmetrics 1.9.0: VisualInformationFidelity on frames from 0 to 1, and on videos that have a black frame
#
# Frames are mostly tensors from 0 to 1, and SSIM and PSNR of the same package are told so. VisualInformationFidelity has no
# such setting and says nothing of a range; but its noise of the eye, sigma_n_sq=2, is a variance in steps of 8 bits. Where
# the whole range is 1 that is more noise than there is picture, and the score turns into a ratio of contrasts. Seen on a
# smooth moving picture: with noise added that takes its PSNR from 40 to 14 the score stays between 0.99 and 1.03, best for
# the worst; the same frames times 255 go from 0.77 to 0.1. More contrast and no noise scores 2. Pairs are put in another
# order: of 0..1 much noise beats a slight blur, of 0..255 the blur is better. (piq's vif_p takes data_range, and its numbers
# are those of 0..255.)
# And two equal black frames, as at a fade, give nan (0 of 0), and with it the mean over the whole video, whatever the range.
# Nothing is raised or warned.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 torchmetrics==1.9.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import warnings

import torch
from torchmetrics.image import PeakSignalNoiseRatio, VisualInformationFidelity

warnings.simplefilter("error")
generator = torch.Generator().manual_seed(0)
smooth = torch.nn.functional.interpolate(
    torch.rand(1, 1, 12, 12, generator=generator), size=(96, 96), mode="bicubic"
).clamp(0, 1)
detail = torch.rand(1, 1, 96, 96, generator=generator)
picture = 0.25 + 0.4 * smooth + 0.1 * torch.nn.functional.avg_pool2d(detail, 3, 1, 1)
frames = torch.cat([picture.roll(4 * number, -1) for number in range(6)])


def score(made, scale):
    metric = VisualInformationFidelity()
    for one, true in zip(made.split(2), frames.split(2), strict=True):
        metric.update(one * scale, true * scale)
    return float(metric.compute())


def quality(made):
    return float(PeakSignalNoiseRatio(data_range=1.0)(made, frames))


def blurred(width):
    return torch.nn.functional.avg_pool2d(torch.nn.functional.pad(frames, (width // 2,) * 4, "replicate"), width, 1)


noise = torch.randn(frames.shape, generator=generator)
print("noise   PSNR   score of 0..1   score of 0..255")
rows = []
for strength in (0.01, 0.03, 0.1, 0.2):
    made = frames + strength * noise
    rows.append((quality(made), score(made, 1), score(made, 255)))
    print(f"{strength:5}  {rows[-1][0]:5.1f}   {rows[-1][1]:8.4f}        {rows[-1][2]:8.4f}")
assert rows[0][0] > 39 and rows[-1][0] < 15
assert all(abs(row[1] - 1) < 0.04 for row in rows), "0..1 does not see the noise"
assert rows[0][2] > 0.5 and rows[-1][2] < 0.15
assert rows[0][1] < rows[1][1] < rows[2][1] < rows[3][1]

soft, noisy = blurred(3), frames + 0.1 * noise
print(f"blurred: PSNR {quality(soft):.1f}, score {score(soft, 1):.4f} of 0..1 and {score(soft, 255):.4f} of 0..255")
print(f"noisy:   PSNR {quality(noisy):.1f}, score {score(noisy, 1):.4f} of 0..1 and {score(noisy, 255):.4f} of 0..255")
assert quality(soft) > quality(noisy) + 5
assert score(soft, 1) < score(noisy, 1) and score(soft, 255) > score(noisy, 255) + 0.1
strong = frames.mean() + 2**0.5 * (frames - frames.mean())
print(f"more contrast: score {score(strong, 1):.3f} of 0..1")
assert abs(score(strong, 1) - 2) < 0.05

faded = frames.clone()
faded[0] = 0
for scale in (1, 255):
    each = VisualInformationFidelity(reduction="none")(faded * scale, faded * scale)
    mean = VisualInformationFidelity()(faded * scale, faded * scale)
    print(f"a video against itself, its first frame black, 0..{scale}: {[round(float(one), 3) for one in each]}, mean {mean}")
    assert each[0].isnan() and torch.allclose(each[1:], torch.ones(5), atol=1e-3) and mean.isnan()
print("as described")
PY
