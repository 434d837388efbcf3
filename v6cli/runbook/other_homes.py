"""Other homes on this machine that may trade: whoever halts one of them should know that the others go on."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from v6cli import clock, latch
from v6cli.home import INSTALLED, Home, is_home
from v6cli.latch import TradingState
from v6cli.services import processes
from v6cli.threads import aside

UNITS = (Path("/etc/systemd/system"), Path.home() / ".config/systemd/user")
_SUPERVISOR = re.compile(r"supervisor\.supervisord -c (?P<home>.+)/run/supervisord\.conf$")
_UNIT = re.compile(r"^ExecStart=.*\s--home[= ]\"?(?P<home>[^\"\s]+)", re.MULTILINE)


class OtherHome(Struct, frozen=True):
    """A home with its trading state, why it is looked at, and the line that halts it."""

    home: Home
    state: TradingState
    why: str

    @property
    def line(self) -> str:
        """The command that halts it."""
        return f"v6 --home {shlex.quote(str(self.home))} halt"

    def __str__(self) -> str:
        return f"other home, {self.state.value}, {self.why}: {self.line}"


def find(own: Home, units: Sequence[Path] = UNITS) -> list[OtherHome]:
    """Every other home of this machine that has a running supervisor, or services installed for systemd."""
    found: dict[Path, str] = {}
    for root, why in _candidates(units):
        if is_home(root) and not _same(root, own.root):
            found.setdefault(root, why)
    return [OtherHome(Home(root), latch.read(Home(root)).state, why) for root, why in sorted(found.items())]


async def look(own: Home, within: float) -> list[str]:
    """Each of them in a line, or in one that they are unknown; within so many wall seconds. Nothing that goes wrong here is raised."""
    try:
        async with clock.timeout(within):
            return [str(one) for one in await aside(find, own)]
    except TimeoutError:
        why = f"no answer within {within:g} s"
    except Exception as error:  # noqa: BLE001  whatever it is, what was done in this home stands
        why = str(error)
    return [f"whether other homes of this machine trade is UNKNOWN: {why}"]


def _candidates(units: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    for process in processes.find(_SUPERVISOR.pattern):
        if match := _SUPERVISOR.search(process.command):
            yield Path(match["home"]), "its supervisor runs"
    for folder in units:
        for unit in sorted(folder.glob("v6-*.service")):
            try:
                text = unit.read_text("utf-8", "replace")
            except OSError:
                continue
            for match in _UNIT.finditer(text):
                yield Path(match["home"]), f"installed as {unit.name}"
    yield INSTALLED, "installed"


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one == other
