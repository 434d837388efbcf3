"""What every host of services can do, whichever it is, and the choice between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from v6cli.errors import BadConfiguration
from v6cli.events import Report
from v6cli.home import Home
from v6cli.services.catalogue import Service

State = Literal["running", "starting", "stopping", "stopped", "failed", "absent"]


class ServiceState(Struct, frozen=True):
    """What is true of one service now.

    ``starting`` includes the pause before another attempt, ``stopping`` has been asked to end; ``failed`` is down and stays down; ``absent`` is not hosted in
    this home. ``uptime`` is in wall seconds. ``restarts`` counts how often it ended by itself and was started again since
    somebody last started it. ``last_line`` is the newest line of its logs, ``detail`` what else an operator should know.
    """

    name: str
    state: State
    pid: int | None = None
    uptime: float | None = None
    restarts: int = 0
    last_line: str = ""
    detail: str = ""


class Backend(Protocol):
    """A host of services. Where ``names`` is empty, all services of the home are meant."""

    def status(self, names: Sequence[str] = ()) -> list[ServiceState]:
        """What is true of each service; changes nothing and starts nothing."""

    def start(self, names: Sequence[str], report: Report) -> None:
        """Start them in the order of their dependencies and return once each one runs. One that runs already is left alone.

        Raises ServiceUnavailable, naming the one that did not come up and its last log line.
        """

    def stop(self, names: Sequence[str], report: Report) -> None:
        """Stop them against the order of their dependencies and return once each one is proven gone.

        Raises OutcomeUnknown, naming what still runs.
        """

    def restart(self, names: Sequence[str], report: Report) -> None:
        """Stop, then start."""

    def shutdown(self, report: Report) -> None:
        """End every service of the home and their host. Raises OutcomeUnknown, naming what still runs."""

    def log_files(self, name: str) -> list[Path]:
        """The files a service writes to, whether they exist yet or not; rotated ones lie beside them."""


def choose(kind: str, home: Home, services: Sequence[Service]) -> Backend:
    """The host of this home's services. Raises BadConfiguration for a kind that is none."""
    if kind == "supervisord":
        from v6cli.services.supervisord import Supervisord

        return Supervisord(home, services)
    raise BadConfiguration(f"services cannot be hosted by {kind!r}", next_step="use supervisord")
