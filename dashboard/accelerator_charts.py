from dashboard.chart_spec import ChartSpec

ACCELERATOR_CHARTS: tuple[ChartSpec, ...] = ()
