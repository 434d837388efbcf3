"""Scenarios: what the simulated account holds and has done, written as a person would say it.

Days and strikes are relative, so a scenario never goes stale. How to write them:

- ``expiry``: ``weekly``, ``monthly`` or ``quarterly``, the next one from today; ``monthly+1`` the one after it, ``weekly-1``
  the last one that has passed; ``monthly>=21`` the first that is at least 21 days away; ``dte 30`` the listed expiry nearest
  to 30 days away; or a date.
- ``strike``: ``spot``, ``spot+2%``, ``spot-15``, ``delta 0.16``, or a number. They are taken as of the moment of opening and
  rounded to a listed strike.
- ``opened``: ``12d`` (days ago) or ``45dte`` (days before expiry); left out, at the last close. The average cost is what the
  contract was worth then; ``cost_factor`` makes it that multiple of what it was worth at the last close instead.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field
from msgspec.structs import replace

from v6cli.errors import BadConfiguration
from v6cli.simulator import faults, recording
from v6cli.simulator.listings import LISTINGS

FOLDER = Path(__file__).parent.parent / "config" / "scenarios"

Template = Literal["iron_condor", "vertical", "covered_call", "strangle", "naked_put", "stock"]
QuoteState = Literal["normal", "none", "no-bid"]


class AccountSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """The account: its id and its cash in US dollars."""

    id: str = "DU1234567"
    cash: float = 250_000.0
    others: list[str] = []


class PositionSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One position: an option when it has a ``right``, else stock. ``quantity`` is negative when short."""

    symbol: str
    quantity: float
    right: Literal["C", "P", ""] = ""
    expiry: str = ""
    strike: str | float = "spot"
    trading_class: str = ""
    order_ref: str = ""
    opened: str = ""
    cost_factor: float | None = None
    quote: QuoteState = "normal"
    greeks: bool = True


class StrategySpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Several legs opened together, from a template.

    ``short`` is the strike of the short legs (for a vertical, of the near leg), ``width`` how far beyond it the long ones
    are, in currency. ``right`` is a vertical's. ``quantity`` counts the structure; negative turns every leg round.
    """

    template: Template
    symbol: str
    order_ref: str
    quantity: int = 1
    expiry: str = "monthly"
    short: str | float = "delta 0.16"
    width: float = 5.0
    right: Literal["C", "P"] = "P"
    trading_class: str = ""
    opened: str = ""
    cost_factor: float | None = None


class GridSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Many option positions: every combination of trading class, expiry, strike and right.

    Strikes run from ``lowest`` to ``highest`` (percent of the price, such as -10 and 10) in ``count`` equal steps.
    ``quantities`` are dealt out in turn.
    """

    trading_classes: list[str]
    expiries: list[str]
    count: int
    lowest: float = -10.0
    highest: float = 10.0
    rights: tuple[Literal["C", "P"], ...] = ("C", "P")
    quantities: tuple[float, ...] = (1.0, -1.0)
    order_ref: str = ""
    opened: str = ""


class OrderSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A working order that would close the positions opened under ``closes``.

    ``price`` and ``stop`` are percent of what the positions cost to open (``50%``), or a price per share. ``client`` 0 is an
    order by hand. ``of`` picks legs of a strategy by their place in it, from 0;
    ``order_ref`` left out is that of the positions.
    """

    closes: str
    client: int = 1
    type: Literal["LMT", "STP", "STP LMT", "MKT"] = "LMT"
    price: str | float | None = None
    stop: str | float | None = None
    tif: Literal["GTC", "DAY"] = "GTC"
    order_ref: str | None = None
    status: Literal["Submitted", "PreSubmitted", "Inactive"] = "Submitted"
    of: list[int] = []


class ExecutionSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A fill of today in the first leg opened under ``order_ref``, or in ``symbol``.

    ``at`` is New York time; it is not there before that. ``side`` is BOT or SLD, ``price`` left out is that of the moment.
    """

    at: str
    side: Literal["BOT", "SLD"]
    quantity: float
    order_ref: str = ""
    symbol: str = ""
    client: int = 1
    price: float | None = None
    commission: float = 0.65
    realized: float | None = None


class StockSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """A stock that exists in this scenario alone."""

    symbol: str
    name: str = ""
    price: float = 20.0
    exchange: str = "NYSE"


class ReplaySpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Quotes recorded in a CSV file (beside the scenario's) in place of the random market, from when the gateway starts.

    What they leave out follows the model: options their replayed underlying, other symbols chance.
    """

    file: str
    after: Literal["repeat", "freeze"] = "repeat"


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the simulated gateway starts from. ``market`` is open ``always`` or by the ``exchange``'s hours.

    ``master_client`` hears of every client's orders. ``cancel_seconds`` pass between a cancel and its taking effect, in home
    time: an order may still fill in them. ``cadence`` is the wall seconds between two pushes of quotes.
    """

    title: str = ""
    seed: int = 1
    market: Literal["always", "exchange"] = "always"
    master_client: int = 2
    cancel_seconds: float = 0.0
    cadence: Annotated[float, Meta(ge=0.05, le=3600)] = 1.0
    replay: ReplaySpec | None = None
    account: AccountSpec = AccountSpec()
    positions: list[PositionSpec] = []
    strategies: list[StrategySpec] = []
    grids: list[GridSpec] = []
    orders: list[OrderSpec] = []
    executions: list[ExecutionSpec] = []
    stocks: list[StockSpec] = []
    faults: list[dict[str, str | int | float | bool | list[str]]] = field(default_factory=list)


_PARTS: dict[str, type[Struct]] = {
    "account": AccountSpec,
    "replay": ReplaySpec,
    "positions": PositionSpec,
    "strategies": StrategySpec,
    "grids": GridSpec,
    "orders": OrderSpec,
    "executions": ExecutionSpec,
    "stocks": StockSpec,
}


def load(name: str | Path) -> Scenario:
    """A packaged scenario by its name, or one from a file. Raises BadConfiguration naming file, key and what is allowed."""
    path = _find(name)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BadConfiguration(
            f"{path}: cannot be read: {error.strerror}", next_step=f"packaged scenarios: {', '.join(packaged())}"
        ) from None
    try:
        scenario = msgspec.toml.decode(text, type=Scenario)
    except msgspec.ValidationError as error:
        raise _explain(path, error) from None
    except msgspec.DecodeError as error:
        raise BadConfiguration(f"{path}: not valid TOML: {error}") from None
    _check(path, scenario)
    if scenario.replay is not None:
        scenario = replace(scenario, replay=replace(scenario.replay, file=str(path.parent / scenario.replay.file)))
        _recorded_rows(scenario)  # to refuse what cannot be read before anything starts
    return scenario


def replay(scenario: Scenario, now: datetime) -> recording.Recording | None:
    """What a scenario replays from ``now`` on; None where it replays nothing. Raises BadConfiguration."""
    if scenario.replay is None:
        return None
    return recording.Recording(_recorded_rows(scenario), now.timestamp(), repeats=scenario.replay.after == "repeat")


def _recorded_rows(scenario: Scenario) -> list[tuple[float, str, recording.Row]]:
    """The recorded quotes of a scenario that replays some. Raises BadConfiguration naming file, line and column."""
    assert scenario.replay is not None
    return recording.read(Path(scenario.replay.file), {*LISTINGS, *(stock.symbol for stock in scenario.stocks)})


def packaged() -> list[str]:
    """Names of the scenarios that come with v6."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def _find(name: str | Path) -> Path:
    if isinstance(name, str) and re.fullmatch(r"[\w-]+", name):
        return FOLDER / f"{name}.toml"
    return Path(name)


def _explain(path: Path, error: msgspec.ValidationError) -> BadConfiguration:
    text = str(error)
    unknown = re.search(r"unknown field `([^`]*)`", text)
    place = re.search(r"at `\$\.?([^`]*)`", text)
    where = place.group(1) if place else ""
    if not unknown:
        return BadConfiguration(f"{path}: {where or 'the file'}: {text.partition(' - at ')[0]}")
    part = _PARTS.get(re.split(r"[\[.]", where)[0], Scenario)
    inside = f" in {where}" if where else ""
    return BadConfiguration(
        f"{path}: unknown key {unknown.group(1)!r}{inside}", next_step=f"allowed there: {', '.join(part.__struct_fields__)}"
    )


def _check(path: Path, scenario: Scenario) -> None:
    for number, entry in enumerate(scenario.faults):
        parameters: dict[str, Any] = {key: value for key, value in entry.items() if key != "name"}
        faults.check(str(entry.get("name", "")), parameters, where=f"{path}: faults[{number}]", lasting=True)
    opened: list[PositionSpec | StrategySpec | GridSpec] = [*scenario.positions, *scenario.strategies, *scenario.grids]
    references = {spec.order_ref for spec in opened}
    for number, order in enumerate(scenario.orders):
        if order.closes not in references:
            raise BadConfiguration(f"{path}: orders[{number}].closes: nothing was opened as {order.closes!r}")
    for number, execution in enumerate(scenario.executions):
        if execution.order_ref not in references and not execution.symbol:
            raise BadConfiguration(f"{path}: executions[{number}]: nothing was opened as {execution.order_ref!r}, and no symbol is given")
