"""What the simulated exchange lists: stocks, indices, option classes, and the ids IB would give their contracts.

A contract's id is a pure function of what the contract is, and can be read backwards: it is the same after a restart, on
another day and for another seed, and any id a client still remembers names its contract again.
"""

from __future__ import annotations

import functools
import re
from datetime import date, timedelta

from msgspec import Struct

from v6cli.models import Contract

_FIRST_DAY = date(2020, 1, 1)
#: In which a gateway can begin: an option's id has room for the expiries of these, and of those that are listed in the last one.
YEARS = range(_FIRST_DAY.year, 2041)
_SPREAD = 1_580_030_169  # odd, so multiplying by it modulo 2**31 can be undone
_UNSPREAD = pow(_SPREAD, -1, 1 << 31)


class Listing(Struct, frozen=True):
    """A stock or an index.

    ``price`` is the level its price wanders around; ``beta`` says how far it follows the common market and ``own`` adds a
    movement of its own (both as daily standard deviations, in fractions); ``volatility`` is what its options imply.
    """

    symbol: str
    con_id: int
    name: str
    kind: str = "STK"
    exchange: str = "ARCA"
    price: float = 100.0
    beta: float = 0.006
    own: float = 0.002
    volatility: float = 0.2
    dividend: float = 0.0

    @property
    def is_index(self) -> bool:
        """An index has a level, and neither bid nor ask."""
        return self.kind == "IND"


class OptionClass(Struct, frozen=True):
    """A family of options: IB's trading class.

    Strikes are ``step`` apart near the money and ``wide_step`` beyond; ``number`` and ``strike_unit`` enter the contract
    ids; ``rule`` is the market rule of its ticks; ``deliverable`` is shares per contract where that is not the multiplier.
    """

    name: str
    symbol: str
    number: int
    step: float
    wide_step: float
    rule: int
    exchanges: str
    strike_unit: float = 0.5
    multiplier: float = 100.0
    deliverable: float | None = None
    monthly_only: bool = False
    weekly: bool = True


LISTINGS: dict[str, Listing] = {
    listing.symbol: listing
    for listing in (
        Listing("SPY", 756733, "SPDR S&P 500 ETF TRUST", price=660.0, own=0.0004, volatility=0.150, dividend=0.012),
        Listing(
            "QQQ",
            320227571,
            "INVESCO QQQ TRUST SERIES 1",
            exchange="NASDAQ",
            price=600.0,
            beta=0.007,
            own=0.003,
            volatility=0.195,
            dividend=0.006,
        ),
        Listing("IWM", 9579970, "ISHARES RUSSELL 2000 ETF", price=240.0, beta=0.006, own=0.004, volatility=0.215, dividend=0.011),
        Listing("SPX", 416904, "S&P 500 STOCK INDEX", kind="IND", exchange="CBOE", price=6600.0, own=0.0, volatility=0.150, dividend=0.012),
        Listing("VIX", 13455763, "CBOE VOLATILITY INDEX", kind="IND", exchange="CBOE", price=17.0, beta=-0.030, own=0.008, volatility=0.9),
    )
}

_ETF_EXCHANGES = "SMART,AMEX,CBOE,PHLX,ISE"

OPTION_CLASSES: dict[str, OptionClass] = {
    item.name: item
    for item in (
        OptionClass("SPY", "SPY", 1, step=1, wide_step=5, rule=26, exchanges=_ETF_EXCHANGES),
        OptionClass("QQQ", "QQQ", 2, step=1, wide_step=5, rule=26, exchanges=_ETF_EXCHANGES),
        OptionClass("IWM", "IWM", 3, step=1, wide_step=5, rule=26, exchanges=_ETF_EXCHANGES),
        OptionClass("SPX", "SPX", 4, step=5, wide_step=25, rule=109, exchanges="SMART,CBOE", strike_unit=1, monthly_only=True),
        OptionClass("SPXW", "SPX", 5, step=5, wide_step=25, rule=109, exchanges="SMART,CBOE", strike_unit=1),
        # Left over from a distribution of shares: the strike kept its multiplier, the contract delivers a little more.
        OptionClass("SPY1", "SPY", 6, step=1, wide_step=5, rule=109, exchanges=_ETF_EXCHANGES, deliverable=103.0, weekly=False),
    )
}

#: Market rules: price steps from each low edge up. IB names one rule per exchange of a contract.
MARKET_RULES: dict[int, list[tuple[float, float]]] = {26: [(0.0, 0.01)], 109: [(0.0, 0.05), (3.0, 0.1)]}

_CLASS_OF_NUMBER = {item.number: item for item in OPTION_CLASSES.values()}


def tick(rule: int, price: float) -> float:
    """The price step that holds at ``price``."""
    return next(step for edge, step in reversed(MARKET_RULES[rule]) if price >= edge or edge == 0.0)


def listed(listing: Listing) -> Contract:
    """The contract of a stock or an index."""
    return Contract(
        listing.con_id,
        listing.symbol,
        listing.kind,
        exchange=listing.exchange if listing.is_index else "SMART",
        local_symbol=listing.symbol,
        trading_class=listing.symbol if listing.is_index else "NMS",
    )


@functools.lru_cache(maxsize=4096)  # orders and positions name the same few, over and over
def option(trading_class: str, expiry: date, strike: float, right: str) -> Contract:
    """The contract of an option; KeyError for a class that is not listed."""
    family = OPTION_CLASSES[trading_class]
    return Contract(
        _option_id(family, expiry, strike, right),
        family.symbol,
        "OPT",
        expiry,
        float(strike),
        right,
        multiplier=family.multiplier,
        exchange="SMART",
        local_symbol=f"{trading_class:<6}{expiry:%y%m%d}{right}{round(strike * 1000):08d}",
        trading_class=trading_class,
    )


def option_named(local_symbol: str) -> Contract | None:
    """The option with this local symbol, listed today or not; None where it names none."""
    found = re.fullmatch(r"(\w{1,6}) *(\d{6})([CP])(\d{8})", local_symbol)
    if found is None or found[1] not in OPTION_CLASSES:
        return None
    try:
        return option(found[1], date.fromisoformat(f"20{found[2]}"), int(found[4]) / 1000, found[3])
    except ValueError:
        return None


def option_of_id(con_id: int) -> Contract | None:
    """The option that has this id, listed today or not; None when no option can have it."""
    if not 0 < con_id < 1 << 31:
        return None
    code = con_id * _UNSPREAD % (1 << 31)
    family = _CLASS_OF_NUMBER.get(code >> 28)
    strike = (code >> 1) & 0x3FFF
    if family is None or strike == 0:
        return None
    expiry = _FIRST_DAY + timedelta(days=(code >> 15) & 0x1FFF)
    return option(family.name, expiry, strike * family.strike_unit, "P" if code & 1 else "C")


def _option_id(family: OptionClass, expiry: date, strike: float, right: str) -> int:
    # 3 bits of class, 13 of expiry, 14 of strike, 1 of right: IB's ids are 31 bits wide.
    code = ((family.number << 13 | (expiry - _FIRST_DAY).days & 0x1FFF) << 14 | round(strike / family.strike_unit) & 0x3FFF) << 1 | (
        right == "P"
    )
    return code * _SPREAD % (1 << 31)
