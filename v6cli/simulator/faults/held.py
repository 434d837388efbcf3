"""The faults that hold now."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from v6cli import clock
from v6cli.errors import BadConfiguration
from v6cli.simulator.faults import answers, holdings, link, market, orders
from v6cli.simulator.faults.fault import Fault, Parameter, names, word

FAULTS: dict[str, Fault] = {**answers.FAULTS, **link.FAULTS, **market.FAULTS, **orders.FAULTS, **holdings.FAULTS}

Changed = Callable[[str, bool, list[dict[str, Parameter]]], None]


class _Form(Struct):
    """One form in which a fault holds: its parameters, since when, how many times are left, and when it ends."""

    parameters: dict[str, Parameter]
    since: datetime
    left: int | None
    until: datetime | None


class Faults:
    """The faults that hold now, and those that have been met.

    ``changed`` is called with a fault's name, whether it begins, and its parameters whenever it is set or ends. ``met`` counts
    by name how often one has bitten. ``entries`` hold from the start, as a scenario writes them.
    """

    def __init__(self, entries: Iterable[Mapping[str, Parameter]] = ()) -> None:
        self.changed: Changed = lambda _name, _set, _parameters: None
        self.met: dict[str, int] = {}
        self._held: dict[str, list[_Form]] = {}
        for entry in entries:
            parameters = dict(entry)
            self.set(str(parameters.pop("name", "")), **parameters)

    def set(self, name: str, **parameters: Parameter) -> None:
        """Let ``name`` happen from now on. Setting it again with other parameters adds to it. Raises BadConfiguration."""
        check(name, parameters)
        fault = FAULTS[name]
        own = fault.defaults | {key: value for key, value in parameters.items() if key in fault.parameters}
        if fault.moment:
            self.note(name)
            self.changed(name, True, [own])
            return
        forms = self._held.setdefault(name, [])
        if any(form.parameters == own and form.left is None and form.until is None for form in forms):
            return
        count, seconds = parameters.get("count"), parameters.get("seconds")
        left = None if count is None else int(str(count))
        if seconds is None and "minutes" in own:
            seconds = 60 * float(str(own["minutes"]))
        now = clock.now()
        until = None if seconds is None else now + timedelta(seconds=float(str(seconds)))
        forms.append(_Form(own, now, left, until))
        self.changed(name, True, [own])

    def clear(self, name: str) -> None:
        """Let ``name`` stop, in every form. Raises BadConfiguration for a name that is no fault."""
        check(name, {})
        ended = self._held.pop(name, [])
        if ended:
            self.changed(name, False, [form.parameters for form in ended])

    def clear_all(self) -> None:
        """Heal everything."""
        for name in list(self._held):
            self.clear(name)

    def advance(self, now: datetime) -> None:
        """End what has lasted as long as it should."""
        for name, forms in list(self._held.items()):
            for form in [form for form in forms if form.until is not None and form.until <= now]:
                self._end(name, form)

    @property
    def held(self) -> list[tuple[str, dict[str, Parameter], int | None, datetime | None]]:
        """Every form of every fault that holds: name, parameters, times left, end."""
        return [(name, form.parameters, form.left, form.until) for name, forms in self._held.items() for form in forms]

    def each(self, name: str) -> list[dict[str, Parameter]]:
        """The parameters of every form in which ``name`` holds now; empty when it does not."""
        return [form.parameters for form in self._held.get(name, [])]

    def since(self, name: str, fits: Callable[[dict[str, Parameter]], bool] = lambda _parameters: True) -> datetime | None:
        """Since when ``name`` holds in a form that ``fits``; None when in none."""
        return min((form.since for form in self._held.get(name, []) if fits(form.parameters)), default=None)

    def strikes(self, name: str, fits: Callable[[dict[str, Parameter]], bool] = lambda _parameters: True) -> dict[str, Parameter] | None:
        """Let ``name`` bite once, where a form of it ``fits``: its parameters, or None. One of the times of a counted fault is used up."""
        for form in self._held.get(name, []):
            if fits(form.parameters):
                self.note(name)
                if form.left is not None:
                    form.left -= 1
                    if form.left <= 0:
                        self._end(name, form)
                return form.parameters
        return None

    def note(self, name: str) -> None:
        """Count that a fault has bitten."""
        self.met[name] = self.met.get(name, 0) + 1

    def withholds(self, answer: str) -> bool:
        """Whether the End of ``answer`` must not be sent."""
        return self.strikes("withhold-end", lambda held: held.get("answer") == answer) is not None

    def _end(self, name: str, form: _Form) -> None:
        forms = self._held[name]
        forms.remove(form)
        if not forms:
            del self._held[name]
        self.changed(name, False, [form.parameters])


def check(name: str, parameters: Mapping[str, Parameter], *, where: str = "fault") -> None:
    """Raise BadConfiguration unless ``name`` is a fault and knows these parameters and their values."""
    fault = FAULTS.get(name)
    if fault is None:
        raise BadConfiguration(f"{where}: there is no fault {name!r}", next_step=f"choose one of {', '.join(FAULTS)}")
    known = fault.all_parameters
    for key, value in parameters.items():
        if key not in known:
            allowed = ", ".join(fault.parameters) or "none of its own"
            raise BadConfiguration(f"{where}: {name} has no parameter {key!r}", next_step=f"its parameters: {allowed}")
        choices = fault.choices.get(key)
        if choices and word(value) not in choices:
            raise BadConfiguration(f"{where}: {key} of {name} cannot be {value!r}", next_step=f"choose one of {', '.join(choices)}")
        pattern = fault.patterns.get(key)
        if pattern and not all(re.fullmatch(pattern, each) for each in names(value)):
            raise BadConfiguration(f"{where}: {key} of {name} cannot be {value!r}", next_step=f"it is {known[key]}")
        if key in fault.numbers or (key in {"count", "seconds"} and not fault.moment):
            _check_number(name, key, value, where)


def _check_number(name: str, key: str, value: Parameter, where: str) -> None:
    try:
        number = float(str(value))
        fits = 0 < number < 1e9 and (key != "count" or number == int(number))
    except ValueError:
        fits = False
    if not fits:
        kind = "a whole number" if key == "count" else "a number"
        raise BadConfiguration(f"{where}: {key} of {name} cannot be {value!r}", next_step=f"give {kind} above 0")
