"""The ingester against Telegraf at its best: same broker, same InfluxDB, same readings.

Telegraf is given the readings as the JSON that devices send and, harder to beat, as its own line
protocol. Runs of a shape are interleaved; a ratio is of two runs of one round. Ours acknowledges
after its durable commit, Telegraf's after the store's answer.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

from bench import telegraf
from bench.load import Form, Shape
from bench.processes import calibrate
from bench.runs import Bench, Measurement, Pipeline

# Readings of one run; and the forms of native JSON or line protocol in which ours takes them.
SHAPES: dict[Shape, tuple[int, tuple[Form, ...]]] = {
    Shape(1, 1): (60_000, ("rows",)),
    Shape(50, 1): (200_000, ("rows",)),
    Shape(500, 1): (400_000, ("rows", "columns", "lines")),
    Shape(1, 8): (50_000, ("rows",)),
    Shape(500, 8): (200_000, ("rows", "columns")),
}
_RIVALS: tuple[Form, ...] = ("rows", "lines")
_Key = tuple[Pipeline, Form]


def run(folder: Path, rounds: int, shapes: tuple[str, ...] = ()) -> None:
    """Print a table of figures and one of ratios."""
    if not telegraf.is_there():
        print("no Telegraf here: run bench/build_telegraf.sh")
        return
    bench = Bench(folder)
    figures = [
        "| readings x metrics | who, form | ingester us/pt (spread) | InfluxDB | broker | pts/s |"
        " MiB | others used | calibration us |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    ratios = [
        "| readings x metrics | ours | vs Telegraf JSON | vs Telegraf line protocol |"
        " all CPU vs JSON | all CPU vs line protocol |",
        "|---|---|---|---|---|---|",
    ]
    try:
        for shape, (readings, forms) in SHAPES.items():
            if shapes and str(shape).replace(" ", "") not in shapes:
                continue
            keys: list[_Key] = [("greendc", form) for form in forms]
            keys += [("telegraf", form) for form in _RIVALS]
            found: dict[_Key, list[Measurement]] = {key: [] for key in keys}
            speed = []
            for _ in range(rounds):
                speed.append(calibrate())
                for pipeline, form in keys:
                    found[pipeline, form].append(bench.run(pipeline, shape, form, readings))
            for key in keys:
                figures.append(_figures(shape, key, found[key], statistics.median(speed)))
                print(figures[-1], flush=True)
            for form in forms:
                cells = [
                    _ratio(found["telegraf", rival], found["greendc", form], what)
                    for what in (_ingester, _all)
                    for rival in _RIVALS
                ]
                ratios.append(f"| {shape} | {form} | {' | '.join(cells)} |")
                print(ratios[-1], flush=True)
    finally:
        bench.close()
    print("\n" + "\n".join(figures) + "\n\n" + "\n".join(ratios))


def _ingester(measured: Measurement) -> float:
    return measured.ingester_us


def _all(measured: Measurement) -> float:
    return measured.all_us


def _ratio(
    theirs: list[Measurement], ours: list[Measurement], of: Callable[[Measurement], float]
) -> str:
    found = [of(a) / of(b) for a, b in zip(theirs, ours, strict=True)]
    return f"{statistics.median(found):.1f}x ({min(found):.1f}-{max(found):.1f})"


def _figures(shape: Shape, key: _Key, found: list[Measurement], speed: float) -> str:
    mid = statistics.median
    cpu = [one.ingester_us for one in found]
    return (
        f"| {shape} | {key[0]}, {key[1]} | {mid(cpu):.2f} ({min(cpu):.2f}-{max(cpu):.2f}) | "
        f"{mid(one.influx_us for one in found):.2f} | "
        f"{mid(one.broker_us for one in found):.2f} | "
        f"{mid(one.points_per_s for one in found):,.0f} | "
        f"{max(one.resident_mib for one in found):.0f} | "
        f"{mid(one.foreign for one in found):.0%} | {speed:.1f} |"
    )
