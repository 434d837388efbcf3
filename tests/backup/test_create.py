"""What a backup holds, what it leaves behind when it fails, and that other programs read it."""

from __future__ import annotations

import json
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from v6cli import events, latch, locks, settings
from v6cli.backup import create, extract, scratch, verify
from v6cli.errors import CannotWrite, Refused, Unavailable
from v6cli.home import Home
from v6cli.lake import contents, durability, reader, tables
from v6cli.lake.schemas import SYNC_RUNS, TABLES
from v6cli.lake.writer import Writer
from v6cli.latch import TradingState

from ..lake.writing import picture
from .conftest import back_up, everything, foreign, no_file_to_read


def taken_out(backup: create.Backup, into: Path) -> Home:
    extract.extract(backup.path, into, events.ignore)
    return Home(into)


def test_what_is_taken_out_is_the_lake_at_the_versions_that_the_last_sync_named(home: Home, folder: Path, batch) -> None:
    before = picture(home.lake)
    named = tables.pin(home.lake).versions
    foreign(home.lake / "positions-elsewhere", [1])
    backup = back_up(home)
    Writer(home.lake).commit(batch(6))
    copy = taken_out(backup, folder / "out")
    assert picture(copy.lake) == before
    assert reader.readable(copy.lake) == []
    for name in TABLES:
        assert tables.open_table(copy.lake, name).version() == named.get(name, tables.open_table(home.lake, SYNC_RUNS).version() - 1)
    assert {table.name for table in backup.manifest.tables} == {*TABLES, "chains/spy", "positions-elsewhere"}
    assert {table.name: table.known for table in backup.manifest.tables}["chains/spy"] is False
    # and the copy is a lake that a sync can write to
    Writer(copy.lake).commit(batch(7))
    assert reader.last_run(copy.lake).run == "r7"


def test_a_commit_that_no_sync_named_is_not_in_it(home: Home, folder: Path, batch) -> None:
    from v6cli.lake import handles

    before = picture(home.lake)
    held = handles.Handles(home.lake)
    held.refresh()
    held.put("positions", [])
    copy = taken_out(back_up(home), folder / "out")
    assert picture(copy.lake) == before


def test_a_table_is_taken_from_its_checkpoint_on(home: Home, folder: Path, batch) -> None:
    writer = Writer(home.lake)
    for number in range(6, 30):
        writer.commit(batch(number, size=3))
    assert list((home.lake / "positions" / "_delta_log").glob("*.checkpoint.parquet"))
    before = picture(home.lake)
    backup = back_up(home)
    copy = taken_out(backup, folder / "out")
    assert picture(copy.lake) == before
    commits = list((copy.lake / "positions" / "_delta_log").glob("*.json"))
    assert len(commits) <= 20
    with_files = {file.path for file in backup.manifest.files}
    assert not any("_last_checkpoint" in path for path in with_files)
    assert len([path for path in with_files if path.startswith("data/lake/positions/part")]) == 1


