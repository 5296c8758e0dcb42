"""From a configuration to what is trained: base, network, scheduler, prior."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fbridge.backbones.families import aligned_prediction
from fbridge.backbones.scratch import build_scratch
from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.codecs import Codec
from fbridge.config.tree import BridgeConfig, Config, DistillConfig, LoraConfig, SamplingConfig
from fbridge.data.latents.shape import Shape, frame_limits
from fbridge.data.stores.kept import keep
from fbridge.data.stores.url import parse_url
from fbridge.errors import CheckpointError, ConfigError, DataError, reason
from fbridge.files.modules import precision_of
from fbridge.loaders.codec import fingerprint
from fbridge.loaders.load import PretrainedModel
from fbridge.loaders.prior import build_prior
from fbridge.memory.apply import shrink
from fbridge.sampling import default_times
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.distillation import CALLS, DistillTraining
from fbridge.train.export.lora import add_lora
from fbridge.train.losses import BridgeTraining, PriorStart, PriorTraining
from fbridge.train.setup.base import frozen_dtype, frozen_memory, load_base
from fbridge.train.setup.image_input import choose_image_input, widen
from fbridge.train.timesteps import limit_times


@dataclass(frozen=True)
class BuiltNetwork:
    """What is trained and all that stays fixed beside it.

    Attributes:
        base: the pretrained model that is fine-tuned; None of a prior.
        transformer: the network as its family saves it.
        backbone: the same behind `fbridge.denoiser.Backbone`; its parameters are the transformer's.
        scheduler: the bridge; None of a prior.
        prior: the frozen network of a neural prior.
        task: the loss.
        old_inputs: number of inputs of the base's first layer, if it was given more.
        about: what a pipeline needs to know: frames, fps, sizes, classes, start_from, world.
        teacher: of a student, the frozen network behind `fbridge.denoiser.Backbone`.
    """

    base: PretrainedModel | None
    transformer: Any
    backbone: nn.Module
    scheduler: FrameBridgeScheduler | None
    prior: nn.Module | None
    task: BridgeTraining | PriorTraining | DistillTraining
    about: dict[str, Any]
    old_inputs: int | None = None
    teacher: nn.Module | None = None


def build_prior_network(config: Config, shape: Shape) -> BuiltNetwork:
    """A network that regresses the video in one pass: the backbone with time removed."""
    torch.manual_seed(config.train.seed)
    network = _scratch(config.model.preset, shape, timed=False, classes=_classes(config, shape))
    if config.train.gradient_checkpointing:
        network.enable_gradient_checkpointing()
    task = PriorTraining(config.regression)
    return BuiltNetwork(None, network, network, None, None, task, {})


def build_generator(
    config: Config, shape: Shape, codec: Codec, base: PretrainedModel | None = None
) -> BuiltNetwork:
    """A network that ends a bridge, or its diffusion baseline, on a base or from scratch.

    Args:
        config: of the run.
        shape: what it must fit.
        codec: of the data set.
        base: as `load_base` gives it; None loads it.

    Raises:
        CheckpointError: base or prior are missing, or do not fit the data.
        ConfigError: the configuration asks for what the base cannot do.
    """
    base = load_base(config) if base is None else base
    distilled = config.bridge.objective == "distill"
    if distilled:
        _check_teacher(config, base)
    _check_codec(base, codec)
    kind, mix, network = _start(config, base, shape)
    image_input = choose_image_input(config, base, shape, prior_kind=kind)
    transformer, old_inputs = base.transformer, None
    if transformer is None:
        base = replace(base, text_encoder=shape.text_encoder)
        torch.manual_seed(config.train.seed)
        transformer = _scratch(str(base.preset), shape, timed=True, classes=_classes(config, shape))
    else:
        _check_fit(base, shape)
        if config.model.condition == "class" and base.classes is None:
            raise ConfigError(
                f'model.condition is "class", but base {base.name} is conditioned on captions; use '
                '"text"'
            )
        old_inputs = widen(config, base, image_input, prior_kind=kind)
    scheduler, times = limit_times(
        build_scheduler(config.bridge, base, image_input, config.sampling), config.times
    )
    if distilled:
        scheduler = _student(scheduler, config.distill, base)
    if config.train.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    shrink(transformer, frozen_memory(config.lora.quantize, config.train.attention))
    copied = deepcopy(transformer) if distilled and not config.lora.rank else transformer
    if config.lora.rank:
        torch.manual_seed(config.train.seed)  # of the updates' initial values
        adapt(transformer, config.lora, config.train.precision)
    prior = build_prior(kind, network, mix, codec)
    start = PriorStart(
        prior, codec if kind == "motion" or (kind == "mix" and network is None) else None
    )
    task = BridgeTraining(
        scheduler.process, scheduler.parameterization, start, times, config.weight
    )
    about = {
        "frames": frame_limits(shape) if base.transformer is None else base.frames,
        "fps": shape.fps if base.transformer is None else base.fps,
        "sizes": [list(size) for size in shape.sizes],
        "classes": list(shape.classes) if _classes(config, shape) else base.classes,
        "start_from": {"kind": kind, "mix": mix},
        **({"world": base.world} if base.world else {}),
    }
    backbone = base.family.adapt(transformer)
    teacher: nn.Module | None = None
    if distilled:
        teacher = _WithoutUpdates(backbone, transformer)
        if copied is not transformer:
            teacher = base.family.adapt(copied.eval().requires_grad_(False))
    return BuiltNetwork(
        base, transformer, backbone, scheduler, network, task, about, old_inputs, teacher
    )


class _WithoutUpdates(nn.Module):
    """A network without its low-rank updates: the teacher of a student that is a LoRA of it.

    What is trained in full beside them, the input layer, is kept as it was.
    """

    def __init__(self, backbone: nn.Module, transformer: Any) -> None:
        super().__init__()
        self._parts = (backbone, transformer)  # in a tuple, for its parameters are the student's
        self._before = {
            name: parameter.detach().clone()
            for name, parameter in backbone.named_parameters()
            if parameter.requires_grad and "lora_" not in name
        }

    @torch.no_grad()
    def forward(self, latents: Tensor, *inputs: Any) -> Any:
        backbone, transformer = self._parts
        before = {name: own.to(latents.device) for name, own in self._before.items()}
        with _updates_off(transformer):
            return torch.func.functional_call(backbone, before, (latents, *inputs))


@contextmanager
def _updates_off(transformer: Any) -> Iterator[None]:
    transformer.disable_adapters()
    try:
        yield
    finally:
        transformer.enable_adapters()


def _check_teacher(config: Config, base: PretrainedModel) -> None:
    """Raise ConfigError unless a base is a bridge and its student's shall be the same."""
    if base.scheduler is None:
        raise ConfigError(
            f"base {base.name}: is no bridge yet, so no student can learn from it; make it one: "
            f"fbridge finetune --base {base.name}"
        )
    bridge = config.bridge
    for key, usual in (("schedule", None), ("prediction", "auto"), ("align", True)):
        if getattr(bridge, key) != usual:
            raise ConfigError(f"bridge.{key}: a student has its teacher's bridge; leave it out")


