"""The autoencoders of Wan 2.1 and 2.2 in single files, under the names of Wan's own code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fbridge.files.key_mapping import Weights, count_modules

Shapes = Mapping[str, tuple[int, ...]]


def convert(weights: Weights) -> Weights:
    """Version 2.1's weights under diffusers' names."""
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    converted: Weights = convert_wan_vae_to_diffusers(weights)
    return converted


def config(shapes: Shapes) -> dict[str, Any]:
    """Of version 2.1: levels of two residual blocks and, but for the last, a downsampling layer.

    Args:
        shapes: under diffusers' names.

    Raises:
        KeyError: one is missing.
    """
    first = "encoder.down_blocks."
    levels = (count_modules(shapes, first) + 1) // 3
    base = shapes["encoder.conv_in.weight"][0]
    rows = [shapes[f"{first}{3 * n}.conv1.weight"][0] for n in range(levels)]
    return {
        "_class_name": "AutoencoderKLWan",
        "base_dim": base,
        "z_dim": shapes["post_quant_conv.weight"][0],
        "dim_mult": [width // base for width in rows],
        "temperal_downsample": [
            f"{first}{3 * n + 2}.time_conv.weight" in shapes for n in range(levels - 1)
        ],
    }


_MEAN22 = (
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813,
    0.0891, 0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108,
    -0.2158, 0.2502, -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313,
    -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944,
    0.3573, -0.0548, -0.1681, -0.0667,
)  # fmt: skip
_STD22 = (
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
    0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
    0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
    0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
)  # fmt: skip
"""Mean and deviation of each channel of the latents, as Wan 2.2's own code has them."""
NAMES22 = {
    r"^conv1\.": "quant_conv.",
    r"^conv2\.": "post_quant_conv.",
    r"^(en|de)coder\.conv1\.": r"\1coder.conv_in.",
    r"\.middle\.0\.": ".mid_block.resnets.0.",
    r"\.middle\.1\.": ".mid_block.attentions.0.",
    r"\.middle\.2\.": ".mid_block.resnets.1.",
    r"\.head\.0\.": ".norm_out.",
    r"\.head\.2\.": ".conv_out.",
    r"\.(down|up)samples\.(\d+)\.\1samples\.(\d+)\.(?=residual|shortcut)": (
        r".\1_blocks.\2.resnets.\3."
    ),
    r"\.(down|up)samples\.(\d+)\.\1samples\.\d+\.": r".\1_blocks.\2.\1sampler.",
    r"\.residual\.0\.": ".norm1.",
    r"\.residual\.2\.": ".conv1.",
    r"\.residual\.3\.": ".norm2.",
    r"\.residual\.6\.": ".conv2.",
    r"\.shortcut\.": ".conv_shortcut.",
}


def config22(shapes: Shapes) -> dict[str, Any]:
    """Of version 2.2, otherwise as `config`."""
    first = "encoder.down_blocks."
    levels = count_modules(shapes, first)
    base, pixels = shapes["encoder.conv_in.weight"][:2]
    rows = [shapes[f"{first}{n}.resnets.0.conv2.weight"][0] for n in range(levels)]
    return {
        "_class_name": "AutoencoderKLWan",
        "base_dim": base,
        "decoder_base_dim": shapes["decoder.norm_out.gamma"][0],
        "z_dim": shapes["post_quant_conv.weight"][0],
        "dim_mult": [width // base for width in rows],
        "num_res_blocks": count_modules(shapes, f"{first}0.resnets."),
        "temperal_downsample": [
            f"{first}{n}.downsampler.time_conv.weight" in shapes for n in range(levels - 1)
        ],
        "is_residual": True,
        "patch_size": 2,
        "in_channels": pixels,
        "out_channels": pixels,
        "scale_factor_spatial": 2**levels,
        "latents_mean": list(_MEAN22),
        "latents_std": list(_STD22),
    }
