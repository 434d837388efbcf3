"""Verifying finds what is wrong: in the archive, beside it, and in the tables that it holds."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from v6cli import events
from v6cli.backup import archive, catalogue, extract, manifest, verify
from v6cli.backup.create import Backup
from v6cli.backup.errors import BadArchive
from v6cli.backup.manifest import Manifest
from v6cli.errors import BadInput, CannotWrite
from v6cli.home import Home

from .conftest import back_up, everything


@pytest.fixture
def backup(home: Home) -> Backup:
    return back_up(home)


def verified(path: Path, home: Home) -> verify.Verified:
    found = verify.verify(path, home.backups, events.ignore)
    assert not [entry for entry in home.backups.iterdir() if entry.name.startswith(".")], "scratch is gone"
    return found


def test_a_good_backup_is_healthy_and_that_is_kept_beside_it(home: Home, backup: Backup) -> None:
    found = verified(backup.path, home)
    assert found.code == 0 and found.sha256 == backup.sha256
    assert {finding.subject for finding in found.findings} == {"archive", "state", *(table.name for table in backup.manifest.tables)}
    assert not catalogue.backups(home)[0].verified
    assert catalogue.record_all(home, [found]) == []
    assert catalogue.backups(home)[0].verified
    backup.path.touch()
    assert not catalogue.backups(home)[0].verified, "it was touched since"


def test_a_sum_beside_it_that_is_wrong_or_missing_is_said(home: Home, backup: Backup) -> None:
    beside = backup.path.with_name(backup.path.name + ".sha256")
    beside.unlink()
    assert verified(backup.path, home).code == 1
    beside.write_text("0" * 64 + "  x\n")
    assert verified(backup.path, home).code == 2


def test_one_that_cannot_be_read_keeps_nobody_from_looking_at_the_others(
    home: Home, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = back_up(home).path
    really_open = Path.open

    def fails(path: Path, *how, **more):
        if path == other:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return really_open(path, *how, **more)

    monkeypatch.setattr(Path, "open", fails)
    assert [verified(path, home).code for path in (other, backup.path)] == [2, 0]


def test_every_flipped_byte_is_found(home: Home, backup: Backup) -> None:
    whole = backup.path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        backup.path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        assert verified(backup.path, home).code == 2, f"byte {place}"


def lying(backup: Backup, home: Home, change) -> verify.Verified:
    """An archive whose sums all fit, and whose manifest was changed before it was written."""
    files: dict[str, tuple[int, bytes]] = {}
    told = archive.read(backup.path, lambda _: None, lambda file, at, content: files.update({file.path: (at, b"".join(content))})).manifest
    plain = msgspec.to_builtins(told)
    for file in plain["files"]:
        file["sha256"] = ""
    contents = {path: content for path, (_, content) in files.items()}
    change(plain, contents)
    plain["files"] = [{"path": path, "size": len(content)} for path, content in contents.items()]
    other = home.backups / "backup_20990101_000000.tar.gz"
    with other.open("wb") as file:
        writer = archive.Writer(file, made := msgspec.convert(plain, Manifest))
        for one in made.files:
            writer.add(one, [contents[one.path]], 0)
        writer.close()
    other.with_name(other.name + ".sha256").write_text(f"{writer.sha256}  {other.name}\n")
    return verified(other, home)


@pytest.mark.parametrize(
    "statements",
    [
        "DROP TABLE journal",
        "DROP TABLE runs; CREATE VIEW runs AS SELECT 1",
        "INSERT INTO intents (intent, run, client_id, purpose, closing, account, wanted, minted) VALUES ('i', 'r', 1, 'x', 0, 'a', '{}', 'then')",
    ],
)
def test_a_state_that_no_restore_could_take_in_is_found(home: Home, backup: Backup, folder: Path, statements: str) -> None:
    """SQLite finds it whole; a restore would find out with the lakes exchanged already."""

    def change(_plain: dict, contents: dict[str, bytes]) -> None:
        (copy := folder / "state").write_bytes(contents["data/state/v6.sqlite"])
        with contextlib.closing(sqlite3.connect(copy)) as state:
            state.executescript(statements)
        contents["data/state/v6.sqlite"] = copy.read_bytes()

    found = lying(backup, home, change)
    assert [finding.subject for finding in found.findings if finding.exit_code] == ["state"] and found.code == 2


@pytest.mark.parametrize("taken", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01T00:00:00"])
def test_a_moment_that_no_clock_shows_is_refused(backup: Backup, taken: str) -> None:
    head = msgspec.json.decode(archive.head(backup.path)) | {"taken": taken}
    for read in (manifest.summary, manifest.decoded):
        with pytest.raises(BadArchive, match="nonsense of when"):
            read(msgspec.json.encode(head))


def executions(plain: dict) -> dict:
    return next(table for table in plain["tables"] if table["name"] == "executions")


def test_a_manifest_that_lies_about_a_table_is_found(home: Home, backup: Backup) -> None:
    def other(key: str, value: object):
        return lambda plain, contents: executions(plain).update({key: value})

    assert lying(backup, home, lambda plain, contents: None).code == 0
    for key, value in (("rows", 7), ("version", 2), ("schema", {"type": "struct", "fields": []})):
        found = lying(backup, home, other(key, value))
        assert found.code == 2 and "executions has another" in str(found.findings), key


def test_a_table_that_nobody_lists_a_file_too_many_and_one_too_few_are_found(home: Home, backup: Backup) -> None:
    def unlisted(plain: dict, contents: dict[str, bytes]) -> None:
        plain["tables"].remove(executions(plain))

    def more(plain: dict, contents: dict[str, bytes]) -> None:
        contents["data/lake/executions/part-1.parquet"] = b"x"

    def less(plain: dict, contents: dict[str, bytes]) -> None:
        del contents[next(path for path in contents if path.startswith("data/lake/executions/date="))]

    def later(plain: dict, contents: dict[str, bytes]) -> None:
        path = max(path for path in contents if path.startswith("data/lake/executions/_delta_log"))
        contents[f"data/lake/executions/_delta_log/{6:020}.json"] = contents[path]

    def damaged(plain: dict, contents: dict[str, bytes]) -> None:
        path = next(path for path in contents if path.startswith("data/lake/executions/date="))
        contents[path] = contents[path][:-12] + b"\0" * 12

    def state(plain: dict, contents: dict[str, bytes]) -> None:
        contents["data/state/v6.sqlite"] = b"SQLite format 3\0" + b"x" * 4096

    for change in (unlisted, more, less, later, damaged, state):
        assert lying(backup, home, change).code == 2, change.__name__


def test_a_commit_that_was_empty_when_the_backup_was_made_is_found(home: Home, backup: Backup) -> None:
    """The manifest of an older v6 counts the rows of the table as deltalake shows it."""

    def emptied(plain: dict, contents: dict[str, bytes]) -> None:
        contents[max(path for path in contents if path.startswith("data/lake/executions/_delta_log"))] = b""

    found = lying(backup, home, emptied)
    assert found.code == 2 and "executions is damaged" in str(found.findings)


def test_a_log_that_names_files_outside_of_its_table_is_not_followed(home: Home, backup: Backup, folder: Path) -> None:
    secret = folder / "secret.parquet"

    def leading_to(where: str):
        def change(plain: dict, contents: dict[str, bytes]) -> None:
            data = next(path for path in contents if path.startswith("data/lake/executions/date="))
            secret.write_bytes(contents[data])
            log = next(
                path
                for path in contents
                if path.startswith("data/lake/executions/_delta_log") and data.rsplit("/", 1)[-1].encode() in contents[path]
            )
            lines = [json.loads(line) for line in contents[log].splitlines()]
            for line in lines:
                if "add" in line:
                    line["add"]["path"] = where
            contents[log] = b"\n".join(json.dumps(line).encode() for line in lines)

        return change

    for where in (
        str(secret),
        f"../../../../../..{secret}",
        f"file://{secret}",
        "s3://bucket/key.parquet",
        f"%2e%2e/%2e%2e{secret}",
        "a/../b.parquet",
    ):
        found = lying(backup, home, leading_to(where))
        assert found.code == 2, where
        assert "outside of its folder" in str(found.findings) or "cannot be read" in str(found.findings), where


def test_what_is_wanted_alone_is_written_and_all_is_checked(home: Home, backup: Backup, folder: Path) -> None:
    extract.extract(backup.path, folder / "one", events.ignore, wanted=lambda file: file.path.startswith("data/lake/executions/"))
    assert all(path.startswith("data/lake/executions/") for path in everything(folder / "one"))
    assert everything(folder / "one").keys() == {file.path for file in backup.manifest.table_files("executions")}
    assert extract.check(backup.path, events.ignore).sha256 == backup.sha256


def test_a_folder_that_is_not_fresh_or_has_no_room_is_refused(home: Home, backup: Backup, folder: Path, monkeypatch) -> None:
    from v6cli.backup import scratch

    (folder / "x").mkdir()
    (folder / "x" / "mine").write_text("mine")
    with pytest.raises(CannotWrite, match="not empty"):
        extract.extract(backup.path, folder / "x", events.ignore)
    monkeypatch.setattr(scratch, "free", lambda place: extract.SPARE + 10)
    with pytest.raises(CannotWrite, match="no room"):
        extract.extract(backup.path, folder / "y", events.ignore)
    assert everything(folder).keys() == {"x/mine"}


def test_names_are_resolved(home: Home, backup: Backup, folder: Path) -> None:
    with pytest.raises(BadInput, match="no backup"):
        catalogue.resolve(home, "backup_20260101_000000")
    name = backup.path.name.removesuffix(".tar.gz")
    for text in (name, backup.path.name, str(backup.path), "latest"):
        assert catalogue.resolve(home, text) == backup.path
    shutil.move(backup.path, folder / "b.tar.gz")
    with pytest.raises(BadInput, match="there is no backup in"):
        catalogue.resolve(home, "latest")
    assert catalogue.resolve(home, str(folder / "b.tar.gz")) == folder / "b.tar.gz"


def test_the_head_is_enough_for_a_summary(home: Home, backup: Backup) -> None:
    described = catalogue.describe(catalogue.backups(home)[0])
    assert described.summary is not None and described.summary.rows == backup.manifest.rows
    assert described.summary.tables == backup.manifest.tables
    backup.path.write_bytes(b"no archive")
    assert catalogue.describe(catalogue.backups(home)[0]).problem
    assert manifest.FORMAT == "v6.backup/1"
