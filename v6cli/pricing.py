"""Black-Scholes-Merton: prices, greeks and implied volatilities of European options, many at once.

Every argument may be a number or an array; they are broadcast against each other, and the answers have that shape.

Units: ``spot`` and ``strike`` in currency per share; ``years`` to expiry as a fraction of 365 days; ``rate`` and
``dividend`` continuously compounded per year (0.04 is 4 %); ``volatility`` per year as a fraction (0.2 is 20 %);
``call`` True for a call, False for a put. Prices and greeks are per share of the underlying.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

DAYS_PER_YEAR = 365.0
_LOWEST_VOLATILITY = 1e-4
_HIGHEST_VOLATILITY = 10.0


class Greeks(NamedTuple):
    """Sensitivities per share of the underlying.

    ``delta`` per 1.00 of the underlying, ``gamma`` is delta's change per 1.00 of the underlying, ``theta`` the change of the
    price over one calendar day, ``vega`` the change of the price per volatility point (0.01).
    """

    delta: Floats
    gamma: Floats
    theta: Floats
    vega: Floats


def price(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    volatility: ArrayLike,
    call: ArrayLike,
    *,
    rate: ArrayLike = 0.0,
    dividend: ArrayLike = 0.0,
) -> Floats:
    """The value per share. At or past expiry, or without volatility, it is what exercising is worth."""
    import numpy as np

    spot, strike, years, volatility, sign, rate, dividend = _arrays(spot, strike, years, volatility, call, rate, dividend)
    held = np.maximum(years, 0.0)
    forward, discounted = spot * np.exp(-dividend * held), strike * np.exp(-rate * held)
    deviation = np.maximum(volatility, 0.0) * np.sqrt(held)
    d1, d2 = _distances(_moneyness(forward, discounted), deviation)
    alive = sign * (forward * _cumulative(sign * d1) - discounted * _cumulative(sign * d2))
    intrinsic = np.maximum(sign * (forward - discounted), 0.0)
    # Far out of the money the difference of two tiny numbers can come out below zero.
    return np.asarray(np.where(deviation > 0, np.maximum(alive, 0.0), intrinsic), dtype=np.float64)


def greeks(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    volatility: ArrayLike,
    call: ArrayLike,
    *,
    rate: ArrayLike = 0.0,
    dividend: ArrayLike = 0.0,
) -> Greeks:
    """Delta, gamma, theta and vega. At or past expiry delta is that of shares or of nothing, and the others are zero."""
    import numpy as np

    spot, strike, years, volatility, sign, rate, dividend = _arrays(spot, strike, years, volatility, call, rate, dividend)
    held = np.maximum(years, 0.0)
    growth, discount = np.exp(-dividend * held), np.exp(-rate * held)
    root = np.sqrt(held)
    deviation = np.maximum(volatility, 0.0) * root
    alive = deviation > 0
    forward, discounted = spot * growth, strike * discount
    d1, d2 = _distances(_moneyness(forward, discounted), deviation)
    exercised, density = _cumulative(sign * d1), _density(d1)
    safe = np.where(alive, deviation, 1.0)
    decay = np.where(alive, forward * density * volatility / (2 * np.where(alive, root, 1.0)), 0.0)
    carry = sign * (dividend * forward * exercised - rate * discounted * _cumulative(sign * d2))
    in_the_money = np.where(sign * (forward - discounted) > 0, sign, 0.0)
    return Greeks(
        delta=np.asarray(np.where(alive, sign * growth * exercised, in_the_money * growth)),
        gamma=np.asarray(np.where(alive, growth * density / (spot * safe), 0.0)),
        theta=np.asarray(np.where(alive, (carry - decay) / DAYS_PER_YEAR, 0.0)),
        vega=np.asarray(np.where(alive, forward * density * root / 100, 0.0)),
    )


def implied_volatility(
    value: ArrayLike,
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    call: ArrayLike,
    *,
    rate: ArrayLike = 0.0,
    dividend: ArrayLike = 0.0,
) -> Floats:
    """The volatility at which the model's price is ``value``; NaN where none is.

    None is where time has run out, and where the value lies outside what any volatility can give: at or below the worth of
    exercising, or at or above the shares (call) or the strike (put).
    """
    import numpy as np

    spot, strike, years, value, sign, rate, dividend = _arrays(spot, strike, years, value, call, rate, dividend)
    held = np.maximum(years, 0.0)
    forward, discounted = spot * np.exp(-dividend * held), strike * np.exp(-rate * held)
    floor = np.maximum(sign * (forward - discounted), 0.0)
    ceiling = np.where(sign > 0, forward, discounted)
    solvable = (years > 0) & (value > floor) & (value < ceiling)
    low, high = np.full(value.shape, _LOWEST_VOLATILITY), np.full(value.shape, _HIGHEST_VOLATILITY)
    guess = np.full(value.shape, 0.25)
    moneyness, root = _moneyness(forward, discounted), np.sqrt(held)
    for _ in range(80):
        d1, d2 = _distances(moneyness, guess * root)
        missing = sign * (forward * _cumulative(sign * d1) - discounted * _cumulative(sign * d2)) - value
        low, high = np.where(missing < 0, guess, low), np.where(missing < 0, high, guess)
        slope = forward * _density(d1) * root
        newton = guess - missing / np.where(slope > 1e-12, slope, 1.0)
        # Newton's step is kept only where it stays inside the bracket; elsewhere the bracket is halved.
        inside = (slope > 1e-12) & (newton > low) & (newton < high)
        following = np.where(inside, newton, 0.5 * (low + high))
        if np.all(~solvable | (np.abs(following - guess) < 1e-12)):
            break
        guess = following
    found = solvable & (guess < 0.999 * _HIGHEST_VOLATILITY)
    return np.asarray(np.where(found, guess, np.nan), dtype=np.float64)


def _arrays(*arguments: ArrayLike) -> tuple[Floats, ...]:
    """The arguments broadcast to one shape; the fifth, ``call``, becomes +1 and -1."""
    import numpy as np

    *numbers, rate, dividend = arguments
    call = np.where(np.asarray(numbers[4], dtype=bool), 1.0, -1.0)
    arrays = [np.asarray(number, dtype=np.float64) for number in (*numbers[:4], call, rate, dividend)]
    shape = np.broadcast(*arrays).shape
    # Most have it already, and to broadcast an array costs as much as to reckon with it.
    return tuple(array if array.shape == shape else np.broadcast_to(array, shape) for array in arrays)


def _moneyness(forward: Floats, discounted: Floats) -> Floats:
    """How far in the money a call is, as a logarithm."""
    import numpy as np

    return np.asarray(np.log(np.maximum(forward, 1e-300) / np.maximum(discounted, 1e-300)))


def _distances(moneyness: Floats, deviation: Floats) -> tuple[Floats, Floats]:
    """d1 and d2, finite wherever there is some deviation left."""
    import numpy as np

    safe = np.where(deviation > 0, deviation, 1.0)
    with np.errstate(over="ignore"):
        d1 = np.clip(moneyness / safe + 0.5 * safe, -1e6, 1e6)
    return d1, d1 - safe


def _density(x: Floats) -> Floats:
    """The density of the standard normal distribution."""
    import numpy as np

    return np.asarray(np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))


def _cumulative(x: Floats) -> Floats:
    """The standard normal distribution, as exact as the C library's complementary error function."""
    import numpy as np

    # Options are priced a few at a time: one call of the C library for each costs less than a rational approximation of dozens of
    # array operations.
    tails = [math.erfc(each) for each in (x * -math.sqrt(0.5)).ravel().tolist()]
    return 0.5 * np.array(tails).reshape(x.shape)
