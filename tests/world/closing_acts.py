"""What a schedule of closings begins with, and what its operator types: drawn from a seed."""

from __future__ import annotations

from random import Random

import msgspec
from msgspec import Struct

from v6cli.simulator.scenario import PositionSpec, Scenario, StrategySpec

from .faults import Mishap

#: What each kind of position is made of; each schedule holds some of them.
BOOKS: dict[str, list[PositionSpec | StrategySpec]] = {
    "stock": [PositionSpec("SPY", 100.0)],
    "short stock": [PositionSpec("IWM", -50.0)],
    "short put": [PositionSpec("SPY", -1.0, right="P", expiry="monthly", strike="spot-5%")],
    "vertical": [StrategySpec("vertical", "IWM", "vertical", quantity=2)],
    "condor": [StrategySpec("iron_condor", "QQQ", "condor", quantity=1, width=10)],
    "covered call": [StrategySpec("covered_call", "SPY", "covered", quantity=1)],
    "strangle": [StrategySpec("strangle", "QQQ", "strangle", quantity=1, expiry="quarterly")],
    "worthless": [PositionSpec("IWM", 2.0, right="C", expiry="monthly", strike="spot+20%", quote="no-bid")],
    "unquoted": [PositionSpec("QQQ", -1.0, right="C", expiry="quarterly", strike="spot+4%", quote="none")],
    "expired": [PositionSpec("SPY", 1.0, right="C", expiry="weekly-1", strike="spot+2%")],
}
CANNOT_TRADE = {"worthless", "unquoted"}


class Act(Struct, frozen=True):
    """What the operator types ``at`` a moment, what he answers where he is asked, and when he presses ^C.

    ``answer`` has a letter for each question; the last one answers all that come after.
    """

    at: float
    words: tuple[str, ...]
    answer: str | None = None
    interrupted_after: float | None = None


class Turn(Struct, frozen=True):
    """Things that happen close to each other: what is typed, what goes wrong, when v6-trading is asked, and where somebody dies."""

    acts: list[Act] = []
    mishaps: list[Mishap] = []
    asks: list[float] = []
    deaths: list[tuple[float, str]] = []


def draw(chance: Random, length: float) -> list[Act]:
    """What the operator types within ``length`` seconds."""
    acts = []
    for at in sorted(chance.uniform(0, length) for _ in range(chance.choice([0, 1, 1, 2, 3]))):
        words = chance.choices([_close_all, _close_one, _shutdown, _halt, _resume], [6, 2, 3, 2, 2])[0](chance)
        act = Act(at, words, chance.choice(["y", "y", "n"]), chance.choice([None, None, None, chance.uniform(0.1, 30)]))
        acts.append(act)
        if words[0] == "close-all" and chance.random() < 0.2:
            acts.append(msgspec.structs.replace(act, at=at + chance.choice([0.0, 0.01, chance.uniform(0, 20)])))
    return sorted(acts, key=lambda one: one.at)


def turn(chance: Random, length: float) -> Turn:
    """One of the turns that things may take."""
    return chance.choice(TURNS)(chance, chance.uniform(1, length / 2))


CLOSES = ("close-all", "--market", "--yes")
CANCELS = ("orders", "cancel", "--yes")
SHUTS = ("emergency", "shutdown", "--yes")


def _halted_amid(chance: Random, at: float) -> Turn:
    halts = [Act(at + chance.uniform(2, 20), (chance.choice(["halt", "halt", "reduce-only"]),)) for _ in range(chance.choice([1, 1, 2]))]
    return Turn([Act(at, CLOSES), *halts])


def _unread(chance: Random, at: float) -> Turn:
    """An order of v6-trading waits unread in the gateway while a shutdown ends what wrote it."""
    asked = [at + chance.uniform(0.05, 0.5) for _ in range(2)]
    shut = Act(at + chance.uniform(1, 4), SHUTS)
    return Turn([shut], [Mishap(at, "stop-reading", {"client": "1", "seconds": round(chance.uniform(5, 60), 1)})], asked)


def _unread_closing(chance: Random, at: float) -> Turn:
    """The same of a closing: what it wrote waits unread while another one, or a shutdown, ends it and goes on."""
    unread = Mishap(at + chance.uniform(1, 6), "stop-reading", {"client": "90", "seconds": round(chance.uniform(5, 40), 1)})
    return Turn([Act(at, CLOSES), Act(unread.at + chance.uniform(0.2, 5), chance.choice([CLOSES, SHUTS]))], [unread])


def _dies_and_again(chance: Random, at: float) -> Turn:
    seam = chance.choice(["after place", "after place", "before place", "after claim_close", "before end", "after end", "after grant"])
    again = [Act(at + chance.uniform(3, 30), CLOSES) for _ in range(chance.choice([1, 2]))]
    return Turn([Act(at, CLOSES), *again], deaths=[(at, seam)])


def _combos_that_will_not(chance: Random, at: float) -> Turn:
    """Combos rest, and their cancels are slow, unanswered, or cross a fill."""
    cancels = chance.choice(["stuck-cancelling", "cancels-unanswered", "cancels-cross-fills"])
    parameters: dict[str, str | float | int | bool] = {"fills": True} if cancels == "stuck-cancelling" else {}
    parameters |= {"count": 2} if cancels == "cancels-cross-fills" else {"seconds": round(chance.uniform(5, 60), 1)}
    rests = Mishap(at, "combos-rest", {"seconds": round(chance.uniform(3, 40), 1)})
    return Turn([Act(at + 0.5, CLOSES)], [rests, Mishap(at + 1, cancels, parameters)])


