"""How the processes of a run share its batches, whatever their number is.

A batch is drawn for all processes together, with a clip's random numbers from its position in it
(`fbridge.train.batches`). It is cut into pieces, of which each process takes `parts`, one after the
other. So a run that goes on with fewer processes takes the same batches in more parts, and its
losses are the same but for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fbridge.errors import ConfigError

BATCH = "train.batch_size"
"""Key of a run's identity: clips of a batch, of all processes together."""


@dataclass(frozen=True)
class BatchShare:
    """One process's share of every batch.

    Attributes:
        clips: of a batch, of all processes together.
        most: clips that a process takes at once; the configuration's `train.batch_size`.
        rank, world: which process of how many.
        before: how many processes shared the batches until now; None where nothing has changed.

    Raises:
        ConfigError: there are more processes than clips.
    """

    clips: int
    most: int
    rank: int = 0
    world: int = 1
    before: int | None = None

    def __post_init__(self) -> None:
        """Check that every process has a clip."""
        if self.clips < self.world:
            raise ConfigError(
                f"batches of {self.clips} clips cannot be shared by {self.world} processes; launch "
                f"at most {self.clips}"
            )

    @property
    def parts(self) -> int:
        """How often each process computes gradients for one batch."""
        return math.ceil(self.clips / (self.world * self.most))

    @property
    def pieces(self) -> int:
        """Pieces of a batch, of all processes."""
        return self.parts * self.world

    def positions(self, part: int) -> range:
        """Positions in the batch of the clips of this process's piece; there may be none."""
        return range(part * self.world + self.rank, self.clips, self.pieces)

    def weight(self, part: int) -> float:
        """What the mean over a piece counts among all pieces; exactly 1 where all are equal."""
        return len(self.positions(part)) * self.pieces / self.clips

    def to_json(self) -> dict[str, int]:
        """What the next process of the run needs to know."""
        return {"most": self.most, "processes": self.world}

    @property
    def note(self) -> str:
        """What has changed with the number of processes; "" where nothing has."""
        if self.before is None:
            return ""
        sizes = sorted({len(self.positions(0)), self.clips // self.pieces} - {0})
        return (
            f"{self.world} {'process' if self.world == 1 else 'processes'} instead of "
            f"{self.before}: a batch stays the same {self.clips} clips, and each process takes "
            f"{' or '.join(map(str, sizes))} at a time, in {self.parts} "
            f"{'part' if self.parts == 1 else 'parts'}"
        )


def share_batches(
    batch_size: int, rank: int, world: int, begun: Mapping[str, Any] | None = None
) -> BatchShare:
    """A process's share of batches.

    Args:
        batch_size: clips that a process takes at once.
        rank: which process.
        world: of how many.
        begun: facts of the checkpoint that is resumed. Where its run had the same `batch_size`, its
            batches stay, and the processes share them; with another one, batches are new.

    Raises:
        ConfigError: there are more processes than clips.
    """
    clips, before = batch_size * world, None
    share = {} if begun is None else begun.get("share", {})
    if begun is not None and share.get("most") == batch_size:
        clips = begun["identity"][BATCH]
        before = share["processes"] if share["processes"] != world else None
    return BatchShare(clips, batch_size, rank, world, before)
