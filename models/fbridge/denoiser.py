"""The denoiser: an estimate of the clean video from a state of the process.

Samplers, guidance and tests use `Denoiser` alone. `BridgeDenoiser` makes one of a network, a
`Backbone`, and a parameterization.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from fbridge.parameterization import Parameterization
from fbridge.types import Condition


class Denoiser(Protocol):
    """Estimate of E[x_0 | x_t, prior, condition]."""

    def __call__(self, x: Tensor, t: Tensor, prior: Tensor, condition: Condition, /) -> Tensor:
        """Clean video for the state x at times t (B,) of a bridge from prior.

        Videos are (B, F, C, H, W).
        """


class Backbone(Protocol):
    """A network; axis order, patches and conditioning are its adapter's."""

    def __call__(
        self, latents: Tensor, time: Tensor, condition: Condition, prior: Tensor, /
    ) -> Tensor:
        """Output (B, F, C, H, W) for latents (B, F, C, H, W) at the network's time (B,).

        Where the first frame is the picture itself, the time is (B, F): one a frame.

        The prior (B, F, C, H, W) is a further input; a network without room for it ignores it.
        """


@dataclass(frozen=True)
class BridgeDenoiser:
    """A network as a denoiser.

    Attributes:
        backbone: the network.
        parameterization: what it is given and what its output means.
    """

    backbone: Backbone
    parameterization: Parameterization

    def __call__(self, x: Tensor, t: Tensor, prior: Tensor, condition: Condition, /) -> Tensor:
        """Clean video (B, F, C, H, W) that the network's output means."""
        clean = self.parameterization.clean(self.output(x, t, prior, condition), x, prior, t)
        return _with_picture(clean, self.picture_frames(x, condition), condition)

    def output(self, x: Tensor, t: Tensor, prior: Tensor, condition: Condition) -> Tensor:
        """The network's own output (B, F, C, H, W).

        Its time arrives on the latents' device, float32 at least.
        """
        latent, time = self.parameterization.inputs(x, prior, t)
        precise = torch.promote_types(latent.dtype, torch.float32)
        time = time.to(latent.device, precise)
        shown = self.picture_frames(x, condition)
        if shown is not None:
            latent = _with_picture(latent, shown, condition)
            time = time[:, None].masked_fill(shown, 0.0)
        return self.backbone(latent, time, condition, prior)

    def picture_frames(self, x: Tensor, condition: Condition) -> Tensor | None:
        """(B, F) bool: the frames that are the picture itself; None where there are none."""
        if not self.parameterization.picture_first:
            return None
        shown = torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device)
        dropped = condition.image_dropped
        shown[:, 0] = True if dropped is None else ~dropped.to(x.device)
        return shown


@dataclass(frozen=True)
class ExactFirstFrame:
    """A denoiser whose first frame is known: the picture's latent, which no network need estimate.

    It holds for codecs whose `first_frame_alone` is true. The states of the first frame are then
    those of a bridge whose end is known, so that the other frames see the picture in them.

    Attributes:
        denoiser: of the other frames.
    """

    denoiser: Denoiser

    def __call__(self, x: Tensor, t: Tensor, prior: Tensor, condition: Condition, /) -> Tensor:
        """Clean video (B, F, C, H, W)."""
        clean = self.denoiser(x, t, prior, condition)
        first = condition.image_latents[:, None].to(clean)
        return torch.cat([first, clean[:, 1:]], 1)


@dataclass(frozen=True)
class GuidedDenoiser:
    """Classifier-free guidance by words and by picture.

    With D(none), D(picture) and D(text, picture) the estimates under fewer conditions:

        D(none) + picture_scale (D(picture) - D(none)) + text_scale (D(text, picture) - D(picture)).

    Branches whose weight is 0 are never computed, the others go through the network as one batch:
    scales of 1 cost a single call, words alone a doubled batch. The prior stays: it is where the
    bridge starts.

    Attributes:
        denoiser: the denoiser to guide.
        unconditional: its prompt (1 or B, L, D), empty or negative, replaces the condition's. So do
            its image latents, which tell what shall happen with some codecs; classes are replaced
            by none, -1.
        text_scale: weight of the prompt; 1 is no guidance.
        picture_scale: weight of the picture's description; 1 is no guidance.
    """

    denoiser: Denoiser
    unconditional: Condition
    text_scale: float
    picture_scale: float = 1.0

    def __call__(self, x: Tensor, t: Tensor, prior: Tensor, condition: Condition, /) -> Tensor:
        """Guided clean video (B, F, C, H, W)."""
        unprompted = _with_prompt_of(condition, self.unconditional)
        branches = [
            (self.text_scale, condition),
            (self.picture_scale - self.text_scale, unprompted),
            (1.0 - self.picture_scale, unprompted.without_image()),
        ]
        live = [(weight, branch) for weight, branch in branches if weight != 0]
        if len(live) == 1:
            return self.denoiser(x, t, prior, live[0][1])
        many = len(live)
        everyone = joined([branch for _, branch in live])
        tall = self.denoiser(tiled(x, many), t.repeat(many), tiled(prior, many), everyone)
        parts = tall.chunk(many)
        guided = parts[0] * live[0][0]
        for (weight, _), part in zip(live[1:], parts[1:], strict=True):
            guided = torch.add(guided, part, alpha=weight)
        return guided


