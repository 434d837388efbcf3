"""What work reports while it runs: the console shows it, the journal keeps it, tests collect it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct


class StepBegan(Struct, frozen=True):
    """A step of a procedure starts."""

    step: str
    title: str


class StepEnded(Struct, frozen=True):
    """A step of a procedure has an outcome: ``status`` is one of ok, degraded, unhealthy, unknown."""

    step: str
    status: str
    text: str


class Progress(Struct, frozen=True):
    """``done`` of ``total`` units of ``what`` are finished; ``unit`` is ``bytes`` where it is not things that are counted."""

    what: str
    done: int
    total: int
    unit: str = ""


class Doing(Struct, frozen=True):
    """What one of several things that go on side by side is doing now; an empty ``text`` where it has ended."""

    what: str
    text: str


class Note(Struct, frozen=True):
    """One line worth telling."""

    text: str


Event = StepBegan | StepEnded | Progress | Doing | Note
Report = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A Report that nobody reads."""
