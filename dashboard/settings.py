"""What the board is told by whoever starts it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

BUILD_FOLDER = Path(__file__).parent / "build"


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """Settings of the board; the defaults are the product's.

    Attributes:
        public_url: The address that people use, `https://board.example`; empty: the listener's own.
            With https the cookies are `Secure` and named `__Host-…`.
        trusted_proxies: Addresses whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
        session_idle: A session ends after so long without a request of its person.
        session_lifetime: A session ends after so long whatever happens.
        lock_failures: Failed sign-ins, per account and per address, that lock it.
        lock_window: Span over which failures count, and for which a lock holds.
        live_tick: Time between two reads of a site's latest values while somebody watches.
        heartbeat: Longest silence of a live feed.
        kpi_refresh: How long today's figures and the chart's series are held before they are
            computed again.
        build_folder: Browser files of others, see `make board-files`.
    """

    public_url: str = ""
    trusted_proxies: tuple[str, ...] = ()
    session_idle: timedelta = timedelta(minutes=30)
    session_lifetime: timedelta = timedelta(hours=12)
    lock_failures: int = 10
    lock_window: timedelta = timedelta(minutes=15)
    live_tick: timedelta = timedelta(seconds=2)
    heartbeat: timedelta = timedelta(seconds=5)
    kpi_refresh: timedelta = timedelta(seconds=30)
    build_folder: Path = field(default=BUILD_FOLDER)

    @property
    def is_secure(self) -> bool:
        """Whether people reach the board by https."""
        return self.public_url.lower().startswith("https://")
