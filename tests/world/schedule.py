"""One schedule as a suite plays it: nothing wrong, what it met told, and one in so many the same a second time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from v6cli.home import Home

Homes = Callable[[], AbstractContextManager[Home]]
Play = Callable[..., tuple[Any, Any]]

#: One seed in so many is played twice.
TWICE = 20


def check(play: Play, seed: int, homes: Homes, to_meet: Sequence[str], record_property: Callable[[str, object], None]) -> None:
    """Play the schedule of ``seed`` in a home of its own; ``to_meet`` is what the whole run must have met."""
    with homes() as home:
        outcome, _ = play(seed, home)
    record_property("to meet", to_meet)
    record_property("met", sorted(name for name, times in outcome.met.items() if times))
    assert not outcome.wrong
    if seed % TWICE == 0:
        with homes() as home:
            again, _ = play(seed, home)
        assert again.trace == outcome.trace, _first_difference(play, seed, homes)


def _first_difference(play: Play, seed: int, homes: Homes) -> str:
    """Where two runs of one seed part."""
    pieces = []
    for _ in range(2):
        with homes() as home:
            pieces.append(play(seed, home, keep=True)[1].pieces)
    for number, (left, right) in enumerate(zip(*pieces, strict=False)):
        if left != right:
            return f"event {number}: {left!r}, the second time {right!r}"
    return f"{len(pieces[0])} events, the second time {len(pieces[1])}"
