"""What `fbridge.generate.run` reports: events that it yields, and progress by a callback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from fbridge.data.provenance import Provenance
from fbridge.files.atomic import shown
from fbridge.generate.request import Job

if TYPE_CHECKING:
    from fbridge.data.stores.url import StoreUrl


@dataclass(frozen=True)
class Item:
    """One video of the plan.

    Attributes:
        video: file to write, or folder of frames.
        fitting: how the picture was fitted to the video's size, for people.
        record: every setting, with the model's choices filled in.
        url: where the video goes, if that is a store; the file is on its way there, then.
    """

    job: Job
    video: Path
    fitting: str
    record: Provenance
    url: StoreUrl | None = None

    def tree(self) -> dict[str, Any]:
        """The planned video as JSON values."""
        return {
            "video": shown(self.url or self.video),
            "fitting": self.fitting,
            **self.record.tree(),
        }


@dataclass(frozen=True)
class Reading:
    """The pictures are about to be read."""


@dataclass(frozen=True)
class Loading:
    """The model is about to be loaded.

    Attributes:
        model: its name.
        plain: without diffusers and transformers.
    """

    model: str
    plain: bool = False


@dataclass(frozen=True)
class Warned:
    """A replayed video may differ from the original, or a prompt is not done as it says; why."""

    text: str


@dataclass(frozen=True)
class Noted:
    """What to know about how the model is used."""

    text: str


@dataclass(frozen=True)
class Planned:
    """Everything is checked and filled in; nothing is written yet."""

    items: Sequence[Item]

    @property
    def steps(self) -> int:
        """Sampling steps of all videos together: the total of `Progress`."""
        return sum(item.record.steps for item in self.items)


@dataclass(frozen=True)
class Finished:
    """A video is on the disk, or in its store.

    Attributes:
        video, sidecar: files on the disk; of a store, what they were called on their way there.
        seconds: time of its batch, divided by the batch's videos.
        kept: it was there already.
        url: the video in its store, with the sidecar beside it.
    """

    video: Path
    sidecar: Path | None
    fitting: str
    seconds: float
    record: Provenance
    kept: bool = False
    url: StoreUrl | None = None

    @property
    def place(self) -> Path | StoreUrl:
        """Where the video is."""
        return self.url or self.video

    def tree(self) -> dict[str, Any]:
        """The result as JSON values."""
        beside = self.url and self.sidecar and self.url.parent / self.sidecar.name
        return {
            "video": shown(self.place),
            "sidecar": None if self.sidecar is None else shown(beside or self.sidecar),
            "fitting": self.fitting,
            "seconds": round(self.seconds, 3),
            **({"kept": True} if self.kept else {}),
            **self.record.tree(),
        }


@dataclass(frozen=True)
class Progress:
    """What is done now, and how many sampling steps are finished."""

    what: str
    done: int


Event: TypeAlias = Reading | Loading | Warned | Noted | Planned | Finished
OnProgress: TypeAlias = Callable[[Progress], None]
