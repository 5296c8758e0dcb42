"""Moving averages against their definitions, their checkpoints and their snapshots."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fbridge.errors import CheckpointError, ConfigError
from fbridge.train.checkpoints.checkpoint import save_checkpoint
from fbridge.train.checkpoints.reading import load_group, newest
from fbridge.train.ema.averages import Ema, PlainEma, PostHocEma, applied
from fbridge.train.ema.profiles import exponent
from fbridge.train.ema.snapshots import reconstruct, snapshots

STEPS, EVERY = 200, 20


def walk() -> Tensor:
    """Parameters after each of 200 steps, (step, 64): a random walk far from 0, float32."""
    chance = torch.Generator().manual_seed(0)
    start = 1 + torch.randn(64, generator=chance)
    return start + (0.05 * torch.randn(STEPS, 64, generator=chance)).cumsum(0)


def exact(path: Tensor, length: float, end: int) -> Tensor:
    """The power-function average of the steps up to `end`, each weighed by its share of it."""
    t = torch.arange(end + 1, dtype=torch.float64) / end
    shares = (t ** (exponent(length) + 1)).diff()
    return (shares[:, None] * path[:end].double()).sum(0)


def follow(path: Tensor, average: Ema, parameter: Tensor, first: int, last: int) -> None:
    for step in range(first, last + 1):
        parameter.copy_(path[step - 1])
        average.update(step)


def distance(first: Tensor, second: Tensor) -> float:
    return float((first - second).norm() / second.norm())


def test_the_plain_average_is_its_recursion() -> None:
    path, parameter = walk(), torch.zeros(64)
    average = PlainEma({"w": parameter}, 0.9)
    follow(path, average, parameter, 1, 150)
    expected = torch.zeros(64, dtype=torch.float64)
    for step in range(1, 151):
        kept = min(0.9, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * path[step - 1].double()
    assert distance(average.weights()["w"], expected) < 1e-6


def test_without_warmup_the_first_weights_last() -> None:
    parameter = torch.ones(3)
    average = PlainEma({"w": parameter}, 0.99, warmup=False)
    parameter.zero_()
    average.update(1)
    assert torch.allclose(average.weights()["w"], torch.full((3,), 0.99))


def test_averages_are_float32_of_whatever_the_weights_are() -> None:
    parameters = {
        "b": torch.ones(4, dtype=torch.bfloat16),
        "f": torch.ones(2, 3),
        "s": torch.ones(()),
    }
    average = PlainEma(parameters, 0.5, warmup=False)
    parameters["b"] += 1 / 128
    average.update(1)
    assert {t.dtype for t in average.weights().values()} == {torch.float32}
    assert average.weights()["b"].tolist() == [1 + 1 / 256] * 4  # bfloat16 could not hold it


@pytest.mark.parametrize("length", [0.05, 0.10])
def test_a_kept_power_average_is_the_exact_one(length: float) -> None:
    path, parameter = walk(), torch.zeros(64)
    average = PostHocEma({"w": parameter}, length=length)
    follow(path, average, parameter, 1, STEPS)
    assert distance(average.weights()["w"], exact(path, length, STEPS)) < 1e-6


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with snapshots every 20 steps up to 200."""
    folder = tmp_path_factory.mktemp("run")
    path, parameter = walk(), torch.zeros(64)
    average = PostHocEma({"layer.w": parameter})
    for end in range(EVERY, STEPS + 1, EVERY):
        follow(path, average, parameter, end - EVERY + 1, end)
        average.snapshot(folder, end)
    return folder


@pytest.mark.parametrize("end", [100, 200])
@pytest.mark.parametrize("length", [0.04, 0.07, 0.13, 0.18])
def test_an_average_that_was_not_kept_is_reconstructed(run: Path, length: float, end: int) -> None:
    """Within 0.6 % of the weights' norm, and four times nearer than any average that was kept."""
    path = walk()
    wanted = exact(path, length, end)
    error = distance(reconstruct(run, length, end)["layer.w"].double(), wanted)
    kept = [distance(exact(path, own, end), wanted) for own in (0.05, 0.10)]
    assert error < 0.006
    assert error < min(kept) / 4


def test_weights_that_stand_still_are_reconstructed_whatever_the_length(tmp_path: Path) -> None:
    parameter = torch.full((5,), 0.75)
    average = PostHocEma({"w": parameter})
    for step in range(1, 41):
        average.update(step)
        if step % 20 == 0:
            average.snapshot(tmp_path, step)
    for length in (0.02, 0.15, 0.28):
        assert torch.allclose(reconstruct(tmp_path, length)["w"], parameter, atol=1e-6)


