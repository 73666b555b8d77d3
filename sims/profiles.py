"""What makes one simulated site differ from another beyond its device list.

A site without a profile of its own gets one from its location and from the roles of its devices.
All figures are the simulation's: they give the order of magnitude of modern Korean centres, and
none of them is an operating figure of a real one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from core.sites import Site

Months = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Climate:
    """Climate of a place; monthly tables begin with January.

    Attributes:
        mean_c: Mean annual temperature.
        season_c: Half the difference between the warmest and the coldest time of the year.
        diurnal_c: Half the difference between afternoon and night under a clear sky.
        dew_spread_c: Daily mean temperature minus dew point, by month.
        cloud_bias: Shift of the cloud process, by month; 0 gives a cloudy half of the time.
        rain_mm: Mean rain, by month.
        rain_days: Mean number of days on which a rain event begins, by month.
        wind_m_per_s: Mean wind speed.
        altitude_m: Height above the sea.
    """

    mean_c: float = 12.6
    season_c: float = 14.2
    diurnal_c: float = 4.6
    dew_spread_c: Months = (8.5, 8.5, 8.5, 8.5, 7.0, 5.5, 3.6, 4.2, 5.5, 6.5, 7.5, 8.5)
    cloud_bias: Months = (-0.4, -0.3, -0.2, -0.2, -0.1, 0.3, 0.7, 0.4, 0.1, -0.3, -0.1, -0.3)
    # Korean monsoon: two thirds of about 1,250 mm fall from June to September.
    rain_mm: Months = (25, 32, 46, 78, 92, 125, 300, 260, 150, 62, 55, 28)
    rain_days: Months = (6, 5.5, 7, 7.5, 8, 9, 13.5, 12.5, 8.5, 6, 8, 7)
    wind_m_per_s: float = 2.2
    altitude_m: float = 40.0


@dataclass(frozen=True, slots=True)
class LoadProfile:
    """IT load as a share of the halls' capacity.

    Attributes:
        level: Mean load of a hall, 0..1.
        daily: Half the daily swing, as a share of the level.
        peak_hour: Local hour of the daily peak.
        weekend: Change on Saturday and Sunday, as a share of the level.
        training_share: Share of an accelerator hall's capacity that training jobs take when all of
            them run.
        node_factor: Power of a node over the power of its accelerators.
    """

    level: float = 0.56
    daily: float = 0.06
    peak_hour: float = 21.5
    weekend: float = -0.03
    training_share: float = 0.30
    node_factor: float = 1.45


CoolingKind = Literal["chilled_water", "outside_air", "direct_liquid"]


@dataclass(frozen=True, slots=True)
class CoolingProfile:
    """The cooling plant; powers as shares of the IT capacity at full duty.

    Attributes:
        kind: Chillers with cooling towers and water-side free cooling; outside air with
            evaporation and a chiller for the hottest hours; or warm water from the IT devices to
            dry coolers and chillers for the heat that stays in the air.
        air_handling: Fans of the halls.
        pumps: All pumps.
        tower_fans: Fans of towers or dry coolers.
        carnot_share: Chiller COP as a share of the ideal one between the two water temperatures.
        free_below_c: Wet bulb below which nothing is chilled mechanically.
        mechanical_above_c: Wet bulb above which everything is.
        latent_base, latent_slope: Share of the rejected heat that evaporates water: base + slope x
            wet bulb.
        latent_max: Its upper limit: the towers are hybrid.
        latent_above_c: Wet bulb that the slope counts from: nothing is sprayed while it is colder.
        concentration: Cycles of concentration of the circulating water.
        liquid_share: Share of the IT heat that goes into warm water; of `direct_liquid` only.
        chilled_share: Share of the heat that chillers take at most; of `outside_air` only.
    """

    kind: CoolingKind = "chilled_water"
    air_handling: float = 0.085
    pumps: float = 0.050
    tower_fans: float = 0.025
    carnot_share: float = 0.55
    free_below_c: float = 4.0
    mechanical_above_c: float = 12.0
    latent_base: float = 0.07
    latent_slope: float = 0.016
    latent_max: float = 0.50
    latent_above_c: float = 0.0
    concentration: float = 5.0
    liquid_share: float = 0.0
    chilled_share: float = 0.45


@dataclass(frozen=True, slots=True)
class WaterProfile:
    """Water use beside the cooling plant.

    Attributes:
        rain_use: What rain is for: flushing and cooling, or watering the landscape.
        rain_steady_m3_per_h: What the rain system always delivers (flushing).
        rain_cooling_m3_per_h: Most of the make-up that it takes over while the tank is well filled.
        landscape_m3_per_h: Delivery while the landscape is watered.
        reclaimed_share: Share of the remaining make-up that reclaimed water covers, where metered.
        groundwater_share: The same of groundwater.
        domestic_m3_per_h: Mean use of people and humidifiers.
        first_flush_mm: Rain that is drained at the start of an event after a dry day.
        top_up_m3_per_h: Flow of the mains into a low tank.
    """

    rain_use: Literal["cooling", "landscape"] = "cooling"
    rain_steady_m3_per_h: float = 0.35
    rain_cooling_m3_per_h: float = 3.0
    landscape_m3_per_h: float = 9.0
    reclaimed_share: float = 0.35
    groundwater_share: float = 0.10
    domestic_m3_per_h: float = 1.0
    first_flush_mm: float = 1.0
    top_up_m3_per_h: float = 6.0


@dataclass(frozen=True, slots=True)
class SiteProfile:
    """Everything that the simulation of a site takes beside its site file.

    Attributes:
        feed_shares: Weights of the grid feeds in declaration order; further feeds weigh 1.
        lighting: Lighting as a share of the IT capacity.
        house: Auxiliaries on the distribution boards as a share of the IT capacity.
        transformer_loss: (no-load, full-load) loss as shares of the site's rated demand.
        heat_below_c: Outside temperature below which waste heat is used.
        heat_full_c: Outside temperature at which all that can be used is.
    """

    climate: Climate = field(default_factory=Climate)
    load: LoadProfile = field(default_factory=LoadProfile)
    cooling: CoolingProfile = field(default_factory=CoolingProfile)
    water: WaterProfile = field(default_factory=WaterProfile)
    feed_shares: tuple[float, ...] = (0.53, 0.47)
    lighting: float = 0.004
    house: float = 0.010
    transformer_loss: tuple[float, float] = (0.002, 0.010)
    heat_below_c: float = 15.0
    heat_full_c: float = -7.0


PROFILES: dict[str, SiteProfile] = {
    # A coastal city; services for people, so the evening is the peak.
    "kakao-ansan": SiteProfile(
        climate=Climate(mean_c=12.5, season_c=14.0, diurnal_c=4.2, wind_m_per_s=2.6),
    ),
    # Inland: colder nights, hotter afternoons, less wind; a working-day peak.
    "naver-gak-sejong": SiteProfile(
        climate=Climate(
            mean_c=12.4, season_c=14.6, diurnal_c=5.4, wind_m_per_s=1.5, altitude_m=80.0
        ),
        load=LoadProfile(
            level=0.52, daily=0.05, peak_hour=15.0, weekend=-0.05, training_share=0.25
        ),
        cooling=CoolingProfile(
            kind="outside_air",
            air_handling=0.080,
            pumps=0.0045,
            tower_fans=0.0,
            free_below_c=21.0,
            mechanical_above_c=27.0,
            latent_base=0.0,
            latent_slope=0.028,
            latent_max=0.62,
            latent_above_c=8.0,
            concentration=4.0,
        ),
        water=WaterProfile(rain_use="landscape", rain_steady_m3_per_h=0.0, domestic_m3_per_h=1.6),
        feed_shares=(0.5, 0.5),
        lighting=0.004,
        house=0.009,
    ),
    # A basin in the mountains: the coldest winters of the five, calm air, cool nights. Outside air
    # alone cools for most of the year; waste heat melts snow, so it is wanted near freezing only.
    "naver-gak-chuncheon": SiteProfile(
        climate=Climate(
            mean_c=11.4,
            season_c=15.0,
            diurnal_c=5.8,
            rain_mm=(20, 27, 40, 70, 95, 120, 380, 300, 140, 45, 42, 22),
            wind_m_per_s=1.3,
            altitude_m=160.0,
        ),
        load=LoadProfile(level=0.58, daily=0.07, peak_hour=20.5, weekend=-0.02),
        cooling=CoolingProfile(
            kind="outside_air",
            air_handling=0.072,
            pumps=0.004,
            tower_fans=0.0,
            free_below_c=21.5,
            mechanical_above_c=27.5,
            latent_base=0.0,
            latent_slope=0.026,
            latent_max=0.58,
            latent_above_c=9.0,
            concentration=4.5,
            chilled_share=0.30,
        ),
        water=WaterProfile(
            rain_steady_m3_per_h=0.5,
            rain_cooling_m3_per_h=2.5,
            groundwater_share=0.45,
            domestic_m3_per_h=1.2,
        ),
        feed_shares=(0.6, 0.4),
        lighting=0.005,
        house=0.011,
        heat_below_c=3.0,
        heat_full_c=-8.0,
    ),
    # The south-west: mild winters, long humid summers, much sun. A small centre of accelerators
    # that run day and night; all of them are metered, so nothing is added for training.
    "nhn-gwangju": SiteProfile(
        climate=Climate(
            mean_c=14.2,
            season_c=12.9,
            diurnal_c=4.9,
            rain_mm=(33, 42, 62, 88, 98, 150, 300, 300, 145, 62, 52, 36),
            wind_m_per_s=1.9,
            altitude_m=45.0,
        ),
        load=LoadProfile(
            level=0.40,
            daily=0.03,
            peak_hour=16.0,
            weekend=-0.02,
            training_share=0.0,
            node_factor=1.45,
        ),
        cooling=CoolingProfile(
            air_handling=0.095,
            pumps=0.060,
            tower_fans=0.032,
            carnot_share=0.48,
            free_below_c=3.0,
            mechanical_above_c=10.0,
            latent_base=0.08,
            latent_max=0.55,
            concentration=4.0,
        ),
        water=WaterProfile(domestic_m3_per_h=0.12),
        lighting=0.006,
        house=0.016,
    ),
    # Inland, between the two. Nine tenths of the heat leave the cabinets in warm water, which dry
    # coolers take all year; they are sprayed on the hottest days only. A batch machine: no evening
    # peak, hardly a weekend.
    "kisti-daejeon": SiteProfile(
        climate=Climate(
            mean_c=13.2, season_c=13.8, diurnal_c=5.1, wind_m_per_s=1.7, altitude_m=70.0
        ),
        load=LoadProfile(
            level=0.30,
            daily=0.008,
            peak_hour=15.0,
            weekend=-0.008,
            training_share=0.0,
            node_factor=1.12,
        ),
        cooling=CoolingProfile(
            kind="direct_liquid",
            air_handling=0.014,
            pumps=0.026,
            tower_fans=0.022,
            carnot_share=0.50,
            free_below_c=5.0,
            mechanical_above_c=13.0,
            latent_base=0.0,
            latent_slope=0.030,
            latent_max=0.25,
            latent_above_c=20.0,
            concentration=6.0,
            liquid_share=0.90,
        ),
        water=WaterProfile(domestic_m3_per_h=0.5),
        feed_shares=(0.5, 0.5),
        lighting=0.004,
        house=0.009,
    ),
}


def profile_for(site: Site) -> SiteProfile:
    """The profile of a site: its own, or one from its location and its devices' roles."""
    own = PROFILES.get(site.id)
    if own is not None:
        return own
    # Half a degree a degree of latitude, around the 37th parallel.
    climate = replace(Climate(), mean_c=12.6 - 0.6 * (abs(site.latitude) - 37.0))
    outside_air = bool(site.with_role("air_handling")) and not site.with_role(
        "chiller", "tower_fan"
    )
    model = PROFILES["naver-gak-sejong"] if outside_air else SiteProfile()
    return replace(model, climate=climate)