def test_settings_state_and_latch_are_in_it_and_secrets_are_not(home: Home, folder: Path) -> None:
    (home.config / "strategies").mkdir()
    (home.config / "strategies" / "condor.toml").write_text("wings = 5\n")
    (home.config / "alerts.toml").write_text('[apprise]\ntoken = "xyz"\n')
    (home.config / "hook.toml").write_text('url = "https://me:hunter2@example.org/"\n')
    (home.config / "backup.key").write_text("AGE-SECRET-KEY-1")
    (home.config / "blob").write_bytes(b"\xff\x00")
    (home.config / "link").symlink_to("/etc/passwd")
    latch.tighten(home, TradingState.HALTED, "test", "me")
    (home.latch / "permit-1").write_text("{}")
    backup = back_up(home)
    copy = taken_out(backup, folder / "out")
    assert everything(copy.config).keys() == {"v6.toml", "strategies/condor.toml"}
    assert copy.settings_file.read_bytes() == home.settings_file.read_bytes()
    assert [mark.reason for mark in latch.read(copy).marks] == ["test"]
    assert not (copy.latch / "permit-1").exists() and not copy.latch_ballast.exists()
    assert backup.manifest.trading_state == "HALTED"
    left_out = {one.what: one.why for one in backup.manifest.left_out}
    assert left_out.keys() == {"config/alerts.toml", "config/backup.key", "config/blob", "config/hook.toml", "config/link"}
    assert "apprise.token" in left_out["config/alerts.toml"] and not backup.manifest.lost
    whole = back_up(home, include_secrets=True)
    assert everything(taken_out(whole, folder / "whole").config)["backup.key"] == b"AGE-SECRET-KEY-1"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('[ib]\nhost = "h"\n# password = "hunter2"\n', "line 3"),
        ('host = "h"  # token = "xyz"\n', "line 1"),
        ('[credentials]\ntws = "hunter2"\n', "credentials.tws"),
        ('tokens = { bot = "xyz" }\n', "tokens.bot"),
        ('a = [[{ password = "hunter2" }]]\n', "a.password"),
        ("[telegram]\ntoken = 12345\n", "telegram.token"),
        ("pins = 1\npasswords = [1234, 5.5]\n", "passwords"),
        ("# token = 12345\n", "line 1"),
        ("use_token = true\n", ""),
        ('# the password is not here, nor a token = of any kind\nkey_file = "/k"  # password_file = "/p"\n', ""),
    ],
)
def test_a_secret_is_found_in_comments_and_below_the_name_that_tells_it(home: Home, text: str, where: str) -> None:
    check_left_out(home, "mine.toml", text, where)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("user: ann\npassword:\n  hunter2\n", "line 2"),
        ("'api-key' :\n\n    hunter2\n", "line 1"),
        ("bots:\n  - token:\n      hunter2\n", "line 2"),
        ("tokens:\n- hunter2\n", "line 1"),
        ("secrets:\n  db: hunter2\n", "line 1"),
        ("# password:\n#   hunter2\n", "line 1"),
        ('{\n"password":\n"hunter2"\n}\n', "line 2"),
        ("password:\nuser: ann\n", ""),
        ("a:\n  - password:\n    user: ann\n  - 5\n", ""),
        ("# here goes no password:\n# it is asked for\nlimit:\n  5\npassword:\n", ""),
    ],
)
def test_a_secret_is_found_on_the_line_after_its_key(home: Home, text: str, where: str) -> None:
    check_left_out(home, "mine.yaml", text, where)


def check_left_out(home: Home, name: str, text: str, where: str) -> None:
    """A file of settings is no part of a backup where it holds a secret, and alone for that."""
    (home.config / name).write_text(text)
    left_out = {one.what: one.why for one in back_up(home).manifest.left_out}
    assert left_out == ({f"config/{name}": f"it holds a secret: {where}"} if where else {})


def test_strays_are_named_and_what_belongs_to_v6_alone_is_not(home: Home) -> None:
    (home.lake / "notes.txt").write_text("mine")
    (home.lake / ".broken" / "x").mkdir(parents=True)
    (home.lake / "elsewhere").symlink_to("/etc")
    backup = back_up(home)
    assert backup.manifest.strays == ["elsewhere", "notes.txt"]
    assert not any(".broken" in file.path or ".writer.lock" in file.path for file in backup.manifest.files)


def test_a_broken_table_is_named_and_the_rest_is_backed_up(home: Home, folder: Path) -> None:
    next(path for path in (home.lake / "executions").rglob("*.parquet")).unlink()
    (home.lake / "chains" / "spy" / "_delta_log" / f"{0:020}.json").write_bytes(b"{")
    backup = back_up(home)
    assert {one.what for one in backup.manifest.lost} == {"data/lake/executions", "data/lake/chains/spy"}
    with pytest.raises(Unavailable, match="executions"):
        create.check_whole(backup)
    found = verify.verify(backup.path, folder, events.ignore)
    assert found.code == 1 and "executions" in str(found.findings)
    assert {table.name for table in backup.manifest.tables} == TABLES.keys() - {"executions"}


@pytest.mark.parametrize("name", ["positions", SYNC_RUNS])
def test_a_table_whose_commits_were_emptied_is_damaged_and_not_a_smaller_one(home: Home, name: str) -> None:
    """deltalake reads an empty file of the log as a commit without actions, and shows the table as it was before."""
    durability.commit_file(home.lake / name, durability.last_commit(home.lake / name) or 0).write_bytes(b"")
    backup = back_up(home)
    assert {one.what: "is empty" in one.why for one in backup.manifest.lost} == {f"data/lake/{name}": True}
    with pytest.raises(Unavailable, match=name):
        create.check_whole(backup)


def test_a_partition_that_leads_out_of_the_lake_is_not_followed(home: Home, folder: Path) -> None:
    partition = next((home.lake / "executions").glob("date=*"))
    shutil.move(partition, folder / "away")
    partition.symlink_to(folder / "away")
    assert {one.what for one in back_up(home).manifest.lost} == {"data/lake/executions"}


