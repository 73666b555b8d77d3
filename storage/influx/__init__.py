"""Time series in InfluxDB 2.x."""
