from dashboard.chart_spec import ChartSpec

WATER_CHARTS: tuple[ChartSpec, ...] = ()
