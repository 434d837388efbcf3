"""kill -9 while a copy is on its way: half of one is never taken for a copy, and the next that sends it makes it whole."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from v6cli import events
from v6cli.backup import bucket, carrying, place
from v6cli.errors import BadInput
from v6cli.home import Home
from v6cli.settings import Backups

from ..conftest import ROOT
from .test_copies import forget, key, own, server

__all__ = ["key", "own", "server"]

NAME = "backup_20261124_163000.tar.gz"
CHUNK = 5 << 20  # the least that S3 takes for a part

SEND = """
import os, signal, sys
from pathlib import Path
from v6cli import events
from v6cli.backup import bucket, copies, place
from v6cli.settings import Backups

archive, remote, recipient, owner, act, when, nth = sys.argv[1:]
place.CHUNK = bucket.CHUNK = 5 << 20
owner, calls = getattr(copies, owner), []
real = getattr(owner, act)

def dies(*given):
    calls.append(act)
    if (len(calls), when) == (int(nth), "before"):
        os.kill(os.getpid(), signal.SIGKILL)
    came = real(*given)
    if (len(calls), when) == (int(nth), "after"):
        os.kill(os.getpid(), signal.SIGKILL)
    return came

setattr(owner, act, dies)
copies.Copies(remote, Backups(remote=remote, recipient=recipient)).send(Path(archive), events.ignore)
"""

SEAMS = {
    "before the first byte": ("_Told", "read", "before", 1),
    "amid the content": ("_Told", "read", "after", 2),
    "before it is read back": ("Copies", "_sum_there", "before", 1),
    "before its sum": ("Copies", "_sum_there", "after", 1),
    "amid what lies beside": ("Copies", "_put_text", "before", 1),
}


@pytest.fixture
def long(home: Home) -> Path:
    """A backup that takes several parts, with its sum beside it."""
    home.backups.mkdir(exist_ok=True)
    path = home.backups / NAME
    path.write_bytes(content := os.urandom(2 * CHUNK + 7))
    path.with_name(path.name + ".sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  {path.name}\n")
    return path


@pytest.mark.parametrize("seam", SEAMS)
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_copy_that_was_killed_is_none(
    home: Home, own: Backups, key: tuple[str, Path], long: Path, seam: str, encrypted: bool, monkeypatch
) -> None:
    monkeypatch.setattr(place, "CHUNK", CHUNK)
    monkeypatch.setattr(bucket, "CHUNK", CHUNK)
    if encrypted:
        own = Backups(remote=own.remote, recipient=key[0], identity=str(key[1]))
    line = [sys.executable, "-c", SEND, str(long), own.remote, own.recipient, *map(str, SEAMS[seam])]
    killed = subprocess.run(line, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not [one for one in carrying.copies(own).found() if one.whole]
    with pytest.raises(BadInput, match=r"there is no backup|never arrived whole"):
        fetch(home, own)
    assert carrying.carry(home, own, events.ignore) == carrying.Carried(own.remote, [NAME])
    content = long.read_bytes()
    forget(home)
    assert [(one.archive, one.whole) for one in carrying.copies(own).found()] == [(NAME, True)]
    assert fetch(home, own) == content


def fetch(home: Home, own: Backups) -> bytes:
    """What restoring the newest copy would begin with, and no copy at all where this machine has the backup itself."""
    folder = home.root / "fetched"
    folder.mkdir(exist_ok=True)
    found = carrying.copies(own)
    copy = next(iter(found.found()), None)
    if copy is None:
        raise BadInput("there is no backup")
    return found.fetch(copy, folder, events.ignore).read_bytes()


def test_half_a_copy_is_found_out_even_where_a_sum_lies_beside_it(home: Home, own: Backups, long: Path) -> None:
    there, half = place.at(own.remote), long.read_bytes()[:CHUNK]
    there.put(NAME, io.BytesIO(half), len(half))
    carrying.copies(own)._put_text(NAME + ".sha256", long.with_name(NAME + ".sha256").read_text())
    with pytest.raises(BadInput, match="is damaged: its sum"):
        fetch(home, own)
