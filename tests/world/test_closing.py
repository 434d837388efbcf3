"""Halts, closings and shutdowns as an operator types them, against everything that can befall them.

What each says at its end is held against the gateway's books: flat is flat, what is left is named, and what is proven is so.
"""

from __future__ import annotations

import statistics

import pytest

from .closing_acts import REFUSALS
from .closing_bugs import BUGS, FOUND_BY
from .closing_play import SEAMS, play
from .faults import DRAWS
from .order_bugs import planted
from .schedule import Homes, check, check_found

#: What the whole run must have met, or its green says less than it seems to.
TO_MEET = [
    *DRAWS,
    *(f"dies {seam}" for seam in SEAMS),
    *(f"close-all {code}" for code in (0, 69, 75, 77, 130)),
    *(f"shutdown {code}" for code in (0, 75)),
    *(
        "close 0",
        "close 75",
        "halt 0",
        "reduce-only 0",
        "flat",
        "left",
        "may work yet",
        "not finished",
        "resumed",
        "asked",
        "stranger",
        "^C",
        "agreed to more",
        "orders 0",
    ),
    *(
        "open since yesterday",
        "dies at a turn",
        "their combo",
        "keeps the gate",
        "halt 75",
        "services: deaf",
        "services: answers",
        "services: lives",
    ),
    *REFUSALS,
]
MOST_SEEDS = 200
#: Bugs that few seeds meet.
RARE = {
    "takes the proof of a shutdown under another client id",
    "says flat while an order of it may fill",
}


@pytest.mark.seeds(160, 20000)
def test_what_is_closed_is_closed_and_what_is_proven_is_so(homes: Homes, seed: int, record_property) -> None:
    check(play, seed, homes, TO_MEET, record_property)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("bug", [pytest.param(bug, marks=pytest.mark.long if bug in RARE else ()) for bug in BUGS])
def test_a_bug_planted_in_closing_is_found(bug: str, homes: Homes, record_property) -> None:
    with planted(BUGS[bug]):
        check_found(bug, lambda seed: _wrong(seed, homes), MOST_SEEDS, FOUND_BY[bug], record_property)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("bug", BUGS)
def test_how_many_seeds_a_bug_planted_in_closing_needs(bug: str, homes: Homes, record_property) -> None:
    """Printed at the end: the median of five times."""
    needed = seeds_needed(bug, 5, homes)
    assert needed
    record_property("figure", f"a v6 that {bug}: found by {statistics.median(needed):g} seeds (median)")


def seeds_needed(bug: str, times: int, homes: Homes) -> list[int]:
    """How many seeds it took to find ``bug``, so many times over."""
    needed: list[int] = []
    since = 0
    with planted(BUGS[bug]):
        for seed in range(times * MOST_SEEDS):
            if _wrong(seed, homes):
                needed.append(seed + 1 - since)
                since = seed + 1
                if len(needed) == times:
                    break
    return needed


def _wrong(seed: int, homes: Homes) -> list[str]:
    with homes() as home:
        return play(seed, home)[0].wrong
