"""`fbridge prepare`: what was typed becomes an order, and the order is carried out."""

from __future__ import annotations

from fbridge_cli.prepare import options as option
from fbridge_cli.ui import Ui


def prepare(
    source: option.Source = None,
    out: option.Out = None,
    layout: option.LayoutName = None,
    media_root: option.MediaRoot = None,
    frames: option.Frames = None,
    stride: option.Stride = None,
    fps: option.Fps = None,
    size: option.Size = None,
    buckets: option.Buckets = None,
    clips: option.Clips = "head",
    min_seconds: option.MinSeconds = 0.0,
    drop_still: option.DropStill = False,
    drop_cuts: option.DropCuts = False,
    drop_duplicates: option.DropDuplicates = False,
    no_caption: option.NoCaption = "keep",
    caption_prefix: option.CaptionPrefix = "",
    codec: option.CodecName = "embedded",
    text_encoder: option.TextEncoderName = None,
    dtype: option.Dtype = "float16",
    batch_size: option.BatchSize = 4,
    shard_size: option.ShardSize = 64,
    device: option.Device = "auto",
    decoder: option.Decoder = "pyav",
    workers: option.Workers = None,
    time_limit: option.TimeLimit = 120.0,
    max_bad: option.MaxBad = "1%",
    verify: option.Verify = None,
    preview: option.Preview = False,
    dry_run: option.DryRun = False,
    json: option.Json = False,
) -> None:
    """Turn a collection of videos into a data set of latents to train on.

    Run the same line again to go on after an interruption, or to add new videos.

    Example:
        fbridge prepare videos/ -o latents/

        fbridge prepare videos/ -o latents/ --fps 8 --clips uniform:4 --dry-run

        fbridge prepare list.csv -o latents/ --buckets auto --preview

        fbridge prepare --verify latents/
    """
    from fbridge_cli.prepare.errand import carry_out
    from fbridge_cli.prepare.order import Order

    typed = locals()
    order = Order(**{name: typed[name] for name in Order.__dataclass_fields__})
    carry_out(order, Ui(machine=json))
