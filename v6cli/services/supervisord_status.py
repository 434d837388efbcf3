"""What is true of the services of a supervisord, also where it was killed or does not answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from v6cli import clock
from v6cli.errors import ServiceUnavailable
from v6cli.services.backend import ServiceState, State

if TYPE_CHECKING:
    from v6cli.services.supervisord import Supervisord

_STATES: dict[str, State] = {
    "RUNNING": "running",
    "STARTING": "starting",
    "BACKOFF": "starting",
    "STOPPING": "stopping",
    "STOPPED": "stopped",
    "FATAL": "failed",
}


def states(host: Supervisord, names: Sequence[str]) -> list[ServiceState]:
    """The state of each service, in this order. Where no supervisor answers, processes are looked for only if one was ever left."""
    from v6cli.services.logs import last_line

    hosted = {service.name for service in host.services}
    lives = host.lives()
    if not lives and not host.socket.exists():
        return [
            ServiceState(name, "stopped", last_line=last_line(host.log_files(name))) if name in hosted else ServiceState(name, "absent")
            for name in names
        ]
    try:
        if not lives:
            raise ServiceUnavailable("the supervisor was killed")
        answer = host.ask("getAllProcessInfo")
    except ServiceUnavailable as error:
        why = "its supervisor does not answer" if lives else error.message
        return [_seen(host, name, why) for name in names]
    from v6cli.services.restarts import count_restarts

    counts = count_restarts(host.log)
    infos = {info["name"]: info for info in answer}
    return [_told(host, name, infos.get(name), counts[name]) for name in names]


def ending(info: dict[str, Any]) -> str:
    """How a service ended, in words."""
    if info["spawnerr"]:
        return str(info["spawnerr"])
    if info["exitstatus"] < 0:
        return "killed by a signal"
    return f"exited with {info['exitstatus']}"


def _told(host: Supervisord, name: str, info: dict[str, Any] | None, restarts: int) -> ServiceState:
    from v6cli.services.logs import last_line

    line = last_line(host.log_files(name))
    if info is None:
        return ServiceState(name, "stopped", last_line=line)
    kind = info["statename"]
    state: State = ("stopped" if info["exitstatus"] == 0 else "failed") if kind == "EXITED" else _STATES.get(kind, "failed")
    running = kind in {"RUNNING", "STARTING", "STOPPING"}
    return ServiceState(
        name,
        state,
        pid=info["pid"] or None,
        uptime=float(max(0, info["now"] - info["start"])) if running and info["start"] else None,
        restarts=restarts,
        last_line=line,
        detail=ending(info) if kind in {"EXITED", "FATAL", "BACKOFF"} else "",
    )


def _seen(host: Supervisord, name: str, why: str) -> ServiceState:
    """What the process table tells of a service whose supervisor tells nothing."""
    from v6cli.services.logs import last_line

    line = last_line(host.log_files(name))
    found = host.left_over(name)
    if not found:
        return ServiceState(name, "stopped", last_line=line)
    oldest = min(found, key=lambda process: process.started)
    uptime = max(0.0, clock.wall().timestamp() - oldest.started)
    return ServiceState(name, "running", pid=oldest.pid, uptime=uptime, last_line=line, detail=f"{why}: v6 services start puts it in order")
