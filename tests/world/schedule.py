"""One schedule as a suite plays it: nothing wrong, what it met told, and one in so many the same a second time."""

from __future__ import annotations

import itertools
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


def check_found(bug: str, wrong: Callable[[int], object], most: int, before: int, record_property: Callable[[str, object], None]) -> None:
    """One of ``most`` seeds finds the planted bug. ``before`` found it when last looked for, and is tried first: it is told when
    another one must.
    """
    found = next((seed for seed in itertools.chain((before,), range(most)) if wrong(seed)), None)
    assert found is not None, f"{most} seeds do not find what {bug}"
    if found != before:
        record_property("figure", f"what {bug} is found by seed {found}, no more by {before}")


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
