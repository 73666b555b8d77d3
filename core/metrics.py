"""The metric catalogue: every quantity that greendc knows, declared once.

Decoders, storage schema, charts, simulators and the metric documentation read this table. Names are
unique inside a family; the name on the wire is the name in the store, and the unit is part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.text import Text


class MetricKind(StrEnum):
    """How readings of a metric turn into a period's figure.

    GAUGE: linear between two consecutive readings. COUNTER: ever-growing total, whose increase
    counts.
    INTERVAL: each reading is already the sum since the reading before.
    """

    GAUGE = "gauge"
    COUNTER = "counter"
    INTERVAL = "interval"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of one family.

    Attributes:
        family: `energy`, `water`, `solar`, `accelerator` or `weather`.
        name: Name on the wire and in the store; carries the unit.
        unit: Canonical unit, a spelling of `core.units.UNITS`.
        kind: Gauge, counter or interval.
        low: Least plausible value, inclusive; a smaller one is quarantined.
        high: Largest plausible value, inclusive.
        decimals: Digits after the point where people read it.
        text: Name in Korean and English.
        counter: For a rate (power, flow): the counter metric of the same quantity.
        integral_unit: Unit of the time integral of a rate; empty where an integral means nothing.
        integral_per_hour: Integral in `integral_unit` of 1 `unit` held for one hour.
        resets: Whether the counter is known to start again at zero (driver reload, power cycle).
    """

    family: str
    name: str
    unit: str
    kind: MetricKind
    low: float
    high: float
    decimals: int
    text: Text
    counter: str = ""
    integral_unit: str = ""
    integral_per_hour: float = 0.0
    resets: bool = False


_G, _C, _I = MetricKind.GAUGE, MetricKind.COUNTER, MetricKind.INTERVAL


