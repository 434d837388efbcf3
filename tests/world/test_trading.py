"""v6's own orders against everything that can befall them: none after a halt, none twice, none that opens when it should close."""

from __future__ import annotations

import pytest

from .faults import DRAWS
from .order_bugs import BUGS, FOUND_BY, planted
from .order_play import SEAMS, play
from .schedule import Homes, check, check_found

#: What the whole run must have met, or its green says less than it seems to.
TO_MEET = [
    *DRAWS,
    *(f"dies {seam}" for seam in SEAMS),
    *("dies at a turn", "HALTED", "REDUCING", "open since yesterday", "asked", "cancelled", "closed"),
    *("Halted", "Claimed", "void permit"),
]
MOST_SEEDS = 400
#: Bugs that few seeds meet.
RARE = {"reads the latch before the token", "takes a held order for dead", "takes order ids as the gateway issues them"}


@pytest.mark.seeds(160, 4000)
def test_v6s_orders_keep_its_promises_whatever_befalls(homes: Homes, seed: int, record_property) -> None:
    check(play, seed, homes, TO_MEET, record_property)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("bug", [pytest.param(bug, marks=pytest.mark.long if bug in RARE else ()) for bug in BUGS])
def test_a_bug_planted_in_v6_is_found(bug: str, homes: Homes, record_property) -> None:
    with planted(BUGS[bug]):
        check_found(bug, lambda seed: _wrong(seed, homes), MOST_SEEDS, FOUND_BY[bug], record_property)


def _wrong(seed: int, homes: Homes) -> list[str]:
    with homes() as home:
        return play(seed, home)[0].wrong
