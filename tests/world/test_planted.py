"""A hostile test is worth its name once it has found a bug: each of these is planted, and must be found."""

from __future__ import annotations

import statistics

import pytest

from .play import play
from .schedule import check_found
from .trader import BUGS, FOUND_BY

MOST_SEEDS = 2000


def seeds_needed(bug: str, times: int, *, everything: bool) -> list[int]:
    """How many seeds it took to find ``bug``, so many times over."""
    needed: list[int] = []
    since = 0
    for seed in range(MOST_SEEDS):
        outcome, _ = play(seed, bug, everything=everything)
        if outcome.wrong:
            needed.append(seed + 1 - since)
            since = seed + 1
            if len(needed) == times:
                break
    return needed


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str, record_property) -> None:
    check_found(bug, lambda seed: play(seed, bug)[0].wrong, MOST_SEEDS, FOUND_BY[bug], record_property)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("bug", BUGS)
def test_how_many_seeds_a_planted_bug_needs(bug: str, record_property) -> None:
    """Printed at the end: the median with a random subset of the faults, and with all of them on."""
    subset, everything = (seeds_needed(bug, 9, everything=each) for each in (False, True))
    assert subset
    said = [f"{statistics.median(found):g}" if found else f"none in {MOST_SEEDS}" for found in (subset, everything)]
    record_property("figure", f"a trader that {bug}: found by {said[0]} seeds (median) with random faults, {said[1]} with all of them on")
