"""What bridges of the small base do with pictures of scenes that nobody trained on.

    python -m benchmarks.scenes runs/finetune --count 96 --ways sampler=ode sampler=dbim2,steps=10

Each picture is the first frame of a held-out scene, and the prompt its caption. Told of every model
and way of sampling: shares of the things that keep colour and shape and that move as captioned, by
`fbridge.data.scene_judge`; and in decibels the first frame against the picture, and all others
against the scene's. That is one of many videos that picture and caption allow: "another take" has
the same of both and moves otherwise, so what samples perfectly is as far from the scene as that,
and the mean of such takes is what a perfect regression would be. What the model's autoencoder makes
of the scenes themselves bounds the outlines that any video of it can keep. With --out the
clips and numbers are written, for `fbridge eval OUT/MODEL-WAY --reference OUT/scenes --metric fvd`.

With --draws 2 or more of each scene a second table tells, in levels of 255 of pixels averaged over
4 x 4 of two frames: the energy score, which is proper (lower is better; neither blur nor too much
spread wins), the distance between two draws ("spread"), and that of the best draw from the scene.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from examples.claims.scores import distance, energy_score, spread
from fbridge import FrameBridgePipeline
from fbridge.data.scene_judge import judge
from fbridge.data.scenes import SCENE_FPS, Scene, draw_scene
from fbridge.data.video_files import write_video
from fbridge.evaluation.intervals import wilson_interval

HELD_OUT_SEED, BATCH = 1, 16
"""Neither the base nor the demo's clips are of this seed."""
NAMES = {
    "steps": ("num_inference_steps", int),
    "guidance": ("guidance_scale", float),
    "strength": ("strength", float),
    "sampler": ("sampler", str),
    "grid": ("grid", str),
    "time-shift": ("time_shift", float),
    "start": ("start", str),
    "first-frame": ("first_frame", str),
}
"""Options of `fbridge generate`, as the pipeline takes them."""


def options_of(way: str) -> dict[str, Any]:
    """What NAME=VALUE,... says; nothing of "default"."""
    pairs = [] if way == "default" else [part.split("=") for part in way.split(",")]
    return {NAMES[name][0]: NAMES[name][1](value) for name, value in pairs}


def psnr(found: NDArray[np.uint8], true: NDArray[np.uint8]) -> float:
    """In dB, of the mean squared error of all pixels."""
    error = float(((found.astype(np.float32) - true) ** 2).mean())
    return 10 * np.log10(255**2 / max(error, 1e-2))


def takes(numbers: range, things: int | None, many: int) -> NDArray[np.uint8]:
    """(many, N, F, H, W, 3) of the same pictures and captions."""
    return np.stack([
        [draw_scene(HELD_OUT_SEED, n, things=things, take=take).frames for n in numbers]
        for take in range(1, many + 1)
    ])  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What the videos of a model show.

    Attributes:
        things: number of things in all scenes.
        kept: of them, those that keep colour and shape.
        moved: of them, those that move as captioned.
        first: dB of the first frames against the pictures.
        rest: dB of all others against the scenes'.
    """

    things: int
    kept: int
    moved: int
    first: float
    rest: float

    def row(self, name: str, seconds: float) -> str:
        """The line of a table."""
        shares = (
            f"{many / self.things:5.0%} [{interval.low:.0%}, {interval.high:.0%}]"
            for many in (self.kept, self.moved)
            if (interval := wilson_interval(many, self.things))
        )
        cells = " ".join(f"{share:17}" for share in shares)
        return f"{name:34} {cells} {self.first:5.1f} {self.rest:5.1f} {seconds:6.2f}"


def measure(videos: NDArray[np.uint8], scenes: list[Scene]) -> Measured:
    """Judge every thing of every scene."""
    true = np.stack([scene.frames for scene in scenes])
    found = [
        judge(video, thing.colour, thing.shape, thing.verb)
        for video, scene in zip(videos, scenes, strict=True)
        for thing in scene.things
    ]
    return Measured(
        things=len(found),
        kept=sum(verdict.colour and verdict.shape for verdict in found),
        moved=sum(verdict.motion for verdict in found),
        first=psnr(videos[:, :1], true[:, :1]),
        rest=psnr(videos[:, 1:], true[:, 1:]),
    )


def coarse(videos: NDArray[np.uint8]) -> torch.Tensor:
    """Averaged over 4 x 4 pixels of two frames each, the first frame left out, which is given."""
    values = torch.from_numpy(videos[..., 1:, :, :, :]).float()
    *many, frames, height, width, colours = values.shape
    cells = values.reshape(*many, frames // 2, 2, height // 4, 4, width // 4, 4, colours)
    return cells.mean((-6, -4, -2))


def show_draws(name: str, draws: NDArray[np.uint8], true: NDArray[np.uint8]) -> None:
    """Print the second table's line of draws (m, N, F, H, W, 3) of scenes (N, F, H, W, 3)."""
    drawn, happened = coarse(draws), coarse(true)
    each = {
        "energy score": energy_score(drawn, happened),
        "spread": spread(drawn),
        f"best of {len(drawn)}": torch.stack([distance(one, happened) for one in drawn]).amin(0),
    }
    error = len(true) ** 0.5
    cells = (f"{key} {got.mean():6.2f} ± {got.std() / error:4.2f}" for key, got in each.items())
    print(f"{name:34} {', '.join(cells)}", flush=True)


