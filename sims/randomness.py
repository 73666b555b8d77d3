"""Random numbers that depend on what they are for, never on the order in which they are drawn.

Each quantity has a stream of its own, keyed by seed, site and name (Philox, a counter-based
generator), and a place in it for every block. Adding a device changes no other one.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

from core.samples import Floats
from sims.grid import BLOCK_STEPS


class Randomness:
    """The random numbers of one site under one seed."""

    def __init__(self, seed: int, site_id: str) -> None:
        self._root = f"{seed}/{site_id}/"
        # One object per site and process: the cache lives as long as the site does.
        self._white = lru_cache(maxsize=1024)(self._draw_white)

    def stream(self, name: str, index: int = 0) -> np.random.Generator:
        """The generator of one quantity at one place (a block, a day)."""
        digest = hashlib.blake2b((self._root + name).encode(), digest_size=16).digest()
        counter = [0, 0, index % 2**32, 0]
        bits = np.random.Philox(key=int.from_bytes(digest, "little"), counter=counter)
        return np.random.Generator(bits)

    def _draw_white(self, name: str, block: int, knots: int) -> Floats:
        return self.stream(name, block).standard_normal(knots)

    def knots(self, name: str, block: int, period_steps: int) -> Floats:
        """White normal knots from one before the block to two behind its last node.

        Args:
            period_steps: Steps between two knots; a third of a block or less, and divides it.
        """
        count, rest = divmod(BLOCK_STEPS, period_steps)
        if rest or count < 3:
            raise ValueError(f"{period_steps} steps do not divide a block in three or more")
        return np.concatenate(
            [
                self._white(name, block - 1, count)[-1:],
                self._white(name, block, count),
                self._white(name, block + 1, count)[:3],
            ]
        )

    def smooth(self, name: str, block: int, period_steps: int) -> Floats:
        """Smooth noise of unit variance at the block's nodes, correlated over about one period.

        White knots joined by a cubic B-spline, scaled to the same variance at every phase.

        Returns:
            (BLOCK_STEPS + 1,) values; the last node equals the next block's first.
        """
        return _spline(self.knots(name, block, period_steps), period_steps)

    def mixture(self, name: str, block: int, parts: dict[int, float]) -> Floats:
        """Sum of smooth noises: period in steps -> standard deviation."""
        total = np.zeros(BLOCK_STEPS + 1)
        for period_steps, deviation in parts.items():
            total += deviation * self.smooth(f"{name}/{period_steps}", block, period_steps)
        return total


@lru_cache(maxsize=32)
def _weights(period_steps: int) -> Floats:
    x = np.arange(period_steps) / period_steps
    weights = np.stack(
        [
            (1 - x) ** 3,
            3 * x**3 - 6 * x**2 + 4,
            -3 * x**3 + 3 * x**2 + 3 * x + 1,
            x**3,
        ]
    )
    scaled: Floats = weights / np.sqrt((weights**2).sum(axis=0))
    return scaled


def _spline(knots: Floats, period_steps: int) -> Floats:
    weights = _weights(period_steps)
    # Every phase of every knot, and the first phase of the knot behind the block.
    around = np.stack([knots[:-4], knots[1:-3], knots[2:-2], knots[3:-1]], axis=1)
    return np.append((around @ weights).ravel(), knots[-4:] @ weights[:, 0])