def _rows() -> list[Metric]:
    e, w, s, a, t = "energy", "water", "solar", "accelerator", "weather"
    return [
        Metric(
            e,
            "active_power_kw",
            "kW",
            _G,
            -500_000.0,
            500_000.0,
            0,
            Text("유효전력", "Active power"),
            "active_energy_kwh",
            "kWh",
            1.0,
        ),
        Metric(
            e, "active_energy_kwh", "kWh", _C, 0.0, 1e12, 1, Text("적산전력량", "Active energy")
        ),
        Metric(
            e, "export_energy_kwh", "kWh", _C, 0.0, 1e12, 1, Text("역송전력량", "Exported energy")
        ),
        Metric(e, "power_factor", "1", _G, -1.0, 1.0, 3, Text("역률", "Power factor")),
        Metric(
            e,
            "supply_air_temperature_c",
            "degC",
            _G,
            -20.0,
            80.0,
            1,
            Text("급기온도", "Supply air temperature"),
        ),
        Metric(
            e,
            "heat_power_kw",
            "kW",
            _G,
            -500_000.0,
            500_000.0,
            0,
            Text("열출력", "Heat power"),
            "heat_energy_kwh",
            "kWh",
            1.0,
        ),
        Metric(e, "heat_energy_kwh", "kWh", _C, 0.0, 1e12, 1, Text("열량", "Heat energy")),
        Metric(w, "volume_m3", "m3", _C, 0.0, 1e10, 1, Text("적산유량", "Volume")),
        Metric(
            w,
            "flow_m3_per_h",
            "m3/h",
            _G,
            0.0,
            20_000.0,
            1,
            Text("유량", "Flow"),
            "volume_m3",
            "m3",
            1.0,
        ),
        Metric(w, "tank_level_m", "m", _G, 0.0, 50.0, 2, Text("저류조 수위", "Tank level")),
        Metric(
            w,
            "conductivity_us_per_cm",
            "uS/cm",
            _G,
            0.0,
            100_000.0,
            0,
            Text("전기전도도", "Conductivity"),
        ),
        Metric(
            s,
            "ac_power_kw",
            "kW",
            _G,
            -1_000.0,
            200_000.0,
            1,
            Text("태양광 출력", "PV output"),
            "ac_energy_kwh",
            "kWh",
            1.0,
        ),
        Metric(s, "ac_energy_kwh", "kWh", _C, 0.0, 1e11, 1, Text("태양광 발전량", "PV energy")),
        Metric(
            s,
            "poa_irradiance_w_per_m2",
            "W/m2",
            _G,
            -20.0,
            1_800.0,
            0,
            Text("경사면 일사량", "Plane-of-array irradiance"),
        ),
        Metric(
            s,
            "module_temperature_c",
            "degC",
            _G,
            -50.0,
            120.0,
            1,
            Text("모듈 온도", "Module temperature"),
        ),
        Metric(
            a,
            "power_w",
            "W",
            _G,
            0.0,
            500_000_000.0,
            0,
            Text("가속기 전력", "Accelerator power"),
            "energy_kwh",
            "kWh",
            1e-3,
        ),
        Metric(
            a,
            "energy_kwh",
            "kWh",
            _C,
            0.0,
            1e12,
            1,
            Text("가속기 전력량", "Accelerator energy"),
            resets=True,
        ),
        Metric(a, "utilization_percent", "%", _G, 0.0, 100.0, 1, Text("사용률", "Utilisation")),
        Metric(a, "temperature_c", "degC", _G, -20.0, 150.0, 0, Text("온도", "Temperature")),
        Metric(
            a, "memory_used_gib", "GiB", _G, 0.0, 1_000_000.0, 1, Text("사용 메모리", "Memory used")
        ),
        Metric(
            a,
            "throttled_seconds",
            "s",
            _C,
            0.0,
            1e12,
            0,
            Text("성능 제한 시간", "Throttled time"),
            resets=True,
        ),
        Metric(
            a, "inferences", "count", _C, 0.0, 1e18, 0, Text("추론 수", "Inferences"), resets=True
        ),
        Metric(a, "tokens", "count", _C, 0.0, 1e18, 0, Text("토큰 수", "Tokens"), resets=True),
        Metric(
            a,
            "members_reporting",
            "count",
            _G,
            0.0,
            10_000_000.0,
            0,
            Text("보고한 장치 수", "Members reporting"),
        ),
        Metric(
            a,
            "members_expected",
            "count",
            _G,
            0.0,
            10_000_000.0,
            0,
            Text("전체 장치 수", "Members expected"),
        ),
        Metric(
            t, "temperature_c", "degC", _G, -60.0, 60.0, 1, Text("외기온도", "Outdoor temperature")
        ),
        Metric(
            t, "wet_bulb_c", "degC", _G, -60.0, 50.0, 1, Text("외기 습구온도", "Outdoor wet bulb")
        ),
        Metric(
            t,
            "relative_humidity_percent",
            "%",
            _G,
            0.0,
            100.0,
            0,
            Text("상대습도", "Relative humidity"),
        ),
        Metric(t, "rain_mm", "mm", _I, 0.0, 300.0, 1, Text("강우량", "Rain")),
        Metric(
            t,
            "ghi_w_per_m2",
            "W/m2",
            _G,
            -20.0,
            1_800.0,
            0,
            Text("수평면 일사량", "Global horizontal irradiance"),
        ),
        Metric(
            t,
            "dni_w_per_m2",
            "W/m2",
            _G,
            -20.0,
            1_500.0,
            0,
            Text("직달 일사량", "Direct normal irradiance"),
        ),
        Metric(
            t,
            "dhi_w_per_m2",
            "W/m2",
            _G,
            -20.0,
            1_200.0,
            0,
            Text("산란 일사량", "Diffuse horizontal irradiance"),
        ),
        Metric(t, "wind_speed_m_per_s", "m/s", _G, 0.0, 120.0, 1, Text("풍속", "Wind speed")),
    ]


CATALOGUE: dict[tuple[str, str], Metric] = {(row.family, row.name): row for row in _rows()}


def family_metrics(family: str) -> dict[str, Metric]:
    """The metrics of one family, by name."""
    return {name: metric for (of, name), metric in CATALOGUE.items() if of == family}
