#!/usr/bin/env bash
# torchdata 0.11.0 with torch 2.13.0: torchdata.nodes' Loader over SamplerWrapper(RandomSampler(...)), stopped and resumed
#
# The nodes' loader has a state_dict() that says where in the data it is, so that a run that was stopped takes what is left
# of its epoch. The state is how many numbers the sampler gave and which epoch it is, and resuming takes as many from a new
# sampler. A RandomSampler draws its order from a generator, whose state is no part of that: a new process with the same
# seed draws the order of the first epoch again. Seen with 400 samples, stopped at a half of an epoch: in the first epoch
# what is left is what it should be, so that a trial of resuming passes. In the second and third the second half is of the
# first epoch's order: about 100 samples come twice and 100 never, all numbers and lengths being right; the epochs that
# follow are those that were there before. With a generator of a fixed seed, with torch.manual_seed alone, and with the
# package's own stateful RandomSampler (torchdata.stateful_dataloader.sampler), whose state is its iterator's and is not
# asked for, alike. StatefulDataLoader of the same package takes what is left in each epoch, and so do the nodes over a
# sampler with set_epoch, such as DistributedSampler of one process. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 torchdata==0.11.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import torch
from torch.utils.data import DistributedSampler, RandomSampler
from torchdata.nodes import Batcher, Loader, ParallelMapper, Prefetcher, SamplerWrapper
from torchdata.stateful_dataloader import StatefulDataLoader
from torchdata.stateful_dataloader.sampler import RandomSampler as StatefulSampler

NUMBERS = list(range(400))


def nodes(sampler):
    source = ParallelMapper(SamplerWrapper(sampler), NUMBERS.__getitem__, num_workers=1, method="thread")
    return Loader(Prefetcher(Batcher(source, 4), 2))


def seeded():
    return nodes(RandomSampler(NUMBERS, generator=torch.Generator().manual_seed(5)))


def unseeded():
    return nodes(RandomSampler(NUMBERS))


def stateful():
    return nodes(StatefulSampler(NUMBERS, generator=torch.Generator().manual_seed(5)))


def distributed():
    return nodes(DistributedSampler(NUMBERS, num_replicas=1, rank=0, seed=5))


def flat(batches):
    return [number for batch in batches for number in batch]


def data_loader():
    generator = torch.Generator().manual_seed(5)
    return StatefulDataLoader(NUMBERS, batch_size=4, shuffle=True, generator=generator, collate_fn=list)


def resume(build, epoch):
    """Twice taken and never taken in an epoch stopped half way; whether the rest is right; and whether the next one is old."""
    torch.manual_seed(0)
    loader = build()
    before = [flat(loader) for _ in range(epoch)]
    running = iter(loader)
    first = flat(next(running) for _ in range(50))
    state = loader.state_dict()
    rest = flat(running)
    assert sorted(first + rest) == NUMBERS
    torch.manual_seed(0)
    loader = build()
    loader.load_state_dict(state)
    found = flat(loader)
    assert len(found) == len(rest)
    twice, never = set(first) & set(found), set(NUMBERS) - set(first) - set(found)
    return len(twice), len(never), found == rest, flat(loader) in [*before, first + rest]


for build in (seeded, unseeded, stateful, distributed, data_loader):
    for epoch in (0, 1, 2):
        twice, never, right, old = resume(build, epoch)
        print(f"{build.__name__}, epoch {epoch + 1}: twice {twice}, never {never}; the next epoch was there before: {old}")
        if build in (distributed, data_loader) or epoch == 0:
            assert right and not twice and not never
        else:
            assert not right and 80 < twice < 120 and twice == never
            assert old or build is stateful
print("as described")
PY
