"""Root works in somebody else's home as its owner; who is neither root nor the owner is told the line to type."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from v6cli import latch
from v6cli.home import Home

from .others import OWNER, ROOT, STRANGER, becoming, seen_by_all

pytestmark = [pytest.mark.machine, pytest.mark.timeout(120)]
V6 = [sys.executable, "-P", "-m", "v6cli"]


def environment(**more: str) -> dict[str, str]:
    around = {name: value for name, value in os.environ.items() if not name.startswith(("V6_", "SUDO_"))}
    return around | {"COLUMNS": "200", "PYTHONPATH": str(ROOT)} | more


def run(*argv: object, who: list[str] | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    command = [*seen_by_all(), *(who or []), *V6, *map(str, argv)]
    return subprocess.run(
        command, cwd="/", env=environment(**more), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def home(folder: Path) -> Home:
    """A demo home of another user's in which nothing runs."""
    folder.chmod(0o755)
    (folder / "o").mkdir()
    os.chown(folder / "o", OWNER.pw_uid, OWNER.pw_gid)
    made = run("init", folder / "o" / "h", "--profile", "demo", "--port", "1", who=becoming(OWNER.pw_uid, OWNER.pw_gid))
    assert made.returncode == 0, made.stderr
    return Home(folder / "o" / "h")


def of_others(home: Home) -> list[str]:
    """What in the home is not its owner's."""
    return [str(path) for path in (home.root, *home.root.rglob("*")) if path.lstat().st_uid != OWNER.pw_uid]


@pytest.mark.parametrize(("argv", "code"), [
    (("halt", "--reason", "x"), 0),
    (("config", "set", "limits.delta", "150"), 0),
    (("config", "set", "limits.delta", "x"), 78),
    (("resume", "--reason", "x", "--yes"), 77),
    (("close-all",), 69),
    (("emergency", "shutdown", "--yes"), 75),
    (("support-bundle",), 1),
    (("health",), 2),
    (("positions",), 69),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value))  # fmt: skip
def test_what_root_does_in_it_is_done_as_its_owner(home: Home, argv: tuple[str, ...], code: int) -> None:
    done = run("--home", home, *argv)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and of_others(home) == []


def test_the_journal_and_the_halt_name_who_called(home: Home) -> None:
    run("--home", home, "halt")
    run("--home", home, "halt", SUDO_USER="ann")
    rows = json.loads(run("--home", home, "journal", "-o", "json").stdout)["rows"]
    assert [row["user"] for row in rows] == ["ann", "root"]
    assert [mark.who for mark in latch.read(home).marks] == ["root", "ann"]


