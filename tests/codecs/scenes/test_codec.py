"""The codec of scenes on a random decoder: its own promises, whatever the weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fbridge.codecs import View
from fbridge.codecs.render import ANGLE, CHANNELS, LOG_SCALE, TX
from fbridge.codecs.scene_codec import SceneCodec
from fbridge.codecs.scenes.codec import asked, deeds, headed, one_each
from fbridge.codecs.scenes.describe import DESCRIPTION, VERBS
from fbridge.codecs.scenes.finder import Finder
from fbridge.codecs.scenes.segmenter import MaskDecoder
from fbridge.errors import ConfigError
from fbridge.words.intent import Act, read_prompt

UNIT = tuple((0.1 + c / 50, 0.1 + c / 50, 0.2) for c in range(CHANNELS))


@pytest.fixture(scope="module")
def codec() -> SceneCodec:
    """Its masks are a disc, whatever the picture and the noun."""
    torch.manual_seed(3)
    made = SceneCodec(scale=UNIT).eval()
    made.decoder.forward = lambda maps, _hints: _disc(maps[1])
    return made


def _disc(like: Tensor, below: float = 0.0) -> Tensor:
    height, width = like.shape[-2:]
    y = torch.linspace(-1, 1, height)[:, None] - below
    x = torch.linspace(-1, 1, width)[None]
    return 20 * (0.5 - (x * x + y * y).sqrt())[None, None]


def seen(codec: SceneCodec, *prompts: str, size: tuple[int, int] = (64, 96)) -> View:
    torch.manual_seed(1)
    small = torch.rand(len(prompts), 3, size[0] // 4, size[1] // 4)
    pictures = torch.nn.functional.interpolate(small, size, mode="bicubic").clamp(0, 1)
    text = torch.zeros(len(prompts), 1, 384)
    return codec.view(list(pictures), text, torch.ones(len(prompts), 1).bool(), prompts)


def moved(view: View, slot: int, channel: int, most: float, frames: int = 6) -> Tensor:
    motion = torch.zeros(len(view.scenes), frames, 3, CHANNELS)
    motion[:, :, slot, channel] = torch.linspace(0, most, frames)
    return motion


def test_prompts_are_needed_as_text(codec: SceneCodec) -> None:
    nothing = torch.zeros(1, 1, 384)
    with pytest.raises(ConfigError, match="as text"):
        codec.view([torch.rand(3, 64, 64)], nothing, nothing[..., 0].bool())


def test_the_first_frame_is_the_picture_bit_for_bit(codec: SceneCodec) -> None:
    view = seen(codec, "the ball moves left", "zoom in")
    noisy = codec.latents(0.3 * torch.randn(2, 6, 3, CHANNELS))
    for video, shot in zip(codec.decode(noisy, view), view.scenes, strict=True):
        assert torch.equal(video[0], (shot.picture * 255).round() / 255)


def test_what_the_words_do_not_name_stands_still(codec: SceneCodec) -> None:
    view = seen(codec, "the ball moves left")
    noisy = codec.latents(0.3 * torch.randn(1, 6, 3, CHANNELS))
    video = codec.decode(noisy, view)[0]
    noisy[:, :, :, 0] = 0  # without the object's motion nothing is left
    still = codec.decode(noisy, view)[0]
    assert torch.equal(still, still[:1].expand_as(still))
    corner = video[:, :, :6, -6:]
    assert torch.equal(corner, corner[:1].expand_as(corner))
    assert (video[-1] - video[0]).abs().max() > 0.1


def test_a_still_latent_is_the_still_picture(codec: SceneCodec) -> None:
    view = seen(codec, "the ball jumps")
    video = codec.decode(codec.still(view, 3).mean, view)[0]
    assert torch.equal(video, video[:1].expand_as(video))


def test_parts_make_the_video(codec: SceneCodec) -> None:
    view = seen(codec, "the ball spins", "pan left")
    latents = codec.latents(moved(view, 0, ANGLE, 2.0, 11) + moved(view, 2, TX, 0.2, 11))
    parts = list(codec.decode_parts(latents, view))
    assert [row for row, _ in parts] == [0, 0, 1, 1]
    for row, video in enumerate(codec.decode(latents, view)):
        drawn = torch.cat([frames for at, frames in parts if at == row])
        assert drawn.dtype == torch.uint8
        assert torch.equal(drawn / 255, video)


def test_what_hops_to_the_left_goes_there_as_it_hops() -> None:
    still, aside = (
        asked(torch.zeros(6, 3, CHANNELS), read_prompt(prompt))
        for prompt in ("the ball hops", "the ball hops to the left")
    )
    assert not still.any()
    assert aside[0].any().item() is False
    assert aside[-1, 0, TX] == pytest.approx(-0.4)
    assert (aside[1:, 0, TX].diff() < 0).all()
    assert torch.equal(aside.abs().sum((0, 2)) > 0, torch.tensor([True, False, False]))


def test_a_camera_that_pans_to_a_corner_goes_two_ways() -> None:
    seen = asked(torch.zeros(6, 3, CHANNELS), read_prompt("pan to the top left"))
    assert seen[-1, 2, TX] == pytest.approx(0.23), "all that is seen goes to the right"
    assert torch.equal(seen.abs().sum((0, 2)) > 0, torch.tensor([False, False, True]))
    assert not asked(torch.zeros(6, 3, CHANNELS), read_prompt("pan left")).any()


def test_what_goes_aside_is_no_part_of_the_latent(codec: SceneCodec) -> None:
    size = (48, 64)
    hops, aside = (
        seen(codec, prompt, size=size) for prompt in ("the ball hops", "the ball hops to the left")
    )
    clip = codec.decode(torch.zeros(1, 6, CHANNELS, 3, 1), aside)
    tracked, rest = (
        codec.motions(codec.encode(clip, view, steps=2, polish=2).mean) for view in (hops, aside)
    )
    gone = asked(torch.zeros(6, 3, CHANNELS), read_prompt("the ball hops to the left"))
    assert torch.allclose(tracked - rest, gone[None], atol=1e-5)


def test_a_zoom_to_a_side_shows_that_side_and_is_no_part_of_the_latent(codec: SceneCodec) -> None:
    views = [seen(codec, prompt, size=(48, 64)) for prompt in ("zoom in", "zoom in to the left")]
    latents = codec.latents(moved(views[0], 2, LOG_SCALE, 0.4))
    middle, left = (codec.decode(latents, view)[0] for view in views)
    assert torch.allclose(left[-1, :, 24, 0], left[0, :, 24, 0], atol=0.03)
    assert (left[-1] - middle[-1]).abs().mean() > 0.05
    asked_for, aside = (
        codec.motions(codec.encode([left], view, steps=2, polish=0).mean) for view in views
    )
    assert not torch.allclose(asked_for[..., TX], aside[..., TX], atol=1e-3)
    assert torch.allclose(asked_for[..., LOG_SCALE], aside[..., LOG_SCALE])


def test_the_verb_never_changes_the_mask(codec: SceneCodec) -> None:
    masks = [
        seen(codec, prompt).scenes[0].masks
        for prompt in ("the ball jumps", "a ball is spinning", "make the ball fall quickly")
    ]
    assert masks[0].any()
    assert all(torch.equal(mask, masks[0]) for mask in masks)


def test_the_description_tells_verb_and_speed(codec: SceneCodec) -> None:
    told = seen(codec, "the ball jumps slowly, zoom out").image_latents
    assert told.shape == (1, DESCRIPTION, 3, 1)
    verbs = told[0, -len(VERBS) - 1 : -1, :, 0]
    assert [VERBS[int(row.argmax())] for row in verbs.T if row.any()] == ["jump", "zoom out"]
    assert told[0, -1, 0] < told[0, -1, 2] == 1


def test_other_words_change_the_deeds_alone(codec: SceneCodec) -> None:
    view = seen(codec, "the ball jumps")
    other = codec.reworded(view, ["the ball spins"])
    assert torch.equal(other, seen(codec, "the ball spins").image_latents)
    assert not codec.reworded(view, [""])[0, -len(VERBS) - 1 :].any()


def test_what_does_not_flow_in_the_picture_is_said_and_harmless(codec: SceneCodec) -> None:
    text = torch.zeros(1, 1, 384)
    grey = torch.full((3, 64, 96), 0.1)
    view = codec.view([grey], text, torch.ones(1, 1).bool(), ["the grass sways"])
    shot = view.scenes[0]
    assert view.notes == (
        (
            "no grass is found in the picture; it is left out",
            "nothing else is asked for; the camera moves in slowly instead",
        ),
    )
    assert shot.intent.camera.verb == "zoom in"


def test_it_is_said_where_an_edge_keeps_a_thing_from_leaving(
    codec: SceneCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec.decoder, "forward", lambda maps, _hints: _disc(maps[1], 0.9))
    said = "the lower edge cuts the ball; it stays there and grows"
    for prompt, edge in (("the ball jumps", True), ("the ball moves left", False)):
        assert (said in seen(codec, prompt).notes[0]) == edge
    for prompt, line in (
        ("the ball jumps to the left", said),
        ("the ball flies up and away", said.removesuffix(" and grows")),
    ):
        assert line in seen(codec, prompt).notes[0], prompt
    rocks = "the lower edge cuts the ball; it rocks to and fro in place of turning"
    assert rocks in seen(codec, "the ball spins").notes[0]


def test_it_is_said_where_all_of_the_picture_goes_with_a_thing(
    codec: SceneCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec.decoder, "forward", lambda maps, _hints: 20 + 0 * maps[1][:, :1])
    said = "the frame is filled by the ball; all of the picture goes with it"
    for prompt, whole in (("the ball jumps", True), ("the ball stays still", False)):
        assert (said in seen(codec, prompt).notes[0]) == whole


def test_two_nouns_of_one_thing_do_not_move_it_twice(codec: SceneCodec) -> None:
    view = seen(codec, "the gizmo jumps and the dog spins")
    [act] = view.scenes[0].intent.acts
    assert (act.verb, act.noun) == ("spin", "dog")
    assert view.notes == (
        (
            "'gizmo' names no class that the model knows; what stands out is taken",
            "the dog is hardly recognised in the picture; what stands out is taken",
            "'gizmo' is not told from 'dog'; it is left out",
        ),
    )
    assert not view.scenes[0].masks[1].any()


def test_what_two_masks_claim_is_the_smaller_ones() -> None:
    """Else both are half there and half not, and each is seen through."""
    table, cup = torch.zeros(8, 8), torch.zeros(8, 8)
    table[2:8], cup[1:4, 2:4] = 0.9, 0.9
    for one, other in ((table, cup), (cup, table)):
        apart = dict(zip(map(id, (one, other)), one_each([one, other]), strict=True))
        assert torch.equal(apart[id(cup)], cup)
        expected = table.clone()
        expected[2:4, 2:4] = 0.1
        torch.testing.assert_close(apart[id(table)], expected)
    assert one_each([cup])[0] is not cup
    assert torch.equal(one_each([cup])[0], cup)


WHERE = {
    "dog": (slice(40, 50), slice(10, 20)),
    "cat": (slice(38, 48), slice(70, 80)),
    "kite": (slice(0, 6), slice(14, 24)),
}
"""Rows and columns of things."""


class Places(Finder):
    """Knows where some nouns are, and takes others for the dog."""

    def __init__(self) -> None:
        super().__init__(MaskDecoder(), torch.zeros(3, 60, 90), torch.device("cpu"))

    def mask(self, noun: str) -> Tensor:
        found = torch.zeros(60, 90)
        found[WHERE.get(noun, WHERE["dog"])] = 1
        return found

    thing = mask


@pytest.mark.parametrize(
    ("verb", "noun", "goal", "expected"),
    [
        ("right", "dog", "cat", "right"),
        ("right", "cat", "dog", "left"),
        ("roll right", "cat", "dog", "roll left"),
        ("right", "dog", "kite", "up"),
        ("right", "kite", "dog", "down"),
        ("jump", "dog", "", "jump"),
    ],
)
def test_a_thing_goes_where_another_one_is(verb: str, noun: str, goal: str, expected: str) -> None:
    places = Places()
    assert headed(Act(verb, noun, 0.7, goal), places) == Act(expected, noun, 0.7, goal)
    assert not places.remarks


def test_where_the_other_one_is_not_seen_it_is_said() -> None:
    places = Places()
    assert headed(Act("right", "dog", goal="ghost"), places).verb == "right"
    assert places.remarks == ["where the ghost is, is not seen; it is shown to the right"]


def test_a_flag_that_is_not_told_from_the_main_thing_does_not_wave(codec: SceneCodec) -> None:
    for noun in ("flag", "hair"):
        view = seen(codec, f"the {noun} waves in the wind")
        instead = "nothing else is asked for; the camera moves in slowly instead"
        assert view.notes == ((f"no {noun} is found in the picture; it is left out", instead),)
        assert view.scenes[0].flowing.acts == ()


def test_snow_falls_over_the_picture(codec: SceneCodec) -> None:
    view = seen(codec, "it snows")
    video = codec.decode(codec.still(view, 20).mean, view)[0]
    assert torch.equal(video[0], (view.scenes[0].picture * 255).round() / 255)
    assert (video[-1] - video[0]).abs().amax(0).gt(0.1).float().mean() > 0.005


def test_unknown_motions_are_noted_once(codec: SceneCodec) -> None:
    notes = codec.notes(["the horse gallops", "the horse gallops", "the horse jumps"])
    assert len(notes) == 1
    assert "gallops" in notes[0]


def test_deeds_stay_within_what_the_networks_know() -> None:
    first, second, camera = deeds(read_prompt("the dog jumps very very slowly"))
    assert first is not None
    assert 0.45 <= first[1] < 1
    assert second is None
    assert camera == ("static", 1.0)


def test_encoding_what_was_decoded_gives_the_clip_again(codec: SceneCodec) -> None:
    view = seen(codec, "zoom in")
    clip = codec.decode(codec.latents(moved(view, 2, LOG_SCALE, 0.3)), view)
    again = codec.decode(codec.encode(clip, view).mean, view)[0]
    still = codec.decode(codec.still(view, 6).mean, view)[0]
    assert (again - clip[0]).abs().mean() < 0.4 * (still - clip[0]).abs().mean()
