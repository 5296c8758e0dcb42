#!/usr/bin/env bash
# litdata 0.2.76: CombinedStreamingDataset(batching_method="per_stream") after load_state_dict()
#
# With "per_stream" all samples of a batch are of one dataset, which is what videos of several shapes, or losses that
# differ by source, need. A StreamingDataLoader can be stopped and resumed by its state. Seen with two datasets of 60
# samples and batches of 4: a loader that is made anew and given the state takes every sample once, as it should, but takes
# its datasets in turn, sample by sample: nearly every batch that follows has two of each. It goes on in all later epochs (30 of
# 30 batches), with workers and without. A loader that was not stopped never mixes, unless somebody asks for the length of its
# dataset: len() of a combined dataset sets its batch size to 1, so that the stream changes after each sample, and
# load_state_dict() asks for it. len() of the loader sets it right again, so whether batches are mixed depends on whether a
# progress bar or list() asks the loader for its length before it begins. Nothing is raised or logged where shapes are equal;
# where they differ, the first batch after a resumption fails. The way out is to call set_batch_size() of the combined dataset
# after load_state_dict() and after len() of the dataset.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 litdata==0.2.76 numpy==2.2.6
cat > "$work/resume.py" <<'PY'
import sys
from copy import deepcopy
from pathlib import Path

from litdata import CombinedStreamingDataset, StreamingDataLoader, StreamingDataset
from litdata.streaming import Cache

SIZE, ITEMS, STOP = 4, 60, 13


def store(folder, source):
    folder.mkdir()
    cache = Cache(str(folder), chunk_size=10)
    for item in range(ITEMS):
        cache[item] = (source, item)
    cache.done()
    cache.merge()


def loader(work, workers):
    parts = [StreamingDataset(str(work / source), shuffle=True) for source in "ab"]
    mixture = CombinedStreamingDataset(parts, batching_method="per_stream")
    return StreamingDataLoader(mixture, batch_size=SIZE, num_workers=workers)


def pairs(batch):
    return list(zip(batch[0], batch[1].tolist(), strict=True))


def mixed(batches):
    """How many batches hold samples of more than one dataset."""
    return sum(len({source for source, _ in batch}) > 1 for batch in batches)


if __name__ == "__main__":
    work = Path(sys.argv[1])
    for source in "ab":
        store(work / source, source)
    for workers in (0, 2):
        whole = [pairs(batch) for batch in loader(work, workers)]
        assert len(whole) == 2 * ITEMS // SIZE and mixed(whole) == 0

        stopped = loader(work, workers)
        running = iter(stopped)
        first = [pairs(next(running)) for _ in range(STOP)]
        state = stopped.state_dict()

        resumed = loader(work, workers)
        resumed.load_state_dict(deepcopy(state))
        rest = [pairs(batch) for batch in resumed]
        later = [pairs(batch) for batch in resumed]
        seen = sorted(sample for batch in first + rest for sample in batch)
        assert seen == sorted((source, item) for source in "ab" for item in range(ITEMS))

        mended = loader(work, workers)
        mended.load_state_dict(deepcopy(state))
        mended.dataset.set_batch_size(SIZE)
        kept = [pairs(batch) for batch in mended]

        counted = loader(work, workers)
        counted.load_state_dict(deepcopy(state))
        assert len(counted) == len(whole)
        right = [pairs(batch) for batch in counted]

        asked = loader(work, workers)
        assert len(asked.dataset) == 2 * ITEMS
        after = [pairs(batch) for batch in asked]

        print(f"{workers} workers: mixed batches, not stopped {mixed(whole)} of {len(whole)}, before the stop {mixed(first)} of "
              f"{len(first)}, resumed {mixed(rest)} of {len(rest)}, an epoch later {mixed(later)} of {len(later)}, resumed with "
              f"set_batch_size {mixed(kept)} of {len(kept)}, resumed with len(loader) {mixed(right)} of {len(right)}, "
              f"not stopped after len(dataset) {mixed(after)} of {len(after)}")  # fmt: skip
        print("  sources of the next batches, not stopped:", *["".join(s for s, _ in b) for b in whole[STOP : STOP + 6]])
        print("  sources of the next batches, resumed:    ", *["".join(s for s, _ in b) for b in rest[:6]])
        assert mixed(first) == 0 and mixed(rest) >= len(rest) - 2 > 10
        assert mixed(later) == len(later) == len(whole)
        assert mixed(kept) <= 2 and abs(len(kept) - len(rest)) <= 1
        assert mixed(right) <= 2 and mixed(after) >= len(after) - 2
    print("as described")
PY
OMP_NUM_THREADS=1 "$work/venv/bin/python" "$work/resume.py" "$work"
