"""Speed of I3D's features, compared with a plain port to torch.

    python benchmarks/fvd.py [--clips 6] [--rounds 5]

The plain port is made of Conv3d, BatchNorm3d and max_pool3d with TensorFlow's SAME padding. Both
networks get the same clips of 16 frames, one at a time, in alternating rounds; medians over the
rounds are printed. "Two workers" are two processes of one thread each. The network of cd-fvd is
measured too where it is installed (`pip install --no-deps cd-fvd` is enough). Weights are random.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fbridge.evaluation.networks.i3d.network import I3D, prepare

MIXED = {
    "3b": (192, 64, 96, 128, 16, 32, 32), "3c": (256, 128, 128, 192, 32, 96, 64),
    "4b": (480, 192, 96, 208, 16, 48, 64), "4c": (512, 160, 112, 224, 24, 64, 64),
    "4d": (512, 128, 128, 256, 24, 64, 64), "4e": (512, 112, 144, 288, 32, 64, 64),
    "4f": (528, 256, 160, 320, 32, 128, 128), "5b": (832, 256, 160, 320, 32, 128, 128),
    "5c": (832, 384, 192, 384, 48, 128, 128),
}  # fmt: skip


def same(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """TensorFlow's SAME padding."""
    pads: list[int] = []
    for size, k, s in reversed(list(zip(x.shape[2:], kernel, stride, strict=True))):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


