"""Benchmarks: ratios against a baseline in the same run, printed and never gated by a clock."""
