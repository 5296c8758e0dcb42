"""Protocols: all that decides a number of a video metric before any network is asked.

A Fréchet Video Distance moves by tens of points with the clips' length, the size at which frames
are stored and which frames are taken, so each of these is part of the number's name: `Protocol.id`
goes into every score, and two scores whose ids differ are not compared.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import Literal

from fbridge.checks import check_range
from fbridge.errors import ConfigError

Starts = Literal["head", "random"]


@dataclass(frozen=True)
class Protocol:
    """Which frames are looked at, and how a distance between their features is taken.

    Attributes:
        name: what it is called on the command line.
        about: where it comes from, in a line.
        frames: frames of a clip.
        stride: every how many-th frame of a reference video.
        generated_stride: likewise of a generated one.
        size: (width, height) at which frames are kept before any network sees them: cropped from
            the middle and resized in one step. None is the size of the generated videos.
        resize: how I3D's input is brought to 224 x 224: "bilinear" (half-pixel centres) or "tf1".
        ddof: covariances are divided by N - ddof.
        starts: where clips begin in reference videos that are longer: "head", or "random" by
            `seed` and the file's content. A pair's reference always begins at its head.
        most: clips a side; of more, so many are drawn by `seed`.
        seed: of both draws.
    """

    name: str
    about: str
    frames: int = 16
    stride: int = 1
    generated_stride: int = 1
    size: tuple[int, int] | None = None
    resize: Literal["bilinear", "tf1"] = "bilinear"
    ddof: int = 0
    starts: Starts = "head"
    most: int = 2048
    seed: int = 0

    def with_(
        self,
        *,
        frames: int | None = None,
        stride: int | None = None,
        size: tuple[int, int] | None = None,
        most: int | None = None,
        seed: int | None = None,
    ) -> Protocol:
        """Another one that differs where a value is given; its name tells so.

        Raises:
            ConfigError: for values that cannot be.
        """
        changes = {
            name: value
            for name, value in (("frames", frames), ("size", size), ("most", most), ("seed", seed))
            if value is not None and value != getattr(self, name)
        }
        if stride is not None:
            changes |= {"stride": stride, "generated_stride": stride}
        if not changes:
            return self
        for name, least in (("frames", 2), ("stride", 1), ("most", 2)):
            value = changes.get(name)
            if isinstance(value, int) and value < least:
                raise ConfigError(f"--{_OPTIONS[name]} {value}: must be at least {least}")
        check_range("--seed", seed, 0, 2**63 - 1)
        harmless = set(changes) <= {"most", "seed"}
        changed = self.name if harmless or self.name.endswith("*") else f"{self.name}*"
        return replace(self, name=changed, **changes)  # type: ignore[arg-type]

    @property
    def clip_id(self) -> str:
        """What was looked at: "T16,s3,store256x256-cc-aa,uint8,head"."""
        steps = f"s{self.stride}"
        if self.generated_stride != self.stride:
            steps += f"/{self.generated_stride}"
        where = self.starts if self.starts == "head" else f"random{self.seed}"
        size = "own" if self.size is None else f"{self.size[0]}x{self.size[1]}"
        return f"T{self.frames},{steps},store{size}-cc-aa,uint8,{where}"


_OPTIONS = {"frames": "frames", "stride": "stride", "most": "clips"}

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "stylegan-v",
            "fvd2048_16f of StyleGAN-V: 16 frames in a row, one clip a video, covariances over N",
            starts="random",
        ),
        Protocol(
            "tf",
            "the original of google-research: TensorFlow 1's resize, covariances over N - 1",
            resize="tf1",
            ddof=1,
        ),
        Protocol(
            "ucf101-zero-shot",
            "16 frames, every third of the real clips, at 256x256: UCF-101 in DynamiCrafter "
            "(arXiv 2310.12190) and FrameBridge (arXiv 2410.15371)",
            stride=3,
            size=(256, 256),
        ),
        Protocol(
            "msrvtt-zero-shot",
            "16 frames, every third of the real clips, at 256x256: MSR-VTT's test split in "
            "DynamiCrafter (arXiv 2310.12190) and FrameBridge (arXiv 2410.15371)",
            stride=3,
            size=(256, 256),
        ),
    )
}
"""By name; the first is the default."""


def find_protocol(name: str) -> Protocol:
    """The protocol called so.

    Raises:
        ConfigError: when there is none.
    """
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, PROTOCOLS, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"--protocol {name}: unknown; {guess}there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
