from __future__ import annotations

import os
import re
import shlex
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from v6cli import latch
from v6cli.errors import BadConfiguration, CannotWrite, V6Error
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.latch import TradingState
from v6cli.state import alerts, database, journal
from v6cli.state.database import State, open_read_only, open_state
from v6cli.state.errors import StateCorrupt, StateMissing

from ..conftest import ROOT, V6, free_port

ORDINARY_USER = 65534


def as_ordinary_user(code: str, *arguments: str) -> str:
    """What the code prints when nobody in particular runs it; root ignores modes and would prove nothing."""
    drop = f"import os, sys\nif os.geteuid() == 0:\n    os.setgid({ORDINARY_USER})\n    os.setuid({ORDINARY_USER})\n"
    # The modules are loaded before the drop: a checkout under /root is closed to others.
    imports = "import pathlib\nfrom v6cli.home import Home\nfrom v6cli.state import database, journal, alerts, runs, mirror\nfrom v6cli.errors import *\nimport shutil, tempfile\n"
    found = subprocess.run(
        [sys.executable, "-c", imports + drop + textwrap.dedent(code), *arguments], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


def test_a_new_file_is_private_durable_and_current(home: Home) -> None:
    old = os.umask(0)
    try:
        with open_state(home) as state:
            assert state.row("PRAGMA journal_mode") == ("wal",)
            assert state.row("PRAGMA synchronous") == (2,)
            assert state.row("PRAGMA foreign_keys") == (1,)
            assert state.row("PRAGMA user_version") == (database.SCHEMA_VERSION,)
            assert state.row("PRAGMA integrity_check") == ("ok",)
            journal.begin(state, "r1", "halt", ["halt"])
            assert modes(home.state_folder) == {"v6.sqlite": 0o600, "v6.sqlite-wal": 0o600, "v6.sqlite-shm": 0o600}
    finally:
        os.umask(old)
    assert home.state_folder.stat().st_mode & 0o777 == 0o700


def test_a_file_left_open_to_others_is_closed_to_them(home: Home) -> None:
    open_state(home).close()
    home.state.chmod(0o644)
    open_state(home).close()
    assert modes(home.state_folder)["v6.sqlite"] == 0o600


def test_schema_version_counts_the_migrations() -> None:
    assert len(database.migrations()) == database.SCHEMA_VERSION


def test_an_empty_file_is_migrated(home: Home) -> None:
    home.state_folder.mkdir(parents=True)
    home.state.touch()
    with open_state(home) as state:
        assert journal.entries(state) == []


def test_who_cannot_open_what_lies_in_the_file_s_place_is_shown_it(home: Home) -> None:
    home.state.mkdir(parents=True)
    for opened in (open_state, open_read_only):
        with pytest.raises(V6Error, match=re.escape(str(home.state))) as refused, opened(home) as state:
            journal.entries(state)
        assert refused.value.next_step == f"ls -ld {home.state}"


@pytest.fixture
def newer_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema of a later v6: one more table."""
    later = [*database.migrations(), ("CREATE TABLE later (n INTEGER) STRICT", "INSERT INTO later VALUES (7)")]
    monkeypatch.setattr(database, "SCHEMA_VERSION", len(later))
    monkeypatch.setattr(database, "migrations", lambda: later)


def test_an_older_file_is_migrated_and_keeps_its_rows(home: Home, request: pytest.FixtureRequest) -> None:
    with open_state(home) as state:
        entry = journal.begin(state, "r1", "halt", ["halt"])
    request.getfixturevalue("newer_schema")
    with open_state(home) as state:
        assert state.row("SELECT n FROM later") == (7,)
        assert journal.entries(state) == [entry]
    with open_state(home) as state:
        assert state.rows("SELECT n FROM later") == [(7,)]


def test_looking_at_an_older_file_migrates_a_copy(home: Home, request: pytest.FixtureRequest) -> None:
    with open_state(home) as state:
        entry = journal.begin(state, "r1", "halt", ["halt"])
    before = home.state.read_bytes()
    request.getfixturevalue("newer_schema")
    with open_read_only(home) as state:
        assert state.row("SELECT n FROM later") == (7,)
        assert journal.entries(state) == [entry]
    assert home.state.read_bytes() == before


def test_a_migration_that_fails_leaves_the_old_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    open_state(home).close()
    broken = [*database.migrations(), ("CREATE TABLE later (n INTEGER)", "CREATE nonsense")]
    monkeypatch.setattr(database, "SCHEMA_VERSION", len(broken))
    monkeypatch.setattr(database, "migrations", lambda: broken)
    with pytest.raises(sqlite3.OperationalError):
        open_state(home)
    monkeypatch.undo()
    with open_state(home) as state:
        assert state.row("SELECT count(*) FROM sqlite_master WHERE name = 'later'") == (0,)


@pytest.mark.parametrize("opened", [open_state, open_read_only])
def test_a_file_of_a_newer_v6_is_refused(home: Home, opened: object) -> None:
    with open_state(home) as state:
        state.write("PRAGMA user_version = 99")
    with pytest.raises(BadConfiguration, match="newer v6"):
        opened(home)  # type: ignore[operator]


def test_a_missing_file_says_so_and_is_not_made(home: Home) -> None:
    with pytest.raises(StateMissing, match="nothing recorded yet") as caught:
        open_read_only(home)
    assert caught.value.next_step == "v6 sync --force"
    assert caught.value.exit_code == 69
    assert not home.state_folder.exists()


@pytest.mark.parametrize("opened", [open_state, open_read_only])
def test_a_file_that_is_no_sqlite_is_corrupt(home: Home, opened: object) -> None:
    home.state_folder.mkdir(parents=True)
    home.state.write_bytes(b"not a database, " * 500)
    with pytest.raises(StateCorrupt, match=r"v6\.sqlite is damaged"):
        opened(home)  # type: ignore[operator]


@pytest.mark.parametrize(
    "argv", [("positions",), ("alerts", "list"), ("journal",), ("sync", "--force"), ("services", "start")], ids=" ".join
)
def test_what_a_damaged_file_calls_for_can_be_typed_as_it_is(v6, folder: Path, argv: tuple[str, ...]) -> None:
    home = new_home.make(folder / "my home", "demo", port=free_port())
    home.state.write_bytes(b"not a database, " * 500)
    told = v6("--home", home, *argv, check=69)
    assert f"the state file {home.state} is damaged" in told.stderr
    line = told.stderr.splitlines()[-1].removeprefix("next: ")
    v6_here = f'v6() {{ {shlex.join(V6)} "$@"; }}\n'
    subprocess.run(["sh", "-c", v6_here + line], check=True, cwd=ROOT, capture_output=True)
    assert (home.state_folder / "damaged" / "v6.sqlite").exists() and not home.state.exists()
    v6("--home", home, "config", "set", "limits.delta", "150", check=0)
    assert "config set" in v6("--home", home, "journal", check=0).stdout
    assert latch.read(home).state is TradingState.ACTIVE, "the latch beside it stays"


def test_damaged_pages_are_corrupt_not_a_traceback(home: Home) -> None:
    with open_state(home) as state:
        for number in range(200):
            journal.begin(state, f"r{number}", "halt", ["halt"] * 50)
    with home.state.open("r+b") as file:
        file.seek(4096 * 2)
        file.write(b"\xff" * (home.state.stat().st_size - 4096 * 2))
    with pytest.raises(StateCorrupt), open_read_only(home) as state:
        journal.entries(state, limit=500)


def test_a_state_opened_to_look_refuses_to_write(home: Home) -> None:
    open_state(home).close()
    with open_read_only(home) as state:
        with pytest.raises(CannotWrite, match="to look"):
            state.write("DELETE FROM journal")
        with pytest.raises(CannotWrite), state.transaction():
            pass
        with pytest.raises(CannotWrite):
            journal.begin(state, "r1", "halt", [])


def test_looking_sees_what_a_writer_has_not_folded_in_yet(home: Home, state: State) -> None:
    entry = journal.begin(state, "r1", "halt", [])
    with open_read_only(home) as looking:
        assert journal.entries(looking) == [entry]


def closed_home(home: Home) -> None:
    """Everyone may read, nobody may write."""
    for path in (home.root, home.root / "data", home.state_folder):
        path.chmod(0o555)
    for path in home.state_folder.iterdir():
        path.chmod(0o444)


LOOK = """
with database.open_read_only(Home(pathlib.Path(sys.argv[1]))) as state:
    print([entry.command for entry in journal.entries(state)])
"""


def test_a_read_only_folder_still_answers(home: Home) -> None:
    with open_state(home) as state:
        journal.begin(state, "r1", "halt", [])
    assert "v6.sqlite-wal" not in modes(home.state_folder)
    closed_home(home)
    assert as_ordinary_user(LOOK, str(home.root)) == "['halt']"
    assert set(modes(home.state_folder)) == {"v6.sqlite"}


def test_a_read_only_folder_with_the_wal_of_a_dead_writer_still_answers(home: Home) -> None:
    died = f"import os, pathlib\nfrom v6cli.home import Home\nfrom v6cli.state import database, journal\nstate = database.open_state(Home(pathlib.Path({str(home.root)!r})))\njournal.begin(state, 'r1', 'halt', [])\nos._exit(0)\n"
    subprocess.run([sys.executable, "-c", died], check=True)
    home.state.with_name("v6.sqlite-shm").unlink()
    assert home.state.with_name("v6.sqlite-wal").stat().st_size > 0
    closed_home(home)
    assert as_ordinary_user(LOOK, str(home.root)) == "['halt']"
    assert set(modes(home.state_folder)) == {"v6.sqlite", "v6.sqlite-wal"}


def test_writing_in_a_read_only_folder_names_the_file(home: Home) -> None:
    open_state(home).close()
    closed_home(home)
    code = """
    try:
        state = database.open_state(Home(pathlib.Path(sys.argv[1])))
        journal.begin(state, "r1", "halt", [])
    except CannotWrite as error:
        print(error.exit_code, error.message)
    """
    said = as_ordinary_user(code, str(home.root))
    assert said.startswith("74 cannot write ")
    assert "v6.sqlite" in said


def test_a_block_that_fails_writes_nothing(state: State) -> None:
    with pytest.raises(ZeroDivisionError), state.transaction():
        journal.begin(state, "r1", "halt", [])
        _ = 1 / 0
    assert journal.entries(state) == []


def test_an_inner_block_may_fail_alone(state: State) -> None:
    with state.transaction():
        kept = journal.begin(state, "r1", "halt", [])
        with pytest.raises(ZeroDivisionError), state.transaction():
            journal.begin(state, "r2", "resume", [])
            _ = 1 / 0
    assert journal.entries(state) == [kept]


def test_threads_take_turns(state: State) -> None:
    inside, order = threading.Event(), []

    def second() -> None:
        inside.wait()
        with state.transaction():
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with pytest.raises(ZeroDivisionError), state.transaction():
        journal.begin(state, "r1", "halt", [])
        inside.set()
        thread.join(0.1)
        order.append("first")
        _ = 1 / 0
    thread.join()
    assert order == ["first", "second"]
    assert journal.entries(state) == []


@pytest.mark.parametrize("doing", ["BEGIN EXCLUSIVE", "BEGIN"], ids=["writes", "reads"])
def test_opening_waits_for_whoever_makes_the_file(home: Home, doing: str) -> None:
    home.state_folder.mkdir(parents=True)
    maker = sqlite3.connect(home.state, isolation_level=None, check_same_thread=False)
    maker.execute("CREATE TABLE t (n)")
    maker.execute(doing)
    maker.execute("SELECT * FROM t").fetchall()
    end = threading.Timer(0.2, lambda: maker.execute("COMMIT"))
    end.start()
    with open_state(home) as state:
        assert state.row("PRAGMA journal_mode") == ("wal",)
    end.join()
    maker.close()


RAISE_OFTEN = """
import pathlib, sys
from v6cli.home import Home
from v6cli.models import Alert, Severity
from v6cli.state import alerts, database
with database.open_state(Home(pathlib.Path(sys.argv[1]))) as state:
    for _ in range(25):
        alerts.raise_alert(state, Alert("lag", Severity.WARNING, "the sync lags"))
"""


def test_processes_that_make_the_file_at_once_lose_nothing(home: Home) -> None:
    children = [subprocess.Popen([sys.executable, "-c", RAISE_OFTEN, str(home.root)]) for _ in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    with open_read_only(home) as state:
        assert [alert.count for alert in alerts.open_alerts(state)] == [75]


def test_a_lock_that_is_kept_too_long_is_named(home: Home, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    with open_state(home) as other, state.transaction(), pytest.raises(CannotWrite, match="locked"):
        journal.begin(other, "r1", "halt", [])


def test_a_copy_is_one_private_consistent_file(home: Home, state: State) -> None:
    entry = journal.begin(state, "r1", "halt", [])
    copied = Home(home.root / "copied")
    state.copy_to(copied.state)
    assert modes(copied.state_folder) == {"v6.sqlite": 0o600}
    assert copied.state.read_bytes()[18:20] == bytes([1, 1]), "a file whose header says WAL cannot be read in a closed folder"
    with open_read_only(copied) as copy:
        assert journal.entries(copy) == [entry]
    with pytest.raises(CannotWrite, match="exists already"):
        state.copy_to(copied.state)


@pytest.mark.machine
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_is_said_and_undone(home: Home) -> None:
    home.root.joinpath("data").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k,mode=700", "tmpfs", str(home.root / "data")], check=True)
    try:
        with open_state(home) as state:
            written = 0
            with pytest.raises(CannotWrite, match=r"cannot write .*v6\.sqlite.*full|I/O") as caught:
                for written in range(1000):
                    journal.begin(state, f"r{written}", "halt", ["x" * 2000])
            assert caught.value.exit_code == 74
            assert len(journal.entries(state, limit=1000)) == written
            assert state.row("PRAGMA integrity_check") == ("ok",)
            with pytest.raises(CannotWrite), state.transaction():
                for number in range(1000):
                    journal.begin(state, f"s{number}", "halt", ["x" * 2000])
            assert len(journal.entries(state, limit=1000)) == written
    finally:
        subprocess.run(["umount", "-l", str(home.root / "data")], check=True)


def test_looking_at_the_mirror_loads_nothing_heavy() -> None:
    code = "import sys\nfrom v6cli.state import database, mirror\nprint(sorted({'asyncio', 'dataclasses', 'deltalake', 'duckdb', 'arro3', 'logging', 'tempfile', 'v6cli.locks', 'v6cli.lake'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
