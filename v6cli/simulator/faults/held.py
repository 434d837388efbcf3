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


class _Grip(Struct):
    """What a fault has taken hold of: as which form, and until when at most."""

    parameters: dict[str, Parameter]
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
        self._gripped: dict[str, dict[int, _Grip]] = {}
        for entry in entries:
            parameters = dict(entry)
            name = str(parameters.pop("name", ""))
            check(name, parameters, lasting=True)
            self.set(name, **parameters)

    def set(self, name: str, **parameters: Parameter) -> None:
        """Let ``name`` happen from now on. Setting it again with other parameters adds to it.

        Raises BadConfiguration, also for a moment that cannot happen now.
        """
        check(name, parameters)
        fault = FAULTS[name]
        own = fault.defaults | {key: value for key, value in parameters.items() if key in fault.parameters}
        if fault.moment:
            self.changed(name, True, [own])
            self.note(name)
            return
        forms = self._held.setdefault(name, [])
        if any(form.parameters == own and form.left is None and form.until is None for form in forms):
            return
        count, seconds = parameters.get("count"), parameters.get("seconds")
        left = None if count is None else int(float(str(count)))
        if seconds is None and "minutes" in own:
            seconds = 60 * float(str(own["minutes"]))
        now = clock.now()
        until = None if seconds is None else now + timedelta(seconds=float(str(seconds)))
        forms.append(_Form(own, now, left, until))
        self.changed(name, True, [own])

    def clear(self, name: str) -> None:
        """Let ``name`` stop, in every form. Raises BadConfiguration for a name that is no fault."""
        check(name, {})
        self._gripped.pop(name, None)
        ended = self._held.pop(name, [])
        if ended:
            self.changed(name, False, [form.parameters for form in ended])

    def clear_all(self) -> None:
        """Heal everything."""
        for name in dict.fromkeys([*self._held, *self._gripped]):
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
        form = self._strike(name, fits)
        return form.parameters if form is not None else None

    def seizes(
        self, name: str, key: int, fits: Callable[[dict[str, Parameter]], bool] = lambda _parameters: True, *, until: datetime | None = None
    ) -> dict[str, Parameter] | None:
        """Let ``name`` bite once and keep hold of what ``key`` names, though its count be used up by that: its parameters, or None.

        It lets go when it is cleared, when its time is over, and at ``until``.
        """
        form = self._strike(name, fits)
        if form is None:
            return None
        ends = min((moment for moment in (form.until, until) if moment is not None), default=None)
        self.hold(name, key, form.parameters, ends)
        return form.parameters

    def hold(self, name: str, key: int, parameters: dict[str, Parameter], until: datetime | None) -> None:
        """Let ``name`` keep hold of what ``key`` names, until ``until`` or it is cleared."""
        self._gripped.setdefault(name, {})[key] = _Grip(parameters, until)

    def grips(self, name: str, key: int, moment: datetime | None = None) -> dict[str, Parameter] | None:
        """The parameters of ``name`` while it keeps hold of what ``key`` names at ``moment`` (now when left out), else None."""
        grip = self._gripped.get(name, {}).get(key)
        if grip is None or (grip.until is not None and grip.until <= (moment or clock.now())):
            return None
        return grip.parameters

    def let_go(self, name: str, key: int) -> None:
        """Let ``name`` keep hold of what ``key`` names no longer."""
        self._gripped.get(name, {}).pop(key, None)

    def note(self, name: str) -> None:
        """Count that a fault has bitten."""
        self.met[name] = self.met.get(name, 0) + 1

    def withholds(self, answer: str) -> bool:
        """Whether the End of ``answer`` must not be sent."""
        return self.strikes("withhold-end", lambda held: held.get("answer") in {None, answer}) is not None

    def _strike(self, name: str, fits: Callable[[dict[str, Parameter]], bool]) -> _Form | None:
        for form in self._held.get(name, []):
            if fits(form.parameters):
                self.note(name)
                if form.left is not None:
                    form.left -= 1
                    if form.left <= 0:
                        self._end(name, form)
                return form
        return None

    def _end(self, name: str, form: _Form) -> None:
        forms = self._held[name]
        forms.remove(form)
        if not forms:
            del self._held[name]
        self.changed(name, False, [form.parameters])


def check(name: str, parameters: Mapping[str, Parameter], *, where: str = "fault", lasting: bool = False) -> None:
    """Raise BadConfiguration unless ``name`` is a fault (one that lasts, if it is to be ``lasting``) and knows these parameters and values."""
    fault = FAULTS.get(name)
    if fault is None:
        raise BadConfiguration(f"{where}: there is no fault {name!r}", next_step=f"choose one of {', '.join(FAULTS)}")
    if lasting and fault.moment:
        raise BadConfiguration(f"{where}: {name} happens at a moment and does not last", next_step="set it while the gateway runs")
    known = fault.all_parameters
    for key, value in parameters.items():
        if key not in known:
            allowed = ", ".join(fault.parameters) or "none of its own"
            raise BadConfiguration(f"{where}: {name} has no parameter {key!r}", next_step=f"its parameters: {allowed}")
        if not any(names(value)):
            raise BadConfiguration(f"{where}: {key} of {name} is empty", next_step=f"it is {known[key]}")
        choices = fault.choices.get(key)
        if choices and word(value) not in choices:
            raise BadConfiguration(f"{where}: {key} of {name} cannot be {value!r}", next_step=f"choose one of {', '.join(choices)}")
        pattern = fault.patterns.get(key)
        if pattern and not all(re.fullmatch(pattern, each) for each in names(value)):
            raise BadConfiguration(f"{where}: {key} of {name} cannot be {value!r}", next_step=f"it is {known[key]}")
        if key in {"count", "seconds"} and not fault.moment:
            _check_extent(name, key, value, where)
        elif key in fault.numbers:
            _check_number(fault, name, key, value, where)


def _check_number(fault: Fault, name: str, key: str, value: Parameter, where: str) -> None:
    kind = "a number" if key in fault.signed else "a number that is not negative"
    try:
        number = float(str(value))
        fits = abs(number) < 1e9 and (number >= 0 or key in fault.signed) and (number != 0 or key != "quantity")
    except ValueError:
        fits = False
    if not fits:
        raise BadConfiguration(f"{where}: {key} of {name} cannot be {value!r}", next_step=f"give {kind}")


def _check_extent(name: str, key: str, value: Parameter, where: str) -> None:
    try:
        number = float(str(value))
        fits = 0 < number < 1e9 and (key != "count" or number == int(number))
    except ValueError:
        fits = False
    if not fits:
        kind = "a whole number" if key == "count" else "a number"
        raise BadConfiguration(f"{where}: {key} of {name} cannot be {value!r}", next_step=f"give {kind} above 0")
