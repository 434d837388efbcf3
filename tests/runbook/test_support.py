"""The support bundle: whole or with reasons, never with what it must leave out."""

from __future__ import annotations

import csv
import errno
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from v6cli import files, latch
from v6cli.errors import CannotWrite
from v6cli.home import Home
from v6cli.install import new_home
from v6cli.models import Alert, Severity
from v6cli.runbook import log_ends, support
from v6cli.runbook.archive import Archive
from v6cli.runbook.redaction import Redaction
from v6cli.state import alerts, journal
from v6cli.state.database import open_state

ROOT = Path(__file__).parent.parent.parent
ORDINARY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--inh-caps=-all"] if os.geteuid() == 0 else []
ALL = {
    "status.json", "health.json", "trading-state.json", "services.json", "settings.json", "environment.json", "versions.json",
    "machine.json", "files.json", "errors.json", "alerts.json", "journal.json", "checks.json", "sync-runs.json", "lake.json",
    "config/v6.toml",
}  # fmt: skip


def bundle_in(place: Path) -> dict[str, bytes]:
    """The members of the one archive there, by their name below its one top folder."""
    (archive,) = place.glob("support_*.tar.gz")
    return members(archive)


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        entries = tar.getmembers()
        assert {entry.name.split("/")[0] for entry in entries} == {archive.name.removesuffix(".tar.gz")}
        found = {entry.name.split("/", 1)[1]: tar.extractfile(entry).read() for entry in entries if entry.isfile()}
        assert {(entry.mode, entry.uid, entry.gid, entry.uname, entry.gname) for entry in entries if entry.isfile()} == {
            (0o600, 0, 0, "", "")
        }
        assert len({entry.mtime for entry in entries}) == 1
    return found


def states(found: dict[str, bytes]) -> dict[str, str]:
    return {member["name"]: member["state"] for member in json.loads(found["manifest.json"])["members"]}


def log_line(message: str, at: datetime | None = None) -> str:
    moment = at or datetime.now(UTC)
    return json.dumps({"time": moment.isoformat(), "level": "ERROR", "logger": "x", "message": message}) + "\n"


def test_a_bundle_of_a_running_home_is_whole(demo, folder: Path) -> None:
    target = folder / "b"
    done = demo.v6("support-bundle", "--to", f"{target}/", "-o", "json", check=0)
    answer = json.loads(done.stdout)
    (archive,) = target.glob("*.tar.gz")
    assert (answer["schema"], answer["facts"]["archive"], answer["facts"]["missing"]) == ("v6.support-bundle/1", str(archive), 0)
    assert answer["facts"]["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert oct(archive.stat().st_mode & 0o777) == "0o600" and list(target.iterdir()) == [archive]
    found = bundle_in(target)
    assert found.keys() >= ALL | {"README.txt", "manifest.json", "logs/v6-position-sync.log"}
    manifest = json.loads(found["manifest.json"])
    told = {member["name"]: (member["bytes"], member["sha256"]) for member in manifest["members"]}
    assert told == {name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in found.items() if name != "manifest.json"}
    for name, content in found.items():
        if name.endswith(".json"):
            json.loads(content)
    assert json.loads(found["health.json"])["verdict"] == "healthy"
    assert len(json.loads(found["sync-runs.json"])) > 0 and json.loads(found["lake.json"])[0]["named"] > 0
    assert "DU1234567" not in repr(found) and "ACCOUNT-1" in found["status.json"].decode()
    assert "escalation" in done.stderr and support.IB_API in done.stderr and "nothing was sent" in " ".join(answer["notes"])


def test_it_keeps_one_record_of_itself_and_journals_nothing(v6, demo_home: Home) -> None:
    v6("support-bundle", cwd=demo_home.root, check=1)
    with open_state(demo_home) as state:
        assert journal.entries(state) == []
        (kept,) = support._checks(state)["support-bundle"]
    assert kept.exit_code == 1 and kept.evidence["archive"].startswith(str(demo_home.support))


def trace(home: Home) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in (home.root, *home.root.rglob("*"))}


def test_a_dry_run_shows_the_parts_asks_nobody_and_writes_nothing(v6, demo_home: Home) -> None:
    with open_state(demo_home):
        pass
    (demo_home.logs / "v6-position-sync.log").write_text(log_line("x"))
    before = trace(demo_home)
    done = v6("support-bundle", "--dry-run", "-o", "csv", cwd=demo_home.root, check=0)
    assert trace(demo_home) == before
    rows = {row["part"]: row["bytes"] for row in csv.DictReader(io.StringIO(done.stdout))}
    assert rows.keys() >= ALL
    assert int(rows["logs/v6-position-sync.log"]) == len(log_line("x"))