def _student(
    scheduler: FrameBridgeScheduler, config: DistillConfig, base: PretrainedModel
) -> FrameBridgeScheduler:
    """The scheduler of a student, which says what it was taught."""
    assert base.scheduler is not None, "a teacher is a bridge"
    scale = config.guidance_scale
    taught = {
        "sha256": base.hash,
        "steps": config.steps,
        "guidance_scale": base.scheduler.config.guidance_scale if scale is None else scale,
    }
    known = {key: value for key, value in scheduler.config.items() if key[0] != "_"}
    student = FrameBridgeScheduler(**{**known, "distilled": taught})
    if not student.covers(teacher_times(student)[:-1]):
        first, last = student.time_range
        raise ConfigError(
            f"base {base.name}: knows bridge times {first:.3f} to {last:.3f}, and a teacher's path "
            "goes through all; take one that makes videos alone"
        )
    return student


def teacher_times(student: FrameBridgeScheduler) -> Tensor:
    """Times (N + 1,) of the paths that a student is taught."""
    config: Any = student.config
    return default_times(config, student.process, config.distilled["steps"])


def build_scheduler(
    config: BridgeConfig,
    base: PretrainedModel,
    image_input: str = "bridge",
    sampling: SamplingConfig | None = None,
) -> FrameBridgeScheduler:
    """The bridge of a configuration over a base.

    A base that is a bridge already keeps its own but for what the configuration says. Another one
    is aligned: the network sees each state as one of its own diffusion (`fbridge.alignment`).
    Without alignment, and from scratch, it sees the state as it is.
    """
    known: dict[str, Any] = {}
    objective: str = config.objective
    if base.scheduler is not None:
        if not config.align and str(base.prediction).startswith("aligned"):
            raise ConfigError(
                f"bridge.align false: base {base.name} is an aligned bridge already; take the "
                "text-to-video model that it was made from"
            )
        known = {key: value for key, value in base.scheduler.config.items() if key[0] != "_"}
        known.pop("distilled", None)
        if config.objective == "distill":
            objective = known.get("objective", "bridge")
            known |= {"steps": CALLS, "guidance_scale": 1.0, "guidance_scale_2": None}
        if known.get("objective", "bridge") != objective:
            known.pop("schedule", None)
    elif config.align and base.noise_schedule is not None:
        assert base.prediction is not None
        known = {"prediction": aligned_prediction(base.prediction), "base": base.noise_schedule}
    else:
        known = {"prediction": "psi-noise"}
    few = [lora.steps for lora in base.loras if lora.steps is not None]
    if few:  # distilled: it samples as its base does
        known |= {"steps": few[-1], "guidance_scale": 1.0}
    known |= {} if sampling is None else sampling.given()
    known |= {"objective": objective, "image_input": image_input}
    if config.schedule is not None:
        known["schedule"] = dict(config.schedule)
    if config.prediction != "auto":
        known["prediction"] = config.prediction
    if str(known["prediction"]).startswith("aligned") and known.get("base") is None:
        raise ConfigError(
            f"bridge.prediction {known['prediction']!r} needs a pretrained base with noise levels; "
            "use psi-noise, clean or preconditioned"
        )
    return FrameBridgeScheduler(**known)


