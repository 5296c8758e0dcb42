"""The request of `fbridge prepare`; importing it needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fbridge.checks import MOST_BATCH, check_choice, check_device, check_range, check_text
from fbridge.choices import CAPTIONLESS, DTYPES
from fbridge.cluster.options import RayOptions
from fbridge.data.stores.url import StoreUrl
from fbridge.data.video.clip_sampling import MOST_SECONDS, ClipSampling
from fbridge.errors import ConfigError, DataError
from fbridge.files.atomic import shown
from fbridge.loaders.names import check_model

MOST_SHARD = 100_000
MOST_WORKERS = 256
CACHE_SIZE = 10 * 10**9
"""Bytes of local copies by default."""


@dataclass(frozen=True)
class Rank:
    """Which of several processes this is."""

    number: int = 0
    world: int = 1

    def mine(self, place: int) -> bool:
        """Whether item `place` of the shared list of work belongs to this process."""
        return place % self.world == self.number


@dataclass(frozen=True)
class PrepareRequest:
    """Which videos become a data set of latents, and how.

    Attributes:
        source, out: what is read, which may be behind a URL, and the data set's folder.
        store: where the data set ends up; it is made in a folder of the cache, then.
        cutting: how clips are cut.
        layout, media_root: arguments of `fbridge.data.sources.find_layout`; the root may be a URL.
        codec, text_encoder: names of models; None is the codec's own text encoder, else MiniLM.
        captionless: "keep" videos without a caption as unconditional ones, or "drop" them.
        prefix: put before every caption.
        dtype: of all stored tensors.
        shard_rows: clips in a shard; a killed run repeats at most one shard per process.
        batch_size: clips that a video VAE encodes at a time; an image VAE is given one.
        workers, time_limit: decoding processes, and the seconds after which a file is given up.
        max_bad: the largest share of files that may be rejected.
        device: where the codec runs.
        rank: which of several processes this is.
        cache_size: bytes of local copies of videos behind URLs, besides those that are worked on.
        ray: the cluster that decodes and encodes instead of `workers` and `device`; None is none.

    Raises:
        ConfigError: a value is out of range or unknown.
        CheckpointError: there is no such codec.
    """

    source: Path | StoreUrl
    out: Path
    cutting: ClipSampling
    layout: str | None = None
    media_root: Path | StoreUrl | None = None
    codec: str = "embedded"
    text_encoder: str | None = None
    captionless: str = "keep"
    prefix: str = ""
    dtype: str = "float16"
    shard_rows: int = 64
    batch_size: int = 4
    workers: int = 2
    time_limit: float = 120.0
    max_bad: float = 0.01
    device: str = "cpu"
    rank: Rank = field(default_factory=Rank)
    cache_size: int = CACHE_SIZE
    store: StoreUrl | None = None
    ray: RayOptions | None = None

    def __post_init__(self) -> None:
        """Check every value; `check_paths` checks the file system."""
        check_choice("--no-caption", self.captionless, CAPTIONLESS)
        check_text(self.prefix, "--caption-prefix")
        check_model("--codec", self.codec)
        check_choice("--dtype", self.dtype, DTYPES)
        check_device(self.device)
        check_range("--batch-size", self.batch_size, 1, MOST_BATCH)
        check_range("--shard-size", self.shard_rows, 1, MOST_SHARD)
        check_range("--workers", self.workers, 1, MOST_WORKERS)
        check_range("--time-limit", self.time_limit, 1, MOST_SECONDS)
        check_range("--max-bad", self.max_bad, 0, 1)
        places = self.source, self.media_root, self.store
        if self.ray is not None and any(isinstance(place, StoreUrl) for place in places):
            raise ConfigError(
                "--engine ray: reads and writes folders that all its machines see; name folders "
                "for SOURCE, --media-root and -o, or drop it"
            )
        if self.ray is not None and self.rank.world > 1:
            raise ConfigError(
                f"--engine ray: is driven by one process, not by {self.rank.world}; start it "
                "without accelerate launch"
            )

    @property
    def target(self) -> Path | StoreUrl:
        """Where the data set will be."""
        return self.store or self.out

    def check_paths(self) -> None:
        """Check that the source exists and that the data set does not lie inside of it.

        Raises:
            DataError: there is no such source.
            ConfigError: `out` lies in the source.
        """
        source, out = self.source, self.out
        if isinstance(source, StoreUrl):
            if self.store is not None and f"{self.store}/".startswith(f"{source}/"):
                raise ConfigError(
                    f"-o {self.store}: lies in {source}, which is only read; name another"
                )
            return
        if not source.exists():
            raise DataError(
                f"{shown(source)}: no such file or folder; check the name and the folder"
            )
        if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
            raise ConfigError(
                f"-o {shown(out)}: lies in {shown(source)}, which is only read; "
                "name a folder beside it"
            )
