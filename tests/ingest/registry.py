"""A small site for the tests of ingest."""

_METER = """
[[devices]]
id = "{id}"
family = "{family}"
role = "{role}"
metrics = {metrics}
cadence_s = 10
valid_from = 2026-01-01
{more}
"""


def _meter(device: str, family: str, role: str, metrics: list[str], more: str = "") -> str:
    quoted = ", ".join(f'"{name}"' for name in metrics)
    return _METER.format(id=device, family=family, role=role, metrics=f"[{quoted}]", more=more)


REGISTRY_FILE = (
    """
schema = 1
id = "test-dc"
name = { ko = "시험", en = "Test" }
operator = "Nobody"
status = "operating"
data = "simulated"
zone = "Asia/Seoul"
location = { latitude = 37.3, longitude = 126.8 }
pue_category = 2
"""
    + _meter("grid-a", "energy", "grid_feed", ["active_power_kw", "active_energy_kwh"])
    + _meter("grid-b", "energy", "grid_feed", ["active_power_kw", "active_energy_kwh"])
    + _meter("ct-1", "energy", "pdu_output", ["active_power_kw", "power_factor"], "multiplier = 40")
    + _meter("mains", "water", "mains_supply", ["volume_m3"])
    + _meter("roof", "weather", "station", ["temperature_c"])
)

MAPPING_FILE = """
schema = 1
dialect = "line-protocol"
topic = "telegraf/+/meters/#"
ignore_measurements = ["internal"]

[[rules]]
measurement = "modbus"
tags = { type = ["holding_register", "input_register"] }
family = "energy"
device = { tag = "slave_id", table = { "1" = "grid-a", "2" = "grid-b", "9" = "not-there" } }
ignore = ["voltage*", "state"]

[rules.fields]
power = { metric = "active_power_kw", unit = "W" }
energy = { metric = "active_energy_kwh", unit = "Wh", scale = 10 }
export = { metric = "export_energy_kwh", unit = "kWh" }

[[rules]]
measurement = "ct"
family = "energy"
device = "ct-{number}"
[rules.fields]
"p sum" = { metric = "active_power_kw", unit = "kW", scale = -1 }

[[rules]]
measurement = "station"
family = "weather"
device = "roof"
[rules.fields]
temperature = { metric = "temperature_c", unit = "degF" }
"""

SENML_MAPPING = """
schema = 1
dialect = "senml"
topic = "senml/+/#"

[[rules]]
name = "urn:dev:ow:{id}:{field}"
family = "energy"
device = { tag = "id", table = { "01" = "grid-a", "02" = "grid-b" } }
ignore = ["voltage", "current"]

[rules.fields]
power = { metric = "active_power_kw", unit = "W" }

[rules.sums]
power = { metric = "active_energy_kwh", unit = "J" }

[[rules]]
name = "weather/{station}"
family = "weather"
device = "{station}"
ignore = ["lat", "lon"]

[rules.fields]
Cel = { metric = "temperature_c", unit = "degC" }
K = { metric = "temperature_c", unit = "K" }
"""

PROMETHEUS_MAPPING = """
schema = 1
dialect = "prometheus"
topic = "prometheus/+/#"
ignore_measurements = ["go_*", "up"]

[[rules]]
tags = { phase = "total" }
family = "energy"
device = "grid-{feed}"
ignore = ["meter_voltage_*"]

[rules.fields]
meter_power_watts = { metric = "active_power_kw", unit = "W" }
meter_energy_wh_total = { metric = "active_energy_kwh", unit = "Wh" }

[[rules]]
tags = { phase = ["l1", "l2", "l3"] }
ignore = ["*"]

[[rules]]
family = "weather"
device = "roof"

[rules.fields]
"outdoor.temperature" = { metric = "temperature_c", unit = "degC", combine = "mean" }
"""

SPARKPLUG_FILE = """
schema = 1
dialect = "sparkplug"
topic = "spBv1.0/Test Plant/+/edge-1/#"
site = "test-dc"
ignore = ["Properties/*"]

[[rules]]
folder = "Meters/{meter}"
tags = { device = ["PLC"] }
family = "energy"
device = "grid-{meter}"
ignore = ["Voltage*"]
[rules.fields]
"Active Power" = { metric = "active_power_kw", unit = "W" }
"Energy" = { metric = "active_energy_kwh", unit = "kWh", scale = 0.1 }

[[rules]]
family = "water"
device = { tag = "device", table = { "Pump" = "mains" } }
[rules.fields]
"Total" = { metric = "volume_m3", unit = "m3" }

[[rules]]
family = "weather"
device = "roof"
[rules.fields]
"Outside/Temperature" = { metric = "temperature_c", unit = "degC" }
"""

MAPPING_FILES = {
    "line-protocol": MAPPING_FILE,
    "senml": SENML_MAPPING,
    "prometheus": PROMETHEUS_MAPPING,
    "sparkplug": SPARKPLUG_FILE,
}
