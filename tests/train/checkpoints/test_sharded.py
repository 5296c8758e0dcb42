"""Two processes share a network's pieces: what they save, one reads whole, and two go on with."""

from __future__ import annotations

import errno
import os
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from fbridge.errors import CheckpointError, DependencyError
from fbridge.train.checkpoints.checkpoint import save_checkpoint
from fbridge.train.checkpoints.optimizer_state import load_optimizer_state, optimizer_state
from fbridge.train.checkpoints.reading import (
    checkpoints,
    load_group,
    newest,
    newest_whole,
    open_group,
    verified,
)
from fbridge.train.checkpoints.shards import Processes, ShardedTensors, local, local_shard
from fbridge.train.ema.averages import PlainEma, PostHocEma, applied
from fbridge.train.ema.snapshots import flatten, reconstruct
from tests.warm import WarmPython

fsdp = pytest.importorskip("torch.distributed.fsdp")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(fsdp, "fully_shard"), reason="torch before 2.6"),
    pytest.mark.skipif(not dist.is_gloo_available(), reason="gloo"),
]


class Network(nn.Module):
    """ShardedTensors of unequal size (7 rows, 1 row), beside parameters that are not sharded."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Linear(5, 7)
        self.last = nn.Linear(7, 1)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(torch.tanh(self.first(x))) * self.scale
        return y


def gather(own: list[Any]) -> list[Any]:
    lists: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(lists, own)
    return [one for those in lists for one in those]


class Training:
    def __init__(self, mesh: Any) -> None:
        self.network = Network()
        fsdp.fully_shard(self.network.first, mesh=mesh)
        fsdp.fully_shard(self.network.last, mesh=mesh)
        self.parameters = dict(self.network.named_parameters())
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=0.01, foreach=False)
        self.plain = PlainEma(self.parameters, 0.9)
        self.powers = PostHocEma(self.parameters)

    def train(self, first: int, last: int) -> None:
        for step in range(first, last + 1):
            x = torch.randn(4, 5, generator=torch.Generator().manual_seed(step))
            self.network(x).square().mean().backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.plain.update(step)
            self.powers.update(step)

    def groups(self) -> dict[str, dict[str, Tensor]]:
        moments, _ = optimizer_state(self.optimizer, self.parameters)
        return {
            "network": {name: p.detach() for name, p in self.parameters.items()},
            "optimizer": moments,
            "ema": self.plain.tensors(),
            "powers": self.powers.tensors(),
        }

    def resume(self, run: Path) -> None:
        found = newest(run)
        assert found is not None
        for name, whole in open_group(found, "network").items():
            with torch.no_grad():
                local(self.parameters[name]).copy_(local_shard(whole, self.parameters[name]))
        moments = open_group(found, "optimizer")
        load_optimizer_state(self.optimizer, self.parameters, moments, found.facts["optimizer"])
        self.plain.load(open_group(found, "ema"))
        self.powers.load(open_group(found, "powers"))


def write_whole(training: Training, path: Path) -> None:
    """All tensors put together by torch itself."""
    whole = {
        f"{group}:{name}": (t.full_tensor() if isinstance(t, DTensor) else t).clone()
        for group, tensors in training.groups().items()
        for name, t in tensors.items()
    }
    if dist.get_rank() == 0:
        save_file(whole, path)


MESHES = {"sharded": (2,), "replicated": (2, 1)}


def process(rank: int, folder: Path) -> None:
    """What each of the two does, for every mesh: train, save, train on; resume and train on."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    try:
        for name, sizes in MESHES.items():
            names = ("replicate", "shard")[-len(sizes) :]
            mesh = init_device_mesh("cpu", sizes, mesh_dim_names=names)
            train_save_resume(mesh, folder / name, Processes(rank, 2, gather))
        check_own_folders(mesh, folder / f"machine-{rank}", Processes(rank, 2, gather))
    finally:
        dist.destroy_process_group()


def train_save_resume(mesh: Any, folder: Path, processes: Processes) -> None:
    training, run = Training(mesh), folder / "run"
    training.train(1, 3)
    _, facts = optimizer_state(training.optimizer, training.parameters)
    groups = training.groups()
    save_checkpoint(run, 3, groups, {"optimizer": facts}, keep=1, processes=processes)
    training.powers.snapshot(run, 3, processes=processes)
    write_whole(training, folder / "saved.safetensors")
    check_failure(run, groups, processes)
    check_applied(training)
    training.train(4, 6)
    write_whole(training, folder / "straight.safetensors")
    again = Training(mesh)
    again.resume(run)
    again.train(4, 6)
    write_whole(again, folder / "resumed.safetensors")


