"""What prompts ask for: tables of prompts, and what is said where a motion is not known."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fbridge.words import moves
from fbridge.words.intent import Act, Intent, read_prompt
from fbridge.words.lexicon import CAMERA_VERBS, FLOWS, OBJECT_VERBS, keys
from fbridge.words.vocabulary import camera_verbs, object_verb_senses

HERE = Path(__file__).parent


def rows(name: str) -> list[tuple[str, str]]:
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    pairs = (line.split(" =>") for line in lines if line and line[0] != "#")
    return [(prompt, expected.strip()) for prompt, expected in pairs]


def speed(value: float) -> str:
    return "" if value == 1 else f" @ {value:g}"


def compact(intent: Intent) -> str:
    """An intent in the form of the tables."""
    parts = [f"{act.verb}: {act.noun}".strip() + speed(act.speed) for act in intent.acts]
    camera = intent.camera
    if camera.verb != "static" and not intent.fallback:
        parts.append(f"camera: {camera.verb}{speed(camera.speed)}")
    for flow in intent.flows:
        source = f" < {flow.source}" if flow.source else ""
        parts.append(f"flow {flow.kind}: {flow.noun}{source}{speed(flow.speed)}")
    return "; ".join([*parts, *(f"? {one}" for one in intent.unknown)])


@pytest.fixture(autouse=True)
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """No verb is taken for another one, so that no text encoder is needed."""
    monkeypatch.setattr(moves, "nearest_motion", lambda _: "")


@pytest.mark.parametrize("table", ["known.txt", "held_out.txt", "everyday.txt", "turns.txt"])
def test_prompts_are_read_as_meant(table: str) -> None:
    read = [(prompt, compact(read_prompt(prompt))) for prompt, _ in rows(table)]
    meant = [(prompt, re.sub(r"(; )?camera: static", "", text)) for prompt, text in rows(table)]
    assert [row for row in read if row not in meant] == []


def test_unknown_motions_are_said_and_the_camera_moves_in_instead() -> None:
    for prompt, phrase in rows("unknown.txt"):
        intent = read_prompt(prompt)
        assert (intent.acts, intent.flows) == ((), ()), prompt
        assert intent.camera == Act("zoom in", "", 0.5), prompt
        assert intent.unknown == (phrase,) if phrase else intent.unknown, prompt
        assert intent.notes()[0] == (
            f"no motion is known for {intent.unknown[0]!r}; the camera moves in slowly instead"
        )


def test_what_is_shown_in_part_is_said() -> None:
    assert read_prompt("the dog runs and the cat jumps").notes() == (
        "no motion is known for 'runs'; it is left out",
    )
    assert read_prompt("the dog walks left").notes() == (
        "'walks' is shown as moving only; limbs do not move",
    )
    assert read_prompt("the car drives").notes() == (
        "no direction is known for 'drives'; it is shown to the right",
    )
    assert read_prompt("the cat jumps and spins").notes() == (
        "one motion is shown for each thing; 'spins' is left out",
    )
    assert read_prompt("a dog jumps, a cat spins, a ball falls").notes() == (
        "two things can move at once; 'falls' is left out",
    )
    assert read_prompt("").notes() == (
        "the prompt names no motion; the camera moves in slowly instead",
    )
    assert read_prompt("the dog jumps").notes() == ()


def test_words_of_style_and_vague_wishes_are_no_unknown_motion() -> None:
    for prompt in ("cinematic shot, slow motion, 4k", "animate this", "add some subtle motion"):
        assert read_prompt(prompt).notes() == (
            "the prompt names no motion; the camera moves in slowly instead",
        )


def test_what_is_shown_otherwise_is_said() -> None:
    remarks = {
        "the sun sets": "'sets' is shown by the light alone",
        "grandma waves": "'waves' is shown as swaying; limbs do not move",
        "the girl dances": "'dances' is shown as swaying; limbs do not move",
        "a couple dances to the left": "'dances' is shown as moving only; limbs do not move",
        "the one there spins": "'the one there' names no thing; what stands out is taken",
        "zoom in and out": "one motion of the camera is shown; 'zoom out' is left out",
        "half of the balloons rise": "all of a kind that are found move; 'half of' is left out",
        "two of my boats spin": "all of a kind that are found move; 'two of' is left out",
        "the dog jumps in a loop": "the video does not loop; 'in a loop' is left out",
        "seamless loop of clouds drifting": "the video does not loop; 'seamless loop' is left out",
        "gentle breeze": "the wind is shown by the main thing, which sways",
        "everything except the cat shakes": (
            "no thing is spared by a motion; 'except the cat' is left out"
        ),
        "all but the cat shake": "no thing is spared by a motion; 'except the cat' is left out",
        "the dog sways to the left": (
            "one motion is shown for each thing; 'to the left' is left out"
        ),
        "spin the wheel counter-clockwise": (
            "the way a thing spins is drawn by the seed; 'counterclockwise' is left out"
        ),
    }
    assert {prompt: read_prompt(prompt).notes() for prompt in remarks} == {
        prompt: (remark,) for prompt, remark in remarks.items()
    }
    assert read_prompt("the reeds wave in the wind").notes() == ()
    assert read_prompt("the cat jumps on the left side of the bed").notes() == ()
    assert read_prompt("the car turns left").notes() == ()


@pytest.mark.parametrize(
    ("prompt", "verb", "aside"),
    [
        ("the dog hops to the left", "jump", "left"),
        ("the dog jumps left", "jump", "left"),
        ("the dog hops away", "jump", "away"),
        ("the dog jumps towards the camera", "jump", "closer"),
        ("the dog falls over to the right", "fall", "right"),
        ("the dog takes off to the left", "up", "left"),
        ("the dog glides down to the left", "left", "down"),
        ("the dog flies up and away", "up", "away"),
        ("the dog jumps and moves to the right", "jump", "right"),
        ("the dog moves to the right and spins", "spin", "right"),
        ("the dog jumps on the left side of the bed", "jump", ""),
        ("the dog jumps on the left chair", "jump", ""),
        ("the dog rides down the road to the right", "right", ""),
        ("the dog jumps up", "jump", ""),
        ("the dog leaps out of the water", "jump", ""),
        ("the dog moves to the left below the bridge", "left", ""),
        ("the dog flies upwards to the right", "right", "up"),
        ("the dog drifts off to the top right", "right", "up"),
        ("the dog slides to the lower left corner", "left", "down"),
        ("the dog rolls to the bottom left", "roll left", "down"),
        ("the dog rolls over to the left", "roll left", ""),
        ("the dog jumps and rises", "jump", ""),
        ("the dog jumps and spins", "jump", ""),
        ("the dog moves left and moves right", "left", ""),
    ],
)
def test_a_thing_may_go_aside_besides_its_own_motion(prompt: str, verb: str, aside: str) -> None:
    (act,) = read_prompt(prompt).acts
    assert (act.verb, act.aside) == (verb, aside)


@pytest.mark.parametrize(
    ("prompt", "verb", "aside"),
    [
        ("pan to the top left", "tilt up", "left"),
        ("the camera moves to the bottom right corner", "tilt down", "right"),
        ("pan right and slightly down", "pan right", "down"),
        ("pan right and down", "pan right", "down"),
        ("the camera pans left and tilts up", "pan left", "up"),
        ("tilt up and to the left", "tilt up", "left"),
        ("the camera pans up along the left building", "tilt up", ""),
        ("pan right", "pan right", ""),
        ("zoom in", "zoom in", ""),
    ],
)
def test_the_camera_may_go_two_ways(prompt: str, verb: str, aside: str) -> None:
    intent = read_prompt(prompt)
    assert (intent.camera.verb, intent.camera.aside) == (verb, aside)
    assert not intent.acts
    assert intent.notes() == ()


@pytest.mark.parametrize(
    ("prompt", "verb", "left_out"),
    [("pan left and right", "pan left", "pan right"), ("pan up and down", "tilt up", "pan down")],
)
def test_the_camera_does_not_go_back(prompt: str, verb: str, left_out: str) -> None:
    intent = read_prompt(prompt)
    assert intent.camera.verb == verb
    assert intent.notes() == (f"one motion of the camera is shown; {left_out!r} is left out",)


def test_what_goes_aside_in_turn_is_said_to_be_shown_at_once() -> None:
    remark = "what is told one after the other is shown at once"
    assert read_prompt("the dog jumps, then it moves left").notes() == (remark,)
    assert read_prompt("the dog jumps to the left").notes() == ()


def test_what_happens_in_turn_is_said_to_be_shown_at_once() -> None:
    remark = "what is told one after the other is shown at once"
    for prompt in (
        "first the cat jumps, then the ball rolls to the left",
        "the dog jumps before the ball rolls to the left",
        "after the ball rolls to the left the dog jumps",
        "the cat jumps, then the camera zooms in",
        "The cat jumps. Next the dog spins.",
    ):
        intent = read_prompt(prompt)
        assert remark in intent.notes(), prompt
        assert len(intent.acts) + (intent.camera.verb == "zoom in") == 2
    for prompt in ("then the cat jumps", "the cat jumps before the house and the ball falls"):
        assert read_prompt(prompt).notes() == (), prompt


@pytest.mark.parametrize(
    ("prompt", "act"),
    [
        ("the dog runs towards the cat", Act("right", "dog", goal="cat")),
        ("the bird flies to the tree", Act("right", "bird", goal="tree")),
        ("the car drives up to the house", Act("right", "car", goal="house")),
        ("the ball rolls towards the girl", Act("roll right", "ball", goal="girl")),
        ("the player kicks the ball towards the goal", Act("right", "ball", goal="goal")),
        ("the dog runs towards the camera", Act("closer", "dog")),
        ("the bird flies to the left", Act("left", "bird")),
        ("the balloon floats to the ceiling", Act("up", "balloon")),
    ],
)
def test_a_thing_may_go_to_another_one(prompt: str, act: Act) -> None:
    assert read_prompt(prompt).acts == (act,)


def test_what_is_shown_by_something_else_is_said() -> None:
    remarks = {
        "the boy kicks the ball to the right": "'kicks' is shown by the ball alone",
        "the chef flips the pancake": "'flips' is shown by the pancake alone",
        "the dog jumsp": "'jumsp' is read as 'jumps'",
        "the wind blows and the dog jumps": "the wind is not shown",
        "the sky clears": "'clears' is not known and is shown as flowing",
        "the toddler wobbles forward": (
            "one motion is shown for each thing; 'forward' is left out"
        ),
    }
    assert {prompt: read_prompt(prompt).notes() for prompt in remarks} == {
        prompt: (remark,) for prompt, remark in remarks.items()
    }
    assert read_prompt("when the wind blows the lantern swings").notes() == ()


@pytest.mark.parametrize(
    ("prompt", "amount"),
    [
        ("the dog jumps once", "once"),
        ("the dog jumps three times", "three times"),
        ("the dog jumps, twice", "twice"),
        ("the wheel rotates by 90 degrees", "by 90 degrees"),
        ("the wheel turns ninety degrees", "ninety degrees"),
        ("the camera rotates 90°", "90 degrees"),
        ("the ball grows by 50%", "by 50 percent"),
    ],
)
def test_counts_and_angles_are_said_to_be_left_out(prompt: str, amount: str) -> None:
    intent = read_prompt(prompt)
    assert intent.notes() == (f"no count, angle or length is followed; {amount!r} is left out",)
    assert [act.verb for act in intent.acts] in ([], ["jump"], ["spin"], ["closer"])
    assert read_prompt("all at once the dog jumps again").notes() == ()


def test_a_flow_has_a_direction() -> None:
    for words, way in (
        ("to the left", "left"),
        ("slowly to the right", "right"),
        ("from the left", "right"),
        ("by", ""),
    ):
        assert [flow.way for flow in read_prompt(f"the clouds drift {words}").flows] == [way]


@pytest.mark.parametrize("pattern", ["the {} {}s", "a {} {}ing on the grass", "make my {} {}"])
def test_the_noun_is_the_same_in_any_wording(pattern: str) -> None:
    for noun in ("dog", "coffee cup", "red ball", "teddy bear"):
        for verb in ("jump", "spin", "rotate", "approach", "vanish"):
            stem = verb.removesuffix("e") if "ing" in pattern else verb
            wording = pattern.format(noun, stem + "n" * (verb == "spin" and "ing" in pattern))
            wording = wording.replace("approachs", "approaches").replace("vanishs", "vanishes")
            assert [act.noun for act in read_prompt(wording).acts] == [noun], wording


NOUNS = """crane, fly, swing, rock, park bench, spring flower, washing machine, flying fish,
fire truck, snow globe, steam engine, smoke detector, painting, left shoe, pan, truck,
row boat, cutting board, parked car, paint brush, black and white cat, wheel, bow, saw"""


@pytest.mark.parametrize("noun", " ".join(NOUNS.split()).split(", "))
def test_a_noun_may_look_like_a_verb(noun: str) -> None:
    for pattern in ("the {} {}", "a {} {} slowly"):
        for wording, verb in (("moves left", "left"), ("is falling", "fall"), ("spins", "spin")):
            [act] = read_prompt(pattern.format(noun, wording)).acts
            assert (act.verb, act.noun) == (verb, noun)
    assert read_prompt(f"the {noun} does not move").acts == (Act("stay", noun),)


@pytest.mark.parametrize(
    "prompt",
    ["", "\n", "?!", "the", "not", "slowly", "\0", "jump " * 900, "the " * 900, "x and " * 900],
)  # fmt: skip
def test_any_text_is_read(prompt: str) -> None:
    intent = read_prompt(prompt)
    assert all(act.verb in OBJECT_VERBS and len(act.noun) < 100 for act in intent.acts)
    assert all(len(note) < 200 for note in intent.notes())


def test_every_motion_has_a_verb() -> None:
    named = {sense.motion for sense in object_verb_senses().values()}
    with_direction = {"left", "roll left"}
    assert named - {""} == set(OBJECT_VERBS) - with_direction
    assert set(keys("camera")) <= set(CAMERA_VERBS)
    assert camera_verbs().at(["zooms", "in"], 0) is not None
    assert {*keys("flow nouns"), *keys("flow things")} == set(FLOWS)


def test_reading_is_quick() -> None:
    read_prompt("the dog jumps")
    start = time.process_time()
    for _ in range(20):
        read_prompt("the dog jumps while the camera zooms in and smoke rises from the chimney")
    assert (time.process_time() - start) / 20 < 0.01


def test_reading_needs_no_torch() -> None:
    code = (
        "import sys, fbridge.words.intent as intent; intent.read_prompt('a dog jumps');"
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("prompt", "verb", "goal"),
    [
        ("zoom in on the lighthouse", "zoom in", "lighthouse"),
        ("slow zoom on the old man", "zoom in", "old man"),
        ("zoom into the eye of the cat", "zoom in", "face of cat"),
        ("zoom in on the puppy's face", "zoom in", "face of puppy"),
        ("slow push in on her smile", "zoom in", "face"),
        ("zoom in on the girl's hands", "zoom in", "girl"),
        ("zoom in on the girl on the left", "zoom in", "left girl"),
        ("zoom in to the top left", "zoom in", "top left"),
        ("zoom in on the left side of the picture", "zoom in", "left"),
        ("the camera moves closer to the dog", "zoom in", "dog"),
        ("the camera moves towards the house", "zoom in", "house"),
        ("close in on the cup", "zoom in", "cup"),
        ("the cat jumps and the camera zooms in on it", "zoom in", "cat"),
        ("zoom in on the woman holding a cup", "zoom in", "woman"),
        ("zoom in on the man standing on the left", "zoom in", "left man"),
        ("zoom in on the gold ring", "zoom in", "gold ring"),
        ("zoom in on the tall building on the left", "zoom in", "left tall building"),
        ("zoom in on the bird flying away", "zoom in", "bird"),
        ("pan to the dog", "pan right", "dog"),
        ("the camera looks at the boat", "pan right", "boat"),
        ("pan to the right", "pan right", ""),
        ("the camera moves to the left", "pan left", ""),
        ("the camera flies through the forest", "zoom in", ""),
        ("push the camera in", "zoom in", ""),
        ("zoom in on the scene", "zoom in", ""),
        ("zoom out from the lighthouse", "zoom out", ""),
    ],
)
def test_what_the_camera_goes_to(prompt: str, verb: str, goal: str) -> None:
    intent = read_prompt(prompt)
    assert (intent.camera.verb, intent.camera.goal, intent.remarks) == (verb, goal, ())


def test_what_no_mask_finds_is_no_goal_of_the_camera() -> None:
    intent = read_prompt("zoom in on the sky")
    assert intent.camera == Act("zoom in")
    assert intent.notes() == ("'sky' is not looked for; the camera goes to the middle",)
