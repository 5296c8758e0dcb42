"""Names of tensors as the makers of each family have them, after the modules of their code."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Weights = dict[str, Tensor]


def _both(name: str, theirs: str) -> dict[str, str]:
    return {f"{name}.{kind}": f"{theirs}.{kind}" for kind in ("weight", "bias")}


def wan(held: Weights) -> Weights:
    """WanModel of Wan-Video/Wan2.1, wan/modules/model.py."""
    names = {"scale_shift_table": "head.modulation"}
    names |= _both("patch_embedding", "patch_embedding") | _both("proj_out", "head.head")
    home = "condition_embedder"
    for ours, theirs in (
        ("time_embedder.linear_1", "time_embedding.0"),
        ("time_embedder.linear_2", "time_embedding.2"),
        ("text_embedder.linear_1", "text_embedding.0"),
        ("text_embedder.linear_2", "text_embedding.2"),
        ("time_proj", "time_projection.1"),
    ):
        names |= _both(f"{home}.{ours}", theirs)
    for n in range(2):
        block = f"blocks.{n}"
        names[f"{block}.scale_shift_table"] = f"{block}.modulation"
        names |= _both(f"{block}.norm2", f"{block}.norm3")
        names |= _both(f"{block}.ffn.net.0.proj", f"{block}.ffn.0")
        names |= _both(f"{block}.ffn.net.2", f"{block}.ffn.2")
        for ours, theirs in (("attn1", "self_attn"), ("attn2", "cross_attn")):
            for mine, their in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "o")):
                names |= _both(f"{block}.{ours}.{mine}", f"{block}.{theirs}.{their}")
            for norm in ("norm_q", "norm_k"):
                names[f"{block}.{ours}.{norm}.weight"] = f"{block}.{theirs}.{norm}.weight"
    assert names.keys() == held.keys()
    return {names[name]: tensor for name, tensor in held.items()}


def ltx(held: Weights) -> Weights:
    """Transformer3DModel of Lightricks/LTX-Video, ltx_video/models/transformers."""
    done = {}
    for name, tensor in held.items():
        head, _, rest = name.partition(".")
        theirs = {"proj_in": "patchify_proj", "time_embed": "adaln_single"}.get(head, head)
        rest = rest.replace("norm_q", "q_norm").replace("norm_k", "k_norm")
        done[f"{theirs}.{rest}" if rest else theirs] = tensor
    assert "transformer_blocks.0.attn1.q_norm.weight" in done
    assert "adaln_single.emb.timestep_embedder.linear_1.weight" in done
    return done


def cogvideox(held: Weights) -> Weights:
    """DiffusionTransformer of THUDM/CogVideo, sat/dit_video_concat.py, on SAT's transformer."""
    done: Weights = {}

    def move(ours: str, theirs: str) -> None:
        for kind in ("weight", "bias"):
            if f"{ours}.{kind}" in held:
                done[f"{theirs}.{kind}"] = held[f"{ours}.{kind}"]

    move("patch_embed.proj", "mixins.patch_embed.proj")
    move("patch_embed.text_proj", "mixins.patch_embed.text_proj")
    move("time_embedding.linear_1", "time_embed.0")
    move("time_embedding.linear_2", "time_embed.2")
    move("ofs_embedding.linear_1", "ofs_embed.0")
    move("ofs_embedding.linear_2", "ofs_embed.2")
    move("norm_final", "transformer.final_layernorm")
    move("norm_out.norm", "mixins.final_layer.norm_final")
    move("norm_out.linear", "mixins.final_layer.adaLN_modulation.1")
    move("proj_out", "mixins.final_layer.linear")
    for n in range(2):
        ours, theirs = f"transformer_blocks.{n}", f"transformer.layers.{n}"
        move(f"{ours}.norm1.norm", f"{theirs}.input_layernorm")
        move(f"{ours}.norm2.norm", f"{theirs}.post_attention_layernorm")
        move(f"{ours}.attn1.to_out.0", f"{theirs}.attention.dense")
        move(f"{ours}.ff.net.0.proj", f"{theirs}.mlp.dense_h_to_4h")
        move(f"{ours}.ff.net.2", f"{theirs}.mlp.dense_4h_to_h")
        move(f"{ours}.attn1.norm_q", f"mixins.adaln_layer.query_layernorm_list.{n}")
        move(f"{ours}.attn1.norm_k", f"mixins.adaln_layer.key_layernorm_list.{n}")
        for kind in ("weight", "bias"):
            done[f"{theirs}.attention.query_key_value.{kind}"] = torch.cat(
                [held[f"{ours}.attn1.to_{part}.{kind}"] for part in "qkv"]
            )
            # shift, scale, gate of the picture's attention, then of its perceptron; then the text's
            first = held[f"{ours}.norm1.linear.{kind}"].chunk(6)
            second = held[f"{ours}.norm2.linear.{kind}"].chunk(6)
            done[f"mixins.adaln_layer.adaLN_modulations.{n}.1.{kind}"] = torch.cat(
                [*first[:3], *second[:3], *first[3:], *second[3:]]
            )
    done["transformer.word_embeddings.embed_tokens.weight"] = torch.zeros(1, 4)
    done["mixins.pos_embed.freqs_sin"] = torch.zeros(3)
    return done


ORIGINAL: dict[str, tuple[str, Callable[[Weights], Weights]]] = {
    "cogvideox": ("model.diffusion_model.", cogvideox),
    "cogvideox-1.5": ("model.diffusion_model.", cogvideox),
    "wan": ("", wan),
    "ltx": ("model.diffusion_model.", ltx),
}
"""By the kinds of `tests.backbones.networks`: the usual prefix, and the names."""