# What must not leave.

ACCOUNTS = ["U7654321", "DU7654321", "F1234567", "DF2345678", "I3456789", "DUH4567890", "u5556667"]
SECRETS = ["sesame-open-1", "sesame-open-2", "sesame-open-3", 'sesame "open" 4', "sesame-open-5", "sesame-open-6", "sesame-open-7"]
SHAPED = [
    "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw_",
    "XyZaBcDeFgHiJkLmNoPqRsTu",
    "discordTokenOf68LettersWhichNothingNames-0123456789_abcdefghijklmnopqrs",
]
PEOPLE = ["annabel", "bertram", "alpha.example.net"]
PINNED = "DU9988776"


def plant(home: Home) -> dict[str, str]:
    """Put account ids, secrets and names wherever a bundle reads; the variables that hold the rest."""
    text = home.settings_file.read_text().replace('# account = "DU1234567"', f'account = "{PINNED}"')
    home.settings_file.write_text(f'{text}# was U7654321\n# db_password = "{SECRETS[0]}"\n# api_token_file = "config/api"\n')
    (home.config / "api").write_text(SECRETS[3] + "\n")
    with open_state(home) as state:
        entry = journal.begin(state, "r1", "config set", ["config", "set", "x.token", SECRETS[1], "--account", "DU7654321"])
        journal.step(state, entry, f"sent for {PINNED.lower()} and 9988776, orderRef v6-{PINNED}-17, password={SECRETS[2]}")
        journal.end(state, entry, "failed", 70, f"by annabel in F1234567: {SECRETS[4]}")
        state.write("UPDATE journal SET user = 'annabel', host = 'alpha.example.net'")
        alerts.raise_alert(
            state, Alert("order U7654321", Severity.CRITICAL, f"orderRef DF2345678/3 rejected, login {SECRETS[3]}", "v6 health")
        )
        alerts.acknowledge(state, None, "bertram")
    latch.tighten(home, latch.TradingState.HALTED, f"I3456789 looks wrong to bertram, token {SECRETS[2]}", "bertram")
    journal.note_beside(home, ["halt", "--reason", f"u5556667 {SECRETS[5]}"])
    nested = json.dumps({"token": SECRETS[2], "account": "DUH4567890"})
    lines = [
        log_line(f"order of DU7654321 (v6DUH4567890x) by annabel on alpha: {SECRETS[3]}"),
        log_line(nested),
        f"printed without a time: {PINNED} and {SECRETS[3]} {SECRETS[4]} https://ann:{SECRETS[2]}@host/?token={SECRETS[1]}\n",
        f"Authorization: Bearer {SECRETS[1]}\n",
        log_line(f"cannot send by 123456789:{SHAPED[0]}, nor to https://hooks.slack.com/services/T01ABCDEF/B01ABCDEF/{SHAPED[1]}"),
        f'"POST /api/webhooks/987654321098765432/{SHAPED[2]} HTTP/1.1" 404\n',
        "\0".join("U7654321") + "\n",
    ]
    (home.logs / "v6-position-sync.log").write_text("".join(lines))
    (home.logs / f"v6-{PINNED}.log").write_text(log_line("its name tells"))
    return {
        "IB_PASSWORD": SECRETS[4],
        "V6_ACCOUNT": PINNED,
        "MY_API_KEY": SECRETS[5],
        "GATEWAY_PASS": SECRETS[6],
        "LC_PLANTED": f"{SECRETS[6]} DU7654321",
    }


def leaks(raw: bytes) -> list[str]:
    """What of the planted stands there, in any case, as it is or as JSON writes it."""
    text = raw.decode("utf-8", "replace").replace("\0", "").lower()
    planted = [*ACCOUNTS, *PEOPLE, PINNED, PINNED[2:], *SECRETS, *SHAPED, *(json.dumps(one)[1:-1] for one in SECRETS)]
    return [one for one in planted if one.lower() in text]


