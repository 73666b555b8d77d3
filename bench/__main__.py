"""`python -m bench [NAME ...]`: benchmarks, in a temporary folder."""

from __future__ import annotations

import argparse
import importlib
import tempfile
from pathlib import Path

from bench.processes import calibrate

NAMES = ("ingest", "rivals", "fleet", "latency", "queries", "reads", "board")


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
