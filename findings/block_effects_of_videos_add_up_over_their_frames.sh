#!/usr/bin/env bash
# torchmetrics 1.9.0: PeakSignalNoiseRatioWithBlockedEffect (PSNRB), in a batch of frames and over many of them
#
# PSNRB is PSNR with the steps at the borders of blocks added to the mean error, to measure what codecs and tiled decoders leave.
# It takes frames as a batch and can be updated for one batch after another, like PSNR. The squared error is divided by
# how many pixels there were; the block effect is not: it is a sum over the frames, in a batch and over updates. So the
# number falls with the length of a video. Seen with one frame in blocks of 8 that is repeated: PSNR is the same for any
# count; PSNRB falls by 10 decibels for ten times the frames, and a second video's score depends on what was measured before
# it in the same metric. Two encodings are ranked by their lengths: 64 frames score below 4 frames that are worse in
# every one of them. The mean of the frames' own numbers does not move. Frames without blocks have an effect of zero and
# are right for any count. Nothing is raised or warned of.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 torchmetrics==1.9.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import warnings

import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, peak_signal_noise_ratio_with_blocked_effect
from torchmetrics.image import PeakSignalNoiseRatio, PeakSignalNoiseRatioWithBlockedEffect

warnings.simplefilter("error", UserWarning)
rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
frame = (0.5 + 0.3 * torch.sin(rows / 9) * torch.cos(columns / 7))[None, None]
flat = torch.nn.functional.avg_pool2d(frame, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)


def coded(strength):
    """A frame in which each block of 8 goes towards its mean."""
    return frame + strength * (flat - frame)


def scores(video, target):
    return tuple(
        float(score(video, target, data_range=1.0))
        for score in (peak_signal_noise_ratio, peak_signal_noise_ratio_with_blocked_effect)
    )


print("frames in a batch: PSNR, PSNRB, PSNRB by one frame after another in one metric, mean PSNRB of the frames")
table = {}
for count in (1, 4, 16, 64, 640):
    video, target = coded(0.8).expand(count, -1, -1, -1), frame.expand(count, -1, -1, -1)
    metric = PeakSignalNoiseRatioWithBlockedEffect(data_range=1.0)
    for one in video:
        metric.update(one[None], frame)
    mean = sum(scores(one[None], frame)[1] for one in video) / count
    table[count] = (*scores(video, target), float(metric.compute()), mean)
    print(f"{count:4}:", "  ".join(f"{score:.3f}" for score in table[count]))
alone = table[1]
for count, (psnr, psnrb, updated, mean) in table.items():
    assert abs(psnr - alone[0]) < 0.01 and abs(mean - alone[1]) < 0.01
    assert abs(psnrb - updated) < 0.01
    # The block effect of one frame, worked out from the two numbers of one frame, times the count.
    effect = 10 ** (-alone[1] / 10) - 10 ** (-alone[0] / 10)
    expected = -10 * torch.log10(torch.tensor(10 ** (-alone[0] / 10) + count * effect))
    assert abs(psnrb - float(expected)) < 0.02
assert 9 < table[64][1] - table[640][1] < 10.1

worse, better = coded(1.0).expand(4, -1, -1, -1), coded(0.5).expand(64, -1, -1, -1)
short, long = scores(worse, frame.expand(4, -1, -1, -1)), scores(better, frame.expand(64, -1, -1, -1))
each = [scores(video[:1], frame)[1] for video in (worse, better)]
print(f"4 frames: PSNR {short[0]:.2f}, PSNRB {short[1]:.2f}; 64 better ones: PSNR {long[0]:.2f}, PSNRB {long[1]:.2f}; one of each:", end="")
print(f" PSNRB {each[0]:.2f} and {each[1]:.2f}")
assert each[1] > each[0] and long[0] > short[0] and long[1] < short[1]

metric, plain = PeakSignalNoiseRatioWithBlockedEffect(data_range=1.0), PeakSignalNoiseRatio(data_range=1.0)
noisy = frame + 0.05 * torch.randn(64, 1, 64, 64, generator=torch.Generator().manual_seed(0))
smooth = [scores(noisy[:count], frame.expand(count, -1, -1, -1)) for count in (1, 64)]
print("noise without blocks, 1 and 64 frames:", [tuple(round(score, 2) for score in pair) for pair in smooth])
assert all(abs(pair[0] - pair[1]) < 0.3 for pair in smooth)
print("as described")
PY
