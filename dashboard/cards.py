"""The cards of a site's page out of live values and today's figures: pure.

The same views make the first paint and every live update, so a page says one thing only.
"""

from __future__ import annotations

from core.kpis import KpiValue
from core.periods import to_ms
from core.quality import Verdict
from core.roles import ROLES
from core.sites import Site
from dashboard import formats
from dashboard.card_views import (
    AcceleratorRow,
    ArrayRow,
    Bar,
    Card,
    Figure,
    ReceptionRow,
    SiteView,
    TankView,
)
from dashboard.card_words import CardWords, join_names
from dashboard.evidence_words import least_coverage, reason_words
from dashboard.live_values import (
    IT_ROLE_BY_CATEGORY,
    AcceleratorPower,
    LiveSnapshot,
    LiveValue,
    ValueState,
)
from dashboard.today import SiteDay
from dashboard.words import Words

# A figure of today is late when its last interval ended two intervals ago.
_FIGURE_CADENCE_S = 900.0
_PUE_SCALE_START = 1.0
_PUE_SCALE_ENDS = (1.5, 2.0, 3.0, 5.0)
_WATER_ROLES = ("mains_supply", "reclaimed_supply", "groundwater_supply")
VERDICT_WORDS = {
    Verdict.FINAL: "verdict.final",
    Verdict.PROVISIONAL: "verdict.provisional",
    Verdict.REFUSED: "verdict.refused",
}
FAMILY_WORDS = {
    "energy": "family.energy",
    "water": "family.water",
    "solar": "family.solar",
    "accelerator": "family.accelerator",
    "weather": "family.weather",
}


def site_view(site: Site, live: LiveSnapshot, day: SiteDay | None, words: Words) -> SiteView:
    """Every card of a site at one moment, in the words of one language."""
    cards = _Cards(site, live, day, words)
    has_supply = bool(site.with_role("grid_feed", "generator"))
    has_it = live.it.expected > 0
    has_water = bool(site.with_role(*_WATER_ROLES))
    return SiteView(
        pue=cards.pue() if has_supply and has_it else None,
        facility=cards.facility() if has_supply else None,
        it=cards.it() if has_it else None,
        wue=cards.wue() if has_water and has_it else None,
        ref=cards.ref() if has_supply else None,
        rain=cards.rain(),
        tank=cards.tank(),
        solar=cards.solar() if live.arrays else None,
        arrays=tuple(cards.array_rows()),
        accelerators=cards.accelerators() if live.accelerators else None,
        accelerator_rows=tuple(cards.accelerator_row(kind) for kind in live.accelerators),
        reception=cards.reception(),
        reception_rows=tuple(cards.reception_rows()),
    )


