#!/usr/bin/env bash
# diffusers 0.42.1: WanTransformer3DModel of Wan 2.1's image-to-video models, and prompts that are not 512 tokens long
#
# The picture's 257 tokens and the prompt's are joined, and each layer parts them again: all but the last 512 are the
# picture. Nothing checks that there were 512 of the prompt, though max_sequence_length is an argument of the pipeline and
# encode_prompt(), by which one would make embeddings beforehand, has a default of 226. Then 257 + 226 - 512 is negative, and
# a slice takes it: all but the last 29 tokens are projected by the picture's matrices, the words among them, and the text's
# attention sees 29 tokens of padding for any prompt up to 197. Seen with a prompt of 8 words: with 512 another prompt changes
# what the text's keys are made of; with 226 it changes nothing there, and all 8 words go through the picture's projection.
# With 256 one token of the picture's 257 is seen as such; with 600 the first 88 words are pictures. All run without a word.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 accelerate==1.15.0 numpy==2.2.6 Pillow==12.1.0
"$work/venv/bin/python" - <<'PY'
import inspect

import torch
from diffusers import WanImageToVideoPipeline, WanTransformer3DModel

torch.manual_seed(0)
network = WanTransformer3DModel(
    patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16,
    freq_dim=32, ffn_dim=32, num_layers=2, image_dim=8, added_kv_proj_dim=24,
).eval()
got = {}
attention = network.blocks[0].attn2
attention.to_k.register_forward_hook(lambda module, inputs, output: got.update(text=inputs[0]))
attention.add_k_proj.register_forward_hook(lambda module, inputs, output: got.update(picture=inputs[0]))
latents, time, picture = torch.randn(1, 4, 2, 8, 8), torch.tensor([500.0]), torch.randn(1, 257, 8)
prompt, other = torch.randn(2, 1, 8, 16)


@torch.no_grad()
def seen(words, length):
    """What the first layer's text keys and picture keys are made of, for a prompt padded to a length."""
    padded = torch.cat([words, torch.zeros(1, length - 8, 16)], dim=1)
    assert network(latents, time, padded, picture).sample.isfinite().all()
    return got["text"], got["picture"]


def parted(length):
    """Tokens of text and of picture, and whether another prompt of 8 words changes them."""
    (text, image), (other_text, other_image) = seen(prompt, length), seen(other, length)
    return text.shape[1], image.shape[1], not torch.equal(text, other_text), not torch.equal(image, other_image)


for length in (512, 226, 256, 600):
    print(length, parted(length))
assert parted(512) == (512, 257, True, False)
assert parted(226) == (29, 454, False, True)
assert parted(256) == (512, 1, True, False)
assert parted(600) == (512, 345, False, True)
default = {
    name: inspect.signature(getattr(WanImageToVideoPipeline, name)).parameters["max_sequence_length"].default
    for name in ("encode_prompt", "__call__")
}
assert default == {"encode_prompt": 226, "__call__": 512}, default
print("as described")
PY
