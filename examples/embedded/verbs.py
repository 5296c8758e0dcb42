"""Make the table of verbs with which a verb of no list is compared: `fbridge.words.nearest`.

    python -m examples.embedded.verbs models/fbridge/pretrained/verbs.safetensors

It holds the embeddings of all verbs of the lexicon, so that an unlisted verb costs one embedding.
To be made again when verbs are added to `fbridge/words/lexicon.ini`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from fbridge.words.minilm import packaged_minilm
from fbridge.words.nearest import in_ing, listed_verbs

BATCH = 64


def main() -> None:
    """Embed and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", type=Path)
    target = parser.parse_args().target
    verbs, encode = listed_verbs(), packaged_minilm()
    parts = [
        encode.pooled([in_ing(verb) for verb in verbs[start : start + BATCH]])
        for start in range(0, len(verbs), BATCH)
    ]
    joined = torch.tensor(list("\n".join(verbs).encode()), dtype=torch.uint8)
    save_file({"verbs": joined, "embeddings": torch.cat(parts).half()}, target)
    print(f"{len(verbs)} verbs")


if __name__ == "__main__":
    main()
