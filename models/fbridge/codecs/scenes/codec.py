"""The embedded model's codec: a latent is the motion of the things that the prompt names.

A latent is (B, F, 26, 3, 1): the motion channels of `fbridge.codecs.render` for two objects and the
camera, each divided by its scale. Zero is the still picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from fbridge.codecs import Gaussian, View
from fbridge.codecs.matting import resize
from fbridge.codecs.render import CHANNELS, LOG_SCALE, TX, TY, build_stack, shape_of
from fbridge.codecs.scenes.aiming import aim_of, towards
from fbridge.codecs.scenes.closer import overlap
from fbridge.codecs.scenes.describe import OBJECTS, SLOTS, Deed, describe
from fbridge.codecs.scenes.fill import TRACE
from fbridge.codecs.scenes.finder import Finder
from fbridge.codecs.scenes.flowing import Flowing
from fbridge.codecs.scenes.framing import constrain, limits
from fbridge.codecs.scenes.matting import refine
from fbridge.codecs.scenes.render import Stage
from fbridge.codecs.scenes.scene import background, build_scene
from fbridge.codecs.scenes.segmenter import MaskDecoder, working_size
from fbridge.codecs.sizes import EvenSized
from fbridge.codecs.tracking import track_motions
from fbridge.errors import ConfigError
from fbridge.files.plain import Plain
from fbridge.types import Latents
from fbridge.words.intent import Act, Intent, read_prompt

TRACKING_SIDE = 64
SPEEDS = (0.45, 1.5)
"""Slowest and fastest that the motion networks know."""
ONE_THING = 0.6
"""Overlap of two nouns' masks, as intersection over union, from which they are one thing."""
ASIDE = {
    "left": (TX, -0.4), "right": (TX, 0.4), "up": (TY, -0.3), "down": (TY, 0.3),
    "closer": (LOG_SCALE, 0.25), "away": (LOG_SCALE, -0.5),
}  # fmt: skip
"""How far a thing goes besides its own motion: a channel, and what is added in it at the end, in
frame units. A thing that goes only to the left goes as far, and shrinks as much if it goes away."""
PANNED = {"left": (TX, 0.23), "right": (TX, -0.23), "up": (TY, 0.23), "down": (TY, -0.23)}
"""The same of the camera, as far as it pans and tilts: the picture goes the other way."""
_AT_ONCE = 8
"""Frames drawn at a time, which limits the memory."""


class Shot(NamedTuple):
    """A picture with what its prompt asks for.

    Attributes:
        picture: (3, H, W) in [0, 1].
        masks: (2, H, W) opacity of the objects that move; zeros where there is none.
        intent: of the prompt.
        flowing: what flows in it.
        alike: (H, W) other things of the kinds that move.
        aim: (2,) what the camera zooms in on, in frame units from the middle.
    """

    picture: Tensor
    masks: Tensor
    intent: Intent
    flowing: Flowing
    alike: Tensor
    aim: Tensor


