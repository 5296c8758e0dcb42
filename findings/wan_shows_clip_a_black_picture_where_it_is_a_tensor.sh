#!/usr/bin/env bash
# diffusers 0.42.1 with transformers 5.24.0: WanImageToVideoPipeline(image=tensor) of Wan 2.1, whose network also reads a CLIP
#
# The picture may be "a torch.Tensor". diffusers' own processor takes tensors from 0 to 1, and so the latents of the picture
# are right. But the same tensor goes to CLIP's image processor as it is, and that one multiplies by 1/255 what is no Pillow
# picture, too: CLIP sees a picture whose brightest value is 1 of 255, which is black. Seen with random networks: of five
# unlike pictures as tensors CLIP's pixels span less than a hundredth of what they do as Pillow pictures, and its embeddings
# are those of a black picture, to a few thousandths of what lies between two pictures. The latents beside the noise are the
# same for both forms, and the video is another. A tensor from 0 to 255 is right for CLIP and wrong for the autoencoder, and
# image_embeds cannot be given beside image. Nothing is raised, warned or logged. SkyReels-V2's and ChronoEdit's pipelines
# have the same encode_image, and the same black picture. This is transformers' image processor of Pillow, which needs
# nothing else installed; that of torchvision multiplies in the same way.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 \
    ftfy==6.3.1 pillow==12.1.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import logging

import numpy as np
import torch
from diffusers import (
    AutoencoderKLWan, ChronoEditPipeline, SkyReelsV2ImageToVideoPipeline, UniPCMultistepScheduler, WanImageToVideoPipeline,
    WanTransformer3DModel,
)  # fmt: skip
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

torch.manual_seed(0)
torch.set_grad_enabled(False)
vae = AutoencoderKLWan(
    base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4
)
clip = CLIPVisionModel(
    CLIPVisionConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=224, patch_size=32)
).eval()
transformer = WanTransformer3DModel(
    patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=12, out_channels=4, text_dim=16, freq_dim=16,
    ffn_dim=32, num_layers=2, rope_max_seq_len=32, cross_attn_norm=True, image_dim=16, added_kv_proj_dim=24,
).eval()  # fmt: skip
parts = dict(
    tokenizer=None, text_encoder=None, image_encoder=clip, image_processor=CLIPImageProcessorPil(), vae=vae,
    scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
    transformer=transformer,
)  # fmt: skip
pipe = WanImageToVideoPipeline(**parts)
pipe.set_progress_bar_config(disable=True)


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


for name in ("diffusers", "transformers"):
    logging.getLogger(name).addHandler(Heard())
seen = {}
clip.register_forward_pre_hook(lambda _, args, kwargs: seen.update(pixels=kwargs["pixel_values"]), with_kwargs=True)
transformer.register_forward_pre_hook(
    lambda _, args, kwargs: seen.update(
        latents=kwargs["hidden_states"][:, 4:], embeddings=kwargs["encoder_hidden_states_image"]
    ),
    with_kwargs=True,
)

numbers = np.random.default_rng(0)
ramp = np.broadcast_to(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], (64, 64, 3))
arrays = [
    ramp, ramp.transpose(1, 0, 2), 255 - ramp, numbers.integers(0, 256, (64, 64, 3), np.uint8),
    np.full((64, 64, 3), (250, 200, 60), np.uint8),
]  # fmt: skip
words, noise = torch.randn(1, 7, 16), torch.randn(1, 4, 3, 8, 8)


def made(image):
    """What the networks are given for a picture: CLIP's pixels, its embeddings, the picture's latents; and the video."""
    video = pipe(
        image=image, prompt_embeds=words, latents=noise.clone(), width=64, height=64, num_frames=9, num_inference_steps=3,
        guidance_scale=1.0, output_type="latent",
    ).frames  # fmt: skip
    return dict(seen), video


def as_tensor(array):
    return torch.from_numpy(array.copy()).permute(2, 0, 1)[None].float() / 255


def apart(one, other):
    return float((one - other).norm())


black = made(Image.new("RGB", (64, 64)))[0]["embeddings"]
pictures = [made(Image.fromarray(np.ascontiguousarray(array))) for array in arrays]
tensors = [made(as_tensor(array)) for array in arrays]
spread = float(np.mean([apart(one[0]["embeddings"], other[0]["embeddings"]) for one, other in zip(pictures, pictures[1:])]))
print(f"mean distance of CLIP's embeddings between two pictures: {spread:.3f}")
for number, ((right, video), (wrong, other)) in enumerate(zip(pictures, tensors, strict=True)):
    latents = apart(right["latents"], wrong["latents"]) / float(right["latents"].norm())
    from_own = apart(wrong["embeddings"], right["embeddings"]) / spread
    from_black = apart(wrong["embeddings"], black) / spread
    change = apart(other, video) / float(video.norm())
    print(
        f"picture {number}: latents off by {latents:.1e}; tensor's embedding from its own picture {from_own:.3f}, "
        f"from black {from_black:.4f}, of that distance; video off by {change:.3f}"
    )
    assert latents < 1e-3 and from_black < 0.01 and from_own > 0.3 and change > 0.05
    ranges = [float(one["pixels"].amax((0, 2, 3)).sub(one["pixels"].amin((0, 2, 3))).max()) for one in (right, wrong)]
    print("  range of CLIP's pixels, picture and tensor:", [round(value, 4) for value in ranges])
    assert ranges[1] < 0.02 and (ranges[0] > 2 or number == 4)

bright = as_tensor(arrays[3]) * 255
assert apart(pipe.encode_image(bright, "cpu"), pictures[3][0]["embeddings"]) < 0.05 * spread
encoded = pipe.video_processor.preprocess(bright, 64, 64)
print("a tensor from 0 to 255 is encoded with pixels up to", float(encoded.max()), "in place of 1")
assert encoded.max() > 400
try:
    pipe(image=pipe.video_processor.preprocess(bright, 64, 64), image_embeds=black, prompt_embeds=words)
except ValueError as error:
    print("image and image_embeds together:", str(error).split(".")[-2].strip())
else:
    raise AssertionError

others = [kind(**parts) for kind in (SkyReelsV2ImageToVideoPipeline, ChronoEditPipeline)]
for other in others:
    off = apart(other.encode_image(as_tensor(arrays[3]), "cpu"), black) / spread
    print(f"{type(other).__name__}: embedding of the tensor from that of black: {off:.4f}")
    assert off < 0.05
assert not [text for text in Heard.said if "rescale" in text or "range" in text.lower()], Heard.said
print("as described")
PY