def test_other_programs_read_it(home: Home, folder: Path) -> None:
    backup = back_up(home)
    listed = ["manifest.json", *(file.path for file in backup.manifest.files), "SHA256SUMS"]
    gnu = subprocess.run(["tar", "-tzf", backup.path], capture_output=True, text=True, check=True)
    assert gnu.stderr == ""
    assert [name for name in gnu.stdout.splitlines() if not name.endswith("/")] == [f"backup/{path}" for path in listed]
    with tarfile.open(backup.path) as tar:
        assert [member.name for member in tar if member.isfile()] == [f"backup/{path}" for path in listed]
    subprocess.run(["tar", "-xzf", backup.path, "-C", folder], check=True)
    subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS"], cwd=folder / "backup", check=True)
    subprocess.run(["sha256sum", "--quiet", "--strict", "-c", f"{backup.path.name}.sha256"], cwd=home.backups, check=True)
    subprocess.run(["gzip", "-t", backup.path], check=True)
    own = taken_out(backup, folder / "own")
    taken = everything(folder / "backup")
    assert {path: content for path, content in taken.items() if path not in {"manifest.json", "SHA256SUMS"}} == everything(own.root)
    text = json.loads(taken["manifest.json"])
    assert [entry["path"] for entry in text["files"]] == listed[1:-1]
    for path in [own.root, *own.root.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


@pytest.mark.machine
def test_bsdtar_lists_it_alike(home: Home) -> None:
    backup = back_up(home)
    lists = [
        subprocess.run([*argv, backup.path], capture_output=True, text=True, check=True).stdout
        for argv in (("tar", "-tzf"), ("bsdtar", "-tf"))
    ]
    assert lists[0] == lists[1]


def test_long_names_and_other_letters_are_read_alike_by_tar(folder: Path) -> None:
    from v6cli.backup import tar

    paths = [
        "a" * 100,
        "b/" * 70 + "c" * 90,
        "d" * 120,
        "é/ü",
        "x/" * 200 + "y",
        "p" * 99 + "/" + "q" * 100,
        "k" * 155 + "/" + "l" * 100,
        "m" * 156 + "/n",
    ]
    made = folder / "t.tar"
    made.write_bytes(b"".join(tar.header(path, 3, 7) + b"abc" + bytes(tar.padding(3)) for path in paths) + tar.END)
    with tarfile.open(made) as read:
        assert [(member.name, member.size, member.mtime) for member in read] == [(path, 3, 7) for path in paths]
    gnu = subprocess.run(["tar", "-tf", made, "--quoting-style=literal"], capture_output=True, text=True, check=True)
    assert gnu.stdout.splitlines() == paths and gnu.stderr == ""


def test_a_file_of_nine_gigabytes_says_its_size(folder: Path) -> None:
    from v6cli.backup import tar

    size = 9 << 30
    said = tar.header("big", size, 7)
    with (folder / "t.tar").open("wb") as file:
        file.write(said)
        file.truncate(len(said) + size + 1024)
    with tarfile.open(folder / "t.tar") as read:
        assert [(member.name, member.size) for member in read] == [("big", size)]
    plain = tar.parse(said[1024:])
    assert plain is not None and tar.with_records(plain, said[512 : 512 + tar.parse(said[:512]).size]).size == size


def test_a_dry_run_writes_nothing(home: Home) -> None:
    before = everything(home.root)
    plan = create.preview(home, settings.load(home))
    assert everything(home.root) == before
    made = back_up(home).manifest
    assert [(table.name, table.version, table.rows, table.bytes) for table in plan.tables] == [
        (table.name, table.version, table.rows, table.bytes) for table in made.tables
    ]
    assert {file.path for file in plan.files} == {file.path for file in made.files}


def test_one_backup_at_a_time(home: Home) -> None:
    with locks.try_hold(home.run / "backup.lock", "v6 backup of another terminal"), pytest.raises(Refused, match="another terminal"):
        back_up(home)


def test_a_disk_without_room_is_refused_before_the_start_and_said_when_it_fills(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(scratch, "free", lambda place: 10)
        with pytest.raises(CannotWrite, match="are needed, 10 bytes are free"):
            back_up(home)
    assert not list(home.backups.iterdir())


def test_an_interrupted_backup_leaves_nothing(home: Home) -> None:
    reported: list[events.Event] = []

    class Interrupting(list):
        def __call__(self, event: events.Event) -> None:
            reported.append(event)
            raise KeyboardInterrupt

    from v6cli.state.database import open_state

    with open_state(home) as state, pytest.raises(KeyboardInterrupt):
        create.create(home, settings.load(home), state, Interrupting())
    assert reported and not list(home.backups.iterdir())
    assert threading.active_count() == 1 or not any(thread.name.startswith("gzip") for thread in threading.enumerate())


def test_a_name_that_is_taken_is_never_replaced(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime

    from v6cli import clock

    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 1, 5, 30, 7, tzinfo=UTC))  # 01:30:07, the first of two
    first = back_up(home).path
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 1, 6, 30, 7, tzinfo=UTC))
    assert [first.name, back_up(home).path.name] == ["backup_20261101_013007.tar.gz", "backup_20261101_013008.tar.gz"]


