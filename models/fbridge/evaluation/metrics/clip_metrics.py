"""Metrics of single clips: against the real clip, the picture or the caption, and of motion."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from fbridge.evaluation.metrics import pixels, vbench
from fbridge.evaluation.metrics.metric import ClipMetric, MetricInputs, Needs
from fbridge.evaluation.networks import flow_parts

_PICTURE: frozenset[Needs] = frozenset({"picture"})
_PAIR: frozenset[Needs] = frozenset({"pair"})

_EQUAL_DB = 100.0
"""PSNR that equal frames count as in a mean over clips; no clip counts as more."""


def _cosines(rows: Tensor, other: Tensor) -> Tensor:
    """(N,) cosines of rows (N, D) with one vector of D numbers."""
    return F.normalize(rows.double(), dim=-1) @ F.normalize(other.double().reshape(-1), dim=0)


def _clipsim(features: MetricInputs) -> float:
    from fbridge.evaluation.networks.clip import text_features

    return float(_cosines(features.own["clip"], text_features(features.caption)).mean())


MOTION = ClipMetric(
    name="motion", label="motion", better="neither",
    about="mean optical flow in pixels a frame (dense inverse search), at the size compared",
    own=("flow",), score=lambda features: float(features.own["flow"].double().mean()),
)  # fmt: skip
FLICKER = ClipMetric(
    name="flicker", label="flicker", better="lower",
    about="mean second difference in time of the frames' brightness, in levels of 255",
    own=("flicker",), score=lambda features: float(features.own["flicker"][0]),
)  # fmt: skip
PSNR = ClipMetric(
    name="psnr", label="PSNR dB", better="higher", needs=_PAIR,
    about="against the real clip with the same name, of the mean squared error over the clip",
    settings=f"clip-mse,equal{_EQUAL_DB:g}", ceiling=_EQUAL_DB,
    pair=("psnr",), score=lambda features: pixels.clip_psnr(features.pair["psnr"]),
)  # fmt: skip
SSIM = ClipMetric(
    name="ssim", label="SSIM", better="higher", needs=_PAIR,
    about="against the real clip with the same name, Gaussian window (Wang et al. 2004)",
    pair=("ssim",), score=lambda features: float(features.pair["ssim"].double().mean()),
)  # fmt: skip
LPIPS = ClipMetric(
    name="lpips", label="LPIPS", better="lower", needs=_PAIR, networks=("alexnet", "lpips"),
    about="against the real clip with the same name, AlexNet v0.1 (Zhang et al. 2018)",
    pair=("lpips",), score=lambda features: float(features.pair["lpips"].double().mean()),
)  # fmt: skip
FIRST_FRAME = ClipMetric(
    name="first-frame", label="first frame dB", better="higher", needs=_PICTURE,
    about="PSNR of the first frame against the picture it was made from",
    settings=f"equal{_EQUAL_DB:g}", ceiling=_EQUAL_DB, with_picture=("psnr-first",),
    score=lambda features: float(features.with_picture["psnr-first"][0]),
)  # fmt: skip
CONFORMITY = ClipMetric(
    name="pixel-conformity", label="pixel conformity", better="higher", needs=_PICTURE,
    about="1 minus the mean absolute difference of all frames to the picture; not PIC",
    with_picture=("difference",),
    score=lambda features: 1 - float(features.with_picture["difference"].double().mean()),
)  # fmt: skip
CLIPSIM = ClipMetric(
    name="clipsim", label="CLIPSIM", better="higher", needs=frozenset({"caption"}),
    networks=("clip", "clip-merges"),
    about="mean cosine of frames and caption under CLIP ViT-B/32 (GODIVA)",
    own=("clip",), score=_clipsim,
)  # fmt: skip
PIC = ClipMetric(
    name="pic", label="PIC", better="higher", needs=_PICTURE,
    networks=("dreamsim-dino", "dreamsim-clip", "dreamsim-open-clip", "dreamsim-lora"),
    about="mean cosine of picture and frames under DreamSim (DynamiCrafter); 1 for a frozen video",
    own=("dreamsim",), picture=("dreamsim",),
    score=lambda m: float(_cosines(m.own["dreamsim"], m.picture["dreamsim"][0]).mean()),
)  # fmt: skip
I2V_SUBJECT = ClipMetric(
    name="i2v-subject", label="i2v subject", better="higher", needs=_PICTURE, networks=("dino",),
    about="VBench-I2V's i2v_subject: DINO ViT-B/16 of picture and frames",
    own=("dino-crop",), picture=("dino-crop",),
    score=lambda m: vbench.i2v_similarity(m.picture["dino-crop"], m.own["dino-crop"]),
)  # fmt: skip
I2V_BACKGROUND = ClipMetric(
    name="i2v-background", label="i2v background", better="higher", needs=_PICTURE,
    networks=PIC.networks,
    about="VBench-I2V's i2v_background: DreamSim of picture and frames",
    own=("dreamsim",), picture=("dreamsim",),
    score=lambda m: vbench.i2v_similarity(m.picture["dreamsim"], m.own["dreamsim"]),
)  # fmt: skip
SUBJECT = ClipMetric(
    name="subject-consistency", label="subject consistency", better="higher", networks=("dino",),
    about="VBench's subject_consistency: DINO ViT-B/16 of neighbouring frames",
    own=("dino-squeeze",), score=lambda features: vbench.consistency(features.own["dino-squeeze"]),
)  # fmt: skip
BACKGROUND = ClipMetric(
    name="background-consistency", label="background consistency", better="higher",
    networks=("clip",),
    about="VBench's background_consistency: CLIP ViT-B/32 of neighbouring frames",
    own=("clip-tensor",), score=lambda features: vbench.consistency(features.own["clip-tensor"]),
)  # fmt: skip

AESTHETIC = ClipMetric(
    name="aesthetic-quality", label="aesthetic quality", better="higher",
    networks=("clip-l14", "aesthetic"),
    about="VBench's aesthetic_quality: LAION's predictor over CLIP ViT-L/14, over 10",
    own=("aesthetic",),
    score=lambda features: float(features.own["aesthetic"].double().mean()) / 10,
)  # fmt: skip
IMAGING = ClipMetric(
    name="imaging-quality", label="imaging quality", better="higher", networks=("musiq",),
    about="VBench's imaging_quality: MUSIQ trained on SPAQ, over 100",
    own=("musiq",), score=lambda features: float(features.own["musiq"].double().mean()) / 100,
)  # fmt: skip
SMOOTHNESS = ClipMetric(
    name="motion-smoothness", label="motion smoothness", better="higher", networks=("amt-s",),
    min_frames=3, min_side=flow_parts.SMALLEST,
    about="VBench's motion_smoothness: every second frame as AMT-S interpolates it",
    own=("amt",), score=lambda features: vbench.motion_smoothness(features.own["amt"]),
)  # fmt: skip
DYNAMIC = ClipMetric(
    name="dynamic-degree", label="dynamic degree", better="neither", networks=("raft",),
    min_side=flow_parts.SMALLEST,
    about="VBench's dynamic_degree: share of clips with enough RAFT flow, at the frames compared",
    own=("raft",), score=lambda features: float(vbench.is_dynamic(features.own["raft"])),
)  # fmt: skip

CLIPS = (
    PSNR, SSIM, LPIPS, FIRST_FRAME, CONFORMITY, PIC, CLIPSIM, I2V_SUBJECT, I2V_BACKGROUND, SUBJECT,
    BACKGROUND, SMOOTHNESS, DYNAMIC, AESTHETIC, IMAGING, MOTION, FLICKER,
)  # fmt: skip
"""In the order in which they are listed."""
