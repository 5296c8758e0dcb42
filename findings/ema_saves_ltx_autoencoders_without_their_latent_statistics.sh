#!/usr/bin/env bash
# diffusers 0.42.1: EMAModel.save_pretrained of an LTX-Video autoencoder, as after fine-tuning a decoder
#
# LTX-Video's autoencoders carry mean and deviation of each latent channel as buffers, loaded from the checkpoint with the
# weights; the pipelines bring latents to the transformer's range by them. EMAModel.save_pretrained writes a whole model
# folder: it builds a new network from the config and fills in the averaged parameters only, so that buffers are those of
# a new one. Seen on LTX-Video's and LTX-2's: after one EMA step all parameters come back bit for bit, latents_mean is 0 and
# latents_std is 1 in the file. The network that it makes encodes and decodes as the old one does, but a pipeline or a
# training set built with it scales latents by nothing: channels whose deviation should be 1 have 0.5 to 2. On loading,
# settings of EMAModel's own are warned of, the buffers are not. copy_to() into the network and its own save_pretrained keep
# them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - "$work" <<'PY'
import sys

import torch
from diffusers import AutoencoderKLLTX2Video, AutoencoderKLLTXVideo, LTXPipeline
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file

SMALL = dict(
    in_channels=3, out_channels=3, latent_channels=8, block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8),
    layers_per_block=(1, 1, 1, 1, 1), decoder_layers_per_block=(1, 1, 1, 1),
)


def check(kind, name):
    folder = f"{sys.argv[1]}/{name}"
    torch.manual_seed(0)
    first = kind(**SMALL)
    first.latents_mean.copy_(torch.linspace(-1, 1, 8))
    first.latents_std.copy_(torch.linspace(0.5, 2, 8))
    first.save_pretrained(folder)
    network = kind.from_pretrained(folder)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in first.state_dict().items())

    average = EMAModel(network.parameters(), model_cls=kind, model_config=network.config)
    average.step(network.parameters())
    average.save_pretrained(f"{folder}_average")
    stored = load_file(f"{folder}_average/diffusion_pytorch_model.safetensors")
    lost = [key for key, value in first.state_dict().items() if not torch.equal(value, stored[key])]
    print(name, "differs in", lost, "mean", stored["latents_mean"].tolist()[:3], "std", stored["latents_std"].tolist()[:3])
    assert sorted(lost) == ["latents_mean", "latents_std"]
    assert not stored["latents_mean"].any() and (stored["latents_std"] == 1).all()

    latents = torch.randn(1, 8, 2, 4, 4) * first.latents_std.view(1, -1, 1, 1, 1) + first.latents_mean.view(1, -1, 1, 1, 1)
    again = kind.from_pretrained(f"{folder}_average")
    for title, one in (("network", network), ("average", again)):
        scaled = LTXPipeline._normalize_latents(latents, one.latents_mean, one.latents_std, one.config.scaling_factor)
        deviation = scaled.std((0, 2, 3, 4))
        print(f"  latents by the {title}: deviations of channels from {deviation.min():.2f} to {deviation.max():.2f}")
        assert (deviation.max() > 1.6) == (one is again)

    average.copy_to(network.parameters())
    network.save_pretrained(f"{folder}_kept")
    kept = load_file(f"{folder}_kept/diffusion_pytorch_model.safetensors")
    assert all(torch.equal(value, kept[key]) for key, value in first.state_dict().items())


check(AutoencoderKLLTXVideo, "LTX-Video")
check(AutoencoderKLLTX2Video, "LTX-2")
print("as described")
PY
