"""Which classes a bridge's folder may name: libraries import whatever its index asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fbridge.backbones.families import FAMILIES
from fbridge.backbones.latte_class import LatteClassTransformer
from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.backbones.videocrafter.network import VideoCrafterUNet
from fbridge.codecs.motion import MotionCodec
from fbridge.codecs.pixel import PixelCodec
from fbridge.codecs.scene_codec import SceneCodec
from fbridge.codecs.vae import VAE_KINDS
from fbridge.errors import CheckpointError
from fbridge.files.base_file import FORMAT
from fbridge.files.configs import check_form, check_no_code, read_json
from fbridge.files.model_forms import AdapterForm, BridgeForm, SchedulerForm
from fbridge.scheduler import FrameBridgeScheduler

KNOWN_COMPONENTS = (
    SpaceTimeTransformer,
    LatteClassTransformer,
    VideoCrafterUNet,
    MotionCodec,
    SceneCodec,
    PixelCodec,
    FrameBridgeScheduler,
)
"""Classes of ours that a folder may name: diffusers finds only those of modules imported before."""
_OWN = {kind.__name__: kind.__module__ for kind in KNOWN_COMPONENTS}
_CLASSES = {
    "transformer": tuple(FAMILIES),
    "transformer_2": tuple(FAMILIES),
    "prior": tuple(FAMILIES),
    "codec": (MotionCodec.__name__, PixelCodec.__name__, SceneCodec.__name__),
    "vae": tuple(VAE_KINDS),
    "scheduler": (FrameBridgeScheduler.__name__,),
}
"""Of each part of ours and diffusers'."""
_OF_TRANSFORMERS = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "image_encoder")
_FACTS = ("frames", "sizes", "classes", "reading")
"""Lists in an index that are no parts."""


def check_adapter(path: Path, facts: dict[str, Any]) -> None:
    """Raise CheckpointError where an adapter's card has not its form; other formats are let by."""
    if facts.get("format", FORMAT) == FORMAT:
        check_form(AdapterForm, facts, path)


def check_bridge(path: Path, index: dict[str, Any], scheduler: Path) -> None:
    """Refuse a bridge whose index or scheduler has not its form, or names what is no part of it.

    Args:
        path: of the index, in the pipeline's folder.
        index: what it holds.
        scheduler: configuration of its scheduler, which may be absent.

    Raises:
        CheckpointError: as said; names file and key.
    """
    if index.get("format", FORMAT) == FORMAT:
        check_form(BridgeForm, index, path)
    check_components(path.parent, index)
    if scheduler.is_file():
        check_form(SchedulerForm, read_json(scheduler), scheduler)


def check_components(folder: Path, index: dict[str, Any]) -> None:
    """Refuse a bridge's folder whose `model_index.json` names what is none of its parts.

    diffusers imports the module that an index names for a part, and looks for it in the part's own
    folder first. Configurations that point at code are refused as well (`check_no_code`).

    Args:
        folder: of the pipeline.
        index: its `model_index.json`.

    Raises:
        CheckpointError: a part or its class is not known, or a part's configuration names code.
    """
    if not isinstance(index.get("_class_name"), str):
        raise _refused(folder, "_class_name", index.get("_class_name"))
    for part, value in index.items():
        if not isinstance(value, list) or part in _FACTS or value == [None, None]:
            continue
        if not _is_known(part, value):
            raise _refused(folder, part, value)
        check_no_code(folder / part)


def _is_known(part: str, value: list[Any]) -> bool:
    if len(value) != 2 or not all(isinstance(name, str) for name in value):
        return False
    library, name = value
    if part in _OF_TRANSFORMERS:
        return library == "transformers" and _is_of_transformers(name)
    return name in _CLASSES.get(part, ()) and library == _OWN.get(name, "diffusers")


def _is_of_transformers(name: str) -> bool:
    """Whether transformers itself has a network or a tokenizer of a name."""
    import transformers

    kind = getattr(transformers, name, None)
    known = (transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase)
    return isinstance(kind, type) and issubclass(kind, known)


def _refused(folder: Path, part: str, value: Any) -> CheckpointError:
    return CheckpointError(
        f"{folder}/model_index.json: names {value!r} as {part}, which is no part that fbridge "
        "knows; code of a model's folder is never run"
    )