def test_root_takes_no_privilege_along(home: Home, tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from v6cli import owner; from v6cli.home import Home\n"
        f"secret = os.open('/', os.O_RDONLY); os.set_inheritable(secret, True); owner.become(Home(Path({str(home)!r})))\n"
        "print(os.getresuid(), os.getresgid(), os.getgroups(), os.environ['HOME'], os.environ['USER'], 'TMPDIR' in os.environ)\n"
        "print(sorted(line for line in open('/proc/self/status') if line.startswith(('CapEff', 'CapPrm', 'NoNewPrivs'))))\n"
        "print(os.path.exists(f'/proc/self/fd/{secret}'))"
    )
    command = [*seen_by_all(), sys.executable, "-P", "-c", script]
    done = subprocess.run(command, cwd="/", env=environment(), capture_output=True, text=True, timeout=60, check=True)
    who, kernel, leaks = done.stdout.splitlines()
    user, group = OWNER.pw_uid, OWNER.pw_gid
    assert who == f"{(user,) * 3} {(group,) * 3} {[group]} {OWNER.pw_dir} {OWNER.pw_name} False"
    assert kernel == str(["CapEff:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "NoNewPrivs:\t1\n"])
    assert leaks == "False"


class Asking:
    """Root at a terminal, asked by v6 whether to resume."""

    def __init__(self, home: Home) -> None:
        self.master, slave = pty.openpty()
        argv = ["setsid", "--ctty", *seen_by_all(), *V6, "--home", str(home), "resume", "--reason", "x"]
        self.process = subprocess.Popen(argv, cwd="/", env=environment(), stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.shown = b""
        while b"[y/N]" not in self.shown:
            self.shown += os.read(self.master, 4096)
        (self.child,) = [one for one in psutil.Process(self.process.pid).children() if one.uids().real == OWNER.pw_uid]

    def end(self) -> tuple[int, str]:
        """Exit code, and everything that was shown."""
        code = self.process.wait(20)
        try:
            while part := os.read(self.master, 4096):
                self.shown += part
        except OSError:
            pass
        return code, self.shown.decode()


@pytest.fixture
def asking(home: Home) -> Iterator[Asking]:
    assert run("--home", home, "halt").returncode == 0
    made = Asking(home)
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait()
    os.close(made.master)


def test_an_interrupt_ends_it_in_good_order(asking: Asking, home: Home) -> None:
    os.write(asking.master, b"\x03")
    code, shown = asking.end()
    assert code == 130 and shown.count("interrupted") == 1 and "Traceback" not in shown, shown
    assert latch.read(home).state is latch.TradingState.HALTED and of_others(home) == []


def test_what_is_typed_arrives(asking: Asking, home: Home) -> None:
    os.write(asking.master, b"y\n")
    code, shown = asking.end()
    assert code == 0 and latch.read(home).state is latch.TradingState.ACTIVE, shown


# Goes on as the owner, says which signals arrive, and ends at the word of one of them.
HEARS = """
import os, signal, sys, time
from pathlib import Path
from v6cli import owner
from v6cli.home import Home
owner.become(Home(Path(sys.argv[1])))
signal.signal(signal.SIGINT, lambda *_: print("INT", flush=True))
signal.signal(signal.SIGHUP, lambda *_: print("HUP", flush=True))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print(os.getpid(), flush=True)
while True:
    time.sleep(0.1)  # a signal that comes just before signal.pause() would not end it
"""


class Hearing:
    """Root's process that waits, and its child."""

    def __init__(self, home: Home) -> None:
        self.master, slave = pty.openpty()
        argv = ["setsid", "--ctty", *seen_by_all(), sys.executable, "-P", "-c", HEARS, str(home)]
        self.process = subprocess.Popen(argv, cwd="/", env=environment(), stdin=slave, stdout=subprocess.PIPE)
        os.close(slave)
        assert self.process.stdout is not None
        self.said = self.process.stdout
        self.child = psutil.Process(int(self.said.readline()))


@pytest.fixture
def hearing(home: Home) -> Iterator[Hearing]:
    made = Hearing(home)
    yield made
    made.said.close()
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait()
    os.close(made.master)


@pytest.mark.parametrize("how", [
    lambda hearing: os.write(hearing.master, b"\x03"),
    lambda hearing: hearing.process.send_signal(signal.SIGINT),
    lambda hearing: hearing.child.send_signal(signal.SIGINT),
], ids=["typed", "sent to the one that waits", "sent to the child"])  # fmt: skip
def test_a_signal_arrives_once_and_the_exit_code_comes_back(hearing: Hearing, how: Callable[[Hearing], object]) -> None:
    how(hearing)
    assert hearing.said.readline() == b"INT\n"
    time.sleep(0.3)
    hearing.process.terminate()
    assert hearing.said.read() == b"" and hearing.process.wait(20) == 7


def test_it_dies_with_the_one_that_waits(hearing: Hearing) -> None:
    hearing.process.kill()
    assert hearing.process.wait(20) == -signal.SIGKILL
    deadline = time.monotonic() + 5
    while hearing.child.is_running() and hearing.child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_home_of_roots_own_is_worked_in_as_root(demo_home: Home) -> None:
    assert run("--home", demo_home, "halt").returncode == 0
    assert {path.lstat().st_uid for path in demo_home.root.rglob("*")} == {0}


@pytest.mark.parametrize("argv", [("halt", "--reason", "a b"), ("emergency-stop", "--yes"), ("config", "set", "limits.delta", "1")])
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_stranger_is_told_the_line_to_type(home: Home, argv: tuple[str, ...], mode: int) -> None:
    for path in (home.root, home.config):
        path.chmod(mode)
    home.settings_file.chmod(0o600 | (mode & 0o044))
    done = run("--home", home, *argv, who=becoming(STRANGER, STRANGER))
    lines = [line for line in done.stderr.splitlines() if not line.startswith("home ")]
    assert done.returncode == 77 and lines[0].startswith(f"v6: NOTHING WAS DONE: {home} is nobody's, and you are #{STRANGER}"), done.stderr
    quoted = " ".join(f"'{word}'" if " " in word else word for word in argv)
    assert lines[1] == f"next: sudo -u nobody v6 --home {home} {quoted}"
    assert latch.read(home).state is latch.TradingState.ACTIVE


def test_whom_root_may_not_let_read_v6_halts_by_hand(home: Home) -> None:
    if not seen_by_all():
        pytest.skip("this v6 can be read by everybody")
    command = [*V6, "--home", str(home), "halt"]
    done = subprocess.run(command, cwd="/", env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78 and "who cannot read" in done.stderr
    line = done.stderr.rpartition("to halt: ")[2].split()
    assert line[:4] == ["sudo", "-u", "nobody", "touch"]
    subprocess.run([*becoming(OWNER.pw_uid, OWNER.pw_gid), *line[3:]], check=True)
    assert latch.read(home).state is latch.TradingState.HALTED
