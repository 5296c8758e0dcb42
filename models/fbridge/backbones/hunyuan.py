"""HunyuanVideo's transformer of diffusers as a backbone.

Prompts come from two encoders: row 0 is CLIP's pooled embedding, padded with zeros to the width of
the rows that follow, which are LLaMA's. Time is 1000 times the flow's. Guidance was distilled into
the network, which takes its scale as an input.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fbridge.backbones.adapter import DiffusersBackbone, masked_prompt
from fbridge.backbones.checkpoint_layout import CheckpointLayout, Variant
from fbridge.backbones.family import Family, VideoDefaults
from fbridge.backbones.noise_schedules import flow_noise
from fbridge.errors import CheckpointError
from fbridge.files.key_mapping import Weights, rename_keys, split_layers, swap_halves
from fbridge.types import Condition

GUIDANCE = 6.0
"""Scale of the distilled guidance, as in diffusers' pipeline."""


class HunyuanBackbone(DiffusersBackbone):
    """A `HunyuanVideoTransformer3DModel`; predicts the flow's velocity."""

    def __init__(self, transformer: Any) -> None:
        if transformer.config.image_condition_type is not None:
            raise CheckpointError(
                "this transformer is of HunyuanVideo's image-to-video model "
                f"({transformer.config.image_condition_type}); use the text-to-video model"
            )
        super().__init__(transformer)

    def predict(self, video: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """Velocity (B, C, F, H, W)."""
        config = self.transformer.config
        prompts = masked_prompt(condition).to(video.dtype)
        scale = time.new_full((len(time),), 1000 * GUIDANCE) if config.guidance_embeds else None
        out: Tensor = self.transformer(
            hidden_states=video,
            timestep=time,
            encoder_hidden_states=prompts[:, 1:],
            encoder_attention_mask=condition.prompt_mask[:, 1:],
            pooled_projections=prompts[:, 0, : config.pooled_projection_dim],
            guidance=scale,
            return_dict=False,
        )[0]
        return out


_PROMPT = "context_embedder"
_JOINT = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
_COMFY_NAMES = {
    r"_mod\.lin\.": "_mod.linear.",
    r"\.modulation\.lin\.": ".modulation.linear.",
    r"_attn\.(qkv|proj)\.": r"_attn_\1.",
    r"((?:img|txt)_mlp|blocks\.\d+\.mlp)\.0\.": r"\1.fc1.",
    r"((?:img|txt)_mlp|blocks\.\d+\.mlp)\.2\.": r"\1.fc2.",
    r"_attn\.norm\.(query|key)_norm\.scale$": r"_attn_\1_norm.weight",
    r"^(single_blocks\.\d+)\.norm\.(query|key)_norm\.scale$": r"\1.\2_norm.weight",
    r"query_norm\.weight$": "q_norm.weight",
    r"key_norm\.weight$": "k_norm.weight",
    r"^(time_in|guidance_in|txt_in\.t_embedder)\.in_layer\.": r"\1.mlp.0.",
    r"^(time_in|guidance_in|txt_in\.t_embedder)\.out_layer\.": r"\1.mlp.2.",
    r"^(txt_in\.c_embedder)\.in_layer\.": r"\1.linear_1.",
    r"^(txt_in\.c_embedder)\.out_layer\.": r"\1.linear_2.",
}
"""ComfyUI's names, of what it saves itself and of LoRAs that it extracts; to the makers'."""
_NAMES = {
    r"^img_in\.": "x_embedder.",
    r"^time_in\.mlp\.0\.": "time_text_embed.timestep_embedder.linear_1.",
    r"^time_in\.mlp\.2\.": "time_text_embed.timestep_embedder.linear_2.",
    r"^guidance_in\.mlp\.0\.": "time_text_embed.guidance_embedder.linear_1.",
    r"^guidance_in\.mlp\.2\.": "time_text_embed.guidance_embedder.linear_2.",
    r"^vector_in\.in_layer\.": "time_text_embed.text_embedder.linear_1.",
    r"^vector_in\.out_layer\.": "time_text_embed.text_embedder.linear_2.",
    r"^txt_in\.input_embedder\.": "context_embedder.proj_in.",
    r"^txt_in\.t_embedder\.mlp\.0\.": f"{_PROMPT}.time_text_embed.timestep_embedder.linear_1.",
    r"^txt_in\.t_embedder\.mlp\.2\.": f"{_PROMPT}.time_text_embed.timestep_embedder.linear_2.",
    r"^txt_in\.c_embedder\.": f"{_PROMPT}.time_text_embed.text_embedder.",
    r"^txt_in\.individual_token_refiner\.blocks\.": f"{_PROMPT}.token_refiner.refiner_blocks.",
    r"\.self_attn_qkv\.": ".attn.to_qkv.",
    r"\.self_attn_proj\.": ".attn.to_out.0.",
    r"^(context_embedder.*)\.adaLN_modulation\.1\.": r"\1.norm_out.linear.",
    r"^double_blocks\.": "transformer_blocks.",
    r"\.img_mod\.linear\.": ".norm1.linear.",
    r"\.txt_mod\.linear\.": ".norm1_context.linear.",
    r"\.img_attn_qkv\.": ".attn.to_qkv.",
    r"\.txt_attn_qkv\.": ".attn.add_qkv.",
    r"\.img_attn_([qk])_norm\.": r".attn.norm_\1.",
    r"\.txt_attn_([qk])_norm\.": r".attn.norm_added_\1.",
    r"\.img_attn_proj\.": ".attn.to_out.0.",
    r"\.txt_attn_proj\.": ".attn.to_add_out.",
    r"\.txt_mlp\.fc1\.": ".ff_context.net.0.proj.",
    r"\.txt_mlp\.fc2\.": ".ff_context.net.2.",
    r"\.(img_)?mlp\.fc1\.": ".ff.net.0.proj.",
    r"\.(img_)?mlp\.fc2\.": ".ff.net.2.",
    r"^single_blocks\.": "single_transformer_blocks.",
    r"\.modulation\.linear\.": ".norm.linear.",
    r"\.linear2\.": ".proj_out.",
    r"^(single.*)\.([qk])_norm\.": r"\1.attn.norm_\2.",
    r"^final_layer\.linear\.": "proj_out.",
    r"^final_layer\.adaLN_modulation\.1\.": "norm_out.linear.",
}


def _from_original(weights: Weights) -> Weights:
    """From the names of the original code, or ComfyUI's."""
    theirs = rename_keys(weights, _COMFY_NAMES)
    named = split_layers(rename_keys(theirs, _NAMES), "to_qkv", ("to_q", "to_k", "to_v"))
    named = split_layers(named, "add_qkv", ("add_q_proj", "add_k_proj", "add_v_proj"))
    done: Weights = {}
    for name, tensor in named.items():
        block, is_joint, kind = name.partition(".linear1.")
        if not is_joint:
            done[name] = tensor
            continue
        weight = named.get(f"{block}.linear1.weight")  # a LoRA may have a bias alone
        width = len(tensor) // 7 if weight is None else weight.shape[1]
        parts = tensor.split([width, width, width, len(tensor) - 3 * width])
        for part, piece in zip(_JOINT, parts, strict=True):
            done[f"{block}.{part}.{kind}"] = piece.contiguous()
    return swap_halves(done, "norm_out.linear")


FAMILY = Family(
    name="hunyuan",
    transformer="HunyuanVideoTransformer3DModel",
    adapt=HunyuanBackbone,
    latents=HunyuanBackbone.latent_channels,
    prompt_width=lambda transformer: int(transformer.config.text_embed_dim),
    patch=HunyuanBackbone.patch,
    input_layer="x_embedder.proj",
    prediction="flow",
    guidance=1.0,
    depth_keys=("num_layers", "num_single_layers"),
    pipelines=("HunyuanVideoPipeline",),
    noise_schedule=flow_noise,
    attention_mask=True,
    video=lambda _: VideoDefaults([129, 5, 129, 4], 24.0, (160, 90)),
    layouts=(
        CheckpointLayout(
            "diffusers",
            (
                "x_embedder.proj.weight",
                "context_embedder.token_refiner.refiner_blocks.0.attn.to_q.weight",
                "single_transformer_blocks.0.proj_mlp.weight",
            ),
        ),
        CheckpointLayout(
            "original",
            (
                "img_in.proj.weight",
                "txt_in.individual_token_refiner.blocks.0.norm1.weight",
                "single_blocks.0.linear1.weight",
            ),
            _from_original,
            compounds=(
                "img_in",
                "txt_in",
                "time_in",
                "vector_in",
                "guidance_in",
                "in_layer",
                "out_layer",
                "input_embedder",
                "t_embedder",
                "c_embedder",
                "linear_1",
                "linear_2",
                "individual_token_refiner",
                "self_attn_qkv",
                "self_attn_proj",
                "adaLN_modulation",
                "double_blocks",
                "single_blocks",
                "img_mod",
                "txt_mod",
                "img_mlp",
                "txt_mlp",
                "img_attn_qkv",
                "txt_attn_qkv",
                "img_attn_proj",
                "txt_attn_proj",
                "img_attn_q_norm",
                "img_attn_k_norm",
                "txt_attn_q_norm",
                "txt_attn_k_norm",
                "q_norm",
                "k_norm",
                "final_layer",
            ),
        ),
    ),
    variants=(Variant("HunyuanVideo 13B", ("hunyuanvideo-community/HunyuanVideo",), {}),),
    required_files=(
        *Family.required_files,
        "text_encoder_2/config.json",
        "tokenizer_2/tokenizer_config.json",
    ),
)
