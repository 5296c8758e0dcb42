"""Configurations of every kind, for laws."""

from __future__ import annotations

from hypothesis import strategies as st

from fbridge.config import Config, recipes
from fbridge.config.tree import (
    BridgeConfig,
    EmaConfig,
    LogConfig,
    LoraConfig,
    ModelConfig,
    PriorConfig,
    TimesConfig,
    TrainConfig,
    ValidationConfig,
)

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=1e-300, allow_infinity=False)
counts = st.integers(1, 2**62)
maybe_words = st.none() | words

schedules = st.none() | st.builds(
    lambda kind, own: {"kind": kind, **own},
    st.sampled_from(["gmax", "vp", "brownian"]),
    st.dictionaries(words.filter(lambda word: word != "kind"), numbers, max_size=2),
)
priors = st.builds(
    PriorConfig,
    kind=st.sampled_from(["repeat", "motion", "mix"]),
    path=maybe_words,
    mix=st.floats(0, 1),
    noise=positive,
) | st.builds(PriorConfig, kind=st.just("neural"), path=words)
trains = st.builds(
    TrainConfig,
    steps=counts,
    lr=positive,
    optimizer=st.sampled_from(["adamw", "adamw-8bit", "schedule-free"]),
    betas=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
    compile=st.booleans(),
    seed=st.integers(0, 2**63),
)
configs = st.builds(
    Config,
    base=maybe_words,
    components=maybe_words,
    data=maybe_words,
    split=maybe_words,
    output=maybe_words,
    recipe=st.none() | st.sampled_from(list(recipes())),
    model=st.builds(ModelConfig, condition=st.sampled_from(["text", "class"])),
    bridge=st.builds(BridgeConfig, align=st.booleans(), schedule=schedules),
    prior=priors,
    lora=st.builds(
        LoraConfig,
        rank=st.integers(1, 64),
        dora=st.booleans(),
        alpha=st.none() | positive,
        targets=st.lists(words, max_size=3).map(tuple),
    ),
    train=trains,
    times=st.builds(TimesConfig, mean=numbers, std=positive),
    ema=st.builds(EmaConfig, length=st.floats(0.01, 0.27)),
    validation=st.builds(ValidationConfig, steps=st.none() | counts),
    log=st.builds(LogConfig, trackers=st.sampled_from([(), ("csv",), ("wandb", "tensorboard")])),
)