class PlainSceneCodec(EvenSized, Plain):
    """From picture and prompt to things that move, and from motions to frames and back.

    Args:
        scale: (26, 3) of each channel and slot.
        widths: of `MaskDecoder`.
    """

    reads_text = True
    repeats = True
    first_frame_alone = False  # latents are motions
    needs_picture = True

    def __init__(
        self,
        scale: tuple[tuple[float, ...], ...] = ((1.0,) * SLOTS,) * CHANNELS,
        widths: tuple[int, ...] = (128, 96, 48, 16),
    ) -> None:
        super().__init__()
        self.decoder = MaskDecoder(tuple(widths))

    @property
    def unit(self) -> Tensor:
        """(26, 3, 1) scale of each channel, float32 whatever the network's dtype."""
        return torch.tensor(self.config.scale, device=self.device)[..., None]

    def notes(self, prompts: Sequence[str]) -> list[str]:
        """What of the prompts is not done, or otherwise than the words say; each line once."""
        lines = [line for prompt in prompts for line in read_prompt(prompt).notes()]
        return list(dict.fromkeys(lines))

    @torch.no_grad()
    def view(
        self,
        pictures: Sequence[Tensor],
        text: Tensor,
        prompt_mask: Tensor,
        prompts: Sequence[str] | None = None,
    ) -> View:
        """Find what the prompts name in each picture; pictures may be of different sizes."""
        if prompts is None:
            raise ConfigError(
                "the embedded model reads prompts as text, not as embeddings; pass the prompts"
            )
        found = [
            self._shot(picture.cpu(), prompt)
            for picture, prompt in zip(pictures, prompts, strict=True)
        ]
        shots, notes = zip(*found, strict=True)
        told = [describe(_small(shot.masks), [deeds(shot.intent)]) for shot in shots]
        return View(torch.cat(told).to(pictures[0]), None, shots, notes)

    def _shot(self, picture: Tensor, prompt: str) -> tuple[Shot, tuple[str, ...]]:
        """What the prompt asks for in the picture, and a line for each thing that is not there."""
        finder = Finder(self.decoder, picture, self.device)
        read = read_prompt(prompt)
        intent = replace(read, acts=tuple(headed(act, finder) for act in read.acts))
        camera, aim = aim_of(intent.camera, finder)
        intent = replace(intent, camera=camera)
        nouns = [act.noun for act in intent.acts]
        if not nouns and not intent.flows and _layers_move(intent):
            nouns = [""]  # the nearest thing moves a little more than what is behind it
        masks = [finder.thing(noun) for noun in nouns]
        if len(masks) > 1 and overlap(*masks) > ONE_THING:
            kept = _likelier(intent.acts, finder)
            left, other = (noun or "the main thing" for noun in (nouns[1 - kept], nouns[kept]))
            finder.remarks.append(f"{left!r} is not told from {other!r}; it is left out")
            intent, masks = replace(intent, acts=(intent.acts[kept],)), [masks[kept]]
        coarse = one_each(masks) if masks else picture.new_zeros(0, 8, 8)
        legs = [finder.has_legs(act.noun) for act in intent.acts] or [False]
        found = refine(picture, coarse, legs) if masks else picture.new_zeros(0, *picture.shape[1:])
        for act, alpha in zip(intent.acts, found, strict=False):
            surely, shrinks = finder.is_all_over(act.noun), act.aside == "away"
            told = (
                limits(alpha, way, surely=surely, shrinks=shrinks)
                for way in (act.verb, act.aside)
                if way
            )
            if limit := next(filter(None, told), ""):
                finder.remarks.append(limit.format(act.noun or "main thing"))
        missing = picture.new_zeros(OBJECTS - len(found), *picture.shape[1:])
        stays = [a for act, a in zip(intent.acts, found, strict=False) if act.verb == "stay"]
        still = torch.stack(stays).amax(0) if stays else None
        flowing = Flowing.find(picture, intent.flows, finder, still)
        if flowing.remarks and not flowing.acts and not nouns and intent.camera.verb == "static":
            intent = replace(intent, camera=Act("zoom in", "", SPEEDS[0]))
            finder.remarks.append("nothing else is asked for; the camera moves in slowly instead")
        notes = dict.fromkeys((*flowing.remarks, *finder.remarks))
        shown = torch.cat([found, missing])
        alike = torch.stack([finder.alike(noun) for noun in (nouns or [""])]).amax(0)
        alike = alike * (shown.sum(0) <= TRACE)
        return Shot(picture, shown, intent, flowing, alike, aim), tuple(notes)

    def reworded(self, view: View, prompts: Sequence[str]) -> Tensor:
        """The view's image latents with what other prompts ask for; nothing of an empty one."""
        masks = [_small(shot.masks) for shot in view.scenes]
        return torch.cat(
            [
                describe(mask, [deeds(read_prompt(prompt)) if prompt else [None] * SLOTS])
                for mask, prompt in zip(masks, prompts, strict=True)
            ]
        ).to(view.image_latents)

    def still(self, view: View, num_frames: int) -> Gaussian:
        """No motion: zeros."""
        frame = view.image_latents.new_zeros(len(view.scenes), 1, CHANNELS, SLOTS, 1)
        return Gaussian(frame.expand(-1, num_frames, -1, -1, -1))

    @torch.no_grad()
    def decode(self, latents: Latents, view: View) -> list[Tensor]:
        """Draw the moved things of each picture."""
        videos: list[list[Tensor]] = [[] for _ in latents]
        for row, frames in self.decode_parts(latents, view):
            videos[row].append(frames / 255)
        return [torch.cat(parts) for parts in videos]

    def decode_parts(self, latents: Latents, view: View) -> Iterator[tuple[int, Tensor]]:
        """The same in parts: the number of a video, and its next frames, uint8 (f, 3, H, W)."""
        pairs = zip(self.motions(latents), view.scenes, strict=True)
        for row, (motion, shot) in enumerate(pairs):
            motion = asked(motion, shot.intent)
            motion = motion + towards(motion, shot.aim, shot.picture.shape[1:])
            for frames in _draw(shot, motion):
                yield row, frames

    def encode(
        self, videos: Sequence[Tensor], view: View, *, steps: int = 12, polish: int = 40
    ) -> Gaussian:
        """Track the things through each clip, which starts with its picture."""
        latents = []
        for video, shot in zip(videos, view.scenes, strict=True):
            full = shot.picture.shape
            height, width = working_size(full[1], full[2], TRACKING_SIDE)
            scene = build_scene(*(resize(part[None], (height, width))[0] for part in shot[:2]))
            stack = build_stack(scene.picture, scene.alphas, scene.fill)
            small, unit = resize(video.cpu(), (height, width)), self.unit[..., 0].mT.cpu()
            motion = track_motions(stack, small, unit, steps=steps, polish=polish)
            motion = motion - besides(shot.intent, len(motion))
            motion = motion - towards(motion, shot.aim, shot.picture.shape[1:])
            latents.append(self.latents(motion[None].to(self.device))[0])
        return Gaussian(torch.stack(latents))

    def tile(self) -> bool:
        """Tiles do not apply: frames are drawn in parts anyway."""
        return False

    def motions(self, latents: Latents) -> Tensor:
        """Latents (B, F, 26, 3, 1) as motions (B, F, 3, 26)."""
        return (latents.float() * self.unit)[..., 0].mT

    def latents(self, motions: Tensor) -> Latents:
        """Motions (B, F, 3, 26) as latents (B, F, 26, 3, 1)."""
        out: Tensor = motions.mT[..., None] / self.unit
        return out


