"""Other users, for tests that root runs: v6 as one of them, and a view of the machine in which they may read v6 and its Python."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
OWNER = pwd.getpwnam("nobody")
STRANGER = 54321  # a user id without a name

# Whatever keeps others out is covered by an empty folder, into which what they need is bound again. Seen by these processes alone.
_COVER = """
umask 022
covered=$1; shift
kept=$(mktemp -d)
number=0; names=
while [ "$1" != -- ]; do
    mkdir "$kept/$number"; mount --bind "$1" "$kept/$number"
    names="$names $1"; number=$((number + 1)); shift
done
shift
mount -t tmpfs -o mode=755,size=1m tmpfs "$covered"
number=0
for name in $names; do
    mkdir -p "$name"; mount --move "$kept/$number" "$name"; rmdir "$kept/$number"; number=$((number + 1))
done
rmdir "$kept"
exec "$@"
"""


def _shut(path: Path) -> Path | None:
    """The topmost folder above a path that keeps others out."""
    return next((folder for folder in reversed((path, *path.parents)) if folder.stat().st_mode & 0o005 != 0o005), None)


def seen_by_all() -> list[str]:
    """What to run a command with, so that any user may read this v6 and its Python."""
    needed = [Path(sys.prefix), Path(os.path.realpath(sys.base_prefix)), Path(sys.base_prefix), ROOT]
    shut: dict[Path, list[Path]] = {}
    for path in dict.fromkeys(needed):
        if (folder := _shut(path)) and not any(path.is_relative_to(other) for other in shut.get(folder, [])):
            shut.setdefault(folder, []).append(path)
    argv: list[str] = []
    for folder, paths in shut.items():
        argv += ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _COVER, "sh", str(folder), *map(str, paths), "--"]
    return argv


def becoming(user: int, group: int) -> list[str]:
    """What to run a command with, so that it runs as that user."""
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "env", "HOME=/", "TMPDIR=/tmp"]
