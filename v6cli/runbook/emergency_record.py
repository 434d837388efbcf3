"""The proof record of an emergency shutdown: what was done and found, when, and in full every order that was seen working.

A JSON file of the home's ``logs``, written anew and durably after each step, so that whatever interrupts the shutdown leaves what
was known by then. Where it cannot be written, the shutdown goes on and the record is printed at its end.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from v6cli import clock
from v6cli.errors import BadInput, CannotWrite
from v6cli.files import write_durably
from v6cli.home import Home
from v6cli.models import WorkingOrder
from v6cli.procedure import Finding, Outcome
from v6cli.runbook import checklist

SCHEMA = "v6.emergency-record/1"


class SavedOrder(Struct):
    """An order that was seen working. ``in_full`` is all that IB said of it; ``filled_after`` what of it filled since it was saved,
    None where that is unknown; ``left`` whether it was still listed at the end, None where no complete list says."""

    order: WorkingOrder
    in_full: dict[str, Any]
    seen_at: datetime
    filled_after: float | None = None
    left: bool | None = None


class Listing(Struct):
    """One list of open orders: when it ended (UTC), as which client it was asked for, and how many orders it had."""

    at: datetime
    client_id: int
    complete: bool
    orders: int


class Step(Struct):
    """A step: when it began and ended (UTC), its status, and each finding with its evidence."""

    name: str
    title: str
    began: datetime
    ended: datetime
    status: str
    findings: list[dict[str, Any]]


class Record(Struct):
    """Everything that one shutdown did. Times are UTC. ``cancel_sent`` is when the first global cancel was sent, None where none was;
    a record of an older v6 has no ``says_cancels``, and does not tell.
    """

    home: str
    profile: str
    account: str
    operator: str
    host: str
    reason: str
    options: list[str]
    began: datetime
    schema: str = SCHEMA
    ended: datetime | None = None
    outcome: str = "under way"
    exit_code: int | None = None
    lists: list[Listing] = field(default_factory=list)
    orders: list[SavedOrder] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    says_cancels: bool = False
    cancel_sent: datetime | None = None

    @property
    def nothing_cancelled(self) -> bool:
        """Whether it is known that no global cancel was sent: of a shutdown that has not ended it is not."""
        return self.says_cancels and self.ended is not None and self.cancel_sent is None


class Keeper:
    """Keeps one record in its file. ``problem`` is why the file does not hold it as it is now; empty where it does."""

    def __init__(self, home: Home, record: Record) -> None:
        self.record = record
        self.stem = _free_stem(home.logs, record.began)
        self.path = home.logs / f"{self.stem}.json"
        self.problem = ""

    def save(self) -> None:
        """Write the record as it is now."""
        try:
            write_durably(self.path, self.text().encode() + b"\n")
            self.problem = ""
        except CannotWrite as error:
            self.problem = error.message

    def text(self) -> str:
        """The record as JSON."""
        return msgspec.json.format(msgspec.json.encode(self.record), indent=2).decode()

    def saw(self, orders: Iterable[WorkingOrder], in_full: Iterable[dict[str, Any]], listing: Listing) -> None:
        """Keep what a list showed; an order that is known already keeps what was said of it first."""
        known = {_key(saved.order) for saved in self.record.orders}
        for order, full in zip(orders, in_full, strict=True):
            if _key(order) not in known:
                known.add(_key(order))
                self.record.orders.append(SavedOrder(order, full, listing.at))
        self.record.lists.append(listing)
        self.save()

    def cancelled(self, at: datetime) -> None:
        """A global cancel was sent."""
        self.record.cancel_sent = self.record.cancel_sent or at
        self.save()

    def still_left(self, left: Iterable[WorkingOrder]) -> None:
        """A complete list has these, and nothing else."""
        keys = {_key(order) for order in left}
        for saved in self.record.orders:
            saved.left = _key(saved.order) in keys

    def step(self, outcome: Outcome, began: datetime) -> None:
        """A step has ended."""
        step = outcome.step
        findings = [_written(finding) for finding in outcome.findings]
        self.record.steps.append(Step(step.name, step.title, began, clock.now(), outcome.status.value, findings))
        self.save()

    def end(self, outcome: str, exit_code: int) -> None:
        """The shutdown is over."""
        self.record.ended, self.record.outcome, self.record.exit_code = clock.now(), outcome, exit_code
        self.save()


def begin(home: Home, *, profile: str, account: str, operator: str, reason: str, options: list[str]) -> Keeper:
    """A record of what begins now; nothing is written yet."""
    return Keeper(home, Record(str(home), profile, account, operator, os.uname().nodename, reason, options, clock.now(), says_cancels=True))


def read(path: Path) -> Record:
    """A record from its file. Raises BadInput."""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}", next_step="the records are logs/emergency_*.json of the home") from error
    except msgspec.MsgspecError as error:
        raise BadInput(f"{path} is no proof record: {error}", next_step="the records are logs/emergency_*.json of the home") from error
    if record.schema != SCHEMA:
        raise BadInput(f"{path} is a {record.schema}, not a {SCHEMA}", next_step="use the v6 that wrote it")
    return record


def _key(order: WorkingOrder) -> tuple[int, ...]:
    return (order.perm_id,) if order.perm_id else (0, order.client_id, order.order_id)


def _written(finding: Finding) -> dict[str, Any]:
    kept = {"subject": finding.subject, "status": finding.status.value, "text": finding.text, "next": checklist.next_step(finding)}
    return kept | ({"evidence": finding.evidence} if finding.evidence else {})


def _free_stem(folder: Path, at: datetime) -> str:
    """A name by the time in New York that no earlier record has."""
    stem = f"emergency_{at.astimezone(clock.eastern()):%Y%m%d_%H%M%S}"
    number = 1
    while (folder / f"{_numbered(stem, number)}.json").exists():
        number += 1
    return _numbered(stem, number)


def _numbered(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}-{number}"
