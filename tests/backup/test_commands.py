"""`v6 backup` as it is typed: what it prints, its exit codes, its journal entry; retention, gaps, differences."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from v6cli import clock, events, locks
from v6cli.backup import carrying, catalogue, compare, extract, retention, verify
from v6cli.backup.catalogue import Kept, Record
from v6cli.errors import Refused
from v6cli.home import Home
from v6cli.lake.writer import Writer
from v6cli.settings import Backups
from v6cli.state import journal
from v6cli.state.database import open_read_only

from . import hostile
from .conftest import back_up, everything


@pytest.fixture
def typed(v6, home: Home):
    """Type a command line in the home; its exit code is ``check``."""
    return lambda *argv, check=0, **how: v6("--home", home.root, *argv, check=check, **how)


def rows(done) -> list[dict]:
    return json.loads(done.stdout)["rows"]


def test_typed_bare_it_makes_a_backup_that_verifies(home: Home, typed) -> None:
    made = typed("backup", "-o", "json")
    facts = json.loads(made.stdout)["facts"]
    assert Path(facts["archive"]).stat().st_size == facts["size"]
    assert {row["table"]: row["rows"] for row in rows(made)}["sync_runs"] == 5
    assert rows(typed("backup", "list", "-o", "json"))[0]["verified"] == "never"
    assert "healthy" in typed("backup", "verify").stdout
    assert rows(typed("backup", "list", "-o", "json"))[0]["verified"] == "ok"
    with open_read_only(home) as state:
        acts = journal.entries(state, limit=5)
    assert [(act.argv, act.outcome) for act in acts] == [(["--home", str(home.root), "backup", "-o", "json"], "done")]


def test_a_dry_run_writes_nothing_and_says_what_it_takes(home: Home, typed) -> None:
    before = everything(home.root)
    planned = json.loads(typed("backup", "--dry-run", "-o", "json").stdout)
    assert planned["schema"] == "v6.backup-plan/1" and planned["facts"]["needed"] > 0
    assert everything(home.root) == before


def test_exit_codes(home: Home, typed, folder: Path) -> None:
    assert "there is no backup" in typed("backup", "verify", check=65).stderr
    assert "v6 backup" in typed("backup", "list").stdout
    typed("backup")
    path = catalogue.backups(home)[0].path
    assert "did you mean" in typed("backup", "verify", path.name[:-8], check=65).stderr
    typed("backup", "verify", "latest-of-all", check=65)
    typed("backup", "verify", path.name, "--all", check=64)
    path.with_name(path.name + ".sha256").unlink()
    typed("backup", "verify", "--all", check=1)
    assert rows(typed("backup", "list", "-o", "json"))[0]["verified"] == "degraded"
    path.write_bytes(path.read_bytes()[:-100])
    bad = typed("backup", "verify", path, check=2)
    assert "is refused: it is cut off" in bad.stdout
    assert "is refused" in typed("backup", "diff", "latest", check=65).stderr
    next((home.lake / "executions").rglob("*.parquet")).unlink()
    lacking = typed("backup", check=69)
    assert "data/lake/executions" in lacking.stderr and "MISSING" in lacking.stdout
    with locks.try_hold(home.run / "backup.lock", "v6 backup of another"):
        for words in ((), ("prune",)):
            assert "v6 backup of another" in typed("backup", *words, check=77).stderr


def test_output_fits_a_terminal(home: Home, typed) -> None:
    typed("backup")
    for words in (("--dry-run",), ("list",), ("verify",), ("prune",), ("diff", "latest")):
        shown = typed("backup", *words, "-o", "table").stdout
        assert max(map(len, shown.splitlines())) <= 80, shown


def test_a_home_that_cannot_be_written_still_verifies(home: Home, folder: Path) -> None:
    """The record is all that is missing; the scratch goes where it is told."""
    path = back_up(home).path
    found = verify.verify(path, folder, events.ignore)
    away = folder / "elsewhere" / path.name
    away.parent.mkdir()
    away.write_bytes(path.read_bytes())
    assert catalogue.record_all(home, [msgspec.structs.replace(found, path=away)]) == []
    assert not list(away.parent.glob("*.verified"))
    home.backups.joinpath(f"{path.name}.verified").mkdir()
    assert "not recorded" in catalogue.record_all(home, [found])[0]


NOW = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)


def kept(days: float, code: int | None = None) -> Kept:
    at = (NOW - timedelta(days=days)).astimezone(clock.eastern())
    record = None if code is None else Record(NOW, code, "", 1, 1, [])
    return Kept(Path(f"/b/backup_{at:%Y%m%d_%H%M%S}.tar.gz"), 1, record)


def test_what_is_old_goes_and_the_newest_verified_one_never() -> None:
    def gone(*backups: Kept, keep: float = 30.0) -> list[int]:
        return [round(fate.age / 86_400) for fate in retention.fates(backups, keep, NOW) if fate.goes]

    assert gone(kept(1), kept(31), kept(40)) == [31, 40]
    assert gone(kept(1), kept(31, 0), kept(40, 0)) == [40]
    assert gone(kept(1), kept(31, 1), kept(40, 0), kept(50, 0)) == [31, 50], "one that is degraded is not verified"
    assert gone(kept(1, 0), kept(31, 0)) == [31]
    assert gone(kept(31), kept(40)) == [40], "the newest stays, verified or not"
    assert gone(kept(29.9), kept(20), keep=25) == []
    assert gone() == []
    assert gone(kept(1), kept(31), kept(40), keep=float("nan")) == [], "typed by a script, it is above 0 for click"


def test_days_to_keep_are_a_number(v6, home: Home) -> None:
    done = v6("--home", home, "backup", "prune", "--keep", "nan", check=64)
    assert "'nan' is not a number" in done.stderr and done.stdout == ""


def test_pruning_removes_all_of_a_backup_and_what_lies_there_without_one(home: Home) -> None:
    first, second = back_up(home), back_up(home)
    catalogue.record_all(home, [verify.verify(first.path, home.backups, events.ignore)])
    (home.backups / "backup_20200101_000000.tar.gz.sha256").write_text("x")
    (home.backups / "mine.txt").write_text("mine")
    old = home.backups / "backup_20200101_000001.tar.gz"
    old.write_bytes(second.path.read_bytes())
    assert [fate.goes for fate in retention.prune(home, 30, dry_run=True)] == [False, False, True]
    assert old.exists()
    retention.prune(home, 30, dry_run=False)
    assert {path.name for path in home.backups.iterdir()} == {
        *(backup.path.name + suffix for backup in (first, second) for suffix in ("", ".sha256")),
        f"{first.path.name}.verified",
        "mine.txt",
    }
    with locks.try_hold(home.run / "backup.lock", "x"), pytest.raises(Refused):
        retention.prune(home, 30, dry_run=False)


def test_a_session_without_a_backup_before_the_next_close_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)

    def at(text: str) -> Kept:
        return Kept(Path(f"/b/backup_{text}.tar.gz"), 1, None)

    after_each_close = [at(f"202611{day:02}_163000") for day in (24, 23, 20, 19, 18, 17, 16)]
    assert retention.gaps(after_each_close, NOW) == []
    assert [day.day for day in retention.gaps(after_each_close[1:], NOW)] == [24]
    assert retention.gaps([at("20261125_080000"), *after_each_close[1:]], NOW) == [], "the morning after is in time"
    assert [day.day for day in retention.gaps([], NOW)] == [16, 17, 18, 19, 20, 23, 24]
    assert [day.day for day in retention.gaps([at("20261124_120000"), *after_each_close[1:]], NOW)] == [24], (
        "before the close it lacks the rest"
    )


def test_the_later_backup_of_the_hour_that_repeats_is_the_latest(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """01:30 before the clocks go back, then 01:20 and 01:30 after it."""
    made = []
    for hour, minute in ((5, 30), (6, 20), (6, 30)):
        monkeypatch.setattr(clock, "now", lambda hour=hour, minute=minute: datetime(2026, 11, 1, hour, minute, tzinfo=UTC))
        made.append(back_up(home).path)
        assert catalogue.resolve(home, "latest") == made[-1]
    assert sorted(made) == made and len(set(made)) == 3
    own = Backups(remote=str(tmp_path / "nas"))
    assert carrying.carry(home, own, events.ignore).error is None
    shutil.rmtree(home.backups)
    with carrying.archive_of(home, own, "latest", home.backups, events.ignore) as path:
        assert path.name == made[-1].name


def test_a_name_of_the_hour_that_repeats_is_read_with_the_manifest(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older v6 named a backup by the clock alone."""
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 1, 6, 20, tzinfo=UTC))
    later = back_up(home).path
    named = later.with_name("backup_20261101_012000.tar.gz")
    assert later == named
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 1, 5, 30, tzinfo=UTC))
    earlier = back_up(home).path
    unreadable = named.with_name("backup_20261101_014500.tar.gz")
    unreadable.write_bytes(b"no archive")
    odd = named.with_name("backup_20269999_999999.tar.gz")
    odd.write_bytes(b"no archive")
    assert [one.path for one in catalogue.backups(home)] == [named, unreadable, earlier, odd]
    ages = [retention.age_of(one, datetime(2026, 11, 1, 7, 0, tzinfo=UTC)) / 60 for one in catalogue.backups(home)[:3]]
    assert ages == [40, 75, 90]


