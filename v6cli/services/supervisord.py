"""Services hosted by a supervisord of the home's own, for machines without systemd and homes without root.

The supervisor holds an flock on ``run/supervisor.lock`` for as long as it lives: whether one lives is asked of the kernel,
never of a pid file. Its socket is ``run/supervisor.sock``. Processes that outlived a killed supervisor are known by the
address of that socket in their environment, which supervisord puts there.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from v6cli import clock, locks
from v6cli.errors import OutcomeUnknown, ServiceUnavailable
from v6cli.events import Note, Report, StepBegan, StepEnded
from v6cli.files import private_folder, write_durably
from v6cli.home import Home
from v6cli.services import lifetime
from v6cli.services import supervisord_conf as conf
from v6cli.services.backend import ServiceState
from v6cli.services.catalogue import Service, start_order
from v6cli.services.supervisord_conf import Timing

POLL = 0.05  # wall seconds between two questions to the supervisor
PATIENCE = 3.0  # wall seconds within which a living supervisor answers
_ACTIVE = {"STARTING", "RUNNING", "BACKOFF", "STOPPING"}


class Supervisord:
    """The services of one home under their own supervisor. ``command`` runs a service's argv; the installed v6 unless given."""

    def __init__(self, home: Home, services: Sequence[Service], command: Sequence[str] | None = None, timing: Timing | None = None) -> None:
        self.home = home
        self.services = tuple(services)
        self.timing = timing or Timing()
        self.socket = home.run / "supervisor.sock"
        self._command = tuple(command) if command is not None else conf.launcher(home)
        self._conf = home.run / "supervisord.conf"
        self._lifetime = home.run / "supervisor.lock"
        self.log = home.logs / "supervisord.log"

    def log_files(self, name: str) -> list[Path]:
        """See Backend."""
        return [self.home.logs / f"{name}.log", conf.capture_of(self.home, name)]

    def status(self, names: Sequence[str] = ()) -> list[ServiceState]:
        """See Backend."""
        from v6cli.services.supervisord_status import states

        return states(self, self._order(names))

    def start(self, names: Sequence[str], report: Report) -> None:
        """See Backend."""
        order = self._order(names)
        with self._alone(wait=60):
            if not self._settle(report):
                self._clear_away(report)
                self._spawn(report)
            resumed = self._converge(report)
        for name in self._order([*order, *resumed]):
            self._start_one(name, report)

    def stop(self, names: Sequence[str], report: Report) -> None:
        """See Backend."""
        self._settle(report)
        for name in reversed(self._order(names)):
            self._stop_one(name, report)

    def restart(self, names: Sequence[str], report: Report) -> None:
        """See Backend."""
        self.stop(names, report)
        self.start(names, report)

    def shutdown(self, report: Report) -> None:
        """See Backend."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(ServiceUnavailable):  # an end must not wait long for somebody's start
                stack.enter_context(self._alone(wait=5))
            report(StepBegan("supervisor", "end all services and their supervisor"))
            if self._settle(report):
                with contextlib.suppress(ServiceUnavailable, self._fault()):
                    self.ask("shutdown")
                self._await_death(self.timing.longest_stop)
            self._end_supervisor()
            self._end_left_over()
            self.socket.unlink(missing_ok=True)
            report(StepEnded("supervisor", "ok", "nothing of it runs any more"))

    def lives(self) -> bool:
        """Whether a supervisor of this home lives, answering or not.

        The lock alone would do, had a supervisor not let go of it that somebody made start over (SIGHUP): so the socket is
        asked, too.
        """
        return locks.holder(self._lifetime) is not None or self._listens()

    def left_over(self, name: str | None = None) -> list[Any]:
        """Processes that this home's supervisor, alive or not, started: those of one service, or all."""
        from v6cli.services import processes

        marks = {"SUPERVISOR_SERVER_URL": f"unix://{self.socket}"}
        return processes.carrying(marks | ({"SUPERVISOR_PROCESS_NAME": name} if name else {}))

    def _order(self, names: Sequence[str]) -> list[str]:
        return start_order(names or [service.name for service in self.services], self.services)

    def ask(self, method: str, *arguments: str | bool) -> Any:
        """One question to the supervisor. Raises ServiceUnavailable where none answers, rpc.Fault where it refuses."""
        from v6cli.services import rpc

        return rpc.call(self.socket, method, *arguments)

    @staticmethod
    def _fault() -> type[Exception]:
        from v6cli.services.rpc import Fault

        return Fault

    @contextlib.contextmanager
    def _alone(self, wait: float) -> Iterator[None]:
        """No other process starts or ends this home's supervisor meanwhile. Raises ServiceUnavailable after ``wait`` wall seconds."""
        path = self.home.run / "supervisor.starting"
        deadline = clock.monotonic() + wait
        while (lock := locks.try_hold(path, "v6 services")) is None:
            if clock.monotonic() >= deadline:
                raise ServiceUnavailable(
                    f"the services are being started by {locks.holder(path) or 'another process'}", next_step="v6 services status"
                )
            clock.pause_blocking(POLL)
        with lock:
            yield

    def _listens(self) -> bool:
        import socket

        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(self.socket))
            except TimeoutError:
                return True
            except OSError:
                return False
        return True

    def _settle(self, report: Report) -> bool:
        """Wait until the supervisor answers (True) or is gone (False), as while another process starts or ends it.

        One that does neither in its time is ended: it would start again what is stopped. Raises OutcomeUnknown.
        """
        began = clock.monotonic()
        while self.lives():
            try:
                if self.ask("getState")["statecode"] == 1:
                    return True
                patience = self.timing.longest_stop  # it is on its way down
            except ServiceUnavailable:
                patience = PATIENCE
            if clock.monotonic() - began >= patience:
                report(Note("the supervisor does not answer: it is ended"))
                self._end_supervisor()
                break
            clock.pause_blocking(POLL)
        return False

    def _clear_away(self, report: Report) -> None:
        """Whatever an earlier supervisor left: its processes, its socket, itself if it lost both. Raises OutcomeUnknown."""
        self._end_supervisor()
        if ended := self._end_left_over():
            report(Note(f"ended {ended} of a supervisor that had been killed"))
        for trace in (self.socket, self.home.run / "supervisord.pid"):
            trace.unlink(missing_ok=True)

    def _spawn(self, report: Report) -> None:
        """Start the supervisor, which turns itself into a daemon in a session of its own. Raises ServiceUnavailable."""
        private_folder(self.home.logs)
        self._write_conf()
        argv = [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(self._conf)]
        with lifetime.to_hand_over(self._lifetime, "supervisord") as descriptor:
            started = subprocess.run(
                argv, cwd=self.home.root, env=conf.environment(os.environ), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=60, start_new_session=True, umask=0o077, pass_fds=(descriptor,), check=False,
            )  # fmt: skip
        if started.returncode != 0 or not self._settle(report):
            said = [line for line in started.stderr.splitlines() if line and not line.startswith("For help")]
            raise ServiceUnavailable(
                f"the supervisor did not start: {said[-1] if said else 'it does not answer'}", next_step=f"read {self.log}"
            )
        report(Note(f"supervisor started (pid {self.ask('getPID')})"))

    def _write_conf(self) -> None:
        write_durably(self._conf, conf.render(self.home, self.services, self._command, self.timing).encode())

    def _converge(self, report: Report) -> list[str]:
        """Make the supervisor host exactly this home's services, as they are now; return those that ran and were replaced."""
        self._write_conf()
        ((added, changed, removed),) = self.ask("reloadConfig")
        ran = []
        for name in (*changed, *removed):
            if self.ask("getProcessInfo", name)["statename"] in _ACTIVE:
                ran.append(name)
            report(Note(f"{name} has changed" if name in changed else f"{name} is no longer a service of this home"))
            self._stop_one(name, report)
            self.ask("removeProcessGroup", name)
        for name in (*added, *changed):
            self.ask("addProcessGroup", name)
        return [name for name in ran if name in changed]

    def _start_one(self, name: str, report: Report) -> None:
        from v6cli.services import rpc

        report(StepBegan(name, f"start {name}"))
        try:
            self.ask("startProcess", name, False)
        except rpc.Fault as fault:
            if fault.code != rpc.ALREADY_STARTED:
                self._give_up(name, str(fault), report)
        deadline = clock.monotonic() + self.timing.longest_start
        while (info := self.ask("getProcessInfo", name))["statename"] != "RUNNING":
            if info["statename"] not in {"STARTING", "BACKOFF"}:
                self._give_up(name, self._why(info), report)
            if clock.monotonic() >= deadline:
                self._give_up(name, f"still {info['statename'].lower()} after {self.timing.longest_start:.0f} s", report)
            clock.pause_blocking(POLL)
        report(StepEnded(name, "ok", f"running, pid {info['pid']}"))

    def _why(self, info: dict[str, Any]) -> str:
        from v6cli.services.supervisord_status import ending

        return "somebody stopped it meanwhile" if info["statename"] in {"STOPPED", "STOPPING"} else ending(info)

    def _give_up(self, name: str, why: str, report: Report) -> None:
        from v6cli.services.logs import last_line

        report(StepEnded(name, "unhealthy", why))
        line = last_line(self.log_files(name))
        raise ServiceUnavailable(
            f"{name} did not start: {why}" + (f"; its last line: {line}" if line else ""), next_step=f"v6 logs --service {name}"
        )

    def _stop_one(self, name: str, report: Report) -> None:
        """Stop a service and prove it gone, with everything it started. Without a supervisor its leftovers are ended."""
        report(StepBegan(name, f"stop {name}"))
        try:
            if self.lives():
                self._await_stop(name)
        except ServiceUnavailable:
            if self.lives():  # else it was killed meanwhile, and what it leaves is ended here
                raise
        self._end_left_over(name)
        report(StepEnded(name, "ok", "stopped"))

    def _await_stop(self, name: str) -> None:
        from v6cli.services import rpc

        try:
            self.ask("stopProcess", name, False)
            deadline = clock.monotonic() + self.timing.longest_stop
            while (info := self.ask("getProcessInfo", name))["statename"] in _ACTIVE:
                if clock.monotonic() >= deadline:
                    raise OutcomeUnknown(f"{name} (pid {info['pid']}) still runs", next_step="v6 services status")
                clock.pause_blocking(POLL)
        except rpc.Fault as fault:
            if fault.code not in {rpc.NOT_RUNNING, rpc.NO_SUCH_SERVICE}:
                raise ServiceUnavailable(f"the supervisor does not stop {name}: {fault}", next_step="v6 services status") from fault

    def _end_left_over(self, name: str | None = None) -> str:
        from v6cli.services import processes

        found = self.left_over(name)
        proof = processes.end(found, self.timing.stop)
        if not proof.gone:
            raise OutcomeUnknown(
                f"process {', '.join(map(str, proof.survivors))} of {name or 'the services'} still runs", next_step="v6 services status"
            )
        return ", ".join(f"{process.name} (pid {process.pid})" for process in found)

    def _await_death(self, within: float) -> bool:
        deadline = clock.monotonic() + within
        while self.lives():
            if clock.monotonic() >= deadline:
                return False
            clock.pause_blocking(POLL)
        return True

    def _end_supervisor(self) -> None:
        """End a supervisor that lives but does not obey. Raises OutcomeUnknown."""
        import re

        from v6cli.services import processes

        found = processes.find(rf"supervisor\.supervisord -c {re.escape(str(self._conf))}$")
        if not processes.end(found, grace=2.0).gone or not self._await_death(5.0):
            raise OutcomeUnknown(
                f"a supervisor of {self.home} lives and cannot be ended", next_step=f"find who holds {self._lifetime} and end it"
            )
