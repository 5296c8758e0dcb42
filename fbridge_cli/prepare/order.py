"""What the user typed after `fbridge prepare`, and what the core is told to do."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from fbridge.errors import ConfigError, DataError
from fbridge.files.atomic import check_writable, shown
from fbridge_cli import runtime
from fbridge_cli.checks import (
    MOST_BATCH,
    check_choice,
    check_device,
    check_fps,
    check_model,
    check_range,
    check_text,
    home_expanded,
)
from fbridge_cli.prepare.parse import (
    CAPTIONLESS,
    DECODERS,
    parse_dtype,
    parse_percent,
    parse_shapes,
)
from fbridge_cli.processes import Process

if TYPE_CHECKING:
    from fbridge.data.video.clip_sampling import ClipSampling
    from fbridge.prepare import Options

MOST_STRIDE = MOST_SHARD = 100_000
MOST_SECONDS = 86_400
MOST_WORKERS = 256


@dataclass(frozen=True)
class Order:
    """What the user typed, unchecked; None where he was silent."""

    source: Path | None = None
    out: str | None = None
    layout: str | None = None
    media_root: Path | None = None
    frames: str | None = None
    stride: int | None = None
    fps: float | None = None
    size: str | None = None
    buckets: str | None = None
    clips: str = "head"
    min_seconds: float = 0.0
    drop_still: bool = False
    drop_cuts: bool = False
    drop_duplicates: bool = False
    no_caption: str = "keep"
    caption_prefix: str = ""
    codec: str = "embedded"
    text_encoder: str | None = None
    dtype: str = "float16"
    batch_size: int = 4
    shard_size: int = 64
    device: str = "auto"
    decoder: str = "pyav"
    workers: int | None = None
    time_limit: float = 120.0
    max_bad: str = "1%"
    verify: Path | None = None
    preview: bool = False
    dry_run: bool = False

    def check_alone(self) -> None:
        """Raise ConfigError when anything but a folder to verify was given."""
        for field in fields(self):
            assert field.default is not MISSING
            if field.name == "verify" or getattr(self, field.name) == field.default:
                continue
            option = "SOURCE" if field.name == "source" else f"--{field.name.replace('_', '-')}"
            raise ConfigError(f"--verify checks what was prepared; drop {option}, or drop --verify")

    def options(self, process: Process) -> Options:
        """All that the core needs, checked; torch is imported only for an order without fault.

        Raises:
            ConfigError: at the first fault.
            DataError: when there is no such source.
            CheckpointError, DependencyError: when codec, device or room are not there.
        """
        source, out = self._places()
        cutting = self._cutting()
        self._check_encoding()
        dtype, max_bad = parse_dtype(self.dtype), parse_percent(self.max_bad)
        codec = home_expanded(self.codec)
        check_writable(out)
        device = runtime.present_device(self.device, process.local if process.world > 1 else None)
        from fbridge.prepare import Options, Rank

        return Options(
            source=source,
            out=out,
            cutting=cutting,
            layout=self.layout,
            media_root=None if self.media_root is None else home_expanded(self.media_root),
            codec=str(codec) if codec.exists() else self.codec,
            text_encoder=self.text_encoder,
            captionless=self.no_caption,
            prefix=self.caption_prefix,
            dtype=dtype,
            shard_rows=self.shard_size,
            batch_size=self.batch_size,
            workers=process.workers() if self.workers is None else self.workers,
            time_limit=self.time_limit,
            max_bad=max_bad,
            device=device,
            rank=Rank(process.number, process.world),
        )

    def _places(self) -> tuple[Path, Path]:
        if self.source is None:
            raise ConfigError("no SOURCE given; name a folder of videos, a list or a .tar")
        if self.out is None:
            raise ConfigError("no -o given; name the data set's folder: -o latents/")
        if not self.out.strip():
            raise ConfigError("-o: is empty; name a folder")
        source, out = home_expanded(self.source), home_expanded(self.out)
        if not source.exists():
            raise DataError(
                f"{shown(source)}: no such file or folder; check the name and the folder"
            )
        if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
            raise ConfigError(
                f"-o {shown(out)}: lies in {shown(source)}, which is only read; "
                "name a folder beside it"
            )
        return source, out

    def _cutting(self) -> ClipSampling:
        if self.fps is not None and self.stride is not None:
            raise ConfigError(
                f"--fps {self.fps:g} and --stride {self.stride} contradict; drop one of them"
            )
        check_fps(self.fps)
        check_range("--stride", self.stride, 1, MOST_STRIDE)
        check_range("--min-seconds", self.min_seconds, 0, MOST_SECONDS)
        check_choice("--decoder", self.decoder, DECODERS)
        buckets = parse_shapes(self.buckets, self.size, self.frames)
        from fbridge.data.video.clip_sampling import ClipSampling

        try:
            return ClipSampling(
                buckets,
                stride=1 if self.stride is None else self.stride,
                fps=self.fps,
                mode=self.clips.strip().lower(),
                min_seconds=self.min_seconds,
                drop_still=self.drop_still,
                drop_cuts=self.drop_cuts,
                drop_duplicates=self.drop_duplicates,
                decoder=self.decoder,
            )
        except ConfigError as error:  # --clips: all else was checked
            raise ConfigError(f"--{error}") from None

    def _check_encoding(self) -> None:
        check_choice("--no-caption", self.no_caption, CAPTIONLESS)
        check_text(self.caption_prefix, "--caption-prefix")
        check_model("--codec", self.codec)
        check_device(self.device)
        check_range("--batch-size", self.batch_size, 1, MOST_BATCH)
        check_range("--shard-size", self.shard_size, 1, MOST_SHARD)
        check_range("--workers", self.workers, 1, MOST_WORKERS)
        check_range("--time-limit", self.time_limit, 1, MOST_SECONDS)
        if self.preview and self.dry_run:
            raise ConfigError("--preview shows what --dry-run does not make; drop one of them")
