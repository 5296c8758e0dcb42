"""What differs between the families of networks, as one record a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from accelerate import init_empty_weights
from torch import nn

from fbridge.backbones import expand
from fbridge.backbones.checkpoint_layout import CheckpointLayout, Variant
from fbridge.errors import ConfigError
from fbridge.files.key_mapping import Weights

Adapter = Callable[[Any], nn.Module]
"""From a transformer to a `fbridge.denoiser.Backbone`."""
FEWEST = 64 * 64
"""Weights of a layer that is worth quantising."""


class Video(NamedTuple):
    """What a base was trained to make.

    Attributes:
        frames: default, minimum, maximum and step of their number.
        fps: frames per second.
        grid: (width, height) of its latents.
    """

    frames: list[int]
    fps: float
    grid: tuple[int, int]


@dataclass(frozen=True)
class Family:
    """Networks of one class, and what fine-tuning needs to know of them.

    Attributes:
        name: short, for messages and records.
        transformer: name of the class, as `_class_name` in a configuration.
        load_class: imports it.
        adapt: wraps a network as a backbone that shares its parameters.
        latents: channels of the latents that a network denoises.
        prompt_width: features of the token embeddings it reads; 0 if it reads none.
        patch: side of its square patches, in latent pixels.
        lora_targets: endings of the names of linear layers that LoRA adapts.
        input_layer: full name of the layer that `expand_inputs` widens and that LoRA leaves to full
            training; "" if there is none.
        prediction: "v", "flow", "noise" or "clean".
        pipelines: diffusers' text-to-video pipelines that use this class.
        noise_schedule: from the configuration of the pipeline's scheduler (or of the network, if
            it needs no scheduler) to the argument of `build_noise_schedule` and the prediction.
        video: default frames, rate and size, from the configuration of a transformer.
        layouts: how its tensors are named in files.
        variants: the published models.
        variant_from_shapes: builds the variant from tensor shapes, if they determine it.
        single_file_config: configuration read from the other tensors of a single file; meta
            tensors are enough.
        refused: why a network with this configuration cannot be used; "" if it can.
        required_files: files of a pipeline that a transformer's weights alone lack.
        guidance: default guidance scale; None is the default of the prediction.
        depth_keys: keys of the configuration that count blocks.
        attention_mask: whether its attention is masked, which some attention kernels cannot do.
    """

    name: str
    transformer: str
    load_class: Callable[[], Any]
    adapt: Adapter
    latents: Callable[[Any], int]
    prompt_width: Callable[[Any], int]
    patch: Callable[[Any], int]
    lora_targets: tuple[str, ...]
    input_layer: str = ""
    prediction: str = "v"
    pipelines: tuple[str, ...] = ()
    noise_schedule: Callable[[Mapping[str, Any]], tuple[dict[str, Any], str]] | None = None
    video: Callable[[Mapping[str, Any]], Video] | None = None
    layouts: tuple[CheckpointLayout, ...] = ()
    variants: tuple[Variant, ...] = ()
    variant_from_shapes: Callable[[Mapping[str, tuple[int, ...]]], Variant] | None = None
    single_file_config: Callable[[Weights], Mapping[str, Any]] | None = None
    refused: Callable[[Mapping[str, Any]], str] = lambda _: ""
    required_files: tuple[str, ...] = (
        "vae/config.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "tokenizer/tokenizer_config.json",
    )
    guidance: float | None = None
    depth_keys: tuple[str, ...] = ("num_layers",)
    attention_mask: bool = False

    def empty_network(self, config: Mapping[str, Any]) -> Any:
        """A network of a configuration, without weights: names, shapes and numbers alone."""
        with init_empty_weights():
            return self.load_class().from_config({k: v for k, v in config.items() if k[0] != "_"})

    def extra_inputs(self, transformer: Any) -> int:
        """For how many parts besides the latents a network has room: prior, and picture."""
        return expand.extra_inputs(transformer, self.latents(transformer))

    def quantizable_layers(self, transformer: Any) -> list[tuple[str, nn.Linear]]:
        """The large linear layers of a network's blocks, which may be kept in few bits.

        Embeddings and heads are not among them.
        """
        return [
            (f"{home}.{name}", layer)
            for home, blocks in transformer.named_children()
            if isinstance(blocks, nn.ModuleList)
            for name, layer in blocks.named_modules()
            if type(layer) is nn.Linear and layer.weight.numel() >= FEWEST
        ]

    def make_room(self, transformer: Any, parts: int) -> None:
        """`expand_inputs`, unless a network has room for so many parts or more already."""
        self.expand_inputs(transformer, max(self.extra_inputs(transformer), parts))

    def expand_inputs(self, transformer: Any, wanted: int) -> None:
        """Make room in a network's input for so many parts besides the latents, in place.

        Raises:
            ConfigError: there is room for more already.
        """
        expand.expand_inputs(
            transformer, wanted, latents=self.latents(transformer), name=self.input_layer
        )


@dataclass(frozen=True)
class FixedFamily(Family):
    """Networks whose inputs are what they were made with.

    Attributes:
        fixed_inputs: parts besides the latents that a network is shown.
    """

    fixed_inputs: Callable[[Any], int] = lambda _: 0

    def extra_inputs(self, transformer: Any) -> int:
        """As it was made."""
        return self.fixed_inputs(transformer)

    def expand_inputs(self, transformer: Any, wanted: int) -> None:
        """Raise ConfigError where something else is wanted."""
        if wanted != self.fixed_inputs(transformer):
            raise ConfigError(
                f"this network takes {self.fixed_inputs(transformer)} inputs besides the latents, "
                f"which cannot be changed to {wanted}"
            )
