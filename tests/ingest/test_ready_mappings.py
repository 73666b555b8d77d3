"""The ready mappings on what the exporters and Telegraf's inputs really send."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.periods import parse_rfc3339, to_ms
from core.site_files import build_registry
from ingest.mapping_files import build_mappings
from ingest.mapping_trial import TrialReading, TrialRefusal, try_mapping
from tests.ingest.registry import REGISTRY_FILE

NOW_MS = to_ms(parse_rfc3339("2026-11-20T00:15:10Z"))
_GROUP = """
[[device_groups]]
id = "{id}"
family = "accelerator"
role = "accelerator"
kind = "{kind}"
metrics = {metrics}
cadence_s = 10
valid_from = 2026-01-01
"""
_SERVER = """
[[devices]]
id = "{id}"
family = "energy"
role = "{role}"
metrics = {metrics}
cadence_s = 60
valid_from = 2026-01-01
"""
_NPU = ["power_w", "temperature_c", "utilization_percent", "memory_used_gib"]
REGISTRY = build_registry(
    {
        "test": REGISTRY_FILE
        + _GROUP.format(id="gpu-node-1-gpu{0..7}", kind="gpu", metrics=[*_NPU, "energy_kwh"])
        + _GROUP.format(id="cntk002-npu{0..1}", kind="npu", metrics=_NPU)
        + _GROUP.format(id="worker-01-rbln{0..3}", kind="npu", metrics=_NPU)
        + _SERVER.format(
            id="web483", role="it_input", metrics=["active_power_kw", "supply_air_temperature_c"]
        )
        + _SERVER.format(
            id="pdu-a-01", role="pdu_output", metrics=["active_power_kw", "active_energy_kwh"]
        )
        + _SERVER.format(
            id="pdu-a-01-2", role="pdu_output", metrics=["active_power_kw", "active_energy_kwh"]
        )
    }
)


def tried(
    repository: Path, file: str, topic: str, payload: bytes
) -> tuple[list[TrialReading], list[TrialRefusal]]:
    path = repository / "config" / "mappings" / file
    mappings = build_mappings({file: path.read_text(encoding="utf-8")})
    return try_mapping(mappings, REGISTRY, topic, payload, now_ms=NOW_MS)


def read(repository: Path, file: str, topic: str, payload: bytes) -> dict[str, dict[str, float]]:
    readings, refusals = tried(repository, file, topic, payload)
    assert refusals == []
    assert len({(reading.device, reading.time_ms) for reading in readings}) == len(readings)
    return {reading.device: reading.values for reading in readings}


# ---------------------------------------------------------------- DCGM

_DCGM_LABELS = '{gpu="0",UUID="GPU-c4",device="nvidia0",Hostname="gpu-node-1"}'


def test_dcgm_a_scrape_of_eight_gpus(repository: Path, test_data: Path) -> None:
    payload = (test_data / "dcgm-exporter-samples" / "dcgm_exposition_h100_1.prom").read_bytes()
    found = read(repository, "dcgm-exporter.toml", "prometheus/test-dc/node", payload)
    assert sorted(found) == [f"gpu-node-1-gpu{number}" for number in range(8)]
    assert found["gpu-node-1-gpu0"] == {
        "power_w": 113.611,
        "temperature_c": 30.0,
        "utilization_percent": 0.0,
    }


@pytest.mark.parametrize(
    "table",
    [
        "dcgm-exporter_default-counters.csv",
        "dcgm-exporter_dcp-metrics-included.csv",
        "dcgm-exporter_1.x-compatibility-metrics.csv",
    ],
)
def test_dcgm_every_field_of_the_exporter_s_tables(
    repository: Path, test_data: Path, table: str
) -> None:
    rows = (test_data / "dcgm-exporter-samples" / table).read_text(encoding="utf-8").splitlines()
    # A commented row is a field that is off by default.
    fields = [row.lstrip("# ").split(",") for row in rows if row.count(",") >= 2]
    lines = [
        f"# HELP {name.strip()} {help_text.strip()}\n# TYPE {name.strip()} {kind.strip()}\n"
        f"{name.strip()}{_DCGM_LABELS} 10\n"
        for name, kind, *rest in fields
        if kind.strip() in {"gauge", "counter"}
        for help_text in [",".join(rest)]
    ]
    assert len(lines) > 20
    text = "# greendc-time 2026-11-20T09:15:00+09:00\n" + "".join(lines)
    found = read(repository, "dcgm-exporter.toml", "prometheus/test-dc/node", text.encode())
    assert found == {
        "gpu-node-1-gpu0": {
            "power_w": 10.0,
            "energy_kwh": pytest.approx(10 / 3.6e9),
            "utilization_percent": 10.0,
            "temperature_c": 10.0,
            "memory_used_gib": pytest.approx(10 / 1024),
        }
    }


def test_dcgm_the_names_of_the_newest_version(repository: Path) -> None:
    text = (
        "# greendc-time 1795133700000\n"
        f"DCGM_FI_DEV_BOARD_POWER_WATTS{_DCGM_LABELS} 612.4\n"
        f"DCGM_FI_DEV_GPU_TEMP_CELSIUS{_DCGM_LABELS} 63\n"
    )
    (reading,), refusals = tried(
        repository, "dcgm-exporter.toml", "prometheus/test-dc/node", text.encode()
    )
    assert refusals == []
    assert reading.time_ms == 1795133700000
    assert reading.values == {"power_w": 612.4, "temperature_c": 63.0}


# ---------------------------------------------------------------- NPUs

_RNGD = (
    'arch="rngd",core="{core}",device="npu{npu}",driver_version="2025.1.0+f09a8d8",'
    'hostname="cntk002",{more}pci_bus_id="0000:c7:00.0",uuid="09512C86-0702-4303-8F40-474746474A40"'
)


def _furiosa(name: str, value: float, core: str = "0-7", npu: int = 0, label: str = "") -> str:
    labels = _RNGD.format(core=core, npu=npu, more=f'label="{label}",' if label else "")
    return f"{name}{{{labels}}} {value}\n"


def test_furiosa_the_example_of_its_readme(repository: Path) -> None:
    text = (
        _furiosa("furiosa_npu_alive", 1)
        + _furiosa("furiosa_npu_hw_temperature", 52, label="ambient")
        + _furiosa("furiosa_npu_hw_temperature", 67.756, label="peak")
        + _furiosa("furiosa_npu_hw_power", 50, label="rms")
        + _furiosa("furiosa_npu_hw_power", 38, label="rms", npu=1)
        + "".join(
            _furiosa("furiosa_npu_core_utilization", 100.0 if core < 4 else 50.0, core=str(core))
            for core in range(8)
        )
        + _furiosa("furiosa_npu_core_frequency", 1750, core="0")
        + _furiosa("furiosa_npu_total_cycle_count", 1.7242541456e10, core="0")
    )
    found = read(repository, "furiosa-exporter.toml", "prometheus/test-dc/n", text.encode())
    assert found == {
        "cntk002-npu0": {"power_w": 50.0, "temperature_c": 67.756, "utilization_percent": 75.0},
        "cntk002-npu1": {"power_w": 38.0},
    }


_RBLN = (
    '{{card="RBLN-CA25",container="ubuntu",deviceID="1250",driver_version="2.0.1",'
    'firmware_version="2.0.1",hostname="worker-01",name="rbln{npu}",namespace="default",'
    'pod="p",smc_version="15.10.13.14",uuid="55668c63-d739-4193-8212-ad7ba933520c"}}'
)


@pytest.mark.parametrize("names", ["older", "prometheus"])
def test_rebellions_older_and_newer_names(repository: Path, names: str) -> None:
    older = {
        "power": "RBLN_DEVICE_STATUS:CARD_POWER",
        "temperature": "RBLN_DEVICE_STATUS:TEMPERATURE",
        "utilization": "RBLN_DEVICE_STATUS:UTILIZATION",
        "memory_used": "RBLN_DEVICE_STATUS:DRAM_USED",
        "memory_total": "RBLN_DEVICE_STATUS:DRAM_TOTAL",
        "health": "RBLN_DEVICE_STATUS:HEALTH",
    }
    sent = {
        "power": 61.2,
        "temperature": 54,
        "utilization": 12.5,
        "memory_used": 8 * 1024**3,
        "memory_total": 16877882368,
        "health": 0,
    }
    text = "".join(
        f"# TYPE {name} gauge\n{name}{_RBLN.format(npu=3)} {value}\n"
        for what, value in sent.items()
        for name in [older[what] if names == "older" else f"rbln_npu_{what}"]
    )
    found = read(repository, "rebellions-exporter.toml", "prometheus/test-dc/n", text.encode())
    assert found == {
        "worker-01-rbln3": {
            "power_w": 61.2,
            "temperature_c": 54.0,
            "utilization_percent": 12.5,
            "memory_used_gib": 8.0,
        }
    }


def test_all_ready_mappings_of_one_topic_live_together(repository: Path) -> None:
    folder = repository / "config" / "mappings"
    mappings = build_mappings(
        {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*-exporter.toml")}
    )
    assert len(mappings) >= 3
    text = (
        f"DCGM_FI_DEV_POWER_USAGE{_DCGM_LABELS} 100\n"
        + _furiosa("furiosa_npu_hw_power", 50, label="rms")
        + f"rbln_npu_power{_RBLN.format(npu=0)} 60\n"
        + "go_goroutines 12\nprocess_cpu_seconds_total 5.1\n"
    )
    readings, refusals = try_mapping(
        mappings, REGISTRY, "prometheus/test-dc/n", text.encode(), now_ms=NOW_MS
    )
    assert refusals == []
    assert sorted(reading.values["power_w"] for reading in readings) == [50.0, 60.0, 100.0]


# ---------------------------------------------------------------- Telegraf

# As the plugin's README prints them, and its tests (Dell, HPE) hold power.
_REDFISH = r"""redfish_thermal_temperatures,address=127.0.0.1,chassis_chassistype=RackMount,health=OK,member_id=0,name=CPU1\ Temp,rack=WEB43,row=North,source=web483,state=Enabled reading_celsius=41,upper_threshold_critical=45,upper_threshold_fatal=48 1795132500000000000
redfish_thermal_temperatures,address=127.0.0.1,member_id=1,name=CPU2\ Temp,rack=WEB43,row=North,source=web483,state=Disabled upper_threshold_critical=45,upper_threshold_fatal=48 1795132500000000000
redfish_thermal_temperatures,address=127.0.0.1,health=OK,member_id=2,name=Chassis\ Intake\ Temp,rack=WEB43,row=North,source=web483,state=Enabled upper_threshold_critical=40,upper_threshold_fatal=50,lower_threshold_critical=5,lower_threshold_fatal=0,reading_celsius=25 1795132500000000000
redfish_thermal_fans,address=127.0.0.1,health=OK,member_id=0,name=BaseBoard\ System\ Fan,source=web483,state=Enabled lower_threshold_fatal=0i,reading_rpm=2100i 1795132500000000000
redfish_power_powercontrol,address=127.0.0.1,member_id=PowerControl,name=System\ Power\ Control,source=web483 average_consumed_watts=426,interval_in_min=1i,max_consumed_watts=436,min_consumed_watts=425,power_allocated_watts=1628,power_available_watts=0,power_capacity_watts=1628,power_consumed_watts=429,power_requested_watts=704 1795132500000000000
redfish_power_powersupplies,address=127.0.0.1,health=Warning,member_id=0,name=Power\ Supply\ Bay,source=web483,state=Enabled line_input_voltage=120,last_power_output_watts=325,power_capacity_watts=800 1795132500000000000
redfish_power_voltages,address=127.0.0.1,health=OK,member_id=0,name=VRM1\ Voltage,source=web483,state=Enabled reading_volts=12,upper_threshold_critical=13 1795132500000000000
"""  # noqa: E501


def test_redfish_of_a_server(repository: Path) -> None:
    found = read(repository, "telegraf-redfish.toml", "telegraf/test-dc/bmc", _REDFISH.encode())
    assert found == {"web483": {"active_power_kw": 0.429, "supply_air_temperature_c": 25.0}}


def test_snmp_of_a_rack_pdu(repository: Path) -> None:
    head = "rPDU2DeviceStatus,agent_host=10.0.0.7,host=gw-1,index={},source=pdu-a-01"
    text = (
        "snmp,agent_host=10.0.0.7,host=gw-1,source=pdu-a-01 uptime=11331974i 1795132500000000000\n"
        f"{head.format(1)} rPDU2DeviceStatusPower=613i,rPDU2DeviceStatusEnergy=105432i "
        "1795132500000000000\n"
        f"{head.format(2)} rPDU2DeviceStatusPower=18i,rPDU2DeviceStatusEnergy=7i "
        "1795132500000000000\n"
    )
    found = read(repository, "telegraf-snmp.toml", "telegraf/test-dc/gw-1", text.encode())
    assert found["pdu-a-01"] == pytest.approx(
        {"active_power_kw": 6.13, "active_energy_kwh": 10543.2}
    )
    assert found["pdu-a-01-2"] == pytest.approx({"active_power_kw": 0.18, "active_energy_kwh": 0.7})