def check_failure(run: Path, groups: dict[str, dict[str, Tensor]], processes: Processes) -> None:
    """A disk that is full for the second process alone stops both."""
    fsync = os.fsync

    def full(_: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    if processes.rank == 1:
        os.fsync = full  # type: ignore[assignment]
    with pytest.raises(DependencyError, match=r"network.*; the last good .*checkpoint-3"):
        save_checkpoint(run, 4, groups, {}, keep=1, processes=processes)
    os.fsync = fsync
    dist.barrier()
    assert [c.step for c in checkpoints(run)] == [3]
    dist.barrier()


def check_own_folders(mesh: Any, run: Path, processes: Processes) -> None:
    """The first of two machines gets all; what it cannot write stops both, and waits for no one."""
    training = Training(mesh)
    training.train(1, 1)
    groups = training.groups()
    save_checkpoint(run, 1, groups, {}, keep=1, processes=processes)
    training.powers.snapshot(run, 1, processes=processes)
    training.powers.snapshot(run, 1, processes=processes)  # again, of a resumed run
    fsync, written = os.fsync, count()

    def full(handle: Any) -> None:
        if next(written) >= len(groups):  # by then its own are there
            raise OSError(errno.ENOSPC, "full")
        fsync(handle)

    if processes.rank == 0:
        os.fsync = full  # type: ignore[assignment]
    with pytest.raises(DependencyError, match=r"checkpoint-2.network-00002.*no room.*last good"):
        save_checkpoint(run, 2, groups, {}, keep=1, processes=processes)
    os.fsync = fsync


def check_applied(training: Training) -> None:
    """Averages, sharded and whole, reach what the network computes, and leave no trace."""
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    network, parameters, average = training.network, training.parameters, training.plain.weights()
    with torch.no_grad():
        before = network(x)
        whole = {n: t.full_tensor() if isinstance(t, DTensor) else t for n, t in average.items()}
        alone = Network()
        alone.load_state_dict(whole)
        for weights in (average, whole):
            with applied(parameters, weights, network):
                assert torch.allclose(network(x), alone(x), atol=1e-7)
                assert not torch.equal(network(x), before)
            assert torch.equal(network(x), before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, warm: WarmPython) -> Path:
    path = tmp_path_factory.mktemp("two")
    warm.call(process, path, 2)
    return path


@pytest.fixture(params=list(MESHES))
def folder(request: pytest.FixtureRequest, trained: Path) -> Path:
    return trained / str(request.param)


def test_one_process_reads_whole_tensors(folder: Path) -> None:
    found = newest(folder / "run")
    assert found is not None
    assert sorted(found.files) == [
        f"{group}-0000{rank}-of-00002.safetensors"
        for group in ("ema", "network", "optimizer", "powers")
        for rank in (1, 2)
    ]
    saved = load_file(folder / "saved.safetensors")
    read = {f"{g}:{name}": t for g in found.groups for name, t in load_group(found, g).items()}
    assert read.keys() == saved.keys()
    assert [name for name in saved if not torch.equal(read[name], saved[name])] == []


def test_nothing_is_written_twice(folder: Path) -> None:
    found = newest(folder / "run")
    assert found is not None
    for group in found.groups:
        numbers = [load_file(found.path / file) for file in found.groups[group]]
        written = sum(t.numel() for tensors in numbers for t in tensors.values())
        assert written == sum(t.numel() for t in load_group(found, group).values())


def test_resuming_equals_never_stopping(folder: Path) -> None:
    straight = load_file(folder / "straight.safetensors")
    resumed = load_file(folder / "resumed.safetensors")
    assert [name for name in straight if not torch.equal(straight[name], resumed[name])] == []
    saved = load_file(folder / "saved.safetensors")
    assert not torch.equal(saved["network:first.weight"], straight["network:first.weight"])


def test_snapshots_of_two_are_read_by_one(folder: Path) -> None:
    average = reconstruct(folder / "run", 0.1)
    saved = load_file(folder / "saved.safetensors")
    assert sorted(average) == sorted(dict(Network().named_parameters()))
    for name, tensor in average.items():
        assert torch.equal(tensor, saved[f"powers:0.1/{name}"].half().float())


def test_of_two_machines_the_first_has_all_and_the_other_nothing(trained: Path) -> None:
    run = trained / "machine-0"
    found = newest_whole(run).checkpoint
    assert found is not None
    assert found.step == 1
    assert verified(found).groups["network"] == [
        "network-00001-of-00002.safetensors", "network-00002-of-00002.safetensors",
    ]  # fmt: skip
    averages = flatten({0.1: reconstruct(run, 0.1)})
    groups = load_group(found, "powers")
    assert averages.keys() == {name for name in groups if name.startswith("0.1/")}
    assert [n for n in averages if not torch.equal(averages[n], groups[n].half().float())] == []
    assert [path.name for path in (trained / "machine-1").rglob("*")] == ["ema"]


def test_a_missing_piece_is_named(trained: Path) -> None:
    found = newest(trained / "sharded" / "run")
    assert found is not None
    with pytest.raises(CheckpointError, match=r"shards of '(first|last)\..*' are missing"):
        ShardedTensors([found.path / found.groups["network"][0]])
