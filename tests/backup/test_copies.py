"""Copies of backups: carried, listed, fetched, pruned; in a folder, and in a bucket that fails; encrypted and in the clear."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from v6cli import events, settings
from v6cli.backup import bucket, carrying, catalogue, copies, place, verify, whose
from v6cli.errors import BadConfiguration, BadInput, CannotWrite, Unavailable
from v6cli.home import Home
from v6cli.runbook.restore_asked import Wish
from v6cli.settings import Backups

from ..conftest import free_port
from .conftest import back_up, everything
from .s3 import Server
from .test_restore import run

PREFIX = "v6/copies"
UNPROVEN = "nothing says or proves that it is of this home"


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    """A bucket on loopback, with credentials as the environment gives them; waits between attempts are short."""
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "very-secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": made.url,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(copies, "_PAUSE", 0.01)
    monkeypatch.setattr(bucket, "RETRIES", 1)
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def key(tmp_path: Path) -> tuple[str, Path]:
    """An age key: who it is to others, and the file that it is in."""
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    path = tmp_path / "key.txt"
    path.write_text(f"# created by age-keygen\n{identity}\n")
    path.chmod(0o600)
    return str(identity.to_public()), path


@pytest.fixture(params=["folder", "s3"])
def own(request, tmp_path: Path) -> Backups:
    """Settings that name a place for copies."""
    if request.param == "s3":
        request.getfixturevalue("server")
        return Backups(remote=f"s3://bucket/{PREFIX}")
    return Backups(remote=str(tmp_path / "nas"))


def put_settings(home: Home, **backup: str) -> None:
    lines = [f'{name} = "{value}"' for name, value in backup.items()]
    home.settings_file.write_text("\n".join([home.settings_file.read_text(), "[backup]", *lines, ""]))


def carry(home: Home, own: Backups) -> list[str]:
    done = carrying.carry(home, own, events.ignore)
    if done.error:
        raise done.error
    return done.names


def fetched(home: Home, own: Backups, wanted: str) -> bytes:
    with carrying.archive_of(home, own, wanted, home.backups, events.ignore) as path:
        assert path.parent != home.backups
        assert verify.verify(path, home.backups, events.ignore).code == 0
        return path.read_bytes()


def forget(home: Home) -> None:
    """The machine's own backups are lost."""
    shutil.rmtree(home.backups)


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_backup_goes_there_and_comes_back(home: Home, own: Backups, key, encrypted: bool) -> None:
    if encrypted:
        own = Backups(remote=own.remote, recipient=key[0], identity=str(key[1]))
    made = back_up(home)
    content = made.path.read_bytes()
    assert carry(home, own) == [made.path.name]
    assert carry(home, own) == []
    assert everything(home.backups).keys() == {made.path.name, made.path.name + ".sha256"}
    forget(home)
    (copy,) = carrying.copies(own).found()
    assert (copy.archive, copy.encrypted, copy.whole, copy.verified) == (made.path.name, encrypted, True, False)
    for wanted in (copy.kept.name, made.path.name, "latest", f"{own.remote}/{copy.file}"):
        assert fetched(home, own, wanted) == content
    assert not list(home.backups.glob("*")) and not list(home.backups.glob(".*"))
    with pytest.raises(BadInput, match="there is no backup"):
        fetched(home, own, "backup_20200101_000000")


def test_copies_in_a_folder_are_private_and_checked_by_anybody(home: Home, tmp_path: Path, key) -> None:
    own = Backups(remote=str(tmp_path / "nas"), recipient=key[0])
    made = back_up(home)
    carry(home, own)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "nas").iterdir()} == {0o600}
    summed = subprocess.run(["sha256sum", "-c", f"{made.path.name}.age.sha256"], cwd=tmp_path / "nas", capture_output=True, check=True)
    assert b"OK" in summed.stdout


@pytest.mark.machine
def test_age_itself_reads_an_encrypted_copy(home: Home, tmp_path: Path, key) -> None:
    made = back_up(home)
    carry(home, Backups(remote=str(tmp_path / "nas"), recipient=key[0]))
    done = subprocess.run(["age", "-d", "-i", key[1], tmp_path / "nas" / f"{made.path.name}.age"], capture_output=True, check=True)
    assert done.stdout == made.path.read_bytes()