def write(folder: Path, videos: NDArray[np.uint8], scenes: list[Scene]) -> None:
    """As NUMBER.mp4 with its caption."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (video, scene) in enumerate(zip(videos, scenes, strict=True)):
        write_video(video, folder / f"{number:04d}.mp4", SCENE_FPS)
        (folder / f"{number:04d}.txt").write_text(scene.caption + "\n")


def show(
    name: str,
    videos: NDArray[np.uint8],
    scenes: list[Scene],
    seconds: float,
    folder: Path | None,
) -> None:
    """Print the videos' line; keep them, and their numbers beside them."""
    measured = measure(videos, scenes)
    print(measured.row(name, seconds), flush=True)
    if folder:
        write(folder, videos, scenes)
        folder.with_name(f"{folder.name}.json").write_text(json.dumps(asdict(measured)))


def main() -> None:
    """Sample, judge, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="*")
    parser.add_argument("--ways", nargs="+", default=["default"], metavar="NAME=VALUE,...")
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--things", type=int, choices=(1, 2))
    parser.add_argument("--takes", type=int, default=0, help="of each scene; 16 take a minute")
    parser.add_argument("--draws", type=int, default=1, help="of each scene")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    scenes = [draw_scene(HELD_OUT_SEED, n, things=args.things) for n in range(args.count)]
    true = np.stack([scene.frames for scene in scenes])
    shown = {"scenes": true, "repeated picture": true[:, :1].repeat(true.shape[1], axis=1)}
    if args.takes:
        others = takes(range(args.count), args.things, args.takes)
        shown["another take"] = others[0]
        shown[f"mean of {args.takes} takes"] = others.mean(0).astype(np.uint8)
    print(f"{'':34} {'colour, shape':17} {'motion':17} first  rest  s/clip")
    for name, videos in shown.items():
        show(name, videos, scenes, 0, args.out and args.out / slug(name))
    if args.takes > 1:
        show_draws("takes", others, true)
    for model in args.models:
        pipe = FrameBridgePipeline.from_pretrained(model)
        pipe.set_progress_bar_config(disable=True)
        name = f"{Path(model).name} autoencoder alone"
        show(name, through(pipe.vae, true), scenes, 0, args.out and args.out / slug(name))
        for way in args.ways:
            began = time.perf_counter()
            draws = np.stack([
                drawn(pipe, scenes, options_of(way), seed=draw * args.count)
                for draw in range(args.draws)
            ])  # fmt: skip
            seconds = (time.perf_counter() - began) / args.count / args.draws
            name = f"{Path(model).name} {way}"
            folder = args.out and args.out / slug(name)
            show(name, draws[0], scenes, seconds, folder)
            if args.draws > 1:
                show_draws(name, draws, true)


def slug(name: str) -> str:
    """A name as that of a folder."""
    return name.replace(" ", "-")


@torch.no_grad()
def through(vae: Any, videos: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Videos (N, F, H, W, 3) encoded and decoded: the best that a network in its latents can do."""
    found = []
    for part in torch.from_numpy(videos).split(BATCH):
        pixels = part.permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        shown = vae.decode(vae.encode(pixels).latent_dist.mean).sample.clamp(-1, 1)
        found.append(((shown + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy())
    return np.concatenate(found)


def drawn(
    pipe: FrameBridgePipeline, scenes: list[Scene], options: dict[str, Any], seed: int
) -> NDArray[np.uint8]:
    """(N, F, H, W, 3): a video of each scene's first frame and caption, of seeds from `seed` on."""
    made: list[NDArray[np.uint8]] = []
    for at in range(0, len(scenes), BATCH):
        part = scenes[at : at + BATCH]
        pictures = [Image.fromarray(scene.frames[0]) for scene in part]
        seeds = list(range(seed + at, seed + at + len(part)))
        made += pipe(pictures, [scene.caption for scene in part], seed=seeds, **options).frames
    return np.stack(made)


if __name__ == "__main__":
    main()
