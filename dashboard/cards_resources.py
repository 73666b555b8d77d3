"""Cards of rain and sun: the tank, its balance, PV arrays."""

from __future__ import annotations

from dataclasses import replace

from core.quality import Verdict
from dashboard import formats
from dashboard.card_builder import VERDICT_WORDS, CardBuilder, percent, with_unit
from dashboard.card_views import ArrayRow, Bar, Card, Figure, TankView
from dashboard.formula_words import format_amount
from dashboard.live_values import ValueState

_BALANCE_PARTS = (
    "collected_m3",
    "top_up_m3",
    "used_m3",
    "overflow_m3",
    "drained_m3",
    "stored_m3",
)


def rain(b: CardBuilder) -> Card | None:
    """The tank now and today's rain reuse; None without a tank."""
    tank = b.live.tank
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
        last = b.words.last_value(f"{value} {unit}", level.time_ms)
    is_recent = level.value is not None
    shown = Figure(
        value=value if is_recent else formats.NO_VALUE,
        unit=unit if is_recent else "",
        label="",
        last=last,
    )
    reuse = _rain_reuse(b)
    rain = b.site.rain
    return Card(
        id="rain",
        title=b.t("rain.title"),
        subtitle=f"{formats.format_number(rain.tank_volume_m3, 0)} m³" if rain else "",
        freshness=b.words.freshness(level.time_ms, level.cadence_s),
        source=b.words.source,
        figures=(shown, reuse),
        evidence="rain",
    )


def _rain_reuse(b: CardBuilder) -> Figure:
    figure = b.kpi_figure("rain_reuse_ratio", b.t("rain.reuse_label"))
    row = b.day.site_kpi("rain_reuse_ratio") if b.day else None
    if row is None or row.value is None:
        return figure
    total, rain = (row.parts.get(name) for name in ("total_water_m3", "rain_reused_m3"))
    if total is None or rain is None:
        return figure
    amounts = {
        "total": format_amount("total_water_m3", total),
        "rain": format_amount("rain_reused_m3", rain),
    }
    note = b.t("rain.of_water", **amounts)
    return replace(figure, notes=(*figure.notes, note), bar=Bar(percent(row.value)))


def tank(b: CardBuilder) -> TankView | None:
    """The drawing of the tank; None without a declared rain system."""
    tank, rain = b.live.tank, b.site.rain
    if tank is None or rain is None:
        return None
    full = rain.tank_volume_m3
    label = b.t("rain.tank_unknown")
    if tank.share is not None:
        label = b.t(
            "rain.tank_label",
            share=formats.format_share(tank.share),
            full=formats.format_number(full, 0),
            volume=formats.format_number(tank.volume_m3, 1),
        )
    return TankView(
        filled=None if tank.share is None else percent(tank.share),
        full=formats.format_number(full, 0),
        half=formats.format_number(full / 2.0, 0),
        label=label,
        balance=_rain_balance(b),
    )


def _rain_balance(b: CardBuilder) -> tuple[tuple[str, str], ...]:
    row = b.day.site_kpi("rain_unexplained") if b.day else None
    if row is None or row.value is None:
        return ()
    parts = {name: row.parts.get(name) or 0.0 for name in _BALANCE_PARTS}
    lost = parts["overflow_m3"] + parts["drained_m3"]
    lines = (
        ("part.collected_m3", parts["collected_m3"]),
        ("part.top_up_m3", parts["top_up_m3"]),
        ("part.used_m3", -parts["used_m3"]),
        ("rain.overflow", -lost),
        ("rain.stored", parts["stored_m3"]),
        ("rain.unexplained", row.value),
    )
    return tuple((b.t(key), formats.format_signed(amount, 1)) for key, amount in lines)


def solar(b: CardBuilder) -> Card:
    """Solar output now and energy today."""
    value = b.live.pv
    share = b.share_of_facility(value)
    notes: tuple[str, ...] = ()
    if share is not None:
        notes = (b.t("solar.share", share=formats.format_share(share)),)
    power = b.live_figure(value, 1, label=b.t("solar.now_label"), notes=notes)
    energy = b.kpi_figure("pv_energy", b.t("solar.energy_label"))
    card = b.live_card("solar", b.t("solar.title"), value, power, energy)
    has_marks = any(array.expected_kw is not None for array in b.live.arrays)
    return replace(card, subtitle=b.t("solar.mark_subtitle") if has_marks else "")


def array_rows(b: CardBuilder) -> list[ArrayRow]:
    """A line for each array."""
    rows = []
    for array in b.live.arrays:
        kw, rated = array.power.value, array.state.rated_kwp
        row = b.day.kpis.get(("pv_energy", array.device)) if b.day else None
        energy, unit = formats.format_kpi("pv_energy", row.value if row else None)
        has_energy = row is not None and row.value is not None
        doubtful = row is not None and row.verdict is not Verdict.FINAL
        rows.append(
            ArrayRow(
                surface=surface_of(array.state.surface, array.state.azimuth_deg),
                name=b.words.array_name(array.device, array.state),
                power=with_unit(formats.format_number(kw, 1), "kW", known=kw is not None),
                bar=_output_bar(kw, array.expected_kw, rated),
                energy=with_unit(energy, unit, known=has_energy),
                energy_tag=b.t(VERDICT_WORDS[row.verdict]) if row and doubtful else "",
                rated=f"{formats.format_number(rated, 0)} kWp" if rated else "",
                is_dim=array.power.state(b.live.now_ms) is not ValueState.NORMAL,
            )
        )
    return rows


def _output_bar(kw: float | None, expected_kw: float | None, rated: float | None) -> Bar | None:
    """Output on the scale of the rated power; its mark is what the irradiance leads to expect."""
    if kw is None or not rated:
        return None
    return Bar(percent(kw / rated), None if expected_kw is None else percent(expected_kw / rated))


def surface_of(surface: str, azimuth_deg: float | None) -> str:
    """Which little drawing shows where an array lies."""
    if surface != "facade" or azimuth_deg is None:
        return "roof"
    return ("facade-n", "facade-e", "facade-s", "facade-w")[round(azimuth_deg / 90.0) % 4]
