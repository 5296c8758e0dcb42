#!/usr/bin/env bash
# datasets 5.2.0: shuffle(...).repeat(None) of a streamed dataset, and shuffled sets in interleave_datasets
#
# A stream for a training that counts steps and not epochs is shuffled and repeated without end. Every pass then has the
# order of the first, also without a seed: the number that shuffle draws is kept. Seen with 4 shards of 10 samples and
# buffers of 1, 5 and 1000: three passes are equal. interleave_datasets with "all_exhausted" goes through its smaller set
# again in the same order. repeat(None).shuffle(...) is no way out: with buffers of 5 and 1000 the passes run into each other
# (38 and 27 of 40 samples are in the first 40), and with a buffer of 1, where each is whole, all are equal again. set_epoch
# on a stream already begun changes nothing. Nothing is raised or logged. A loop that calls set_epoch(n) and iterates anew
# has another order each time.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 numpy==2.2.6
export HF_HOME="$work/hf" HF_HUB_OFFLINE=1
"$work/venv/bin/python" - <<'PY'
import itertools

from datasets import IterableDataset, interleave_datasets


def samples(shards):
    for shard in shards:
        for place in range(10):
            yield {"number": shard * 10 + place}


def stream(*shards):
    return IterableDataset.from_generator(samples, gen_kwargs={"shards": list(shards)})


def passes(dataset, size, count=3):
    numbers = [sample["number"] for sample in itertools.islice(dataset, size * count)]
    return [numbers[start:start + size] for start in range(0, size * count, size)]


clips = stream(0, 1, 2, 3)
for buffer_size in (1, 5, 1000):
    for seed in (0, None):
        first, second, third = passes(clips.shuffle(seed=seed, buffer_size=buffer_size).repeat(None), 40)
        assert sorted(first) == list(range(40)) and first != list(range(40))
        assert first == second == third
    first, second, third = passes(clips.repeat(None).shuffle(seed=0, buffer_size=buffer_size), 40)
    print("shuffled after repeat, buffer", buffer_size, "has", len(set(first)), "of 40 samples in the first 40")
    if buffer_size == 1:
        assert sorted(first) == list(range(40)) and first == second == third
    else:
        assert len(set(first)) < 40

few = stream(10)
both = interleave_datasets(
    [clips.shuffle(seed=0, buffer_size=100), few.shuffle(seed=0, buffer_size=100)], stopping_strategy="all_exhausted"
)
numbers = [sample["number"] for sample in both if sample["number"] >= 100]
print("the smaller set:", numbers[:20])
assert numbers[:10] == numbers[10:20] == numbers[20:30] != sorted(numbers[:10])

forever = clips.shuffle(seed=0, buffer_size=5).repeat(None)
iterator = iter(forever)
first = [next(iterator)["number"] for _ in range(40)]
forever.set_epoch(1)
assert [next(iterator)["number"] for _ in range(40)] == first
orders = []
once = clips.shuffle(seed=0, buffer_size=5)
for epoch in range(3):
    once.set_epoch(epoch)
    orders.append(tuple(sample["number"] for sample in once))
assert len(set(orders)) == 3 and all(sorted(order) == list(range(40)) for order in orders)
print("as described")
PY
