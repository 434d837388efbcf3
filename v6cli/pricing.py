"""Black-Scholes-Merton: prices, greeks and implied volatilities of European options, many at once.

Every argument may be a number or an array; they are broadcast against each other, and the answers have that shape.

Units: ``spot`` and ``strike`` in currency per share; ``years`` to expiry as a fraction of 365 days; ``rate`` and
``dividend`` continuously compounded per year (0.04 is 4 %); ``volatility`` per year as a fraction (0.2 is 20 %);
``call`` True for a call, False for a put. Prices and greeks are per share of the underlying.
"""

from __future__ import annotations

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
    d1, d2 = _distances(forward, discounted, deviation)
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
    d1, d2 = _distances(spot * growth, strike * discount, deviation)
    density = np.exp(-0.5 * d1 * d1) / np.sqrt(2 * np.pi)
    safe = np.where(alive, deviation, 1.0)
    decay = np.where(alive, spot * growth * density * volatility / (2 * np.where(alive, root, 1.0)), 0.0)
    carry = sign * (dividend * spot * growth * _cumulative(sign * d1) - rate * strike * discount * _cumulative(sign * d2))
    in_the_money = np.where(sign * (spot * growth - strike * discount) > 0, sign, 0.0)
    return Greeks(
        delta=np.asarray(np.where(alive, sign * growth * _cumulative(sign * d1), in_the_money * growth)),
        gamma=np.asarray(np.where(alive, growth * density / (spot * safe), 0.0)),
        theta=np.asarray(np.where(alive, (carry - decay) / DAYS_PER_YEAR, 0.0)),
        vega=np.asarray(np.where(alive, spot * growth * density * root / 100, 0.0)),
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
    for _ in range(80):
        missing = price(spot, strike, years, guess, sign > 0, rate=rate, dividend=dividend) - value
        low, high = np.where(missing < 0, guess, low), np.where(missing < 0, high, guess)
        slope = greeks(spot, strike, years, guess, sign > 0, rate=rate, dividend=dividend).vega * 100
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
    return tuple(np.broadcast_arrays(*(np.asarray(number, dtype=np.float64) for number in (*numbers[:4], call, rate, dividend))))


def _distances(forward: Floats, discounted: Floats, deviation: Floats) -> tuple[Floats, Floats]:
    """d1 and d2, finite wherever there is some deviation left."""
    import numpy as np

    safe = np.where(deviation > 0, deviation, 1.0)
    with np.errstate(divide="ignore", over="ignore"):
        d1 = np.clip(np.log(np.maximum(forward, 1e-300) / np.maximum(discounted, 1e-300)) / safe + 0.5 * safe, -1e6, 1e6)
    return d1, d1 - safe


def _cumulative(x: Floats) -> Floats:
    """The standard normal distribution, to about 1e-15 (Hart's rational approximation, as given by West 2005)."""
    import numpy as np

    size = np.abs(x)
    near = np.minimum(size, 7.07106781186547)
    above, below = np.polyval(_HART_ABOVE, near), np.polyval(_HART_BELOW, near)
    far = np.maximum(size, 7.07106781186547)
    fraction = far + 1 / (far + 2 / (far + 3 / (far + 4 / (far + 0.65))))
    bell = np.exp(-0.5 * np.minimum(size, 38.0) ** 2)
    tail = bell * np.where(size < 7.07106781186547, above / below, 1 / (fraction * 2.506628274631))
    tail = np.where(size > 37, 0.0, tail)
    return np.asarray(np.where(x > 0, 1.0 - tail, tail), dtype=np.float64)


_HART_ABOVE = (
    3.52624965998911e-02,
    0.700383064443688,
    6.37396220353165,
    33.912866078383,
    112.079291497871,
    221.213596169931,
    220.206867912376,
)
_HART_BELOW = (
    8.83883476483184e-02,
    1.75566716318264,
    16.064177579207,
    86.7807322029461,
    296.564248779674,
    637.333633378831,
    793.826512519948,
    440.413735824752,
)
