#!/usr/bin/env bash
# diffusers 0.42.1: enable_tiling of AutoencoderKLLTXVideo with a stride that is no multiple of 32
#
# A tile of 320 pixels with a stride of 240 looks like any other choice for 480 x 832. The autoencoder makes latents of 32
# pixels and divides both numbers by 32, rounded down: the decoder's tiles begin every 7 latents, 224 pixels, and are set down
# every 240. Seen with a small network of random weights: the video has the size that it should have, but its second tile is
# the picture 16 pixels to the right of its place, the third 32 and the fourth 48; at every seam columns are shown twice, and
# the picture's right 48 are nowhere. Encoding loses instead of repeating: of 7.5 latents to a stride 7 are kept, and there are
# 14 x 25 in place of 15 x 26. A stride of 256 or 224 is right. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import torch
from diffusers import AutoencoderKLLTXVideo

torch.manual_seed(0)
vae = AutoencoderKLLTXVideo(
    block_out_channels=(8,) * 4,
    decoder_block_out_channels=(8,) * 4,
    layers_per_block=(1,) * 5,
    decoder_layers_per_block=(1,) * 5,
    latent_channels=8,
).eval()
latents, video = torch.randn(1, 8, 1, 15, 26), torch.randn(1, 3, 1, 480, 832)


def tiled(stride):
    vae.enable_tiling(
        tile_sample_min_height=320,
        tile_sample_min_width=320,
        tile_sample_stride_height=stride,
        tile_sample_stride_width=stride,
    )
    with torch.no_grad():
        return vae.decode(latents).sample[0, :, 0], vae.encode(video).latent_dist.mode().shape[-2:]


def alike(tile, whole, left, shift):
    """Correlation of some of a tile's columns, right of its seam, with the whole decoding `shift` pixels to their left."""
    columns = tile[..., :192, left + 98 : left + 110], whole[..., :192, left + 98 - shift : left + 110 - shift]
    return float(torch.corrcoef(torch.stack([part.flatten() for part in columns]))[0, 1])


with torch.no_grad():
    whole = vae.decode(latents).sample[0, :, 0]
for stride in (224, 240, 256):
    decoded, encoded = tiled(stride)
    assert decoded.shape == whole.shape == (3, 480, 832)
    places = range(4 if stride == 240 else 3)
    found = [max(range(0, 65, 8), key=lambda shift: alike(decoded, whole, stride * place, shift)) for place in places]
    best = [alike(decoded, whole, stride * place, shift) for place, shift in enumerate(found)]
    print("stride", stride, "latents", tuple(encoded), "tiles shifted by", found, "correlations", best)
    assert min(best) > 0.9
    assert found == ([0, 16, 32, 48] if stride == 240 else [0, 0, 0]), found
    assert tuple(encoded) == ((14, 25) if stride == 240 else (15, 26)), encoded
print("as described")
PY
