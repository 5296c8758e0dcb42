"""The components and the configuration of `FrameBridgePipeline`, and how it is loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from fbridge.backbones.families import as_backbone, family_of
from fbridge.codecs import Codec
from fbridge.codecs.vae import VAECodec
from fbridge.conditioning.image import encode_images
from fbridge.conditioning.prompt_specs import PromptSpec
from fbridge.conditioning.text import PairTextEncoder, TextEncoder
from fbridge.data.sources.ucf101 import class_words
from fbridge.errors import CheckpointError, ConfigError, reason
from fbridge.files.hashing import hash_model
from fbridge.files.modules import Kept, dtype_option
from fbridge.files.weight_files import find_variant, network_folder
from fbridge.loaders.experts import SECOND
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.lora import adapted_components, load_adapter
from fbridge.loaders.lora_choice import LoraChoice, parse_lora
from fbridge.loaders.lora_merge import MergedLora
from fbridge.loaders.network import network_of_folder
from fbridge.loaders.official import is_official_bridge, official_components
from fbridge.loaders.pair_loras import check_loras, loras_of_pair
from fbridge.loaders.prior import build_prior
from fbridge.loaders.resolve import ResolvedModel, resolve
from fbridge.loaders.text_encoder import load_text_encoder
from fbridge.loaders.training_free import training_free_components
from fbridge.pipeline.bridge import FrameLimits as FrameLimits
from fbridge.pipeline.lora import LoraMerging
from fbridge.pipeline.precision import component_dtypes, dtype_of_part, wanted_dtype
from fbridge.pipeline.untrained import UntrainedBases, how_untrained
from fbridge.prior import Prior
from fbridge.words.encoder import PromptEncoder

_Model = TypeVar("_Model", bound="BridgeModel")

_RELEASED = (
    "is taken as FrameBridge's released bridge and sampled as its authors do, from the prior "
    "itself (--start exact)"
)
_OWN = (
    "base", "components", "expert", "download", "dtype", "torch_dtype", "loras", "finish_layer",
)  # fmt: skip
"""Options of `from_pretrained` that are not passed on to diffusers as they are."""
_OF_CODE = ("custom_pipeline", "custom_revision", "trust_remote_code")
_HUB_OPTIONS = ("cache_dir", "revision", "token", "local_files_only")


class BridgeModel(LoraMerging, UntrainedBases, DiffusionPipeline):  # type: ignore[misc]
    """The base class of `fbridge.pipeline.FrameBridgePipeline`: components, configuration, loading.

    Components:
        transformer: the network, of a family in `fbridge.backbones.families`.
        transformer_2: of a pair of networks the one for little noise, below the scheduler's
            `boundary`; None for most models.
        codec: one of `fbridge.codecs`, or None if there is a vae.
        vae: an autoencoder of diffusers, or None if there is a codec.
        prior: network of a neural prior (no time input), or None.
        scheduler: a `FrameBridgeScheduler`.
        text_encoder, tokenizer: transformers', or None for the packaged MiniLM.
        text_encoder_2, tokenizer_2: of a `PairTextEncoder`; None for most models.
        image_encoder: CLIP's, for a network with image embeddings; else None.
        frames: default, minimum, maximum, step: see `FrameLimits`.
        fps: frames per second.
        sizes: (width, height) of training; None allows any size.
        classes: names of the classes of a class-conditional model, by label.
        reading: fields of a `PromptSpec`; None encodes prompts without padding or cutting.
        start_from: where the bridge starts: `{"kind": "repeat" | "neural" | "motion" | "mix",
            "mix": share}` as `fbridge.loaders.prior.build_prior` takes them; None is "neural"
            where there is a prior, else "repeat".
        world: the only things that the model knows, or those that the base it was trained from
            does, such as "drawn shapes"; None where nothing is said.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->image_encoder->prior->transformer->"
    model_cpu_offload_seq += "transformer_2"
    _exclude_from_cpu_offload: ClassVar = ["codec", "vae"]
    _optional_components: ClassVar = [
        "codec", "vae", "prior", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2",
        "image_encoder", "transformer_2",
    ]  # fmt: skip

    def __init__(  # noqa: PLR0913 - a model's parts and facts
        self,
        transformer: Any,
        scheduler: Any,
        codec: Any = None,
        vae: Any = None,
        prior: Any = None,
        text_encoder: Any = None,
        tokenizer: Any = None,
        text_encoder_2: Any = None,
        tokenizer_2: Any = None,
        image_encoder: Any = None,
        frames: list[int] | None = None,
        fps: float = 8.0,
        sizes: list[list[int]] | None = None,
        classes: list[str] | None = None,
        start_from: dict[str, Any] | None = None,
        reading: list[Any] | None = None,
        world: str | None = None,
        transformer_2: Any = None,
    ) -> None:
        super().__init__()
        if (transformer_2 is None) != (scheduler.boundary is None):
            raise ValueError("a model has both a transformer_2 and a boundary, or neither")
        if (codec is None) == (vae is None):
            raise ValueError("a model has either a codec or a vae, and not both")
        self.register_modules(
            transformer=transformer,
            scheduler=scheduler,
            codec=codec,
            vae=vae,
            prior=prior,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            text_encoder_2=text_encoder_2,
            tokenizer_2=tokenizer_2,
            image_encoder=image_encoder,
            transformer_2=transformer_2,
        )
        self.register_to_config(
            frames=frames or [16, 2, 64, 1],
            fps=fps,
            sizes=sizes,
            classes=classes,
            start_from=start_from,
            reading=reading,
            world=world,
        )

    def to_json_string(self) -> str:
        """What `save_pretrained` writes, without what is unset and version 0.1.0 does not know."""
        held = json.loads(super().to_json_string())
        unset: dict[str, Any] = {"world": None, "transformer_2": [None, None]}
        kept = {key: value for key, value in held.items() if value != unset.get(key, ...)}
        return json.dumps(kept, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_pretrained(
        cls: type[_Model], pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> _Model:
        """Load "embedded", a folder, a training run's or an adapter's folder, or a hub id.

        An adapter (LoRA) is merged into its base; `base=` overrides the recorded place of it. A
        text-to-video model becomes a bridge without training (`fbridge.loaders.training_free`);
        `components=` is the folder with what bare weights lack, `download=True` fetches that from
        the hub; `expert=` says which network of a pair they are ("both": of which the other's file
        lies beside). `loras=["FILE:WEIGHT", ...]` are LoRA files of the text-to-video model, merged
        before the network takes its dtype; see `load_lora`. `finish_layer=` is called with a
        network and the name of a layer as soon as that is loaded, as
        `fbridge.memory.apply.layer_shrinker` gives it; not of an adapter, whose base is changed
        once more.

        Raises:
            CheckpointError: there is no such model, or it is not one of this kind.
            ConfigError: an option asks for code of the model's folder, which is never run, or for
                no dtype of torch; or a base is given for another model than an adapter.
        """
        if asked := [key for key in _OF_CODE if kwargs.pop(key, None)]:
            raise ConfigError(f"{asked[0]}: code of a model's folder is never run; leave it out")
        name = str(pretrained_model_name_or_path)
        hub = {key: kwargs[key] for key in _HUB_OPTIONS if key in kwargs}
        named: dict[str, Any] = {key: kwargs.get(key) for key in ("components", "expert")}
        model = resolve(name, **named, **hub)
        if kwargs.get("base") is not None and model.kind != "adapter":
            raise ConfigError(
                f"--base {kwargs['base']}: is about the base of an adapter, and {name} is none; "
                "leave it out"
            )
        dtype = wanted_dtype(kwargs, by_part=model.kind == "bridge")
        given = kwargs.get("loras") or ()
        loras = [one if isinstance(one, LoraChoice) else parse_lora(str(one)) for one in given]
        if loras and model.kind == "bridge":
            check_loras(loras, model.family, name, pair=model.pair)
        finish = kwargs.get("finish_layer")
        if model.kind not in ("adapter", "bridge"):
            kept = Kept(dtype, finish=finish)
            return cls._from_base(model, kept, loras, download=kwargs.get("download", False))
        pipe: _Model
        try:
            if model.kind == "adapter":
                own = {key: kwargs[key] for key in ("base", "download") if key in kwargs}
                card, found = load_adapter(model.path, dtype=dtype, loras=loras, **own)
                pipe = cls(**adapted_components(model.path, card, found))
                pipe.note_loras(found.loras, own=len(card.loras))
            else:
                stock = {k: v for k, v in kwargs.items() if k not in _OWN}
                by_part = component_dtypes(model.path, dtype)
                stock |= dtype_option(by_part)
                stock.setdefault("variant", find_variant(network_folder(model.path)))
                chosen = loras_of_pair(loras) if model.pair else {"high": loras}
                parts = [("transformer", network_folder(model.path), chosen["high"])]
                if model.pair:
                    parts.append((SECOND, model.path / SECOND, chosen["low"]))
                kind = model.family.load_class()
                merged: list[MergedLora] = []
                for part, place, its_loras in parts:
                    kept = Kept(dtype_of_part(by_part, part), finish=finish)
                    stock[part], done = network_of_folder(kind, place, kept, its_loras)
                    merged += done
                pipe = super().from_pretrained(model.path, **stock)
                pipe.note_loras(merged)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
            raise CheckpointError(f"model {name!r} does not load: {reason(error)}") from error
        pipe._folder = model.path
        pipe._copy_mapped_weights()
        return pipe

    @classmethod
    def _from_base(
        cls: type[_Model],
        model: ResolvedModel,
        kept: Kept,
        loras: Sequence[LoraChoice],
        *,
        download: bool,
    ) -> _Model:
        base = load_pretrained(model, download=download, dtype=kept.dtype, loras=loras, kept=kept)
        released = is_official_bridge(base)
        pipe = cls(**(official_components(base) if released else training_free_components(base)))
        pipe._copy_mapped_weights()
        pipe._base_hash, pipe._untrained = base.hash, not released
        used = _RELEASED if released else how_untrained(pipe.transformer)
        pipe.notice = f"{used}; it {model.remark}" if model.remark else used
        pipe.note_loras(base.loras)
        return pipe

    def _copy_mapped_weights(self) -> None:
        """Copy weights out of the mapped file: the alignment of memory changes how sums round."""
        for network in (part for part in self.components.values() if isinstance(part, nn.Module)):
            for parameter in network.parameters():
                parameter.data = parameter.data.clone()

    _folder: Path | None = None
    _base_hash: str = ""
    _untrained: bool = False

    @property
    def untrained(self) -> bool:
        """Whether this is a text-to-video model without bridge training."""
        return self._untrained

    @cached_property
    def model_hash(self) -> str:
        """sha256 over the files that the model was loaded from; "" for one made in memory."""
        return self._base_hash if self._folder is None else hash_model(self._folder)

    @property
    def backbone(self) -> nn.Module:
        """The network as a `fbridge.denoiser.Backbone`."""
        return as_backbone(self.transformer)

    @property
    def second_backbone(self) -> nn.Module | None:
        """The network for little noise of a pair; None of most models."""
        return None if self.transformer_2 is None else as_backbone(self.transformer_2)

    @property
    def patch(self) -> int:
        """Side of the network's patches, in latent pixels."""
        return family_of(self.transformer).patch(self.transformer)

    @property
    def execution_device(self) -> torch.device:
        """Where its networks compute, also while they are offloaded."""
        return torch.device(self._execution_device)

    def embed_pictures(self, pictures: Sequence[Tensor]) -> Tensor | None:
        """(B, S, D) of pictures (3, H, W) by its image encoder; None without one."""
        if self.image_encoder is None:
            return None
        return encode_images(self.image_encoder, torch.stack(list(pictures)))

    def words_of(self, labels: Sequence[int]) -> list[str]:
        """What the text encoder reads for classes: their names as words."""
        return [class_words(self.config.classes[label]) for label in labels]

    def free_memory(self) -> None:
        """Move offloaded networks off the device."""
        self.maybe_free_model_hooks()

    @property
    def latent_codec(self) -> Codec:
        """The codec, or the vae wrapped as one."""
        codec: Codec = VAECodec(self.vae) if self.codec is None else self.codec
        return codec

    @property
    def start(self) -> Prior:
        """The prior of its bridges."""
        usual = "repeat" if self.prior is None else "neural"
        start = {"kind": usual, "mix": 0.5, **(self.config.start_from or {})}
        return build_prior(start["kind"], self.prior, start["mix"], self.latent_codec)

    @property
    def prompt_encoder(self) -> PromptEncoder:
        """Its own text encoder, or the packaged MiniLM."""
        if self.text_encoder is None:
            return load_text_encoder()
        own = (self.text_encoder, self.tokenizer)
        reading = PromptSpec(*self.config.reading) if self.config.reading else None
        if self.text_encoder_2 is None:
            return TextEncoder(*own, reading=reading)
        return PairTextEncoder(*own, self.text_encoder_2, self.tokenizer_2, reading=reading)
