"""Prices: what everything is worth at any moment, as a pure function of the seed and the moment.

``values`` is the one place where worth is worked out; quotes, marks of positions, histories and average costs all come from
it, so they agree with each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from v6cli import pricing
from v6cli.models import Contract
from v6cli.simulator import noise
from v6cli.simulator.listings import LISTINGS, OPTION_CLASSES, Listing
from v6cli.simulator.recording import Recording, Row
from v6cli.simulator.sessions import Exchange

Floats = NDArray[np.float64]

RATE = 0.04
_KEPT = 64
_SECONDS_PER_YEAR = pricing.DAYS_PER_YEAR * 86_400


class Values(Struct, frozen=True):
    """Worth per share of several contracts or moments: arrays of one shape.

    ``volatility`` and ``years`` are NaN for what is no option; ``spot`` is the underlying's price.
    """

    price: Floats
    spot: Floats
    years: Floats
    volatility: Floats
    depth: Floats  # how far out of the money, in standard deviations; 0 for what is no option


class Mark(Struct, frozen=True):
    """What IB carries a contract at, per share; ``spot`` is its underlying's price at that moment."""

    price: float
    spot: float


class Market:
    """The simulated market. ``stocks`` are listed besides the standing ones; what was recorded takes the place of chance."""

    def __init__(self, seed: int, exchange: Exchange, stocks: Iterable[Listing] = (), recording: Recording | None = None) -> None:
        self.seed = seed
        self.exchange = exchange
        listings = LISTINGS | {stock.symbol: stock for stock in stocks}
        self.listings = listings if recording is None else recording.move(listings)
        self._recording = recording
        self._common = noise.stream(seed, "market")
        self._own = {symbol: noise.stream(seed, symbol) for symbol in self.listings}
        self._last_of_all: tuple[bytes, Floats] = (b"", np.empty(0))
        self._last_paths: dict[tuple[str, bytes], Floats] = {}
        self._last_values: dict[tuple[tuple[int, ...], bytes], Values] = {}
        self._marked: datetime | None = None
        self._marks: dict[int, Mark] = {}

    def path(self, symbol: str, moments: Floats) -> Floats:
        """The unrounded price of a stock or index at each moment (seconds since 1970), open or not."""
        # A burst of answers asks for the same moment again and again.
        key = (symbol, moments.tobytes())
        found = self._last_paths.get(key)
        if found is None:
            found = self._by_chance(symbol, moments)
            if self._recording is not None and self._recording.covers(symbol):
                found = self._as_recorded(self._recording, symbol, moments, found)
            if len(self._last_paths) >= _KEPT:
                self._last_paths.clear()
            self._last_paths[key] = found
        return found

    def _by_chance(self, symbol: str, moments: Floats) -> Floats:
        listing = self.listings[symbol]
        drift = listing.beta * self._of_all(moments)
        if listing.own:
            drift = drift + listing.own * noise.walk(self._own[symbol], moments)
        return np.asarray(listing.price * np.exp(drift))

    def _of_all(self, moments: Floats) -> Floats:
        """How the whole market has moved, in which every symbol has its part: one after the other asks for the same moments."""
        key = moments.tobytes()
        if self._last_of_all[0] != key:
            self._last_of_all = key, noise.walk(self._common, moments)
        return self._last_of_all[1]

    def _as_recorded(self, recording: Recording, symbol: str, moments: Floats, chance: Floats) -> Floats:
        """The recorded price; before the replay began, chance that led up to it."""
        start = np.array([recording.start])
        before = chance * recording.worth(symbol, start) / self._by_chance(symbol, start)
        return np.where(moments < recording.start, before, recording.worth(symbol, moments))

    def recorded(self, contract: Contract, moment: float) -> Row | None:
        """The quote that was recorded of a contract; None where none was, or before the replay begins."""
        return self._recording.row(contract.local_symbol, moment) if self._recording is not None else None

    def values(self, contracts: Sequence[Contract], moments: Floats) -> Values:
        """The worth of each contract at the moment beside it; either may be a single one, for all of the other."""
        key = (tuple(contract.con_id for contract in contracts), moments.tobytes())
        found = self._last_values.get(key)
        if found is None:
            if len(self._last_values) >= _KEPT:
                self._last_values.clear()
            found = self._last_values[key] = self._work_out(contracts, moments)
        return found

    def _work_out(self, contracts: Sequence[Contract], moments: Floats) -> Values:
        count = max(len(contracts), len(moments))
        # Most contracts are looked at as of one moment, and every path is walked once for it.
        place_of = {moment: place for place, moment in enumerate(dict.fromkeys(moments.tolist()))}
        places = np.broadcast_to([place_of[moment] for moment in moments.tolist()], (count,))
        unique = np.array(list(place_of))
        moments = unique[places]
        spot = self._spots(contracts, unique, places)
        options = np.array([contract.is_option for contract in contracts])
        if not options.any():
            nothing = np.full(count, np.nan)
            return Values(spot, spot, nothing, nothing, np.zeros(count))
        listings = [self.listings[contract.symbol] for contract in contracts]
        strikes = np.array([contract.strike or 1.0 for contract in contracts])
        calls = np.array([contract.right == "C" for contract in contracts])
        expiries = self._settlements(contracts)
        dividends = np.array([listing.dividend for listing in listings])
        years = np.maximum((expiries - moments) / _SECONDS_PER_YEAR, 0.0)
        years = np.where(np.isfinite(years), years, 0.0)
        # Fear moves every volatility together: all follow the VIX.
        fear = self.path("VIX", unique)[places] / self.listings["VIX"].price
        level = np.array([listing.volatility for listing in listings]) * fear
        depth = _depth(spot, strikes, years, level, dividends)
        volatility = surface(level, years, depth)
        price = pricing.price(spot, strikes, years, volatility, calls, rate=RATE, dividend=dividends)
        scale = np.array([_deliverable_per_multiplier(contract) for contract in contracts])
        hidden = np.full(count, np.nan)
        price, volatility = self._options_as_recorded(contracts, moments, price * scale, volatility, spot, years)
        return Values(
            price=np.where(options, price, spot),
            spot=spot,
            years=np.where(options, years, hidden),
            volatility=np.where(options, volatility, hidden),
            depth=np.where(options, np.where(calls, depth, -depth), 0.0),
        )

    def _options_as_recorded(
        self, contracts: Sequence[Contract], moments: Floats, price: Floats, volatility: Floats, spot: Floats, years: Floats
    ) -> tuple[Floats, Floats]:
        """The price of options that were recorded themselves, and what it implies; the model's of all others."""
        if self._recording is None:
            return price, volatility
        for place, contract in enumerate(contracts):
            if not contract.is_option or not self._recording.covers(contract.local_symbol):
                continue
            rows = slice(None) if len(contracts) == 1 else slice(place, place + 1)
            known = self._recording.worth(contract.local_symbol, moments[rows])
            # It settles by its underlying: the last price that was recorded of it says nothing of that.
            since = (moments[rows] >= self._recording.start) & (years[rows] > 0)
            dividend = self.listings[contract.symbol].dividend
            implied = pricing.implied_volatility(
                known, spot[rows], contract.strike or 1.0, years[rows], contract.right == "C", rate=RATE, dividend=dividend
            )
            price[rows] = np.where(since, known, price[rows])
            volatility[rows] = np.where(since & np.isfinite(implied), implied, volatility[rows])
        return price, volatility

    def _settlements(self, contracts: Sequence[Contract]) -> Floats:
        # A chain has thousands of contracts and a few dozen expiries.
        known = {(contract.trading_class, contract.expiry): contract for contract in contracts}
        when = {key: self.exchange.settles(contract).timestamp() if contract.is_option else np.inf for key, contract in known.items()}
        return np.array([when[contract.trading_class, contract.expiry] for contract in contracts])

    def _spots(self, contracts: Sequence[Contract], moments: Floats, places: NDArray[np.intp]) -> Floats:
        if len(contracts) == 1:
            return self.path(contracts[0].symbol, moments)[places]
        paths = {symbol: self.path(symbol, moments) for symbol in dict.fromkeys(contract.symbol for contract in contracts)}
        return np.array([paths[contract.symbol][place] for contract, place in zip(contracts, places.tolist(), strict=True)])

    def greeks(self, contracts: Sequence[Contract], values: Values, volatility: Floats) -> pricing.Greeks:
        """Greeks of options at ``volatility``, per share of their multiplier."""
        found = pricing.greeks(
            values.spot,
            np.array([contract.strike or 1.0 for contract in contracts]),
            values.years,
            volatility,
            np.array([contract.right == "C" for contract in contracts]),
            rate=RATE,
            dividend=np.array([self.listings[contract.symbol].dividend for contract in contracts]),
        )
        scale = np.array([_deliverable_per_multiplier(contract) for contract in contracts])
        return pricing.Greeks(*(each * scale for each in found))

    def implied_volatility(self, symbol: str, moments: Floats) -> Floats:
        """The 30-day implied volatility of a symbol at the money, at each moment."""
        fear = self.path("VIX", moments) / self.listings["VIX"].price
        month = np.full(moments.shape, 30 / pricing.DAYS_PER_YEAR)
        return surface(self.listings[symbol].volatility * fear, month, np.zeros(moments.shape))

    def marks(self, contracts: Sequence[Contract], moment: datetime) -> list[Mark]:
        """What IB would carry each contract at: its worth now, or when it last traded."""
        if moment != self._marked:
            self._marked, self._marks = moment, {}
        # Orders of one second are reckoned against the same few contracts, over and over.
        missing = [contract for contract in contracts if contract.con_id not in self._marks]
        if missing:
            values = self.values(missing, self.live_moments(missing, moment))
            found = map(Mark, np.round(values.price, 4).tolist(), values.spot.tolist())
            self._marks |= zip((contract.con_id for contract in missing), found, strict=True)
        return [self._marks[contract.con_id] for contract in contracts]

    def live_moments(self, contracts: Sequence[Contract], moment: datetime) -> Floats:
        """For each contract ``moment``, or when it last traded before, in seconds since 1970."""
        known: dict[tuple[str, str, bool], float] = {}
        found = []
        for contract in contracts:
            key = (contract.kind, contract.trading_class if contract.is_option else contract.symbol, _may_have_expired(contract, moment))
            if key[2]:
                found.append(self.exchange.last_traded(contract, moment).timestamp())
                continue
            if key not in known:
                known[key] = self.exchange.last_traded(contract, moment).timestamp()
            found.append(known[key])
        return np.array(found)

    def previous_close(self, contracts: Sequence[Contract], moment: datetime) -> Floats:
        """Prices per share at the close of the last session before today."""
        if not contracts:
            return np.empty(0)
        closed = self.exchange.previous_close(moment).timestamp()
        return np.round(self.values(contracts, np.array([closed])).price, 4)


