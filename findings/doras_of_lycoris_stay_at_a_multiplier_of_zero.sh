#!/usr/bin/env bash
# lycoris-lora 4.1.3 with torch 2.13.0: set_multiplier(), merge_to() and restore() of adapters with dora_wd=True
#
# The multiplier says how much of an adapter is used, and at zero the network is the one that it was; so trainings ask for
# the prediction of the base (a teacher, prior preservation, a preference loss), and so an adapter is shown beside nothing.
# With dora_wd=True the multiplier reaches the magnitudes alone: at zero these are left as they come, and the whole
# low-rank part stays in the weights, beside magnitudes that no longer hold it. Seen on a linear layer and on a Conv3d, for
# LoRA, LoHa and LoKr: what the network gives at zero is farther from its base than what it gives at one, where magnitudes are
# as at the start and the low-rank part was trained. It is all that the same adapter adds without dora_wd.
# merge_to(0.0) writes the low-rank part into the weights, and networks made by create_lycoris_from_weights(0.0, ...) hold it.
# Without dora_wd zero gives the base, and so does restore() with it. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 lycoris-lora==4.1.3 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import logging
import warnings

import torch
from lycoris import LycorisNetwork, create_lycoris, create_lycoris_from_weights
from torch import nn


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logger = logging.getLogger("LyCORIS")
logger.addHandler(Heard())
logger.setLevel(logging.WARNING)
warnings.simplefilter("error")
layers = {
    "linear": (lambda: nn.Linear(48, 64), (5, 48)),
    "conv3d": (lambda: nn.Conv3d(32, 48, 3, padding=1), (1, 32, 3, 6, 6)),
}


class Block(nn.Module):
    def __init__(self, make):
        super().__init__()
        torch.manual_seed(0)
        self.layer = make()

    def forward(self, given):
        return self.layer(given)


@torch.no_grad()
def measured(algo, kind, **more):
    """How far the network is from its base, as a part of what that gives."""
    make, shape = layers[kind]
    LycorisNetwork.apply_preset(
        {"enable_conv": True, "target_module": [type(make()).__name__], "target_name": ["layer"]}
    )
    given = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    block = Block(make)
    plain = block(given)
    adapter = create_lycoris(
        block, 1.0, linear_dim=4, linear_alpha=4, conv_dim=4, conv_alpha=4, algo=algo, factor=4, **more
    )
    assert len(adapter.loras) == 1
    adapter.apply_to()
    adapter.eval()
    generator = torch.Generator().manual_seed(2)
    for name, value in adapter.named_parameters():
        if "dora_scale" not in name:
            value += 0.15 * torch.randn(value.shape, generator=generator)
    saved = {name: value.clone() for name, value in adapter.state_dict().items()}
    found = {}

    def apart(network):
        return float((network(given) - plain).norm() / plain.norm())

    for multiplier in (1.0, 0.5, 0.0):
        adapter.set_multiplier(multiplier)
        found[multiplier] = apart(block)
    adapter.restore()
    found["restored"] = apart(block)
    fresh = Block(make)
    create_lycoris_from_weights(1.0, "", fresh, weights_sd=saved)[0].merge_to(0.0)
    found["merged at 0"] = apart(fresh)
    fresh = Block(make)
    again = create_lycoris_from_weights(0.0, "", fresh, weights_sd=saved)[0]
    again.apply_to()
    found["made at 0"] = apart(fresh)
    return found


def told(found):
    return ", ".join(f"{name} {value:.4f}" for name, value in found.items())


for kind in layers:
    for algo in ("lora", "loha", "lokr"):
        without = measured(algo, kind)
        decomposed = measured(algo, kind, dora_wd=True)
        print(f"{kind} {algo}, plain:   {told(without)}")
        print(f"{kind} {algo}, dora_wd: {told(decomposed)}")
        assert max(without[0.0], without["merged at 0"], without["made at 0"], without["restored"]) < 1e-5 < without[1.0]
        assert decomposed["restored"] < 1e-5
        # what stays at zero is all that an adapter without dora_wd adds at one
        assert abs(decomposed[0.0] - without[1.0]) < 1e-4 * without[1.0]
        assert decomposed["made at 0"] == decomposed[0.0] > 0.9 * decomposed[1.0]
        assert decomposed["merged at 0"] > 0.1
assert not Heard.said, Heard.said
print("as described")
PY
