"""Metrics of single clips: against the real clip, the picture or the caption, and of motion."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from fbridge.evaluation.metrics import vbench
from fbridge.evaluation.metrics.metric import ClipMetric, MetricInputs, Needs
from fbridge.evaluation.networks import flow_parts

_PICTURE: frozenset[Needs] = frozenset({"picture"})
_PAIR: frozenset[Needs] = frozenset({"pair"})


def _finite_mean(scores: Tensor) -> float:
    """Mean over the finite scores; infinite where there is none."""
    finite = scores[scores.isfinite()]
    return float(finite.mean()) if len(finite) else float("inf")


def _psnr(features: MetricInputs) -> float:
    """Mean over the frames that differ from the real ones; infinite where none differs."""
    return _finite_mean(features.pair["psnr"].double())


def _cosines(rows: Tensor, other: Tensor) -> Tensor:
    """(N,) cosines of rows (N, D) with one vector of D numbers."""
    return F.normalize(rows.double(), dim=-1) @ F.normalize(other.double().reshape(-1), dim=0)


def _clipsim(features: MetricInputs) -> float:
    from fbridge.evaluation.networks.clip import text_features

    return float(_cosines(features.own["clip"], text_features(features.caption)).mean())


MOTION = ClipMetric(
    name="motion",
    label="motion",
    about="mean optical flow in pixels a frame (dense inverse search), at the size compared",
    better="neither",
    own=("flow",),
    score=lambda features: float(features.own["flow"].double().mean()),
)
FLICKER = ClipMetric(
    name="flicker",
    label="flicker",
    about="mean second difference in time of the frames' brightness, in levels of 255",
    better="lower",
    own=("flicker",),
    score=lambda features: float(features.own["flicker"][0]),
)
PSNR = ClipMetric(
    name="psnr",
    label="PSNR dB",
    about="against the real clip with the same name, mean over frames",
    better="higher",
    needs=_PAIR,
    pair=("psnr",),
    score=_psnr,
    pool=_finite_mean,
)
SSIM = ClipMetric(
    name="ssim",
    label="SSIM",
    about="against the real clip with the same name, Gaussian window (Wang et al. 2004)",
    better="higher",
    needs=_PAIR,
    pair=("ssim",),
    score=lambda features: float(features.pair["ssim"].double().mean()),
)
LPIPS = ClipMetric(
    name="lpips",
    label="LPIPS",
    about="against the real clip with the same name, AlexNet v0.1 (Zhang et al. 2018)",
    better="lower",
    needs=_PAIR,
    networks=("alexnet", "lpips"),
    pair=("lpips",),
    score=lambda features: float(features.pair["lpips"].double().mean()),
)
FIRST_FRAME = ClipMetric(
    name="first-frame",
    label="first frame dB",
    about="PSNR of the first frame against the picture it was made from",
    better="higher",
    needs=_PICTURE,
    with_picture=("psnr-first",),
    score=lambda features: float(features.with_picture["psnr-first"][0]),
    pool=_finite_mean,
)
CONFORMITY = ClipMetric(
    name="pixel-conformity",
    label="pixel conformity",
    about="1 minus the mean absolute difference of all frames to the picture; not PIC",
    better="higher",
    needs=_PICTURE,
    with_picture=("difference",),
    score=lambda features: 1 - float(features.with_picture["difference"].double().mean()),
)
CLIPSIM = ClipMetric(
    name="clipsim",
    label="CLIPSIM",
    about="mean cosine of frames and caption under CLIP ViT-B/32 (GODIVA)",
    better="higher",
    needs=frozenset({"caption"}),
    networks=("clip", "clip-merges"),
    own=("clip",),
    score=_clipsim,
)
PIC = ClipMetric(
    name="pic",
    label="PIC",
    about="mean cosine of picture and frames under DreamSim (DynamiCrafter); 1 for a frozen video",
    better="higher",
    needs=_PICTURE,
    networks=("dreamsim-dino", "dreamsim-clip", "dreamsim-open-clip", "dreamsim-lora"),
    own=("dreamsim",),
    picture=("dreamsim",),
    score=lambda m: float(_cosines(m.own["dreamsim"], m.picture["dreamsim"][0]).mean()),
)
I2V_SUBJECT = ClipMetric(
    name="i2v-subject",
    label="i2v subject",
    about="VBench-I2V's i2v_subject: DINO ViT-B/16 of picture and frames",
    better="higher",
    needs=_PICTURE,
    networks=("dino",),
    own=("dino-crop",),
    picture=("dino-crop",),
    score=lambda m: vbench.i2v_similarity(m.picture["dino-crop"], m.own["dino-crop"]),
)
I2V_BACKGROUND = ClipMetric(
    name="i2v-background",
    label="i2v background",
    about="VBench-I2V's i2v_background: DreamSim of picture and frames",
    better="higher",
    needs=_PICTURE,
    networks=PIC.networks,
    own=("dreamsim",),
    picture=("dreamsim",),
    score=lambda m: vbench.i2v_similarity(m.picture["dreamsim"], m.own["dreamsim"]),
)
SUBJECT = ClipMetric(
    name="subject-consistency",
    label="subject consistency",
    about="VBench's subject_consistency: DINO ViT-B/16 of neighbouring frames",
    better="higher",
    networks=("dino",),
    own=("dino-squeeze",),
    score=lambda features: vbench.consistency(features.own["dino-squeeze"]),
)
BACKGROUND = ClipMetric(
    name="background-consistency",
    label="background consistency",
    about="VBench's background_consistency: CLIP ViT-B/32 of neighbouring frames",
    better="higher",
    networks=("clip",),
    own=("clip-tensor",),
    score=lambda features: vbench.consistency(features.own["clip-tensor"]),
)

AESTHETIC = ClipMetric(
    name="aesthetic-quality",
    label="aesthetic quality",
    about="VBench's aesthetic_quality: LAION's predictor over CLIP ViT-L/14, over 10",
    better="higher",
    networks=("clip-l14", "aesthetic"),
    own=("aesthetic",),
    score=lambda features: float(features.own["aesthetic"].double().mean()) / 10,
)
IMAGING = ClipMetric(
    name="imaging-quality",
    label="imaging quality",
    about="VBench's imaging_quality: MUSIQ trained on SPAQ, over 100",
    better="higher",
    networks=("musiq",),
    own=("musiq",),
    score=lambda features: float(features.own["musiq"].double().mean()) / 100,
)
SMOOTHNESS = ClipMetric(
    name="motion-smoothness",
    label="motion smoothness",
    about="VBench's motion_smoothness: every second frame as AMT-S interpolates it",
    better="higher",
    networks=("amt-s",),
    min_frames=3,
    min_side=flow_parts.SMALLEST,
    own=("amt",),
    score=lambda features: vbench.motion_smoothness(features.own["amt"]),
)
DYNAMIC = ClipMetric(
    name="dynamic-degree",
    label="dynamic degree",
    about="VBench's dynamic_degree: share of clips with enough RAFT flow, at the frames compared",
    better="neither",
    networks=("raft",),
    min_side=flow_parts.SMALLEST,
    own=("raft",),
    score=lambda features: float(vbench.is_dynamic(features.own["raft"])),
)

CLIPS = (
    PSNR, SSIM, LPIPS, FIRST_FRAME, CONFORMITY, PIC, CLIPSIM, I2V_SUBJECT, I2V_BACKGROUND, SUBJECT,
    BACKGROUND, SMOOTHNESS, DYNAMIC, AESTHETIC, IMAGING, MOTION, FLICKER,
)  # fmt: skip
"""In the order in which they are listed."""
