#!/usr/bin/env bash
# diffusers 0.42.1: num_videos_per_prompt with more than one prompt, on pipelines whose text encoder is masked (LTX-Video, Mochi)
#
# Two prompts and two videos of each are four: the embeddings are put in order A A B B, which is the order of the videos that
# come back. The masks, which say which tokens are words and which are padding, are repeated as a whole: A B A B. So the
# second video of A is made with the mask of B, and the first of B with that of A. Where B is short, A's words past its length
# are left out; where it is long, padding is read as words. Seen on a random LTX-Video, each video with a generator of its
# own: the first and last of four are what a call with their prompt alone gives, to rounding; the two in between are off by
# as much as another prompt makes. With one prompt, or one video of each, all are right, and so they are with each prompt
# written out twice. Mochi's encode_prompt hands out the same orders; those of Sana-Video and LTX-2 are written alike.
# Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 tokenizers==0.23.3 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import torch
from diffusers import (
    AutoencoderKLLTXVideo, FlowMatchEulerDiscreteScheduler, LTXPipeline, LTXVideoTransformer3DModel, MochiPipeline,
)  # fmt: skip
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

LONG, SHORT, OTHER = "a cat jumps over one big red box and runs away", "a dog", "rain"
WORDS = ["<pad>", "<unk>", *dict.fromkeys(f"{LONG} {SHORT} {OTHER}".split())]

torch.manual_seed(0)
table = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
table.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=table, pad_token="<pad>", unk_token="<unk>")
text_encoder = T5EncoderModel(T5Config(vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)).eval()
vae = AutoencoderKLLTXVideo(
    latent_channels=8, block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
    layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5,
)  # fmt: skip
transformer = LTXVideoTransformer3DModel(
    in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=16, cross_attention_dim=32, num_layers=2,
    caption_channels=16,
)  # fmt: skip
parts = dict(vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, scheduler=FlowMatchEulerDiscreteScheduler())
pipe = LTXPipeline(transformer=transformer, **parts)
pipe.set_progress_bar_config(disable=True)


def made(prompts, seeds, each):
    videos = pipe(
        prompt=prompts, num_videos_per_prompt=each, generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        width=64, height=64, num_frames=9, num_inference_steps=4, guidance_scale=1.0, max_sequence_length=16,
        output_type="latent",
    )  # fmt: skip
    return videos.frames


def apart(one, other):
    return float((one - other).norm() / other.norm())


alone = torch.cat([made([LONG], [0], 1), made([LONG], [1], 1), made([SHORT], [2], 1), made([SHORT], [3], 1)])
others = torch.cat([made([OTHER], [seed], 1) for seed in range(4)])
scale = [apart(*pair) for pair in zip(others, alone, strict=True)]
for name, videos in (
    ("two prompts, two videos each", made([LONG, SHORT], range(4), 2)),
    ("each prompt written twice", made([LONG, LONG, SHORT, SHORT], range(4), 1)),
    ("one prompt, two videos, twice", torch.cat([made([LONG], [0, 1], 2), made([SHORT], [2, 3], 2)])),
):
    errors = [apart(*pair) / whole for *pair, whole in zip(videos, alone, scale, strict=True)]
    print(name, "- error of each video, as a share of what another prompt makes:", [round(error, 5) for error in errors])
    swapped = name.startswith("two")
    for number, error in enumerate(errors):
        assert error > 0.1 if swapped and number in (1, 2) else error < 1e-3

mochi = MochiPipeline(transformer=None, **parts)
for name, one in (("LTX-Video", pipe), ("Mochi", mochi)):
    embeddings, mask, *_ = one.encode_prompt(
        prompt=[LONG, SHORT], do_classifier_free_guidance=False, num_videos_per_prompt=2, max_sequence_length=16
    )
    first = [bool(torch.equal(each, embeddings[0])) for each in embeddings]
    print(name, "embeddings of the first prompt:", first, "words by the masks:", mask.sum(1).tolist())
    assert first == [True, True, False, False]
    assert mask.sum(1).tolist() == [len(LONG.split()), len(SHORT.split())] * 2
print("as described")
PY
