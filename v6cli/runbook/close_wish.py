"""What an operator asks to be closed, and how, as the options of v6 close and v6 close-all say it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from math import inf
from typing import Any

import msgspec
from msgspec import Struct

from v6cli.errors import BadInput, UsageError
from v6cli.models import Contract
from v6cli.settings import Closing
from v6cli.trading.parts import How, Part

LONGEST_TIMEOUT = 86_400.0  # seconds
#: What has not happened where a command cannot be understood: nobody is to think that an emergency has begun.
_UNDONE = {"close": "nothing was closed", "close-all": "nothing was closed, and NOTHING WAS HALTED"}


class Wish(Struct, frozen=True):
    """What was asked for: which parts, and how they are closed.

    ``everything`` is the whole account, and is said in so many words: a wish that names nothing is for nothing. ``what`` is the command
    with what it is about, ``line`` all of it as it was typed, but for what agrees to it: the way to ask for the very same again.
    """

    what: str
    line: str
    how: How
    everything: bool = False
    symbol: str = ""
    strategy: str = ""
    position: str = ""

    @property
    def about(self) -> str:
        """What has to fit, in words."""
        given = (("symbol", self.symbol), ("strategy", self.strategy), ("position or symbol", self.position))
        return " and ".join(f"the {name} {value!r}" for name, value in given if value) or "everything"

    def chooses(self, part: Part) -> bool:
        """Whether a part is meant."""
        if self.everything or not (self.symbol or self.strategy or self.position):
            return self.everything
        return (
            (not self.symbol or part.symbol.lower() == self.symbol.lower())
            and (not self.strategy or self.strategy.lower() in part.name.lower())
            and (not self.position or part.symbol.lower() == self.position.lower() or any(_is(own, self.position) for own, _ in part.legs))
        )


def wish_for_position(own: Closing, position: str, *, home: str | None = None, **options: Any) -> Wish:
    """One position, or all of one symbol, as v6 close closes it; ``home`` as it was typed.

    Raises BadInput; UsageError where ``position`` is blank.
    """
    _check_not_blank("close", "POSITION|SYMBOL", position)
    words = ["v6", "close", position]
    return Wish(shlex.join(words), _line(words, home, **options), _how(own, "close", **options), position=position)


def wish_for_all(own: Closing, *, symbol: str | None = None, strategy: str | None = None, home: str | None = None, **options: Any) -> Wish:
    """What v6 close-all closes: everything, or where one is given what has this symbol and this strategy; ``home`` as it was typed.

    Raises BadInput; UsageError where one of them is given and blank.
    """
    words = ["v6", "close-all"]
    for name, given in (("--symbol", symbol), ("--strategy", strategy)):
        if given is not None:
            _check_not_blank("close-all", name, given)
            words += [name, given]
    everything = symbol is None and strategy is None
    line = _line(words, home, **options)
    return Wish(shlex.join(words), line, _how(own, "close-all", **options), everything, symbol or "", strategy or "")


def wish_for_everything(own: Closing) -> Wish:
    """Everything, as v6 close-all closes it where no option says otherwise."""
    return wish_for_all(own, cap=None, market=False, queue=False, timeout=None, limits=())


def _check_not_blank(command: str, name: str, given: str) -> None:
    """A shell variable that is not set leaves an empty text, which is no wish to close whatever there is."""
    if not given.strip():
        raise UsageError(f"{name} is empty: {_UNDONE[command]}", next_step="v6 positions")


def _line(
    words: Sequence[str], home: str | None, *, cap: float | None, market: bool, queue: bool, timeout: float | None, limits: Sequence[str]
) -> str:
    """What was typed, so that a shell reads it as it did."""
    valued = [("--cap", cap), ("--timeout", timeout), *(("--limit", one) for one in limits), ("--home", home)]
    options = [
        word for name, value in valued if value is not None for word in (name, f"{value:.10g}" if isinstance(value, float) else value)
    ]
    flags = [name for name, given in (("--market", market), ("--queue", queue)) if given]
    return shlex.join([*words, *flags, *options])


def _how(own: Closing, purpose: str, *, cap: float | None, market: bool, queue: bool, timeout: float | None, limits: Sequence[str]) -> How:
    changes = {name: value for name, value in (("percent", cap), ("timeout", timeout)) if value is not None}
    undone = _UNDONE[purpose]
    if cap is not None and not 0 < cap <= 1:
        raise BadInput(f"--cap {cap:g} is no share: {undone}", next_step="--cap 0.2 lets a price go a fifth of the legs' middles away")
    if timeout is not None and not 0 < timeout <= LONGEST_TIMEOUT:
        raise BadInput(
            f"--timeout {timeout:g} is no time to close anything in: {undone}", next_step=f"give up to {LONGEST_TIMEOUT:g} seconds"
        )
    return How(msgspec.structs.replace(own, **changes), market, queue, purpose, _typed_prices(limits, undone))


def _typed_prices(limits: Sequence[str], undone: str) -> dict[int, float]:
    """The price that the operator gives for each contract. Raises BadInput."""
    prices: dict[int, float] = {}
    for text in limits:
        con_id, _, price = text.partition("=")
        try:
            contract, limit = int(con_id), float(price)
        except ValueError:
            contract, limit = 0, 0.0
        if not 0 < limit < inf or contract in prices:
            why = "is a second price for one contract" if contract in prices else "is not CONTRACT=PRICE"
            raise BadInput(f"--limit {text!r} {why}: {undone}", next_step="--limit 756733=1.25, the contract as the plan shows it")
        prices[contract] = limit
    return prices


def _is(own: Contract, text: str) -> bool:
    return text.lower() in {str(own.con_id), str(own).lower(), own.local_symbol.lower(), " ".join(own.local_symbol.lower().split())}