def test_nothing_planted_is_found_in_any_member_nor_in_the_stream(v6, demo_home: Home, folder: Path) -> None:
    variables = plant(demo_home)
    done = v6("support-bundle", "--to", folder / "out", cwd=demo_home.root, environment=variables, check=1)
    (archive,) = (folder / "out").iterdir()
    found = members(archive)
    assert {name: leaks(content) for name, content in found.items() if leaks(content)} == {}
    assert leaks(gzip.decompress(archive.read_bytes())) == []
    assert leaks(done.stdout.encode()) == []
    for name in (*ALL - {"sync-runs.json"}, "logs/v6-position-sync.log"):
        assert name in found, name
    (placeholder,) = re.findall(r'^account = "(ACCOUNT-\d+)"', found["config/v6.toml"].decode(), re.MULTILINE)
    assert f"for {placeholder} and {placeholder}, orderRef v6-{placeholder}-17" in found["journal.json"].decode(), "stable in all its forms"
    assert f"printed without a time: {placeholder} and" in found["logs/v6-position-sync.log"].decode()
    assert f"logs/v6-{placeholder}.log" in found
    for line in found["logs/v6-position-sync.log"].decode().splitlines()[:2]:
        json.loads(line)


def test_the_search_for_leaks_finds_them(v6, demo_home: Home, folder: Path) -> None:
    """Each planted account, secret and name is really read: without the redaction every one would be in the bundle."""
    variables = plant(demo_home)
    blind = "from v6cli.runbook import redaction as r\nr.Redaction.text = lambda self, text: text.replace('\\0', '')\nr.Redaction.tree = lambda self, found: found\nimport sys\nfrom v6cli.main import main\nmain(sys.argv[1:])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    argv = ["--home", str(demo_home.root), "support-bundle", "--to", str(folder / "out")]
    subprocess.run([sys.executable, "-P", "-c", blind, *argv], env=environment, capture_output=True, check=False, timeout=60)
    (archive,) = (folder / "out").iterdir()
    seen = set(leaks(gzip.decompress(archive.read_bytes())))
    assert seen >= {*ACCOUNTS, *PEOPLE[:1], PINNED, *SECRETS, *SHAPED} - {"u5556667", SECRETS[5]}


@pytest.mark.parametrize(
    "text",
    [
        "SPY 17JAN26 590 C",
        "conId 756733",
        "permId 1234567890",
        "SPX   261218C05000000",
        "2026-11-24T09:30:00",
        "F 12.50",
        "U.S. 2026",
        "IWM 5",
    ],
)
def test_what_is_no_account_stays(text: str) -> None:
    assert Redaction().text(text) == text


def test_two_accounts_have_two_placeholders_and_words_are_no_names() -> None:
    hidden = Redaction()
    hidden.know("USER", "trading")
    hidden.know("HOST", "127.0.0.1")
    assert hidden.text("trading at 127.0.0.1: DU1111111, U2222222, du1111111") == "trading at 127.0.0.1: ACCOUNT-1, ACCOUNT-2, ACCOUNT-1"
    assert hidden.placeholders() == {"ACCOUNT-1": 2, "ACCOUNT-2": 1, "********": 0}


def test_an_account_that_looks_like_none_is_known_from_where_it_stands(demo_home: Home, folder: Path) -> None:
    """Pinned nowhere here, and of no shape of IB's: a part that was gained names it, and a log says it elsewhere."""
    (demo_home.logs / "v6-x.log").write_text(log_line("order in ABC1234 by carola"))
    part = support.Part("sync-runs.json", "", support.clock.pause)
    gained = [support.Gained(part, [{"account": "ABC1234", "by": "carola"}])]
    target, now = folder / "b.tar.gz", datetime.now(UTC)
    with support.opened(target) as file:
        support.write(file, target, demo_home, support.settings.load(demo_home), gained, now - timedelta(hours=1), now)
    said = gzip.decompress(target.read_bytes())
    assert b"ABC1234" not in said and b"carola" not in said and b"order in ACCOUNT-1 by USER-" in said


def test_an_account_that_begins_or_ends_like_another_is_its_own() -> None:
    hidden = Redaction()
    hidden.know("ACCOUNT", "U123456")
    assert hidden.text("U123456 U1234567 DU123456 xU123456y") == "ACCOUNT-1 ACCOUNT-2 ACCOUNT-3 xACCOUNT-1y"


def test_a_variable_that_only_sounds_secret_takes_no_word_out_of_the_language() -> None:
    hidden = Redaction()
    hidden.know_secret("true")
    assert hidden.text('"simulated": true') == '"simulated": true'


# Homes in which something is broken: it is made exactly then.


def broken_settings(home: Home) -> None:
    home.settings_file.write_text(home.settings_file.read_text() + "\nx = [\n")


