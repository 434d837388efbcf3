"""A real supervisord with small real services: what is asked of it holds also after it was killed, raced or misled."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from v6cli.errors import BadConfiguration, ServiceUnavailable
from v6cli.events import Event, StepEnded, ignore
from v6cli.home import LONGEST_PATH, Home
from v6cli.services import processes
from v6cli.services.catalogue import Service
from v6cli.services.supervisord import Supervisord
from v6cli.services.supervisord_conf import Timing

SLEEPS = "import time\nprint('at work', flush=True)\ntime.sleep(600)\n"
DIES = "import sys\nprint('no gateway at 4002')\nsys.exit(3)\n"
STUBBORN = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(600)\n"
DYNASTY = (
    "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'])\n"
    "time.sleep(600)\n"
)

Host = Callable[..., Supervisord]


@pytest.fixture(params=["home"])
def root(request: pytest.FixtureRequest) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="v6-", dir="/tmp"))
    place = folder / request.param
    place.mkdir()
    yield place
    shutil.rmtree(folder)


@pytest.fixture
def host(root: Path) -> Iterator[Host]:
    """Makes hosts of one home: ``host(a=SLEEPS, b=DIES)`` runs these programs as services a and b, b after a."""
    made: list[Supervisord] = []

    def make(*, stop: int = 3, retries: int = 1, **programs: str) -> Supervisord:
        services, before = [], ()
        for name, program in programs.items():
            script = root / f"{name}.py"
            script.write_text(program)
            services.append(Service(name, (str(script), str(len(program))), after=before))
            before = (*before, name)
        made.append(Supervisord(Home(root), services, command=(sys.executable,), timing=Timing(start=1, stop=stop, retries=retries)))
        return made[-1]

    yield make
    for supervisord in made[-1:]:
        supervisord.shutdown(ignore)


def states(supervisord: Supervisord) -> dict[str, str]:
    return {state.name: state.state for state in supervisord.status()}


def pid_of(supervisord: Supervisord, name: str) -> int:
    (state,) = supervisord.status([name])
    assert state.pid
    return state.pid


def gone(*pids: int) -> bool:
    return processes.verify_gone(pids, within=5).gone


def test_a_home_without_a_supervisor_has_stopped_services_and_says_so_fast(host: Host, root: Path) -> None:
    supervisord = host(a=SLEEPS)
    began = time.perf_counter()
    assert states(supervisord) == {"a": "stopped"}
    assert time.perf_counter() - began < 0.05
    assert not (root / "run").exists()


def test_start_status_restart_stop(host: Host) -> None:
    supervisord = host(a=SLEEPS, b=SLEEPS)
    events: list[Event] = []
    supervisord.start([], events.append)
    assert [event.step for event in events if isinstance(event, StepEnded)] == ["a", "b"]
    first, second = supervisord.status()
    assert (first.name, first.state, first.last_line, first.restarts) == ("a", "running", "at work", 0)
    assert first.uptime is not None and first.uptime < 30
    supervisord.restart(["a"], ignore)
    assert gone(first.pid or 0)
    assert pid_of(supervisord, "b") == second.pid
    assert supervisord.status(["a"])[0].restarts == 0, "a restart by hand is no crash"
    supervisord.stop(["b"], ignore)
    assert states(supervisord) == {"a": "running", "b": "stopped"}
    assert gone(second.pid or 0)


def test_starting_twice_changes_nothing(host: Host) -> None:
    supervisord = host(a=SLEEPS)
    supervisord.start([], ignore)
    before = pid_of(supervisord, "a"), supervisord.ask("getPID")
    supervisord.start([], ignore)
    assert (pid_of(supervisord, "a"), supervisord.ask("getPID")) == before


def test_two_starters_at_once_make_one_supervisor(host: Host, root: Path) -> None:
    hosts = [host(a=SLEEPS), host(a=SLEEPS)]
    threads = [threading.Thread(target=each.start, args=([], ignore)) for each in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(processes.find(rf"supervisor\.supervisord -c {root}/run/supervisord\.conf")) == 1
    assert len(hosts[0].left_over("a")) == 1


def test_shutdown_leaves_nothing(host: Host, root: Path) -> None:
    supervisord = host(a=SLEEPS, b=SLEEPS)
    supervisord.start([], ignore)
    pids = [supervisord.ask("getPID"), pid_of(supervisord, "a"), pid_of(supervisord, "b")]
    supervisord.shutdown(ignore)
    assert gone(*pids)
    assert not supervisord.socket.exists()
    assert states(supervisord) == {"a": "stopped", "b": "stopped"}
    supervisord.shutdown(ignore)


def test_a_killed_supervisor_leaves_running_services_that_are_seen_and_then_replaced(host: Host) -> None:
    supervisord = host(a=SLEEPS)
    supervisord.start([], ignore)
    supervisor, orphan = supervisord.ask("getPID"), pid_of(supervisord, "a")
    os.kill(supervisor, signal.SIGKILL)
    assert gone(supervisor)
    (state,) = supervisord.status()
    assert (state.state, state.pid) == ("running", orphan), "a service without a supervisor still acts, and must not be called stopped"
    assert "killed" in state.detail
    supervisord.start([], ignore)
    assert gone(orphan)
    assert len(supervisord.left_over()) == 1
    assert supervisord.ask("getPID") != supervisor


def test_a_service_of_a_killed_supervisor_can_be_stopped(host: Host) -> None:
    supervisord = host(a=SLEEPS, b=SLEEPS)
    supervisord.start([], ignore)
    supervisor, first, second = supervisord.ask("getPID"), pid_of(supervisord, "a"), pid_of(supervisord, "b")
    os.kill(supervisor, signal.SIGKILL)
    assert gone(supervisor)
    supervisord.stop(["a"], ignore)
    assert gone(first)
    assert psutil.pid_exists(second), "only what was named is stopped"


def test_a_supervisor_whose_socket_was_deleted_is_replaced(host: Host) -> None:
    supervisord = host(a=SLEEPS)
    supervisord.start([], ignore)
    before = supervisord.ask("getPID"), pid_of(supervisord, "a")
    supervisord.socket.unlink()
    assert supervisord.status()[0].state == "running"
    supervisord.start([], ignore)
    assert gone(*before)
    assert supervisord.status()[0].detail == ""


def test_a_supervisor_that_hangs_is_ended_before_what_it_would_start_again(host: Host) -> None:
    supervisord = host(a=SLEEPS, b=SLEEPS)
    supervisord.start([], ignore)
    supervisor, first, second = supervisord.ask("getPID"), pid_of(supervisord, "a"), pid_of(supervisord, "b")
    os.kill(supervisor, signal.SIGSTOP)
    supervisord.stop(["a"], ignore)
    assert gone(supervisor, first)
    assert psutil.pid_exists(second)


def test_a_supervisor_that_was_made_to_start_over_is_still_the_only_one(host: Host) -> None:
    supervisord = host(a=SLEEPS)
    supervisord.start([], ignore)
    supervisor, service = supervisord.ask("getPID"), pid_of(supervisord, "a")
    os.kill(supervisor, signal.SIGHUP)
    assert gone(service)
    supervisord.start([], ignore)
    assert supervisord.ask("getPID") == supervisor
    assert len(supervisord.left_over("a")) == 1
    supervisord.shutdown(ignore)
    assert gone(supervisor)


def test_a_stopped_service_takes_its_children_with_it(host: Host) -> None:
    supervisord = host(a=DYNASTY)
    supervisord.start([], ignore)
    deadline = time.monotonic() + 5
    while len(family := supervisord.left_over("a")) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(family) == 2
    supervisord.stop([], ignore)
    assert gone(*(process.pid for process in family))


def test_a_service_that_ignores_its_end_is_killed(host: Host) -> None:
    supervisord = host(a=STUBBORN, stop=1)
    supervisord.start([], ignore)
    pid = pid_of(supervisord, "a")
    supervisord.stop([], ignore)
    assert gone(pid)


def test_a_service_that_dies_at_once_is_named_with_its_last_line(host: Host) -> None:
    supervisord = host(a=SLEEPS, b=DIES, c=SLEEPS)
    with pytest.raises(ServiceUnavailable) as failure:
        supervisord.start([], ignore)
    assert failure.value.message.startswith("b did not start: ")
    assert failure.value.message.endswith("its last line: no gateway at 4002")
    assert failure.value.next_step == "v6 logs --service b"
    assert states(supervisord) == {"a": "running", "b": "failed", "c": "stopped"}


def test_a_program_that_is_missing_is_named(root: Path) -> None:
    supervisord = Supervisord(Home(root), [Service("a", ("sync",))], command=(str(root / "nothing"),), timing=Timing(start=1, retries=0))
    try:
        with pytest.raises(ServiceUnavailable, match="a did not start"):
            supervisord.start([], ignore)
    finally:
        supervisord.shutdown(ignore)


def test_crashes_are_counted_and_starts_by_hand_are_not(host: Host) -> None:
    supervisord = host(a=SLEEPS)
    supervisord.start([], ignore)
    for count in (1, 2):
        victim = pid_of(supervisord, "a")
        os.kill(victim, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while (state := supervisord.status()[0]).pid in {victim, None} and time.monotonic() < deadline:
            time.sleep(0.05)
        assert state.restarts == count
    supervisord.restart([], ignore)
    assert supervisord.status()[0].restarts == 0


def test_a_changed_service_is_reread_and_a_removed_one_ends(host: Host, root: Path) -> None:
    before = host(a=SLEEPS, b=SLEEPS, c=SLEEPS)
    before.start([], ignore)
    supervisor, first, second, third = (before.ask("getPID"), *(pid_of(before, name) for name in "abc"))
    after = host(a=SLEEPS, b="# new\n" + SLEEPS, d=SLEEPS)
    after.start(["d"], ignore)
    assert after.ask("getPID") == supervisor
    assert pid_of(after, "a") == first, "what did not change goes on"
    assert gone(second, third)
    assert states(after) == {"a": "running", "b": "running", "d": "running"}


@pytest.mark.parametrize("root", ["100% a home", "it's %s 50%%", "x;y#z"], indirect=True)
def test_a_home_with_an_odd_path_works(host: Host, root: Path) -> None:
    supervisord = host(a=SLEEPS)
    supervisord.start([], ignore)
    (state,) = supervisord.status()
    assert (state.state, state.last_line) == ("running", "at work")
    assert [path.name for path in (root / "logs").iterdir() if path.stat().st_mode & 0o777 != 0o600] == []
    assert supervisord.socket.stat().st_mode & 0o777 == 0o600
    os.kill(supervisord.ask("getPID"), signal.SIGKILL)
    supervisord.start([], ignore)
    assert gone(state.pid or 0)


@pytest.mark.parametrize("root", ["a ;b", "a #b", "a\nb", "%(here)s"], indirect=True)
def test_a_path_that_supervisord_would_cut_is_refused(host: Host) -> None:
    with pytest.raises(BadConfiguration):
        host(a=SLEEPS).start([], ignore)


def test_the_longest_home_works(host: Host, root: Path) -> None:
    long = root / ("x" * (LONGEST_PATH - len(str(root)) - 1))
    long.mkdir()
    supervisord = Supervisord(Home(long), host(a=SLEEPS).services, command=(sys.executable,), timing=Timing(start=1))
    try:
        supervisord.start([], ignore)
        assert states(supervisord) == {"a": "running"}
    finally:
        supervisord.shutdown(ignore)


def test_interrupting_the_terminal_ends_no_service(host: Host, root: Path) -> None:
    supervisord = host(a=SLEEPS)
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom v6cli.events import ignore\nfrom v6cli.home import LONGEST_PATH, Home\n"
        "from v6cli.services.catalogue import Service\nfrom v6cli.services.supervisord import Supervisord\n"
        "from v6cli.services.supervisord_conf import Timing\n"
        f"service = Service('a', {supervisord.services[0].argv!r})\n"
        f"Supervisord(Home(Path({str(root)!r})), [service], command=(sys.executable,), timing=Timing(start=1, stop=3, retries=1)).start([], ignore)\n"
        "print('up', flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as operator:
        assert operator.stdout is not None
        assert operator.stdout.readline() == "up\n"
        service, supervisor = pid_of(supervisord, "a"), supervisord.ask("getPID")
        os.killpg(operator.pid, signal.SIGINT)
        operator.wait()
    assert os.getsid(supervisor) != operator.pid
    assert os.getsid(service) != operator.pid
    time.sleep(0.3)
    assert (pid_of(supervisord, "a"), supervisord.ask("getPID")) == (service, supervisor)


def test_settings_of_a_shell_do_not_reach_a_service(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V6_ACCOUNT", "U1234567")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "relative", str(Path.cwd())]))
    supervisord = host(
        a="import os, time\nprint([os.environ.get(name) for name in ('V6_ACCOUNT', 'PYTHONPATH')], flush=True)\ntime.sleep(600)\n"
    )
    supervisord.start([], ignore)
    assert supervisord.status()[0].last_line == str([None, str(Path.cwd())])


def test_a_start_from_within_a_service_spares_the_starter(host: Host, root: Path) -> None:
    """A service may run `v6 services start`: what carries the mark of a killed supervisor then includes the starter itself."""
    supervisord = host(a=SLEEPS)
    program = (
        "import sys\nfrom pathlib import Path\nfrom v6cli.home import LONGEST_PATH, Home\nfrom v6cli.services.supervisord import Supervisord\n"
        f"print(len(Supervisord(Home(Path({str(root)!r})), []).left_over()))\n"
    )
    marked = {**os.environ, "SUPERVISOR_SERVER_URL": f"unix://{supervisord.socket}", "SUPERVISOR_PROCESS_NAME": "a"}
    assert subprocess.run([sys.executable, "-c", program], env=marked, capture_output=True, text=True, check=True).stdout == "0\n"
