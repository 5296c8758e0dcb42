#!/usr/bin/env bash
# diffusers 0.42.1: TaylorSeerCacheConfig(max_order=2) on a layer whose output is a polynomial of the step
#
# A second-order extrapolation from three computed steps should be exact for a parabola. It is not: the first derivative is
# the last backward difference, half an interval late, the second is added to that as it is. Seen, with cache_interval=4
# and float32 factors: a layer that returns step**2 is off by exactly interval * offset (4, 8, 12) between two computed
# steps in the steady state, where max_order=1 is off by interval * offset + offset**2 (5, 12, 21): order 2 removes only
# the smaller part. A straight line is extrapolated exactly by both. And after the warm-up the first gap is another one
# (with 3 steps of warm-up, step 4 is computed next), but differences of differences are divided by the newest gap alone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import torch
from diffusers import TaylorSeerCacheConfig
from diffusers.hooks import HookRegistry, apply_taylorseer_cache
from diffusers.hooks.hooks import CacheContext, _set_cache_context


class Layer(torch.nn.Module):
    def forward(self, value):
        return value


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = Layer()

    def forward(self, value):
        return self.layer(value)


def errors(function, order, interval=4, steps=25):
    """By step, what a cached layer returns less what it would have computed."""
    network = Network()
    apply_taylorseer_cache(
        network,
        TaylorSeerCacheConfig(
            cache_interval=interval, max_order=order, taylor_factors_dtype=torch.float32, cache_identifiers=["layer"]
        ),
    )
    HookRegistry.check_if_exists_or_initialize(network)
    _set_cache_context(network, CacheContext("only"))
    found = []
    for step in range(steps):
        wanted = torch.tensor([float(function(step))])
        found.append(float(network(wanted) - wanted))
    return found


line, parabola = (lambda k: 3 * k + 1), (lambda k: k * k)
assert all(error == 0 for order in (1, 2) for error in errors(line, order)[8:])
first, second = (errors(parabola, order) for order in (1, 2))
print("order 1:", first)
print("order 2:", second)
assert [-error for error in first[16:20]] == [0, 5, 12, 21]
assert [-error for error in second[16:20]] == [0, 4, 8, 12]
PY
