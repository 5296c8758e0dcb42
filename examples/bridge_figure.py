"""Draw the figure of a bridge that README.md and docs/method.md show.

    python examples/bridge_figure.py docs/bridge.png

Left, paths of one latent number under `BridgeProcess` from the prior (t = 1) to the data (t = 0),
with the mean and a band of two standard deviations. Right, the diffusion baseline, which
starts from noise. Below, the bridge's states between a picture and a frame of the
video that the embedded model makes of it; here they are drawn in pixels, each from [-1, 1] on.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from fbridge.pipeline import FrameBridgePipeline
from fbridge.process import BridgeProcess, DiffusionProcess, Process
from fbridge.sampling import seeded_noise
from fbridge.schedule import GmaxSchedule, VPSchedule

SCHEDULE = GmaxSchedule(beta_0=0.01, beta_1=2.0)  # the embedded model's
BASELINE = VPSchedule(beta_min=0.1, beta_d=19.9)  # the diffusion baseline's by default
PICTURE = Path(__file__).parent / "cat.jpg"
PRIOR, CLEAN = -0.6, 0.7
STEPS, PATHS = 400, 7
SHOWN = (1.0, 0.75, 0.5, 0.25, 0.0)
SCALE = 2  # pixels of the file per pixel of the drawing
WIDTH, PANEL, STRIP, MARGIN = 900, 250, 150, 14
LOW, HIGH = -2.5, 2.5
INK, PALE, LINE, BAND = "#222222", "#888888", "#2463a8", "#d7e5f4"


def main() -> None:
    """Write the figure to the path that is given."""
    parser = argparse.ArgumentParser(description="Draw the figure of a bridge.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args()
    size = (WIDTH * SCALE, (PANEL + STRIP + 8) * SCALE)
    canvas = Image.new("RGB", size, "white")
    draw_paths(canvas, args.seed)
    draw_states(canvas)
    canvas.resize((size[0] * 3 // 4, size[1] * 3 // 4), Image.Resampling.LANCZOS).quantize(
        128
    ).save(args.out, optimize=True)


def walk(process: Process, first: Tensor, times: Tensor, seed: int) -> Tensor:
    """Paths (steps + 1, PATHS) from the states `first` (1, PATHS), by exact posterior steps."""
    noise = seeded_noise([seed])
    path = [first]
    for s, t in pairwise(times):
        c = process.coefficients(t[None], end=s[None]).over(first)
        step = c.data * CLEAN + c.prior * path[-1] + c.noise * noise(first.shape).double()
        path.append(step)
    return torch.cat(path)


def draw_paths(canvas: Image.Image, seed: int) -> None:
    """The two panels of paths."""
    times = torch.linspace(1, 0, STEPS + 1, dtype=torch.float64)
    bridge, diffusion = BridgeProcess(SCHEDULE), DiffusionProcess(BASELINE)
    at_prior = torch.full((1, PATHS), PRIOR, dtype=torch.float64)
    at_noise = seeded_noise([seed + 1])(at_prior.shape).double()
    panels: tuple[tuple[str, Process, Tensor], ...] = (
        ("bridge: from the picture to the video", bridge, at_prior),
        ("diffusion: from noise to the video", diffusion, at_noise),
    )
    half = (WIDTH - 3 * MARGIN) // 2
    for place, (title, process, first) in enumerate(panels):
        left = MARGIN + place * (half + MARGIN)
        c = process.coefficients(times)
        mean = c.data * CLEAN + c.prior * PRIOR
        box = (left, 34, left + half, PANEL - 22)
        panel(canvas, box, title, mean, c.noise, walk(process, first, times, seed))


def panel(
    canvas: Image.Image,
    box: tuple[int, int, int, int],
    title: str,
    mean: Tensor,
    spread: Tensor,
    paths: Tensor,
) -> None:
    """One panel: band, mean, paths (steps + 1, N) and the names of its two ends."""
    draw = ImageDraw.Draw(canvas)
    left, top, right, bottom = (side * SCALE for side in box)

    def points(values: Tensor) -> list[tuple[float, float]]:
        across = torch.linspace(left, right, len(values)).tolist()
        heights = ((HIGH - values.clamp(LOW, HIGH)) / (HIGH - LOW) * (bottom - top) + top).tolist()
        return list(zip(across, heights, strict=True))

    draw.polygon(points(mean + 2 * spread) + points(mean - 2 * spread)[::-1], fill=BAND)
    for path in paths.T:
        draw.line(points(path), fill=LINE, width=SCALE)
    draw.line(points(mean), fill=INK, width=2 * SCALE)
    draw.rectangle((left, top, right, bottom), outline=PALE, width=1)
    write(draw, (left + right) / 2, top - 26 * SCALE, title, 15, "ma")
    write(draw, left, bottom + 4 * SCALE, "t = 1", 13, "la")
    write(draw, right, bottom + 4 * SCALE, "t = 0", 13, "ra")


def draw_states(canvas: Image.Image) -> None:
    """The strip of states x_t between a picture and a frame of its video."""
    draw = ImageDraw.Draw(canvas)
    picture = Image.open(PICTURE).convert("RGB")
    frames = FrameBridgePipeline.from_pretrained("embedded")(picture, "cat jumping").frames[0]
    prior, clean = (torch.from_numpy(frames[n]).double() / 127.5 - 1 for n in (0, 8))
    process = BridgeProcess(SCHEDULE)
    noise = seeded_noise([0])(torch.Size((1, *clean.shape))).double()
    gap = (WIDTH - 2 * MARGIN) // len(SHOWN)
    width, height = gap - 8, (gap - 8) * clean.shape[0] // clean.shape[1]
    for place, t in enumerate(SHOWN):
        time = torch.tensor([t], dtype=torch.float64)
        state = process.sample(clean[None], prior[None], time, noise)[0]
        pixels = ((state + 1) * 127.5).clamp(0, 255).byte().numpy()
        left, top = MARGIN + place * gap + 4, PANEL + 8
        image = Image.fromarray(pixels).resize((width * SCALE, height * SCALE))
        canvas.paste(image, (left * SCALE, top * SCALE))
        name = {1.0: "picture, t = 1", 0.0: "video frame, t = 0"}.get(t, f"t = {t}")
        middle = (left + width / 2) * SCALE
        write(draw, middle, (top + height + 4) * SCALE, name, 13, "ma")


def write(draw: ImageDraw.ImageDraw, x: float, y: float, text: str, size: int, anchor: str) -> None:
    """Text at a place, in the font that comes with Pillow."""
    draw.text((x, y), text, INK, ImageFont.load_default(size * SCALE), anchor=anchor)


if __name__ == "__main__":
    main()