def broken_settings_and_none_kept(home: Home) -> None:
    broken_settings(home)
    (home.run / "settings.last.json").unlink()


def corrupt_state(home: Home) -> None:
    home.state.write_bytes(b"no database" * 1000)


def corrupt_lake(home: Home) -> None:
    table = home.lake / "sync_runs" / "_delta_log"
    table.mkdir(parents=True)
    (table / f"{0:020}.json").write_text("{ no json\n")


def unreadable_log(home: Home) -> None:
    (home.logs / "v6-bad.log").symlink_to("/etc/passwd")
    os.mkfifo(home.logs / "v6-pipe.log")
    (home.logs / "v6-bad.log.1.gz").write_bytes(b"no gzip")


def no_logs_folder(home: Home) -> None:
    shutil.rmtree(home.logs)
    home.logs.write_text("a file in its place")


BROKEN = {
    "settings": (broken_settings, {"alerts.json"}, "is not valid TOML"),
    "settings, none kept": (broken_settings_and_none_kept, {"alerts.json"}, "packaged settings"),
    "state": (corrupt_state, {"alerts.json", "journal.json", "checks.json"}, "is damaged"),
    "lake": (corrupt_lake, {"sync-runs.json"}, "cannot be read"),
    "logs": (unreadable_log, {"logs/v6-bad.log", "logs/v6-pipe.log", "logs/v6-bad.log.1.gz"}, "a link"),
    "logs folder": (no_logs_folder, {"logs/"}, "cannot be read"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_home_gives_a_bundle_that_says_what_is_missing(v6, demo_home: Home, folder: Path, case: str) -> None:
    breaks, missing, said = BROKEN[case]
    breaks(demo_home)
    done = v6("support-bundle", "--to", folder / "out", cwd=demo_home.root, check=1)
    found = bundle_in(folder / "out")
    assert missing <= {name for name, state in states(found).items() if state == "missing"}
    assert missing.isdisjoint(found), "what is missing is no empty file"
    assert said in found["manifest.json"].decode() + done.stderr
    assert {"status.json", "health.json", "versions.json", "machine.json", "trading-state.json", "settings.json"} <= found.keys()
    assert "bug" not in found["manifest.json"].decode() + done.stderr and "Traceback" not in done.stderr


def test_settings_that_are_broken_are_in_the_bundle_with_why(v6, demo_home: Home, folder: Path) -> None:
    broken_settings(demo_home)
    v6("support-bundle", "--to", folder / "out", cwd=demo_home.root, check=1)
    found = bundle_in(folder / "out")
    assert "is not valid TOML" in json.loads(found["settings.json"])["problem"]
    assert "x = [" in found["config/v6.toml"].decode()


def as_ordinary_user(home: Home, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*ORDINARY, sys.executable, "-P", "-m", "v6cli", "--home", str(home.root), *argv]
    return subprocess.run(
        command,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_home_that_cannot_be_written_is_refused_at_once_and_named_the_way_out(demo_home: Home, folder: Path) -> None:
    (demo_home.logs / "v6-secretive.log").write_text(log_line("x"))
    for path in (demo_home.root, *demo_home.root.rglob("*")):
        path.chmod(0o500 if path.is_dir() else 0o400)
    (demo_home.logs / "v6-secretive.log").chmod(0)
    try:
        before = trace(demo_home)
        done = as_ordinary_user(demo_home, "support-bundle")
        assert done.returncode == 74 and "cannot" in done.stderr and "next: v6 support-bundle --to DIR" in done.stderr
        done = as_ordinary_user(demo_home, "support-bundle", "--to", str(folder / "out"))
        assert done.returncode == 1, done.stderr
        assert "the result was not recorded" in done.stderr and trace(demo_home) == before
    finally:
        for path in (demo_home.root, *demo_home.root.rglob("*")):
            path.chmod(0o700)
    assert states(bundle_in(folder / "out"))["logs/v6-secretive.log"] == "missing"


# The file itself.


def test_a_file_that_is_there_is_not_replaced(v6, demo_home: Home, folder: Path) -> None:
    target = folder / "mine.tar.gz"
    target.write_text("mine")
    done = v6("support-bundle", "--to", target, cwd=demo_home.root, check=74)
    assert "is there already" in done.stderr and target.read_text() == "mine"
    v6("support-bundle", "--to", folder / "other.tar.gz", cwd=demo_home.root, check=1)
    assert "manifest.json" in members(folder / "other.tar.gz")


def test_an_empty_place_is_not_the_home(v6, demo_home: Home) -> None:
    assert "--to is empty" in v6("support-bundle", "--to", "", cwd=demo_home.root, check=64).stderr
    assert not demo_home.support.exists()


def test_two_bundles_of_one_second_have_two_names(demo_home: Home) -> None:
    at = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)
    first = support.place(demo_home, None, at)
    assert first == demo_home.support / "support_20261124_150000.tar.gz"
    files.write_durably(first, b"")
    assert support.place(demo_home, None, at).name == "support_20261124_150000_2.tar.gz"


def test_a_full_disk_leaves_nothing(demo_home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    target = folder / "out" / "support_x.tar.gz"
    with monkeypatch.context() as patch, pytest.raises(CannotWrite, match="No space left") as raised:
        patch.setattr(Archive, "_put", full)
        with support.opened(target) as file:
            support.write(file, target, demo_home, support.settings.load(demo_home), [], datetime.now(UTC), datetime.now(UTC))
    assert list(target.parent.iterdir()) == [] and "--to DIR" in str(raised.value.next_step)
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(CannotWrite, match="No space left"), support.opened(target) as file:
        file.write(b"x")
    assert list(target.parent.iterdir()) == []


def test_an_interrupted_bundle_leaves_nothing(folder: Path) -> None:
    """^C while a gateway that is silent is waited for."""
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        home = new_home.make(folder / "h", "demo", port=silent.getsockname()[1])
        running = subprocess.Popen(
            [sys.executable, "-P", "-m", "v6cli", "--home", str(home.root), "support-bundle"],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while not list(home.root.glob("support/.*.draft")):
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        silent.accept()[0].close()
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=30)
    assert (running.returncode, list(home.support.iterdir())) == (130, []), said


# Logs.


def test_only_the_newest_part_of_a_huge_log_is_read_and_memory_stays_bounded(demo_home: Home, folder: Path) -> None:
    huge = demo_home.logs / "v6-position-sync.log"
    line = log_line("x" * 900)
    with huge.open("w") as file:
        for _ in range(100_000_000 // (len(line) * 1000) + 1):
            file.write(line * 1000)
        file.write(log_line("the last of all"))
    assert huge.stat().st_size > 100_000_000
    target = folder / "b.tar.gz"
    since = datetime.now(UTC) - timedelta(hours=24)
    tracemalloc.start()
    with support.opened(target) as file:
        support.write(file, target, demo_home, support.settings.load(demo_home), [], since, datetime.now(UTC))
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    with tarfile.open(target) as tar:
        content = tar.extractfile("b/logs/v6-position-sync.log").read()
        (told,) = (one for one in json.load(tar.extractfile("b/manifest.json"))["members"] if one["name"] == "logs/v6-position-sync.log")
    assert len(content) <= log_ends.LONGEST_FILE and content.startswith(b"{") and b"the last of all" in content.splitlines()[-1]
    assert told["state"] == "cut" and "10,000,000 of 1" in told["note"]
    assert highest < 6 * log_ends.LONGEST_FILE


def ends(folder: Path, content: bytes, name: str = "x.log") -> tuple[list[bytes], str]:
    (folder / name).write_bytes(content)
    (found,) = log_ends.found(folder)
    return log_ends.end_of(found, datetime(2026, 11, 24, tzinfo=UTC))


OLD, NEW = b"2026-11-23 09:00:00+00:00 ERROR old\n", b"2026-11-24 09:00:00+00:00 ERROR new\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (OLD + b"  below it\n" + NEW + b"  below that\n", [NEW.strip(), b"  below that"]),
        (b"no time at all\nnor here", [b"no time at all", b"nor here"]),
        (OLD + b"printed later\n", [OLD.strip(), b"printed later"]),
        (b"", []),
    ],
)
def test_lines_before_the_time_asked_for_are_left_out(folder: Path, content: bytes, expected: list[bytes]) -> None:
    assert ends(folder, content) == (expected, "")


def test_packed_logs_are_read(folder: Path) -> None:
    assert ends(folder, gzip.compress(OLD + NEW), "x.log.1.gz") == ([NEW.strip()], "")


def test_a_line_without_end_is_cut_with_what_might_be_half_a_name(folder: Path) -> None:
    (line, after), _ = ends(folder, b"a " * 20_000_0 + b"DU1234567\nafter\n")
    assert len(line) <= log_ends.LONGEST_LINE and line.endswith(b"(cut: the line is too long)") and after == b"after"
