"""The only room that knows databases: time series (InfluxDB, embedded) and records (SQL)."""
