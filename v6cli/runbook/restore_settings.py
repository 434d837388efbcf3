"""The settings of a backup in the place of those of the home, whose own are kept with the restore, so that they can come back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from v6cli import settings
from v6cli.backup.restoration import Restoration
from v6cli.backup.staging import Staged
from v6cli.errors import BadConfiguration, BadInput, Refused
from v6cli.files import write_durably
from v6cli.home import Home

if TYPE_CHECKING:
    from v6cli.settings import Settings

NOT_KEPT = "config-was"  # settings files that a restore replaced
ABSENT = ".was-not-there"


def files(folder: Path) -> list[str]:
    """The settings files that were taken out, by their path in a home."""
    place = Home(folder).config
    return sorted(path.relative_to(folder).as_posix() for path in place.rglob("*") if path.is_file())


def check(staged: Staged, own: Settings) -> None:
    """The settings of the backup can be used, and are of this profile and account. Raises BadInput, Refused."""
    assert staged.folder is not None
    copy = Home(staged.folder)
    if not copy.settings_file.exists():
        raise BadInput(f"{staged.archive.name} has no settings", next_step="leave --config out")
    try:
        theirs = settings.load(copy)
    except BadConfiguration as error:
        raise BadInput(f"the settings in {staged.archive.name} cannot be used: {error.message}", next_step="leave --config out") from error
    if (theirs.profile, theirs.account) != (own.profile, own.account):
        raise Refused(f"the settings in {staged.archive.name} are of {theirs.profile} {theirs.account}", next_step="leave --config out")


def put(home: Home, own: Restoration) -> None:
    """Put the settings that came with the restore in their place. Done twice, it is done once. Raises CannotWrite."""
    folder = own.folder(home)
    for name in own.config:
        _replace(home.root / name, (folder / name).read_bytes(), folder / NOT_KEPT / name)


def give_back(home: Home, own: Restoration) -> None:
    """Give the settings that were there their place again, as far as they had lost it. Raises CannotWrite."""
    kept = own.folder(home) / NOT_KEPT
    for name in own.config:
        if (kept / name).exists():
            write_durably(home.root / name, (kept / name).read_bytes())
        elif (kept / (name + ABSENT)).exists():
            (home.root / name).unlink(missing_ok=True)


def _replace(path: Path, content: bytes, aside: Path) -> None:
    """Replace a file, its former content kept; a second time keeps what was kept."""
    absent = aside.with_name(aside.name + ABSENT)
    if not aside.exists() and not absent.exists():
        write_durably(*((aside, path.read_bytes()) if path.exists() else (absent, b"")))
    write_durably(path, content)
