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

    def left(self, site: str, now_ms: int) -> int:
        """Readings that the site may still send at this moment."""
        full = self.per_s * _WINDOW_S
        left, since_ms = self._left.get(site, (full, now_ms))
        # A clock that steps back gives nothing, and takes nothing.
        left = min(full, left + self.per_s * max(0, now_ms - since_ms) / 1000)
        self._left[site] = (left, now_ms)
        return int(left)

    def take(self, site: str, readings: int) -> None:
        """Take readings that were accepted from the site's bucket."""
        left, since_ms = self._left[site]
        self._left[site] = (left - readings, since_ms)
