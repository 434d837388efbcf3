"""What outlives the gateway's process: account, orders, executions and every counter of ids, in one JSON file.

It is written before any message leaves that tells of a change: what a client was told is still so after a crash,
but for orders that IB does not have yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from v6cli.errors import BadConfiguration
from v6cli.files import write_durably
from v6cli.models import Contract
from v6cli.simulator.account import Account
from v6cli.simulator.book import Book, Numbers
from v6cli.simulator.holdings import Holding
from v6cli.simulator.orders import Execution, Order

_FORMAT = 1


class Saved(Struct, frozen=True):
    """The gateway, its orders worked and its options settled up to ``at``. Ids are the next request id, and the highest order id, of each client."""

    format: int
    account: str
    seed: int
    at: datetime
    cash: float
    initial: list[Holding]
    holdings: list[Holding]
    fills: list[Execution]
    alive: list[Order]
    ended: list[Order]
    highest_ids: dict[int, int]
    next_ids: dict[int, int]
    numbers: Numbers

    @property
    def at_ib(self) -> list[Order]:
        """The orders alive that had left the gateway: those that waited in it, for a lost link or their client's word, went with it."""
        return [order for order in self.alive if order.transmit]


def load(path: Path, account: str, seed: int, symbols: Collection[str]) -> Saved | None:
    """What was saved; None when nothing was yet.

    Raises BadConfiguration when it is damaged, of another account, or of a scenario that lists more than ``symbols``.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadConfiguration(f"{path}: cannot be read: {error.strerror}") from None
    step = f"move {path} aside to begin the scenario anew"
    try:
        saved = msgspec.json.decode(content, type=Saved)
    except msgspec.MsgspecError as error:
        raise BadConfiguration(f"{path}: not a state of the simulated gateway: {error}", next_step=step) from None
    if (saved.format, saved.account, saved.seed) != (_FORMAT, account, seed):
        raise BadConfiguration(
            f"{path}: of account {saved.account}, seed {saved.seed}, format {saved.format}; this is {account}, {seed}, {_FORMAT}",
            next_step=step,
        )
    unlisted = sorted({contract.symbol for contract in _contracts(saved)}.difference(symbols))
    if unlisted:
        raise BadConfiguration(f"{path}: of another scenario: {', '.join(unlisted)} is not listed in this one", next_step=step)
    return saved


def _contracts(saved: Saved) -> Iterator[Contract]:
    yield from (holding.contract for holding in (*saved.initial, *saved.holdings))
    yield from (order.contract for order in (*saved.alive, *saved.ended))
    yield from (fill.contract for fill in saved.fills)


def save(path: Path, account: Account, book: Book, next_ids: dict[int, int], seed: int, reached: datetime) -> None:
    """Replace what was saved, durably. Raises CannotWrite."""
    saved = Saved(
        _FORMAT,
        account.id,
        seed,
        reached,
        account.cash,
        account.initial,
        list(account.holdings.values()),
        account.own_fills,
        book.alive,
        book.ended,
        book.highest_ids,
        next_ids,
        book.numbers,
    )
    write_durably(path, msgspec.json.encode(saved))
