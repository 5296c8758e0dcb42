"""A workflow of ComfyUI, in the form of its API, that animates a picture with a bridge's LoRA.

Its start is the still picture's video, noised; its steps are those of the sampler "ode".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fbridge.alignment import FlowSchedule
from fbridge.files.lora_record import LoraRecord
from fbridge.loaders.lora import AdapterCard
from fbridge.loaders.pretrained import PretrainedModel
from fbridge.sampling import default_times
from fbridge.scheduler import FrameBridgeScheduler

Node = dict[str, Any]
_SIZE = (832, 480)
_WIDE = 48  # channels of Wan 2.2 5B, which has an autoencoder of its own


def sigmas(scheduler: FrameBridgeScheduler) -> list[float]:
    """The times of the flow at which the ODE is sampled, from the first to 0."""
    config, alignment = scheduler.config, scheduler.parameterization.alignment
    assert alignment is not None, "checked by comfy_lora.check_exportable"
    assert isinstance(alignment.base, FlowSchedule), "likewise"
    times = default_times(config, scheduler.process)[:-1]
    times = alignment.time(times) / alignment.base.time_scale
    return [*times.tolist(), 0.0]


def workflow(card: AdapterCard, base: PretrainedModel, lora: str) -> dict[str, Node]:
    """Nodes by number.

    Args:
        card: of the adapter.
        base: it was trained on.
        lora: name of the LoRA's file.
    """
    facts = {**base.components(), **card.pipeline}
    scheduler = FrameBridgeScheduler(**card.scheduler)
    width, height = (facts.get("sizes") or [_SIZE])[0]
    wide = base.family.latents(base.transformer) == _WIDE
    steps = ", ".join(f"{sigma:.8f}" for sigma in sigmas(scheduler))
    nodes: dict[str, Node] = {
        "base": _node("UNETLoader", unet_name=Path(card.base).name, weight_dtype="default"),
        "clip": _node(
            "CLIPLoader", clip_name="umt5_xxl_fp16.safetensors", type="wan", device="default"
        ),
        "vae": _node(
            "VAELoader", vae_name=f"{'wan2.2' if wide else 'wan_2.1'}_vae.safetensors"
        ),
        "picture": _node("LoadImage", image="picture.png"),
        "fitted": _node(
            "ImageScale", image=("picture", 0), upscale_method="lanczos", width=width,
            height=height, crop="center",
        ),
        "still": _node("RepeatImageBatch", image=("fitted", 0), amount=facts["frames"][0]),
        "prior": _node("VAEEncode", pixels=("still", 0), vae=("vae", 0)),
        "prompt": _node("CLIPTextEncode", clip=("clip", 0), text="a cat jumps"),
        "negative": _node("CLIPTextEncode", clip=("clip", 0), text=""),
        "shown": _node(
            "InstructPixToPixConditioning", positive=("prompt", 0), negative=("negative", 0),
            vae=("vae", 0), pixels=("still", 0),
        ),
        "noise": _node("RandomNoise", noise_seed=7),
        "euler": _node("KSamplerSelect", sampler_name="euler"),
        "sigmas": _node("ManualSigmas", sigmas=steps),
    }  # fmt: skip
    model = _with_loras(nodes, [LoraRecord(**one) for one in card.loras], lora)
    nodes["guider"] = _node(
        "CFGGuider", model=(model, 0), positive=("shown", 0), negative=("shown", 1),
        cfg=scheduler.config.guidance_scale,
    )  # fmt: skip
    nodes["sampled"] = _node(
        "SamplerCustomAdvanced", noise=("noise", 0), guider=("guider", 0), sampler=("euler", 0),
        sigmas=("sigmas", 0), latent_image=("prior", 0),
    )  # fmt: skip
    nodes["frames"] = _node("VAEDecode", samples=("sampled", 0), vae=("vae", 0))
    nodes["video"] = _node("CreateVideo", images=("frames", 0), fps=float(facts["fps"]))
    nodes["saved"] = _node(
        "SaveVideo", video=("video", 0), filename_prefix="video/fbridge", format="auto",
        codec="auto",
    )  # fmt: skip
    return _numbered(nodes)


def _node(kind: str, **inputs: Any) -> Node:
    return {"class_type": kind, "inputs": inputs}


def _with_loras(nodes: dict[str, Node], base: Sequence[LoraRecord], own: str) -> str:
    """Add loaders of the base's LoRAs and of the bridge's own; returns the name of the last."""
    before = "base"
    for number, one in enumerate([*base, LoraRecord(own, "")]):
        name = f"lora {number}"
        nodes[name] = _node(
            "LoraLoaderModelOnly", model=(before, 0), lora_name=one.name,
            strength_model=one.weight,
        )  # fmt: skip
        before = name
    return before


def _numbered(nodes: dict[str, Node]) -> dict[str, Node]:
    """With the names as titles, and numbers in their place."""
    numbers = {name: str(number) for number, name in enumerate(nodes, start=1)}

    def linked(value: Any) -> Any:
        return [numbers[value[0]], value[1]] if isinstance(value, tuple) else value

    return {
        numbers[name]: {
            "class_type": node["class_type"],
            "inputs": {key: linked(value) for key, value in node["inputs"].items()},
            "_meta": {"title": name},
        }
        for name, node in nodes.items()
    }
