"""What a prompt asks for: motions of things, of the camera, and of what flows."""

from __future__ import annotations

from dataclasses import dataclass

from fbridge.words.asked import STATIC, Reading
from fbridge.words.asked import Act as Act
from fbridge.words.carrying import carry
from fbridge.words.clauses import split
from fbridge.words.flows import FlowAct
from fbridge.words.reading import read_clause, shortened
from fbridge.words.rewording import tells_a_loop, tells_a_share, tells_an_order

LONGEST = 2000
"""Characters of a prompt that are read."""
_NOTED = 4
"""Unknown phrases that are noted one by one."""


@dataclass(frozen=True)
class Intent:
    """What a prompt asks for.

    Attributes:
        acts: of at most two things, in the order named.
        camera: verb "static" where the words say nothing about it.
        flows: what flows, burns, rises or falls as weather.
        unknown: the phrases whose motion is not known.
        remarks: what is shown otherwise than the words say.
        fallback: nothing is known of it, so that `camera` is a slow zoom in.
    """

    acts: tuple[Act, ...] = ()
    camera: Act = STATIC
    flows: tuple[FlowAct, ...] = ()
    unknown: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    fallback: bool = False

    def notes(self) -> tuple[str, ...]:
        """One line for each thing that is not done, or done in part, with what happens instead."""
        instead = "the camera moves in slowly instead" if self.fallback else "it is left out"
        lines = [f"no motion is known for {one!r}; {instead}" for one in self.unknown[:_NOTED]]
        if len(self.unknown) > _NOTED:
            lines.append(f"no motion is known for {len(self.unknown) - _NOTED} other phrases")
        if self.fallback and not lines:
            lines = ["the prompt names no motion; the camera moves in slowly instead"]
        return (*lines, *self.remarks)


def read_prompt(prompt: str) -> Intent:
    """What a prompt asks for; where nothing in it is known, a slow zoom in."""
    reading = Reading()
    for clause in carry(split(prompt[:LONGEST])):
        read_clause(clause, reading)
    reading.blow()
    if prompt[LONGEST:].strip():
        reading.remarks.append(f"only the first {LONGEST} characters of the prompt are read")
    moving = [act for act in reading.acts.values() if act.verb != "stay"]
    turned = reading.camera is not None and reading.camera != STATIC
    many = len(moving) + len(reading.flows) + turned + reading.combined > 1
    if many and (reading.in_order or tells_an_order(prompt)):
        reading.remarks.append("what is told one after the other is shown at once")
    if moving and (share := tells_a_share(prompt)):
        reading.remarks.append(f"all of a kind that are found move; {share + ' of'!r} is left out")
    if loop := tells_a_loop(prompt):
        reading.remarks.append(f"the video does not loop; {loop!r} is left out")
    acts, flows = tuple(reading.acts.values()), tuple(reading.flows.values())
    known = bool(acts or flows or reading.camera)
    described = [] if known or reading.unknown else reading.described
    fallback = not known
    return Intent(
        acts,
        Act("zoom in", "", 0.5) if fallback else reading.camera or STATIC,
        flows,
        tuple(dict.fromkeys(shortened(one) for one in (*reading.unknown, *described))),
        tuple(dict.fromkeys(reading.remarks)),
        fallback,
    )
