"""Time series in SQLite files, for one machine without a server."""
