"""Processes of this machine: who holds a port, which one is the gateway, and the proof that one is gone.

A process is known by its pid together with the instant it started: a pid alone may long belong to somebody else.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from v6cli import clock

if TYPE_CHECKING:
    import psutil

GATEWAY = r"ibgateway|ibcalpha|IBController|\bjclient\.LoginFrame\b|/Jts/|\btws\b"


class Holder(NamedTuple):
    """Who listens on a port. ``pid`` is None where the process belongs to another user and cannot be seen."""

    pid: int | None
    name: str


class Found(Struct, frozen=True):
    """A living process. ``started`` is in seconds since 1970 UTC, as the kernel tells it."""

    pid: int
    started: float
    name: str
    command: str


class Proof(Struct, frozen=True):
    """Whether processes are gone. One that has ended and waits for its parent to notice holds nothing and counts as gone."""

    gone: bool
    survivors: tuple[int, ...] = ()


def holder_of(port: int) -> Holder | None:
    """Who listens on a TCP port of this machine, or None where nobody does."""
    import psutil

    hidden = False
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status != psutil.CONN_LISTEN or not connection.laddr or connection.laddr.port != port:
            continue
        if connection.pid is None:
            hidden = True
            continue
        with contextlib.suppress(psutil.Error):
            return Holder(connection.pid, psutil.Process(connection.pid).name())
    return Holder(None, "a process of another user") if hidden else None


def find(pattern: str) -> list[Found]:
    """Processes whose command line matches a regular expression, except this one and those it was started from."""
    expression = re.compile(pattern)
    return [found for process in _others() if (found := _describe(process)) and expression.search(found.command)]


def of(pid: int) -> Found | None:
    """The process with this pid; None where none lives."""
    import psutil

    try:
        return _describe(psutil.Process(pid))
    except psutil.Error:
        return None


def gateway_processes() -> list[Found]:
    """IB Gateway and TWS on this machine: Java programs that run IB's classes, started by hand or by IBC."""
    return [found for found in find(GATEWAY) if found.name.startswith("java") or "ibgateway" in found.name]


def carrying(marks: Mapping[str, str]) -> list[Found]:
    """Processes that were started with all these environment variables, by whichever ancestor."""
    import psutil

    matching = []
    for process in _others():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        if all(environment.get(name) == value for name, value in marks.items()) and (found := _describe(process)):
            matching.append(found)
    return matching


def having_open(paths: Iterable[Path]) -> list[Found]:
    """Processes other than this one that have one of these files open; those of other users are not seen."""
    import psutil

    wanted = {os.path.realpath(path) for path in paths}
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            opened = {file.path for file in process.open_files()}
        except (psutil.Error, OSError):
            continue
        if opened & wanted and (one := _describe(process)):
            found.append(one)
    return found


def verify_gone(pids: Iterable[int], within: float = 0.0) -> Proof:
    """Whether none of these processes lives, waiting up to ``within`` wall seconds for it.

    A pid that meanwhile belongs to another process counts as living: this errs on the side of what may still act.
    """
    left = sorted(set(pids))
    deadline = clock.monotonic() + within
    while left := [pid for pid in left if _lives(pid)]:
        if clock.monotonic() >= deadline:
            return Proof(gone=False, survivors=tuple(left))
        clock.pause_blocking(0.02)
    return Proof(gone=True)


def end(processes: Iterable[Found], grace: float) -> Proof:
    """Ask processes to end, kill those that have not after ``grace`` wall seconds, and prove them gone."""
    import signal

    targets = list(processes)
    for number, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        for found in targets:
            _signal(found, number)
        deadline = clock.monotonic() + wait
        while (targets := [found for found in targets if _same(found)]) and clock.monotonic() < deadline:
            clock.pause_blocking(0.02)
        if not targets:
            return Proof(gone=True)
    return Proof(gone=False, survivors=tuple(found.pid for found in targets))


def _others() -> Iterator[psutil.Process]:
    import psutil

    own = {os.getpid()}
    with contextlib.suppress(psutil.Error):
        own.update(parent.pid for parent in psutil.Process().parents())
    for process in psutil.process_iter():
        if process.pid not in own:
            yield process


def _describe(process: psutil.Process) -> Found | None:
    import psutil

    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return Found(process.pid, process.create_time(), process.name(), " ".join(process.cmdline()))
    except (psutil.Error, OSError):
        return None


def _lives(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.NoSuchProcess:
        return False


def _same(found: Found) -> bool:
    """Whether the very process that was found still lives."""
    import psutil

    try:
        return psutil.Process(found.pid).create_time() == found.started and _lives(found.pid)
    except psutil.NoSuchProcess:
        return False


def _signal(found: Found, number: int) -> None:
    if _same(found):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(found.pid, number)
