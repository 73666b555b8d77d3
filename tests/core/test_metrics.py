"""The catalogue holds together: names, units, ranges, counters, words."""

import re

from core.ids import FAMILIES
from core.kpis import KPIS
from core.metrics import CATALOGUE, MetricKind, family_metrics
from core.reasons import REASONS
from core.roles import ROLES
from core.units import UNITS, conversion

# The names that devices, scripts and stores rely on.
AGREED = {
    "energy": "active_power_kw active_energy_kwh export_energy_kwh power_factor "
    "supply_air_temperature_c heat_power_kw heat_energy_kwh",
    "water": "volume_m3 flow_m3_per_h tank_level_m conductivity_us_per_cm",
    "solar": "ac_power_kw ac_energy_kwh poa_irradiance_w_per_m2 module_temperature_c",
    "accelerator": "power_w energy_kwh utilization_percent temperature_c memory_used_gib "
    "throttled_seconds inferences tokens members_reporting members_expected",
    "weather": "temperature_c wet_bulb_c relative_humidity_percent rain_mm ghi_w_per_m2 "
    "dni_w_per_m2 dhi_w_per_m2 wind_speed_m_per_s",
}


def test_the_agreed_names_are_all_there() -> None:
    assert set(AGREED) == set(FAMILIES)
    for family, names in AGREED.items():
        assert set(names.split()) <= set(family_metrics(family))


def test_a_rate_names_a_counter_of_its_family_and_its_integral_fits() -> None:
    rates = [metric for metric in CATALOGUE.values() if metric.counter]
    assert len(rates) >= 5
    for metric in rates:
        counter = CATALOGUE[(metric.family, metric.counter)]
        assert counter.kind is MetricKind.COUNTER
        assert counter.unit == metric.integral_unit
        assert metric.integral_per_hour > 0


def test_an_integral_agrees_with_the_unit_table() -> None:
    # One unit of a rate held for an hour: kW -> kWh, W -> kWh, m3/h -> m3.
    base = {"power": ("kW", "kWh"), "flow": ("m3/h", "m3")}
    for metric in CATALOGUE.values():
        if metric.integral_per_hour:
            rate, amount = base[UNITS[metric.unit].dimension]
            per_hour = (
                conversion(metric.unit, rate)[0] * conversion(amount, metric.integral_unit)[0]
            )
            assert metric.integral_per_hour == per_hour


def test_ranges_are_ranges_and_names_end_in_their_unit() -> None:
    for metric in CATALOGUE.values():
        assert metric.low < metric.high
        assert 0 <= metric.decimals <= 4
        assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
        if metric.kind is MetricKind.COUNTER:
            assert metric.low == 0


def test_every_word_is_in_both_languages() -> None:
    tables = [CATALOGUE, KPIS, ROLES, REASONS]
    for table in tables:
        assert len(table) > 10
        for row in table.values():
            assert re.search(r"[가-힣A-Z]", row.text.ko)
            assert not re.search(r"[가-힣]", row.text.en)
