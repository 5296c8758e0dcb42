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


def hunyuan(held: Weights) -> Weights:  # noqa: C901 - one name after another
    """HYVideoDiffusionTransformer of Tencent/HunyuanVideo, hyvideo/modules."""
    done: Weights = {}

    def move(ours: str, theirs: str, kinds: tuple[str, ...] = ("weight", "bias")) -> None:
        for kind in kinds:
            done[f"{theirs}.{kind}"] = held[f"{ours}.{kind}"]

    def fuse(ours: tuple[str, ...], theirs: str) -> None:
        for kind in ("weight", "bias"):
            done[f"{theirs}.{kind}"] = torch.cat([held[f"{part}.{kind}"] for part in ours])

    move("x_embedder.proj", "img_in.proj")
    for ours, theirs in (("timestep", "time_in"), ("guidance", "guidance_in")):
        move(f"time_text_embed.{ours}_embedder.linear_1", f"{theirs}.mlp.0")
        move(f"time_text_embed.{ours}_embedder.linear_2", f"{theirs}.mlp.2")
    move("time_text_embed.text_embedder.linear_1", "vector_in.in_layer")
    move("time_text_embed.text_embedder.linear_2", "vector_in.out_layer")
    words = "context_embedder"
    move(f"{words}.proj_in", "txt_in.input_embedder")
    for layer, place in ((1, 0), (2, 2)):
        home = f"{words}.time_text_embed"
        move(f"{home}.timestep_embedder.linear_{layer}", f"txt_in.t_embedder.mlp.{place}")
        move(f"{home}.text_embedder.linear_{layer}", f"txt_in.c_embedder.linear_{layer}")
    ours, theirs = (
        f"{words}.token_refiner.refiner_blocks.0",
        "txt_in.individual_token_refiner.blocks.0",
    )
    for norm in ("norm1", "norm2"):
        move(f"{ours}.{norm}", f"{theirs}.{norm}")
    fuse(tuple(f"{ours}.attn.to_{part}" for part in "qkv"), f"{theirs}.self_attn_qkv")
    move(f"{ours}.attn.to_out.0", f"{theirs}.self_attn_proj")
    move(f"{ours}.ff.net.0.proj", f"{theirs}.mlp.fc1")
    move(f"{ours}.ff.net.2", f"{theirs}.mlp.fc2")
    move(f"{ours}.norm_out.linear", f"{theirs}.adaLN_modulation.1")
    depth = len({name.split(".")[1] for name in held if name.startswith("transformer_blocks.")})
    for n in range(depth):
        ours, theirs = f"transformer_blocks.{n}", f"double_blocks.{n}"
        for side, mine, norm, add in (
            ("img", "", "norm", "to_"), ("txt", "_context", "norm_added", "add_")
        ):  # fmt: skip
            move(f"{ours}.norm1{mine}.linear", f"{theirs}.{side}_mod.linear")
            ends = "" if side == "img" else "_proj"
            fuse(
                tuple(f"{ours}.attn.{add}{part}{ends}" for part in "qkv"),
                f"{theirs}.{side}_attn_qkv",
            )
            for part in "qk":
                move(f"{ours}.attn.{norm}_{part}", f"{theirs}.{side}_attn_{part}_norm", ("weight",))
            out = "to_out.0" if side == "img" else "to_add_out"
            move(f"{ours}.attn.{out}", f"{theirs}.{side}_attn_proj")
            move(f"{ours}.ff{mine}.net.0.proj", f"{theirs}.{side}_mlp.fc1")
            move(f"{ours}.ff{mine}.net.2", f"{theirs}.{side}_mlp.fc2")
    single = len({n.split(".")[1] for n in held if n.startswith("single_transformer_blocks.")})
    for n in range(single):
        ours, theirs = f"single_transformer_blocks.{n}", f"single_blocks.{n}"
        parts = tuple(
            f"{ours}.{part}" for part in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
        )
        fuse(parts, f"{theirs}.linear1")
        move(f"{ours}.proj_out", f"{theirs}.linear2")
        move(f"{ours}.norm.linear", f"{theirs}.modulation.linear")
        for part in "qk":
            move(f"{ours}.attn.norm_{part}", f"{theirs}.{part}_norm", ("weight",))
    move("proj_out", "final_layer.linear")
    for kind in ("weight", "bias"):  # shift, scale there; scale, shift here
        scale, shift = held[f"norm_out.linear.{kind}"].chunk(2)
        done[f"final_layer.adaLN_modulation.1.{kind}"] = torch.cat([shift, scale])
    return done


COMFY_HUNYUAN = {
    "txt_in.t_embedder.mlp.0": "txt_in.t_embedder.in_layer",
    "txt_in.t_embedder.mlp.2": "txt_in.t_embedder.out_layer",
    "txt_in.c_embedder.linear_1": "txt_in.c_embedder.in_layer",
    "txt_in.c_embedder.linear_2": "txt_in.c_embedder.out_layer",
    "_in.mlp.0": "_in.in_layer",
    "_in.mlp.2": "_in.out_layer",
    "_mod.linear": "_mod.lin",
    ".modulation.linear": ".modulation.lin",
    "_attn_qkv": "_attn.qkv",
    "_attn_proj": "_attn.proj",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
    "_attn_q_norm.weight": "_attn.norm.query_norm.scale",
    "_attn_k_norm.weight": "_attn.norm.key_norm.scale",
    ".q_norm.weight": ".norm.query_norm.scale",
    ".k_norm.weight": ".norm.key_norm.scale",
}
"""Parts of Tencent's names, and what ComfyUI's network has in their place."""


def comfy_hunyuan(name: str) -> str:
    """ComfyUI's name of a tensor or layer that Tencent calls so."""
    for theirs, comfy in COMFY_HUNYUAN.items():
        name = name.replace(theirs, comfy)
    return name


ORIGINAL: dict[str, tuple[str, Callable[[Weights], Weights]]] = {
    "cogvideox": ("model.diffusion_model.", cogvideox),
    "cogvideox-1.5": ("model.diffusion_model.", cogvideox),
    "wan": ("", wan),
    "ltx": ("model.diffusion_model.", ltx),
    "hunyuan": ("", hunyuan),
}
"""By the kinds of `tests.backbones.networks`: the usual prefix, and the names."""
