"""What an operator asks to be closed, and how, as the options of v6 close and v6 close-all say it."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import msgspec
from msgspec import Struct

from v6cli.errors import BadInput
from v6cli.models import Contract
from v6cli.settings import Closing
from v6cli.trading.parts import How, Part

LONGEST_TIMEOUT = 86_400.0  # seconds


class Wish(Struct, frozen=True):
    """What was asked for: which parts, and how they are closed."""

    what: str
    how: How
    symbol: str = ""
    strategy: str = ""
    position: str = ""

    @property
    def everything(self) -> bool:
        """Whether it is the whole account that is to be flat."""
        return not (self.symbol or self.strategy or self.position)

    def chooses(self, part: Part) -> bool:
        """Whether a part is meant."""
        return (
            (not self.symbol or part.symbol.lower() == self.symbol.lower())
            and (not self.strategy or self.strategy.lower() in part.name.lower())
            and (not self.position or part.symbol.lower() == self.position.lower() or any(_is(own, self.position) for own, _ in part.legs))
        )


def wish(own: Closing, what: str, *, symbol: str = "", strategy: str = "", position: str = "", **options: Any) -> Wish:
    """What is asked for with these options. Raises BadInput."""
    return Wish(f"{what} {position}".strip(), _how(own, what.removeprefix("v6 "), **options), symbol, strategy, position)


def wish_for_everything(own: Closing) -> Wish:
    """Everything, as v6 close-all closes it where no option says otherwise."""
    return wish(own, "v6 close-all", cap=None, market=False, queue=False, timeout=None, limits=())


def _how(own: Closing, purpose: str, *, cap: float | None, market: bool, queue: bool, timeout: float | None, limits: Sequence[str]) -> How:
    changes = {name: value for name, value in (("percent", cap), ("timeout", timeout)) if value is not None}
    if cap is not None and not 0 < cap <= 1:
        raise BadInput(f"--cap {cap:g} is no share: 0.2 lets a price go a fifth of the legs' middles away")
    if timeout is not None and not 0 < timeout <= LONGEST_TIMEOUT:
        raise BadInput(f"--timeout {timeout:g} is no time to close anything in: up to {LONGEST_TIMEOUT:g} seconds")
    return How(msgspec.structs.replace(own, **changes), market, queue, purpose, dict(map(_typed_limit, limits)))


def _typed_limit(text: str) -> tuple[int, float]:
    """A contract and the price that the operator gives for it. Raises BadInput."""
    con_id, _, price = text.partition("=")
    try:
        typed = int(con_id), float(price)
    except ValueError:
        typed = 0, 0.0
    if not 0 < typed[1] < inf:
        raise BadInput(f"--limit {text!r} is not CONTRACT=PRICE", next_step="--limit 756733=1.25, the contract as the plan shows it")
    return typed


def _is(own: Contract, text: str) -> bool:
    return text.lower() in {str(own.con_id), str(own).lower(), own.local_symbol.lower(), " ".join(own.local_symbol.lower().split())}