class _Cards:
    def __init__(self, site: Site, live: LiveSnapshot, day: SiteDay | None, words: Words) -> None:
        self._site = site
        self._live = live
        self._day = day
        self._t = words
        self._words = CardWords(site, live.now_ms, words)

    # ------------------------------------------------------------ live power

    def facility(self) -> Card:
        value, contract = self._live.facility, self._site.contract_power_kw
        notes: tuple[str, ...] = ()
        bar = None
        if contract and value.value is not None and not value.is_incomplete:
            room = contract - value.value
            words = self._t(
                "facility.headroom" if room >= 0 else "facility.above_contract",
                room=formats.format_number(abs(room), 0),
                share=formats.format_share(abs(room) / contract, 0),
            )
            end = self._t("facility.contract", contract=formats.format_number(contract, 0))
            notes, bar = (words,), Bar(_percent(value.value / contract), start="0", end=end)
        figure = self._live_figure(value, 0, notes=notes, bar=bar)
        return self._live_card(
            "facility", self._t("facility.title"), self._t("facility.subtitle"), value, figure
        )

    def it(self) -> Card:
        value = self._live.it
        share = self._share_of_facility(value)
        notes: tuple[str, ...] = ()
        bar = None
        if share is not None:
            notes = (self._t("it.share", share=formats.format_share(share)),)
            bar = Bar(_percent(share))
        role = ROLES[IT_ROLE_BY_CATEGORY[self._site.pue_category]].text.get(self._t.language)
        figure = self._live_figure(value, 0, notes=notes, bar=bar)
        return self._live_card("it", self._t("it.title"), role, value, figure)

    def _share_of_facility(self, value: LiveValue) -> float | None:
        facility = self._live.facility
        known = value.value is not None and facility.value is not None
        if not known or value.missing or facility.missing or not facility.value:
            return None
        return max(0.0, value.value or 0.0) / facility.value

    def _live_card(
        self, card: str, title: str, subtitle: str, value: LiveValue, *figures: Figure
    ) -> Card:
        return Card(
            id=card,
            title=title,
            subtitle=subtitle,
            freshness=self._words.freshness(value.time_ms, value.cadence_s),
            source=self._words.source,
            figures=figures,
            evidence=card,
        )

    def _live_figure(
        self,
        value: LiveValue,
        decimals: int,
        *,
        label: str = "",
        notes: tuple[str, ...] = (),
        bar: Bar | None = None,
    ) -> Figure:
        unit = formats.display_unit(value.unit)
        text = formats.format_number(value.value, decimals)
        last = ""
        if value.time_ms is not None:
            known = value.value is not None
            last = (
                self._words.last_value(f"{text} {unit}", value.time_ms)
                if known
                else self._words.last_time(value.time_ms)
            )
        missing = self._words.missing(value.missing) if value.is_incomplete else ()
        return Figure(
            value=text,
            unit=unit if value.value is not None else "",
            label=label,
            is_dim=value.is_incomplete,
            tags=(self._t("state.incomplete"),) if value.is_incomplete else (),
            notes=missing or notes,
            bar=bar,
            last=last,
        )

    # ------------------------------------------------------------ today's figures

    def pue(self) -> Card:
        row = self._day.site_kpi("pue") if self._day else None
        figure = self._kpi_figure("pue", self._t("pue.label"), bar=self._pue_bar(row))
        category = self._t("pue.category", category=self._site.pue_category)
        return self._today_card("pue", self._t("pue.title"), category, figure)

    def _pue_bar(self, row: KpiValue | None) -> Bar:
        target = self._site.target("pue", self._words.local_now.date())
        value = row.value if row is not None else None
        largest = max(value or 0.0, target.value if target else 0.0)
        end = next((end for end in _PUE_SCALE_ENDS if largest <= end), _PUE_SCALE_ENDS[-1])

        def place(pue: float) -> float:
            return _percent((pue - _PUE_SCALE_START) / (end - _PUE_SCALE_START))

        words = ""
        if target is not None:
            words = self._t("target", value=formats.format_number(target.value, 2))
        return Bar(
            filled=place(value) if value is not None else 0.0,
            mark=place(target.value) if target is not None else None,
            start=formats.format_number(_PUE_SCALE_START, 1),
            end=formats.format_number(end, 1),
            target=words,
        )

    def wue(self) -> Card:
        figures = [self._kpi_figure("wue", self._t("wue.total_label"))]
        if self._site.with_role("mains_supply"):
            figures.append(self._kpi_figure("wue_potable", self._t("wue.potable_label")))
        return self._today_card("wue", self._t("wue.title"), "", *figures)

    def ref(self) -> Card:
        figure = self._kpi_figure("ref", self._t("ref.label"))
        return self._today_card("ref", self._t("ref.title"), "", figure)

    def _today_card(self, card: str, title: str, words: str, *figures: Figure) -> Card:
        window = self._day.window if self._day else None
        end_ms = to_ms(window.end) if window is not None else None
        return Card(
            id=card,
            title=title,
            subtitle=words,
            freshness=self._words.freshness(end_ms, _FIGURE_CADENCE_S),
            source=self._words.source,
            figures=figures,
            is_live=False,
            evidence=card,
        )

    def _kpi_figure(self, kpi: str, label: str, *, bar: Bar | None = None) -> Figure:
        row = self._day.site_kpi(kpi) if self._day else None
        if row is None:
            pending = self._day is None or self._day.window is None
            note = self._t("today.not_yet" if pending else "today.none")
            return Figure(formats.NO_VALUE, "", label, notes=(note,), bar=bar)
        value, unit = formats.format_kpi(kpi, row.value)
        # What is doubtful stands beside the number, what is in order among the small words.
        verdict, is_final = self._t(VERDICT_WORDS[row.verdict]), row.verdict is Verdict.FINAL
        facts = [verdict] if is_final else []
        facts.append(formats.format_span(row.start, row.end, self._site.zone))
        if row.value is not None and row.uncertainty is not None:
            facts.append(f"± {formats.format_kpi(kpi, row.uncertainty)[0]}")
        coverage = least_coverage(row)
        if coverage is not None:
            facts.append(self._t("coverage", share=formats.format_share(coverage)))
        reason = reason_words(row, self._t)
        return Figure(
            value=value,
            unit=unit if row.value is not None else "",
            label=label,
            tags=() if is_final else (verdict,),
            notes=(reason,) if reason else (),
            facts=tuple(facts),
            bar=bar,
        )

    # ------------------------------------------------------------ rain and sun

    def rain(self) -> Card | None:
        tank = self._live.tank
        if tank is None:
            return None
        level = tank.level
        last = ""
        if tank.share is not None and level.last is not None:
            value = formats.format_number(tank.share * 100.0, 1)
            unit = f"% · {formats.format_number(tank.volume_m3, 1)} m³"
        else:
            value, unit = formats.format_number(level.last, 2), "m"
        if level.time_ms is not None and level.last is not None:
            last = self._words.last_value(f"{value} {unit}", level.time_ms)
        is_recent = level.value is not None
        shown = Figure(
            value=value if is_recent else formats.NO_VALUE,
            unit=unit if is_recent else "",
            label="",
            last=last,
        )
        reuse = self._kpi_figure("rain_reuse_ratio", self._t("rain.reuse_label"))
        rain = self._site.rain
        return Card(
            id="rain",
            title=self._t("rain.title"),
            subtitle=f"{formats.format_number(rain.tank_volume_m3, 0)} m³" if rain else "",
            freshness=self._words.freshness(level.time_ms, level.cadence_s),
            source=self._words.source,
            figures=(shown, reuse),
            evidence="rain",
        )

    def tank(self) -> TankView | None:
        tank, rain = self._live.tank, self._site.rain
        if tank is None or rain is None:
            return None
        full = rain.tank_volume_m3
        label = self._t("rain.tank_unknown")
        if tank.share is not None:
            label = self._t(
                "rain.tank_label",
                share=formats.format_share(tank.share),
                full=formats.format_number(full, 0),
                volume=formats.format_number(tank.volume_m3, 1),
            )
        return TankView(
            filled=None if tank.share is None else _percent(tank.share),
            full=formats.format_number(full, 0),
            half=formats.format_number(full / 2.0, 0),
            label=label,
        )

    def solar(self) -> Card:
        value = self._live.pv
        share = self._share_of_facility(value)
        notes: tuple[str, ...] = ()
        if share is not None:
            notes = (self._t("solar.share", share=formats.format_share(share)),)
        power = self._live_figure(value, 1, label=self._t("solar.now_label"), notes=notes)
        energy = self._kpi_figure("pv_energy", self._t("solar.energy_label"))
        title, subtitle = self._t("solar.title"), self._t("solar.subtitle")
        return self._live_card("solar", title, subtitle, value, power, energy)

    def array_rows(self) -> list[ArrayRow]:
        rows = []
        for array in self._live.arrays:
            kw, rated = array.power.value, array.state.rated_kwp
            row = self._day.kpis.get(("pv_energy", array.device)) if self._day else None
            energy, unit = formats.format_kpi("pv_energy", row.value if row else None)
            has_energy = row is not None and row.value is not None
            doubtful = row is not None and row.verdict is not Verdict.FINAL
            rows.append(
                ArrayRow(
                    surface=_surface(array.state.surface, array.state.azimuth_deg),
                    name=self._words.array_name(array.device, array.state),
                    power=_with_unit(formats.format_number(kw, 1), "kW", known=kw is not None),
                    bar=Bar(_percent(kw / rated)) if rated and kw is not None else None,
                    energy=_with_unit(energy, unit, known=has_energy),
                    energy_tag=self._t(VERDICT_WORDS[row.verdict]) if row and doubtful else "",
                    rated=f"{formats.format_number(rated, 0)} kWp" if rated else "",
                    is_dim=array.power.state(self._live.now_ms) is not ValueState.NORMAL,
                )
            )
        return rows

    # ------------------------------------------------------------ accelerators, reception

    def accelerators(self) -> Card:
        powers = [kind.power for kind in self._live.accelerators]
        times = [power.time_ms for power in powers if power.time_ms is not None]
        missing = [device for power in powers for device in power.missing]
        return Card(
            id="accelerators",
            title=self._t("accelerators.title"),
            subtitle=self._t("accelerators.subtitle"),
            freshness=self._words.freshness(
                min(times, default=None), max(power.cadence_s for power in powers)
            ),
            source=self._words.source,
            notes=self._words.missing(missing),
        )

    def accelerator_row(self, kind: AcceleratorPower) -> AcceleratorRow:
        kw, complete = kind.power.value, not kind.power.missing
        share = kw / kind.rated_kw if kw is not None and kind.rated_kw and complete else None
        percent = kind.utilization_percent
        rated = ""
        if share is not None:
            rated = self._t(
                "accelerators.of_rated",
                rated=formats.format_number(kind.rated_kw, 1),
                share=formats.format_share(share, 0),
            )
        return AcceleratorRow(
            name=kind.kind.upper(),
            reporting=self._t(
                "accelerators.reporting",
                reporting=formats.format_number(kind.power.reporting, 0),
                expected=formats.format_number(kind.power.expected, 0),
            ),
            power=_with_unit(formats.format_number(kw, 1), "kW", known=kw is not None),
            bar=Bar(_percent(share)) if share is not None else None,
            rated=rated,
            utilization=formats.format_share(None if percent is None else percent / 100.0),
            is_dim=kind.power.state(self._live.now_ms) is not ValueState.NORMAL or not complete,
        )

    def reception(self) -> Card:
        cadence_s = min((family.cadence_s for family in self._live.families), default=60.0)
        return Card(
            id="reception",
            title=self._t("reception.title"),
            subtitle=self._t("reception.subtitle"),
            freshness=self._words.freshness(self._live.newest_ms, cadence_s),
            source=self._words.source,
        )

    def reception_rows(self) -> list[ReceptionRow]:
        return [
            ReceptionRow(
                name=self._t(FAMILY_WORDS[family.family]),
                counts=" / ".join(
                    formats.format_number(count, 0) for count in (family.reporting, family.expected)
                ),
                bar=Bar(_percent(family.reporting / family.expected)),
                silent=join_names(family.silent, self._t),
            )
            for family in self._live.families
        ]


def _percent(share: float) -> float:
    """A share as a length on a bar: 0 to 100, to a tenth."""
    return round(min(1.0, max(0.0, share)) * 100.0, 1)


def _with_unit(text: str, unit: str, *, known: bool) -> str:
    return f"{text} {unit}".rstrip() if known else text


def _surface(surface: str, azimuth_deg: float | None) -> str:
    """Which little drawing shows where an array lies."""
    if surface != "facade" or azimuth_deg is None:
        return "roof"
    return ("facade-n", "facade-e", "facade-s", "facade-w")[round(azimuth_deg / 90.0) % 4]
