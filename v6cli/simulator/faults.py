"""What can be made to go wrong, by name: in a scenario file, or while the gateway runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from v6cli.errors import BadConfiguration

Parameter = str | int | float | bool | list[str]


class Fault(Struct, frozen=True):
    """One thing that can go wrong: what it means, and its parameters with theirs. A parameter with choices takes no other."""

    meaning: str
    parameters: dict[str, str] = {}
    choices: dict[str, tuple[str, ...]] = {}


ANSWERS = (
    "positions",
    "open-orders",
    "completed-orders",
    "account",
    "account-multi",
    "summary",
    "executions",
    "contract-details",
    "chains",
    "snapshot",
)

FAULTS: dict[str, Fault] = {
    "withhold-end": Fault(
        "An answer arrives, and the message that says it is complete never does.",
        {"answer": "which answer"},
        {"answer": ANSWERS},
    ),
    "read-only": Fault("The gateway is in read-only mode: open and completed orders are refused with 321, and no End follows."),
    "missing-greeks": Fault(
        "Quotes arrive without computations of the option model.",
        {"of": "symbols, trading classes, local symbols or order references of the contracts"},
    ),
    "farm-broken": Fault(
        "A data farm is down: told to every client when it happens and when one connects, and taken back when it is cleared.",
        {"farm": "the farm's name, such as usopt or ushmds", "code": "2103 market data (the default) or 2105 historical data"},
        {"code": ("2103", "2105")},
    ),
    "no-market-data": Fault(
        "Market data is refused for lack of a subscription, or answered with delayed data.",
        {
            "of": "symbols; all when left out",
            "code": "354 or 10089 refused, 10168 refused, 10167 delayed data instead (the default is 354)",
        },
        {"code": ("354", "10089", "10167", "10168")},
    ),
}


class Faults:
    """The faults that hold now. ``changed`` is called with a fault's name whenever it is set or cleared."""

    def __init__(self) -> None:
        self._held: dict[str, list[dict[str, Parameter]]] = {}
        self.changed: Callable[[str, bool, list[dict[str, Parameter]]], None] = lambda _name, _set, _parameters: None

    def set(self, name: str, **parameters: Parameter) -> None:
        """Let ``name`` happen from now on. Setting it again with other parameters adds to it. Raises BadConfiguration."""
        check(name, parameters)
        held = self._held.setdefault(name, [])
        if parameters not in held:
            held.append(parameters)
            self.changed(name, True, [parameters])

    def clear(self, name: str) -> None:
        """Let ``name`` stop, in every form. Raises BadConfiguration for a name that is no fault."""
        check(name, {})
        ended = self._held.pop(name, [])
        if ended:
            self.changed(name, False, ended)

    def each(self, name: str) -> list[dict[str, Parameter]]:
        """The parameters of every form in which ``name`` holds now; empty when it does not."""
        return self._held.get(name, [])

    def withholds(self, answer: str) -> bool:
        """Whether the End of ``answer`` must not be sent."""
        return any(held.get("answer") == answer for held in self.each("withhold-end"))


def check(name: str, parameters: Mapping[str, Parameter], *, where: str = "fault") -> None:
    """Raise BadConfiguration unless ``name`` is a fault and knows these parameters and their values."""
    fault = FAULTS.get(name)
    if fault is None:
        raise BadConfiguration(f"{where}: there is no fault {name!r}", next_step=f"choose one of {', '.join(FAULTS)}")
    for key, value in parameters.items():
        if key not in fault.parameters:
            allowed = ", ".join(fault.parameters) or "none"
            raise BadConfiguration(f"{where}: {name} has no parameter {key!r}", next_step=f"its parameters: {allowed}")
        choices = fault.choices.get(key)
        if choices and str(value) not in choices:
            raise BadConfiguration(f"{where}: {key} of {name} cannot be {value!r}", next_step=f"choose one of {', '.join(choices)}")


def names(value: Parameter | None) -> list[str]:
    """A parameter that lists names, whether one was given or several."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [str(value)]
