"""The control socket of a running simulated gateway: faults are set, healed and told while it runs."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from v6cli import control
from v6cli.errors import Refused, ServiceUnavailable, UsageError
from v6cli.home import Home, is_home
from v6cli.simulator.faults.fault import Parameter
from v6cli.simulator.faults.words import Holding, Wish

if TYPE_CHECKING:
    from v6cli.settings import Settings
    from v6cli.simulator.server import Gateway

SERVICE = "ib-gateway"


def verbs(gateway: Gateway) -> dict[str, control.Verb]:
    """What a gateway can be asked for over its socket; each returns what holds after it."""

    async def told() -> Sequence[Holding]:
        return [Holding(*each) for each in gateway.faults.held]

    async def let_happen(name: str, parameters: dict[str, Parameter]) -> Sequence[Holding]:
        gateway.faults.set(name, **parameters)
        return await told()

    async def heal(name: str | None = None) -> Sequence[Holding]:
        if name is None:
            gateway.faults.clear_all()
        else:
            gateway.faults.clear(name)
        return await told()

    return {"faults": told, "set": let_happen, "heal": heal}


def socket_of(home: Home, own: Settings) -> Path:
    """Where the simulated gateway of a home listens. Raises Refused for a home that is not a demo with one."""
    if own.profile != "demo" or not own.gateway.simulated:
        why = f"profile {own.profile}" if own.profile != "demo" else "gateway.simulated = false"
        raise Refused(
            f"{home} has no simulated gateway ({why}): nothing can be made to fail there", next_step="v6 demo (a home that has one)"
        )
    return home.control_socket(SERVICE)


def outside_home(path: Path) -> Path:
    """``path``, unless it belongs to a home: what is done to that one's gateway is journaled there. Raises UsageError."""
    folder = path.absolute().parent.parent
    if is_home(folder):
        raise UsageError(f"{path} belongs to the home {folder}", next_step=f"v6 --home {folder} gateway fault")
    return path


def own_socket(path: Path) -> Path:
    """``path``, unless something else than a socket lies there: listening would put a socket in its place. Raises Refused."""
    if os.path.lexists(path) and not path.is_socket():
        raise Refused(f"{path} is in the way: it is no socket, and stays as it is", next_step="choose another path with --control")
    return path


def carry_out_outside(path: Path, wish: Wish) -> list[Holding]:
    """As ``carry_out``, at a gateway outside a home. Raises ServiceUnavailable, UsageError."""
    try:
        return carry_out(outside_home(path), wish)
    except ServiceUnavailable as error:
        raise ServiceUnavailable(error.message, next_step=f"v6 gateway simulate --control {shlex.quote(str(path))}") from None


def held_at(path: Path) -> list[Holding]:
    """The faults that hold at the gateway that listens there. Raises ServiceUnavailable."""
    return _understood(control.call(path, "faults"))


def held_if_known(path: Path | None, home: Home | None, own: Callable[[], Settings]) -> list[Holding] | None:
    """The faults that hold at the gateway at ``path``, or else at the home's; None where none can be asked."""
    try:
        if path is None and home is not None:
            path = socket_of(home, own())
        return held_at(path) if path is not None else None
    except (Refused, ServiceUnavailable):
        return None


def carry_out(path: Path, wish: Wish) -> list[Holding]:
    """Set or heal faults at the gateway that listens there; return what holds then. Raises ServiceUnavailable."""
    if wish.clear:
        return _understood(control.call(path, "heal", name=wish.name))
    return _understood(control.call(path, "set", name=wish.name, parameters=wish.parameters))


def _understood(answer: object) -> list[Holding]:
    return msgspec.convert(answer, list[Holding])
