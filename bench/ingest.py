"""The ingester against the plain Python pipeline: same broker, same InfluxDB, same readings.

CPU of the ingesting process a point, in interleaved pairs; the ratio of each pair, its median and
spread. Our side is durable before it acknowledges; the baseline acknowledges on receipt and keeps
nothing on disk.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from bench.load import Shape
from bench.runs import Bench

SHAPES = {Shape(1): 40_000, Shape(50): 200_000, Shape(500): 400_000}
_MOST_PLAIN = 60_000


def run(folder: Path, rounds: int) -> None:
    """Print one table row per shape."""
    bench = Bench(folder)
    mid = statistics.median
    try:
        print("| readings x metrics a message | greendc us/pt | plain us/pt | ratio (spread) |")
        print("|---|---|---|---|")
        for shape, readings in SHAPES.items():
            ours, plain = [], []
            for _ in range(rounds):
                ours.append(bench.run("greendc", shape, "rows", readings).ingester_us)
                least = min(readings, _MOST_PLAIN)
                plain.append(bench.run("plain", shape, "rows", least).ingester_us)
            ratios = [b / a for a, b in zip(ours, plain, strict=True)]
            print(
                f"| {shape} | {mid(ours):.2f} | {mid(plain):.1f} | "
                f"{mid(ratios):.1f}x ({min(ratios):.1f}-{max(ratios):.1f}) |",
                flush=True,
            )
    finally:
        bench.close()
