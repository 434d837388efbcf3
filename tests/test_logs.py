"""What processes log, in real processes: shape, modes, rotation, and a home that cannot be written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from v6cli import logs
from v6cli.home import Home

TOP = "import logging, sys, threading\nfrom pathlib import Path\nfrom v6cli import clock, logs\nfrom v6cli.home import Home\nhome = Home(Path(sys.argv[1]))\nlog = logging.getLogger('v6cli.sync')\n"


@pytest.fixture
def home() -> Iterator[Home]:
    folder = Path(tempfile.mkdtemp(prefix="v6-", dir="/tmp"))
    folder.chmod(0o755)
    yield Home(folder)
    shutil.rmtree(folder)


def run(home: Home, program: str, *, ordinary: bool = False, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, where ``ordinary`` without the rights of root, whose interpreter may lie under /root."""
    drop = "import json, logging.handlers, os, tempfile, traceback\nos.getuid() or os.setuid(65534)\n" if ordinary else ""
    done = subprocess.run(
        [sys.executable, "-c", TOP + drop + program, str(home.root)], capture_output=True, text=True, umask=0o022, check=False
    )
    assert done.returncode == status, done.stderr
    return done


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_daemon_writes_one_json_object_a_record(home: Home) -> None:
    run(
        home,
        "logs.as_daemon(home, 'v6-trading')\nlog.info('%s positions, {braces} and <b>tags</b>', 3)\nlog.debug('unheard')\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('two\\nlines')\n",
    )
    first, second = records(home.logs / "v6-trading.log")
    assert (first["level"], first["logger"], first["message"]) == ("INFO", "v6cli.sync", "3 positions, {braces} and <b>tags</b>")
    assert datetime.fromisoformat(first["time"]).utcoffset() == timedelta(0)
    assert "home_time" not in first
    assert second["message"] == "two\nlines"
    assert second["exception"].endswith("ZeroDivisionError: division by zero\n")
    assert (home.logs / "v6-trading.log").stat().st_mode & 0o777 == 0o600
    assert home.logs.stat().st_mode & 0o777 == 0o700


def test_what_a_daemon_does_not_catch_is_logged_and_shown(home: Home) -> None:
    done = run(
        home,
        "logs.as_daemon(home, 'x')\nt = threading.Thread(target=lambda: [][0], name='poller')\nt.start()\nt.join()\nraise SystemError('lost')\n",
        status=1,
    )
    thread, process = records(home.logs / "x.log")
    assert thread["message"] == "poller ended: IndexError: list index out of range"
    assert (process["level"], process["message"]) == ("CRITICAL", "SystemError: lost")
    assert "SystemError: lost" in done.stderr


def test_traces_of_a_daemon_show_no_values_of_variables(home: Home) -> None:
    run(
        home,
        "logs.as_daemon(home, 'x')\ndef connect(word):\n    raise OSError('refused')\ntry:\n    connect('hunter' + '2')\nexcept OSError:\n    log.exception('no')\n",
    )
    assert "hunter2" not in (home.logs / "x.log").read_text()


def test_secrets_are_taken_out_and_a_broken_redactor_withholds_everything(home: Home) -> None:
    run(
        home,
        "logs.redact = lambda text: text.replace('hunter2', '***')\nlogs.as_daemon(home, 'x')\ntry:\n    raise OSError('hunter2')\nexcept OSError:\n    log.exception('with hunter2')\nlogs.redact = lambda text: 1 / 0\nlog.info('hunter2')\n",
    )
    first, second = records(home.logs / "x.log")
    assert first["message"] == "with ***"
    assert first["exception"].endswith("OSError: ***\n")
    assert second["message"].startswith("(withheld")


def test_an_accelerated_home_shows_both_times(home: Home) -> None:
    run(home, "clock.start(60, clock.wall(), clock.wall())\nlogs.as_daemon(home, 'x')\nlog.info('fast')\n")
    assert "home_time" in records(home.logs / "x.log")[0]


def test_rotation_keeps_ten_and_spares_what_the_supervisor_captured(home: Home) -> None:
    home.logs.mkdir()
    captures = [home.logs / "x.out.log", *(home.logs / f"x.out.log.{n}" for n in range(1, 4))]
    for capture in captures:
        capture.write_text("captured\n")
        os.utime(capture, (0, 0))
    run(home, "logs.LONGEST_FILE = 400\nlogs.as_daemon(home, 'x')\nfor n in range(60):\n    log.info('record %03d %s', n, '.' * 80)\n")
    assert all(capture.exists() for capture in captures)
    rotated = list(home.logs.glob("x.2*.log"))
    assert len(rotated) == logs.KEPT
    assert {path.stat().st_mode & 0o777 for path in [*rotated, home.logs / "x.log"]} == {0o600}
    assert "record 059" in (home.logs / "x.log").read_text()


def test_a_command_creates_no_log_before_there_is_something_to_tell(home: Home) -> None:
    run(home, "logs.to_file(home)\nlog.info('looking')\n")
    assert list(home.root.iterdir()) == []
    run(home, "logs.to_file(home)\nlog.warning('stale by %d s', 90)\n")
    (record,) = records(home.log)
    assert (record["level"], record["logger"], record["message"]) == ("WARNING", "v6cli.sync", "stale by 90 s")
    assert home.log.stat().st_mode & 0o777 == 0o600


def test_a_home_that_cannot_be_written_costs_one_note(home: Home) -> None:
    home.root.chmod(0o555)
    done = run(home, "logs.to_file(home, print)\nlog.warning('one')\nlog.error('two')\nprint('looked')\n", ordinary=True)
    assert done.stdout.splitlines()[1:] == ["looked"]
    assert done.stdout.startswith("nothing is logged: ")
    assert done.stderr == ""


def test_a_bug_is_written_down_where_it_can_be(home: Home, tmp_path: Path) -> None:
    program = "try:\n    {}['x']\nexcept KeyError as error:\n    print(logs.bug(%s, error))\n"
    assert run(home, program % "home").stdout.strip() == str(home.log)
    (record,) = records(home.log)
    assert (record["level"], record["message"]) == ("CRITICAL", "KeyError: 'x'")
    assert "Traceback" in record["exception"]


@pytest.mark.parametrize("place", ["None", "home"])
def test_a_bug_without_a_home_goes_to_the_temporary_folder(home: Home, place: str) -> None:
    home.root.chmod(0o555)
    with tempfile.TemporaryDirectory(prefix="v6-", dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        program = f"import os, tempfile\ntempfile.tempdir = {folder!r}\ntry:\n    {{}}['x']\nexcept KeyError as error:\n    print(logs.bug({place}, error))\n"
        where = Path(run(home, program, ordinary=True).stdout.strip())
        assert where.is_relative_to(folder)
        assert where.stat().st_mode & 0o777 == 0o600
        assert where.parent.stat().st_mode & 0o777 == 0o700
        assert records(where)[0]["message"] == "KeyError: 'x'"


def test_setting_up_a_commands_log_imports_little() -> None:
    program = (
        "import sys, v6cli.logs; assert not {'loguru', 'logging', 'traceback', 'tempfile', 'json'} & sys.modules.keys(), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n" + program], check=True)
