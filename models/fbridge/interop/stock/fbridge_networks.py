"""Calls of diffusers' video networks with latents (B, F, C, H, W), and encoding of prompts.

fbridge writes this file into the folders of models, beside fbridge_pipeline.py.

Part of fbridge; Apache License 2.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_WAN_TOKENS, _MINILM_TOKENS, _MINILM = 512, 32, 384  # of UMT5's prompts, of MiniLM's, their width
_LTX_SCALE = (8 / 25.0, 32, 32)  # seconds, rows and columns a latent pixel
_HUNYUAN_GUIDANCE = 6000.0  # of its distilled guidance
_COGVIDEOX_OFFSET = 2.0


class Prompt(NamedTuple):
    """Prompts as embeddings.

    Attributes:
        embeds: (B, L, D) of tokens, zero outside the mask.
        mask: (B, L) bool of real tokens.
        pooled: (B, D') of HunyuanVideo's second encoder; None of other models.
    """

    embeds: Tensor
    mask: Tensor
    pooled: Tensor | None = None

    def of_length(self, length: int) -> Tensor:
        """The embeddings cut or padded with zeros."""
        held = self.embeds[:, :length]
        return F.pad(held, (0, 0, 0, length - held.shape[1]))


def packed(rows: Tensor, mask: Tensor) -> Prompt:
    """Embeddings (B, L, D) of the real tokens alone, padded with zeros to the longest prompt."""
    real = [row[kept] for row, kept in zip(rows, mask, strict=True)]
    counts = torch.tensor([len(row) for row in real], device=mask.device)
    embeds = torch.nn.utils.rnn.pad_sequence(real, batch_first=True)
    return Prompt(embeds, torch.arange(embeds.shape[1], device=mask.device) < counts[:, None])


def answer(network: Any, video: Tensor, time: Tensor, prompt: Prompt) -> Tensor:
    """A network's output (B, F, C, H, W).

    Args:
        network: of a class in `_CALLS`.
        video: (B, F, C', H, W) its input, in its dtype.
        time: (B,) its own, or (B, F) where the first frame is the picture.
        prompt: of B videos.
    """
    return _CALLS[type(network).__name__](network, video, time, prompt)


def encode_pair(
    llama: tuple[Any, Any], clip: tuple[Any, Any], prompts: Sequence[str], limit: int, device: Any
) -> Prompt:
    """Prompts by HunyuanVideo's two encoders, each with its tokenizer."""
    from diffusers import HunyuanVideoPipeline

    encoders = HunyuanVideoPipeline(
        *llama, transformer=None, vae=None, scheduler=None, text_encoder_2=clip[0],
        tokenizer_2=clip[1],
    )  # fmt: skip
    rows, pooled, mask = encoders.encode_prompt(
        prompt=list(prompts), max_sequence_length=limit, device=device
    )
    return packed(rows.float(), mask.bool())._replace(pooled=pooled.float())


def _wan(network: Any, video: Tensor, time: Tensor, prompt: Prompt) -> Tensor:
    side = network.config.patch_size[1]
    tokens = _MINILM_TOKENS if network.config.text_dim == _MINILM else _WAN_TOKENS
    return network(
        hidden_states=video.transpose(1, 2),
        timestep=_of_tokens(time, video.shape[3] // side * (video.shape[4] // side)),
        encoder_hidden_states=prompt.of_length(tokens).to(video.dtype),
        return_dict=False,
    )[0].transpose(1, 2)


def _ltx(network: Any, video: Tensor, time: Tensor, prompt: Prompt) -> Tensor:
    frames, _, height, width = video.shape[1:]
    out = network(
        hidden_states=video.permute(0, 1, 3, 4, 2).flatten(1, 3),
        encoder_hidden_states=prompt.embeds.to(video.dtype),
        timestep=_of_tokens(time, height * width),
        encoder_attention_mask=prompt.mask.to(torch.int64),
        num_frames=frames, height=height, width=width, rope_interpolation_scale=_LTX_SCALE,
        return_dict=False,
    )[0]  # fmt: skip
    return out.unflatten(1, (frames, height, width)).permute(0, 1, 4, 2, 3)


def _hunyuan(network: Any, video: Tensor, time: Tensor, prompt: Prompt) -> Tensor:
    assert prompt.pooled is not None
    guided = network.config.guidance_embeds
    return network(
        hidden_states=video.transpose(1, 2),
        timestep=time,
        encoder_hidden_states=prompt.embeds.to(video.dtype),
        encoder_attention_mask=prompt.mask,
        pooled_projections=prompt.pooled.to(video.dtype),
        guidance=torch.full_like(time, _HUNYUAN_GUIDANCE) if guided else None,
        return_dict=False,
    )[0].transpose(1, 2)


def _cogvideox(network: Any, video: Tensor, time: Tensor, prompt: Prompt) -> Tensor:
    config = network.config
    before = -video.shape[1] % (config.patch_size_t or 1)  # 1.5 takes even numbers of frames
    video = torch.cat([video[:, :1].expand(-1, before, -1, -1, -1), video], 1)
    return network(
        hidden_states=video,
        encoder_hidden_states=prompt.of_length(config.max_text_seq_length).to(video.dtype),
        timestep=time,
        ofs=None if config.ofs_embed_dim is None else time.new_full((1,), _COGVIDEOX_OFFSET),
        image_rotary_emb=_cogvideox_rotary(config, video),
        return_dict=False,
    )[0][:, before:]


def _cogvideox_rotary(config: Any, video: Tensor) -> Any:
    if not config.use_rotary_positional_embeddings:
        return None
    from diffusers.models.embeddings import get_3d_rotary_pos_embed
    from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid

    patch, together = config.patch_size, config.patch_size_t
    grid = (video.shape[3] // patch, video.shape[4] // patch)
    trained = (config.sample_width // patch, config.sample_height // patch)
    placed: dict[str, Any] = {"crops_coords": None, "grid_type": "slice", "max_size": trained[::-1]}
    if together is None:
        placed = {"crops_coords": get_resize_crop_region_for_grid(grid, *trained)}
    return get_3d_rotary_pos_embed(
        embed_dim=config.attention_head_dim,
        grid_size=grid,
        temporal_size=video.shape[1] // (together or 1),
        device=video.device,
        **placed,
    )


def _of_tokens(time: Tensor, tokens: int) -> Tensor:
    """Times (B,) as they are; times (B, F) of frames as one a token."""
    return time if time.ndim == 1 else time.repeat_interleave(tokens, 1)


_CALLS = {
    "WanTransformer3DModel": _wan,
    "SkyReelsV2Transformer3DModel": _wan,
    "LTXVideoTransformer3DModel": _ltx,
    "HunyuanVideoTransformer3DModel": _hunyuan,
    "CogVideoXTransformer3DModel": _cogvideox,
}
"""By the class of the network."""
