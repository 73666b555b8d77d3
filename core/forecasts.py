"""Forecasts as everybody sees them: targets, models, states, points, and the record of past skill.

A forecast belongs to an origin, its issue time: only what was known before it took part. A point is
the mean over the step that begins at its time. What is stored and how it is scored is in
`docs/forecasts.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from core.periods import format_time
from core.text import Text

HOUR_S = 3600
QUANTILES = (0.05, 0.10, 0.50, 0.90, 0.95)
QUANTILE_NAMES = ("q05", "q10", "q50", "q90", "q95")
# Local days of history after which a site's own errors are known well enough.
LEARNING_DAYS = 42


@dataclass(frozen=True, slots=True)
class ForecastTarget:
    """What is forecast.

    Attributes:
        id: Stable id, as on the command line and in the store.
        unit: Unit of the value; `1` for a ratio.
        decimals: Digits after the point where people read it.
        kpi: The KPI that tells the same of the past (of a power, its energy).
        needs: What the site's devices must have, for the reason where they do not.
        least: Physical lower bound.
        by_hour: Whether errors depend on the time of day so much that the bands are measured for
            each hour of the day apart.
        daylight_only: Whether only hours with the sun above the horizon are scored.
    """

    id: str
    unit: str
    decimals: int
    text: Text
    kpi: str
    needs: Text
    least: float = 0.0
    by_hour: bool = False
    daylight_only: bool = False


TARGETS: dict[str, ForecastTarget] = {
    row.id: row
    for row in (
        ForecastTarget(
            "pue",
            "1",
            3,
            Text("전력사용효율(PUE)", "PUE"),
            "pue",
            Text("수전 또는 발전 계량기와 IT 계량기", "meter of supply and meter of IT energy"),
            least=1.0,
        ),
        ForecastTarget(
            "facility_power_kw",
            "kW",
            0,
            Text("데이터센터 총 전력", "Facility power"),
            "facility_energy",
            Text("수전 또는 발전 계량기", "grid feed or generator"),
        ),
        ForecastTarget(
            "it_power_kw",
            "kW",
            0,
            Text("IT 장비 전력", "IT power"),
            "it_energy",
            Text("IT 계량기", "meter of IT energy"),
        ),
        ForecastTarget(
            "pv_power_kw",
            "kW",
            0,
            Text("태양광 출력", "PV output"),
            "pv_energy",
            Text("태양광 어레이", "solar array"),
            by_hour=True,
            daylight_only=True,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class ForecastStep:
    """A grid of forecasts: how long a point is, how far it reaches, how often it is issued.

    Attributes:
        resolution: Name in the store and on the command line.
        step_s: Length of a point, and time between two issues.
        horizon_s: How far the last point's end lies from the origin.
    """

    resolution: str
    step_s: int
    horizon_s: int

    @property
    def count(self) -> int:
        """Points of a whole forecast."""
        return self.horizon_s // self.step_s


STEPS: dict[str, ForecastStep] = {
    "15m": ForecastStep("15m", 900, 48 * HOUR_S),
    "hour": ForecastStep("hour", HOUR_S, 168 * HOUR_S),
}


@dataclass(frozen=True, slots=True)
class HorizonBand:
    """Leads in (after_s, until_s]; the lead of a point is the time from the origin to its end."""

    name: str
    after_s: int
    until_s: int


HORIZON_BANDS: tuple[HorizonBand, ...] = (
    HorizonBand("0-1h", 0, HOUR_S),
    HorizonBand("1-6h", HOUR_S, 6 * HOUR_S),
    HorizonBand("6-24h", 6 * HOUR_S, 24 * HOUR_S),
    HorizonBand("24-168h", 24 * HOUR_S, 168 * HOUR_S),
)

# Models by name, as `Forecast.models` gives them; the four naive rules.
MODELS: dict[str, Text] = {
    "persistence": Text("직전 값 유지", "Last value"),
    "mean_24h": Text("최근 24시간 평균", "Mean of the last 24 hours"),
    "seasonal_24h": Text("하루 전 같은 시각", "Same time a day before"),
    "seasonal_168h": Text("일주일 전 같은 시각", "Same time a week before"),
}


class ForecastState(StrEnum):
    """How far a forecast may be trusted."""

    LEARNING = "learning"
    BASELINE = "baseline"
    OK = "ok"
    INSUFFICIENT = "insufficient"


STATES: dict[ForecastState, Text] = {
    ForecastState.LEARNING: Text(
        "학습 중: 이력이 짧아 오차 범위가 아직 불확실함",
        "Learning: the history is short, so the bands are still uncertain",
    ),
    ForecastState.BASELINE: Text(
        "기준 예측: 네 가지 단순 규칙 가운데 가장 정확했던 것",
        "Baseline: the simple rule that has been best",
    ),
    ForecastState.OK: Text(
        "정상: 단순 규칙보다 정확한 모델", "Normal: a model that beats the simple rules"
    ),
    ForecastState.INSUFFICIENT: Text(
        "데이터 부족: 예측할 수 없음", "Not enough data for a forecast"
    ),
}


@dataclass(frozen=True, slots=True)
class ForecastPoint:
    """Quantiles of the mean over the step that begins at `start_ms` (UTC epoch milliseconds).

    The outer quantiles are None where no errors of such a lead have been measured yet; `q50` is
    always there, and the five never cross.
    """

    start_ms: int
    q05: float | None
    q10: float | None
    q50: float
    q90: float | None
    q95: float | None


@dataclass(frozen=True, slots=True)
class BandSkill:
    """How good forecasts of one horizon band have been; None where nothing has been scored.

    Attributes:
        horizon: Name of a `HORIZON_BANDS` row, or `all`.
        points: Scored points.
        mae: Mean absolute error in the target's unit (of PUE: weighted by IT energy).
        wape: `mae` over the mean of the actual values (of PUE: of PUE - 1).
        coverage_80, coverage_90: Measured share of actual values within q10..q90 and q05..q95,
            of the points that had a band.
        naive: Mean absolute error of each naive rule over the same points.
        best_naive: The best of them.
        skill: 1 - mae / mae of the best naive rule; negative when the forecast was worse.
    """

    horizon: str
    points: int
    mae: float | None
    wape: float | None
    coverage_80: float | None
    coverage_90: float | None
    naive: Mapping[str, float]
    best_naive: str | None
    skill: float | None

    def as_json(self) -> dict[str, Any]:
        """As in `record` of `greendc forecast --json`."""
        return {
            "horizon": self.horizon,
            "points": self.points,
            "mae": self.mae,
            "wape": self.wape,
            "coverage_80": self.coverage_80,
            "coverage_90": self.coverage_90,
            "naive": dict(self.naive),
            "best_naive": self.best_naive,
            "skill": self.skill,
        }


@dataclass(frozen=True, slots=True)
class SkillRecord:
    """What past forecasts of a target were worth, scored against what came.

    Issued forecasts were made before the fact and are kept as they were. Hindcast ones were made
    afterwards from the stored history, each from nothing but data before its origin.

    Attributes:
        start_ms, end_ms: The days of issue that took part, half-open.
        days: How many of them.
        origins_issued, origins_hindcast: Scored origins of either kind.
        overall: All horizons together.
        bands: By horizon, shortest first.
        worst_30d_coverage_80: Least coverage of the 80 % band over 30 consecutive days; None until
            30 days are scored.
    """

    start_ms: int
    end_ms: int
    days: int
    origins_issued: int
    origins_hindcast: int
    overall: BandSkill
    bands: tuple[BandSkill, ...]
    worst_30d_coverage_80: float | None

    def as_json(self) -> dict[str, Any]:
        """The member `record` of `greendc forecast --json`."""
        return {
            "from": format_time(self.start_ms),
            "to": format_time(self.end_ms),
            "days": self.days,
            "origins": {"issued": self.origins_issued, "hindcast": self.origins_hindcast},
            **{k: v for k, v in self.overall.as_json().items() if k != "horizon"},
            "worst_30d_coverage_80": self.worst_30d_coverage_80,
            "bands": [band.as_json() for band in self.bands],
        }


@dataclass(frozen=True, slots=True)
class Forecast:
    """A forecast as it was issued, with the record as it is now.

    Attributes:
        unit: Unit of the quantiles.
        step_s: Length of a point in seconds.
        issued_at_ms: The origin, UTC epoch milliseconds: every datum before it was known, nothing
            from it on.
        models: Horizon band -> name in `MODELS`, for the bands that have points.
        learning_day: Local day of the site's history at the origin, counted from 1; "day n of
            `LEARNING_DAYS`" while the state is learning.
        points: Ascending; a point that no rule could give is absent.
        record: None while nothing has been scored.
        is_simulated: Whether the site's data are simulated.
    """

    site: str
    target: str
    unit: str
    step_s: int
    issued_at_ms: int
    models: Mapping[str, str]
    state: ForecastState
    learning_day: int
    points: tuple[ForecastPoint, ...]
    record: SkillRecord | None = None
    is_simulated: bool = False

    @property
    def issued_at(self) -> str:
        """The origin as RFC 3339 UTC."""
        return format_time(self.issued_at_ms)

    @property
    def model(self) -> str:
        """The models by horizon in one line: `persistence 0-1h, seasonal_24h 1-168h`."""
        runs: list[tuple[str, str, str]] = []
        for horizon, name in self.models.items():
            first, last = horizon.removesuffix("h").split("-")
            if runs and runs[-1][0] == name:
                runs[-1] = (name, runs[-1][1], last)
            else:
                runs.append((name, first, last))
        return ", ".join(f"{name} {first}-{last}h" for name, first, last in runs)

    def as_json(self) -> dict[str, Any]:
        """The document of `greendc forecast --json`; what interfaces name, and more beside it."""
        return {
            "site": self.site,
            "target": self.target,
            "unit": self.unit,
            "step_s": self.step_s,
            "simulated": self.is_simulated,
            "issued_at": self.issued_at,
            "model": self.model,
            "models": dict(self.models),
            "state": self.state.value,
            "learning_day": self.learning_day,
            "learning_days": LEARNING_DAYS,
            "points": [
                {
                    "time": format_time(point.start_ms),
                    "q05": point.q05,
                    "q10": point.q10,
                    "q50": point.q50,
                    "q90": point.q90,
                    "q95": point.q95,
                }
                for point in self.points
            ],
            "record": None if self.record is None else self.record.as_json(),
        }
