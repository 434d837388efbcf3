"""The demo: a home of its own with a simulated gateway and a running sync."""

from __future__ import annotations

import contextlib
import shlex
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from v6cli import clock, settings
from v6cli.errors import BadConfiguration, Refused, ServiceUnavailable, V6Error
from v6cli.events import Note, Report
from v6cli.files import write_durably
from v6cli.home import Home, checked_place, enclosing, profile_of
from v6cli.install import new_home
from v6cli.services.backend import Backend
from v6cli.simulator import scenario as scenarios
from v6cli.state import mirror
from v6cli.state.database import open_read_only
from v6cli.state.errors import StateMissing

LONGEST_FIRST_SYNC = 60.0
NEXT = """
next: cd {place}
then: v6 positions               the book by underlying and strategy
      v6 greeks --by strategy    where delta and gamma come from
      v6 risk                    the limits
      v6 status                  one screen of everything
      v6 logs -n 20              what the services did
      v6 services stop ib-gateway
      v6 morning-check           what a dead gateway looks like; --fix mends it
      v6 demo --stop             the end"""


def place(folder: str | None, *, around: bool = False) -> Path:
    """Where the demo lives: the folder given, else ``v6/demo`` in the user's data folder; ``around`` prefers one that this folder is in.

    Raises BadConfiguration.
    """
    if folder is not None:
        return checked_place(new_home.named(folder))
    if around and (here := enclosing()) is not None and profile_of(here) == "demo":
        return here
    import platformdirs

    return checked_place(Path(platformdirs.user_data_dir("v6")) / "demo")


def existing(folder: Path) -> Home:
    """The demo home there; its settings may be broken. Raises BadConfiguration, Refused."""
    profile = profile_of(folder)
    if profile is None:
        raise BadConfiguration(f"there is no demo in {folder}", next_step="v6 demo")
    if profile != "demo":
        raise Refused(f"{folder} is a {profile} home, not a demo: nothing was touched", next_step="v6 demo DIR with another folder")
    return Home(folder)


def prepare(folder: Path, scenario: str | None) -> Home:
    """The demo home there, made where it is missing, with the scenario asked for and a port that is free or its own.

    Raises Refused where the folder is a home of another kind, BadConfiguration for a scenario that is none.
    """
    if scenario is not None:
        scenarios.load(scenario)
    return existing(folder) if profile_of(folder) is not None else new_home.make(folder, "demo")


def adjust(home: Home, backend: Backend, scenario: str | None, report: Report) -> None:
    """Serve the scenario asked for, on a free port where somebody else has this home's."""
    own = settings.load(home).gateway
    if scenario is not None and scenario != own.scenario:
        backend.stop((), report)
        _set(home, "gateway.scenario", scenario)
    if backend.status(("ib-gateway",))[0].state == "stopped" and (port := free_port(own.port)) != own.port:
        report(Note(f"port {own.port} is in use: the simulated gateway moves to {port}"))
        _set(home, "gateway.port", str(port))


def start(home: Home, backend: Backend, report: Report) -> None:
    """Start the services and wait for a sync that ended after this began. Raises ServiceUnavailable."""
    began = clock.now()
    backend.start((), report)
    report(Note("waiting for the first sync"))
    deadline = clock.monotonic() + LONGEST_FIRST_SYNC
    while clock.monotonic() < deadline:
        if _synced_since(home, began):
            return
        clock.pause_blocking(0.1)
    raise ServiceUnavailable(
        f"no sync ended within {LONGEST_FIRST_SYNC:g} s", next_step=f"v6 --home {shlex.quote(str(home))} logs --service v6-position-sync"
    )


@contextlib.contextmanager
def left_running(home: Home, backend: Backend, report: Report) -> Iterator[None]:
    """Where the block is interrupted or fails, say that what it started goes on, and how to end it: nobody would look for it."""
    try:
        yield
    except (KeyboardInterrupt, V6Error):
        if _runs(backend):
            report(Note(f"the services of the demo go on; to end them: v6 demo --stop {shlex.quote(str(home))}"))
        raise


def _runs(backend: Backend) -> bool:
    """Whether a service runs, or is not known not to."""
    try:
        return any(one.state not in {"stopped", "failed"} for one in backend.status(()))
    except V6Error:
        return True


def stop(backend: Backend, report: Report) -> None:
    """End every service of the demo and their supervisor."""
    backend.shutdown(report)


def _set(home: Home, key: str, value: str) -> None:
    write_durably(home.settings_file, settings.edited(home, key, value).text.encode())


def _synced_since(home: Home, began: datetime) -> bool:
    try:
        with open_read_only(home) as state:
            seen = mirror.seen(state)
    except StateMissing:
        return False
    return seen is not None and seen.at >= began


def free_port(wanted: int) -> int:
    """``wanted`` where nobody listens on it, else a free port of loopback."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServiceUnavailable("no free port on loopback")
