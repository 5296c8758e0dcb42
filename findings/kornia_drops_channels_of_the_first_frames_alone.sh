#!/usr/bin/env bash
# kornia 0.9.0: RandomChannelDropout in a VideoSequential(same_on_frame=True), the default
#
# VideoSequential draws an augmentation once for each clip and shares it among the clip's frames, so that a batch of clips
# stays "temporally consistent". RandomChannelDropout draws two things: a channel for each clip, and the clip's number in
# the batch. Both are repeated for the frames, but the frames of all clips lie in one row by then, in which the numbers mean
# other places. Seen with a batch of 3 clips of 6 frames, p=1: the first three frames of the first clip lose a channel each,
# the first the one drawn for its own clip, the second and third those of the other two clips; the 15 other frames are as
# they were. So a clip flickers at its start, and all clips but the first (of a batch no larger than a clip is long) are not
# augmented at all. With same_on_frame=False each frame loses a channel, and other augmentations (posterize, solarize,
# brightness) change every frame of a still clip alike. One clip in a batch loses it in its first frame only. Nothing is
# raised or warned of.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 kornia==0.9.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import warnings

import torch
from kornia.augmentation import (
    RandomBrightness, RandomChannelDropout, RandomPosterize, RandomSolarize, VideoSequential,
)  # fmt: skip

CLIPS, FRAMES = 3, 6
warnings.simplefilter("error", UserWarning)
still = 0.25 + 0.5 * torch.rand(CLIPS, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
clips = still.expand(CLIPS, FRAMES, 3, 8, 8).contiguous()


def lost(videos):
    """The channels that each frame has lost."""
    empty = (videos == 0).flatten(3).all(3)
    return [[frame.nonzero().flatten().tolist() for frame in clip] for clip in empty]


several = 0
for seed in range(20):
    torch.manual_seed(seed)
    augment = VideoSequential(RandomChannelDropout(p=1.0), data_format="BTCHW", same_on_frame=True)
    found = lost(augment(clips))
    drawn = augment._params[0].data["channel_idx"].view(CLIPS, FRAMES)
    assert all(len(set(row.tolist())) == 1 for row in drawn)
    expected = [[[] for _ in range(FRAMES)] for _ in range(CLIPS)]
    for clip in range(CLIPS):
        expected[0][clip] = [int(drawn[clip, 0])]
    if seed == 0:
        print(f"channel drawn for each of {CLIPS} clips:", drawn[:, 0].tolist())
        for number, clip in enumerate(found):
            print(f"  clip {number}: channels lost by its {FRAMES} frames:", clip)
    assert found == expected
    several += len(set(drawn[:, 0].tolist())) > 1
print(f"the same in 20 draws; in {several} of them the first clip changes colour from frame to frame")
assert several > 10

torch.manual_seed(0)
by_layout = VideoSequential(RandomChannelDropout(p=1.0), data_format="BCTHW")
swapped = lost(by_layout(clips.transpose(1, 2).contiguous()).transpose(1, 2))
print("the other layout, BCTHW:", [sum(map(bool, clip)) for clip in swapped], "frames of each clip lose something")
assert [sum(map(bool, clip)) for clip in swapped] == [CLIPS, 0, 0]

torch.manual_seed(0)
each = lost(VideoSequential(RandomChannelDropout(p=1.0), data_format="BTCHW", same_on_frame=False)(clips))
print("same_on_frame=False:", [sum(map(bool, clip)) for clip in each])
assert all(len(frame) == 1 for clip in each for frame in clip)
alone = lost(VideoSequential(RandomChannelDropout(p=1.0), data_format="BTCHW")(clips[:1]))
print("one clip:", [len(frame) for frame in alone[0]])
assert [len(frame) for frame in alone[0]] == [1] + [0] * (FRAMES - 1)
images = lost(RandomChannelDropout(p=1.0)(clips.flatten(0, 1))[None])[0]
assert all(len(frame) == 1 for frame in images)

for kind, options in ((RandomPosterize, {"bits": 3}), (RandomSolarize, {}), (RandomBrightness, {"brightness": (1.2, 1.4)})):
    torch.manual_seed(0)
    out = VideoSequential(kind(p=1.0, **options), data_format="BTCHW")(clips)
    moved = (out - clips).abs().amax((2, 3, 4))
    print(f"{kind.__name__}: least change of a frame {float(moved.min()):.3f}, between frames {float((out - out[:, :1]).abs().max())}")
    assert moved.min() > 0.005 and torch.equal(out, out[:, :1].expand_as(out))
print("as described")
PY
