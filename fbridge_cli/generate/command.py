"""`fbridge generate`: what was typed becomes an order, and the order is carried out."""

from __future__ import annotations

from fbridge_cli.generate import options as option
from fbridge_cli.ui import Ui


def generate(
    images: option.Images = None,
    prompt: option.Prompt = None,
    negative: option.Negative = "",
    seed: option.Seed = None,
    num: option.Num = 1,
    again: option.From = None,
    model: option.ModelName = None,
    frames: option.Frames = None,
    fps: option.Fps = None,
    size: option.Size = None,
    steps: option.Steps = None,
    sampler: option.SamplerName = None,
    eta: option.Eta = None,
    grid: option.Grid = None,
    start: option.StartAt = None,
    strength: option.Strength = None,
    components: option.Components = None,
    download: option.Download = False,
    offload: option.Offload = "none",
    quantize: option.Quantize = "none",
    cast: option.Cast = "none",
    attention: option.Attention = None,
    vae_tiling: option.VaeTiling = False,
    vae_slicing: option.VaeSlicing = False,
    guidance: option.Guidance = None,
    image_guidance: option.ImageGuidance = None,
    device: option.Device = "auto",
    dtype: option.Dtype = "float32",
    batch_size: option.BatchSize = 1,
    out: option.Out = None,
    kind: option.Format = None,
    overwrite: option.Overwrite = False,
    no_metadata: option.NoMetadata = False,
    dry_run: option.DryRun = False,
    json: option.Json = False,
) -> None:
    """Make videos from pictures and a prompt.

    Example:
        fbridge generate cat.jpg -p "cat jumping"

        fbridge generate cat.jpg -p "zoom in" --num 4 -o videos/

        fbridge generate --from cat.mp4 -o again.mp4
    """
    from fbridge_cli.generate.errand import Order, carry_out

    typed = locals()
    order = Order(**{name: typed[name] for name in Order.__dataclass_fields__})
    carry_out(order, Ui(machine=json))
