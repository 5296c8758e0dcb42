#!/usr/bin/env bash
# torch 2.13.0 (torch.optim.Adafactor) and transformers 5.24.0 (Adafactor)
#
# Adafactor is taken for its memory: in place of a second moment for each weight it keeps one number for each row and each
# column. Both implementations take the last two dimensions of a weight for these, and those of a convolution are the
# kernel's height and width. Seen: a 1 x 1 x 1 convolution, and one over time alone (3 x 1 x 1), keep two numbers for each
# weight, just as many as Adam does and 64 times as many as the linear layer of the same matrix; one of 3 x 3 x 3 keeps 2/3.
# The step differs, too: a linear layer's is scaled by rows and columns, a pointwise convolution's by each weight's own squared
# gradient, so that all its weights move equally far in the first step, as with Adam. A projection learns another way if it is
# written as the other of two equal layers. Of a small autoencoder of Wan 2.1, which is made of convolutions, Adafactor's
# state has 0.7 numbers for each weight; a transformer's has 0.03. Parameters of shape (outputs, rest) are the way out.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 transformers==5.24.0 diffusers==0.42.1 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import nn
from transformers.optimization import Adafactor

MAKE = {
    "torch": lambda parameters: torch.optim.Adafactor(parameters, lr=0.01),
    "transformers": lambda parameters: Adafactor(parameters, lr=0.01, scale_parameter=False, relative_step=False),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01),
}


def stepped(kind, module, gradient=None):
    """Numbers of state for each weight after a step, and the change of the first parameter."""
    optimizer = MAKE[kind](list(module.parameters()))
    first = next(module.parameters())
    before = first.detach().clone()
    for parameter in module.parameters():
        parameter.grad = torch.randn_like(parameter) if gradient is None else gradient.reshape(parameter.shape)
    optimizer.step()
    tensors = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    count = sum(value.numel() for value in tensors if value.ndim)
    return count / sum(parameter.numel() for parameter in module.parameters()), (first.detach() - before).flatten()


torch.manual_seed(0)
for kind, expected in (("torch", [1 / 32, 2, 2, 2 / 3]), ("transformers", [1 / 32, 2, 2, 2 / 3]), ("Adam", [2, 2, 2, 2])):
    shares = [stepped(kind, nn.Linear(64, 64, bias=False))[0]]
    shares += [stepped(kind, nn.Conv3d(64, 64, size, bias=False))[0] for size in (1, (3, 1, 1), 3)]
    print(f"{kind:>12}: numbers per weight, linear, 1x1x1, 3x1x1, 3x3x3:", [round(share, 3) for share in shares])
    assert all(abs(share - wanted) < 1e-3 for share, wanted in zip(shares, expected, strict=True)), shares

gradient = torch.randn(64, 64)
for kind in MAKE:
    linear, pointwise = nn.Linear(64, 64, bias=False), nn.Conv3d(64, 64, 1, bias=False)
    with torch.no_grad():
        pointwise.weight.copy_(linear.weight.reshape(pointwise.weight.shape))
    one, other = (stepped(kind, module, gradient)[1] for module in (linear, pointwise))
    print(f"{kind:>12}: spread of the steps' sizes, linear {one.abs().std() / one.abs().mean():.3f}, "
          f"pointwise {other.abs().std() / other.abs().mean():.3f}")  # fmt: skip
    same = torch.allclose(one, other, atol=1e-6)
    assert same == (kind == "Adam")
    assert (other.abs().std() / other.abs().mean() < 1e-3) and (kind == "Adam" or one.abs().std() > 0.3 * one.abs().mean())

autoencoder = AutoencoderKLWan(base_dim=16, z_dim=16)
transformer = WanTransformer3DModel(
    num_attention_heads=4, attention_head_dim=32, in_channels=16, out_channels=16, text_dim=64, ffn_dim=512, num_layers=2
)
for name, module in (("autoencoder", autoencoder), ("transformer", transformer)):
    shares = {kind: stepped(kind, module)[0] for kind in MAKE}
    print(f"Wan {name}: numbers per weight", {kind: round(share, 2) for kind, share in shares.items()})
    for kind in ("torch", "transformers"):
        assert (shares[kind] > 0.6) if name == "autoencoder" else (shares[kind] < 0.1), shares
print("as described")
PY
