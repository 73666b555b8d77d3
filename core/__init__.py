"""The vocabulary of greendc: units, metrics, sites, samples, intervals, KPIs, ports, errors.

Nothing here does I/O. Every other package imports this one; it imports none of them.
"""