def deeds(intent: Intent) -> list[Deed | None]:
    """What each object and the camera do, for `describe`."""
    acts = [_deed(act.verb, act.speed) for act in intent.acts]
    nothing: list[Deed | None] = [None] * (OBJECTS - len(acts))
    return [*acts, *nothing, _deed(intent.camera.verb, intent.camera.speed)]


def _deed(verb: str, speed: float) -> Deed:
    return verb, min(max(speed, SPEEDS[0]), SPEEDS[1])


def _layers_move(intent: Intent) -> bool:
    return intent.camera.verb.startswith(("pan", "tilt", "zoom"))


def _likelier(acts: Sequence[Act], finder: Finder) -> int:
    """Which of two acts is of what the picture shows; one that moves before one that stays."""
    first, second = ((act.verb != "stay", finder.sureness(act.noun)) for act in acts)
    return int(second > first)


def one_each(masks: list[Tensor]) -> Tensor:
    """(K, H, W) masks that share no pixel: what two claim is the smaller one's.

    A mask that takes in a neighbour is the larger of the two, as is that of a table with a cup.
    """
    left = torch.ones_like(masks[0])
    own = list(masks)
    for which in sorted(range(len(masks)), key=lambda k: float(masks[k].sum())):
        own[which] = torch.minimum(masks[which], left)
        left = left - own[which]
    return torch.stack(own)


def headed(act: Act, finder: Finder) -> Act:
    """A motion towards another thing in the direction in which that is seen."""
    if not act.goal:
        return act
    thing, goal = finder.mask(act.noun), finder.thing(act.goal)
    if overlap(thing, goal) > ONE_THING:
        finder.remarks.append(f"where the {act.goal} is, is not seen; it is shown to the right")
        return act
    centres, _ = shape_of(torch.stack([thing, goal]))
    x, y = (centres[1] - centres[0]).tolist()
    if abs(y) > abs(x):
        return replace(act, verb="down" if y > 0 else "up")
    return replace(act, verb=act.verb.replace("right", "right" if x > 0 else "left"))


def _small(masks: Tensor) -> Tensor:
    """Masks (1, 2, h, w), as coarse as those that the motion networks were trained on."""
    height, width = masks.shape[-2:]
    shrink = 32 / max(height, width)
    return resize(masks[None], (max(2, round(height * shrink)), max(2, round(width * shrink))))


def asked(motion: Tensor, intent: Intent) -> Tensor:
    """The motion (F, 3, 26) from rest, of what shall move only: the rest stands still exactly."""
    moves = [act.verb != "stay" for act in intent.acts]
    moves += [False] * (OBJECTS - len(moves)) + [intent.camera.verb != "static"]
    motion = (motion - motion[:1]) * motion.new_tensor(moves)[:, None]
    return motion + besides(intent, len(motion)).to(motion)


def besides(intent: Intent, frames: int) -> Tensor:
    """(F, 3, 26) what things and the camera move besides, which the networks do not draw."""
    motion = torch.zeros(frames, SLOTS, CHANNELS)
    time = torch.linspace(0, 1, frames)
    ways = [(slot, act, ASIDE) for slot, act in enumerate(intent.acts)]
    for slot, act, far_of in [*ways, (OBJECTS, intent.camera, PANNED)]:
        if act.aside:
            channel, far = far_of[act.aside]
            speed = min(max(act.speed, SPEEDS[0]), SPEEDS[1])
            motion[:, slot, channel] = far * speed * time * time * (3 - 2 * time)
    return motion


@torch.no_grad()
def _draw(shot: Shot, motion: Tensor) -> Iterator[Tensor]:
    """The video in parts of a few frames, each uint8 (f, 3, H, W)."""
    scene = build_scene(shot.picture.cpu(), shot.masks.cpu(), shot.alike.cpu())
    motion = constrain(scene, motion.cpu())
    stage = Stage(scene, motion)
    shot.flowing.plan(background(scene, stage.moving), len(motion))
    for part in range(0, len(motion), _AT_ONCE):
        frames = range(part, min(part + _AT_ONCE, len(motion)))
        ground = shot.flowing.ground(frames)
        drawn = torch.stack(
            [stage.frame(k, None if ground is None else ground[k - part]) for k in frames]
        )
        yield shot.flowing.over(drawn.permute(0, 3, 1, 2), frames)
