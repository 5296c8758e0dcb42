"""What training and generating will need, from configurations: no weights are read.

Memory is that of `fbridge.memory.meter`: the network with one and with two blocks, on shapes alone,
gives what a block adds. Time is arithmetic over the speed of one block that really runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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
"""Pixels along the sides of diffusers' tiles, where an autoencoder tells no others."""
_PROBED_FLOPS = {"cpu": 2e11, "cuda": 4e13}
"""Of the most that a block is probed with: seconds of a laptop, less of a large GPU."""
_PROBED_LAYERS = 2
_PROBED_SIDE = 16
"""Patches along the sides of what is probed where a whole clip is too much."""


class Estimator:
    """Estimates for one model.

    Args:
        model: its parts.
        speed: additions and multiplications a second; None leaves time out.
    """

    def __init__(self, model: ModelSizes, speed: float | None = None) -> None:
        self.model = model
        self.speed = speed
        self._blocks = Blocks(model)
        assert model.family.video is not None, "as `anatomy` has it"
        self._video = model.family.video(model.family.empty_network(model.network).config)
        self._known: dict[tuple[Any, ...], Footprint] = {}

    def usual_clip(self) -> ClipShape:
        """The clip that the model was made for."""
        spatial = self._codec("float32").spatial
        width, height = (side * spatial for side in self._video.grid)
        return ClipShape(self._video.frames[0], width, height)

    def generate(self, how: GenerationPlan) -> Requirements:
        """What a call of the pipeline needs."""
        size = BYTES[how.dtype]
        network = self._blocks.kept(parts=2, dtype=how.dtype, kept=how.kept)
        batch = how.batch * (2 if how.guided else 1)
        work = self._forward(how.clip, batch, how.dtype)
        vae, words = int(self.model.vae_numbers * size), int(self.model.words_numbers * size)
        frames = self._decoding(how.clip, how.dtype, tiling=how.tiling)
        kept = {"none": network + words, "model": 0, "group": 0}[how.offload] + vae
        peak = {
            "none": max(work.peak, frames.peak),
            "model": max(words, network + work.peak, frames.peak),
            "group": max(int(2 * self._blocks.largest() * size) + work.peak, frames.peak),
        }[how.offload]
        flops = how.steps * work.flops + how.batch * frames.flops
        told = {"transformer": network, "text encoder": words, "VAE": vae}
        told |= {"a step": work.peak, "decoding": frames.peak}
        return Requirements(kept + peak, self._seconds(flops), told)

    def train(self, how: TrainingPlan) -> Requirements:
        """What a training step needs."""
        numbers = self._blocks.numbers(how.parts)
        updates, whole = self._blocks.trained(how.rank, how.parts) if how.rank else (0, numbers)
        trained = updates + whole
        network = self._blocks.kept(parts=how.parts, dtype=how.precision, kept=how.kept)
        frozen = network * (numbers - whole) // numbers
        per_number = 4.0 + 4.0 + STATE[how.optimizer] + (4.0 if how.averaged else 0.0)
        state = int(trained * per_number)
        blocks = [self._step(how, layers) for layers in self._blocks.deeper()]
        first, more = blocks[0], blocks[1:]
        counts = list(self._blocks.layers.values())
        grown = [step.peak - first.peak for step in more]
        work = first.peak + sum((n - 1) * g for n, g in zip(counts, grown, strict=True))
        if how.checkpointing and grown:
            kept = sum(counts) * self._hidden(how)
            work = first.peak - sum(grown) + max(grown) + kept
        flops = self._blocks.all_of([step.flops for step in blocks])
        flops = int(flops * (4 / 3 if how.checkpointing and grown else 1))
        told = {"frozen weights": frozen, "trained weights": state, "activations": work}
        return Requirements(frozen + state + work, self._seconds(flops), told)

    def prepare(self, clip: ClipShape, dtype: str = "float32") -> Requirements:
        """What encoding a clip needs."""
        vae = int(self.model.vae_numbers * BYTES[dtype])
        work = self._coding(clip, dtype, encode=True)
        return Requirements(
            vae + work.peak, self._seconds(work.flops), {"VAE": vae, "encoding": work.peak}
        )

    def probe(self, clip: ClipShape, device: str, dtype: str = "float32") -> float:
        """Additions and multiplications a second that a block of the network does on a device.

        Args:
            clip: that it is shown, or a part of it where it is much.
            device: where it runs.
            dtype: of the network.
        """
        most = _PROBED_FLOPS.get(device.split(":")[0], _PROBED_FLOPS["cpu"])
        shape, flops = self._probed(clip, dtype, most)
        batch = int(min(8, max(1, most // flops)))
        network = self._blocks.build(_PROBED_LAYERS, parts=0).to_empty(device=device)
        network = network.to(_DTYPES[dtype]).requires_grad_(requires_grad=False).eval()
        for held in (*network.parameters(), *network.buffers()):
            if held.is_floating_point():
                held.data.normal_(0, 0.02)
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
        """Shape of what the block is shown, and the arithmetic of it."""
        shape = self._latents(clip)
        empty = self._blocks.build(_PROBED_LAYERS, parts=0).to(_DTYPES[dtype]).to("meta").eval()
        empty.requires_grad_(requires_grad=False)
        backbone = as_backbone(empty)
        side = _PROBED_SIDE * self.model.family.patch(empty)
        few = (
            min(shape[0], self._latent_frames(None, 2)),
            min(shape[1], side),
            min(shape[2], side),
        )

        def work(seen: tuple[int, int, int]) -> int:
            inputs = self._inputs(seen, 1, "meta")

            def compute() -> object:
                return backbone(*inputs)

            return measure_memory(compute).flops

        whole = work(shape)
        return (shape, whole) if whole < most else (few, work(few))

    def _inputs(self, shape: tuple[int, int, int], batch: int, device: str) -> tuple[Any, ...]:
        network = self._blocks.build(1, 0)
        channels, words = (
            self.model.family.latents(network),
            self.model.family.prompt_width(network),
        )
        frames, height, width = shape
        latents = torch.zeros(batch, frames, channels, height, width, device=device)
        tokens = torch.zeros(batch, self.model.tokens, words, device=device)
        mask = torch.ones(batch, self.model.tokens, dtype=torch.bool, device=device)
        condition = Condition(
            tokens, mask, latents[:, 0], image_embeds=self._seen(network, latents)
        )
        return latents, torch.full((batch,), 500.0, device=device), condition, latents

    def _seen(self, network: Any, latents: torch.Tensor) -> torch.Tensor | None:
        """What an image encoder sees of a picture, for a network that is told it."""
        image = network.config.get("image")
        return None if image is None else latents.new_zeros(len(latents), 257, image["features"])

    def _latents(self, clip: ClipShape) -> tuple[int, int, int]:
        codec = self._codec("float32")
        return (
            self._latent_frames(codec, clip.frames),
            clip.height // codec.spatial,
            clip.width // codec.spatial,
        )

    def _latent_frames(self, codec: VAECodec | None, frames: int) -> int:
        _, least, most, _ = self._video.frames
        if codec is None or codec.temporal is None:
            return most if least == most else frames
        return (frames - 1) // codec.temporal + 1

    def _forward(self, clip: ClipShape, batch: int, dtype: str) -> Footprint:
        found = [
            self._pass(clip, batch, dtype, layers, parts=2, learn=False)
            for layers in self._blocks.deeper()
        ]
        return Footprint(
            max(one.peak for one in found), self._blocks.all_of([one.flops for one in found])
        )

    def _step(self, how: TrainingPlan, layers: tuple[int, ...]) -> Footprint:
        """Of a step; where no blocks are counted, it computes activations twice as it is told."""
        twice = how.checkpointing and not self._blocks.layers
        return self._pass(
            how.clip, how.batch, how.precision, layers, parts=how.parts, learn=True, twice=twice
        )

    def _pass(
        self,
        clip: ClipShape,
        batch: int,
        dtype: str,
        layers: tuple[int, ...],
        *,
        parts: int,
        learn: bool,
        twice: bool = False,
    ) -> Footprint:
        key = (clip, batch, dtype, layers, parts, learn, twice)
        if key not in self._known:
            network = self._blocks.build(layers, parts).to(_DTYPES[dtype]).to("meta").train(learn)
            network.requires_grad_(learn)
            if twice:
                network.enable_gradient_checkpointing()
            inputs = self._inputs(self._latents(clip), batch, "meta")

            def compute() -> object:
                with torch.set_grad_enabled(learn):
                    made = as_backbone(network)(*inputs)
                    if learn:
                        made.sum().backward()
                network.zero_grad()
                return made

            self._known[key] = measure_memory(compute)
        return self._known[key]

    def _hidden(self, how: TrainingPlan) -> int:
        """Bytes that go from one block to the next."""
        network = self._blocks.build(1, how.parts).to(_DTYPES[how.precision]).to("meta")
        blocks = next(m for m in network.children() if isinstance(m, nn.ModuleList))
        seen: list[int] = []
        blocks[0].register_forward_pre_hook(
            lambda _, args, kwargs: seen.append(
                _bytes(args[0] if args else kwargs["hidden_states"])
            ),
            with_kwargs=True,
        )
        with torch.no_grad():
            as_backbone(network)(*self._inputs(self._latents(how.clip), how.batch, "meta"))
        return seen[0]

    def _codec(self, dtype: str) -> VAECodec:
        config = {key: value for key, value in self.model.vae.items() if key[0] != "_"}
        with init_empty_weights(include_buffers=False):
            vae = vae_class(self.model.vae).from_config(config)
        return VAECodec(vae.to(_DTYPES[dtype]).to("meta"))

    def _decoding(self, clip: ClipShape, dtype: str, *, tiling: bool) -> Footprint:
        """Of a whole clip; of one tile of it, and the frames that tiles are put together to."""
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
        if key not in self._known:
            codec = self._codec(dtype)
            self._known[key] = measure_memory(
                _coded(codec, clip, self._latents(clip), encode=encode)
            )
        return self._known[key]

    def _seconds(self, flops: float) -> float | None:
        return None if self.speed is None else flops / self.speed


def _coded(
    codec: VAECodec, clip: ClipShape, shape: tuple[int, int, int], *, encode: bool
) -> Callable[[], object]:
    frames, height, width = shape
    pixels = torch.empty(clip.frames, 3, clip.height, clip.width, device="meta")
    channels = int(codec.vae.config.get("latent_channels") or codec.vae.config["z_dim"])
    latents = torch.empty(1, frames, channels, height, width, device="meta")
    view = View(latents[:, 0], None, (pixels[0],))
    if encode:
        return lambda: codec.encode([pixels], view)
    return lambda: codec.decode(latents, view)


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
