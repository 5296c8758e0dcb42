"""VideoCrafter (arXiv 2310.19512, 2401.09047), a U-Net over frames of an image VAE.

The network is our own, with the tensor names of the original code. FrameBridge's model of WebVid-2M
is one of them, with the picture in the input channels and CLIP's embedding of it.
"""

from __future__ import annotations

from fbridge.backbones.checkpoint_layout import CheckpointLayout
from fbridge.backbones.family import Family
from fbridge.backbones.videocrafter.models import (
    INPUT_LAYER,
    RESAMPLER,
    refused,
    single_file_config,
    variant_of,
    video_of,
    videocrafter_noise,
)
from fbridge.backbones.videocrafter.network import VideoCrafterUNet, patch_of
from fbridge.files.key_mapping import rename_keys

FAMILY = Family(
    name="videocrafter",
    transformer="VideoCrafterUNet",
    own_class=lambda: VideoCrafterUNet,
    adapt=lambda transformer: transformer,
    latents=lambda transformer: int(transformer.config.out_channels),
    prompt_width=lambda transformer: int(transformer.config.context_dim),
    patch=patch_of,
    input_layer=INPUT_LAYER,
    prediction="noise",
    noise_schedule=videocrafter_noise,
    video=video_of,
    layouts=(
        CheckpointLayout(
            "original",
            (
                f"{INPUT_LAYER}.weight",
                "input_blocks.1.2.transformer_blocks.0.attn1.to_q.weight",
                "out.2.weight",
            ),
            lambda weights: rename_keys(weights, {"^framestride_embed": "fps_embedding"}),
            beside=(RESAMPLER,),
        ),
    ),
    variant_from_shapes=variant_of,
    single_file_config=single_file_config,
    refused=refused,
    required_files=(
        "vae/config.json",
        "text_encoder/config.json",
        "tokenizer/tokenizer_config.json",
    ),
    guidance=12.0,
    depth_keys=(),
)