def test_a_long_copy_goes_in_parts(server: Server, home: Home, monkeypatch) -> None:
    own = Backups(remote=f"s3://bucket/{PREFIX}")
    monkeypatch.setattr(bucket, "CHUNK", 5 << 20)
    home.backups.mkdir(exist_ok=True)
    path = home.backups / "backup_20261124_163000.tar.gz"
    path.write_bytes(os.urandom(13 << 20))
    made = subprocess.run(["sha256sum", path.name], cwd=home.backups, capture_output=True, check=True)
    path.with_name(path.name + ".sha256").write_bytes(made.stdout)
    copies.Copies(own.remote, own).send(path, events.ignore)
    assert server.objects[f"{PREFIX}/{path.name}"] == path.read_bytes()
    assert sum("partNumber" in line for line in server.seen) == 3


def test_a_server_that_fails_and_then_works_gets_its_copy(server: Server, home: Home) -> None:
    own = Backups(remote=f"s3://bucket/{PREFIX}")
    made = back_up(home)
    server.failing = 5
    assert carry(home, own) == [made.path.name]
    server.failing, server.methods = 3, {"GET"}
    forget(home)
    assert fetched(home, own, "latest")
    assert server.failing == 0


def test_a_copy_that_does_not_arrive_leaves_the_backup(server: Server, home: Home, v6) -> None:
    put_settings(home, remote=f"s3://bucket/{PREFIX}")
    server.failing, server.status = 10**6, 501
    failed = v6("--home", home.root, "backup", check=69)
    assert "the backup stands" in failed.stderr and "v6 backup copies what is missing" in failed.stderr
    assert "very-secret" not in failed.stderr and "Signature" not in failed.stderr
    assert "backup_" in failed.stdout and len(catalogue.backups(home)) == 1
    server.failing = 0
    v6("--home", home.root, "backup", check=0)
    listed = json.loads(v6("--home", home.root, "backup", "list", "--remote", "-o", "json", check=0).stdout)
    assert [(row["verified"], row["here"], row["encrypted"]) for row in listed["rows"]] == [("never", "yes", "no")] * 2
    server.failing, server.status = 10**6, 403
    denied = v6("--home", home.root, "backup", "list", "--remote", check=78)
    assert "lets nobody in" in denied.stderr and "very-secret" not in denied.stderr


def test_what_comes_back_changed_is_no_copy(server: Server, home: Home) -> None:
    own = Backups(remote=f"s3://bucket/{PREFIX}")
    made = back_up(home)
    server.damaged = {f"{PREFIX}/{made.path.name}"}
    with pytest.raises(Unavailable, match="not the one that was sent"):
        carry(home, own)
    (copy,) = carrying.copies(own).found()
    assert not copy.whole
    with (
        pytest.raises(BadInput, match="never arrived whole"),
        carrying.archive_of(home, own, f"{own.remote}/{copy.file}", home.backups, events.ignore),
    ):
        pass
    server.damaged = set()
    assert carry(home, own) == [made.path.name]
    server.damaged = {f"{PREFIX}/{made.path.name}"}
    forget(home)
    with pytest.raises(BadInput, match="is damaged: its sum"):
        fetched(home, own, "latest")


def test_a_damaged_backup_is_not_copied(home: Home, tmp_path: Path) -> None:
    made = back_up(home)
    made.path.write_bytes(made.path.read_bytes()[:-1])
    with pytest.raises(BadInput, match="not the one whose sum"):
        carry(home, Backups(remote=str(tmp_path / "nas")))


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_copy_by_the_same_name_of_another_home_is_none_of_this_one(home: Home, own: Backups, key, encrypted: bool) -> None:
    """A schedule backs both up at the same second."""
    if encrypted:
        own = Backups(remote=own.remote, recipient=key[0])
    first, second = back_up(home), back_up(home)
    theirs = second.path.read_bytes()
    second.path.unlink()
    shutil.copy(first.path, second.path)
    second.path.with_name(f"{second.path.name}.sha256").write_text(f"{first.sha256}  {second.path.name}\n")
    assert carry(home, own) == [second.path.name, first.path.name]
    second.path.write_bytes(theirs)
    second.path.with_name(f"{second.path.name}.sha256").write_text(f"{second.sha256}  {second.path.name}\n")
    with pytest.raises(BadConfiguration, match="of another home"):
        carry(home, own)