def _scratch(preset: str, shape: Shape, *, timed: bool, classes: int) -> SpaceTimeTransformer:
    if (shape.condition_height, shape.condition_width) != (shape.height, shape.width):
        raise DataError(
            f"the codec's pictures are {shape.condition_width}x{shape.condition_height} and its "
            f"latents {shape.width}x{shape.height}; a network from scratch needs one grid"
        )
    return build_scratch(
        preset,
        channels=shape.channels,
        height=shape.height,
        width=shape.width,
        condition_channels=shape.condition_channels,
        text_width=0 if classes else shape.text_width,
        timed=timed,
        classes=classes,
    )


def _classes(config: Config, shape: Shape) -> int:
    if config.model.condition == "text":
        return 0
    if not shape.classes:
        raise DataError(
            'model.condition is "class", but the data set has no labels; prepare one of a layout '
            'that has them (UCF-101), or use "text"'
        )
    return len(shape.classes)


def _check_fit(base: PretrainedModel, shape: Shape) -> None:
    """Raise CheckpointError unless latents and words of the data are those of the base."""
    channels = base.family.latents(base.transformer)
    if channels != shape.channels:
        raise CheckpointError(
            f"base {base.name}: its latents have {channels} channels, the data set's "
            f"{shape.channels}; prepare the videos with this base's codec: "
            f"fbridge prepare VIDEOS -o DIR --codec {base.name}"
        )
    width = base.family.prompt_width(base.transformer)
    if width and width != shape.text_width:
        raise CheckpointError(
            f"base {base.name}: its words have {width} features, the data set's "
            f"{shape.text_width}; prepare the videos with its text encoder: --text-encoder "
            f"{base.text_encoder}"
        )


def prior_folder(config: Config) -> Path | None:
    """Where the network of a neural prior lies: the folder named, or the result of that run.

    Raises:
        FBridgeError: it is behind a URL and cannot be fetched.
    """
    if config.prior.path is None or config.prior.kind not in ("auto", "neural", "mix"):
        return None
    url = parse_url(config.prior.path, "prior.path")
    folder = Path(config.prior.path) if url is None else keep(url)
    inner = folder / "prior"
    return inner if (inner / "config.json").is_file() else folder


def _check_codec(base: PretrainedModel, codec: Codec) -> None:
    """Raise CheckpointError where the latents of the data are not those of the base."""
    if base.codec is None or base.codec is codec:
        return
    if fingerprint(base.codec) != fingerprint(codec):
        raise CheckpointError(
            f"base {base.name}: its codec is another one than the data set's; prepare the videos "
            f"with this base's: fbridge prepare VIDEOS -o DIR --codec {base.name}"
        )


def _start(
    config: Config, base: PretrainedModel, shape: Shape
) -> tuple[str, float, nn.Module | None]:
    """Kind, mix and network of the prior: as configured, else the base's own, else the picture."""
    kind, mix = config.prior.kind, config.prior.mix
    if kind != "auto":
        return kind, mix, _load_prior(config, shape)
    if config.prior.path is not None:
        return "neural", mix, _load_prior(config, shape)
    own = base.start_from or {"kind": "repeat" if base.prior is None else "neural"}
    if base.prior is not None:
        base.prior.float().eval().requires_grad_(False)
    return own["kind"], own.get("mix", mix), base.prior


def _load_prior(config: Config, shape: Shape) -> nn.Module | None:
    folder = prior_folder(config)
    if folder is None:
        return None
    if not (folder / "config.json").is_file():
        unfinished = any(folder.glob("checkpoint-*"))
        raise CheckpointError(
            f"prior.path {config.prior.path}: holds no trained prior; "
            + ("let that run end first: fbridge train-prior --resume" if unfinished
               else "fbridge train-prior makes one")
        )  # fmt: skip
    try:
        network = SpaceTimeTransformer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # what libraries raise over broken files is of many kinds
        raise CheckpointError(f"prior.path {folder}: does not load: {reason(error)}") from error
    if network.config["timed"] or network.config["channels"] != shape.channels:
        raise CheckpointError(
            f"prior.path {folder}: is no prior for latents of {shape.channels} channels; train "
            "one on this data set"
        )
    return network.float().eval().requires_grad_(False)


_FLOATS = (torch.float32, torch.bfloat16, torch.float16)


def adapt(transformer: Any, config: LoraConfig, precision: str) -> None:
    """Add updates; what stays frozen is kept in the precision of the arithmetic, to save memory."""
    add_lora(
        transformer,
        rank=config.rank,
        alpha=config.alpha,
        dora=config.dora,
        dropout=config.dropout,
        targets=tuple(config.targets),
    )
    kept = frozen_dtype(precision)
    for name, parameter in transformer.named_parameters():
        if not parameter.requires_grad and parameter.dtype in _FLOATS:
            parameter.data = parameter.data.to(precision_of(type(transformer), name, kept))
