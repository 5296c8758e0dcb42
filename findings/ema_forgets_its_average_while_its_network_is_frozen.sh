#!/usr/bin/env bash
# diffusers 0.42.1: EMAModel.step where the network is trained by turns with another, as in distillation against a critic
#
# EMAModel keeps a moving average of weights, and step() moves it a little, by its decay. Of weights that do not require a
# gradient it moves it all the way: it copies them. Loops with two networks switch those gradients off while the other one
# learns, and a step() at the end of such a turn sets the whole average to the weights of now. Seen with a decay of 0.999
# over 4000 turns on a noisy task: with the generator frozen in the critic's turns its average is its raw weights after each
# of these turns, and as noisy as them (the error is the same); left unfrozen, or stepped in its own turns only, the error is
# less than half. cur_decay_value shows 0.999 all along. foreach=True does so as well where one weight of the list
# still learns, and is a RuntimeError where none does. torch's AveragedModel averages frozen weights like all others.
# Nothing is warned or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import torch
from diffusers.training_utils import EMAModel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

DECAY = 0.999


def trained(freeze, step_in="all", foreach=False, turns=4000):
    """Errors of the raw weights, of diffusers' average and of torch's, and whether the average ends as the raw weights."""
    torch.manual_seed(0)
    generator, critic = torch.nn.Linear(64, 1, bias=False), torch.nn.Linear(64, 1, bias=False)
    switch = torch.nn.Parameter(torch.zeros(1))  # learns in every turn, so that foreach has something to average
    truth = torch.randn(1, 64)
    generator.weight.data.copy_(truth)
    weights = [generator.weight, switch]
    average = EMAModel(weights, decay=DECAY, use_ema_warmup=True, power=1.0, foreach=foreach)
    other = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    optimizers = [torch.optim.SGD(network.parameters(), lr=0.003) for network in (generator, critic)]
    for turn in range(turns):
        learner = turn % 2
        if freeze:
            generator.requires_grad_(learner == 0)
            critic.requires_grad_(learner == 1)
        network, optimizer = (generator, critic)[learner], optimizers[learner]
        data = torch.randn(8, 64)
        loss = (network(data) - data @ truth.T - torch.randn(8, 1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step_in == "all" or learner == 0:
            average.step(weights)
            other.update_parameters(generator)
    assert abs(average.cur_decay_value - DECAY) < 1e-9
    found = (generator.weight, average.shadow_params[0], other.module.weight)
    errors = [float((weight.detach() - truth).norm()) for weight in found]
    return *errors, torch.equal(average.shadow_params[0], generator.weight)


for foreach in (False, True):
    for freeze, step_in in ((True, "all"), (False, "all"), (True, "own turns")):
        raw, ours, theirs, same = trained(freeze, step_in, foreach)
        print(f"foreach {foreach}, frozen {freeze}, step in {step_in}: raw {raw:.3f} EMAModel {ours:.3f} torch {theirs:.3f}")
        assert theirs < 0.5 * raw
        if freeze and step_in == "all":
            assert same and ours == raw
        else:
            assert not same and ours < 0.5 * raw

frozen = torch.nn.Parameter(torch.ones(1), requires_grad=False)
try:
    EMAModel([frozen], foreach=True).step([frozen])
except RuntimeError as error:
    print("foreach with all frozen:", error)
else:
    raise AssertionError("foreach takes frozen weights alone")
print("as described")
PY
