"""What a fault is: a name, what it means, and what can be said of it."""

from __future__ import annotations

from msgspec import Struct

Parameter = str | int | float | bool | list[str]

#: Parameters that every fault takes.
COMMON = {
    "count": "how many times it happens; as long as it is set when left out",
    "seconds": "of home time after which it ends by itself",
}


class Fault(Struct, frozen=True):
    """One thing that can go wrong: what it means, and its parameters with theirs. A parameter with choices takes no other.

    A ``moment`` is a thing that happens when it is set, and does not last.
    """

    meaning: str
    parameters: dict[str, str] = {}
    choices: dict[str, tuple[str, ...]] = {}
    moment: bool = False

    @property
    def all_parameters(self) -> dict[str, str]:
        """Its own parameters, and those of every fault that lasts."""
        return self.parameters if self.moment else {**self.parameters, **COMMON}


def names(value: Parameter | None) -> list[str]:
    """A parameter that lists names, whether one was given or several."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [str(value)]
