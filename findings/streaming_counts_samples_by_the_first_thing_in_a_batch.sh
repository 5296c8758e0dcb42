#!/usr/bin/env bash
# mosaicml-streaming 0.13.0 with torch 2.13.0: StreamingDataLoader.state_dict() with a collate_fn of one's own
#
# Clips of unlike lengths cannot be stacked, so a loader of videos is given a collate_fn: list, to keep the samples as they
# are, or one that joins the frames of all clips along the first axis, with their counts beside. The loader then must say how
# many samples were seen, to go on after them. It does not count those that it asked for: of a dict it takes the length of
# the first value, and of all else but a tensor the length of the first element. So with collate_fn=list a batch counts as
# many samples as a sample has columns, and with joined frames as many as there are frames. Seen, of 60 samples in batches of
# 4, after 12: with list the state says 9 (three columns, three batches) and 9, 10 and 11 come again; with joined frames it
# says 30, and samples 12 to 29 are never seen in this epoch. With the same dict, its keys in another order, all is right.
# The documentation says that the loader "tracks the number of samples seen"; the rule for that is in the source alone.
# Nothing is raised or warned, unless the count leaves the epoch.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
# Without the clients of clouds and torchvision, which a store on this disk has no use for.
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==4.57.6 pillow==12.1.0 \
    numpy==2.1.3 brotli==1.2.0 catalogue==2.0.10 python-snappy==0.7.3 xxhash==3.6.0 zstd==1.5.7.2
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps mosaicml-streaming==0.13.0
OMP_NUM_THREADS=1 "$work/venv/bin/python" - "$work" <<'PY'
import sys
import types
import warnings

import numpy as np
import torch
import transformers.feature_extraction_utils

# The package's data sets of pictures, which are not used here, name torchvision as they are imported.
for name, items in (("datasets", {"VisionDataset": object}), ("transforms.functional", {"to_tensor": None})):
    sys.modules[f"torchvision.{name}"] = types.ModuleType(name)
    vars(sys.modules[f"torchvision.{name}"]).update(items)
for name in ("torchvision", "torchvision.transforms"):
    sys.modules[name] = types.ModuleType(name)

from streaming import MDSWriter, StreamingDataLoader, StreamingDataset

SAMPLES, BATCH, SEEN = 60, 4, 3
columns = {"number": "int", "caption": "str", "video": "ndarray"}
shards = sys.argv[1] + "/shards"
with MDSWriter(out=shards, columns=columns) as writer:
    for number in range(SAMPLES):
        video = np.full((2 + number % 2, 8, 8), number, np.uint8)
        writer.write({"number": number, "caption": f"clip {number}", "video": video})


def stacked(samples):
    return {"number": torch.tensor([sample["number"] for sample in samples])}


def joined(samples):
    frames = torch.cat([torch.from_numpy(sample["video"].copy()) for sample in samples])
    return {"frames": frames, **stacked(samples)}


def joined_last(samples):
    return dict(reversed(list(joined(samples).items())))


def numbers(batch):
    return [sample["number"] for sample in batch] if isinstance(batch, list) else batch["number"].tolist()


def loader(collate):
    data = StreamingDataset(local=shards, batch_size=BATCH, shuffle=False)
    return StreamingDataLoader(data, batch_size=BATCH, num_workers=0, collate_fn=collate)


warnings.simplefilter("ignore")
for collate, counted in ((stacked, 12), (joined_last, 12), (list, 9), (joined, 30)):
    first = loader(collate)
    batches = iter(first)
    seen = sum((numbers(next(batches)) for _ in range(SEEN)), [])
    assert seen == list(range(BATCH * SEEN))
    state = first.state_dict()
    del batches
    second = loader(collate)
    second.load_state_dict(state)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        rest = sum((numbers(batch) for batch in second), [])
    again = sorted(set(seen) & set(rest))
    never = sorted(set(range(SAMPLES)) - set(seen) - set(rest))
    print(
        f"collate_fn={collate.__name__}: {len(seen)} samples seen, state says {state['sample_in_epoch']}; goes on with "
        f"{rest[0]}; seen again {again}, never seen {never}"
    )
    assert state["sample_in_epoch"] == counted == rest[0]
    assert again == list(range(counted, len(seen))) and never == list(range(len(seen), counted))
    assert not [one for one in heard if "streaming" in str(one.filename)]
print("as described")
PY
