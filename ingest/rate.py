"""A site's cap of readings, averaged over a minute."""

from __future__ import annotations

_WINDOW_S = 60.0


class RateCap:
    """A token bucket per site that holds a minute's worth.

    One site that floods has its excess refused; the others keep their own buckets.
    """

    def __init__(self, per_s: float) -> None:
        self.per_s = per_s
        self._left: dict[str, tuple[float, int]] = {}

    def allow(self, site: str, readings: int, now_ms: int) -> bool:
        """Take readings from the site's bucket; False when they do not fit."""
        full = self.per_s * _WINDOW_S
        left, since_ms = self._left.get(site, (full, now_ms))
        left = min(full, left + self.per_s * max(0, now_ms - since_ms) / 1000)
        allowed = readings <= left
        self._left[site] = (left - readings if allowed else left, max(since_ms, now_ms))
        return allowed