def test_a_name_that_another_home_takes_meanwhile_stays_its_own(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two homes that keep their backups in one folder, at the same second."""
    said: list[Path] = []
    really_named = create._named_as

    def named(path: Path, draft: Path, sha256: str) -> Path:
        said.append(path)
        if len(said) == 1:
            path.write_bytes(b"theirs")
            path.with_name(f"{path.name}.sha256").write_bytes(b"its sum")
        return really_named(path, draft, sha256)

    monkeypatch.setattr(create, "_named_as", named)
    ours = back_up(home).path
    theirs = said[0]
    assert ours != theirs and verify.verify(ours, home.root / "x", events.ignore).code == 0
    assert (theirs.read_bytes(), theirs.with_name(f"{theirs.name}.sha256").read_bytes()) == (b"theirs", b"its sum")


def test_files_that_go_away_lead_to_a_later_set(home: Home, batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no descriptors to spare a vacuum can come between; then the look begins anew."""
    look, writer, seen = contents.look, Writer(home.lake), []

    def and_then_vacuum(lake: Path, descriptors: int, **how) -> contents.Contents:
        found = look(lake, 0, **how)
        seen.append(found.sync.run)
        if len(seen) == 1:
            writer.commit(batch(6))
            tables.open_table(lake, "positions").vacuum(0, enforce_retention_duration=False, dry_run=False)
        return found

    monkeypatch.setattr(contents, "look", and_then_vacuum)
    backup = back_up(home)
    assert seen == ["r5", "r6"] and backup.manifest.sync.run == "r6"
    assert verify.verify(backup.path, home.root / "x", events.ignore).code == 0


def test_what_is_held_open_survives_a_vacuum(home: Home, batch) -> None:
    with contents.look(home.lake, 10_000) as found:
        writer = Writer(home.lake)
        writer.commit(batch(6))
        tables.open_table(home.lake, "positions").vacuum(0, enforce_retention_duration=False, dry_run=False)
        shutil.rmtree(home.lake)
        for file in found.files():
            assert sum(map(len, found.read(file))) == file.size


def test_a_killed_backup_is_cleared_away_by_the_next(home: Home) -> None:
    code = (
        "import sys, time; from pathlib import Path; from v6cli.backup import scratch\n"
        "with scratch.folder(Path(sys.argv[1]), 'backup') as f: (f / 'draft').write_bytes(b'x'); print(flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(home.backups)], stdout=subprocess.PIPE)
    child.stdout.readline()
    assert len(list(home.backups.iterdir())) == 1
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    path = back_up(home).path
    assert {entry.name for entry in home.backups.iterdir()} == {path.name, f"{path.name}.sha256"}


@pytest.mark.machine
def test_a_disk_that_fills_says_how_much_room_it_takes_and_keeps_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    import random

    (home.config / "much.txt").write_text(random.Random(1).randbytes(2 << 20).hex())
    home.backups.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(home.backups)], check=True)
    try:
        monkeypatch.setattr(scratch, "free", lambda place: 1 << 30)
        with pytest.raises(CannotWrite, match=r"is full: about [\d.]+ MB are needed, 1.1 GB were free; nothing was left there"):
            back_up(home)
        assert list(home.backups.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", str(home.backups)], check=True)


def test_a_file_that_the_disk_does_not_give_costs_its_table_and_no_more(home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as failing:
        no_file_to_read(home, failing)
        backup = back_up(home)
    assert [(one.what, "Input/output error" in one.why) for one in backup.manifest.lost] == [("data/lake/executions", True)]
    with pytest.raises(Unavailable, match="lacks data/lake/executions"):
        create.check_whole(backup)
    read_back = extract.extract(backup.path, folder / "out", events.ignore)
    assert {table.name for table in read_back.manifest.tables} == {table.name for table in backup.manifest.tables} != set()
    assert not any(file.path.startswith("data/lake/executions/") for file in read_back.manifest.files)
