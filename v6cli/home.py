"""The folder v6 works in: how it is found, and where each thing lives in it.

A home is a folder with ``config/v6.toml`` that names a profile, as `v6 init` writes it, or with a latch: one whose settings are damaged
or gone is still the home that was meant. Nothing else is taken for one: not a checkout, not somebody else's project that happens to
have a ``config`` folder.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from v6cli.errors import BadConfiguration

MARKER = Path("config/v6.toml")
LATCH = Path("data/state/latch")
INSTALLED = Path("/opt/v6-trading")
LONGEST_PATH = 70  # sockets live below a home, and a socket's path ends at 107 bytes


class Unreachable(BadConfiguration):
    """A folder into which this user may not look."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} may not be looked into: Permission denied", next_step=f"ls -ld {folder}")
        self.folder = folder


class Home:
    """Paths of one home. Making a Home touches nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings_file = root / MARKER
        self.config = root / "config"
        self.logs = root / "logs"
        self.backups = root / "backups"
        self.support = root / "support"
        self.lake = root / "data" / "lake"
        self.restore = root / "data" / "restore"
        self.restore_record = self.restore / "restore.json"
        self.state_folder = root / "data" / "state"
        self.state = self.state_folder / "v6.sqlite"
        self.latch = root / LATCH
        self.latch_ballast = self.state_folder / "latch.ballast"
        self.spare_journal = self.state_folder / "journal.spare"
        self.identity = self.state_folder / "home.id"
        self.run = root / "run"
        self.runs = self.run / "runs"
        self.latch_lock = self.run / "latch.lock"
        self.log = self.logs / "v6.log"

    def control_socket(self, service: str) -> Path:
        """Where a service listens for requests of other v6 processes on this machine."""
        return self.run / f"{service}.sock"

    @property
    def owner(self) -> int | None:
        """Whose it is, by user id; None where it is not there yet."""
        try:
            return self.root.stat().st_uid
        except FileNotFoundError:
            return None

    def __str__(self) -> str:
        return str(self.root)

    def __repr__(self) -> str:
        return f"Home({str(self.root)!r})"


def is_home(folder: Path) -> bool:
    """Whether ``folder`` carries the marker of a home, a ``config/v6.toml`` that assigns a profile at its top level, or its latch."""
    return profile_of(folder) is not None or os.path.isdir(folder / LATCH)  # noqa: PTH112  unlike Path's it is false where nobody may look


def profile_of(folder: Path) -> str | None:
    """The profile that the marker of a home assigns, as written; None where there is none. Works on a file that is otherwise broken."""
    try:
        lines = (folder / MARKER).read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        key, separator, value = line.partition("=")
        if separator and key.strip() == "profile":
            return value.partition("#")[0].strip().strip("\"'")
        if line.lstrip().startswith("["):
            return None
    return None


def find_home(flag: str | Path | None = None) -> Home:
    """The home to work in: ``--home``, else ``$V6_HOME``, else the nearest ancestor that is one, else /opt/v6-trading.

    A place that is named must be a home; v6 never falls through to another one. Raises BadConfiguration, Unreachable.
    """
    for source, named in (("--home", flag), ("$V6_HOME", os.environ.get("V6_HOME"))):
        if named is not None:
            if not str(named):
                raise BadConfiguration(
                    f"{source} is empty: it must name a home", next_step="an unset variable of a script? name the home, or leave it out"
                )
            return _named(Path(named), source)
    if (around := enclosing()) is not None:
        return _checked(around)
    if is_home(INSTALLED):
        return _checked(INSTALLED)
    _check_reachable(INSTALLED)
    raise BadConfiguration(
        f"no home: looked at --home, $V6_HOME, {_working_folder() or 'the working folder (gone)'} and its parents, and {INSTALLED}",
        next_step="v6 demo (a home to try things in), v6 init DIR (a new one), or --home DIR",
    )


def enclosing() -> Path | None:
    """The nearest home around the working folder."""
    here = _working_folder()
    return next((folder for folder in (here, *here.parents) if is_home(folder)), None) if here else None


def checked_place(folder: Path) -> Path:
    """``folder`` as an absolute path that is short enough for a home. Raises BadConfiguration."""
    place = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100  resolve() would follow links the operator chose
    if len(os.fsencode(place)) > LONGEST_PATH:
        raise BadConfiguration(
            f"the path {place} is longer than {LONGEST_PATH} bytes, too long for the sockets below it", next_step="choose a shorter one"
        )
    return place


def _named(folder: Path, source: str) -> Home:
    place = checked_place(folder)
    if is_home(place):
        return Home(place)
    _check_reachable(place)
    why = f"has no {MARKER} that names a profile" if place.is_dir() else "is not a folder"
    raise BadConfiguration(f"{place} ({source}) is not a home: it {why}", next_step=f"v6 init {shlex.quote(str(place))}")


def _check_reachable(folder: Path) -> None:
    """Raise Unreachable where nobody can say whether it is a home, for want of permission."""
    try:
        (folder / MARKER).open("rb").close()
    except PermissionError:
        raise Unreachable(folder) from None
    except OSError:
        return


def _checked(folder: Path) -> Home:
    return Home(checked_place(folder))


def _working_folder() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None
