"""Figures of the board as plain plotly documents: pure functions that know no dash."""