class PlainUnit(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, size, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with SAME padding."""
        return F.relu(self.bn(self.conv(same(x, self.conv.kernel_size, self.conv.stride))))


def pool(x: Tensor, size: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    """Max pooling with SAME padding."""
    return F.max_pool3d(same(x, size, stride), size, stride)


class PlainMixed(nn.Module):
    """An Inception block of four branches."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        n, a, b, c, d, e, f = channels
        self.b0 = PlainUnit(n, a, 1)
        self.b1a, self.b1b = PlainUnit(n, b, 1), PlainUnit(b, c, 3)
        self.b2a, self.b2b = PlainUnit(n, d, 1), PlainUnit(d, e, 3)
        self.b3 = PlainUnit(n, f, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate the branches' channels."""
        pooled = pool(x, (3, 3, 3), (1, 1, 1))
        parts = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3(pooled)]
        return torch.cat(parts, 1)


class Plain(nn.Module):
    """The plain port of I3D."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = (
            PlainUnit(3, 64, 7, 2),
            PlainUnit(64, 64, 1),
            PlainUnit(64, 192, 3),
        )
        self.mixed = nn.ModuleDict({name: PlainMixed(row) for name, row in MIXED.items()})
        self.head = nn.Conv3d(1024, 400, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 400)."""
        x = pool(self.one(x), (1, 3, 3), (1, 2, 2))
        x = pool(self.three(self.two(x)), (1, 3, 3), (1, 2, 2))
        for name, block in self.mixed.items():
            if name == "4b":
                x = pool(x, (3, 3, 3), (2, 2, 2))
            if name == "5b":
                x = pool(x, (2, 2, 2), (2, 2, 2))
            x = block(x)
        return self.head(F.avg_pool3d(x, (2, 7, 7), stride=1)).mean((2, 3, 4))


def state_of(plain: Plain) -> dict[str, Tensor]:
    """Its weights under the names that `I3D.from_state` reads."""
    made: dict[str, Tensor] = {}

    def add(path: str, unit: PlainUnit) -> None:
        scale = unit.bn.weight.detach()
        kernel = unit.conv.weight.detach() * scale[:, None, None, None, None]
        made[f"params/{path}/Conv_0/kernel"] = kernel.permute(2, 3, 4, 1, 0)
        made[f"params/{path}/BatchNorm_0/bias"] = unit.bn.bias.detach()
        assert unit.bn.running_mean is not None
        assert unit.bn.running_var is not None
        made[f"batch_stats/{path}/BatchNorm_0/mean"] = unit.bn.running_mean * scale
        made[f"batch_stats/{path}/BatchNorm_0/var"] = unit.bn.running_var

    for path, unit in (("Conv3d_1a_7x7", plain.one), ("Conv3d_2b_1x1", plain.two),
                       ("Conv3d_2c_3x3", plain.three)):  # fmt: skip
        add(path, unit)
    names = {"b0": "Branch_0/Conv3d_0a_1x1", "b1a": "Branch_1/Conv3d_0a_1x1",
             "b1b": "Branch_1/Conv3d_0b_3x3", "b2a": "Branch_2/Conv3d_0a_1x1",
             "b2b": "Branch_2/Conv3d_0b_3x3", "b3": "Branch_3/Conv3d_0b_1x1"}  # fmt: skip
    for name, block in plain.mixed.items():
        for unit_name, path in names.items():
            add(f"Mixed_{name}/{path}", getattr(block, unit_name))
    assert plain.head.bias is not None
    head = "params/Logits/Conv3d_0c_1x1/Conv_0"
    made[f"{head}/kernel"] = plain.head.weight.detach().permute(2, 3, 4, 1, 0)
    made[f"{head}/bias"] = plain.head.bias.detach()
    return made


def timed(run: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def repeat(network: nn.Module, clip: Tensor, times: int) -> None:
    """Run the network several times on one clip."""
    for _ in range(times):
        network(clip)


def work(clips: int, seconds: multiprocessing.Queue[float], start: object) -> None:
    """One worker of one thread: seconds for its clips."""
    torch.set_num_threads(1)
    network = I3D.from_state(state_of(Plain().eval()))
    frames = torch.randint(0, 256, (1, 16, 128, 128, 3), dtype=torch.uint8)
    network.features(frames)
    start.wait()  # type: ignore[attr-defined]
    seconds.put(timed(lambda: [network.features(frames) for _ in range(clips)]))


def together(workers: int, clips: int) -> float:
    """Clips per second of several processes that start at once."""
    context = multiprocessing.get_context("spawn")
    seconds: multiprocessing.Queue[float] = context.Queue()
    start = context.Barrier(workers)
    made = [context.Process(target=work, args=(clips, seconds, start)) for _ in range(workers)]
    for one in made:
        one.start()
    longest = max(seconds.get() for _ in made)
    for one in made:
        one.join()
    return workers * clips / longest


def cd_fvd() -> nn.Module | None:
    """The network of cd-fvd, loaded from its file: importing the package needs more packages."""
    package = importlib.util.find_spec("cdfvd")
    if package is None or not package.submodule_search_locations:
        return None
    file = Path(package.submodule_search_locations[0], "third_party/i3d/pytorch_i3d.py")
    spec = importlib.util.spec_from_file_location("cd_fvd_i3d", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network: nn.Module = module.InceptionI3d(400, in_channels=3).eval()
    return network


def compared(name: str, peer: nn.Module, ours: I3D, clip: Tensor, args: argparse.Namespace) -> str:
    """Time both networks in turn; returns a line of text."""
    peer(clip), ours(clip)
    rows = [
        [timed(partial(repeat, network, clip, args.clips)) / args.clips
         for network in (peer, ours)]
        for _ in range(args.rounds)
    ]  # fmt: skip
    theirs, own = (statistics.median(column) for column in zip(*rows, strict=True))
    ratios = sorted(row[0] / row[1] for row in rows)
    return (
        f"{name} {theirs:.3f} s a clip, ours {own:.3f} s, ratio "
        f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(0)
    plain = Plain().eval()
    for module in plain.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight)  # signals neither vanish nor explode
    ours = I3D.from_state(state_of(plain))
    frames = torch.randint(0, 256, (1, 16, 128, 128, 3), dtype=torch.uint8)
    clip = prepare(frames)
    peers = {"plain port": plain, "cd-fvd": cd_fvd()}
    with torch.inference_mode():
        expected = plain(clip)
        error = float((expected - ours(clip)).abs().max())
        print(f"largest error of a logit: {error:.2g}, of logits up to {expected.abs().max():.2g}")
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for name, peer in peers.items():
                if peer is not None:
                    print(f"{threads} thread(s), {compared(name, peer, ours, clip, args)}")
    if peers["cd-fvd"] is None:
        print("cd-fvd is not installed here: no comparison with it")
    one, two = together(1, 3 * args.clips), together(2, 3 * args.clips)
    print(f"one worker {one:.2f} clips a second, two {two:.2f}: {two / one:.2f} times")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"peak memory of this process: {peak} MiB")


if __name__ == "__main__":
    main()
