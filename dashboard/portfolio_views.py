"""The shapes of what the list of sites shows: numbers and words, ready for a template."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.sites import Site
from dashboard.card_views import Bar, Freshness
from dashboard.live_hub import LiveState
from dashboard.live_values import LiveSnapshot
from dashboard.portfolio_spans import SiteSpans


class Condition(StrEnum):
    """How a site is, worst first: a list is sorted by this order.

    UNREAD: the store does not answer for it. IMBALANCED: the ledger disagrees with what it counts:
    readings may be lost. STALE: no reading for more than five cadences.
    NO_DATA: never a reading. LATE: older than two cadences. INCOMPLETE: a meter of the facility or
    IT power is silent. REFUSED, PROVISIONAL: what today's PUE is. SILENT: other devices are silent.
    ABOVE_TARGET: today's PUE is. QUARANTINED: readings of today were put aside. HIDDEN: this person
    sees no live value of it.
    """

    UNREAD = "unread"
    IMBALANCED = "imbalanced"
    STALE = "stale"
    NO_DATA = "no_data"
    LATE = "late"
    INCOMPLETE = "incomplete"
    REFUSED = "refused"
    SILENT = "silent"
    PROVISIONAL = "provisional"
    ABOVE_TARGET = "above_target"
    QUARANTINED = "quarantined"
    NORMAL = "normal"
    HIDDEN = "hidden"
    PLANNED = "planned"

    @property
    def rank(self) -> int:
        """Place in the order, 0 for the worst."""
        return list(Condition).index(self)

    @property
    def shape(self) -> str:
        """The mark that stands for it on the map and in the list."""
        return _SHAPES.get(self, "attention")


# Colour and the dashed circle are for data that do not come; everything else is grey.
_SHAPES = {
    Condition.UNREAD: "stale",
    Condition.STALE: "stale",
    Condition.LATE: "stale",
    Condition.NO_DATA: "empty",
    Condition.NORMAL: "normal",
    Condition.HIDDEN: "normal",
    Condition.PLANNED: "planned",
}


@dataclass(frozen=True, slots=True)
class SiteNow:
    """All that is known of one site at this moment.

    Attributes:
        state: None for a site without live values: planned, or not this person's to see.
        spans: None while they have never been computed.
    """

    site: Site
    now_ms: int
    state: LiveState | None
    spans: SiteSpans | None = None
    is_faulty: bool = False

    @property
    def live(self) -> LiveSnapshot | None:
        """The live values, if any have been read."""
        return None if self.state is None else self.state.snapshot

    @property
    def is_operating(self) -> bool:
        """Whether it has live values that this person may see."""
        return self.state is not None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not in order, with what to do.

    Attributes:
        cause: What was found; names the meter.
        action: What a person should look at first.
        since_ms: Since when, UTC epoch milliseconds; None where that is not known.
    """

    condition: Condition
    cause: str
    action: str
    since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AttentionView:
    """One line of what to look at first: a site with its worst finding.

    Attributes:
        others: Its further findings in one line; empty where there are none.
    """

    condition: Condition
    words: str
    site_name: str
    place: str
    address: str
    since: str
    cause: str
    action: str
    others: str


@dataclass(frozen=True, slots=True)
class TotalView:
    """One sum over the operating sites.

    Attributes:
        note: How many sites are in it.
        missing: Names those that are not; empty where all are.
    """

    label: str
    value: str
    unit: str
    note: str
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the table.

    Attributes:
        side: Small words beside the value: a share, a target.
        tags: Bordered words: verdict, incomplete, above target.
        note: Why there is no value.
        evidence: Address of its evidence; empty where there is none.
        is_live: Whether it goes with the reception: it becomes — when the site is stale.
        is_dim: Greyed because it is incomplete.
    """

    value: str
    unit: str = ""
    side: str = ""
    tags: tuple[str, ...] = ()
    strong_tag: str = ""
    note: str = ""
    evidence: str = ""
    bar: Bar | None = None
    is_live: bool = False
    is_dim: bool = False


@dataclass(frozen=True, slots=True)
class RowView:
    """One site in the table; without cells where there are no live values to show."""

    id: str
    name: str
    place: str
    address: str
    condition: Condition
    words: str
    note: str
    category: int
    freshness: Freshness
    sentence: str = ""
    pue: Cell | None = None
    pue_beside: Cell | None = None
    power: Cell | None = None
    power_room: Cell | None = None
    water_room: Cell | None = None
    rain: Cell | None = None
    solar: Cell | None = None
    coverage: Cell | None = None


@dataclass(frozen=True, slots=True)
class MarkerView:
    """A site on the map, in pixels of the drawing.

    Attributes:
        x, y: The site. label_x, label_y: Base line of the first line of its label.
        leader: Path from the site to its label.
        anchor: `start` or `end`.
        name, note: The two lines of the label.
        title: What a person who does not see it is told.
    """

    site: str
    address: str
    condition: Condition
    x: float
    y: float
    label_x: float
    label_y: float
    leader: str
    anchor: str
    name: str
    note: str
    title: str


@dataclass(frozen=True, slots=True)
class SpotView:
    """An island or a sea that is named on the map."""

    name: str
    x: float
    y: float
    label_x: float
    label_y: float
    anchor: str
    radius: float


@dataclass(frozen=True, slots=True)
class MapView:
    """The map at one width.

    Attributes:
        land: SVG path of the outline.
        sea: Where the name of the sea stands.
    """

    width: int
    height: int
    land: str
    spots: tuple[SpotView, ...]
    sea: tuple[float, float]
    markers: tuple[MarkerView, ...]


@dataclass(frozen=True, slots=True)
class PortfolioView:
    """The whole page.

    Attributes:
        sub: How many sites, in words.
        rows: Worst first.
        maps: By name of their width; empty without the outline.
        columns: Names of the spans of the two PUE columns.
        window: The span of the compared figures, in words.
        scale_end: Where the PUE bars end.
    """

    sub: str
    attention: tuple[AttentionView, ...]
    totals: tuple[TotalView, ...]
    rows: tuple[RowView, ...]
    maps: dict[str, MapView]
    columns: tuple[str, str]
    window: str
    scale_end: str
