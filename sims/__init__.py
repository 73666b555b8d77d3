"""Simulated sites that speak the wire format, faults, and the replay of real data."""
