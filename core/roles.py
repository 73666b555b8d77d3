"""What a device does at its site; KPIs choose devices by role, never by name."""

from __future__ import annotations

from dataclasses import dataclass

from core.text import Text


@dataclass(frozen=True, slots=True)
class Role:
    """A role of one family, with its name for people."""

    family: str
    name: str
    text: Text


_ROWS: list[tuple[str, str, str, str]] = [
    ("energy", "grid_feed", "수전", "Grid feed"),
    ("energy", "generator", "비상발전기", "Generator"),
    ("energy", "ups_input", "UPS 입력", "UPS input"),
    ("energy", "ups_output", "UPS 출력", "UPS output"),
    ("energy", "pdu_output", "PDU 출력", "PDU output"),
    ("energy", "it_input", "IT 장비 입력", "IT input"),
    ("energy", "battery", "축전지", "Battery"),
    ("energy", "cooling", "냉각", "Cooling"),
    ("energy", "chiller", "냉동기", "Chiller"),
    ("energy", "pump", "펌프", "Pump"),
    ("energy", "air_handling", "공조기", "Air handling"),
    ("energy", "tower_fan", "냉각탑 팬", "Tower fan"),
    ("energy", "distribution", "배전", "Distribution"),
    ("energy", "lighting", "조명", "Lighting"),
    ("energy", "heat_reuse", "폐열 이용", "Heat reuse"),
    ("water", "mains_supply", "상수", "Mains supply"),
    ("water", "reclaimed_supply", "재이용수", "Reclaimed supply"),
    ("water", "groundwater_supply", "지하수", "Groundwater supply"),
    ("water", "rain_collected", "빗물 집수", "Rain collected"),
    ("water", "rain_used", "빗물계통 공급", "Rain system delivery"),
    ("water", "rain_overflow", "월류", "Rain overflow"),
    ("water", "rain_drain", "빗물 배수", "Rain drain"),
    ("water", "tank_top_up", "상수 보충", "Mains top-up of the tank"),
    ("water", "rain_tank", "빗물 저류조", "Rain tank"),
    ("water", "cooling_tower_make_up", "냉각탑 보충수", "Cooling tower make-up"),
    ("water", "blowdown", "블로우다운", "Blowdown"),
    ("solar", "pv_array", "태양광 어레이", "PV array"),
    ("accelerator", "accelerator", "가속기", "Accelerator"),
    ("accelerator", "node", "노드", "Node"),
    ("accelerator", "cluster_total", "클러스터 합계", "Cluster total"),
    ("weather", "station", "기상 관측", "Weather station"),
    ("weather", "forecast", "기상 예보", "Weather forecast"),
]

ROLES: dict[str, Role] = {name: Role(family, name, Text(ko, en)) for family, name, ko, en in _ROWS}