def _filled_by_hand(chance: Random, at: float) -> Turn:
    """Somebody trades by hand just before, or in the midst, and positions lag."""
    lags = Mishap(at, "positions-lag", {"by": round(chance.uniform(2, 20), 1), "seconds": 60.0})
    fills = [
        Mishap(at + chance.uniform(0.1, 6), "fills-by-hand", {"of": symbol, "quantity": chance.choice([1, 5, 30])})
        for symbol in chance.sample(["SPY", "QQQ", "IWM"], 2)
    ]
    return Turn([Act(at + chance.uniform(0, 3), CLOSES)], [*fills, lags] if chance.random() < 0.7 else fills)


def _liquidated(chance: Random, at: float) -> Turn:
    """IB closes what an order is to close, and that order's cancel is not answered: nothing is held, and it may yet fill."""
    symbol = chance.choice(["SPY", "QQQ", "IWM"])
    stuck = Mishap(at + 0.5, "stuck-cancelling", {"seconds": round(chance.uniform(20, 60), 1), "fills": chance.random() < 0.5})
    return Turn([Act(at, CLOSES)], [stuck, Mishap(at + chance.uniform(1, 10), "liquidation", {"of": symbol})])


def _interrupted(chance: Random, at: float) -> Turn:
    """^C in the midst, or while the connection is gone."""
    drops = [Mishap(at + chance.uniform(1, 8), chance.choice(["drop-connections", "partial-then-drop"]), {})]
    drops = drops if chance.random() < 0.7 else []
    after = drops[0].at - at + chance.uniform(0, 3) if drops else chance.uniform(0.2, 15)
    return Turn([Act(at, CLOSES, interrupted_after=after)], drops)


def _two_at_once(chance: Random, at: float) -> Turn:
    return Turn([Act(at, CLOSES), Act(at + chance.choice([0.0, 0.01, 2.0, 8.0]), ("close", chance.choice(["SPY", "QQQ", "IWM"]), "--yes"))])


def _grows(chance: Random, at: float) -> Turn:
    """The trader sells more by hand, between the plan that is agreed to and the closing, or in its midst."""
    symbol = chance.choice(["SPY", "QQQ", "IWM"])
    closes = chance.choice([("close-all", "--market"), ("close-all",), CLOSES, ("close", symbol)])
    sells = [
        Mishap(at + after + chance.uniform(0, 1), "orders-by-hand", {"of": symbol, "quantity": -chance.choice([1, 200])})
        for after in chance.sample([0.5, 1.5, 2.5, 3.5], 3)
    ]
    return Turn([Act(at, closes, chance.choice(["yyyyy", "yn", "yyn"]))], sells)


def _cancelled_from_elsewhere(chance: Random, at: float) -> Turn:
    """An order of a closing is cancelled by the trader, once or twice, while it works."""
    closes = chance.choice([CLOSES, ("close-all", "--yes"), ("close", chance.choice(["SPY", "QQQ", "IWM"]), "--yes")])
    return Turn([Act(at, closes), *(Act(at + chance.uniform(1, 10), CANCELS) for _ in range(chance.choice([1, 2])))])


def _shut_amid(chance: Random, at: float) -> Turn:
    return Turn([Act(at, CLOSES), Act(at + chance.uniform(0.5, 15), SHUTS)], asks=[at - 0.5])


TURNS = (
    _halted_amid,
    _halted_amid,
    _unread,
    _unread_closing,
    _dies_and_again,
    _combos_that_will_not,
    _filled_by_hand,
    _liquidated,
    _interrupted,
    _two_at_once,
    _shut_amid,
    _grows,
    _grows,
    _cancelled_from_elsewhere,
)


def _close_all(chance: Random) -> tuple[str, ...]:
    some = chance.choice([(), (), (), (), ("--symbol", chance.choice(["SPY", "QQQ", "IWM"])), ("--strategy", "spread")])
    how = [("--market",)] * (chance.random() < 0.5) + [("--cap", "0.6")] * (chance.random() < 0.3)
    how += [("--timeout", "25")] * (chance.random() < 0.2) + [("--yes",)] * (chance.random() < 0.8)
    return ("close-all", *some, *(word for each in how for word in each))


def _close_one(chance: Random) -> tuple[str, ...]:
    return ("close", chance.choice(["SPY", "QQQ", "IWM"]), "--yes", *chance.choice([(), ("--market",)]))


def _shutdown(chance: Random) -> tuple[str, ...]:
    return ("emergency", "shutdown", *chance.choice([("--yes",), (), ("--yes", "--keep-orders"), ("--yes", "--close-all")]))


def _halt(chance: Random) -> tuple[str, ...]:
    return (chance.choice(["halt", "halt", "reduce-only"]),)


def _resume(_chance: Random) -> tuple[str, ...]:
    return ("resume",)


#: What a command says that is refused, or does not come to its end.
REFUSALS = (
    "another close-all runs",
    "another closing runs",
    "declined",
    "is void",
    "not finished",
    "declined, and nothing",
)


def scenario_of(seed: int, kinds: list[str]) -> Scenario:
    """An account that holds these kinds of positions."""
    specs = [spec for kind in kinds for spec in BOOKS[kind]]
    return Scenario(
        seed=seed % 1000 + 1,
        cancel_seconds=0.3,
        positions=[spec for spec in specs if isinstance(spec, PositionSpec)],
        strategies=[spec for spec in specs if isinstance(spec, StrategySpec)],
    )
