#!/usr/bin/env bash
# diffusers 0.42.1: enable_group_offload(offload_to_disk_path=...) of a pipeline with two transformers, and of a second model
#
# Group offloading may keep weights in a folder on disk, of which the documentation says that parameters go there where memory
# is short. One would expect each model to get back what it put there. A group's file is named by a hash of its place in
# the model ("blocks.0.attn1.to_q"), not by the component or the pipeline, and a file that is there already is not written
# again but read. WanPipeline of Wan 2.2 has two experts of one shape, and enable_group_offload() of the pipeline hands both
# the same folder: the second expert is dropped and runs with the weights of the first, so the video is that of a model with
# one expert for all times. The same happens from one run to the next: a checkpoint that was trained on, or another seed, is
# offloaded to the folder of yesterday and gives yesterday's output, and so does load_state_dict() on a model that is
# offloaded, of leaf_level and block_level alike. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 accelerate==1.15.0 pillow==12.1.0 numpy==2.2.6
OMP_NUM_THREADS=1 FOLDER="$work" "$work/venv/bin/python" - <<'PY'
import logging
import os
import tempfile

import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanPipeline, WanTransformer3DModel


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("diffusers").addHandler(Heard())
torch.set_grad_enabled(False)
cpu = torch.device("cpu")


def made(seed):
    torch.manual_seed(seed)
    return WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=16, out_channels=16, text_dim=32, freq_dim=32,
        ffn_dim=32, num_layers=2, rope_max_seq_len=32,
    ).eval()  # fmt: skip


def folder():
    return tempfile.mkdtemp(dir=os.environ["FOLDER"])


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def answer(network):
    return network(noise(1, 16, 2, 8, 8), torch.tensor([500]), noise(1, 8, 32), return_dict=False)[0]


def offload(network, kind, path):
    network.enable_group_offload(cpu, offload_type=kind, num_blocks_per_group=1, offload_to_disk_path=path)


plain = {seed: answer(made(seed)) for seed in (0, 1, 5)}
assert (plain[0] - plain[1]).abs().max() > 0.1
for kind in ("leaf_level", "block_level"):
    path = folder()
    for seed in (0, 1):
        network = made(seed)
        offload(network, kind, path)
        off = {other: float((answer(network) - plain[other]).abs().max()) for other in plain}
        print(f"{kind}, network {seed}, in a folder that network 0 was the first in: off from 0 by {off[0]:.1e}, from 1 by {off[1]:.1e}")
        assert off[0] < 1e-4 and off[1] > 0.1
    network.load_state_dict(made(5).state_dict())
    off = [float((answer(network) - plain[other]).abs().max()) for other in (0, 5)]
    print(f"  after load_state_dict() of network 5: off from 0 by {off[0]:.1e}, from 5 by {off[1]:.1e}")
    assert off[0] < 1e-4 and off[1] > 0.1
    network = made(1)
    offload(network, kind, folder())
    assert (answer(network) - plain[1]).abs().max() < 1e-4

torch.manual_seed(0)
vae = AutoencoderKLWan(
    base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
)


def video(second, path=None):
    pipe = WanPipeline(
        tokenizer=None, text_encoder=None, vae=vae, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        transformer=made(0), transformer_2=made(second), boundary_ratio=0.6,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    pipe.enable_group_offload(cpu, offload_type="leaf_level", offload_to_disk_path=path)
    return pipe(
        prompt_embeds=noise(1, 8, 32), negative_prompt_embeds=noise(1, 8, 32) * 0, height=64, width=64, num_frames=5,
        num_inference_steps=6, latents=noise(1, 16, 2, 8, 8), output_type="latent",
    ).frames  # fmt: skip


Heard.said.clear()
both, one = video(1), video(0)
disk = video(1, folder())
print(f"two experts offloaded to memory, from one expert twice: off by {float((both - one).abs().max()):.3f}")
print(f"two experts offloaded to one folder:  off from two by {float((disk - both).abs().max()):.3f}, from one twice by {float((disk - one).abs().max()):.1e}")
assert (both - one).abs().max() > 0.05 and (disk - both).abs().max() > 0.05 and (disk - one).abs().max() < 1e-4
assert not [text for text in Heard.said if "ffload" in text or "disk" in text], Heard.said
print("as described")
PY
