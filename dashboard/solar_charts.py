from dashboard.chart_spec import ChartSpec

SOLAR_CHARTS: tuple[ChartSpec, ...] = ()
