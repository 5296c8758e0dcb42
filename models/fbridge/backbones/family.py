"""What differs between families of networks: one record a family."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from fbridge.backbones import expand
from fbridge.backbones.checkpoint_layout import CheckpointLayout, Variant
from fbridge.errors import ConfigError
from fbridge.files.modules import empty_network

FEWEST = 64 * 64
"""Weights of a layer that is worth quantising."""


class VideoDefaults(NamedTuple):
    """The videos that a pretrained model was trained to make.

    Attributes:
        frames: default, minimum, maximum and step of the number of frames.
        fps: frames per second.
        grid: (width, height) of the latents.
    """

    frames: list[int]
    fps: float
    grid: tuple[int, int]


@dataclass(frozen=True)
class Family:
    """Networks of one class, and what loading and fine-tuning need to know of them.

    Attributes:
        name: short, for messages and records.
        transformer: name of the class, as `_class_name` in a configuration.
        adapt: wraps a network as a `fbridge.denoiser.Backbone` that shares its parameters.
        latents: channels of the latents that a network denoises.
        prompt_width: features of the prompt embeddings; 0 of a network without a prompt.
        patch: side of the square patches, in latent pixels.
        own_class: imports the class if it is not the one that diffusers has under this name.
        lora_targets: endings of the names of linear layers that LoRA adapts.
        input_layer: full name of the first layer, which `expand_inputs` replaces and LoRA leaves
            to full training; "" if inputs cannot be added.
        pipeline_part: name of the network in diffusers' pipelines, which begins the names of the
            tensors in a LoRA file.
        fixed_inputs: number of inputs besides the latents, of networks to which none can be added.
        prediction: "v", "flow", "noise" or "clean".
        pipelines: diffusers' text-to-video pipelines that use this class.
        same_classes: other classes of diffusers whose tensors and answers are this one's.
        noise_schedule: from the configuration of the pipeline's scheduler (or of the network, if
            it needs no scheduler) to the argument of `build_noise_schedule` and the prediction.
        video: default frames, rate and size, from the configuration of a network.
        layouts: how the tensors are named in files.
        variants: the published models.
        variant_from_shapes: builds the variant from tensor shapes, if they determine it.
        single_file_config: configuration from the other tensors of a single file; meta tensors
            are enough.
        refused: why a network with this configuration cannot be used; "" if it can.
        required_files: files of a pipeline that a transformer's weights alone lack.
        guidance: default guidance scale; None is the default of the prediction.
        depth_keys: keys of the configuration that count blocks.
        boundary: share of the flow's time from which on another network answers, of models that
            are pairs of networks (`fbridge.loaders.experts`); None where there are none.
        attention_mask: whether its attention is masked, which some attention kernels cannot do.
        native_picture: whether networks of a configuration were trained with the picture as first
            latent frame, clean and at time 0; their adapter takes one time a frame.
    """

    name: str
    transformer: str
    adapt: Callable[[Any], nn.Module]
    latents: Callable[[Any], int]
    prompt_width: Callable[[Any], int]
    patch: Callable[[Any], int]
    own_class: Callable[[], Any] | None = None
    lora_targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    input_layer: str = ""
    pipeline_part: str = "transformer"
    fixed_inputs: Callable[[Any], int] | None = None
    prediction: str = "v"
    pipelines: tuple[str, ...] = ()
    same_classes: tuple[str, ...] = ()
    noise_schedule: Callable[[Mapping[str, Any]], tuple[dict[str, Any], str]] | None = None
    video: Callable[[Mapping[str, Any]], VideoDefaults] | None = None
    layouts: tuple[CheckpointLayout, ...] = ()
    variants: tuple[Variant, ...] = ()
    variant_from_shapes: Callable[[Mapping[str, tuple[int, ...]]], Variant] | None = None
    single_file_config: Callable[[Mapping[str, Tensor]], Mapping[str, Any]] | None = None
    refused: Callable[[Mapping[str, Any]], str] = lambda _: ""
    required_files: tuple[str, ...] = (
        "vae/config.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "tokenizer/tokenizer_config.json",
    )
    guidance: float | None = None
    depth_keys: tuple[str, ...] = ("num_layers",)
    boundary: float | None = None
    attention_mask: bool = False
    native_picture: Callable[[Mapping[str, Any]], bool] = lambda _: False

    @property
    def takes_loras(self) -> bool:
        """Whether there are LoRA files of its networks: those of published text-to-video models."""
        return self.video is not None

    def load_class(self) -> Any:
        """The class of the networks, imported when it is needed."""
        if self.own_class is not None:
            return self.own_class()
        return getattr(importlib.import_module("diffusers"), self.transformer)

    def empty_network(self, config: Mapping[str, Any]) -> Any:
        """See `fbridge.files.modules.empty_network`."""
        return empty_network(self.load_class(), config)

    def extra_inputs(self, transformer: Any) -> int:
        """How many inputs of the latents' shape a network takes besides them: prior, picture."""
        if self.fixed_inputs is not None:
            return self.fixed_inputs(transformer)
        return expand.extra_inputs(transformer, self.latents(transformer))

    def blocks(self, transformer: Any) -> list[nn.Module]:
        """The blocks that make up most of a network, in its order: those of its lists of layers."""
        lists = [part for part in transformer.children() if isinstance(part, nn.ModuleList)]
        return [block for part in lists for block in part]

    def quantizable_layers(self, transformer: Any) -> list[tuple[str, nn.Linear]]:
        """Names and layers: the large linear layers of the blocks, no embeddings and no heads."""
        return [
            (name, layer)
            for name, layer in transformer.named_modules()
            if self.is_quantizable(transformer, name)
        ]

    def is_quantizable(self, transformer: Any, name: str) -> bool:
        """Whether a layer is one of `quantizable_layers`, and not quantised yet."""
        blocks, _, inner = name.partition(".")
        if not inner or not isinstance(getattr(transformer, blocks), nn.ModuleList):
            return False
        layer = transformer.get_submodule(name)
        return (
            type(layer) is nn.Linear
            and type(layer.weight.data) is Tensor
            and layer.weight.numel() >= FEWEST
        )

    def make_room(self, transformer: Any, parts: int) -> int | None:
        """`expand_inputs`, unless a network has room for so many parts or more already.

        Returns the number of inputs that its first layer had; None if it had room.
        """
        known = self.extra_inputs(transformer)
        if parts <= known:
            return None
        inputs = int(transformer.get_submodule(self.input_layer).weight.shape[1])
        self.expand_inputs(transformer, parts)
        return inputs

    def expand_inputs(self, transformer: Any, wanted: int) -> None:
        """Give a network input channels for `wanted` inputs besides the latents, in place.

        Raises:
            ConfigError: it has input channels for more already, or they cannot be changed.
        """
        known = self.extra_inputs(transformer)
        if self.fixed_inputs is None:
            latents = self.latents(transformer)
            expand.expand_inputs(transformer, wanted, latents=latents, name=self.input_layer)
        elif wanted != known:
            raise ConfigError(
                f"this network takes {known} inputs besides the latents, "
                f"which cannot be changed to {wanted}"
            )
