"""`python -m bench [ingest] [latency] [queries] [board]`: benchmarks, in a temporary folder."""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
import time
from pathlib import Path

NAMES = ("ingest", "latency", "queries", "board")


def calibrate() -> float:
    """Microseconds of `json.loads` on one fixed message: shows a slow or noisy host at once."""
    message = (
        b'{"ts": "2026-11-20T09:15:00+09:00", "values": {"active_power_kw": 812.4}, "seq": 17}'
    )
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(20_000):
            json.loads(message)
        best = min(best, (time.perf_counter() - started) / 20_000)
    return best * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], default=list(NAMES))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"calibration: json.loads of one message {calibrate():.2f} us\n")
    for name in arguments.names:
        print(f"--- {name}")
        with tempfile.TemporaryDirectory(prefix="greendc-bench-") as folder:
            importlib.import_module(f"bench.{name}").run(Path(folder), arguments.rounds)
        print()


if __name__ == "__main__":
    main()
