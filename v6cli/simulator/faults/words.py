"""Faults as a person names them: words of a command line, and the table of all there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from v6cli import clock
from v6cli.errors import BadConfiguration, BadInput, UsageError
from v6cli.results import Column, Table
from v6cli.simulator.faults.fault import COMMON, Fault, Parameter, word
from v6cli.simulator.faults.held import FAULTS, check

COLUMNS = (
    Column("fault"),
    Column("holds", wraps=True),
    Column("meaning", wraps=True),
    Column("parameters", wraps=True, rank=1),
)


class Holding(Struct, frozen=True):
    """One form of a fault that holds: its parameters, how many times are left, and when it ends."""

    name: str
    parameters: dict[str, Parameter]
    left: int | None = None
    until: datetime | None = None


class Wish(Struct, frozen=True):
    """What is to become of the faults: one is set, or one is healed, or all are (``name`` is None)."""

    name: str | None
    parameters: dict[str, Parameter]
    clear: bool


def wish(name: str | None, words: Sequence[str], *, listing: bool, clear: bool) -> Wish | None:
    """What a command line asks for; None when it only looks. Raises UsageError, BadInput."""
    if listing and (name or clear):
        raise UsageError("--list shows every fault and goes with nothing else")
    if clear and words:
        raise UsageError(f"--clear heals {name} in every form: {' '.join(words)} cannot be given with it")
    if not name and not clear:
        return None
    return Wish(name, read(name, words) if name else {}, clear)


def read(name: str, words: Sequence[str]) -> dict[str, Parameter]:
    """The parameters that ``key=value`` words give a fault. Raises UsageError for names that are none, BadInput for values."""
    fault = FAULTS.get(name)
    if fault is None:
        near = difflib.get_close_matches(name, FAULTS, n=2, cutoff=0.5)
        raise UsageError(
            f"there is no fault {name!r}",
            next_step=f"did you mean {' or '.join(near)}?" if near else "v6 gateway fault --list shows every fault",
        )
    parameters: dict[str, Parameter] = {}
    for each in words:
        key, separator, text = each.partition("=")
        if not separator or key not in fault.all_parameters:
            raise UsageError(
                f"{each!r} is no parameter of {name}" if not separator else f"{name} has no parameter {key!r}",
                next_step=f"write KEY=VALUE with one of {', '.join(fault.all_parameters)}" if fault.all_parameters else "it takes none",
            )
        if key in parameters:
            raise UsageError(f"{key} of {name} is given twice", next_step="several values are separated by commas")
        parameters[key] = _value(text)
    try:
        check(name, parameters)
    except BadConfiguration as error:
        raise BadInput(error.message, next_step=error.next_step) from None
    return parameters


def _value(text: str) -> Parameter:
    if "," in text:
        return [part for part in text.split(",") if part]
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def table(held: Iterable[Holding] | None) -> Table:
    """Every fault with its meaning and parameters, and which hold; None where no gateway was asked."""
    forms = list(held or ())
    rows: list[tuple[str, ...]] = [
        (name, "; ".join(_form(form) for form in forms if form.name == name), fault.meaning, _parameters(fault))
        for name, fault in FAULTS.items()
    ]
    notes = [
        f"a fault that lasts takes seconds: {COMMON['seconds']}",
        f"one that happens now and again ({', '.join(_counted())}) takes count: {COMMON['count']}",
    ]
    if held is None:
        notes.append("no simulated gateway was asked: which hold is not known")
    return Table("v6.faults/1", "faults of the simulated gateway", COLUMNS, list(rows), notes=notes)


def held_table(held: Iterable[Holding]) -> Table:
    """The faults that hold."""
    rows: list[tuple[str, ...]] = [(form.name, _form(form), FAULTS[form.name].meaning) for form in held]
    return Table("v6.faults-held/1", "faults that hold", COLUMNS[:3], list(rows), empty="no fault holds")


def _form(form: Holding) -> str:
    said = [f"{key}={word(value)}" for key, value in form.parameters.items()]
    if form.left is not None:
        said.append(f"{form.left} left")
    if form.until is not None:
        said.append(f"until {clock.show(form.until)}")
    return " ".join(said) or "yes"


def _counted() -> list[str]:
    return [name for name, fault in FAULTS.items() if "count" in fault.all_parameters]


def _parameters(fault: Fault) -> str:
    return "; ".join(f"{key}: {meaning}{_allowed(fault, key)}" for key, meaning in fault.parameters.items())


def _allowed(fault: Fault, key: str) -> str:
    said = [", ".join(fault.choices[key])] if key in fault.choices else []
    if key in fault.defaults:
        said.append(f"{word(fault.defaults[key])} when left out")
    return f" ({'; '.join(said)})" if said else ""