@dataclass(frozen=True)
class PairDenoiser:
    """Two networks that share a flow (Wan 2.2 A14B), each with its own guidance.

    Attributes:
        high: the denoiser for much noise.
        low: the denoiser for little noise.
        boundary: the bridge time from which on `high` answers.
    """

    high: Denoiser
    low: Denoiser
    boundary: float

    def __call__(self, x: Tensor, t: Tensor, prior: Tensor, condition: Condition, /) -> Tensor:
        """Clean video (B, F, C, H, W) of the network that knows these times.

        Raises:
            ValueError: one network cannot answer at all of them.
        """
        high = self.takes(t)
        if bool(high.any()) != bool(high.all()):
            raise ValueError(f"times {t.tolist()} are of two networks, which change at "
                             f"{self.boundary}")  # fmt: skip
        return (self.high if bool(high.any()) else self.low)(x, t, prior, condition)

    def takes(self, t: Tensor) -> Tensor:
        """True where `high` answers; times that are equal but for rounding are its own."""
        return t >= self.boundary - 1e-9


def _with_picture(video: Tensor, shown: Tensor | None, condition: Condition) -> Tensor:
    """The video (B, F, C, H, W) with the picture's latent in the frames (B, F) that show it."""
    if shown is None:
        return video
    picture = condition.image_latents[:, None].to(video)
    return torch.where(shown[..., None, None, None], picture, video)


def _with_prompt_of(condition: Condition, other: Condition) -> Condition:
    videos = len(condition.prompt_embeds)
    embeds = other.prompt_embeds.to(condition.prompt_embeds).expand(videos, -1, -1)
    mask = other.prompt_mask.to(condition.prompt_mask).expand(videos, -1)
    latents = other.image_latents.to(condition.image_latents).expand_as(condition.image_latents)
    label = None if condition.class_labels is None else torch.full_like(condition.class_labels, -1)
    changed = condition.with_prompt(embeds, mask)
    return replace(changed, image_latents=latents, class_labels=label)


def joined(conditions: Sequence[Condition]) -> Condition:
    """Conditions as one batch; shorter prompts are padded with tokens outside the mask."""
    longest = max(c.prompt_embeds.shape[1] for c in conditions)
    padded = [_padded(c, longest - c.prompt_embeds.shape[1]) for c in conditions]
    labels = [c.class_labels for c in padded if c.class_labels is not None]
    seen = [c.image_embeds for c in padded if c.image_embeds is not None]
    dropped = [_dropped(c) for c in padded]
    return Condition(
        prompt_embeds=torch.cat([c.prompt_embeds for c in padded]),
        prompt_mask=torch.cat([c.prompt_mask for c in padded]),
        image_latents=torch.cat([c.image_latents for c in padded]),
        class_labels=torch.cat(labels) if labels else None,
        image_embeds=torch.cat(seen) if seen else None,
        image_dropped=torch.cat(dropped),
    )


def _dropped(condition: Condition) -> Tensor:
    if condition.image_dropped is not None:
        return condition.image_dropped
    latents = condition.image_latents
    return latents.new_zeros(len(latents), dtype=torch.bool)


def _padded(condition: Condition, tokens: int) -> Condition:
    if tokens == 0:
        return condition
    return replace(
        condition,
        prompt_embeds=functional.pad(condition.prompt_embeds, (0, 0, 0, tokens)),
        prompt_mask=functional.pad(condition.prompt_mask, (0, tokens)),
    )


def tiled(x: Tensor, times: int) -> Tensor:
    """A batch (B, ...) repeated along its first axis (times B, ...)."""
    return x.repeat(times, *(1,) * (x.ndim - 1))
