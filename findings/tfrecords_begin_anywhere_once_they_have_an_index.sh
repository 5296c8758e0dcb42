#!/usr/bin/env bash
# tfrecord 1.14.6 with torch 2.13.0: TFRecordDataset(path, index_path), in which order it reads, and on a file that was damaged
#
# Clips of many public sets are TFRecords, and this package reads them into torch without TensorFlow. An index of where
# records begin is recommended, for sharing them out among workers. shuffle_queue_size=None is no shuffling, so that one
# expects the file's order, index or not. Seen, with 10 records: without an index, and with one and a worker, it is the
# file's. With one and no workers, and in tfrecord_loader, each pass begins at a record drawn by NumPy's global generator,
# goes to the end and then on from the first. So captions zipped to latents of the same order from a second file are those
# of other clips, in 9 of 10 passes, "the first 3 clips" are any, and what was resumed by counting records skips others;
# with num_workers=1, or in a process where NumPy was seeded alike, it is not to be seen. torch.manual_seed has no part in
# it. The writer puts checksums into each record, and the reader reads past them: of a clip with one byte changed on the
# disk the other pixel is handed out. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6 crc32c==2.8 protobuf==6.33.5
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps tfrecord==1.14.6
cd "$work"
cat > "$work/read.py" <<'PY'
import struct
import warnings
from pathlib import Path

import crc32c
import numpy as np
import torch
from tfrecord import TFRecordWriter, tfrecord_loader
from tfrecord.tools.tfrecord2idx import create_index
from tfrecord.torch.dataset import TFRecordDataset

warnings.simplefilter("error")
NUMBERS = list(range(10))


def dataset(name, indexed):
    return TFRecordDataset(f"{name}.tfrecord", f"{name}.index" if indexed else None, {"number": "int"})


def order(records):
    return [int(record["number"].item()) for record in records]


def masked(data):
    """The format's checksum: CRC32C, turned by 15 bits, plus a constant."""
    crc = crc32c.crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def main():
    for name in ("latents", "captions"):
        writer = TFRecordWriter(f"{name}.tfrecord")
        for number in NUMBERS:
            writer.write({"number": (number, "int"), "pixels": (bytes([100 + number] * 64), "byte")})
        writer.close()
        create_index(f"{name}.tfrecord", f"{name}.index")

    np.random.seed(0)
    passes = []
    for _ in range(200):
        torch.manual_seed(0)
        assert order(dataset("latents", False)) == NUMBERS
        passes.append(order(dataset("latents", True)))
        assert passes[-1] == [(passes[-1][0] + place) % 10 for place in NUMBERS]
    print("with an index, passes begin at", [one[0] for one in passes[:12]], "...")
    assert {one[0] for one in passes} == set(NUMBERS)
    loaders = [tfrecord_loader("latents.tfrecord", "latents.index") for _ in range(200)]
    assert {order(loader)[0] for loader in loaders} == set(NUMBERS)
    loader = torch.utils.data.DataLoader(dataset("latents", True), batch_size=None, num_workers=1)
    assert [order(loader) for _ in range(3)] == [NUMBERS] * 3

    pairs = [zip(order(dataset("latents", True)), order(dataset("captions", True)), strict=True) for _ in range(200)]
    apart = sum(any(one != other for one, other in pair) for pair in pairs)
    print("of 200 passes over two files, pairs are of different clips in", apart)
    assert 150 < apart < 200

    whole = Path("latents.tfrecord").read_bytes()
    damaged = bytearray(whole)
    damaged[whole.index(bytes([103] * 64)) + 10] = 7
    Path("latents.tfrecord").write_bytes(damaged)
    start, fits = 0, []
    while start < len(damaged):
        (length,) = struct.unpack_from("<Q", damaged, start)
        (stored,) = struct.unpack_from("<I", damaged, start + 12 + length)
        fits.append(stored == masked(bytes(damaged[start + 12 : start + 12 + length])))
        start += 16 + length
    clips = [record["pixels"] for record in TFRecordDataset("latents.tfrecord", None, {"pixels": "byte"})]
    print("checksums that fit:", sum(fits), "of", len(fits), "- pixels read:", list(clips[3][8:12]))
    assert fits.count(False) == 1 and not fits[3]
    assert list(clips[3][8:12]) == [103, 103, 7, 103]
    print("as described")


if __name__ == "__main__":
    main()
PY
OMP_NUM_THREADS=1 "$work/venv/bin/python" read.py