def test_only_its_key_opens_an_encrypted_copy(home: Home, tmp_path: Path, key, monkeypatch) -> None:
    import pyrage

    nas = tmp_path / "nas"
    made = back_up(home)
    carry(home, Backups(remote=str(nas), recipient=key[0]))
    forget(home)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)

    def refused(exception: type[Exception], match: str, **identity: str) -> None:
        with pytest.raises(exception, match=match):
            fetched(home, Backups(remote=str(nas), **identity), "latest")
        assert not list(home.backups.glob(".*"))

    refused(BadConfiguration, "no key is named")
    refused(BadConfiguration, "cannot be read", identity=str(tmp_path / "none"))
    other = tmp_path / "other.txt"
    other.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    other.chmod(0o600)
    refused(BadConfiguration, "another key", identity=str(other))
    key[1].chmod(0o640)
    refused(BadConfiguration, "can be read by others: its mode is 640", identity=str(key[1]))
    key[1].chmod(0o600)
    other.write_text("ssh-ed25519 AAAA\n")
    refused(BadConfiguration, "no file of age keys", identity=str(other))
    folder = tmp_path / "credentials"
    folder.mkdir()
    shutil.copy(key[1], folder / "backup-identity")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    assert fetched(home, Backups(remote=str(nas)), "latest")
    cut = (nas / f"{made.path.name}.age").read_bytes()[:-1000]
    (nas / f"{made.path.name}.age").write_bytes(cut)
    refused(BadInput, "is damaged: its sum")
    summed = subprocess.run(["sha256sum", f"{made.path.name}.age"], cwd=nas, capture_output=True, check=True)
    (nas / f"{made.path.name}.age.sha256").write_bytes(summed.stdout)
    refused(BadInput, "is damaged or cut off")


def test_copies_are_pruned_as_backups_are_and_the_newest_verified_stays(home: Home, own: Backups) -> None:
    made = back_up(home)
    old = [made.path.with_name(f"backup_202001{day:02}_163000.tar.gz") for day in (5, 6, 7)]
    for path in old:
        shutil.copy(made.path, path)
        path.with_name(path.name + ".sha256").write_text(f"{made.sha256}  {path.name}\n")
    carry(home, msgspec.structs.replace(own, keep=36_500.0))
    catalogue.record(verify.verify(old[1], home.backups, events.ignore))
    keep = 30.0
    home.backups.joinpath(old[0].name).unlink()
    dry, error = carrying.prune(home, own, keep, dry_run=True)
    assert error is None and [one.kept.path.name for one in dry if one.goes] == [old[2].name, old[0].name]
    assert len(carrying.copies(own).found()) == 4
    done, error = carrying.prune(home, own, keep, dry_run=False)
    assert error is None and [one.why for one in done] == [one.why for one in dry]
    assert [one.archive for one in carrying.copies(own).found()] == [made.path.name, old[1].name]
    assert place.at(own.remote).sizes().keys() >= {made.path.name, made.path.name + ".sha256", old[1].name, old[1].name + ".sha256"}


def aged(home: Home, *days: int) -> list[str]:
    """Make backups of a home old: one of each of these days of January 2020; their names, the newest first."""
    made = back_up(home)
    for day in days:
        path = made.path.with_name(f"backup_202001{day:02}_163000.tar.gz")
        shutil.copy(made.path, path)
        path.with_name(f"{path.name}.sha256").write_text(f"{made.sha256}  {path.name}\n")
    made.path.with_name(f"{made.path.name}.sha256").unlink()
    made.path.unlink()
    return [one.path.name for one in catalogue.backups(home)]


def beside(home: Home) -> Home:
    """A second home, a copy of the first with the backups, the mark and the settings that it has."""
    other = Home(home.root.with_name("other"))
    shutil.copytree(home.root, other.root)
    return other


def pruned(home: Home, own: Backups, **how: bool) -> dict[str, str]:
    """Why each copy was kept, empty for those that went."""
    done, error = carrying.prune(home, own, 30.0, dry_run=False, **how)
    assert error is None
    return {one.kept.path.name: one.why for one in done}


def there(own: Backups) -> list[str]:
    return [one.archive for one in carrying.copies(own).found()]


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_home_prunes_no_copy_of_another_one_in_the_same_place(home: Home, own: Backups, key, encrypted: bool) -> None:
    own = msgspec.structs.replace(own, keep=36_500.0)
    if encrypted:
        own = msgspec.structs.replace(own, recipient=key[0], identity=str(key[1]))
    other = beside(home)
    theirs, ours = aged(other, 1, 3, 5), aged(home, 2, 4, 6)
    assert (carry(other, own), carry(home, own)) == (theirs, ours)
    label = whose.known(other).label
    assert pruned(home, own) == {ours[0]: "the newest one", ours[1]: "", ours[2]: ""} | dict.fromkeys(theirs, f"of {label}")
    assert there(own) == sorted([*theirs, ours[0]], reverse=True)
    forget(other)
    with carrying.archive_of(other, own, "latest", other.backups, events.ignore) as path:
        assert path.name == theirs[0]  # though one of the other home is newer
    assert pruned(other, own) == {theirs[0]: "the newest one", theirs[1]: "", theirs[2]: "", ours[0]: f"of {whose.known(home).label}"}
    left = place.at(own.remote).sizes()
    assert {name.partition(".")[0] for name in left} == {theirs[0].partition(".")[0], ours[0].partition(".")[0]}


