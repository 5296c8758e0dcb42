#!/usr/bin/env bash
# litdata 0.2.76: CombinedStreamingDataset, which source each sample is drawn from
#
# A mixture (pictures and videos, short clips and long ones) draws the source of each sample at random, by weight. The sources
# themselves are shuffled by epoch and dealt out to processes and workers. One would expect the draws to differ there, too, so
# that the samples of one step, over all processes, have the mixture's proportions. Seen: the draws begin from the seed alone
# in every process, every worker and every epoch. So all processes are at the same source at every place of their sequence (60 of
# 60; by chance it would be 30), and with one sample a process each step of the whole run is of one source alone: the
# number of processes adds nothing to the mixing. Workers hand in the same draws one after the other, and each epoch repeats
# the order of sources of the first, with other samples. Nothing in the documentation of seed says so. A seed of
# one's own for each process (seed=42 + rank) is the way out for processes; workers and epochs need a new object.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 litdata==0.2.76 numpy==2.2.6
cat > "$work/mix.py" <<'PY'
import os
import sys
from pathlib import Path

from litdata import CombinedStreamingDataset, StreamingDataLoader, StreamingDataset
from litdata.streaming import Cache

ITEMS = 60


def store(folder, source):
    folder.mkdir()
    cache = Cache(str(folder), chunk_size=10)
    for item in range(ITEMS):
        cache[item] = (source, item)
    cache.done()
    cache.merge()


def mixture(work, rank=0, processes=1, **options):
    """The mixture as process `rank` of a run makes it."""
    os.environ.update(WORLD_SIZE=str(processes), GLOBAL_RANK=str(rank), NNODES="1")
    parts = [StreamingDataset(str(work / source), shuffle=True) for source in "ab"]
    return CombinedStreamingDataset(parts, **options)


def read(loader):
    """Sources and numbers of one epoch's samples."""
    batches = list(loader)
    sources = ["".join(batch[0]) for batch in batches]
    return sources, [number for batch in batches for number in batch[1].tolist()]


if __name__ == "__main__":
    work = Path(sys.argv[1])
    for source in "ab":
        store(work / source, source)

    loaders = [StreamingDataLoader(mixture(work, rank, 2), batch_size=1, num_workers=0) for rank in (0, 1)]
    epochs = [[read(loader) for loader in loaders] for _ in range(2)]
    for epoch, ((one, numbers), (other, others)) in enumerate(epochs):
        same = sum(left == right for left, right in zip(one, other, strict=True))
        print(f"epoch {epoch}: two processes at the same source in {same} of {len(one)} steps:", "".join(one))
        assert one == other and len(one) == ITEMS and set(one) == {"a", "b"} and numbers != others
    assert epochs[0][0][0] == epochs[1][0][0] and epochs[0][0][1] != epochs[1][0][1]
    print("both epochs draw the same sources, and other samples of them")

    batches, _ = read(StreamingDataLoader(mixture(work), batch_size=4, num_workers=2))
    print("batches of two workers:", *batches[:8])
    assert batches[0:20:2] == batches[1:20:2] and len(set(batches[:20])) > 4

    apart = [read(StreamingDataLoader(mixture(work, rank, 2, seed=42 + rank), batch_size=1))[0] for rank in (0, 1)]
    same = sum(left == right for left, right in zip(*apart, strict=True))
    print(f"seeds of their own: at the same source in {same} of {len(apart[0])} steps")
    assert same < 45
    print("as described")
PY
OMP_NUM_THREADS=1 "$work/venv/bin/python" "$work/mix.py" "$work"
