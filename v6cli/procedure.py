"""A procedure of the runbook: steps that look, what they find, and the command that mends it.

Steps that do not need one another run side by side. A step that raises, that runs out of time or that has a bug does not know:
its outcome is UNKNOWN, never green, and the others go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import StrEnum
from typing import TypeVar

from msgspec import Struct

from v6cli import clock
from v6cli.errors import V6Error
from v6cli.events import Report, StepBegan, StepEnded

T = TypeVar("T")


class Status(StrEnum):
    """How a thing stands. UNKNOWN is not green."""

    OK = "ok"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


# What v6 cannot do without: not knowing one of these is as bad as knowing that it is broken.
DECISIVE = frozenset({"gateway", "account", "positions", "risk"})
_SEVERITY = {Status.OK: 0, Status.UNKNOWN: 1, Status.DEGRADED: 2, Status.UNHEALTHY: 3}
LONGEST_LOOK = 20.0  # wall seconds
_WORDS = {0: "healthy", 1: "degraded", 2: "unhealthy"}


class Fix(Struct, frozen=True):
    """A v6 command that mends a finding: ``argv`` without the program's name."""

    argv: tuple[str, ...]

    def __str__(self) -> str:
        return "v6 " + " ".join(self.argv)


class Finding(Struct, frozen=True):
    """What a look at ``subject`` found. ``advice`` is for what no command mends; ``evidence`` is kept for the record."""

    subject: str
    status: Status
    text: str
    fix: Fix | None = None
    advice: str = ""
    evidence: dict[str, object] = {}

    @property
    def exit_code(self) -> int:
        """0 healthy, 1 degraded, 2 unhealthy; unknown is 2 for gateway, account, positions and risk, else 1."""
        if self.status is Status.UNKNOWN:
            return 2 if self.subject in DECISIVE else 1
        return {Status.OK: 0, Status.DEGRADED: 1, Status.UNHEALTHY: 2}[self.status]


Look = Callable[[], Awaitable[Sequence[Finding]]]


class Step(Struct, frozen=True):
    """One step. ``explain`` says what it looks at and why; ``seconds`` bounds it in wall time."""

    name: str
    title: str
    explain: str
    look: Look
    subject: str
    seconds: float = LONGEST_LOOK


class Procedure(Struct, frozen=True):
    """Steps of one list of the runbook."""

    name: str
    title: str
    steps: tuple[Step, ...]


class Outcome(Struct, frozen=True):
    """What one step found, and how long it took in wall seconds."""

    step: Step
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def worst(self) -> Finding:
        """The finding that decides the step."""
        return max(self.findings, key=lambda finding: (finding.exit_code, _SEVERITY[finding.status]))

    @property
    def status(self) -> Status:
        """The status of the finding that decides."""
        return self.worst.status


def exit_code(findings: Iterable[Finding]) -> int:
    """The worst of all findings; nothing found is nothing known, and that is 2."""
    return max((finding.exit_code for finding in findings), default=2)


def verdict(findings: Iterable[Finding]) -> str:
    """The exit code in a word: healthy, degraded, unhealthy."""
    return _WORDS[exit_code(findings)]


async def run(procedure: Procedure, report: Report) -> list[Outcome]:
    """Run every step side by side; outcomes come in the order of the steps."""
    import asyncio

    return list(await asyncio.gather(*(run_step(step, report) for step in procedure.steps)))


async def look(subject: str, look: Look, seconds: float) -> tuple[Finding, ...]:
    """What a look finds within so many wall seconds. One that raises, takes longer or has a bug finds ``subject`` UNKNOWN."""
    found = await known(subject, look, seconds)
    if isinstance(found, Finding):
        return (found,)
    return tuple(found) or (Finding(subject, Status.UNKNOWN, "the step found nothing to judge"),)


async def known(subject: str, look_up: Callable[[], Awaitable[T]], seconds: float) -> T | Finding:
    """What is looked up within so many wall seconds; where that raises, takes longer or has a bug, ``subject`` is UNKNOWN."""
    try:
        async with clock.timeout(seconds):
            return await look_up()
    except TimeoutError:
        return Finding(subject, Status.UNKNOWN, f"no answer within {seconds:g} s")
    except V6Error as error:
        return Finding(subject, Status.UNKNOWN, error.message, advice=error.next_step or "")
    except Exception as error:
        import logging

        logging.getLogger(__name__).exception("the look at %s has a bug", subject)
        return Finding(subject, Status.UNKNOWN, f"a bug in v6: {type(error).__name__}: {error}", advice="the traceback is in the log")


async def run_step(step: Step, report: Report) -> Outcome:
    """Run one step, for a procedure whose steps have an order of their own."""
    report(StepBegan(step.name, step.title))
    began = clock.monotonic()
    findings = await look(step.subject, step.look, step.seconds)
    outcome = Outcome(step, findings, clock.monotonic() - began)
    report(StepEnded(step.name, outcome.status, outcome.worst.text))
    return outcome
