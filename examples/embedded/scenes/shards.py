"""Composed scenes on disk: shards of one size each, with their captions' embeddings.

A shard is a safetensors file: `picture`, `background` (N, 3, H, W) and `masks` (N, 2, H, W) as
uint8, `text` (N, L, D) float16 with `text_mask`, `supervise` (N,); its header holds, as JSON, each
scene's caption and the programs that its motions are drawn from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from examples.embedded.scenes.compose import Library, Scene, compose, draw_motion
from fbridge.data.shape_motions import Body
from fbridge.words.encoder import PromptEncoder

SIZES = ((128, 128), (112, 144), (144, 112), (96, 160), (160, 96))
FORMAT = 1


def write_shard(
    library: Library,
    encode: PromptEncoder,
    path: Path,
    *,
    seed: int,
    scenes: int = 256,
    close_ups: float = 0.4,
) -> None:
    """Compose a shard from `seed`; written whole or not at all."""
    rng = np.random.default_rng(seed)
    size = SIZES[seed % len(SIZES)] if seed % 2 else SIZES[0]
    drawn = [compose(library, rng, size=size, close_ups=close_ups) for _ in range(scenes)]
    text, prompt_mask = encode([scene.script.caption for scene in drawn])
    tensors = {
        "picture": _bytes([scene.picture.transpose(2, 0, 1) for scene in drawn]),
        "background": _bytes([scene.background.transpose(2, 0, 1) for scene in drawn]),
        "masks": _bytes([scene.masks for scene in drawn]),
        "text": text.half(),
        "text_mask": prompt_mask,
        "supervise": torch.tensor([scene.script.names_objects for scene in drawn]),
    }
    partial = path.with_suffix(".partial")
    facts = {"format": FORMAT, "scenes": [_facts(scene) for scene in drawn]}
    save_file(tensors, partial, metadata={"fbridge": json.dumps(facts)})  # several keys: any order
    partial.replace(path)


def _bytes(arrays: Sequence[Any]) -> Tensor:
    whole = (np.stack(arrays) * 255 + 0.5).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(whole))


def _facts(scene: Scene) -> dict[str, Any]:
    return {
        "caption": scene.script.caption,
        "acts": scene.script.acts,
        "camera": scene.script.camera,
        "bodies": [asdict(body) for body in scene.bodies],
    }


class Shard:
    """A shard read back; each call of `motions` draws anew."""

    def __init__(self, path: Path) -> None:
        with safe_open(path, "pt") as file:
            self._tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            self.facts: list[dict[str, Any]] = json.loads(file.metadata()["fbridge"])["scenes"]

    def __len__(self) -> int:
        return len(self.facts)

    @property
    def captions(self) -> list[str]:
        """The caption of each scene."""
        return [fact["caption"] for fact in self.facts]

    def pixels(self, name: str, rows: Tensor) -> Tensor:
        """`picture`, `background` or `masks` of some rows as float32 in [0, 1]."""
        return self._tensors[name][rows].float() / 255

    def text(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Token embeddings (N, L, D) float32 and their mask."""
        return self._tensors["text"][rows].float(), self._tensors["text_mask"][rows]

    def supervise(self, rows: Tensor) -> Tensor:
        """(N,) bool: whether the caption says which objects the masks are of."""
        return self._tensors["supervise"][rows]

    def motions(self, rows: Tensor, num_frames: int, rng: np.random.Generator) -> Tensor:
        """(N, F, 3, 26) float32: for each scene one of the motions that its caption allows."""
        facts = [self.facts[row] for row in rows.tolist()]
        bodies = [[Body(**body) for body in fact["bodies"]] for fact in facts]
        drawn = [
            draw_motion(fact["acts"], fact["camera"], body, num_frames, rng)
            for fact, body in zip(facts, bodies, strict=True)
        ]
        return torch.from_numpy(np.stack(drawn)).float()
