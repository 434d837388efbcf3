"""Which faults befall a schedule: drawn from a seed, a subset of them, so that none hides another."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from msgspec import Struct

from v6cli.simulator.faults import FAULTS, Parameter

Draw = Callable[[Random], Any]


class Mishap(Struct, frozen=True):
    """A fault that begins ``at`` seconds into a schedule."""

    at: float
    name: str
    parameters: dict[str, Parameter]


def _lasting(**parameters: Draw | Parameter) -> Draw:
    """A fault that holds for a while."""
    return _with(seconds=lambda chance: round(chance.uniform(2, 40), 1), **parameters)


def _counted(**parameters: Draw | Parameter) -> Draw:
    """A fault that bites a few times."""
    return _with(count=lambda chance: chance.randint(1, 3), **parameters)


def _with(**parameters: Draw | Parameter) -> Draw:
    return lambda chance: {key.replace("_", "-"): value(chance) if callable(value) else value for key, value in parameters.items()}


def _one_of(*choices: Parameter) -> Draw:
    return lambda chance: chance.choice(choices)


def _between(least: float, most: float) -> Draw:
    return lambda chance: round(chance.uniform(least, most), 1)


#: What others trade: not the symbol whose vertical is to be closed.
STOCKS = ("SPY", "QQQ")

_ANSWERS: dict[str, Draw] = {
    "withhold-end": _lasting(answer=_one_of("open-orders", "completed-orders", "executions", "positions", "account")),
    "read-only": _lasting(),
}

_LINK: dict[str, Draw] = {
    "drop-connections": _with(),
    "refuse-logins": _lasting(how=_one_of("close", "greeting", "silent")),
    "competing-login": _lasting(takes_over=_one_of(True, False)),
    "silent": _lasting(),
    "stop-reading": _lasting(),
    "link-lost": _lasting(restored=_one_of(1101, 1102), modifications=_one_of("wait", "doubled")),
    "delay": _lasting(by=_between(0.1, 6)),
    "nightly-restart": _with(minutes=_between(0.1, 1)),
    "ids-roll-back": _lasting(),
    "second-account": _lasting(),
    "other-account": _lasting(),
}

_ORDERS: dict[str, Draw] = {
    "reject-orders": _counted(first=_one_of("status", "error")),
    "warn-orders": _counted(code=_one_of(399, 404, 161, 10148, 201, 2109)),
    "held-for-locate": _lasting(status=_one_of("PreSubmitted", "Inactive")),
    "stuck-submitting": _lasting(),
    "stuck-cancelling": _lasting(fills=_one_of(True, False)),
    "cancels-unanswered": _lasting(),
    "cancels-cross-fills": _counted(),
    "combos-rest": _lasting(),
    "partial-then-drop": _counted(rest=_between(1, 30)),
    "lose-acknowledgements": _counted(until=_one_of("change", "ever")),
    "fills-first": _lasting(),
    "statuses-missing": _lasting(),
    "statuses-repeated": _lasting(),
}

_ACCOUNT: dict[str, Draw] = {
    "positions-lag": _lasting(by=_between(1, 20)),
    "duplicate-executions": _lasting(),
    "corrected-executions": _with(),
    "late-commissions": _lasting(),
    "unset-commissions": _lasting(report=_one_of("unset", "none")),
    "orders-by-hand": _with(of=_one_of(*STOCKS), quantity=_one_of(-2, 1, 3), limit=_one_of(1.0, 50.0)),
    "fills-by-hand": _with(of=_one_of(*STOCKS), quantity=_one_of(1, 2)),
    "early-assignment": _with(of="SPY"),
    "liquidation": _with(of=_one_of(*STOCKS)),
}


_GROUPS = (_ANSWERS, _LINK, _ORDERS, _ACCOUNT)

#: What can befall a trader, and how it is drawn.
DRAWS: dict[str, Draw] = {name: draw for group in _GROUPS for name, draw in group.items()}

#: Faults that are a state of the gateway: met once they are set while the trader is connected.
STATES = {"competing-login", "silent", "stop-reading", "link-lost", "delay", "nightly-restart", "second-account", "other-account"}


def drawn(chance: Random, length: float, *, everything: bool = False) -> list[Mishap]:
    """The mishaps of one schedule, in order: of a random subset of the faults, or of all of them."""
    names = list(DRAWS)
    if not everything:
        names = [name for group in _GROUPS for name in chance.sample(list(group), chance.choice([0, 0, 1, 2]))]
    found = [
        Mishap(round(chance.uniform(0, length), 3), name, DRAWS[name](chance)) for name in names for _ in range(chance.choice([1, 1, 2, 3]))
    ]
    # Who stays logged in never learns that the ids went back.
    found += [
        Mishap(round(mishap.at + chance.uniform(0.5, 20), 3), "drop-connections", {}) for mishap in found if mishap.name == "ids-roll-back"
    ]
    assert all(mishap.name in FAULTS for mishap in found)
    return sorted(found, key=lambda mishap: mishap.at)
