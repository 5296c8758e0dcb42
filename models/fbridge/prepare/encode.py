"""Clips of frames to latents: in batches, with less at a time where the memory is short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fbridge.codecs import Codec, Gaussian
from fbridge.errors import DependencyError
from fbridge.loaders.text_encoder import TextEncoder

Frames = npt.NDArray[np.uint8]


@dataclass
class Moments:
    """Sums over latents in float64, by channel.

    They give what preconditioning needs, DDBM's sigma_0, sigma_T and sigma_0T.

    Attributes:
        number: numbers summed a channel.
        clip, still: sums.
        clip_square, still_square: of squares, the codec's own variance included, so that they are
            those of the samples that training draws.
        product: of clip and still.
    """

    number: int = 0
    clip: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    clip_square: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    still: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    still_square: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    product: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))

    @classmethod
    def of(cls, tensors: dict[str, Tensor]) -> Moments:
        """Those of stored clips and their still ones."""
        clip, still = tensors["clip"].double(), tensors["still"].double()
        still = still.expand(-1, clip.shape[1], -1, -1, -1)
        axes = (0, 1, 3, 4)
        return cls(
            clip.numel() // clip.shape[2],
            clip.sum(axes),
            (clip.square() + _variance(tensors, "clip", clip)).sum(axes),
            still.sum(axes),
            (still.square() + _variance(tensors, "still", clip)).sum(axes),
            (clip * still).sum(axes),
        )

    def add(self, sums: dict[str, list[float] | int]) -> None:
        """Add another one's `to_json`."""
        self.number += int(sums["number"])  # type: ignore[arg-type]
        for name in ("clip", "clip_square", "still", "still_square", "product"):
            more = torch.tensor(sums[name], dtype=torch.float64)
            own = getattr(self, name)
            setattr(self, name, more if own.numel() == 0 else own + more)

    def to_json(self) -> dict[str, list[float] | int]:
        """Exact: JSON keeps every bit of a float."""
        sums: dict[str, list[float] | int] = {
            name: getattr(self, name).tolist()
            for name in ("clip", "clip_square", "still", "still_square", "product")
        }
        return {"number": self.number, **sums}

    def summary(self) -> dict[str, list[float]]:
        """Means, standard deviations and the covariance of picture and clip, by channel."""
        if not self.number:
            return {}
        clip, still = self.clip / self.number, self.still / self.number
        return {
            "clip_mean": clip.tolist(),
            "clip_std": (self.clip_square / self.number - clip**2).clamp_min(0).sqrt().tolist(),
            "still_mean": still.tolist(),
            "still_std": (self.still_square / self.number - still**2).clamp_min(0).sqrt().tolist(),
            "covariance": (self.product / self.number - clip * still).tolist(),
        }


def _variance(tensors: dict[str, Tensor], name: str, like: Tensor) -> Tensor:
    log_variance = tensors.get(f"{name}_log_variance")
    if log_variance is None:
        return like.new_zeros(())
    return log_variance.double().exp().expand_as(like)


class Encoder:
    """Encodes clips of one bucket; takes smaller batches, then tiles, when the memory does not do.

    Args:
        codec, text: on `device`.
        dtype: of what is stored.
        batch_size: clips at a time.
        note: is told when less is taken.
    """

    def __init__(
        self,
        codec: Codec,
        text: TextEncoder,
        *,
        device: str,
        dtype: torch.dtype,
        batch_size: int,
        note: Callable[[str], None],
    ) -> None:
        self._codec = codec
        self._text = text
        self._device = device
        self._dtype = dtype
        self._note = note
        self.batch_size = batch_size

    def __call__(self, clips: Sequence[Frames], words: Sequence[str]) -> dict[str, Tensor]:
        """Tensors to be stored, each (N, ...), of clips (F, H, W, 3) and their words.

        Raises:
            DependencyError: not even a single clip fits into the memory.
        """
        parts: list[dict[str, Tensor]] = []
        done = 0
        while done < len(clips):
            end = done + self.batch_size
            try:
                parts.append(self._encode(clips[done:end], words[done:end]))
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
                self._take_less(error)
                continue
            done = end
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    @torch.no_grad()
    def _encode(self, clips: Sequence[Frames], words: Sequence[str]) -> dict[str, Tensor]:
        videos = [
            torch.from_numpy(clip).to(self._device).permute(0, 3, 1, 2).float() / 255
            for clip in clips
        ]
        text, mask = self._text(words if self._codec.reads_text else [""] * len(clips))
        text, mask = text.to(self._device), mask.to(self._device)
        view = self._codec.view([video[0] for video in videos], text, mask)
        clip = self._codec.encode(videos, view)
        still = self._codec.still(view, len(clips[0]))
        if self._codec.repeats:
            spread = still.log_variance
            still = Gaussian(still.mean[:, :1], None if spread is None else spread[:, :1])
        tensors = {"condition": view.image_latents, "clip": clip.mean, "still": still.mean}
        for name, spread in (
            ("condition", view.image_log_variance),
            ("clip", clip.log_variance),
            ("still", still.log_variance),
        ):
            if spread is not None:
                tensors[f"{name}_log_variance"] = spread
        stored = {name: tensor.to(self._dtype).cpu() for name, tensor in tensors.items()}
        if self._codec.needs_picture:
            stored["picture"] = torch.stack(
                [torch.from_numpy(clip[0]).permute(2, 0, 1).contiguous() for clip in clips]
            )
        return stored

    def _take_less(self, error: BaseException) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self.batch_size > 1:
            self.batch_size //= 2
            self._note(f"out of memory while encoding: going on with {self.batch_size} at a time")
        elif self._codec.tile():
            self._note("out of memory while encoding one clip: going on in tiles")
        else:
            raise DependencyError(
                "one clip does not fit into the memory, not even in tiles; "
                "take a smaller --size, fewer --frames, or --device cpu"
            ) from error


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text


def finite_rows(tensors: dict[str, Tensor]) -> Tensor:
    """(N,) bool: the rows without a NaN or an infinity."""
    good = torch.ones(len(tensors["clip"]), dtype=torch.bool)
    for tensor in tensors.values():
        if tensor.is_floating_point():
            good &= torch.isfinite(tensor).flatten(1).all(1)
    return good
