"""`fbridge show`: print the record that a video carries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fbridge_cli import options
from fbridge_cli.ui import Ui

if TYPE_CHECKING:
    from fbridge.data.provenance import Provenance


def show(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A video, a folder of frames, or the .json beside one.",
            show_default=False,
        ),
    ],
    json: options.Json = False,
) -> None:
    """Print how a video was made.

    Example:
        fbridge show cat.mp4
    """
    from fbridge.data.provenance import read_provenance

    record = read_provenance(file)
    ui = Ui()
    if json:
        ui.json(record.tree())
    else:
        ui.facts(_facts(record))


def _facts(record: Provenance) -> list[tuple[str, str]]:
    seconds = record.frames / record.fps if record.fps else 0.0
    pairs = [
        ("prompt", record.prompt),
        ("notes", "; ".join(record.notes)),
        ("negative", record.negative),
        ("seed", str(record.seed)),
        ("picture", f"{record.picture.path or record.picture.name} ({record.picture.sha256[:12]})"),
        ("model", f"{record.model.name} ({record.model.hash[:12]})"),
        ("LoRA", ", ".join(f"{lora.label} ({lora.sha256[:12]})"
                           for lora in record.model.loras)),
        ("sampler", f"{record.sampler}, {record.steps} steps, {record.grid} grid"),
        ("time shift", "" if record.time_shift == 1 else f"{record.time_shift:g}"),
        ("eta", "" if record.eta is None else f"{record.eta:g}"),
        ("guidance", "" if record.guidance is None else f"{record.guidance:g}"),
        ("guidance 2",
         "" if record.guidance_2 is None else f"{record.guidance_2:g}"),
        ("strength", f"{record.strength:g}"),
        ("image input", record.image_input),
        ("first frame", record.first_frame),
        ("image guidance", f"{record.image_guidance:g}"),
        ("start", record.start),
        ("video", f"{record.frames} frames of {record.size[0]}x{record.size[1]} at "
                  f"{record.fps:g} fps ({seconds:.3g} s)"),
        ("machine", f"{record.machine.device}, {record.machine.dtype}, "
                    f"{record.machine.threads} threads, batch of {record.machine.batch}"),
        ("switches", ", ".join(f"{k} {v}" for k, v in (record.machine.memory or {}).items())),
        ("versions", ", ".join(f"{name} {number}" for name, number in record.versions.items())),
    ]  # fmt: skip
    return [(name, value) for name, value in pairs if value]
