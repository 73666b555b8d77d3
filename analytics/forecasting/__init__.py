"""Forecasts: naive rules, their measured errors, the schedule, and reading what was issued."""
