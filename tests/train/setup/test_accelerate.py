"""What `accelerate launch` may be told: the files of examples, and what is refused."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType
from torch import nn

from fbridge.config.tree import TrainConfig
from fbridge.errors import ConfigError
from fbridge.train.setup.accelerate import adapt_launch, check_share, check_world, shard_blocks
from fbridge.train.shares import BatchShare

FOLDER = Path(__file__).parents[3] / "examples" / "accelerate"
KINDS = {
    "ddp": DistributedType.MULTI_GPU,
    "fsdp2": DistributedType.FSDP,
    "deepspeed-zero2": DistributedType.DEEPSPEED,
    "multi-node": DistributedType.MULTI_GPU,
}


def launched(name: str) -> argparse.Namespace:
    """All options of `accelerate launch`, with those that a file names."""
    line = ["--config_file", str(FOLDER / f"{name}.yaml"), "-m", "fbridge_cli", "finetune"]
    options = launch_command_parser().parse_args(line)
    found, _, _ = _validate_launch_command(options)
    return found


def test_every_file_is_known() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} - {"kubernetes-train"} == set(KINDS)
    text = (FOLDER / "README.md").read_text()
    assert [name for name in KINDS if f"`{name}.yaml`" not in text] == []


@pytest.mark.parametrize("name", KINDS)
def test_accelerate_reads_the_file(name: str) -> None:
    path = str(FOLDER / f"{name}.yaml")
    told = load_config_from_file(path)  # unknown keys are errors
    assert told.distributed_type == KINDS[name]
    sections = {**told.fsdp_config, **told.deepspeed_config}
    options = vars(launch_command_parser().parse_args(["-m", "fbridge_cli"]))
    assert [key for key in sections if key not in options] == []  # these are not, so here they are
    assert launched(name).num_processes == told.num_processes


@pytest.mark.parametrize(("named", "wanted"), [(None, ["Conv2d", "Linear"]), (["Other"],) * 2])
def test_the_networks_own_blocks_are_sharded(named: Any, wanted: list[str]) -> None:
    plugin = SimpleNamespace(transformer_cls_names_to_wrap=named)
    blocks = [nn.Linear(1, 1), nn.Conv2d(1, 1, 1), nn.Linear(1, 1)]
    shard_blocks(accelerator(DistributedType.FSDP, fsdp_plugin=plugin), blocks)
    assert plugin.transformer_cls_names_to_wrap == wanted
    shard_blocks(accelerator(DistributedType.NO), blocks)  # has no plugin


def accelerator(kind: DistributedType, **state: Any) -> Any:
    return SimpleNamespace(distributed_type=kind, state=SimpleNamespace(**state))


def deepspeed(stage: int) -> Any:
    numbers = {"zero_optimization": {"stage": stage}, "train_batch_size": "auto"}
    plugin = SimpleNamespace(deepspeed_config=numbers)
    return accelerator(DistributedType.DEEPSPEED, deepspeed_plugin=plugin)


@pytest.mark.parametrize(
    ("stage", "config", "named"),
    [
        (3, TrainConfig(), "ZeRO stage 3"),
        (2, TrainConfig(gradient_accumulation=2), "train.gradient_accumulation 2"),
        (2, TrainConfig(optimizer="schedule-free"), "train.optimizer 'schedule-free'"),
        (2, TrainConfig(precision="fp16"), 'train.precision "fp16"'),
    ],
)
def test_what_deepspeed_cannot_do_is_refused(stage: int, config: TrainConfig, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        adapt_launch(deepspeed(stage), config)


def test_deepspeed_is_told_batch_and_clipping() -> None:
    given = deepspeed(2)
    adapt_launch(given, TrainConfig(batch_size=3, max_grad_norm=0.5))
    assert given.state.deepspeed_plugin.deepspeed_config == {
        "zero_optimization": {"stage": 2},
        "train_micro_batch_size_per_gpu": 3,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": 0.5,
    }


@pytest.mark.parametrize(
    ("version", "efficient", "named"), [(1, False, "fsdp_version is 1"), (2, True, "cpu_ram")]
)
def test_what_fsdp_cannot_do_is_refused(version: int, efficient: bool, named: str) -> None:
    plugin = SimpleNamespace(fsdp_version=version, cpu_ram_efficient_loading=efficient)
    with pytest.raises(ConfigError, match=named):
        adapt_launch(accelerator(DistributedType.FSDP, fsdp_plugin=plugin), TrainConfig())


@pytest.mark.parametrize("kind", [DistributedType.FSDP, DistributedType.DEEPSPEED])
def test_a_sharded_optimizer_has_one_learning_rate(kind: DistributedType) -> None:
    with pytest.raises(ConfigError, match=r"new_input_lr_factor 10 is not possible with FSDP2"):
        adapt_launch(accelerator(kind), TrainConfig(new_input_lr_factor=10))


def test_deepspeed_takes_a_batch_in_one_part() -> None:
    share = BatchShare(8, 2, world=3)
    with pytest.raises(ConfigError, match="3 processes would take its 8 clips in 2; launch 4"):
        check_share(accelerator(DistributedType.DEEPSPEED), share)
    check_share(accelerator(DistributedType.DEEPSPEED), BatchShare(8, 2, world=4))
    check_share(accelerator(DistributedType.FSDP), share)


def test_processes_that_would_train_alone_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    apart: Any = SimpleNamespace(num_processes=1, device=SimpleNamespace(type="mps"))
    check_world(apart)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="WORLD_SIZE 2: processes on mps cannot train together"):
        check_world(apart)
    apart.num_processes = 2
    check_world(apart)


def test_one_process_is_left_alone() -> None:
    adapt_launch(accelerator(DistributedType.NO), TrainConfig())
