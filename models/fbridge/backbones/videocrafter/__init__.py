"""VideoCrafter (arXiv 2310.19512, 2401.09047), a U-Net over frames of an image VAE.

The network is our own, under the names of its makers' tensors; FrameBridge's result on WebVid-2M is
one of it, which is shown the picture beside the latents and told what CLIP sees of it.
"""

from __future__ import annotations

from fbridge.backbones.checkpoint_layout import CheckpointLayout
from fbridge.backbones.family import Family
from fbridge.backbones.videocrafter.models import (
    FIRST,
    LOOKS,
    measured,
    refused,
    video_of,
    videocrafter_noise,
    whole,
)
from fbridge.backbones.videocrafter.network import VideoCrafterUNet, patch_of
from fbridge.files.key_mapping import rename_keys

FAMILY = Family(
    name="videocrafter",
    transformer="VideoCrafterUNet",
    load_class=lambda: VideoCrafterUNet,
    adapt=lambda transformer: transformer,
    latents=lambda transformer: int(transformer.config.out_channels),
    prompt_width=lambda transformer: int(transformer.config.context_dim),
    patch=patch_of,
    lora_targets=("to_q", "to_k", "to_v", "to_out.0"),
    input_layer=FIRST,
    prediction="noise",
    noise_schedule=videocrafter_noise,
    video=video_of,
    layouts=(
        CheckpointLayout(
            "original",
            (
                f"{FIRST}.weight",
                "input_blocks.1.2.transformer_blocks.0.attn1.to_q.weight",
                "out.2.weight",
            ),
            lambda weights: rename_keys(weights, {"^framestride_embed": "fps_embedding"}),
            beside=(LOOKS,),
        ),
    ),
    variant_from_shapes=measured,
    single_file_config=whole,
    refused=refused,
    required_files=(
        "vae/config.json",
        "text_encoder/config.json",
        "tokenizer/tokenizer_config.json",
    ),
    guidance=12.0,
    depth_keys=(),
)
