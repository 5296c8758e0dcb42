#!/usr/bin/env bash
# webdataset 1.0.2: with_epoch(n) where a worker's n samples are fewer than a shard has
#
# with_epoch is how a training says what it calls an epoch, with shards drawn at random (resampled=True, or shardshuffle). It
# reads like a cut of an endless stream, that the next epoch goes on with. But every epoch opens its first shard anew, at its
# first sample. Seen with 10 shards of 100 samples and epochs of 50: in 200 epochs, which is 10,000 samples, those from 51 to
# 100 of each shard are never seen, half of the data; the others 20 times. .shuffle(20) reaches up to 70. With a DataLoader
# the number is one for each worker, and two persistent workers start anew as well. With epochs of 150 the ends are seen half
# as often as the beginnings. Nothing is raised or logged. One iterator of the dataset without an epoch, kept and cut by
# itertools.islice, sees all alike.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 webdataset==1.0.2 numpy==2.2.6
cat > "$work/see.py" <<'PY'
import collections
import io
import itertools
import random
import sys
import tarfile
import warnings

import torch
import webdataset

warnings.simplefilter("error", UserWarning)
shards = [f"{sys.argv[1]}/{shard}.tar" for shard in range(10)]


def count(epochs):
    """How often each place within a shard was seen."""
    return collections.Counter(int(sample["txt"]) for epoch in epochs for sample in epoch)


def dataset(resampled=True):
    if resampled:
        return webdataset.WebDataset(shards, resampled=True, shardshuffle=False)
    return webdataset.WebDataset(shards, shardshuffle=10)


if __name__ == "__main__":
    for shard in shards:
        with tarfile.open(shard, "w") as tar:
            for place in range(100):
                member = tarfile.TarInfo(f"{place:03d}.txt")
                member.size = len(content := str(place).encode())
                tar.addfile(member, io.BytesIO(content))

    for resampled in (True, False):
        short = dataset(resampled).with_epoch(50)
        seen = count(itertools.repeat(short, 200))
        print("resampled" if resampled else "shuffled", "sees", len(seen), "of 100 places")
        assert seen == {place: 200 for place in range(50)}

    random.seed(0)
    mixed = dataset().shuffle(20, rng=random.Random(0)).with_epoch(50)
    seen = count(itertools.repeat(mixed, 200))
    print("after .shuffle(20) up to", max(seen))
    assert sum(seen.values()) == 10000 and 60 < max(seen) < 70

    short = dataset().with_epoch(50)
    loader = torch.utils.data.DataLoader(short, batch_size=None, num_workers=2, persistent_workers=True)
    seen = count(itertools.repeat(loader, 20))
    assert seen == {place: 40 for place in range(50)}

    seen = count(itertools.repeat(dataset().with_epoch(150), 100))
    assert {seen[place] for place in range(50)} == {200} and {seen[place] for place in range(50, 100)} == {100}

    stream = iter(dataset())
    seen = count(itertools.islice(stream, 50) for _ in range(200))
    assert seen == {place: 100 for place in range(100)}
    print("as described")
PY
mkdir "$work/shards"
"$work/venv/bin/python" "$work/see.py" "$work/shards"