def test_a_home_that_was_copied_owns_no_copy_of_the_first(home: Home, own: Backups) -> None:
    own = msgspec.structs.replace(own, keep=36_500.0)
    names = aged(home, 1, 2, 3)
    carry(home, own)
    other = beside(home)
    assert whose.known(other).mark != whose.known(home).mark
    assert carry(other, own) == []
    assert pruned(other, own) == dict.fromkeys(names, f"of {whose.known(home).label}")
    assert list(pruned(home, own).values()) == ["the newest one", "", ""]


def test_an_older_copy_without_a_mark_goes_only_where_the_backup_proves_whose_it_is(home: Home, own: Backups) -> None:
    names = aged(home, 1, 2, 3, 4)
    for name in names:
        copies.Copies(own.remote, own).send(home.backups / name, events.ignore)
    other = beside(home)
    forget(other)
    assert set(pruned(other, own).values()) == {UNPROVEN}
    (home.backups / names[1]).unlink()
    (home.backups / f"{names[2]}.sha256").write_text(f"{'0' * 64}  {names[2]}\n")
    assert pruned(home, own) == {names[0]: "the newest one", names[1]: UNPROVEN, names[2]: UNPROVEN, names[3]: ""}
    assert carry(home, msgspec.structs.replace(own, keep=36_500.0)) == [names[3]]
    assert [one.marks for one in carrying.copies(own).found()] == [(whose.known(home).mark,), (), (), (whose.known(home).mark,)]


def test_what_another_home_is_sending_is_no_remnant(home: Home, own: Backups) -> None:
    """Beside an archive that is not there yet lie its mark and, where it is encrypted, its sum."""
    carry(home, own)
    back_up(home)
    sending = "backup_20200101_163000.tar.gz"
    their, our = whose.Owner("0" * 16, "elsewhere"), whose.known(home)
    for owner, name in ((their, sending), (our, "backup_20200102_163000.tar.gz")):
        there = copies.Copies(own.remote, own)
        there.claim(name, owner)
        there._put_text(f"{name}.sha256", f"{'0' * 64}  {name}\n")
    pruned(home, own)
    assert place.at(own.remote).sizes().keys() == {f"{sending}.sha256", f"{sending}.of-{their.mark}"}


def test_whose_a_copy_is_can_be_seen(home: Home, own: Backups, v6) -> None:
    own = msgspec.structs.replace(own, keep=36_500.0)
    put_settings(home, remote=own.remote)
    other = beside(home)
    ours, theirs, unknown = aged(home, 1)[0], aged(other, 2)[0], "backup_20200103_163000.tar.gz"
    carry(home, own)
    carry(other, own)
    copies.Copies(own.remote, own).claim(theirs, whose.Owner(whose.known(other).mark, "box:/h\nforged\x1b[2J"))
    shutil.copy(home.backups / ours, home.backups / unknown)
    shutil.copy(home.backups / f"{ours}.sha256", home.backups / f"{unknown}.sha256")
    copies.Copies(own.remote, own).send(home.backups / unknown, events.ignore)
    listed = json.loads(v6("--home", home.root, "backup", "list", "--remote", "-o", "json", check=0).stdout)
    assert [row["home"] for row in listed["rows"]] == [None, "box:/h forged [2J", "this home"]
    dry = v6("--home", home.root, "backup", "prune", "--dry-run", check=0).stdout
    assert "of box:/h forged" in dry and "not proven to be of this home: 1" in dry
    said: list[object] = []
    with carrying.archive_of(home, own, theirs, home.backups, said.append):
        assert "of box:/h forged [2J from" in str(said[0])


def test_a_copy_whose_name_is_no_moment_is_not_pruned(home: Home, own: Backups) -> None:
    made = back_up(home)
    carry(home, own)
    odd = made.path.with_name("backup_20261399_999999.tar.gz")
    made.path.rename(odd)
    odd.with_name(f"{odd.name}.sha256").write_text(f"{made.sha256}  {odd.name}\n")
    copies.Copies(own.remote, own).send(odd, events.ignore)
    odd.unlink()
    done, error = carrying.prune(home, own, 30.0, dry_run=False)
    assert error is None and {one.kept.path.name: one.goes for one in done} == {odd.name: False, made.path.name: False}


def test_that_a_backup_was_verified_is_known_there(home: Home, own: Backups) -> None:
    made = back_up(home)
    carry(home, own)
    catalogue.record(verify.verify(made.path, home.backups, events.ignore))
    carry(home, own)
    forget(home)
    assert carrying.copies(own).found()[0].verified


