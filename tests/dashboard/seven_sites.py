"""Seven sites as the product has them: five that operate, of three categories, and two planned.

Two are the repository's own files; the others are small ones of this module, so that tests of the
list of sites do not hang on how many meters a site has.
"""

from __future__ import annotations

from core.site_files import build_registry
from core.sites import SiteRegistry
from tests.dashboard.fakes import REPOSITORY

_OPERATING = """
schema = 1
id = "{id}"
name = {{ ko = "{ko}", en = "{en}" }}
operator = "{operator}"
status = "operating"
data = "simulated"
zone = "Asia/Seoul"
location = {{ latitude = {latitude}, longitude = {longitude} }}
place = {{ ko = "{place_ko}", en = "{place_en}" }}
pue_category = {category}
contract_power_kw = {contract}
daily_water_limit_m3 = {water}

[[targets]]
kpi = "pue"
value = {target}
valid_from = 2026-01-01

[[facts]]
text = {{ ko = "{ko} 개소", en = "{en} opened" }}
source = "example.kr/{id}"
date = 2025-03-02
{devices}
"""
_PLANNED = """
schema = 1
id = "{id}"
name = {{ ko = "{ko}", en = "{en}" }}
operator = "{operator}"
status = "planned"
data = "simulated"
zone = "Asia/Seoul"
location = {{ latitude = {latitude}, longitude = {longitude} }}
place = {{ ko = "{place_ko}", en = "{place_en}" }}
pue_category = 3

[[facts]]
text = {{ ko = "{ko} 착공", en = "Work on {en} began" }}
source = "example.kr/{id}"
date = 2026-03-02

[[facts]]
text = {{ ko = "2028년 개소 예정", en = "To open in 2028" }}
source = "example.kr/{id}/2028"
date = 2026-05-11
"""
_DEVICE = """
[[devices]]
id = "{id}"
family = "{family}"
role = "{role}"
metrics = [{metrics}]
cadence_s = 10
valid_from = 2026-01-01
rated_kw = 20000
"""
_ARRAY = """rated_kwp = 400
tilt_deg = 15
azimuth_deg = 180
certificates = "retained"
"""
_POWER = '"active_power_kw", "active_energy_kwh"'
_IT_ROLE = {1: "ups_output", 2: "pdu_output", 3: "it_input"}


def _devices(category: int, *, has_pv: bool, has_rain: bool) -> str:
    rows = [
        ("grid-a", "energy", "grid_feed", _POWER),
        ("it-1", "energy", _IT_ROLE[category], _POWER),
        ("it-2", "energy", _IT_ROLE[category], _POWER),
        ("mains", "water", "mains_supply", '"volume_m3"'),
    ]
    if has_pv:
        rows.append(("pv-roof", "solar", "pv_array", '"ac_power_kw", "ac_energy_kwh"'))
    if has_rain:
        rows.append(("rain-used", "water", "rain_used", '"volume_m3"'))
    return "".join(
        _DEVICE.format(id=name, family=family, role=role, metrics=metrics)
        + (_ARRAY if role == "pv_array" else "")
        for name, family, role, metrics in rows
    )


def seven_site_files() -> dict[str, str]:
    """File name -> text of each of the seven."""
    files = {
        name: (REPOSITORY / "config" / "sites" / f"{name}.toml").read_text(encoding="utf-8")
        for name in ("kakao-ansan", "naver-gak-sejong")
    }
    files["naver-gak-chuncheon"] = _OPERATING.format(
        id="naver-gak-chuncheon", ko="네이버 각 춘천", en="NAVER GAK Chuncheon",
        operator="NAVER", latitude=37.88, longitude=127.73, place_ko="강원 춘천시 동면",
        place_en="Dong-myeon, Chuncheon, Gangwon", category=1, contract=40000, water=600,
        target=1.20, devices=_devices(1, has_pv=True, has_rain=True),
    )  # fmt: skip
    files["nhn-gwangju"] = _OPERATING.format(
        id="nhn-gwangju", ko="NHN클라우드 국가AI데이터센터 광주",
        en="NHN Cloud National AI Data Center Gwangju", operator="NHN Cloud", latitude=35.23,
        longitude=126.84, place_ko="광주 북구 오룡동", place_en="Oryong-dong, Buk-gu, Gwangju",
        category=2, contract=30000, water=300, target=1.25,
        devices=_devices(2, has_pv=True, has_rain=False),
    )  # fmt: skip
    files["kisti-daejeon"] = _OPERATING.format(
        id="kisti-daejeon", ko="KISTI 슈퍼컴퓨터 6호기", en="KISTI Supercomputer 6",
        operator="KISTI", latitude=36.36, longitude=127.36, place_ko="대전 유성구",
        place_en="Yuseong-gu, Daejeon", category=3, contract=20000, water=250, target=1.15,
        devices=_devices(3, has_pv=False, has_rain=False),
    )  # fmt: skip
    files["national-ai-haenam"] = _PLANNED.format(
        id="national-ai-haenam", ko="국가AI컴퓨팅센터", en="National AI Computing Center",
        operator="Samsung SDS consortium", latitude=34.66, longitude=126.36,
        place_ko="전남 해남군 산이면", place_en="Sani-myeon, Haenam, Jeonnam",
    )  # fmt: skip
    files["sk-aws-ulsan"] = _PLANNED.format(
        id="sk-aws-ulsan", ko="울산 AI 데이터센터", en="Ulsan AI Data Center",
        operator="SK and AWS", latitude=35.50, longitude=129.36, place_ko="울산 남구 황성동",
        place_en="Hwangseong-dong, Nam-gu, Ulsan",
    )  # fmt: skip
    return dict(sorted(files.items()))


def seven_sites() -> SiteRegistry:
    """The registry of the seven."""
    return build_registry(seven_site_files())
