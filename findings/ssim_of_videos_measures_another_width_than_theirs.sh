#!/usr/bin/env bash
# torchmetrics 1.9.0: structural_similarity_index_measure on videos (batch, channel, frame, row, column)
#
# With a Gaussian window, of which sigma gives the size, kernel_size is said to be ignored. For pictures it is. For videos the
# window's size along the last axis is taken from sigma, but the borders that are added before it is laid on come from
# kernel_size there, 5 on each side unless told. They agree with the default sigma of 1.5 only. Seen for videos of 16 x 48 x 48:
# - sigma=3 measures 36 columns: the borders left and right are cut away; sigma=0.75 measures 52: mirrored columns count twice;
# - kernel_size=3, a value that "is ignored", measures 40 columns and changes the mean;
# - a video and the same one on its side, rows for columns, have different similarities, so damage at the left edge weighs
#   otherwise than the same damage at the top (pictures: equal);
# - the map of return_full_image has these widths and no longer lies over the video.
# Nothing is raised or logged. A fair comparison needs kernel_size = 2 * int(3.5 * sigma + 0.5) + 1 beside every sigma.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 torchmetrics==1.9.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import torch
from torchmetrics.functional.image import structural_similarity_index_measure


def measured(made, wanted, **options):
    """The mean similarity and the shape of its map."""
    mean, over = structural_similarity_index_measure(made, wanted, data_range=1.0, return_full_image=True, **options)
    return mean.item(), tuple(over.shape[2:])


def on_its_side(value):
    return value.transpose(-1, -2)


torch.manual_seed(0)
wanted = torch.rand(1, 1, 16, 48, 48)
left = wanted.clone()
left[..., :6] = torch.rand(1, 1, 16, 48, 6)
picture, damaged = wanted[:, :, 0], left[:, :, 0]

for sigma, width in ((0.75, 52), (1.5, 48), (3.0, 36)):
    fitting = 2 * int(3.5 * sigma + 0.5) + 1
    told, shape = measured(left, wanted, sigma=sigma)
    turned, _ = measured(on_its_side(left), on_its_side(wanted), sigma=sigma)
    fair, whole = measured(left, wanted, sigma=sigma, kernel_size=fitting)
    fair_turned, _ = measured(on_its_side(left), on_its_side(wanted), sigma=sigma, kernel_size=fitting)
    print(f"sigma={sigma}: map {shape}, mean {told:.4f}, on its side {turned:.4f}; with kernel_size={fitting} {fair:.4f}")
    assert shape == (16, 48, width) and whole == (16, 48, 48)
    assert abs(fair - fair_turned) < 1e-5
    assert (abs(told - turned) > 0.01 and abs(told - fair) > 0.004) if sigma != 1.5 else abs(told - turned) < 1e-5

ignored, shape = measured(left, wanted, kernel_size=3)
default, _ = measured(left, wanted)
print(f"kernel_size=3: map {shape}, mean {ignored:.4f}; unless told {default:.4f}")
assert shape == (16, 48, 40) and abs(ignored - default) > 0.01

for sigma in (0.75, 1.5, 3.0):
    means = [measured(damaged, picture, sigma=sigma, kernel_size=size) for size in (3, 11)]
    means.append(measured(on_its_side(damaged), on_its_side(picture), sigma=sigma))
    assert all(abs(mean - means[0][0]) < 1e-5 and shape == (48, 48) for mean, shape in means), means
print("pictures: the same with any kernel_size and on their side")
print("as described")
PY
