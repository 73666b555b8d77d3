"""How each KPI is worked out, in one sentence for people; formulas are in `docs/kpis.md`."""

from __future__ import annotations

from core.text import Text

METHODS: dict[str, Text] = {
    "facility_energy": Text(
        "수전 − 역송 + 비상발전 + 부지 안 태양광(교류). 축전지는 손실로만 셉니다.",
        "Grid imports − exports + generators + on-site PV (AC). Batteries count by their losses.",
    ),
    "it_energy": Text(
        "선언한 측정 등급(범주)의 지점에서 잰 IT 장비 전력량의 합.",
        "Sum of the meters of IT energy at the declared category point.",
    ),
    "pue": Text(
        "총 전력사용량 ÷ IT 장비 전력사용량. 두 값이 모두 있는 구간만 더한 뒤 나눕니다. "
        "부지 안 태양광은 PUE를 낮추지 않습니다.",
        "Facility energy ÷ IT energy, summed over the intervals that have both, then divided. "
        "On-site solar does not lower PUE.",
    ),
    "ppue": Text(
        "한 구역의 총 전력량 ÷ 그 구역의 IT 전력량.",
        "Energy of one zone ÷ IT energy of that zone.",
    ),
    "wue": Text(
        "(상수 + 재이용수 + 지하수 + 재사용한 빗물) ÷ IT 장비 전력사용량.",
        "(Mains + reclaimed + groundwater + rain reused) ÷ IT energy.",
    ),
    "total_water": Text(
        "상수 + 재이용수 + 지하수 + 재사용한 빗물.",
        "Mains + reclaimed + groundwater + rain reused.",
    ),
    "wue_potable": Text("상수 ÷ IT 장비 전력사용량.", "Mains water ÷ IT energy."),
    "wue_source": Text(
        "사업장 물에 전력 생산에 든 물을 더한 뒤 IT 장비 전력사용량으로 나눕니다.",
        "Site water and the water that the grid took to make the electricity, ÷ IT energy.",
    ),
    "ref": Text(
        "인증서를 보유한 재생에너지 가운데 이곳에서 쓴 양 ÷ 총 전력사용량.",
        "Renewable energy used here with its certificates kept ÷ facility energy.",
    ),
    "erf": Text(
        "경계 밖에서 다시 쓴 열 ÷ 총 전력사용량.",
        "Heat reused outside the boundary ÷ facility energy.",
    ),
    "ere": Text(
        "(총 전력사용량 − 다시 쓴 열) ÷ IT 장비 전력사용량.",
        "(Facility energy − reused heat) ÷ IT energy.",
    ),
    "cer": Text(
        "제거한 열 ÷ 냉각에 쓴 전력량.", "Heat removed ÷ electricity of the cooling system."
    ),
    "cue_location": Text(
        "(수전량 × 전력망 배출계수 + 비상발전량 × 연료 배출계수) ÷ IT 장비 전력사용량. "
        "역송은 빼지 않습니다.",
        "(Imports × factor of the grid + generators × factor of their fuel) ÷ IT energy. "
        "Exports earn no credit.",
    ),
    "cue_market": Text(
        "위와 같되 구매 계약의 배출계수를 씁니다.",
        "The same with the factor of the supply contracts.",
    ),
    "rain_reuse_ratio": Text(
        "(빗물계통 공급 − 상수 보충) ÷ 전체 물.",
        "(Rain system delivery − mains top-up) ÷ total water.",
    ),
    "rain_collection_efficiency": Text(
        "집수량 ÷ (강우량 × 집수면적).",
        "Collected ÷ (rain depth × catchment).",
    ),
    "potable_water_avoided": Text(
        "재사용한 빗물의 양. 저류조에 채운 상수는 세지 않습니다.",
        "Rain reused; mains water put into the tank does not count.",
    ),
    "rain_unexplained": Text(
        "집수 + 상수 보충 − 사용 − 월류 − 배수 − 저장 변화.",
        "Collected + top-up − used − overflow − drained − change of storage.",
    ),
    "pv_energy": Text(
        "인버터의 교류 전력량. 밤의 자가소비는 뺍니다.",
        "AC energy of the inverters, their own draw at night taken off.",
    ),
    "pv_specific_yield": Text("발전량 ÷ 설비용량(kWp).", "PV energy ÷ rated power (kWp)."),
    "pv_performance_ratio": Text(
        "발전량 ÷ (경사면 일사량 × 설비용량). 평균 일사 20 W/m² 이상인 구간만 셉니다.",
        "PV energy ÷ (irradiation on the array × rated power), in intervals of at least 20 W/m².",
    ),
    "pv_capacity_factor": Text(
        "발전량 ÷ (설비용량 × 기간).",
        "PV energy ÷ (rated power × period).",
    ),
    "self_consumption": Text(
        "부지 안에서 쓴 태양광 ÷ 태양광 발전량.",
        "PV energy used on site ÷ PV energy.",
    ),
    "self_sufficiency": Text(
        "부지 안에서 쓴 태양광 ÷ 총 전력사용량.",
        "PV energy used on site ÷ facility energy.",
    ),
    "accelerator_energy": Text(
        "가속기의 적산전력량. 국제표준이 아닌 자체 지표입니다.",
        "Counted energy of the accelerators. Our own KPI, not ISO.",
    ),
    "accelerator_idle_waste": Text(
        "일하지 않는 동안 쓴 전력량 ÷ 가속기 전력량. 자체 지표입니다.",
        "Energy used while idle ÷ accelerator energy. Our own KPI.",
    ),
    "accelerator_energy_per_inference": Text(
        "가속기 전력량 ÷ 추론 횟수. 자체 지표입니다.",
        "Accelerator energy ÷ inferences. Our own KPI.",
    ),
    "accelerator_energy_per_token": Text(
        "가속기 전력량 ÷ 토큰 수. 자체 지표입니다.",
        "Accelerator energy ÷ tokens. Our own KPI.",
    ),
    "accelerator_performance_per_watt": Text(
        "일한 양 ÷ 평균 전력. 자체 지표입니다.",
        "Work done ÷ mean power. Our own KPI.",
    ),
    "accelerator_reconciliation": Text(
        "가속기 전력량 ÷ 그 가속기에 전기를 대는 IT 계량기의 전력량. 자체 지표입니다.",
        "Accelerator energy ÷ energy of the IT meters that feed them. Our own KPI.",
    ),
}
