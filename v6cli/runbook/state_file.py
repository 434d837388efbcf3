"""A damaged state file is moved aside and begun anew by an emergency, once no process has it open any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from v6cli.errors import CannotWrite, V6Error
from v6cli.events import Report
from v6cli.home import Home
from v6cli.runbook.senders import TRADING
from v6cli.state import renewal

if TYPE_CHECKING:
    from v6cli.services.backend import Backend
    from v6cli.services.processes import Found


def users(home: Home) -> list[Found]:
    """The other processes that have it open."""
    from v6cli.services import processes

    return processes.having_open(renewal.parts(home))


def named(using: Sequence[Found]) -> str:
    """Those processes in words."""
    return ", ".join(f"{one.name} (pid {one.pid})" for one in using)


def renew(home: Home, services: Backend, stamp: str, report: Report) -> str:
    """Begin it anew; what became of it, in words. The services that have it open are restarted around it.

    The caller has closed its own. Raises CannotWrite where it cannot be moved, or a process does not let go of it.
    """
    damage = renewal.damage(home)
    if not damage:
        return ""
    stopped = _stop_users(home, services, report)
    try:
        if using := users(home):
            raise CannotWrite(f"{damage}; {named(using)} has it open, so it stays", next_step="end it, then run this again")
        moved = renewal.begin_anew(home, stamp)
    finally:
        failed = _start(services, stopped, report)
    return f"{damage}; {renewal.said(moved)}{failed}"


def _stop_users(home: Home, services: Backend, report: Report) -> list[str]:
    """Stop the services that have it open; those, and the ones that it made fail. What trades is not among them: it stays ended."""
    try:
        pids = {one.pid for one in users(home)}
        states = [one for one in services.status() if one.name != TRADING]
        if using := [one.name for one in states if one.pid in pids]:
            services.stop(using, report)
    except V6Error:
        return []  # whoever still has it open is named by the caller
    return [one.name for one in states if one.pid in pids or one.state in {"failed", "starting"}]


def _start(services: Backend, names: Sequence[str], report: Report) -> str:
    """Start what was stopped; why it does not run, for the end of a sentence."""
    if not names:
        return ""
    try:
        services.start(names, report)
    except V6Error as error:
        return f"; {error.message}"
    return ""
