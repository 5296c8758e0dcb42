"""Protocols: all that decides the value of a video metric before a network is run.

A Fréchet Video Distance changes by tens of points with the clips' length, the size at which frames
are stored and which frames are taken. Each score therefore carries an id of these settings
(`Protocol.clip_id` is a part of it), and scores with different ids are not compared.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from fbridge.checks import check_range
from fbridge.errors import ConfigError

Starts = Literal["head", "random"]
Named = TypeVar("Named")


@dataclass(frozen=True)
class Protocol:
    """Which frames are compared, and how a distance between their features is computed.

    Attributes:
        name: on the command line.
        about: its source, in a line.
        frames: frames of a clip.
        stride: step between frames taken from a reference video.
        generated_stride: step between frames taken from a generated video.
        size: (width, height) that frames are cropped (from the middle) and resized to, in one step,
            before any network. None is the size of the generated videos.
        resize: how I3D's input is resized to 224 x 224: "bilinear" (half-pixel centres) or "tf1".
        ddof: covariances are divided by N - ddof; 0 or 1.
        starts: where clips begin in longer reference videos: "head", or "random" by `seed` and the
            file's content. The reference of a pair always begins at its head.
        most: largest number of clips a side; of more, this many are drawn by `seed`.
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
        """A copy with the given values; its name gets a "*" if clips are cut differently.

        Raises:
            ConfigError: a value is out of range.
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
        """Which frames are taken, such as "T16,s3,store256x256-cc-aa,uint8,head"."""
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
    """The protocol with this name.

    Raises:
        ConfigError: there is none.
    """
    return find_named("--protocol", name, PROTOCOLS)


def find_named(option: str, name: str, known: Mapping[str, Named]) -> Named:
    """The entry of `known` that `option` names.

    Raises:
        ConfigError: there is none; suggests a similar name.
    """
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"{option} {name}: unknown; {guess}there are {', '.join(known)}")
    return known[name]