def moved(moment: datetime) -> datetime:
    """When the market last moved: it does so on each full second."""
    return moment.replace(microsecond=0)


def surface(level: Floats, years: Floats, depth: Floats) -> Floats:
    """Implied volatility: higher below the money than above, rising at both wings, and with time to expiry."""
    reach = 4.0 * np.tanh(depth / 4.0)  # flattens out smoothly: a kink would be an arbitrage
    smile = 1.0 - 0.11 * reach + 0.028 * reach * reach
    term = 0.92 + 0.16 * np.sqrt(np.clip(years, 0.0, 2.0))
    return np.maximum(level * term * smile, 0.03)


def _depth(spot: Floats, strikes: Floats, years: Floats, level: Floats, dividend: Floats) -> Floats:
    """Strike over forward, in standard deviations of the time that is left (a day of it at least)."""
    deviation = level * np.sqrt(np.maximum(years, 1 / pricing.DAYS_PER_YEAR))
    return np.asarray((np.log(strikes / spot) - (RATE - dividend) * years) / deviation)


def _deliverable_per_multiplier(contract: Contract) -> float:
    family = OPTION_CLASSES.get(contract.trading_class) if contract.is_option else None
    return 1.0 if family is None or family.deliverable is None else family.deliverable / family.multiplier


def _may_have_expired(contract: Contract, moment: datetime) -> bool:
    # Only around and after its last day does an option keep other hours than its class.
    return contract.expiry is not None and (contract.expiry - moment.date()).days < 3
