"""Processes under measurement and their CPU time."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def calibrate() -> float:
    """CPU microseconds of `json.loads` on one fixed message: shows a slow or noisy host at once."""
    message = (
        b'{"ts": "2026-11-20T09:15:00+09:00", "values": {"active_power_kw": 812.4}, "seq": 17}'
    )
    best = float("inf")
    for _ in range(5):
        started = time.thread_time()
        for _ in range(20_000):
            json.loads(message)
        best = min(best, (time.thread_time() - started) / 20_000)
    return best * 1e6


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads, by the process's own clock."""
    # What `clock_getcpuclockid` gives: nanoseconds, where /proc counts hundredths of a second.
    return time.clock_gettime((~pid << 3) | 2)


def machine_seconds() -> float:
    """Busy CPU seconds of the whole machine since boot."""
    fields = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / _TICK


def resident_mib(pid: int) -> float:
    """Resident memory in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def start(
    command: Sequence[str], log: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a process with its output in a log file."""
    with log.open("ab") as file:
        return subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=file, stderr=file
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL after 15 s."""
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(
    condition: Callable[[], bool], what: str, seconds: float = 120.0, step: float = 0.1
) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: It did not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(step)
