"""A bridge model that diffusers runs alone, without fbridge.

fbridge writes this file, and the three that it imports, into the folders of models that it can run:

    pipe = DiffusionPipeline.from_pretrained(
        "DIR", custom_pipeline="DIR/fbridge_pipeline.py", trust_remote_code=True
    )
    generator = torch.Generator().manual_seed(7)
    video = pipe(Image.open("cat.jpg"), "a cat jumps", generator=generator).frames[0]

It gives the frames of fbridge's sampler "ode" with the same seed. Of a bridge's state
x = data x_0 + prior x_1 + noise eps, what is left without the prior is a state of flow matching,

    z = (x - prior x_1) / (data + noise) = (1 - s) x_0 + s eps
    s = noise / (data + noise)

and the ODE's step of first order is Euler's in s. So FlowMatchEulerDiscreteScheduler samples it;
the network is given the prior, which is the still picture's video, in further input channels.

Part of fbridge; Apache License 2.0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from diffusers.utils import BaseOutput
from diffusers.video_processor import VideoProcessor
from PIL import Image
from torch import Tensor

from .fbridge_networks import Prompt, answer, encode_pair, packed
from .fbridge_pixels import (
    decoded,
    encoded,
    fitted,
    picture_latents,
    spatial_stride,
    upright,
    video_size,
)
from .fbridge_times import bridge_times, network_times, ratios

FORMAT = 1
"""Of the numbers in model_index.json under "bridge"."""


@dataclass
class StockBridgeOutput(BaseOutput):  # type: ignore[misc]
    """Videos: lists of pictures, an array (B, F, H, W, 3), or latents (B, F, C, H, W)."""

    frames: Any


class StockBridgePipeline(DiffusionPipeline):  # type: ignore[misc]
    """From pictures and prompts to videos; see the top of this file.

    Args:
        transformer: the network, with input channels for the prior.
        vae, text_encoder, tokenizer, text_encoder_2, tokenizer_2: the text-to-video model's own.
        transformer_2: of a pair of networks the one for little noise; else None.
        bridge: the numbers of the bridge.
        frames: default, minimum, maximum and step of the number of frames.
        fps: frames per second of its training videos.
        sizes: (width, height) of training; None allows any.
        scheduler: fbridge's, in whose place is FlowMatchEulerDiscreteScheduler.
        codec, prior, image_encoder, classes, start_from, reading, world: not used.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->transformer->transformer_2->vae"
    _optional_components = ["text_encoder_2", "tokenizer_2", "transformer_2"]  # noqa: RUF012

    def __init__(  # noqa: PLR0913 - the keys of model_index.json
        self,
        transformer: Any,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        text_encoder_2: Any = None,
        tokenizer_2: Any = None,
        transformer_2: Any = None,
        bridge: Any = None,
        frames: Any = (16, 2, 64, 1),
        fps: float = 8.0,
        sizes: Any = None,
        scheduler: Any = None,
        codec: Any = None,
        prior: Any = None,
        image_encoder: Any = None,
        classes: Any = None,
        start_from: Any = None,
        reading: Any = None,
        world: Any = None,
    ) -> None:
        super().__init__()
        if (bridge or {}).get("format") != FORMAT:
            raise ValueError(f"model_index.json: no bridge of format {FORMAT}; export it again")
        self.register_modules(
            transformer=transformer, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer,
            text_encoder_2=text_encoder_2, tokenizer_2=tokenizer_2, transformer_2=transformer_2,
        )  # fmt: skip
        self.register_to_config(bridge=bridge, frames=list(frames), fps=fps, sizes=sizes)
        self.flow = FlowMatchEulerDiscreteScheduler(shift=1.0)
        self.video_processor = VideoProcessor()

    @torch.no_grad()
    def __call__(  # noqa: PLR0913 - as of diffusers' pipelines
        self,
        image: Image.Image | Sequence[Image.Image],
        prompt: str | Sequence[str],
        negative_prompt: str | Sequence[str] = "",
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        num_inference_steps: int | None = None,
        strength: float | None = None,
        guidance_scale: float | None = None,
        guidance_scale_2: float | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """Make one video for each picture and prompt; single ones are used for all videos.

        Args:
            image: cropped and resized to the video's size.
            prompt: text.
            negative_prompt: for guidance.
            height: of the videos; None: that of a size of training, or like the picture's.
            width: likewise.
            num_frames: None: the model's default.
            num_inference_steps: None: likewise.
            strength: bridge time at which sampling starts; 1 is the whole bridge; None: likewise.
            guidance_scale: of the prompt; 1 is none; None: likewise.
            guidance_scale_2: of the second network of a pair; None: `guidance_scale`.
            generator: of the CPU; several, one a video, or one for all.
            output_type: "pil", "np", "pt" or "latent".
            return_dict: False: a tuple.

        Raises:
            ValueError: the model cannot make such a video.
        """
        bridge = self.config.bridge
        images, prompts, negatives = _columns(image, prompt, negative_prompt)
        times = bridge_times(
            bridge,
            bridge["steps"] if num_inference_steps is None else num_inference_steps,
            bridge["strength"] if strength is None else strength,
        )
        count = self._frame_count(num_frames)
        scales = self._scales(guidance_scale, guidance_scale_2)
        pictures = self._pictures(images, width, height)
        picture = picture_latents(self.vae, pictures)
        prior = encoded(self.vae, pictures[:, None].expand(-1, count, -1, -1, -1))
        branches = [self.encode_prompt(prompts)]
        if scales != (1, 1):
            branches.append(self.encode_prompt(negatives))
        noise = _noise(prior, generator)
        z = self._sampled(times, picture, prior, noise, branches, scales)
        self.maybe_free_model_hooks()
        frames: Any = z
        if output_type != "latent":
            frames = self.video_processor.postprocess_video(
                decoded(self.vae, z), output_type=output_type
            )
        return StockBridgeOutput(frames=frames) if return_dict else (frames,)

    def encode_prompt(self, prompts: Sequence[str]) -> Prompt:
        """Prompts as this model's family encodes them."""
        limit, padded, keep_padding, pair, pad_token = self.config.bridge["reading"]
        device = self._execution_device
        if pair:
            llama = (self.text_encoder, self.tokenizer)
            clip = (self.text_encoder_2, self.tokenizer_2)
            return encode_pair(llama, clip, prompts, limit, device)
        tokens = self.tokenizer(
            list(prompts), padding="max_length" if padded else True, truncation=True,
            max_length=limit, return_tensors="pt",
        )  # fmt: skip
        ids, mask = tokens["input_ids"], tokens["attention_mask"].bool()
        if pad_token is not None:
            ids[~mask] = pad_token
        shown = {} if padded else {"attention_mask": mask.to(device, torch.int64)}
        hidden = self.text_encoder(input_ids=ids.to(device), **shown).last_hidden_state.float()
        return packed(hidden, (torch.ones_like(mask) if keep_padding else mask).to(device))

    def _sampled(
        self, times: Any, picture: Tensor, prior: Tensor, noise: Tensor, branches: list[Prompt],
        scales: tuple[float, float],
    ) -> Tensor:  # fmt: skip
        """Latents (B, F, C, H, W) float32 at the end of the bridge.

        Args:
            times: of the bridge, decreasing.
            picture: (B, C, H, W).
            prior: (B, F, C, H, W).
            noise: likewise.
            branches: the prompts and, for guidance, the negative ones.
            scales: guidance by the prompt, of the network and of the second one.
        """
        bridge = self.config.bridge
        ratio = ratios(bridge, times)
        sigmas, own_times = 1 / (1 + ratio), network_times(bridge, ratio)
        self.flow.set_timesteps(sigmas=sigmas)
        z = (1 - float(sigmas[0])) * prior + float(sigmas[0]) * noise
        for sigma, time, step in zip(
            sigmas.tolist(), own_times.tolist(), self.progress_bar(self.flow.timesteps), strict=True
        ):
            network, scale = self.transformer, scales[0]
            if bridge["boundary"] is not None and time < bridge["boundary"] * (1 - 1e-9):
                network, scale = self.transformer_2, scales[1]
            given = (network, z, prior, picture, sigma, time)
            flow = self._velocity(*given, branches[0])
            if scale != 1:
                flow = torch.lerp(self._velocity(*given, branches[1]), flow, scale)
            if bridge["first_frame"] == "exact":  # the estimate of x_0 is the picture there
                flow[:, 0] = (z[:, 0] - picture) / sigma
            z = self.flow.step(flow, step, z, return_dict=False)[0]
        if bridge["first_frame"] == "exact":
            z[:, 0] = picture
        return z

    def _velocity(
        self, network: Any, z: Tensor, prior: Tensor, picture: Tensor, sigma: float, time: float,
        prompt: Prompt,
    ) -> Tensor:  # fmt: skip
        """The flow's velocity eps - x_0 at the state z, float32, by a network at its own time."""
        is_vector = self.config.bridge["prediction"] == "aligned-v"
        length = math.hypot(1 - sigma, sigma) if is_vector else 1.0
        latent, times = z / length, z.new_full((len(z),), time)
        repeated = picture[:, None].expand_as(z)
        if self.config.bridge["image_input"] != "bridge":  # the picture, clean and at time 0
            latent = torch.cat([repeated[:, :1], latent[:, 1:]], 1)
            times = times[:, None].repeat(1, z.shape[1])
            times[:, 0] = 0
        parts = [latent, prior, repeated][: network.config.in_channels // z.shape[2]]
        out = answer(network, torch.cat(parts, 2).to(network.dtype), times, prompt).to(z)
        if not is_vector:
            return out
        signal, noise = (1 - sigma) / length, sigma / length
        return (noise - signal) * latent + (signal + noise) * out

    def _scales(self, first: float | None, second: float | None) -> tuple[float, float]:
        bridge = self.config.bridge
        if second is not None and bridge["boundary"] is None:
            raise ValueError(f"guidance_scale_2 {second:g}: this model has one network")
        own = bridge["guidance_scale"] if first is None else first
        other = bridge["guidance_scale_2"] if first is None else None
        return own, next(scale for scale in (second, other, own) if scale is not None)

    def _frame_count(self, wanted: int | None) -> int:
        default, least, most, step = self.config.frames
        count = default if wanted is None else wanted
        if not least <= count <= most or (count - least) % step:
            raise ValueError(
                f"num_frames {count}: this model makes {least} to {most} frames, in steps of {step}"
            )
        return int(count)

    def _pictures(
        self, images: Sequence[Image.Image], width: int | None, height: int | None
    ) -> Tensor:
        """(B, 3, H, W) in [0, 1], of one size."""
        spatial, patch = spatial_stride(self.vae), self.transformer.config.patch_size
        step = spatial * (patch if isinstance(patch, int) else patch[1])
        whole = [upright(image) for image in images]
        if width is None or height is None:
            if (width is None) != (height is None):
                raise ValueError("give both width and height, or neither")
            sizes = {video_size(p.size, self.config.sizes, spatial, step) for p in whole}
            if len(sizes) > 1:
                raise ValueError("the pictures' videos have several sizes; give width and height")
            width, height = sizes.pop()
        elif width % step or height % step:
            raise ValueError(f"size {width}x{height}: sides must be multiples of {step}")
        pixels = torch.stack([fitted(picture, (width, height)) for picture in whole])
        return pixels.to(self._execution_device)


def _columns(*given: Any) -> list[list[Any]]:
    """Pictures, prompts and negative prompts, as many of each."""
    columns = [[one] if isinstance(one, (str, Image.Image)) else list(one) for one in given]
    rows = max(len(column) for column in columns)
    if any(len(column) not in (1, rows) for column in columns):
        raise ValueError(f"image, prompt and negative_prompt must have one entry each, or {rows}")
    return [column * rows if len(column) == 1 else column for column in columns]


def _noise(like: Tensor, generator: Any) -> Tensor:
    """Standard normal noise, drawn in float32 on the CPU, one video after the other."""
    one = generator is None or isinstance(generator, torch.Generator)
    sources = [generator] * len(like) if one else list(generator)
    if len(sources) != len(like):
        raise ValueError(f"{len(sources)} generators are given for {len(like)} videos")
    return torch.stack([torch.randn(like.shape[1:], generator=g) for g in sources]).to(like)
