"""Words to videos with the file that ships, and a contact sheet of them.

    python -m examples.t2v.sample models/fbridge/pretrained/t2v.safetensors samples/
    python -m examples.t2v.sample .../t2v.safetensors samples/ -p "a red star moves left" --seed 3

Each row of samples/sheet.png is a video, its frames from left to right, under its caption. Without
a prompt, one is shown for every verb.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import CogVideoXDDIMScheduler
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from safetensors import safe_open
from torch import Tensor

from fbridge.data.shape_motions import VERBS
from fbridge.data.shapes import COLOURS, ROUND, SHAPES, draw_clip
from fbridge.data.video_files import write_video
from fbridge.loaders.text_encoder import load_text_encoder
from fbridge.words.encoder import PromptEncoder

LINE = 14
"""Height of a caption in the sheet, in pixels."""


def load_base(path: Path) -> tuple[Any, Any, dict[str, Any]]:
    """Transformer and autoencoder in float32, and the header."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["fbridge"])
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    models = []
    for part in ("transformer", "vae"):
        numbers = dict(header[part])
        model = getattr(diffusers, numbers.pop("_class_name"))(**numbers)
        own = {k.removeprefix(f"{part}."): v for k, v in tensors.items() if k.startswith(part)}
        model.load_state_dict(own)
        models.append(model.eval())
    return models[0], models[1], header


def embed(encode: PromptEncoder, prompts: list[str], tokens: int) -> Tensor:
    """(B, tokens, D): each prompt's token embeddings, cut or padded with zeros."""
    text, mask = encode(prompts)
    text = (text * mask[..., None])[:, :tokens]
    return torch.nn.functional.pad(text, (0, 0, 0, tokens - text.shape[1]))


@torch.no_grad()
def sample(
    transformer: Any,
    text: Tensor,
    empty: Tensor,
    *,
    frames: int,
    steps: int,
    scale: float,
    seed: int,
) -> Tensor:
    """Latents (B, F, C, h, w) by DDIM from pure noise with classifier-free guidance."""
    config = transformer.config
    shape = (frames, config.in_channels, config.sample_height, config.sample_width)
    draws = [torch.Generator().manual_seed(seed + row) for row in range(len(text))]
    latents = torch.stack([torch.randn(shape, generator=draw) for draw in draws])
    scheduler = CogVideoXDDIMScheduler(
        snr_shift_scale=1.0,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        clip_sample=False,
        set_alpha_to_one=True,
    )
    scheduler.set_timesteps(steps)
    prompts = torch.cat([text, empty.expand_as(text)])
    for time in scheduler.timesteps:
        v = transformer(latents.repeat(2, 1, 1, 1, 1), prompts, time.expand(len(prompts))).sample
        guided, without = v.chunk(2)
        latents = scheduler.step(without + scale * (guided - without), time, latents).prev_sample
    return latents


@torch.no_grad()
def decode(vae: Any, latents: Tensor) -> NDArray[np.uint8]:
    """(B, F, H, W, 3) pixels of latents."""
    pixels = vae.decode(latents.flatten(0, 1) / vae.config.scaling_factor).sample
    shown = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
    return shown.unflatten(0, latents.shape[:2]).numpy()


def sheet(videos: NDArray[np.uint8], captions: list[str]) -> Image.Image:
    """Frames from left to right, captions above them."""
    number, frames, height, width = videos.shape[:4]
    page = Image.new("RGB", (frames * width, number * (height + LINE)), "white")
    for row, (video, caption) in enumerate(zip(videos, captions, strict=True)):
        top = row * (height + LINE)
        ImageDraw.Draw(page).text((2, top + 1), caption, fill="black")
        page.paste(Image.fromarray(np.concatenate(list(video), axis=1)), (0, top + LINE))
    return page


def usual_prompts() -> list[str]:
    """One for each verb, with colours and shapes in turn."""
    colours, found = list(COLOURS), []
    for number, verb in enumerate(VERBS):
        shapes = [s for s in SHAPES if verb.name != "spin" or s not in ROUND]
        clip = draw_clip(
            0,
            number,
            shape=shapes[number % len(shapes)],
            colour=colours[3 * number % len(colours)],
            verb=verb.name,
        )
        found.append(clip.caption)
    return found


def main() -> None:
    """Sample, decode, write a clip each and the sheet."""
    parser = argparse.ArgumentParser()
    parser.add_argument("base", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-p", "--prompt", action="append")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    transformer, vae, header = load_base(args.base)
    prompts = args.prompt or usual_prompts()
    encode = load_text_encoder(header["text_encoder"])
    text = embed(encode, [*prompts, ""], header["transformer"]["max_text_seq_length"])
    latents = sample(
        transformer,
        text[:-1],
        text[-1:],
        frames=header["frames"][0],
        steps=args.steps,
        scale=args.guidance,
        seed=args.seed,
    )
    videos = decode(vae, latents)
    args.folder.mkdir(parents=True, exist_ok=True)
    for number, video in enumerate(videos):
        write_video(video, args.folder / f"{number:02d}.mp4", header["fps"])
    sheet(videos, prompts).save(args.folder / "sheet.png")


if __name__ == "__main__":
    main()