@pytest.mark.parametrize("length", [0.05, 0.10])
@pytest.mark.parametrize("end", [60, 200])
def test_a_kept_average_is_its_snapshot(run: Path, length: float, end: int) -> None:
    saved = load_file(run / "ema" / f"{end}.safetensors")[f"{length}/layer.w"]
    assert saved.dtype == torch.float16
    assert torch.equal(reconstruct(run, length, end)["layer.w"], saved.float())
    assert distance(saved.double(), exact(walk(), length, end)) < 5e-4


def test_the_newest_snapshot_up_to_a_step_counts(run: Path) -> None:
    assert list(snapshots(run)) == list(range(EVERY, STEPS + 1, EVERY))
    for step, end in ((119, 100), (100, 100), (None, 200), (10**9, 200)):
        own = reconstruct(run, 0.07, step)["layer.w"]
        assert torch.equal(own, reconstruct(run, 0.07, end)["layer.w"])


def test_what_cannot_be_reconstructed_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[ema\] length: .* not 0\.4"):
        reconstruct(run, 0.4)
    with pytest.raises(CheckpointError, match=r"holds no snapshots up to step 19; train with"):
        reconstruct(run, 0.1, 19)
    (tmp_path / "ema").mkdir()
    (tmp_path / "ema" / "20.safetensors").write_bytes(
        (run / "ema/20.safetensors").read_bytes()[:99]
    )
    with pytest.raises(CheckpointError, match=r"ema/20.safetensors: cannot be read"):
        reconstruct(tmp_path, 0.1)


def test_what_a_kill_left_goes_with_the_next_snapshot(tmp_path: Path) -> None:
    average = PostHocEma({"w": torch.ones(2)})
    average.snapshot(tmp_path, 1)
    (tmp_path / "ema" / ".fbridge-0123456789ab.part").write_bytes(b"cut")
    (tmp_path / "ema" / "3-00001-of-00002.safetensors").write_bytes(b"one of two")
    average.snapshot(tmp_path, 2)
    assert list(snapshots(tmp_path)) == [1, 2]
    assert not list((tmp_path / "ema").glob(".fbridge-*"))


@pytest.mark.parametrize("kind", [PlainEma, PostHocEma])
def test_resuming_equals_never_stopping(tmp_path: Path, kind: type) -> None:
    path = walk()
    straight, again = torch.zeros(64), torch.ones(64)
    one: Ema = kind({"w": straight})
    follow(path, one, straight, 1, 10)
    save_checkpoint(tmp_path, 10, {"ema": one.tensors()}, {}, keep=1)
    follow(path, one, straight, 11, 20)
    other: Ema = kind({"w": again})
    found = newest(tmp_path)
    assert found is not None
    other.load(load_group(found, "ema"))
    follow(path, other, again, 11, 20)
    assert other.tensors().keys() == one.tensors().keys()
    assert all(torch.equal(other.tensors()[name], t) for name, t in one.tensors().items())


def test_averages_of_another_network_are_refused_by_name() -> None:
    average = PostHocEma({"w": torch.ones(3)})
    with pytest.raises(CheckpointError, match=r"averages lack '0.05/w'; resume with"):
        average.load(PlainEma({"w": torch.ones(3)}).tensors())
    with pytest.raises(CheckpointError, match=r"'0.05/w' has shape \(1,\), .* \(3,\)"):
        average.load(PostHocEma({"w": torch.ones(1)}).tensors())


def test_an_average_shares_no_memory_with_the_weights() -> None:
    parameter = torch.ones(3)
    average = PlainEma({"w": parameter})
    parameter.zero_()
    assert average.weights()["w"].tolist() == [1, 1, 1]


def test_applied_swaps_and_restores_every_bit() -> None:
    network = nn.Linear(3, 2).bfloat16()
    parameters = dict(network.named_parameters())
    parameters["weight"].data[0, 0] = float("nan")
    before = {name: p.detach().clone() for name, p in parameters.items()}
    weights = {name: torch.full(p.shape, 0.3) for name, p in parameters.items()}

    def validate() -> None:
        with applied(parameters, weights):
            assert torch.equal(network.weight, torch.full((2, 3), 0.3).bfloat16())
            assert network(torch.ones(3).bfloat16()).requires_grad
            raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        validate()
    for name, parameter in network.named_parameters():
        assert parameter is parameters[name]
        assert torch.equal(parameter.view(torch.int16), before[name].view(torch.int16))
    assert float(weights["bias"][0]) == pytest.approx(0.3)
