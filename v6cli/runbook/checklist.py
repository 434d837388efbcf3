"""What every checklist has in common: its outcomes as a table, its record, its fixes in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from v6cli import clock
from v6cli.procedure import Finding, Fix, Outcome, Procedure, Status, exit_code, verdict
from v6cli.results import Column, Table

COLUMNS = (
    Column("step"),
    Column("status", kind="status"),
    Column("finding", wraps=True),
    Column("next", title="next step", wraps=True),
)


def table(procedure: Procedure, outcomes: Sequence[Outcome], *, every: bool = False) -> Table:
    """One row a step that is green, one row for each finding that is not; ``every`` shows all findings."""
    rows: list[tuple[Any, ...]] = []
    for outcome in outcomes:
        for number, finding in enumerate(_shown(outcome, every=every)):
            text = finding.text if every or finding.status is not Status.OK else _summary(outcome)
            rows.append((outcome.step.title if number == 0 else "", finding.status.value, text, next_step(finding)))
    found = [finding for outcome in outcomes for finding in outcome.findings]
    return Table(f"v6.{procedure.name}/1", procedure.title, COLUMNS, rows, as_of=clock.now(), verdict=verdict(found))


def next_step(finding: Finding) -> str:
    """The command that mends it, else the advice."""
    return str(finding.fix) if finding.fix else finding.advice


def fixes(outcomes: Sequence[Outcome]) -> list[Fix]:
    """The commands that mend what is not green, each once, in the order of the steps."""
    return list(dict.fromkeys(finding.fix for outcome in outcomes for finding in outcome.findings if finding.fix))


def code(outcomes: Sequence[Outcome]) -> int:
    """0 healthy, 1 degraded, 2 unhealthy."""
    return exit_code(finding for outcome in outcomes for finding in outcome.findings)


def evidence(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What the record keeps of a run."""
    return {
        outcome.step.name: {
            "seconds": round(outcome.seconds, 3),
            "findings": [
                {"subject": one.subject, "status": one.status.value, "text": one.text, "next": next_step(one)} for one in outcome.findings
            ],
        }
        for outcome in outcomes
    }


def explanation(procedure: Procedure) -> Table:
    """What each step looks at, and why."""
    rows: list[tuple[Any, ...]] = [(step.title, step.explain) for step in procedure.steps]
    return Table(
        f"v6.{procedure.name}-steps/1",
        procedure.title,
        (Column("step"), Column("explanation", title="looks at, and why", wraps=True)),
        rows,
    )


def _shown(outcome: Outcome, *, every: bool) -> list[Finding]:
    if every:
        return list(outcome.findings)
    return [one for one in outcome.findings if one.status is not Status.OK] or [outcome.findings[0]]


def _summary(outcome: Outcome) -> str:
    """The findings of a green step in one line."""
    return "; ".join(one.text for one in outcome.findings)
