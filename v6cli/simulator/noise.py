"""Movement without memory: a random walk that can be asked for any moment, and stays near where it began.

Several waves of seeded noise are laid over each other, each slower one taller by the square root of its period, so over
minutes to days the sum moves as a random walk does; because the slowest wave is bounded, so is the walk. Nothing is stored:
the same seed and moment give the same value in every process.
"""

from __future__ import annotations

import functools
import hashlib
import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_DAY = 86_400.0
_PERIODS = np.array([10 * _DAY, 3.3 * _DAY, 1.1 * _DAY, 32_000.0, 10_800.0, 3_600.0, 1_200.0, 400.0, 130.0, 45.0, 15.0])
_HEIGHTS = np.sqrt(_PERIODS / _DAY)
#: Standard deviation of the sum's change over one day, before it is divided by it (measured over 200 seeds).
_DAILY_DEVIATION = 0.99
_FEW = 256


def stream(seed: int, name: str) -> int:
    """A seed for the movement called ``name``."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest(), "big")


def scatter(seed: int | NDArray[np.uint64], indices: NDArray[np.int64]) -> Floats:
    """A fixed random number in [-1, 1) for each index (splitmix64's finalizer); seeds may differ along a first axis."""
    start = np.uint64(seed) if isinstance(seed, int) else seed
    with np.errstate(over="ignore"):
        mixed = indices.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0


def indices(*numbers: int) -> NDArray[np.int64]:
    """Indices for ``scatter``."""
    return np.array(numbers, dtype=np.int64)


def walk(seed: int, moments: Floats) -> Floats:
    """Where the walk stands at each moment (seconds since 1970), in standard deviations of a day's change; within about 6."""
    if moments.size == 1:
        return np.full(moments.shape, _stands(seed, moments.item()))
    seeds = _seeds(seed)
    total = np.zeros(moments.shape)
    # Few moments are looked at in all waves at once; many, wave by wave, or they would fill the memory.
    width = len(_PERIODS) if moments.size <= _FEW else 1
    for first in range(0, len(_PERIODS), width):
        for wave in _waves(seeds[first : first + width], _PERIODS[first : first + width], _HEIGHTS[first : first + width], moments):
            total += wave
    return total / _DAILY_DEVIATION


def _stands(seed: int, moment: float) -> float:
    """The same of one moment, to the last bit. Orders and quotes ask for no more, and arrays of one number cost ten times as much."""
    phases = [moment / period for period in _PERIODS.tolist()]
    steps = [math.floor(phase) for phase in phases]
    total = 0.0
    for height, phase, step, (near, next_) in zip(_HEIGHTS.tolist(), phases, steps, _ends(seed, tuple(steps)), strict=True):
        part = phase - step
        part = part * part * (3 - 2 * part)
        total += height * ((1 - part) * near + part * next_)
    return total / _DAILY_DEVIATION


@functools.lru_cache(maxsize=1024)  # even the quickest wave is on its way to the same number for seconds
def _ends(seed: int, steps: tuple[int, ...]) -> list[tuple[float, float]]:
    """Between which two numbers each wave is."""
    near = np.array(steps)
    return list(zip(scatter(_seeds(seed), near).tolist(), scatter(_seeds(seed), near + 1).tolist(), strict=True))


@functools.cache
def _seeds(seed: int) -> NDArray[np.uint64]:
    """A seed for each wave."""
    return np.array([(seed + number * 0xD1B54A32D192ED03) % (1 << 64) for number in range(len(_PERIODS))], np.uint64)


def _waves(seeds: NDArray[np.uint64], periods: Floats, heights: Floats, moments: Floats) -> Floats:
    """Each wave's part at each moment, waves along the first axis."""
    across = (len(periods),) + (1,) * moments.ndim
    phase = moments / periods.reshape(across)
    step = np.floor(phase).astype(np.int64)
    part = phase - step
    part = part * part * (3 - 2 * part)
    near, next_ = scatter(seeds.reshape(across), np.stack([step, step + 1]))
    return np.asarray(heights.reshape(across) * ((1 - part) * near + part * next_))
