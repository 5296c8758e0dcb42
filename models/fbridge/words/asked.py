"""What is known of a prompt while its clauses are read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fbridge.words.flows import FlowAct

MOST_OBJECTS = 2
_WINDY = {"sway", "swing", "shake", "wobble"}
"""Motions of things in a wind."""


@dataclass(frozen=True)
class Act:
    """A motion of a thing or of the camera.

    Attributes:
        verb: its name in `fbridge.words.lexicon`.
        noun: the words that name the thing, "" for the main one.
        speed: 1 is usual.
        goal: the words that name a thing that it moves towards, which is to be found; until then
            its verb is "right" or "roll right". Of a camera that zooms in or pans ("pan right") the
            thing or the places in the picture that it goes to.
        aside: the direction in which it goes besides, "" for none: "hops to the left".
    """

    verb: str
    noun: str = ""
    speed: float = 1.0
    goal: str = ""
    aside: str = ""


STATIC = Act("static")
"""The camera where nothing is said about it."""
WAYS = {"left": "x", "right": "x", "up": "y", "down": "y", "closer": "z", "away": "z"}
"""Motions along an axis."""
UPRIGHT = frozenset({"jump", "bounce", "fall"})
"""Those along the second one that have a shape of their own."""
_IN_PLACE = UPRIGHT | {"spin", "shake", "wobble", "sway", "swing", "glow", "vanish"}


def both(one: Act, other: Act) -> Act | None:
    """Two motions of a thing as one; None where they cannot be shown together."""
    if one.goal or other.goal or one.aside or other.aside:
        return None
    for act, way in ((one, other.verb), (other, one.verb)):
        axis = WAYS.get(way)
        if axis is None or (axis == "y" and act.verb in UPRIGHT):
            continue
        if act.verb in _IN_PLACE or WAYS.get(act.verb, axis) != axis:
            return replace(act, aside=way)
    return None


@dataclass
class Reading:
    """What is known after some clauses."""

    acts: dict[str, Act] = field(default_factory=dict)
    camera: Act | None = None
    flows: dict[tuple[str, str], FlowAct] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    described: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    noun: str = ""
    in_order: bool = False
    combined: bool = False
    wind: Act | None = None

    def act(self, act: Act, words: str) -> None:
        """Add a motion of a thing, unless it moves already or is the third."""
        if act.verb != "stay" and self.acts.get("", act).verb == "stay":
            del self.acts[""]  # "nothing moves, only the cat jumps": it may be the main thing
        if act.noun in self.acts:
            if self.acts[act.noun].verb == "stay":
                self.acts[act.noun] = act  # "the cat does not jump, it spins"
            elif self.acts[act.noun].verb == act.verb:
                return
            elif (together := both(self.acts[act.noun], act)) is not None:
                self.acts[act.noun] = together
                self.combined = True
            else:
                self.remarks.append(f"one motion is shown for each thing; {words!r} is left out")
        elif len(self.acts) == MOST_OBJECTS:
            self.remarks.append(f"two things can move at once; {words!r} is left out")
        else:
            self.acts[act.noun] = act

    def blow(self) -> None:
        """Let the main thing sway in a wind, where nothing else is there to show it."""
        if self.wind is None or self.flows:
            return
        moving = {act.verb for act in self.acts.values()} - {"stay"}
        if not moving:
            self.act(self.wind, "")
            self.remarks.append("the wind is shown by the main thing, which sways")
        elif not moving & _WINDY:
            self.remarks.append("the wind is not shown")

    def turn(self, act: Act, words: str) -> None:
        """Set the camera's motion, unless it moves already."""
        if self.camera is None:
            self.camera = act
        elif self.camera.verb != act.verb:
            self.remarks.append(f"one motion of the camera is shown; {words!r} is left out")

    def flow(self, act: FlowAct) -> None:
        """Add a flow."""
        if not act.source and any(kind == act.kind for kind, _ in self.flows):
            return  # "steam rises from the cup, steam curls"
        if act.source:
            self.flows.pop((act.kind, ""), None)
        self.flows.setdefault((act.kind, act.source), act)
