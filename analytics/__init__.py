"""Samples to 15-minute intervals, energies, KPIs; pure functions and one scheduled service."""
