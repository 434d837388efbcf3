"""What a fault is: a name, what it means, and what can be said of it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from v6cli.models import Contract

Parameter = str | int | float | bool | list[str]

#: Parameters that every fault takes.
COMMON = {
    "count": "how many times it happens; as long as it is set when left out",
    "seconds": "of home time after which it ends by itself",
}
_OF_A_STATE = {"seconds": COMMON["seconds"]}


class Fault(Struct, frozen=True):
    """One thing that can go wrong: what it means, and its parameters with theirs.

    A parameter with ``choices`` takes no other; one of ``numbers`` takes a number, below zero only where it is ``signed`` too, and
    a quantity is never zero; one with a pattern takes names that match it. ``defaults`` hold where a parameter is left out. A
    ``moment`` is a thing that happens when it is set, and does not last; a ``state`` is how things are while it is set, and cannot be
    counted.
    """

    meaning: str
    parameters: dict[str, str] = {}
    choices: dict[str, tuple[str, ...]] = {}
    moment: bool = False
    state: bool = False
    numbers: tuple[str, ...] = ()
    signed: tuple[str, ...] = ()
    patterns: dict[str, str] = {}
    defaults: dict[str, Parameter] = {}

    @property
    def all_parameters(self) -> dict[str, str]:
        """Its own parameters, and those of every fault of its kind."""
        if self.moment:
            return self.parameters
        return {**self.parameters, **(_OF_A_STATE if self.state else COMMON)}


def names(value: Parameter | None) -> list[str]:
    """A parameter that lists names, whether one was given or several."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [str(value)]


def number(parameters: Mapping[str, Parameter], key: str) -> float:
    """A parameter that is a number."""
    return float(str(parameters[key]))


def word(value: Parameter) -> str:
    """A parameter as it is written on a command line."""
    if isinstance(value, list):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def concerns(parameters: Mapping[str, Parameter], contract: Contract, order_ref: str = "") -> bool:
    """Whether the parameter ``of`` names this contract, by any of its names or the order reference; left out, it names all."""
    wanted = names(parameters.get("of"))
    called = {contract.symbol, contract.trading_class, contract.local_symbol, " ".join(contract.local_symbol.split()), order_ref} - {""}
    return not wanted or not called.isdisjoint(wanted)
