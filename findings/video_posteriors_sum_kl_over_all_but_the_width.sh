#!/usr/bin/env bash
# diffusers 0.42.1: kl() and nll() of the posterior that a video autoencoder's encode() returns
#
# The distribution is the pictures' one: it sums over the dimensions 1, 2 and 3. Latents of videos have five, so that the last
# stays: kl() is a number for each video and column of the latents, (B, W), where a picture's is one for each picture, (B,).
# posterior.kl().mean() is then the loss of one video divided by the latents' width, 104 for videos of 832 columns. Seen for
# AutoencoderKLWan, two videos of 9 frames, 64 by 96: shape (2, 12), a twelfth of the divergence. And it depends on how the
# video lies: one posterior, turned by a quarter, has the same divergence and half as much again as its mean, so that in one
# training portraits are pulled harder to the prior than landscapes. kl().sum() / B is right. nll() does likewise unless it is
# given its dims. CogVideoX's, LTX-Video's and HunyuanVideo's autoencoders return the same class. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import torch
from diffusers import AutoencoderKL, AutoencoderKLWan
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

torch.manual_seed(0)
videos = AutoencoderKLWan(
    base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
).eval()
pictures = AutoencoderKL(block_out_channels=(4,), norm_num_groups=1).eval()
with torch.no_grad():
    of_pictures = pictures.encode(torch.randn(2, 3, 64, 96)).latent_dist
    posterior = videos.encode(torch.randn(2, 3, 9, 64, 96)).latent_dist
assert type(of_pictures) is type(posterior) is DiagonalGaussianDistribution
print("latents", tuple(posterior.mean.shape), "kl", tuple(posterior.kl().shape), "of pictures", tuple(of_pictures.kl().shape))
assert of_pictures.kl().shape == of_pictures.nll(of_pictures.mode()).shape == (2,)
assert posterior.mean.shape == (2, 4, 3, 8, 12)
assert posterior.kl().shape == posterior.nll(posterior.mode()).shape == (2, 12)

mean, variance = posterior.mean.double(), posterior.var.double()
divergence = (0.5 * (mean**2 + variance - 1 - variance.log())).sum() / 2
turned = DiagonalGaussianDistribution(posterior.parameters.transpose(3, 4))
means = [float(one.kl().mean()) for one in (posterior, turned)]
sums = [float(one.kl().sum() / 2) for one in (posterior, turned)]
print(f"divergence of a video {divergence:.3f}; mean of kl() as it lies {means[0]:.3f}, turned {means[1]:.3f}")
assert all(abs(one / divergence - 1) < 1e-4 for one in sums), (sums, divergence)
assert abs(means[0] * 12 / divergence - 1) < 1e-4 and abs(means[1] / means[0] - 1.5) < 1e-4, means
print("as described")
PY
