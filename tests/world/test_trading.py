"""v6's own orders against everything that can befall them: none after a halt, none twice, none that opens when it should close."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from v6cli.home import Home

from .faults import DRAWS
from .order_bugs import BUGS, planted
from .order_play import SEAMS, play

Homes = Callable[[], AbstractContextManager[Home]]

#: What the whole run must have met, or its green says less than it seems to.
TO_MEET = [
    *DRAWS,
    *(f"dies {seam}" for seam in SEAMS),
    *("dies at a turn", "HALTED", "REDUCING", "open since yesterday", "asked", "cancelled", "closed"),
    *("Halted", "Claimed", "void permit"),
]
#: One seed in so many is played twice.
TWICE = 20
MOST_SEEDS = 400
#: Bugs that few seeds meet.
RARE = {"reads the latch before the token", "takes a held order for dead", "takes order ids as the gateway issues them"}


@pytest.mark.seeds(160, 4000)
def test_v6s_orders_keep_its_promises_whatever_befalls(homes: Homes, seed: int, record_property) -> None:
    with homes() as home:
        outcome, _ = play(seed, home)
    record_property("to meet", TO_MEET)
    record_property("met", sorted(name for name, times in outcome.met.items() if times))
    assert not outcome.wrong
    if seed % TWICE == 0:
        with homes() as home:
            again, _ = play(seed, home)
        assert again.trace == outcome.trace, first_difference(seed, homes)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("bug", [pytest.param(bug, marks=pytest.mark.long if bug in RARE else ()) for bug in BUGS])
def test_a_bug_planted_in_v6_is_found(bug: str, homes: Homes) -> None:
    with planted(BUGS[bug]):
        assert any(_wrong(seed, homes) for seed in range(MOST_SEEDS)), f"{MOST_SEEDS} seeds do not find a v6 that {bug}"


def _wrong(seed: int, homes: Homes) -> list[str]:
    with homes() as home:
        return play(seed, home)[0].wrong


def first_difference(seed: int, homes: Homes) -> str:
    """Where two runs of one seed part."""
    pieces = []
    for _ in range(2):
        with homes() as home:
            pieces.append(play(seed, home, keep=True)[1].pieces)
    for number, (left, right) in enumerate(zip(*pieces, strict=False)):
        if left != right:
            return f"event {number}: {left!r}, the second time {right!r}"
    return f"{len(pieces[0])} events, the second time {len(pieces[1])}"
