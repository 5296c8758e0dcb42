"""Which of several things a prompt means."""

from __future__ import annotations

import pytest

from fbridge.words.inflection import singular
from fbridge.words.intent import read_prompt
from fbridge.words.which import told_apart


@pytest.mark.parametrize(
    ("prompt", "verb", "noun", "told"),
    [
        ("the blue parrot flies away", "away", "blue parrot", ("blue",)),
        ("the parrot on the left flies away", "away", "left parrot", ("left",)),
        ("the dog on the right side jumps", "jump", "right dog", ("right",)),
        ("the woman on the far right jumps", "jump", "right woman", ("right",)),
        ("the dog in the top left jumps", "jump", "top left dog", ("top", "left")),
        (
            "the cup in the bottom right corner spins",
            "spin",
            "bottom right cup",
            ("bottom", "right"),
        ),
        ("move the dog in the top left to the right", "right", "top left dog", ("top", "left")),
        ("the upper left dog jumps", "jump", "upper left dog", ("top", "left")),
        ("the left-hand dog jumps", "jump", "left hand dog", ("left",)),
        ("the dog in the middle spins", "spin", "middle dog", ("middle",)),
        ("the big golden ball rolls", "roll right", "big golden ball", ("large", "golden")),
        ("the smaller dog jumps", "jump", "smaller dog", ("smallest",)),
        ("one of the two small boats sinks", "down", "small boat", ("small",)),
        ("one of the people jumps", "jump", "person", ()),
        ("just one of the wolves jumps", "jump", "wolf", ()),
        ("move the car on the left to the right", "right", "left car", ("left",)),
        ("the ball rolls to the left", "roll left", "ball", ()),
        ("a dog on the left of the sofa jumps", "jump", "dog", ()),
        ("the third cup from the right falls", "fall", "right third cup", ("right", "third")),
        ("the second boat sinks", "down", "second boat", ("second",)),
        ("the boat comes from the left", "right", "boat", ()),
        ("the girl in blue spins", "spin", "blue-clad girl", ("blue",)),
        ("the man in the red shirt jumps", "jump", "red-clad man", ("red",)),
        ("the frog in the green pond jumps", "jump", "frog", ()),
        ("the dog in front jumps", "jump", "front dog", ("front",)),
        ("the dog in the background jumps", "jump", "background dog", ("back",)),
        ("the nearest dog jumps", "jump", "nearest dog", ("front",)),
        ("the dog in front of the house jumps", "jump", "dog", ()),
        ("the dog on the back of the horse jumps", "jump", "dog", ()),
        ("the white", "", "", ()),
    ],
)
def test_adjectives_and_places_tell_things_apart(
    prompt: str, verb: str, noun: str, told: tuple[str, ...]
) -> None:
    acts = read_prompt(prompt).acts
    if not verb:
        assert not acts
        return
    assert [(act.verb, act.noun) for act in acts] == [(verb, noun)]
    assert told_apart(noun.rsplit(" ", 1)[0] if " " in noun else "") == told


def test_two_things_of_one_kind_may_both_move() -> None:
    acts = read_prompt("the left dog jumps and the right dog spins").acts
    assert [(act.verb, act.noun) for act in acts] == [("jump", "left dog"), ("spin", "right dog")]


def test_two_of_a_kind_part_and_meet() -> None:
    parts = [("left", "left red car"), ("right", "right red car")]
    for prompt, expected in {
        "the red cars drive apart": parts,
        "the red cars roll in opposite directions": [
            ("roll left", "left red car"), ("roll right", "right red car"),
        ],
        "the red cars slide closer together": [(way, noun) for (_, noun), way in zip(
            parts, ("right", "left"), strict=True,
        )],
        "the red car drives apart": [],
        "the red cars look at each other": [],
        "the red cars spin around each other": [("spin", "red cars")],
    }.items():  # fmt: skip
        assert [(act.verb, act.noun) for act in read_prompt(prompt).acts] == expected, prompt
    limbs = "'run' is shown as moving only; limbs do not move"
    assert read_prompt("the dogs run towards each other").notes() == (limbs,)


def test_one_of_several_is_named_as_one() -> None:
    plurals = "boats foxes buses puppies horses vases glasses potatoes knives women cookies dishes"
    one = "boat fox bus puppy horse vase glass potato knife woman cookie dish"
    assert [singular(noun) for noun in plurals.split()] == one.split()


def test_what_tips_over_is_said_to_fall_only() -> None:
    for prompt in ("the glass tips over", "the vase falls over", "the tower topples"):
        intent = read_prompt(prompt)
        assert [act.verb for act in intent.acts] == ["fall"]
        assert "nothing tips over" in intent.notes()[0]
    assert not read_prompt("the cat falls").notes()


def test_what_turns_over_in_a_jump_is_said_to_jump_only() -> None:
    for prompt in ("the gymnast does a backflip", "the dog somersaults", "the dolphin backflips"):
        intent = read_prompt(prompt)
        assert [act.verb for act in intent.acts] == ["jump"]
        assert "nothing turns over" in intent.notes()[0]


def test_what_things_do_around_one_another_is_said_to_be_left_out() -> None:
    for prompt, lost in {
        "the puppies tumble over each other": "over each other",
        "the kids spin around one another": "around one another",
    }.items():
        assert any(repr(lost) in note for note in read_prompt(prompt).notes())
    assert not read_prompt("two dogs jump next to each other").notes()
