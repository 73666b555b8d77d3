"""The shapes of what a site's page shows: numbers and words, ready for a template."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.anatomy import AnatomyView
from dashboard.condition_views import ConditionsView
from dashboard.live_values import ValueState
from dashboard.system_rows import SystemRow


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old a card's data are, and when the browser has to call them late by its own clock.

    Attributes:
        time_ms: Time of the data, UTC epoch milliseconds; None without any.
        late_ms, stale_ms: Ages at which they become late and stale.
        state: At the moment of the view.
        text: Words for that age: `8 s ago`, `7 min late`, `silent for 6 h 32 min`.
    """

    time_ms: int | None
    late_ms: int
    stale_ms: int
    state: ValueState
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from its zero; filled share and mark in percent of its length.

    Attributes:
        start, end: Texts at its ends; empty where nothing is said.
        target: Words at the mark.
    """

    filled: float
    mark: float | None = None
    start: str = ""
    end: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """One value with everything that has to stand beside it.

    Attributes:
        label: What it is, after the unit: `PUE today`.
        is_dim: Greyed because it is incomplete.
        tags: Short bordered words: the verdict, `incomplete`.
        notes: Lines below: what is missing, why there is no figure.
        facts: Small words of the meta line: coverage, uncertainty.
        last: What stands here once the value is stale: `last value 28,420 kW (14:25)`.
    """

    value: str
    unit: str
    label: str = ""
    is_dim: bool = False
    tags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    bar: Bar | None = None
    last: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A card: title, age, source mark, figures.

    Attributes:
        source: Word of the source mark; empty for measured data.
        is_live: Whether its age is told in seconds; else its window stands in the subtitle.
        evidence: Id for the evidence panel; empty where there is none.
        notes: Lines at its foot.
    """

    id: str
    title: str
    subtitle: str
    freshness: Freshness
    source: str
    figures: tuple[Figure, ...] = ()
    is_live: bool = True
    evidence: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TankView:
    """The drawing of the rain tank, and its balance of today.

    Attributes:
        filled: Percent of the full tank; None where only a level in metres is known.
        full, half: Texts of the scale, in m³.
        label: What a person who does not see it is told.
        balance: (name, signed m³) lines; empty where today's balance is not known.
    """

    filled: float | None
    full: str
    half: str
    label: str
    balance: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ArrayRow:
    """One PV array in the solar card."""

    surface: str
    name: str
    power: str
    bar: Bar | None
    energy: str
    energy_tag: str
    rated: str
    is_dim: bool


@dataclass(frozen=True, slots=True)
class AcceleratorRow:
    """One kind of accelerator."""

    name: str
    reporting: str
    power: str
    bar: Bar | None
    rated: str
    utilization: str
    is_dim: bool


@dataclass(frozen=True, slots=True)
class ReceptionRow:
    """How many devices of one family report now, and which do not."""

    name: str
    counts: str
    bar: Bar
    silent: str


@dataclass(frozen=True, slots=True)
class SiteView:
    """All cards of a site's page; what the site does not have is None or empty."""

    pue: Card | None
    anatomy: AnatomyView | None
    conditions: Card
    condition_list: ConditionsView
    facility: Card | None
    systems: tuple[SystemRow, ...]
    it: Card | None
    wue: Card | None
    ref: Card | None
    rain: Card | None
    tank: TankView | None
    solar: Card | None
    arrays: tuple[ArrayRow, ...]
    accelerators: Card | None
    accelerator_rows: tuple[AcceleratorRow, ...]
    reception: Card
    reception_rows: tuple[ReceptionRow, ...]