def test_differences_are_named(home: Home, batch) -> None:
    first = back_up(home)
    Writer(home.lake).commit(batch(6, size=2))
    (home.config / "more.toml").write_text("x = 1\n")
    second = back_up(home)
    old, new = (extract.check(one.path, events.ignore).manifest for one in (first, second))
    assert compare.compare(old, old) == []
    found = {(one.kind, one.name): one.change for one in compare.compare(old, new)}
    assert found[("fact", "last sync")] == "changed"
    assert found[("table", "sync_runs")] == "+1 rows"
    assert found[("table", "positions")] == "-3 rows"
    assert found[("file", "config/more.toml")] == "new"
    assert ("table", "chains/spy") not in found and ("file", "config/v6.toml") not in found
    back = {(one.kind, one.name): one.change for one in compare.compare(new, old)}
    assert back[("file", "config/more.toml")] == "gone"


def test_what_is_left_out_forges_no_line_whoever_named_it(home: Home, v6) -> None:
    """The name of a file and a key of the settings may hold line breaks; a manifest that nobody of this home wrote, anything."""
    (home.config / "a\nforged: by a file.toml").write_text("x = 1\n")
    (home.config / "b.toml").write_text('"forged: by a key\\nforged: password" = "x"\n')
    made = v6("--home", home.root, "backup", check=0).stdout
    assert made.count("forged") == 3 and not [line for line in made.splitlines() if line.startswith("forged")]
    lost = {"what": "data/lake/u\nforged: all is well\x1b[2J", "why": "gone\rforged: indeed", "lost": True}
    said = hostile.manifest(hostile.FILES, account="DU1234567", left_out=[lost])
    path = hostile.write(home.backups / "backup_20261124_163000.tar.gz", hostile.zipped(hostile.archive(said=said)))
    plan = v6("--home", home.root, "restore", path, "--dry-run", check=0).stdout
    assert plan.count("forged") == 2 and not [line for line in plan.splitlines() if line.startswith("forged")]
    assert "\x1b" not in plan and "\r" not in plan
