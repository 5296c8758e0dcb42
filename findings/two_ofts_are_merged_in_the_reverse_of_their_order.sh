#!/usr/bin/env bash
# peft 0.21.2: two OFT adapters active at once on a video transformer (diffusers 0.42.1's Wan), beside the same two merged
#
# Adapters of OFT rotate a layer's input, one after the other where several are active: set_adapter(["subject", "motion"]) as
# for a subject and a motion that were trained apart. Rotations depend on their order. merge_adapter() and merge_and_unload()
# fold them into the weight in the list's order, each beside the input, so that the first of the list becomes the last one to
# be applied. Seen: merged, the network's output is not what it was with the two active; it is, to rounding, what the two give
# in the reverse order when active. The error is about as large as what swapping the two does: a fifth to all of what an
# adapter changes. One adapter is exact, and two of BOFT's kin HRA are exact. Nothing is raised, warned or logged.
# merge_adapter(adapter_names=[...]) with the list reversed makes up for it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 peft==0.21.2 transformers==5.24.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import warnings

import torch
from diffusers import WanTransformer3DModel
from peft import HRAConfig, OFTConfig, get_peft_model

warnings.simplefilter("error")
LAYERS = r"blocks\.\d\.attn[12]\.(to_q|to_k|to_v|to_out\.0)"
torch.manual_seed(0)
noise, words, time = torch.randn(1, 4, 3, 8, 8), torch.randn(1, 6, 16), torch.tensor([500.0])


class Network:
    """A small Wan transformer with two adapters of one kind, as if both had been trained."""

    def __init__(self, config):
        torch.manual_seed(0)
        network = WanTransformer3DModel(
            patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16,
            freq_dim=16, ffn_dim=32, num_layers=2, rope_max_seq_len=32,
        )  # fmt: skip
        for name, weight in network.named_parameters():
            if "attn" in name and "norm" not in name and weight.ndim == 2:
                torch.nn.init.normal_(weight, std=24**-0.5)
        self.model = get_peft_model(network, config, adapter_name="subject").eval()
        self.model.add_adapter("motion", config)
        for name, weight in self.model.named_parameters():
            if ".subject" in name or ".motion" in name:
                weight.data += 0.2 * torch.randn_like(weight)

    @torch.no_grad()
    def __call__(self, *names):
        self.model.base_model.set_adapter(list(names))
        return self.run()

    def run(self):
        return self.model(noise, time, words, return_dict=False)[0]

    @torch.no_grad()
    def merged(self, *names, order=None):
        self.model.base_model.set_adapter(list(names))
        self.model.merge_adapter(adapter_names=order)
        found = self.run()
        self.model.unmerge_adapter()
        return found


def away(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


oft = Network(OFTConfig(target_modules=LAYERS, oft_block_size=8, use_cayley_neumann=False))
with torch.no_grad(), oft.model.disable_adapter():
    plain = oft.run()
for one in ("subject", "motion"):
    print(f"{one} alone: changes the output by {away(oft(one), plain):.3f}, merged {away(oft.merged(one), oft(one)):.0e} away")
    assert away(oft(one), plain) > 0.05 and away(oft.merged(one), oft(one)) < 1e-4
active, other = oft("subject", "motion"), oft("motion", "subject")
merged = oft.merged("subject", "motion")
print(f"both: merged {away(merged, active):.3f} away from active, {away(merged, other):.0e} from active in reverse")
assert away(merged, active) > 0.02 and away(merged, other) < 1e-4
assert away(oft.merged("subject", "motion", order=["motion", "subject"]), active) < 1e-4

hra = Network(HRAConfig(target_modules=LAYERS, r=8))
assert away(hra.merged("subject", "motion"), hra("subject", "motion")) < 1e-4
assert away(hra("subject", "motion"), hra("motion", "subject")) > 0.01
print("as described")
PY
