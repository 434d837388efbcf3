"""The share of messages: never more in a second, and nearly all of it, however late the timers are."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

import pytest

from v6cli import clock
from v6cli.broker.pacing import TokenBucket

SHARE = 20


class Late:
    """A clock whose timers are late by so many seconds, each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, late: Callable[[], float]) -> None:
        self.now = 1000.0
        self._late = late
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)
        monkeypatch.setattr(clock, "pause", self._pause)

    async def _pause(self, seconds: float) -> None:
        assert seconds > 0
        await asyncio.sleep(0)  # meanwhile everybody else asks
        self.now += seconds + self._late()

    async def give(self, bucket: TokenBucket, messages: int) -> list[float]:
        """When each of so many messages left, all of which were asked for at once."""
        given: list[float] = []

        async def ask() -> None:
            await bucket.take()
            given.append(self.now)

        await asyncio.gather(*(ask() for _ in range(messages)))
        return given


def most_in_a_second(given: Sequence[float]) -> int:
    return max(sum(1 for moment in given if start <= moment < start + 1 - 1e-9) for start in given)


@pytest.mark.parametrize("late", [0.0, 0.002, 0.02, 0.2])
@pytest.mark.seeds(2, 200)
def test_never_more_than_the_share_in_any_second(monkeypatch: pytest.MonkeyPatch, seed: int, late: float) -> None:
    rng = random.Random(seed)
    given = asyncio.run(Late(monkeypatch, lambda: rng.expovariate(1 / late) if late else 0.0).give(TokenBucket(SHARE), 300))
    assert given == sorted(given) and len(given) == 300
    assert most_in_a_second(given) <= SHARE


def test_what_timers_lose_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(7)
    given = asyncio.run(Late(monkeypatch, lambda: rng.uniform(0.0, 0.008)).give(TokenBucket(SHARE), 401))
    assert 20.0 <= given[-1] - given[0] < 20.2, "a spacing from each wake-up would take 21.6 s"


def test_a_loop_that_was_held_up_makes_up_for_a_tenth_of_a_second_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stalls = iter([0.0] * 30 + [3.0])
    given = asyncio.run(Late(monkeypatch, lambda: next(stalls, 0.0)).give(TokenBucket(SHARE), 100))
    assert most_in_a_second(given) <= SHARE
    held_up = next(number for number in range(1, 100) if given[number] - given[number - 1] > 1)
    assert sum(1 for moment in given[held_up:] if moment < given[held_up] + 0.01) == 4, "it, and the three of a tenth of a second"


def test_time_in_which_nobody_asked_is_not_saved_up(monkeypatch: pytest.MonkeyPatch) -> None:
    late = Late(monkeypatch, lambda: 0.0)
    bucket = TokenBucket(SHARE)

    async def act() -> list[float]:
        await late.give(bucket, 5)
        late.now += 10
        return await late.give(bucket, 5)

    given = asyncio.run(act())
    assert [round(moment - given[0], 6) for moment in given] == [0.0, 0.05, 0.1, 0.15, 0.2]


def test_a_share_that_grows_while_it_is_used_counts_what_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    late = Late(monkeypatch, lambda: 0.0)
    bucket = TokenBucket(5)

    async def act() -> list[float]:
        before = await late.give(bucket, 10)
        bucket.share = SHARE
        return before + await late.give(bucket, 40)

    given = asyncio.run(act())
    assert most_in_a_second(given[:10]) == 5 and most_in_a_second(given) == SHARE


def test_cancels_leave_before_whoever_else_waits_and_within_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    late = Late(monkeypatch, lambda: 0.0)
    bucket = TokenBucket(SHARE)
    left: list[tuple[str, float]] = []

    async def ask(what: str) -> None:
        await bucket.take(cancels=what == "cancel")
        left.append((what, late.now))

    async def act() -> None:
        orders = [asyncio.ensure_future(ask("order")) for _ in range(60)]
        while len(left) < 10:
            await asyncio.sleep(0)
        cancels = [asyncio.ensure_future(ask("cancel")) for _ in range(5)]
        await asyncio.gather(*orders, *cancels)

    asyncio.run(act())
    after = [what for what, _ in left[10:]]
    assert after[:7].count("cancel") == 5, "the order whose turn it was, and the one behind it, at most"
    assert len(left) == 65 and most_in_a_second([moment for _, moment in left]) <= SHARE
