"""Whose a copy is, where several homes keep theirs in one place.

A home has a mark, of what it drew once at random and of where it lies. One that was copied drew the same but lies elsewhere, one that
was made anew in the same folder drew something else: neither takes the copies of the first for its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from msgspec import Struct

from v6cli.files import write_durably
from v6cli.home import Home

_MACHINE = Path("/etc/machine-id")
_DRAWN = 16  # bytes
_LENGTH = 16  # letters of a mark


class Owner(Struct, frozen=True):
    """A home as the copies know it: its mark, empty where it has none yet, and its host and folder, for people."""

    mark: str
    label: str


def known(home: Home) -> Owner:
    """This home; without a mark where it has sent no copy yet, or where what it drew cannot be read."""
    drawn = b""
    with contextlib.suppress(OSError):
        drawn = home.identity.read_bytes()
    return Owner(_mark(home, drawn) if drawn else "", f"{os.uname().nodename}:{home}")


def marked(home: Home) -> Owner:
    """This home, which draws its mark where it has none. Raises CannotWrite."""
    if not known(home).mark:
        write_durably(home.identity, f"{os.urandom(_DRAWN).hex()}\n".encode())
    return known(home)


def _mark(home: Home, drawn: bytes) -> str:
    machine = b""
    with contextlib.suppress(OSError):  # not every container has one
        machine = _MACHINE.read_bytes()
    place = os.fsencode(os.path.realpath(home.root))
    return hashlib.sha256(b"\0".join((drawn, place, machine))).hexdigest()[:_LENGTH]