def test_restored_straight_from_there(home: Home, own: Backups, v6) -> None:
    put_settings(home, remote=own.remote)
    made = back_up(home)
    name = made.path.name.removesuffix(".tar.gz")
    v6("--home", home.root, "backup", check=0)
    forget(home)
    shutil.rmtree(home.lake / "executions")
    before = everything(home.root)
    assert "executions" in v6("--home", home.root, "restore", name, "--dry-run", check=0).stdout
    assert everything(home.root) == before
    declined = v6("--home", home.root, "restore", name, check=77)
    assert "comes: it is not here" in declined.stdout
    assert [path.name for path in home.backups.iterdir()] == []
    with carrying.archive_of(home, settings.load(home).backup, name, home.backups, events.ignore) as path:
        run(home, Wish(path))
    assert (home.lake / "executions" / "_delta_log").is_dir()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("remote", "ftp://host/x"),
        ("remote", "relative/path"),
        ("remote", "s3://key:secret@bucket/x"),
        ("remote", "az://account/c?sig=abc"),
        ("recipient", "age1short"),
        ("identity", "key.txt"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(home: Home, name: str, value: str) -> None:
    put_settings(home, **{name: value})
    with pytest.raises(BadConfiguration, match=f"backup.{name}"):
        settings.load(home)


def test_without_the_packages_it_says_how_to_get_them(home: Home, tmp_path: Path, monkeypatch, key) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    monkeypatch.setitem(__import__("sys").modules, "pyrage", None)
    back_up(home)
    for own in (Backups(remote="s3://bucket/x"), Backups(remote=str(tmp_path / "nas"), recipient=key[0])):
        with pytest.raises(BadConfiguration) as refused:
            carry(home, own)
        assert refused.value.next_step == "pip install 'v6[remote]'"


def test_a_place_that_is_not_mounted(home: Home, tmp_path: Path) -> None:
    back_up(home)
    with pytest.raises(Unavailable, match="is not there"):
        carry(home, Backups(remote=str(tmp_path / "mnt" / "usb" / "v6")))


def test_amazons_own_files_are_read(tmp_path: Path, monkeypatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = A\naws_secret_access_key = B\n[p]\naws_access_key_id = C\n"
    )
    (tmp_path / ".aws" / "config").write_text("[default]\nregion = eu-north-1\n[profile p]\nregion = us-west-2\n")
    assert bucket._amazon() == {"aws_access_key_id": "A", "aws_secret_access_key": "B", "region": "eu-north-1"}
    monkeypatch.setenv("AWS_PROFILE", "p")
    assert bucket._amazon() == {"aws_access_key_id": "C", "region": "us-west-2"}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "D")
    assert bucket._amazon() == {"region": "us-west-2"}


def test_one_carries_at_a_time_and_no_room_is_said(home: Home, tmp_path: Path, monkeypatch) -> None:
    from v6cli import locks
    from v6cli.backup import scratch

    own = Backups(remote=str(tmp_path / "nas"))
    back_up(home)
    with locks.try_hold(home.run / "copies.lock", "v6 backup of another"), pytest.raises(Unavailable, match="of another"):
        carry(home, own)
    carry(home, own)
    forget(home)
    monkeypatch.setattr(scratch, "free", lambda _place: 100)
    with pytest.raises(CannotWrite, match="no room"):
        fetched(home, own, "latest")


@pytest.mark.parametrize("remote", ["gs://bucket/v6", "az://container/v6"])
@pytest.mark.parametrize("known", [False, True])
def test_other_clouds_without_account_or_network_fail_in_one_line(
    v6, home: Home, monkeypatch, tmp_path: Path, remote: str, known: bool
) -> None:
    """Neither is spoken to here: that their stores are made, and that what they say reaches the operator short and without a secret."""
    port = free_port()
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_", "AZURE_"))]:
        monkeypatch.delenv(name)
    put_settings(home, remote=remote)
    google = tmp_path / "google.json"
    if known:
        account = {"client_email": "a@b", "private_key": "", "private_key_id": "", "disable_oauth": True}
        google.write_text(json.dumps(account | {"gcs_base_url": f"http://127.0.0.1:{port}"}))
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "dmVyeS1zZWNyZXQ=")
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(google))
    failed = v6("--home", home.root, "backup", "list", "--remote", check=69 if known else 78)
    assert remote in failed.stderr and "dmVyeS" not in failed.stderr and "Traceback" not in failed.stderr
    assert len(failed.stderr.strip().splitlines()) <= 3, failed.stderr
