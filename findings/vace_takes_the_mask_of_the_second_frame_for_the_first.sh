#!/usr/bin/env bash
# diffusers 0.42.1: mask= of WanVACEPipeline, with a first and a last frame that are to be kept
#
# VACE makes a video between given frames: a mask is black where the video is kept and white where it is made, and to
# animate from a first to a last frame both are black and all others white. Latents have one frame for the first and one for
# every four after it. The mask is brought to that length by taking the nearest frame as if all latent frames stood for
# equally many: of 81 frames the 21 that are looked at are 1, 5, 9 ... 75, 79, and neither the first, 0, nor the last, 80.
# Seen: the mask that the network is given for two kept frames is that of no kept frame at all, all white. With every frame
# black but those 21 it is all white, too; with every frame white but those 21 all black. A mask that keeps the first two
# frames is seen as keeping the first latent frame. The kept picture is in the input all the same, beside a mask that says
# that it is to be made. ComfyUI's nodes resize masks by the same rule. Nothing is raised or logged.
# Where the first two frames and the last two are kept, the mask says so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 ftfy==6.3.1 pillow==12.1.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import logging

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanVACEPipeline, WanVACETransformer3DModel
from PIL import Image

FRAMES = 81
torch.manual_seed(0)
vae = AutoencoderKLWan(
    base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4
)
transformer = WanVACETransformer3DModel(
    patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16, freq_dim=16,
    ffn_dim=32, num_layers=2, rope_max_seq_len=32, cross_attn_norm=True, vace_layers=[0], vace_in_channels=4 * 2 + 64,
).eval()  # fmt: skip
pipe = WanVACEPipeline(
    tokenizer=None, text_encoder=None, vae=vae, transformer=transformer,
    scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
)  # fmt: skip
pipe.set_progress_bar_config(disable=True)


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("diffusers").addHandler(Heard())
seen = {}
transformer.register_forward_pre_hook(
    lambda _, args, kwargs: seen.update(control=kwargs["control_hidden_states"]), with_kwargs=True
)
gray, red, blue = (Image.new("RGB", (32, 32), colour) for colour in ((128, 128, 128), (220, 30, 30), (30, 30, 220)))
white, black = (Image.new("L", (32, 32), value) for value in (255, 0))
video = [red] + [gray] * (FRAMES - 2) + [blue]
words = torch.randn(1, 7, 16)


def given(kept):
    """The mask in the network's input, one number for each latent frame, and the latents beside it."""
    pipe(
        video=video, mask=[black if number in kept else white for number in range(FRAMES)], prompt_embeds=words, width=32,
        height=32, num_frames=FRAMES, num_inference_steps=1, guidance_scale=1.0, output_type="latent",
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    mask = seen["control"][0, 8:]
    assert torch.equal(mask, mask[:1, :, :1, :1].expand_as(mask))
    return [int(value) for value in mask[0, :, 0, 0]], seen["control"][:, :8].clone()


looked = [int((number + 0.5) * FRAMES / 21) for number in range(21)]
print("frames whose mask is looked at:", looked)
everything = set(range(FRAMES))
cases = {
    "no frame": set(), "the first": {0}, "the first and the last": {0, FRAMES - 1}, "the first two": {0, 1},
    "the last two": {FRAMES - 2, FRAMES - 1}, "all but those looked at": everything - set(looked), "those looked at": set(looked),
    "all": everything,
}  # fmt: skip
masks = {}
for name, kept in cases.items():
    masks[name], latents = given(kept)
    expected = [int(number not in kept) for number in looked]
    print(f"kept: {name} - mask of the latent frames:", "".join(map(str, masks[name])))
    assert masks[name] == expected and len(expected) == 21
    if name == "the first and the last":
        with_two = latents
    elif name == "no frame":
        with_none = latents
assert masks["the first and the last"] == masks["no frame"] == masks["all but those looked at"] == [1] * 21
assert masks["those looked at"] == masks["all"] == [0] * 21
assert masks["the first two"] == [0] + [1] * 20
difference = (with_two - with_none)[0].abs().amax((0, 2, 3))
print(f"the two kept frames change the latents beside the mask, by {float(difference[0]):.3f} in the first frame")
assert difference[0] > 0
assert not [text for text in Heard.said if "mask" in text]
print("as described")
PY
