"""This machine, its software and the files of a home, as a supporter wants to know them."""

from __future__ import annotations

import os
import platform
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from v6cli import __version__, clock
from v6cli.home import Home

_HEEDED = ("V6_", "LC_", "LANG", "TZ", "TERM", "COLUMNS", "NO_COLOR", "PYTHON", "VIRTUAL_ENV", "SUDO_USER", "XDG_")
MOST_FILES = 2000


def own_versions() -> dict[str, str]:
    """v6 and what it runs on."""
    return {"v6": __version__, "python": platform.python_version(), "system": f"{platform.system()} {platform.release()}"}


def versions() -> dict[str, Any]:
    """Every installed distribution beside v6 and what it runs on."""
    from importlib import metadata

    found = {dist.name: dist.version for dist in metadata.distributions() if dist.name}
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "") if Path("/etc/os-release").exists() else ""
    return {
        **own_versions(),
        "distribution": system,
        "machine": platform.machine(),
        "interpreter": sys.executable,
        "packages": dict(sorted(found.items())),
    }


def environment() -> dict[str, str]:
    """The variables that v6, Python and the terminal heed."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(_HEEDED)}


def figures(home: Home) -> dict[str, Any]:
    """Processors, load, memory and disks, in bytes; the machine's clock and how home time runs."""
    import shutil
    import tempfile

    import psutil

    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    disks = {
        str(path): dict(zip(("total", "used", "free"), shutil.disk_usage(path), strict=True)) for path in (home.root, tempfile.gettempdir())
    }
    return {
        "units": "bytes",
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
        "memory": {"total": memory.total, "available": memory.available},
        "swap": {"total": swap.total, "used": swap.used},
        "disks": disks,
        "booted": datetime.fromtimestamp(psutil.boot_time(), UTC),
        "clock": {"wall": clock.wall(), "home": clock.now(), "rate": clock.rate(), "zone": str(clock.wall().astimezone().tzname())},
        "runs_as": {"uid": os.getuid(), "gid": os.getgid()},
    }


def files(home: Home) -> list[str]:
    """The files and folders of a home, each as mode, owner, bytes, time of change, path; of the lake its tables alone."""
    return list(islice(map(_file, _walk(home)), MOST_FILES))


def _walk(home: Home) -> Iterator[Path]:
    for folder, below, names in os.walk(home.root):
        at = Path(folder)
        yield at
        if at.parent == home.lake:
            below.clear()
        else:
            below.sort()
            yield from (at / name for name in sorted(names))


def _file(path: Path) -> str:
    try:
        facts = path.lstat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    changed = datetime.fromtimestamp(facts.st_mtime, UTC)
    return f"{stat.filemode(facts.st_mode)} {facts.st_uid:5} {facts.st_size:10} {changed:%Y-%m-%dT%H:%M:%SZ} {path}"
