"""`fbridge train-prior` and `fbridge finetune`: what was typed becomes an order."""

from __future__ import annotations

from fbridge_cli.training import options as option
from fbridge_cli.ui import Ui


def train_prior(
    config: option.ConfigFile = None,
    data: option.Data = None,
    loss: option.Loss = None,
    steps: option.Steps = None,
    batch_size: option.BatchSize = None,
    lr: option.Lr = None,
    seed: option.Seed = None,
    recipe: option.Recipe = None,
    changes: option.Set = None,
    out: option.Out = None,
    resume: option.Resume = False,
    accept_changes: option.AcceptChanges = False,
    device: option.Device = "auto",
    dry_run: option.DryRun = False,
    json: option.Json = False,
) -> None:
    """Train a neural prior: the video regressed from picture and words in one pass.

    It ends with its gain over the repeated picture on held-out clips: whether it is worth using.

    Example:
        fbridge train-prior --data latents/ -o runs/prior

        fbridge finetune --base t2v.safetensors --data latents/ --prior runs/prior
    """
    from fbridge_cli.training.errand import carry_out
    from fbridge_cli.training.order import Order

    typed = locals()
    order = Order(
        "train-prior",
        **{name: typed[name] for name in Order.__dataclass_fields__ if name in typed},
    )
    carry_out(order, Ui(machine=json))


def finetune(
    config: option.ConfigFile = None,
    base: option.Base = None,
    components: option.Components = None,
    download: option.Download = False,
    data: option.Data = None,
    prior: option.Prior = None,
    objective: option.Objective = None,
    no_align: option.NoAlign = False,
    lora: option.Lora = None,
    steps: option.Steps = None,
    batch_size: option.BatchSize = None,
    lr: option.Lr = None,
    seed: option.Seed = None,
    recipe: option.Recipe = None,
    changes: option.Set = None,
    out: option.Out = None,
    resume: option.Resume = False,
    accept_changes: option.AcceptChanges = False,
    device: option.Device = "auto",
    dry_run: option.DryRun = False,
    json: option.Json = False,
) -> None:
    """Turn a text-to-video model into an image-to-video bridge.

    Several processes and machines: accelerate launch -m fbridge_cli finetune ...

    Example:
        fbridge finetune --base t2v.safetensors

        fbridge finetune bridge.toml --data latents/ -o runs/bridge --lora 16

        fbridge finetune -o runs/bridge --resume

        fbridge generate cat.jpg -p "cat jumping" --model runs/bridge
    """
    from fbridge_cli.training.errand import carry_out
    from fbridge_cli.training.order import Order

    typed = locals()
    order = Order(
        "finetune", **{name: typed[name] for name in Order.__dataclass_fields__ if name in typed}
    )
    carry_out(order, Ui(machine=json))
