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
        transformer: name of the class, as a configuration's `_class_name` has it.
        load_class: imports it.
        adapt: a network of it as a backbone; the backbone's parameters are the network's own.
        latents: channels of the latents that a network is for.
        words: features of the tokens that it reads; 0 where it reads none.
        patch: side of the squares of latent pixels that a network takes together.
        lora_targets: linear layers, by the ends of their names, that LoRA adapts.
        widened: the layer, by its full name, that `widen` changes and LoRA leaves to full training;
            "" where there is none.
        prediction: what a base of the family answers: "v", "flow", "noise" or "clean".
        pipelines: diffusers' text-to-video pipelines whose transformers these are.
        noise: the argument of `fbridge.scheduler.build_base` and the prediction, from the
            configuration of such a pipeline's scheduler or, where it needs none, the network's own.
        video: what it was trained to make, from the configuration of a transformer.
        layouts: how its tensors are named in files.
        variants: the published models.
        measured: of a family whose models all tell themselves by their shapes: the one of some.
        whole: what the other tensors of a whole model's file tell of the network's configuration;
            they may be without numbers.
        refused: why a network of a configuration cannot be used; "" where it can.
        needs: files of a pipeline that weights alone lack.
        guidance: weight of the words that a base is used with; None is that of its prediction.
        layers: names of the configuration's numbers of blocks.
        masks: whether its attention is given masks, which some ways to compute it know not of.
    """

    name: str
    transformer: str
    load_class: Callable[[], Any]
    adapt: Adapter
    latents: Callable[[Any], int]
    words: Callable[[Any], int]
    patch: Callable[[Any], int]
    lora_targets: tuple[str, ...]
    widened: str = ""
    prediction: str = "v"
    pipelines: tuple[str, ...] = ()
    noise: Callable[[Mapping[str, Any]], tuple[dict[str, Any], str]] | None = None
    video: Callable[[Mapping[str, Any]], Video] | None = None
    layouts: tuple[CheckpointLayout, ...] = ()
    variants: tuple[Variant, ...] = ()
    measured: Callable[[Mapping[str, tuple[int, ...]]], Variant] | None = None
    whole: Callable[[Weights], Mapping[str, Any]] | None = None
    refused: Callable[[Mapping[str, Any]], str] = lambda _: ""
    needs: tuple[str, ...] = (
        "vae/config.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "tokenizer/tokenizer_config.json",
    )
    guidance: float | None = None
    layers: tuple[str, ...] = ("num_layers",)
    masks: bool = False

    def hollow(self, config: Mapping[str, Any]) -> Any:
        """A network of a configuration, without weights: names, shapes and numbers alone."""
        with init_empty_weights():
            return self.load_class().from_config({k: v for k, v in config.items() if k[0] != "_"})

    def parts(self, transformer: Any) -> int:
        """For how many parts besides the latents a network has room: prior, and picture."""
        return expand.extra_inputs(transformer, self.latents(transformer))

    def many(self, transformer: Any) -> list[tuple[str, nn.Linear]]:
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

    def widen(self, transformer: Any, wanted: int) -> None:
        """Make room in a network's input for so many parts besides the latents, in place.

        Raises:
            ConfigError: there is room for more already.
        """
        expand.expand_inputs(
            transformer, wanted, latents=self.latents(transformer), name=self.widened
        )


@dataclass(frozen=True)
class FixedFamily(Family):
    """Networks whose inputs are what they were made with.

    Attributes:
        room: parts besides the latents that a network is shown.
    """

    room: Callable[[Any], int] = lambda _: 0

    def parts(self, transformer: Any) -> int:
        """As it was made."""
        return self.room(transformer)

    def widen(self, transformer: Any, wanted: int) -> None:
        """Raise ConfigError where something else is wanted."""
        if wanted != self.room(transformer):
            raise ConfigError(
                f"this network is shown {self.room(transformer)} parts besides the latents, which "
                f"cannot be changed to {wanted}"
            )
