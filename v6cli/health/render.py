"""Findings as a table."""

from __future__ import annotations

from collections.abc import Sequence

from v6cli import clock
from v6cli.procedure import Finding, verdict
from v6cli.results import Column, Table

COLUMNS = (
    Column("check"),
    Column("status", kind="status"),
    Column("finding", wraps=True),
    Column("next", title="next step", wraps=True),
)


def table(findings: Sequence[Finding], title: str = "health", schema: str = "v6.health/1") -> Table:
    """One row a finding."""
    rows = [(one.subject, one.status.value, one.text, str(one.fix) if one.fix else one.advice) for one in findings]
    return Table(schema, title, COLUMNS, list(rows), as_of=clock.now(), verdict=verdict(findings))
