"""The trader against everything that can befall it: each task is done exactly once, and it always comes to its end."""

from __future__ import annotations

import pytest

from .faults import DRAWS
from .play import play

#: What the whole run must have met, or its green says less than it seems to.
TO_MEET = ["halt", "dies at a turn", "dies before commit", "dies after commit", "dies before send", "dies after send", *DRAWS]
#: One seed in so many is played twice.
TWICE = 20


@pytest.mark.seeds(200, 4000)
def test_each_task_is_done_once_whatever_befalls(seed: int, record_property) -> None:
    outcome, _ = play(seed)
    record_property("to meet", TO_MEET)
    record_property("met", sorted(name for name, times in outcome.met.items() if times))
    assert not outcome.wrong
    if seed % TWICE == 0:
        again, _ = play(seed)
        assert again.trace == outcome.trace, first_difference(seed)


def first_difference(seed: int) -> str:
    """Where two runs of one seed part."""
    one, other = (play(seed, keep=True)[1].pieces for _ in range(2))
    for number, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return f"event {number}: {left!r}, the second time {right!r}"
    return f"{len(one)} events, the second time {len(other)}"
