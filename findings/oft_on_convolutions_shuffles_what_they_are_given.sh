#!/usr/bin/env bash
# peft 0.21.2: OFT added to Conv2d layers, such as those that resize in diffusers 0.42.1's Wan autoencoder
#
# OFT multiplies a layer's weight by a rotation that is no rotation at the start, so that a network with it is at first the
# network without, and merging folds it into the weight. For Conv2d the rotation is applied to the patches of the input, which
# are put together to a picture again before the convolution. That step mixes up places of the picture with places in the
# kernel, and adds where patches overlap. Seen with kernels of 2, 3 and 5, any stride and padding, before any training: the
# layer's output is 2 to 4 times its size away from the layer without OFT, and not correlated with it; on a Wan autoencoder
# the reconstruction of a video is another one. Training begins from there. Merged, the same adapter is the identity that it
# should be, so that after training the merged network is not the trained one. Kernels of 1 and linear layers are exact, as is
# HRA, another rotation, on all of these. Nothing is raised, warned or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 peft==0.21.2 transformers==5.24.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import warnings

import torch
from diffusers import AutoencoderKLWan
from peft import HRAConfig, OFTConfig, get_peft_model
from torch import nn


def apart(found, wanted):
    """The error as a share of what is wanted, and the correlation of both."""
    found, wanted = found.flatten(), wanted.flatten()
    return float((found - wanted).norm() / wanted.norm()), float(torch.corrcoef(torch.stack([found, wanted]))[0, 1])


def trained(kind, kernel, stride, padding):
    """Of a new adapter on one layer: error and correlation; error when merged; and error by merging when trained a little."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(8, 16, kernel, stride=stride, padding=padding))
    data = torch.randn(2, 8, 16, 16)
    with torch.no_grad():
        plain = network(data)
    config = OFTConfig(target_modules=["0"], oft_block_size=8) if kind == "OFT" else HRAConfig(target_modules=["0"], r=4)
    adapted = get_peft_model(network, config)
    with torch.no_grad():
        start = apart(adapted(data), plain)
        adapted.merge_adapter()
        merged = apart(adapted(data), plain)[0]
        adapted.unmerge_adapter()
    goal = torch.randn_like(plain)
    optimizer = torch.optim.Adam([one for one in adapted.parameters() if one.requires_grad], lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        (adapted(data) - goal).square().mean().backward()
        optimizer.step()
    adapted.eval()
    with torch.no_grad():
        before = adapted(data)
        return *start, merged, apart(adapted.merge_and_unload()(data), before)[0]


with warnings.catch_warnings():
    warnings.simplefilter("error")
    shapes = ((1, 1, 0), (3, 1, 1), (3, 2, 1), (2, 2, 0), (5, 1, 2))
    for kernel, stride, padding in shapes:
        error, along, merged, moved = trained("OFT", kernel, stride, padding)
        print(f"kernel {kernel}, stride {stride}: OFT at the start {error:.2f} away, correlation {along:.2f}; "
              f"merged {merged:.1e}; trained, then merged {moved:.2f} away")  # fmt: skip
        assert merged < 1e-5
        assert (error < 1e-5 and moved < 1e-3) if kernel == 1 else (error > 1 and abs(along) < 0.3 and moved > 0.5)
    for kernel, stride, padding in shapes:
        error, along, merged, moved = trained("HRA", kernel, stride, padding)
        assert error < 1e-5 and merged < 1e-5 and moved < 1e-3

torch.manual_seed(0)
autoencoder = AutoencoderKLWan(
    base_dim=8, z_dim=4, dim_mult=[1, 2, 2, 2], num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4
).eval()
video = torch.rand(1, 3, 5, 32, 32) * 2 - 1
with torch.no_grad():
    latents = autoencoder.encode(video).latent_dist.mode()
    decoded = autoencoder.decode(latents).sample
    adapted = get_peft_model(autoencoder, OFTConfig(target_modules=r".*\.resample\.1", oft_block_size=8)).eval()
    layers = [name for name, module in adapted.named_modules() if type(module).__module__.startswith("peft.tuners.oft")]
    new_latents = adapted.encode(video).latent_dist.mode()
    new_decoded = adapted.decode(latents).sample
    adapted.merge_adapter()
    assert apart(adapted.encode(video).latent_dist.mode(), latents)[0] < 1e-4
print("Wan autoencoder, untrained OFT: latents {:.2f} away, correlation {:.2f};".format(*apart(new_latents, latents)),
      "decoded {:.2f} away, correlation {:.2f}".format(*apart(new_decoded, decoded)))  # fmt: skip
assert layers and apart(new_latents, latents)[0] > 0.3 and apart(new_decoded, decoded)[0] > 0.3
print("as described")
PY
