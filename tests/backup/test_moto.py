"""Copies in a bucket of moto, an S3 that others wrote: carried, in parts, fetched, pruned. It is a process of its own, on loopback."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from v6cli import events
from v6cli.backup import bucket, carrying, copies
from v6cli.home import Home
from v6cli.settings import Backups

from ..conftest import free_port
from .conftest import back_up

PATIENCE = 30.0


@pytest.fixture
def where(request, monkeypatch) -> Iterator[str]:
    """The address of copies in a new bucket."""
    python = request.config.getoption("--moto")
    if python is None:
        pytest.skip("moto is in an environment of its own: --moto PYTHON names it")
    url = f"http://127.0.0.1:{free_port()}"
    command = [str(Path(python).absolute()), "-m", "moto.server", "-H", "127.0.0.1", "-p", url.rpartition(":")[2]]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(URLError, ConnectionError), urlopen(Request(f"{url}/bucket", method="PUT")):
                break
            assert time.monotonic() < deadline and server.poll() is None, "moto does not answer"
            time.sleep(0.2)
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in {
            "ACCESS_KEY_ID": "a",
            "SECRET_ACCESS_KEY": "b",
            "REGION": "us-east-1",
            "ENDPOINT_URL": url,
            "ALLOW_HTTP": "true",
        }.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        yield "s3://bucket/v6/copies"
    finally:
        server.kill()
        server.wait()


def test_copies_go_there_come_back_and_are_pruned(home: Home, where: str, monkeypatch) -> None:
    own = Backups(remote=where)
    made = back_up(home)
    content = made.path.read_bytes()
    assert carrying.carry(home, own, events.ignore) == carrying.Carried(where, [made.path.name])
    made.path.unlink()
    with carrying.archive_of(home, own, "latest", home.backups, events.ignore) as path:
        assert path.read_bytes() == content
    monkeypatch.setattr(bucket, "CHUNK", 5 << 20)
    long = home.backups / "backup_20200105_163000.tar.gz"
    long.write_bytes(os.urandom(12 << 20))
    summed = subprocess.run(["sha256sum", long.name], cwd=home.backups, capture_output=True, check=True)
    Path(f"{long}.sha256").write_bytes(summed.stdout)
    copies.Copies(where, own).send(long, events.ignore)
    assert [(one.archive, one.size) for one in carrying.copies(own).found()] == [(made.path.name, len(content)), (long.name, 12 << 20)]
    _, error = carrying.prune(home, own, 30.0, dry_run=False)
    assert error is None and [one.archive for one in carrying.copies(own).found()] == [made.path.name]
