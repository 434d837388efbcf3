"""The logs of the last hours, as one archive to analyse in peace: one member for each log, secrets masked."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from v6cli import clock
from v6cli.errors import CannotWrite
from v6cli.files import FILE_MODE, private_folder, sync_folder
from v6cli.home import Home
from v6cli.results import count
from v6cli.secrets import redact
from v6cli.services import logs
from v6cli.services.backend import Backend

SINCE = timedelta(hours=24)
MOST = 400_000  # lines of one log; a runaway program must not make the archive of an emergency endless
WITHIN = 20.0  # wall seconds after which no further log is read


def sources(home: Home, services: Backend, names: Sequence[str]) -> list[Path]:
    """Every log of the home: of the services, of the commands, of the supervisor."""
    return [home.log, home.logs / "supervisord.log", *(path for name in names for path in services.log_files(name))]


def collect(files: Sequence[Path], archive: Path) -> str:
    """Write the archive, durably; what is in it, in words. Raises CannotWrite, and leaves nothing half written then."""
    import tarfile

    since, deadline = clock.wall() - SINCE, clock.monotonic() + WITHIN
    draft = archive.with_name(f".{archive.name}.draft")
    kept, left_out = 0, 0
    try:
        private_folder(archive.parent)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as packed:
                for source in dict.fromkeys(files):
                    if clock.monotonic() >= deadline:
                        left_out += 1
                    elif text := _text(source, since):
                        _add(packed, source.name, text)
                        kept += 1
            file.flush()
            os.fsync(descriptor)
        draft.replace(archive)
        sync_folder(archive.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise CannotWrite(
            f"the logs cannot be archived in {archive}: {error.strerror}", next_step="copy the folder logs elsewhere"
        ) from error
    rest = f"; {count(left_out, 'log')} left out for lack of time" if left_out else ""
    return f"{count(kept, 'log')} of the last 24 hours in logs/{archive.name}{rest}"


def _text(source: Path, since: datetime) -> bytes:
    lines = logs.read([source], since=since, limit=MOST)
    return "".join(f"{line.at.isoformat()} {line.level} {redact(line.text)}\n" for line in lines).encode("utf-8", "replace")


def _add(packed: object, name: str, text: bytes) -> None:
    import tarfile

    assert isinstance(packed, tarfile.TarFile)
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(text), FILE_MODE, int(clock.wall().timestamp())
    packed.addfile(member, io.BytesIO(text))
