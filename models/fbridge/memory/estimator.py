"""Estimate the memory and time of preparing, training and generating, without reading weights.

Memory is measured by `fbridge.memory.meter` on networks with one and two blocks and extrapolated.
Time is the number of floating-point operations over the measured speed of a block.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import nn

from fbridge.backbones.families import as_backbone
from fbridge.codecs import View
from fbridge.codecs.vae import VAECodec
from fbridge.loaders.codec import vae_class
from fbridge.memory.blocks import Blocks
from fbridge.memory.meter import Footprint, measure_memory
from fbridge.memory.model_sizes import ModelSizes
from fbridge.memory.plans import BYTES, STATE, ClipShape, GenerationPlan, Requirements, TrainingPlan
from fbridge.types import Condition

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_TILE = 256
"""Side of diffusers' tiles in pixels, if an autoencoder has no attribute for it."""
_PROBED_FLOPS = {"cpu": 2e11, "cuda": 4e13}
"""Upper bound of a probe: seconds on a laptop, less on a large GPU."""
_PROBED_LAYERS = 2
_AHEAD = 2
"""Blocks of which there is something on the device where the rest is in the host's memory."""
_PROBED_SIDE = 16
"""Side in patches of the probe's input if a whole clip is too large."""


class Estimator:
    """Estimates for one model.

    Args:
        model: its configurations.
        speed: floating-point operations per second; None: no times.
    """

    def __init__(self, model: ModelSizes, speed: float | None = None) -> None:
        self.model = model
        self.speed = speed
        self._blocks = Blocks(model)
        assert model.family.video is not None, "checked by model_sizes"
        self._video = model.family.video(model.family.empty_network(model.network).config)
        self._cache: dict[tuple[Any, ...], Footprint] = {}

    def usual_clip(self) -> ClipShape:
        """The clip shape that the model was trained for: its own, else its family's."""
        if self.model.clip is not None:
            return ClipShape(*self.model.clip)
        spatial = self._codec("float32").spatial
        width, height = (side * spatial for side in self._video.grid)
        return ClipShape(self._video.frames[0], width, height)

    def generate(self, plan: GenerationPlan) -> Requirements:
        """Needs of a call of the pipeline."""
        size = BYTES[plan.dtype]
        network = self._blocks.weight_bytes(parts=2, dtype=plan.dtype, quantize=plan.quantize)
        batch = plan.batch * (2 if plan.guided else 1)
        work = self._forward(plan.clip, batch, plan.dtype)
        vae, text = int(self.model.vae_numbers * size), int(self.model.words_numbers * size)
        frames = self._decoding(plan.clip, plan.dtype, tiling=plan.tiling)
        resident = {"none": network + text, "model": 0, "group": 0}[plan.offload] + vae
        peak = {
            "none": max(work.peak, frames.peak),
            "model": max(text, network + work.peak, frames.peak),
            "group": max(int(2 * self._blocks.largest_layer() * size) + work.peak, frames.peak),
        }[plan.offload]
        flops = plan.steps * work.flops + plan.batch * frames.flops
        parts = {"transformer": network, "text encoder": text, "VAE": vae}
        parts |= {"a step": work.peak, "decoding": frames.peak}
        return Requirements(resident + peak, self._seconds(flops), parts)

    def train(self, plan: TrainingPlan) -> Requirements:
        """Needs of a training step."""
        total = self._blocks.parameter_count(plan.parts)
        updates, in_full = 0, total
        if plan.rank:
            updates, in_full = self._blocks.trained_by_lora(plan.rank, plan.parts)
        network = self._blocks.weight_bytes(
            parts=plan.parts, dtype=plan.precision, quantize=plan.quantize
        )
        frozen = network * (total - in_full) // total - self._offloaded(plan)
        per_weight = 4.0 + 4.0 + STATE[plan.optimizer] + (4.0 if plan.averaged else 0.0)
        state = int((updates + in_full) * per_weight)
        blocks = [self._step(plan, layers) for layers in self._blocks.depths()]
        first, more = blocks[0], blocks[1:]
        counts = list(self._blocks.layers.values())
        grown = [step.peak - first.peak for step in more]
        work = first.peak + sum((n - 1) * g for n, g in zip(counts, grown, strict=True))
        if plan.checkpointing and grown:
            kept = _AHEAD if plan.offloaded_activations else sum(counts)
            hidden = min(kept, sum(counts)) * self._hidden(plan)
            work = first.peak - sum(grown) + max(grown) + hidden
        flops = self._blocks.extrapolate([step.flops for step in blocks])
        flops = int(flops * (4 / 3 if plan.checkpointing and grown else 1))
        parts = {"frozen weights": frozen, "trained weights": state, "activations": work}
        return Requirements(frozen + state + work, self._seconds(flops), parts)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return sum(self._blocks.layers.values())

    def _offloaded(self, plan: TrainingPlan) -> int:
        """Bytes of weights in the host's memory, but for two blocks: one computes, one follows."""
        sizes = self._blocks.bytes_of_blocks(
            parts=plan.parts, dtype=plan.precision, quantize=plan.quantize
        )
        count = min(plan.offloaded_blocks, len(sizes))
        away = sum(sizes[number * len(sizes) // count] for number in range(count))
        return max(0, away - _AHEAD * max(sizes)) if count else 0

    def prepare(self, clip: ClipShape, dtype: str = "float32") -> Requirements:
        """Needs of encoding a clip."""
        vae = int(self.model.vae_numbers * BYTES[dtype])
        work = self._coding(clip, dtype, encode=True)
        return Requirements(
            vae + work.peak, self._seconds(work.flops), {"VAE": vae, "encoding": work.peak}
        )

    def probe(self, clip: ClipShape, device: str, dtype: str = "float32") -> float:
        """Floating-point operations per second of a block of the network on a device.

        Args:
            clip: its input, or a part of it if that is too large.
            device: where it runs.
            dtype: of the network.
        """
        most = _PROBED_FLOPS.get(device.split(":")[0], _PROBED_FLOPS["cpu"])
        shape, flops = self._probed(clip, dtype, most)
        batch = int(min(8, max(1, most // flops)))
        network = self._blocks.build(_PROBED_LAYERS, parts=0).to_empty(device=device)
        network = network.to(_DTYPES[dtype]).requires_grad_(requires_grad=False).eval()
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.data.normal_(0, 0.02)
        inputs = self._inputs(shape, batch, device)
        taken = []
        for _ in range(4):
            began = time.perf_counter()
            as_backbone(network)(*inputs)
            if device.startswith("cuda"):
                torch.cuda.synchronize(device)
            taken.append(time.perf_counter() - began)
        return batch * flops / min(taken[1:])  # the first call chooses kernels

    def _probed(self, clip: ClipShape, dtype: str, most: float) -> tuple[tuple[int, int, int], int]:
        """Shape of the probe's input, and its flops."""
        shape = self._latents(clip)
        empty = self._blocks.build(_PROBED_LAYERS, parts=0).to(_DTYPES[dtype]).to("meta").eval()
        empty.requires_grad_(requires_grad=False)
        backbone = as_backbone(empty)
        side = _PROBED_SIDE * self.model.family.patch(empty)
        frames, height, width = shape
        part = (min(frames, self._latent_frames(None, 2)), min(height, side), min(width, side))

        def flops(shape: tuple[int, int, int]) -> int:
            inputs = self._inputs(shape, 1, "meta")
            return measure_memory(lambda: backbone(*inputs)).flops

        whole = flops(shape)
        return (shape, whole) if whole < most else (part, flops(part))

    def _inputs(self, shape: tuple[int, int, int], batch: int, device: str) -> tuple[Any, ...]:
        network = self._blocks.build(1, 0)
        channels = self.model.family.latents(network)
        width_of_text = self.model.family.prompt_width(network)
        frames, height, width = shape
        latents = torch.zeros(batch, frames, channels, height, width, device=device)
        tokens = torch.zeros(batch, self.model.tokens, width_of_text, device=device)
        mask = torch.ones(batch, self.model.tokens, dtype=torch.bool, device=device)
        image = network.config.get("image")
        embeds = None if image is None else latents.new_zeros(batch, 257, image["features"])
        condition = Condition(tokens, mask, latents[:, 0], image_embeds=embeds)
        return latents, torch.full((batch,), 500.0, device=device), condition, latents

    def _latents(self, clip: ClipShape) -> tuple[int, int, int]:
        codec = self._codec("float32")
        frames = self._latent_frames(codec, clip.frames)
        return frames, clip.height // codec.spatial, clip.width // codec.spatial

    def _latent_frames(self, codec: VAECodec | None, frames: int) -> int:
        _, least, most, _ = self._video.frames
        if codec is None or codec.temporal is None:
            return most if least == most else frames
        return (frames - 1) // codec.temporal + 1

    def _forward(self, clip: ClipShape, batch: int, dtype: str) -> Footprint:
        found = [
            self._pass(clip, batch, dtype, layers, parts=2, training=False)
            for layers in self._blocks.depths()
        ]
        flops = self._blocks.extrapolate([one.flops for one in found])
        return Footprint(max(one.peak for one in found), flops)

    def _step(self, plan: TrainingPlan, layers: tuple[int, ...]) -> Footprint:
        """Forward and backward pass; checkpointing of a family with counted blocks is not in it."""
        checkpointing = plan.checkpointing and not self._blocks.layers
        return self._pass(
            plan.clip,
            plan.batch,
            plan.precision,
            layers,
            parts=plan.parts,
            training=True,
            checkpointing=checkpointing,
        )

    def _pass(
        self,
        clip: ClipShape,
        batch: int,
        dtype: str,
        layers: tuple[int, ...],
        *,
        parts: int,
        training: bool,
        checkpointing: bool = False,
    ) -> Footprint:
        key = (clip, batch, dtype, layers, parts, training, checkpointing)
        if key not in self._cache:
            network = self._blocks.build(layers, parts).to(_DTYPES[dtype]).to("meta")
            network.train(training).requires_grad_(training)
            if checkpointing:
                network.enable_gradient_checkpointing()
            inputs = self._inputs(self._latents(clip), batch, "meta")

            def compute() -> object:
                with torch.set_grad_enabled(training):
                    made = as_backbone(network)(*inputs)
                    if training:
                        made.sum().backward()
                network.zero_grad()
                return made

            self._cache[key] = measure_memory(compute)
        return self._cache[key]

    def _hidden(self, plan: TrainingPlan) -> int:
        """Bytes of the activations between two blocks."""
        network = self._blocks.build(1, plan.parts).to(_DTYPES[plan.precision]).to("meta")
        blocks = next(m for m in network.children() if isinstance(m, nn.ModuleList))
        found: list[int] = []
        blocks[0].register_forward_pre_hook(
            lambda _, args, kwargs: found.append(
                (args[0] if args else kwargs["hidden_states"]).nbytes
            ),
            with_kwargs=True,
        )
        with torch.no_grad():
            as_backbone(network)(*self._inputs(self._latents(plan.clip), plan.batch, "meta"))
        return found[0]

    def _codec(self, dtype: str) -> VAECodec:
        config = {key: value for key, value in self.model.vae.items() if key[0] != "_"}
        with init_empty_weights(include_buffers=False):
            vae = vae_class(self.model.vae).from_config(config)
        return VAECodec(vae.to(_DTYPES[dtype]).to("meta"))

    def _decoding(self, clip: ClipShape, dtype: str, *, tiling: bool) -> Footprint:
        """Decoding a clip; with tiling, one tile and the frames that tiles are blended into."""
        if not tiling:
            return self._coding(clip, dtype, encode=False)
        vae = self._codec(dtype).vae
        square = getattr(vae, "tile_sample_min_size", _TILE)
        width = min(clip.width, getattr(vae, "tile_sample_min_width", square))
        height = min(clip.height, getattr(vae, "tile_sample_min_height", square))
        tile = ClipShape(clip.frames, width, height)
        one, whole = (self._coding(part, dtype, encode=False) for part in (tile, clip))
        frames = int(2 * 3 * clip.frames * clip.width * clip.height * BYTES[dtype])
        return Footprint(min(whole.peak, one.peak + frames), whole.flops)

    def _coding(self, clip: ClipShape, dtype: str, *, encode: bool) -> Footprint:
        key = (clip, dtype, encode)
        if key not in self._cache:
            codec = self._codec(dtype)
            pixels = torch.empty(clip.frames, 3, clip.height, clip.width, device="meta")
            frames, height, width = self._latents(clip)
            channels = int(codec.vae.config.get("latent_channels") or codec.vae.config["z_dim"])
            latents = torch.empty(1, frames, channels, height, width, device="meta")
            view = View(latents[:, 0], None, (pixels[0],))
            self._cache[key] = measure_memory(
                lambda: codec.encode([pixels], view) if encode else codec.decode(latents, view)
            )
        return self._cache[key]

    def _seconds(self, flops: float) -> float | None:
        return None if self.speed is None else flops / self.speed
