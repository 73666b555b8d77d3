"""Ages, missing meters and places in words: what the cards of a page share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from core.periods import from_ms
from core.sites import DeviceState, Site
from dashboard import formats
from dashboard.card_views import Freshness
from dashboard.live_values import LATE_CADENCES, STALE_CADENCES, ValueState
from dashboard.words import Words

_NAMED = 3
_COMPASS = (
    "compass.north",
    "compass.northeast",
    "compass.east",
    "compass.southeast",
    "compass.south",
    "compass.southwest",
    "compass.west",
    "compass.northwest",
)


def age_state(time_ms: int | None, late_ms: int, stale_ms: int, now_ms: int) -> ValueState:
    """The state of data of this time; the page's script decides the same way."""
    if time_ms is None:
        return ValueState.NO_DATA
    age_ms = now_ms - time_ms
    if age_ms > stale_ms:
        return ValueState.STALE
    return ValueState.LATE if age_ms > late_ms else ValueState.NORMAL


def age_words(state: ValueState, time_ms: int | None, now_ms: int, words: Words) -> str:
    """`8 s ago`, `7 min late`, `silent for 6 h 32 min`, `no data`."""
    if time_ms is None or state is ValueState.NO_DATA:
        return words("age.none")
    duration = formats.format_duration((now_ms - time_ms) / 1000.0, words)
    if state is ValueState.STALE:
        return words("age.stale", duration=duration)
    if state is ValueState.LATE:
        return words("age.late", duration=duration)
    return words("age.normal", duration=duration)


def join_names(names: Sequence[str], words: Words, *, named: int = _NAMED) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(names[:named])
    if len(names) <= named:
        return shown
    return words("names.more", names=shown, n=len(names) - named)


class CardWords:
    """Words that depend on the site, the moment and the language."""

    def __init__(self, site: Site, now_ms: int, words: Words) -> None:
        self.site = site
        self.now_ms = now_ms
        self.words = words
        self.local_now: datetime = from_ms(now_ms).astimezone(site.zone)

    @property
    def source(self) -> str:
        """The source mark of every figure of the site; empty for measured data."""
        return self.words("source.simulated") if self.site.is_simulated else ""

    def freshness(self, time_ms: int | None, cadence_s: float) -> Freshness:
        """The age of data that should come every `cadence_s`."""
        late_ms = round(LATE_CADENCES * cadence_s * 1000)
        stale_ms = round(STALE_CADENCES * cadence_s * 1000)
        state = age_state(time_ms, late_ms, stale_ms, self.now_ms)
        text = age_words(state, time_ms, self.now_ms, self.words)
        return Freshness(time_ms, late_ms, stale_ms, state, text)

    def clock(self, time_ms: int) -> str:
        """Local time of day; with the date when that is another one."""
        moment = from_ms(time_ms).astimezone(self.site.zone)
        text = formats.format_clock(moment, self.site.zone)
        is_today = moment.date() == self.local_now.date()
        return text if is_today else f"{moment:%m-%d} {text}"

    def last_value(self, text: str, time_ms: int) -> str:
        """What is told of a value that is no longer recent."""
        return self.words("last.value", value=text, time=self.clock(time_ms))

    def last_time(self, time_ms: int) -> str:
        """The same where no single value can be named."""
        return self.words("last.time", time=self.clock(time_ms))

    def missing(self, names: Sequence[str]) -> tuple[str, ...]:
        """A line that names the meters that are missing, if any."""
        return (self.words("missing", names=join_names(names, self.words)),) if names else ()

    def array_name(self, device: str, state: DeviceState) -> str:
        """Where an array lies: `Roof, south, 15°`; its id where the site does not say."""
        if not state.surface or state.azimuth_deg is None or state.tilt_deg is None:
            return device
        return self.words(
            "array.roof" if state.surface == "roof" else "array.facade",
            direction=self.words(_COMPASS[round(state.azimuth_deg / 45.0) % 8]),
            tilt=formats.format_number(state.tilt_deg, 0),
        )
