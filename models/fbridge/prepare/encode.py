"""Encode clips of frames to latents, in smaller batches or tiles when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fbridge.codecs import Codec, Gaussian
from fbridge.errors import DependencyError
from fbridge.words.encoder import PromptEncoder

Frames = npt.NDArray[np.uint8]


@dataclass
class Moments:
    """Sums over latents by channel in float64, for DDBM's sigma_0, sigma_T and sigma_0T.

    Attributes:
        number: of values summed per channel.
        sums: (C,) by name: "clip", "still", their squares "clip_square" and "still_square", and
            "product" of both. Squares include the codec's own variance, so that they are those of
            the samples drawn in training.
    """

    number: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, tensors: dict[str, Tensor]) -> Moments:
        """The sums of stored clips (N, F, C, H, W) and their still ones."""
        clip, still = tensors["clip"].double(), tensors["still"].double()
        still = still.expand(-1, clip.shape[1], -1, -1, -1)
        axes = (0, 1, 3, 4)
        sums = {
            "clip": clip.sum(axes),
            "clip_square": (clip.square() + _variance(tensors, "clip", clip)).sum(axes),
            "still": still.sum(axes),
            "still_square": (still.square() + _variance(tensors, "still", clip)).sum(axes),
            "product": (clip * still).sum(axes),
        }
        return cls(clip.numel() // clip.shape[2], sums)

    def add(self, record: dict[str, Any]) -> None:
        """Add the sums of another one's `to_json`."""
        self.number += record["number"]
        for name, values in record.items():
            if name != "number":
                more = torch.tensor(values, dtype=torch.float64)
                self.sums[name] = self.sums[name] + more if name in self.sums else more

    def to_json(self) -> dict[str, Any]:
        """As JSON values, which keep every bit of a float."""
        sums = {name: total.tolist() for name, total in self.sums.items()}
        return {"number": self.number, **sums}

    def summary(self) -> dict[str, list[float]]:
        """Means, standard deviations and the covariance of picture and clip, by channel."""
        if not self.number:
            return {}
        mean = {name: total / self.number for name, total in self.sums.items()}
        clip, still = mean["clip"], mean["still"]
        return {
            "clip_mean": clip.tolist(),
            "clip_std": (mean["clip_square"] - clip**2).clamp_min(0).sqrt().tolist(),
            "still_mean": still.tolist(),
            "still_std": (mean["still_square"] - still**2).clamp_min(0).sqrt().tolist(),
            "covariance": (mean["product"] - clip * still).tolist(),
        }


def _variance(tensors: dict[str, Tensor], name: str, like: Tensor) -> Tensor:
    log_variance = tensors.get(f"{name}_log_variance")
    if log_variance is None:
        return like.new_zeros(())
    return log_variance.double().exp().expand_as(like)


class Encoder:
    """Encodes clips of one bucket; uses smaller batches, then tiles, when memory runs out.

    Args:
        codec, text: on `device`.
        dtype: of the stored tensors.
        batch_size: clips at a time.
        note: called with a message when the batch size is reduced or tiles are used.
    """

    def __init__(
        self,
        codec: Codec,
        text: PromptEncoder,
        *,
        device: str,
        dtype: torch.dtype,
        batch_size: int,
        note: Callable[[str], None],
    ) -> None:
        self._codec = codec
        # Without the text encoder itself, which may be let go of, where no latent depends on words.
        self._text = text if codec.reads_text else None
        self._no_words = None if codec.reads_text else text([""])
        self._device = device
        self._dtype = dtype
        self._note = note
        self.batch_size = batch_size

    def __call__(self, clips: Sequence[Frames], captions: Sequence[str]) -> dict[str, Tensor]:
        """The tensors to store, each (N, ...), of clips (F, H, W, 3) and their captions.

        Raises:
            DependencyError: not even a single clip fits into the memory.
        """
        parts: list[dict[str, Tensor]] = []
        done = 0
        while done < len(clips):
            end = done + self._at_once
            try:
                parts.append(self._encode(clips[done:end], captions[done:end]))
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
                self._reduce_memory(error)
                continue
            done = end
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    @property
    def _at_once(self) -> int:
        """Clips; an image VAE takes some frames at a time, so more would only take memory."""
        return 1 if self._codec.repeats else self.batch_size

    @torch.no_grad()
    def _encode(self, clips: Sequence[Frames], captions: Sequence[str]) -> dict[str, Tensor]:
        videos = [
            torch.from_numpy(clip).to(self._device).permute(0, 3, 1, 2).float() / 255
            for clip in clips
        ]
        text, mask = (part.to(self._device) for part in self._embedded(captions))
        view = self._codec.view([video[0] for video in videos], text, mask, captions)
        clip = self._codec.encode(videos, view)
        still = self._codec.still(view, len(clips[0]))
        if self._codec.repeats:
            variance = still.log_variance
            still = Gaussian(still.mean[:, :1], None if variance is None else variance[:, :1])
        tensors = {
            "condition": view.image_latents,
            "clip": clip.mean,
            "still": still.mean,
            "condition_log_variance": view.image_log_variance,
            "clip_log_variance": clip.log_variance,
            "still_log_variance": still.log_variance,
        }
        stored = {
            name: tensor.to(self._dtype).cpu()
            for name, tensor in tensors.items()
            if tensor is not None
        }
        if self._codec.needs_picture:
            stored["picture"] = torch.stack(
                [torch.from_numpy(clip[0]).permute(2, 0, 1).contiguous() for clip in clips]
            )
        return stored

    def _embedded(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Tokens and mask, (N, T, D) and (N, T); those of no words where none are read."""
        if self._text is not None:
            # Latents are a function of the clip and its caption, whatever was embedded before.
            return self._text.one_by_one(captions)
        assert self._no_words is not None
        tokens, mask = self._no_words
        return tokens.expand(len(captions), -1, -1), mask.expand(len(captions), -1)

    def _reduce_memory(self, error: BaseException) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self._at_once > 1:
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
    """(N,) bool: rows whose tensors are all finite."""
    finite = torch.ones(len(tensors["clip"]), dtype=torch.bool)
    for tensor in tensors.values():
        finite &= torch.isfinite(tensor).flatten(1).all(1)
    return finite
